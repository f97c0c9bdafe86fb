// The browser's side of the page: it keeps the strokes that are drawn on the pad, asks what they
// are while the pen moves, and shows the answers. It runs once, for the answer's gr.HTML, which
// gives it `server`; page/show.js and page/link.js follow it. Written for Gradio 6.31.
const [WIDTH, HEIGHT] = [640, 480]; // of the pad's paper: PAD_SIZE of page/answer.py
const [MOST_STROKES, MOST_POINTS] = [500, 4000]; // that the server takes
const NEAR = 1.5; // pixels between two points of a stroke, at least
const PERIOD = 100; // ms between two questions, at least
const PATIENCE = 10_000; // ms
const FAILED = "No answer came. Please try again, or reload the page.";
const one = (selector) => document.querySelector(selector);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const EMPTY = one("#answer .words").textContent; // what is said where there is no answer

const strokes = []; // each [x, y, x, y, …]
let pen = null; // the stroke that is being drawn
let pointer = null; // the id of the pointer that draws it
let picture = null; // the upload
let tab = "pad";
let view = { digit: 0, rival: null }; // what the explanation is to show

// The pad's own tools, by what stays the same in every language. They would lie on the paper, so
// style.css hides them, and buttons below the pad click them.
const BRUSH = "#pad button[aria-label='Brush']";
const UNDO = "#pad button:has(svg[aria-label='undo'])";
const CLEAR = "#pad button[aria-label='Clear canvas']";

const name = (selector, attributes) =>
  document.querySelectorAll(selector).forEach((element) =>
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value)),
  );

// Whenever the page has changed:
const update = () => {
  // The pad starts, after the load and after every clear, with no tool chosen: strokes are lost
  // until somebody finds the brush. Its notice that says so (.empty) is the sign to choose it.
  if (one("#pad .empty")) one(BRUSH)?.click();
  name("#pad .image-container", { role: "group", "aria-label": "Pad to draw on" });
  name("#upload .empty", { role: "note" });
  document.querySelectorAll(".gallery-item img").forEach((image) => {
    const file = image.src.split("/").pop().split(".")[0];
    image.closest(".gallery-item").setAttribute("aria-label", `Example: ${file}`);
  });
};
new MutationObserver(update).observe(document.body, { childList: true, subtree: true });
update();

// The pen: what the pad draws, a line from each place of the pointer on its canvas to the next, by
// the pad's own measure of where that is.
const onPaper = (event) => {
  const at = { x: 0, y: 0 };
  window.editor.app.renderer.events.mapPositionToPoint(at, event.clientX, event.clientY);
  return at;
};
const follow = (event) => {
  const frame = one("#pad canvas").getBoundingClientRect();
  const [x, y] = [event.clientX, event.clientY];
  if (x < frame.left || x > frame.right || y < frame.top || y > frame.bottom) return;
  const { x: left, y: top } = window.editor.image_container.toLocal(onPaper(event));
  const point = [Math.round(left), Math.round(top)];
  if (Math.hypot(point[0] - pen.at(-2), point[1] - pen.at(-1)) < NEAR) return;
  pen.push(...point);
  ask();
};
const brush = () => window.editor.tools.get("brush");
const onPad = (event) => event.target.closest?.("#pad .image-container");
addEventListener(
  "pointerdown",
  (event) => {
    if (!onPad(event)) return;
    // A second finger would lose strokes; what another button paints is not read.
    const other = pen && event.pointerId !== pointer;
    if (other || event.button !== 0 || !event.isPrimary) return event.stopPropagation();
    pointer = event.pointerId;
    // The pad looks whether the pointer is on its paper when it moves; the paper may have, too.
    brush().brush_cursor?.check_cursor_over_image({ global: onPaper(event) });
    strokes.push((pen = []));
    follow(event);
  },
  true,
);
// The pad has seen it by now. What it does not paint, as while it has no tool, is not read.
addEventListener("pointerdown", () => {
  if (!pen || brush().is_drawing) return;
  pen = null;
  strokes.pop();
  ask();
});
addEventListener(
  "pointermove",
  (event) => pen && (event.pointerId === pointer ? follow(event) : event.stopPropagation()),
  true,
);
const lift = (event) => pen && event.pointerId === pointer && ((pen = null), ask());
addEventListener("pointerup", lift, true);
addEventListener("pointercancel", lift, true);
addEventListener("wheel", (event) => onPad(event) && event.stopPropagation(), true); // it zooms

const undo = () => {
  one(UNDO).click();
  strokes.pop();
  ask(true);
};
const clear = () => {
  one(CLEAR).click();
  strokes.length = 0;
  ask(true);
};
addEventListener("keydown", (event) => {
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && tab === "pad" && !pen) undo();
});

// The question: one is on its way at a time, and when it has been answered, what is there then is
// asked about. While the pen moves there is a pause between two, as long as an answer takes: where
// many draw, each asks less often.
let asking = false;
let wanted = false;
let turn = 0; // an answer from before a clear, an undo or a change of the tab comes too late
let wake = () => {};
const question = () => {
  const { digit } = view;
  if (tab === "picture") return picture && { picture: { path: picture.path }, digit };
  let drawn = strokes.filter((stroke) => stroke.length).slice(-MOST_STROKES);
  while (drawn.flat().length > 2 * MOST_POINTS)
    drawn = drawn.map((stroke) => stroke.filter((_, k) => k % 4 < 2)); // every second point
  if (!drawn.length) return null;
  return pen ? { strokes: drawn } : { strokes: drawn, digit }; // no explanation while the pen moves
};
const ask = async (anew = false) => {
  if (anew) {
    turn += 1;
    view = { digit: 0, rival: null };
    if (!question()) show();
  }
  wanted = true;
  if (!pen) wake();
  if (asking) return;
  asking = true;
  while (wanted) {
    wanted = false;
    const [asked, mine, started] = [question(), turn, performance.now()];
    const answer = asked && (await Promise.race([answered(asked), wait(PATIENCE)]));
    const took = performance.now() - started;
    if (mine === turn) show(asked ? (answer ?? { words: FAILED }) : {});
    const awake = new Promise((done) => (wake = done));
    if (pen) await Promise.race([wait(Math.max(PERIOD - took, took)), awake]);
  }
  asking = false;
};
const answered = async (asked) => {
  try {
    const answer = await server.answer(asked);
    return answer.words ? answer : { words: answer.detail ?? FAILED };
  } catch {
    return { words: FAILED };
  }
};
window.lenet = {
  undo,
  clear,
  copy: () => copy(), // page/link.js
  turn(to) {
    tab = to;
    ask(true);
  },
  look(file) {
    picture = file;
    ask(true);
  },
};
