// The explanation: paints the numbers of page/figure.py on canvases, in elements that stay.
const SHADES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+";
// Two colors that color-blind people can tell apart (Okabe and Ito 2008).
const [MORE, LESS] = [[0, 114, 178], [213, 94, 0]];
const MAPS = [
  ["C1", "convolution", "6 maps of 28×28", 28, 3],
  ["S2", "pooling", "6 maps of 14×14", 14, 3, "C1"],
  ["C3", "convolution", "16 maps of 10×10", 10, 4],
  ["S4", "pooling", "16 maps of 5×5", 5, 4, "C3"],
];
const LINES = [["F5", "linear", "120 numbers", 12], ["F6", "linear", "84 numbers", 12]];

// A value's color, [red, green, blue, opacity]: on paper, over a picture, as ink.
const onPaperColor = (v) => [...(v > 0 ? MORE : LESS).map((c) => 255 + Math.abs(v) * (c - 255)), 255];
const overPicture = (v) => [...(v > 0 ? MORE : LESS), 255 * Math.abs(v)];
const asInk = (v) => [0, 0, 0, 70 * (v + 1)];

const unpack = (letters) => [...letters].map((letter) => (SHADES.indexOf(letter) - 31) / 31);
// Return the means of two by two values of square maps, the largest of which is 1.
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
const make = (tag, html = "", kind = "") => {
  const element = document.createElement(tag);
  element.innerHTML = html;
  element.className = kind;
  return element;
};
const signed = (n) => `${n < 0 ? "−" : "+"}${Math.abs(n).toFixed(1)}`;
const sum = (name, [gains, losses, blank, score]) =>
  `${gains.toFixed(1)} for − ${(-losses).toFixed(1)} against ${signed(blank).replace(/^./, "$& ")} ` +
  `head start: <b>${name} ${signed(score)}</b>`;

const evidenceMap = (input, [, map, parts], title, name) => {
  const figure = make("figure", `<div class="title">${title}</div><div class="places"><canvas></canvas>` +
    `<canvas></canvas></div><figcaption>${sum(name, parts)}</figcaption>`);
  const [ink, places] = figure.querySelectorAll("canvas");
  fill(ink, unpack(input), 28, 28, asInk);
  fill(places, unpack(map), 10, 10, overPicture);
  return figure;
};
const layer = ([name, kind, size], content, attributes = "") =>
  make("figure", `<div ${attributes}>${content}</div><figcaption><b>${name}</b> <span>${kind}</span>` +
    `<small>${size}</small></figcaption>`);
const choice = (name, value, checked, content) =>
  `<label><input type="radio" name="${name}" value="${value}"${checked ? " checked" : ""}>${content}</label>`;

const drawDigits = ({ digits, chosen }) => {
  const row = make("fieldset", "<legend>Explain:</legend>" + digits.map(([digit], k) =>
    choice("digit", k, k === chosen, `<canvas></canvas><b>${digit}</b>`)).join(""), "digits");
  row.querySelectorAll("canvas").forEach((canvas, k) => fill(canvas, unpack(digits[k][1]), 14, 14, asInk));
  return row;
};
const drawEvidence = ({ input, guesses, rivals, rival, output }) => {
  const row = make("div", "", "evidence");
  for (const guess of guesses)
    row.append(evidenceMap(input, guess, `<b>${guess[0]}</b> <span>${percent(output[guess[0]])}</span>`, "score"));
  const first = guesses[0][0];
  const rivalNow = rivals.some(([digit]) => digit === view.rival) ? view.rival : rival;
  const why = make("fieldset", `<legend>Why not ${rivals.map(([digit]) =>
    choice("rival", digit, digit === rivalNow, digit)).join("")}?</legend>`);
  const compare = (digit) => {
    why.querySelector("figure")?.remove();
    const other = rivals.find(([one]) => one === digit);
    why.append(evidenceMap(input, other, "", `${first} leads ${digit} by`));
  };
  compare(rivalNow);
  why.addEventListener("change", ({ target }) => compare(Number(target.value)));
  row.append(why);
  return row;
};
const drawLayers = ({ input, layers, kernels, output }) => {
  const row = make("div", "", "layers");
  row.append(layer(["Input", "scaled like MNIST", "28×28 pixels"], '<canvas class="received"></canvas>'));
  fill(row.querySelector("canvas"), unpack(input), 28, 28, asInk);
  for (const entry of MAPS) {
    const [name, , size, side, columns, pooled] = entry;
    const count = parseInt(size);
    const values = pooled ? pool(unpack(layers[pooled]), 2 * side) : unpack(layers[name]);
    const maps = layer(entry, '<canvas tabindex="-1"></canvas>'.repeat(count),
      `class="maps" style="--columns:${columns}"`);
    maps.querySelectorAll("canvas").forEach((canvas, n) => {
      fill(canvas, values, side, side, onPaperColor, n * side * side);
      const grow = () => {
        const large = make("div", "<canvas></canvas>", "large");
        fill(large.firstChild, values, side, side, onPaperColor, n * side * side);
        if (kernels[name]) {
          const channels = kernels[name].length / count / 25;
          large.append(make("canvas"));
          fill(large.lastChild, unpack(kernels[name]), 5, 5 * channels, onPaperColor, n * 25 * channels);
        }
        maps.firstChild.append(large);
      };
      const shrink = () => maps.querySelector(".large")?.remove();
      for (const type of ["pointerenter", "focus"]) canvas.addEventListener(type, () => (shrink(), grow()));
      for (const type of ["pointerleave", "blur"]) canvas.addEventListener(type, shrink);
    });
    row.append(maps);
  }
  for (const entry of LINES) {
    const line = layer(entry, '<canvas class="line"></canvas>');
    const values = unpack(layers[entry[0]]);
    fill(line.querySelector("canvas"), values, entry[3], values.length / entry[3], onPaperColor);
    row.append(line);
  }
  const best = Math.max(...output);
  row.append(layer(["Output", "softmax", "10 probabilities"], `<ol class="bars">${output.map((p, digit) =>
    `<li${p === best ? " class=best" : ""}><span style="height:${100 * p}%"></span>${digit}</li>`).join("")}</ol>`));
  return row;
};

// Show a figure of page/figure.py, or nothing.
const drawFigure = (figure) => {
  const place = one("#why");
  place.querySelector(".figure")?.remove();
  if (!figure) return;
  const first = figure.guesses[0][0];
  const all = make("div", "", "figure");
  if (figure.digits.length > 1) all.append(drawDigits(figure));
  all.append(make("h2", `Why ${first === 8 ? "an" : "a"} ${first}?`), drawEvidence(figure),
    make("p", '<i class="more"></i> speaks for the digit, <i class="less"></i> against it. ' +
      "The 100 patches add up to the score. The highest score wins.", "legend"),
    make("h2", "The layers"), drawLayers(figure),
    make("p", '<i class="more"></i> more than for a blank page, <i class="less"></i> less. ' +
      "Point at a map or tap it to enlarge it and see its filter.", "legend"));
  place.append(all);
};
