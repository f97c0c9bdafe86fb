// What Gradio 6.31 leaves undone on the page. app.py has it run once the page has loaded.
() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
  const set = (element, attributes) =>
    Object.entries(attributes).forEach(([name, value]) => {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    });

  // Whenever the page has changed:
  const tend = () => {
    // The pad starts, after the load and after every clear, with no tool chosen: strokes are lost
    // until somebody finds the brush. Its notice that says so (.empty) is the sign to choose the
    // brush, the first of its tools, for the visitor.
    if (one("#pad .empty")) one("#pad .toolbar-wrap button")?.click();
    // A screen reader is to say the answer, and to have names for the pad and the examples.
    all("#words [data-testid=markdown-wrapper]", (e) => set(e, { "aria-live": "polite" }));
    all("#pad .image-container", (e) => set(e, { role: "group", "aria-label": "Pad to draw on" }));
    all("#answer .empty, #upload .empty", (e) => set(e, { role: "note" }));
    all(".gallery-item", (e) => {
      const file = e.querySelector("img")?.src.split("/").pop().split(".")[0];
      if (file) set(e, { "aria-label": `Example: ${file}` });
    });
  };
  new MutationObserver(tend).observe(document.body, { childList: true, subtree: true });
  tend();

  // The pad's drawing is taken, by a press on a hidden button, when a stroke has ended. Listening
  // to the pad itself would have Gradio fetch and send the drawing seven times for an answer, and
  // let an older drawing arrive after a newer one. Here there is one on its way at a time; if the
  // pad has changed meanwhile, it is dropped and the next one taken.
  let sentAt = -Infinity;
  let outdated = false;
  const take = () => {
    outdated = performance.now() - sentAt < 10_000; // a sending that failed does not block for ever
    if (outdated) return;
    sentAt = performance.now();
    one("#take").click();
  };
  const taken = (drawing) => {
    sentAt = -Infinity;
    if (!outdated) return drawing;
    take();
  };
  let onPad = false;
  addEventListener("pointerdown", (event) => (onPad = event.target.closest("#pad")), true);
  addEventListener("pointerup", () => onPad && setTimeout(take), true);

  // The pad's own tools are hidden, since they would lie on the paper; these press them. (Sending
  // the pad None empties it only the first time; its own bin does every time.)
  const press = (selector) => {
    one(`#pad .icon-button-wrapper ${selector}`).click();
    take();
  };
  const undo = () => press(".separator ~ button");
  const clear = () => press("button:last-of-type");
  document.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.closest("input"))
      undo();
  });

  window.lenet = { taken, undo, clear };
}
