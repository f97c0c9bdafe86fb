// A link holds a drawing's strokes, /?d=…, in letters, digits, "-" and "_"; "." separates strokes.
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const GRID = 2; // pixels of the pad
const MARGIN = 64; // places of the grid by which a stroke may leave the pad
const LONGEST_LINK = 4000; // letters; the server takes addresses of up to 4096
const LONGEST_PIECE = 1500; // pixels: the pad paints a whole stroke with each movement
const BROKEN_LINK = "I can't open the drawing in this link. Please draw a number.";

// Return the points, [[x, y], …], without those that lie nearer than `most` places to a line
// between others (Ramer 1972, Douglas and Peucker 1973).
const simplify = (points, most) => {
  const kept = new Set([0, points.length - 1]);
  const open = [[0, points.length - 1]];
  while (open.length) {
    const [start, end] = open.pop();
    const [[ax, ay], [bx, by]] = [points[start], points[end]];
    const length = Math.hypot(bx - ax, by - ay);
    let [farthest, distance] = [start, 0];
    for (let k = start + 1; k < end; k++) {
      const [x, y] = points[k];
      const away = length
        ? Math.abs((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / length
        : Math.hypot(x - ax, y - ay);
      if (away > distance) [farthest, distance] = [k, away];
    }
    if (distance < most) continue;
    kept.add(farthest);
    open.push([start, farthest], [farthest, end]);
  }
  return points.filter((_, k) => kept.has(k));
};

// A stroke is its first point, two letters for each of x and y, then one for each step's x and y.
const encodeStroke = (stroke, most) => {
  const points = [];
  for (let k = 0; k < stroke.length; k += 2) points.push([stroke[k] / GRID, stroke[k + 1] / GRID]);
  const [[x, y], ...others] = simplify(points, most).map((point) => point.map(Math.round));
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
// Use the finest code that fits into a link.
const encode = (strokes) => {
  for (let most = 0.75; ; most *= 2) {
    const code = strokes.map((stroke) => encodeStroke(stroke, most)).join(".");
    if (code.length <= LONGEST_LINK || most > 100) return code;
  }
};

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

// The address holds the drawing, so it survives a reload. `share` drops other parameters.
const remember = () => {
  const [address, code] = [new URL(location), encode(drawn())];
  address.searchParams.delete("d");
  if (code && code.length <= LONGEST_LINK) address.searchParams.set("d", code);
  if (address.href !== location.href) history.replaceState(history.state, "", address);
};
const share = async () => {
  remember();
  const [code, note] = [new URLSearchParams(location.search).get("d"), one("#copied")];
  if (!code) return (note.textContent = "This drawing is too long for a link. ");
  const url = `${location.origin}${location.pathname}?d=${code}`;
  try {
    await navigator.share({ title: document.title, url });
  } catch ({ name }) {
    if (name === "AbortError") return; // the visitor has closed the share sheet
    const copied = await navigator.clipboard.writeText(url).then(() => true, () => false);
    note.textContent = copied ? "Link copied. " : `${url} `; // to be copied by hand
  }
};
// Cut a stroke where it is too long for the pad to paint as one.
const cut = (stroke) => {
  const pieces = [stroke.slice(0, 2)];
  let length = 0;
  for (let k = 2; k < stroke.length; k += 2) {
    length += Math.hypot(stroke[k] - stroke[k - 2], stroke[k + 1] - stroke[k - 1]);
    if (length > LONGEST_PIECE) {
      pieces.push(stroke.slice(k - 2, k));
      length = 0;
    }
    pieces.at(-1).push(stroke[k], stroke[k + 1]);
  }
  return pieces;
};
// Paint a stroke at one go; return whether the pad was ready for it.
const paint = (stroke) => {
  const canvas = one("#pad canvas");
  if (!canvas?.offsetWidth) return false;
  const { frame, scale, x, y } = layOutPaper();
  const how = { pointerId: OWN, pointerType: "mouse", isPrimary: true, buttons: 1, bubbles: true };
  const point = (type, k) => {
    const [left, top] = [frame.left + x + stroke[k] * scale, frame.top + y + stroke[k + 1] * scale];
    canvas.dispatchEvent(new PointerEvent(type, { ...how, clientX: left, clientY: top }));
  };
  point("pointerdown", 0);
  if (late) drop();
  if (!pen) return false;
  // The pad would render the whole stroke with each movement. It does so at the end.
  const { renderer } = window.editor.app;
  renderer.render = () => {};
  for (let k = 2; k < stroke.length; k += 2) point("pointermove", k);
  delete renderer.render;
  lift();
  return true;
};

const nextFrame = () => new Promise(requestAnimationFrame); // so that the pad keeps up
// Paint strokes one by one; each waits for the answer to the one before, but not for long.
const redraw = async (more) => {
  const begun = unpainted.length > 0;
  unpainted.push(...more.flatMap(cut));
  if (begun || !webgl || !unpainted.length) return;
  while (unpainted.length) {
    const painted = !pen && paint(unpainted[0]);
    if (painted) unpainted.shift();
    const latest = performance.now() + REST_MS;
    while (painted && asking && unpainted.length && performance.now() < latest) await nextFrame();
    await nextFrame();
  }
  ask();
};
const code = new URLSearchParams(location.search).get("d");
if (code !== null) {
  const linked = decode(code, WIDTH, HEIGHT);
  if (linked) redraw(linked);
  else notice = BROKEN_LINK;
}
