// The browser's side of an answer: its words and figure, and frames around what was read.
const percent = (p) => (p < 0.001 ? "&lt;0.1 %" : p > 0.999 ? "&gt;99.9 %" : `${(100 * p).toFixed(1)} %`);

const empty = () => (notice && tab === "pad" ? notice : EMPTY);

// The answer, or nothing where there is nothing to answer.
const show = ({ guesses = [], words = empty(), figure, boxes = [] } = {}) => {
  one("#answer .guesses").innerHTML = guesses.map(([number, p]) =>
    `<li><b>${number}</b><span class="bar"><i style="width:${100 * p}%"></i></span>` +
    `<span>${percent(p)}</span></li>`).join("");
  one("#answer .words").textContent = words;
  frame(boxes);
  if (figure || !boxes.length) drawFigure(figure); // while the pen moves, the last one stays
};
addEventListener("change", ({ target }) => {
  if (!target.closest("#why")) return;
  view[target.name] = Number(target.value);
  if (target.name === "digit") ask();
});

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
wait(0).then(() => notice && show()); // Gradio shows its own first
