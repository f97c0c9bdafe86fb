// The browser's side of an answer: its words and figure, and frames around what was read.
const says = (sentence) => EMPTY.replace(/(<p[^>]*>)[^<]*/, (_, start) => start + sentence);

const empty = () => (notice && tab === "pad" ? says(notice) : EMPTY);

// The answer, or nothing where there is nothing to answer.
const show = async ({ answer = empty(), figure = "", boxes = [] } = {}) => {
  props.value = answer;
  dispatchEvent(new CustomEvent("figure", { detail: figure }));
  frame(boxes);
  await wait(0); // Gradio changes the page by then, but not what the visitor has chosen there
  document.querySelectorAll("#why input").forEach((input) => {
    input.checked = input.hasAttribute("checked");
  });
};
addEventListener("change", ({ target }) => {
  if (!target.closest("#why")) return;
  if (target.name === "digit") view.rival = null;
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
