// The browser's side of an answer: its headline, guesses and words, and frames around the digits.
const INVITATIONS = {
  pad: one("#answer .words").textContent,
  picture: "Drop, paste or take a picture of a number.",
};
const empty = () => (tab === "pad" && notice) || INVITATIONS[tab];
const gone = () => ({
  words: `The server isn't answering. Your ${tab === "pad" ? "drawing" : "picture"} is safe; I'll keep trying.`,
});
const percent = (p) => (p < 0.001 ? "&lt;0.1%" : p > 0.999 ? "&gt;99.9%" : `${(100 * p).toFixed(1)}%`);
const row = (guess) => guess
  ? `<li><b>${guess[0]}</b><span class="bar"><i style="width:${100 * guess[1]}%"></i></span><span>${percent(guess[1])}</span></li>`
  : '<li aria-hidden="true"></li>';

let latest = {}; // the last answer
const thoughts = []; // the headlines of this drawing
const think = (headline) => {
  if (headline && headline !== thoughts.at(-1)) thoughts.push(headline);
  const chips = thoughts.slice(-8).map((thought) => `<span>${thought}</span>`).join(" › ");
  one(".thoughts").innerHTML = thoughts.length > 1 ? `So far: ${chips}` : "";
  one(".thoughts").scrollLeft = 9999; // where there is no room, to the last ones
};
// The answer, or nothing where there is nothing to answer. While the pen moves, no doubt is shown,
// and the last explanation stays.
const show = (answer = {}) => {
  latest = answer;
  const { guesses = [], words = empty(), kind = "", figure, boxes = [] } = answer;
  const moving = isMoving();
  if (moving && !guesses.length && question()) return;
  const headline = moving ? (guesses[0]?.[0] ?? "") : (answer.headline ?? guesses[0]?.[0] ?? "");
  think(headline);
  one("#answer").dataset.kind = moving ? "moving" : kind;
  one(".headline").textContent = headline;
  one(".guesses").innerHTML = [0, 1, 2].map((k) => row(guesses[k])).join("");
  if (!moving) one("#answer .words").textContent = words;
  frame(boxes);
  if (moving ? figure && kind === "sure" : figure || !guesses.length) drawFigure(figure);
};
// When the pen has rested:
const settle = () => {
  if (isMoving()) return;
  if (latest.words) show(latest);
  remember();
};

// The digits that were read, framed in what the visitor gave.
const frame = (boxes) => {
  document.querySelectorAll(".boxes").forEach((old) => old.remove());
  const image = one("#upload img");
  if (!boxes.length || (tab === "picture" && !image)) return;
  const layer = document.createElement("div");
  layer.className = "boxes";
  layer.innerHTML = boxes
    .map(([left, top, right, bottom]) =>
      `<i style="left:${left * 100}%;top:${top * 100}%;` +
      `width:${(right - left) * 100}%;height:${(bottom - top) * 100}%"></i>`)
    .join("");
  if (tab === "picture") {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight, naturalWidth, naturalHeight } = image;
    const scale = Math.min(offsetWidth / naturalWidth, offsetHeight / naturalHeight);
    const [width, height] = [naturalWidth * scale, naturalHeight * scale];
    const [left, top] = [offsetLeft + (offsetWidth - width) / 2, offsetTop + (offsetHeight - height) / 2];
    layer.style.cssText = `left:${left}px;top:${top}px;width:${width}px;height:${height}px`;
  }
  (tab === "picture" ? image.parentElement : one("#pad")).append(layer);
};
// A picture has come: light ink on transparent paper is shown on dark.
document.addEventListener("load", ({ target }) => {
  if (!target.matches("#upload img")) return;
  const context = Object.assign(make("canvas"), { width: 64, height: 64 }).getContext("2d");
  context.drawImage(target, 0, 0, 64, 64);
  const { data } = context.getImageData(0, 0, 64, 64);
  let [ink, light] = [0, 0];
  for (let k = 0; k < data.length; k += 4) {
    ink += data[k + 3] / 255;
    light += (data[k + 3] / 255) * (data[k + 1] / 255);
  }
  target.classList.toggle("light-ink", ink < 0.95 * 64 * 64 && light > 0.5 * ink);
  frame(latest.boxes ?? []);
}, true);
