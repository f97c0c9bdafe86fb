// What Gradio 6.31 leaves undone on the page. app.py has it run once the page has loaded.
() => {
  const one = (selector) => document.querySelector(selector);
  const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
  const set = (element, attributes) =>
    Object.entries(attributes).forEach(([name, value]) => {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    });

  // The pad's own tools, by what stays the same in every language.
  const BRUSH = "#pad button[aria-label='Brush']";
  const UNDO = "#pad button:has(svg[aria-label='undo'])";
  const CLEAR = "#pad button[aria-label='Clear canvas']";

  // Whenever the page has changed:
  const update = () => {
    // The pad starts, after the load and after every clear, with no tool chosen: strokes are lost
    // until somebody finds the brush. Its notice that says so (.empty) is the sign to choose the
    // brush for the visitor.
    if (one("#pad .empty")) one(BRUSH)?.click();
    // A screen reader is to say the answer, and to have names for the pad and the examples.
    all("#words [data-testid=markdown-wrapper]", (e) => set(e, { "aria-live": "polite" }));
    all("#pad .image-container", (e) => set(e, { role: "group", "aria-label": "Pad to draw on" }));
    all("#answer .empty, #upload .empty", (e) => set(e, { role: "note" }));
    all(".gallery-item", (e) => {
      const file = e.querySelector("img")?.src.split("/").pop().split(".")[0];
      if (file) set(e, { "aria-label": `Example: ${file}` });
    });
  };
  new MutationObserver(update).observe(document.body, { childList: true, subtree: true });
  update();

  // The drawing is sent, by a click on a hidden button, when a stroke has ended. A listener on the
  // pad itself would have Gradio fetch and send the drawing seven times for an answer, and let an
  // older drawing arrive after a newer one. Here there is one on its way at a time; if the pad has
  // changed meanwhile, it is dropped and the next one sent.
  let sentAt = -Infinity;
  let outdated = false;
  const send = () => {
    outdated = performance.now() - sentAt < 10_000; // one that failed does not block for ever
    if (outdated) return;
    sentAt = performance.now();
    one("#send").click();
  };
  const sent = (drawing) => {
    sentAt = -Infinity;
    if (!outdated) return drawing;
    send();
  };
  let onPad = false;
  addEventListener("pointerdown", (event) => (onPad = event.target.closest("#pad")), true);
  addEventListener("pointerup", () => onPad && setTimeout(send), true);

  // The pad's own tools are hidden, since they would lie on the paper; these click them. (Sending
  // the pad None empties it only the first time; its own bin does every time.)
  const click = (tool) => {
    one(tool).click();
    send();
  };
  const undo = () => click(UNDO);
  const clear = () => click(CLEAR);
  document.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.closest("input"))
      undo();
  });

  window.lenet = { sent, undo, clear };
}
