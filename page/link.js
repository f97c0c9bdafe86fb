// A drawing as a link: the strokes, /?d=… of letters, digits, "-" and "_", "." between two strokes.
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const GRID = 2; // pixels of the pad
const MARGIN = 64; // places of the grid beside the pad that a stroke may lead over
const LONGEST_LINK = 8000; // letters
const BROKEN_LINK = "This link holds no drawing that can be read. Draw a new one.";

// Return the points, [[x, y], …], without those that lie within a place of a line between others
// (Ramer 1972, Douglas and Peucker 1973).
const simplify = (points) => {
  if (points.length < 3) return points;
  const [[ax, ay], [bx, by]] = [points[0], points.at(-1)];
  const length = Math.hypot(bx - ax, by - ay);
  const away = points.map(([x, y]) =>
    length
      ? Math.abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
      : Math.hypot(x - ax, y - ay),
  );
  const farthest = away.indexOf(Math.max(...away));
  if (away[farthest] < 0.75) return [points[0], points.at(-1)];
  const head = simplify(points.slice(0, farthest + 1));
  return [...head.slice(0, -1), ...simplify(points.slice(farthest))];
};

// A stroke is its first point, two letters for each of x and y, then one for each step's x and y.
const encodeStroke = (stroke) => {
  const points = [];
  for (let k = 0; k < stroke.length; k += 2) points.push([stroke[k] / GRID, stroke[k + 1] / GRID]);
  const [[x, y], ...others] = simplify(points).map((point) => point.map(Math.round));
  const place = (n) => LETTERS[(n + MARGIN) >> 6] + LETTERS[(n + MARGIN) & 63];
  let code = place(x) + place(y);
  let [fromX, fromY] = [x, y];
  for (const [toX, toY] of others) {
    const steps = Math.ceil(Math.max(Math.abs(toX - fromX), Math.abs(toY - fromY)) / 31);
    const [startX, startY] = [fromX, fromY];
    for (let k = 1; k <= steps; k++) {
      const nextX = Math.round(startX + ((toX - startX) * k) / steps);
      const nextY = Math.round(startY + ((toY - startY) * k) / steps);
      code += LETTERS[nextX - fromX + 32] + LETTERS[nextY - fromY + 32];
      [fromX, fromY] = [nextX, nextY];
    }
  }
  return code;
};
const encode = (strokes) => strokes.map(encodeStroke).join(".");

// Return the strokes of a link, each [x, y, x, y, …] in pixels of the pad; null if it has none.
const decode = (code, width, height) => {
  if (code.length > LONGEST_LINK || !/^([\w-]{2}){2,}(\.([\w-]{2}){2,})*$/.test(code)) return null;
  const strokes = code.split(".").map((letters) => {
    const n = [...letters].map((letter) => LETTERS.indexOf(letter));
    const stroke = [n[0] * 64 + n[1] - MARGIN, n[2] * 64 + n[3] - MARGIN];
    for (let k = 4; k < n.length; k++) stroke.push(stroke.at(-2) + n[k] - 32);
    return stroke.map((place) => place * GRID);
  });
  const fits = (place, k) => Math.abs(place) <= (k % 2 ? height : width) + MARGIN * GRID;
  return strokes.every((stroke) => stroke.every(fits)) ? strokes : null;
};

// A link to the drawing, and the drawing of a link, stroke by stroke, by the pad's own pen.
const copy = async () => {
  const link = `${location.origin}${location.pathname}?d=${encode(question()?.strokes ?? [])}`;
  const note = one("#copied");
  try {
    await navigator.clipboard.writeText(link);
    note.textContent = "Copied. ";
  } catch {
    note.textContent = `${link} `; // to be copied by hand
  }
};
const toPage = (x, y) => {
  const { app, image_container } = window.editor;
  const frame = app.canvas.getBoundingClientRect();
  const at = image_container.toGlobal({ x, y });
  const zoom = frame.width / app.screen.width;
  return { clientX: frame.left + at.x * zoom, clientY: frame.top + at.y * zoom };
};
const padIsReady = async () => {
  const place = () =>
    one("#pad .toolbar-wrap") && !one("#pad .empty") && window.editor?.image_container
      ? JSON.stringify([toPage(0, 0), toPage(WIDTH, HEIGHT)])
      : null;
  for (let still = 0, before = null; still < 5; ) {
    await wait(50);
    const now = place();
    still = now && now === before ? still + 1 : 0;
    before = now;
  }
};
const redraw = async (drawn) => {
  const how = { pointerId: 1, pointerType: "mouse", isPrimary: true, buttons: 1, bubbles: true };
  const point = (type, stroke, k) => {
    const at = toPage(stroke[k], stroke[k + 1]);
    window.editor.app.canvas.dispatchEvent(new PointerEvent(type, { ...how, ...at }));
  };
  for (const stroke of drawn) {
    for (let tries = 0; tries < 20 && !pen; tries++) {
      if (tries) await padIsReady(); // the pad has not painted it: page/pen.js took it back
      point("pointermove", stroke, 0);
      point("pointerdown", stroke, 0);
    }
    for (let k = 2; k < stroke.length; k += 2) point("pointermove", stroke, k);
    point("pointerup", stroke, stroke.length - 2);
    await wait(PERIOD);
  }
};
const code = new URLSearchParams(location.search).get("d");
if (code !== null) {
  const linked = decode(code, WIDTH, HEIGHT);
  padIsReady().then(() => (linked ? redraw(linked) : show({ answer: says(BROKEN_LINK) })));
}
