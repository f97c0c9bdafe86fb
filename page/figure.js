// The explanation: paints the numbers of page/figure.py on canvases, in elements that stay.
const SHADES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+";
// Blue and brown, which color-blind people can tell apart, on light paper and on dark.
const [MORE, LESS] = [[20, 124, 190], [178, 106, 34]];
const MAPS = [
  ["C1", "convolution", "6 maps of 28×28", 28, 3],
  ["S2", "pooling", "6 maps of 14×14", 14, 3, "C1"],
  ["C3", "convolution", "16 maps of 10×10", 10, 4],
  ["S4", "pooling", "16 maps of 5×5", 5, 4, "C3"],
];
const LINES = [["F5", "linear", "120 numbers", 12], ["F6", "linear", "84 numbers", 12]];

// A value's color, [red, green, blue, opacity].
const asEvidence = (v) => [...(v > 0 ? MORE : LESS), 255 * Math.abs(v)];
const asInk = (v) => [0, 0, 0, 70 * (v + 1)];

const unpack = (letters) => [...letters].map((letter) => (SHADES.indexOf(letter) - 31) / 31);
// Return the means of 2×2 blocks of square maps, scaled so that the largest is 1 or -1.
const pool = (values, side) => {
  const means = [];
  for (let k = 0; k < values.length; k += k % side === side - 2 ? side + 2 : 2)
    means.push((values[k] + values[k + 1] + values[k + side] + values[k + side + 1]) / 4);
  const most = Math.max(1e-6, ...means.map(Math.abs));
  return means.map((mean) => mean / most);
};
// Paint values, from the `start`-th on, on a canvas of so many pixels.
const fill = (canvas, values, width, height, color, start = 0) => {
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height);
  for (let k = 0; k < width * height; k++)
    pixels.data.set(color(values[start + k]), 4 * k);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
};
const make = (tag, html = "", kind = "") =>
  Object.assign(document.createElement(tag), { innerHTML: html, className: kind });

// Why: the evidence for the answer, and for it rather than a rival.
const EVIDENCE =
  '<figure><div class="places"><canvas class="ink"></canvas><canvas></canvas></div><figcaption></figcaption></figure>';
const why = make("div",
  '<div class="heading"><h2>Why?</h2><fieldset class="digits"></fieldset></div><fieldset class="rivals"></fieldset>' +
  `<div class="evidence">${EVIDENCE + EVIDENCE}</div><p class="sum"></p><p class="sum"></p>` +
  "<p class='note'>Each colored square adds to a score or takes from it. A head start is what a blank " +
  "page scores. The highest score wins.</p>");
// Show choices in a row. Rebuild it only if they changed, since that loses the focus.
const offer = (name, legend, choices, chosen) => {
  const row = why.querySelector(`.${name}s`);
  const html = choices.map(([value, content]) =>
    `<label><input type="radio" name="${name}" value="${value}">${content}</label>`).join("");
  if (row.dataset.of !== html) row.innerHTML = html && `<legend>${legend}</legend>${html}`;
  row.dataset.of = html;
  if (html) row.querySelector(`[value="${chosen}"]`).checked = true;
};
const drawEvidence = (k, input, [, map, parts], title, against) => {
  const [ink, places] = why.querySelectorAll("figure")[k].querySelectorAll("canvas");
  fill(ink, unpack(input), 28, 28, asInk);
  fill(places, unpack(map), 10, 10, asEvidence);
  const [first, other] = [title[0], title.at(-1)];
  why.querySelectorAll("figcaption")[k].innerHTML =
    `<b>${title}</b> <span><i class="more"></i> for ${first}</span> <span><i class="less"></i> ${against} ${other}</span>`;
  const [gains, losses, start, score] = parts.map((part) => Math.abs(part).toFixed(1));
  why.querySelectorAll(".sum")[k].innerHTML =
    `${gains} for ${first} − ${losses} ${k ? `for ${other}` : "against"} ` +
    `${parts[2] < 0 ? "−" : "+"} ${start} head start = <b>${parts[3] < 0 ? "−" : ""}${score}</b>${k ? " ahead" : ""}`;
};
const compare = () => {
  const { input, answer, rivals, rival } = shown;
  const [other, first] = [view.rival ?? rival, answer[0]];
  const chosen = rivals.find(([digit]) => digit === other) ?? rivals[0];
  offer("rival", "Compare with:", rivals.map(([digit]) => [digit, digit]), chosen[0]);
  drawEvidence(1, input, chosen, `${first}, not ${chosen[0]}`, "for");
};

// The layers: eight pictures in a row. A map grows when it is pointed at.
const layer = ([name, kind, size], content) =>
  `<figure><div>${content}</div><figcaption><b>${name}</b> <span>${kind}</span><small>${size}</small></figcaption></figure>`;
const mapsOf = (entry) => {
  const [name, , size, , columns] = entry;
  const maps = Array.from({ length: parseInt(size) }, (_, n) =>
    `<canvas role="img" tabindex="${n ? -1 : 0}" aria-label="${name}, map ${n + 1} of ${parseInt(size)}"></canvas>`);
  return layer(entry, `<div class="maps" role="group" aria-label="${name}" style="--columns:${columns}">${maps.join("")}</div>`);
};
const layers = make("div",
  `<h2>The layers</h2><div class="layers">${layer(["Input", "scaled like MNIST", "28×28 pixels"], '<canvas class="received ink"></canvas>')}` +
  MAPS.map(mapsOf).join("") + LINES.map((entry) => layer(entry, '<canvas class="line"></canvas>')).join("") +
  layer(["Output", "softmax", "10 probabilities"], '<ol class="bars"></ol>') + "</div>" +
  '<p class="note">Compared with a blank page: <i class="more"></i> higher <i class="less"></i> lower. ' +
  "Point at a map or tap it to enlarge it.</p>");
const drawLayers = ({ input, layers: values, output }) => {
  fill(layers.querySelector(".received"), unpack(input), 28, 28, asInk);
  MAPS.forEach(([name, , , side, , pooled], k) => {
    const map = pooled ? pool(unpack(values[pooled]), 2 * side) : unpack(values[name]);
    layers.querySelectorAll(".maps")[k].querySelectorAll("canvas").forEach((canvas, n) =>
      fill(canvas, map, side, side, asEvidence, n * side * side));
  });
  LINES.forEach(([name, , , columns], k) => {
    const line = unpack(values[name]);
    fill(layers.querySelectorAll(".line")[k], line, columns, line.length / columns, asEvidence);
  });
  const best = Math.max(...output);
  layers.querySelector(".bars").innerHTML = output.map((p, digit) =>
    `<li${p === best ? " class=best" : ""}><span style="height:${100 * p}%"></span>${digit}</li>`).join("");
};
// Show a map large, with its filters beside it; close it if the target is no map.
const grow = ({ target }) => {
  layers.querySelector(".large")?.remove();
  if (!shown || !target.matches(".maps canvas")) return;
  const group = target.parentElement;
  const [count, n] = [group.children.length, [...group.children].indexOf(target)];
  const [name, , , , , pooled] = MAPS.find(([entry]) => entry === group.ariaLabel);
  const large = make("div", `<figure><canvas></canvas><figcaption>${target.ariaLabel}</figcaption></figure>` +
    "<figure><div></div><figcaption></figcaption></figure>", "large");
  const { width, height } = target;
  Object.assign(large.querySelector("canvas"), { width, height }).getContext("2d").drawImage(target, 0, 0);
  const [filters, caption] = large.lastChild.children;
  const weights = pooled ? [] : unpack(shown.kernels[name]);
  for (let k = 0; k < weights.length / count; k += 25) {
    filters.append(make("canvas"));
    fill(filters.lastChild, weights, 5, 5, asEvidence, (n * weights.length) / count + k);
  }
  caption.textContent = pooled
    ? `Each value is the mean of 2×2 values in ${pooled}.`
    : name === "C1" ? "Its filter, 5×5" : "Its filters, one for each map of S2";
  const row = layers.querySelector(".layers");
  row.append(large);
  const [at, all] = [target.getBoundingClientRect(), row.getBoundingClientRect()];
  const left = at.left + at.width / 2 - all.left - large.offsetWidth / 2;
  large.style.left = `${Math.max(0, Math.min(left, all.width - large.offsetWidth))}px`;
  if (at.top > large.offsetHeight) large.style.bottom = `${all.bottom - at.top + 8}px`;
  else large.style.top = `${at.bottom - all.top + 8}px`;
};
for (const type of ["pointerover", "focusin"]) layers.addEventListener(type, grow);
for (const type of ["pointerleave", "focusout"])
  layers.addEventListener(type, () => grow({ target: layers }));
layers.addEventListener("keydown", ({ key, target }) => {
  const next = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[key];
  if (target.matches(".maps canvas")) target[next]?.focus();
});

let shown = null; // the figure
// Show a figure of page/figure.py, or nothing.
const drawFigure = (figure) => {
  shown = figure ?? null;
  for (const part of [why, layers]) part.className = shown ? "figure" : "figure-to-come";
  why.querySelector("h2").textContent = shown?.heading ?? "Why?";
  if (!shown) return;
  const { digits, chosen, input, answer } = shown;
  offer("digit", "Explain:", digits.length > 1 ? digits.map((digit, k) => [k, digit]) : [], chosen);
  drawEvidence(0, input, answer, `${answer[0]}`, "against");
  compare();
  drawLayers(shown);
};
addEventListener("change", ({ target }) => {
  if (!target.closest("#why")) return;
  view[target.name] = Number(target.value);
  if (target.name === "rival") return compare();
  view.rival = null;
  ask();
});
(async () => {
  do await wait(10); while (!one("#layers")); // Gradio has put its own there
  one("#why").append(why);
  one("#layers").append(layers);
  ask();
})();
