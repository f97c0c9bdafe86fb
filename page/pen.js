// The browser's side of the page. It keeps the strokes that are drawn on the pad, sends them to the
// server while the pen moves, and shows the answers. The answer's gr.HTML runs it once and gives it
// `server`. show.js, figure.js and link.js follow in the same script. Written for Gradio 6.31.
const [WIDTH, HEIGHT] = [640, 480]; // PAD_SIZE of page/requests.py
const [MAX_STROKES, MAX_POINTS] = [500, 4000]; // the server's limits
const MIN_STEP = 1.5; // pixels between two points of a stroke
const MIN_PERIOD_MS = 100; // between two requests
const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_MS = 3000; // until the next request to a server that doesn't answer
const REST_MS = 300; // after a stroke, in which the pen still counts as moving
const NO_WEBGL = "The pad needs WebGL, which this browser doesn't have. Use the Picture tab.";
const one = (selector) => document.querySelector(selector);
const OWN = -1; // the number of the pointer with which page/link.js paints
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const webgl = ["webgl2", "webgl"].some((kind) => document.createElement("canvas").getContext(kind));
const strokes = []; // each [x, y, x, y, …]
const [past, future] = [[], []]; // the drawing before each change, and those that were undone
let pen = null; // the stroke that is being drawn
let pointer = null; // the stroke's pointerdown event
let late = false; // whether the pad was not ready for the stroke
let rest = 0; // when the pen counts as resting
const unpainted = []; // strokes that wait for page/link.js to paint them
let picture = null; // the upload
let notice = webgl ? "" : NO_WEBGL; // instead of the invitation to draw
const isMoving = () => pen || unpainted.length > 0 || performance.now() < rest;
let tab = "pad";
let view = { digit: 0, rival: null }; // what the explanation is to show

// The pad's own tools, by selectors that work in every language. They would cover the paper, so
// style.css hides them, and buttons below the pad click them.
const BRUSH = "#pad button[aria-label='Brush']";
const UNDO = "#pad button:has(svg[aria-label='undo'])";
const CLEAR = "#pad button[aria-label='Clear canvas']";
const FILE = "#upload input[type=file]";

const setAttributes = (selector, attributes) =>
  document.querySelectorAll(selector).forEach((element) =>
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value)),
  );

// Whenever the page has changed:
const update = () => {
  // The paper's shadow is hardly seen, and is most of what the pad paints.
  Object.assign(window.editor?.outline_graphics ?? {}, { filters: [] });
  // The pad starts, after the load and after every clear, with no tool chosen: strokes are lost
  // until somebody finds the brush. Its notice that says so (.empty) is the sign to choose it.
  if (one("#pad .empty")) one(BRUSH)?.click();
  setAttributes("#pad .image-container", { role: "group", "aria-label": "Pad to draw on" });
  setAttributes("#upload .empty", { role: "note" });
  document.querySelectorAll(".gallery-item img").forEach((image) => {
    const file = image.src.split("/").pop().split(".")[0];
    image.closest(".gallery-item").setAttribute("aria-label", `Example: ${file}`);
  });
  offerTools();
};
const offerTools = () => {
  const off = [!past.length, !future.length, false, !strokes.length];
  document.querySelectorAll("#tools button").forEach((tool, k) => (tool.disabled = off[k]));
};
new MutationObserver(update).observe(document.body, { childList: true, subtree: true });
update();

// The pen draws a line from each place of the pointer on the pad to the next. Gradio leaves BORDER
// pixels around the paper, and lays it out up to a second later. So this is done here, at once.
const BORDER = 30;
const layOutPaper = () => {
  const frame = one("#pad .image-container").getBoundingClientRect();
  const scale = Math.min(
    (frame.width - 2 * BORDER) / WIDTH,
    (frame.height - 2 * BORDER) / HEIGHT,
  );
  const [x, y] = [(frame.width - WIDTH * scale) / 2, (frame.height - HEIGHT * scale) / 2];
  window.editor?.image_container?.scale.set(scale);
  window.editor?.image_container?.position.set(x, y);
  return { frame, scale, x, y };
};
const follow = (event) => {
  const { frame, scale, x, y } = layOutPaper();
  const [left, top] = [event.clientX - frame.left, event.clientY - frame.top];
  if (left < 0 || left > frame.width || top < 0 || top > frame.height) return;
  const point = [Math.round((left - x) / scale), Math.round((top - y) / scale)];
  if (Math.hypot(point[0] - pen.at(-2), point[1] - pen.at(-1)) < MIN_STEP) return;
  pen.push(...point);
  ask();
};
const brush = () => window.editor?.tools.get("brush");
const onPad = (event) => webgl && event.target.closest?.("#pad .image-container");
// End the stroke. What the pad has not painted, as while it loads, is painted when it can be.
const lift = () => {
  brush()?.commit_pending_changes();
  if (pointer.pointerId !== OWN) change(strokes.slice(0, -1));
  rest = performance.now() + REST_MS;
  if (late) redraw([strokes.pop()]);
  [pen, late] = [null, false];
  if (!unpainted.length) remember();
  ask();
  setTimeout(settle, REST_MS + 1);
};
// Forget the stroke.
const drop = () => {
  Object.assign(brush() ?? {}, { is_drawing: false });
  Object.assign(brush()?.brush_textures?.preview_sprite ?? {}, { visible: false });
  strokes.pop();
  [pen, late] = [null, false];
};
addEventListener(
  "pointerdown",
  (event) => {
    if (!onPad(event)) return;
    if (pen && event.pointerId === pointer.pointerId) lift(); // its pointerup never came
    // A palm lies on the pad before the pen does.
    if (pen && event.pointerType === "pen" && pointer.pointerType === "touch") drop();
    // A second finger, another button and the eraser end of a pen do not paint.
    if (pen || event.button) return event.stopPropagation();
    pointer = event;
    strokes.push((pen = []));
    follow(event);
    // The pad checks this only when the pointer moves, but its paper may have moved.
    const { left, top } = layOutPaper().frame;
    const global = { x: event.clientX - left, y: event.clientY - top };
    brush()?.brush_cursor?.check_cursor_over_image({ global });
  },
  true,
);
addEventListener("pointerdown", () => (late = pen && !brush()?.is_drawing)); // after the pad's
// The pad listens to all pointers, wherever they are, and after these listeners.
const ofPen = (then) => (event) =>
  pen && (event.pointerId === pointer.pointerId ? then(event) : event.stopImmediatePropagation());
addEventListener("pointermove", ofPen(follow), true);
addEventListener("pointerup", ofPen(lift), true);
addEventListener("pointercancel", ofPen(lift), true);
// The pad has lost what it had painted.
addEventListener(
  "webglcontextrestored",
  async ({ target }) => {
    if (target !== window.editor?.app.canvas) return;
    await wait(0); // after the pad's own listener, too
    if (pen) lift();
    const kept = strokes.splice(0);
    one(CLEAR).click();
    redraw(kept);
  },
  true,
);
addEventListener("wheel", (event) => onPad(event) && event.stopPropagation(), true); // it zooms

// Remember the drawing as it was before a change.
const change = (before) => {
  past.push(before);
  future.length = 0;
};
// Bring back a drawing from `from`, and put the one that is there onto `to`.
const restore = (from, to) => {
  if (pen || unpainted.length || !from.length) return;
  to.push([...strokes]);
  const target = from.pop();
  if (!target.length) one(CLEAR).click();
  else for (let k = strokes.length; k > target.length; k--) one(UNDO).click();
  strokes.splice(target.length);
  redraw(target.slice(strokes.length));
  ask(true);
};
const undo = () => restore(past, future);
const redo = () => restore(future, past);
const clear = () => {
  one(CLEAR).click();
  pen = null;
  if (strokes.length) change([...strokes]);
  strokes.length = unpainted.length = 0;
  ask(true);
};
addEventListener("keydown", ({ key, ctrlKey, metaKey, shiftKey }) => {
  if (tab !== "pad" || !(ctrlKey || metaKey)) return;
  if (key === "y" || (shiftKey && key.toLowerCase() === "z")) redo();
  else if (key === "z") undo();
});
// A picture from the clipboard goes to the tab for pictures.
addEventListener("paste", async ({ clipboardData }) => {
  const image = [...clipboardData.files].find((file) => file.type.startsWith("image/"));
  if (!image) return;
  const given = new DataTransfer();
  given.items.add(image);
  document.querySelectorAll("[role=tab]")[1].click();
  while (!one(FILE)) await wait(50);
  one(FILE).files = given.files;
  one(FILE).dispatchEvent(new Event("change"));
});

// One request is open at a time. After its answer, the drawing is sent as it is then. While the pen
// moves, the pause between two requests is as long as an answer takes, so that many visitors send
// fewer requests each.
let asking = false;
let wanted = false;
let generation = 0; // an answer from before a clear, an undo or a change of the tab is dropped
let wake = () => {};
const drawn = () => {
  let kept = strokes.filter((stroke) => stroke.length).slice(-MAX_STROKES);
  while (kept.flat().length > 2 * MAX_POINTS)
    kept = kept.map((stroke) => stroke.filter((_, k) => k % 4 < 2)); // every second point
  return kept;
};
const question = () => {
  const [{ digit }, kept] = [view, drawn()];
  if (tab === "picture") return picture && { picture: { path: picture.path }, digit };
  if (!kept.length) return null;
  return pen || unpainted.length ? { strokes: kept } : { strokes: kept, digit }; // to be explained
};
const ask = async (anew = false) => {
  if (!pen) offerTools();
  if (anew) {
    [generation, rest] = [generation + 1, 0];
    view = { digit: 0, rival: null };
    if (!question()) {
      thoughts.length = 0;
      show();
    }
    if (!isMoving()) remember();
  }
  wanted = true;
  if (!pen) wake();
  if (asking) return;
  asking = true;
  while (wanted) {
    wanted = false;
    const [asked, mine, started] = [question(), generation, performance.now()];
    const whole = !unpainted.length; // a link's drawing is answered when it is whole
    const answer = asked && (await Promise.race([answered(asked), wait(REQUEST_TIMEOUT_MS)]));
    const took = performance.now() - started;
    if (mine === generation && (whole || !answer)) show(asked ? (answer ?? gone()) : {});
    else if (mine === generation) think(answer.guesses[0]?.[0]);
    const awake = new Promise((done) => (wake = done));
    const gap = asked && !answer ? RETRY_MS : pen ? Math.max(MIN_PERIOD_MS - took, took) : 0;
    if (gap) await Promise.race([wait(gap), awake]);
    if (gap === RETRY_MS) wanted = true;
  }
  asking = false;
};
const answered = async (asked) => {
  try {
    const answer = await server.answer(asked);
    return answer?.words ? answer : null;
  } catch {
    return null;
  }
};
const begin = () => {
  thoughts.length = 0;
  ask(true);
};
window.lenet = {
  undo,
  redo,
  clear,
  share: () => share(), // page/link.js
  switchTab: (to) => begin((tab = to)),
  look: (file) => begin((picture = file)),
};
