"""The page: draw or upload a digit, and LeNet names it.

python app.py            # serves on this machine
python app.py --share    # and at a public address for a week (or GRADIO_SHARE=True)
"""

import argparse
import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

import gradio as gr
import numpy as np
import torch
from PIL import Image

from lenet import LeNet, load_model
from preprocess import DAMAGED, NoDigitError, to_mnist

HERE = Path(__file__).parent
CANVAS = 400  # pixels, the side of the pad; it is drawn at this size, smaller on a phone
BRUSH = 14  # pixels, the radius: a digit that fills the pad gets strokes as broad as MNIST's
INVITATION = "Draw one digit, 0 to 9, as large as you like."
DOUBT = "Is that a digit? The network is not sure that it sees one."
SURE = 0.7  # the first guess's probability; how many fall below it: benchmarks/real_digits.py
EXAMPLES = sorted(str(file) for file in (HERE / "examples").glob("[0-9]*.png"))

CHECK_EVERY = 600  # seconds, at least, between looks for newer weights on the Hub


def load() -> tuple[LeNet, str, datetime]:
    """Load the weights: the model, where it is from (as `load_model` says), since when."""
    return *load_model(), datetime.now(UTC)


# Loaded beside the server's start, so that a slow Hub does not hold up the page.
loader = ThreadPoolExecutor(1)
loading = loader.submit(load)
checked = time.monotonic()


def look_for_newer_weights() -> None:
    """Have what a maintainer has pushed since answer soon; what answers now does until then.

    Called when a visitor comes. A Hub that does not answer, or has damaged weights, changes
    nothing.
    """
    global checked
    if not loading.done() or time.monotonic() - checked < CHECK_EVERY:
        return
    checked = time.monotonic()

    def take_over(newer: Future) -> None:
        global loading
        source, now = newer.result()[1], loading.result()[1]
        if "@" in source and source != now:
            loading = newer

    loader.submit(load).add_done_callback(take_over)


def recognize(image: Image.Image | np.ndarray) -> dict[str, float]:
    """Name the digit in a picture.

    Parameters
    ----------
    image : whatever `preprocess.to_mnist` takes

    Returns
    -------
    probabilities : dict of str to float
        Of "0" to "9"; they sum to 1. Calibrated: of the answers given at 90 %, 9 in 10 are right.

    Raises
    ------
    NoDigitError
        If there is nothing to read; the message is fit for the page.
    """
    model, *_ = loading.result()
    digit = torch.from_numpy(to_mnist(image))
    with torch.inference_mode():
        probabilities = (model(digit[None, None]) / model.temperature).softmax(1)[0]
    return {str(name): p for name, p in enumerate(probabilities.tolist())}


def recognize_sketch(sketch: dict | None) -> tuple[dict, str]:
    """Answer a drawing on the pad, as gr.ImageEditor gives it: the label, and a line of words."""
    return answer(flatten(sketch))


def recognize_upload(image: Image.Image | NoDigitError | None) -> tuple[dict, str]:
    """Answer an uploaded picture: the label, and a line of words."""
    return answer(image)


def answer(image: Image.Image | NoDigitError | None) -> tuple[dict, str]:
    if image is None:
        return {}, INVITATION
    if isinstance(image, NoDigitError):
        return {}, str(image)
    try:
        probabilities = recognize(image)
    except NoDigitError as nothing:
        return {}, str(nothing)
    return probabilities, "" if max(probabilities.values()) >= SURE else DOUBT


def flatten(sketch: dict | None) -> Image.Image | None:
    """Make one picture of the pad's layers, black on white; None of a pad that was not touched.

    Ink is where the layers are not transparent; the composite is opaque all over. It is read
    where no layer holds ink: a caller of the API may send it alone, and under load the pad has
    sent empty layers beside a composite with the drawing.
    """
    if not sketch:
        return None
    layers = [layer.convert("RGBA").getchannel("A") for layer in sketch.get("layers") or []]
    inked = [layer for layer in layers if layer.getbbox()]
    if not inked:
        return sketch.get("composite")
    paper = Image.new("L", inked[0].size, "white")
    for layer in inked:
        paper.paste("black", mask=layer)
    return paper


def forgiving(preprocess):
    """Wrap gr.Image's own opening of a file, so that one that is no picture is answered.

    It comes before any function of ours, and its exception would leave the last answer
    standing. (A subclass of gr.Image would make Gradio write an app.pyi.)
    """

    def open_picture(payload):
        try:
            return preprocess(payload)
        except Exception:
            return NoDigitError(DAMAGED)

    return open_picture


def provenance() -> str:
    """Say which weights answer, and since when."""
    look_for_newer_weights()
    _, source, since = loading.result()
    if source == "embedded":
        metrics = json.loads((HERE / "weights" / "metrics.json").read_text())
        accuracy = f"{metrics['test_accuracy']:.2%} right on MNIST's 10,000 test pictures"
        words = f"The weights that came with this page answer: {accuracy}"
    elif source == "cache":
        words = "Weights from the local cache answer; the Hub could not be reached"
    else:
        words = f"Weights: {source}, from the Hub"
    return f"{words}. Since {since:%Y-%m-%d %H:%M} UTC."


# The pad of Gradio 6.31 starts, after the load and after every clear, with no tool chosen:
# strokes are lost until somebody finds the brush. Its notice that says so (.empty) is the
# sign to choose the brush, the first of its tools, for the visitor.
ARM_PAD = """() => {
  const pad = document.getElementById("pad");
  const arm = () => {
    if (pad.querySelector(".empty")) pad.querySelector(".toolbar-wrap button")?.click();
  };
  new MutationObserver(arm).observe(pad, {childList: true, subtree: true});
  arm();
}"""
# Sending the pad None empties it only the first time; its own bin does every time.
CLEAR_PAD = (
    """() => document.querySelector("#pad .icon-button-wrapper button:last-of-type").click()"""
)
# Undo, redo and the bin are all the tools that a digit needs. The others stay in the page,
# since ARM_PAD presses one of them.
STYLE = """
#pad .toolbar-wrap, #pad .empty {display: none}
#pad .icon-button-wrapper > :not(.separator ~ button) {display: none}
"""

with gr.Blocks(title="LeNet reads your digit") as demo:
    gr.Markdown(
        "# LeNet reads your digit\n"
        "A network of 61,706 numbers, after LeCun's of the 1990s, names the digit you write."
    )
    with gr.Row():
        with gr.Column(), gr.Tabs():
            with gr.Tab("Draw"):
                pad = gr.Sketchpad(
                    elem_id="pad",
                    type="pil",
                    canvas_size=(CANVAS, CANVAS),
                    fixed_canvas=True,
                    height=460,
                    brush=gr.Brush(default_size=BRUSH, colors=["#000000"], color_mode="fixed"),
                    layers=False,
                    transforms=(),
                    label="Pad to draw a digit on",
                    show_label=False,
                )
                clear = gr.Button("Clear")
            with gr.Tab("Upload"):
                upload = gr.Image(
                    elem_id="upload",
                    type="pil",
                    image_mode=None,  # as it is: converting here would lose depth, or alpha
                    sources=["upload", "clipboard", "webcam"],
                    label="A picture of one digit",
                    height=460,
                )
                upload.preprocess = forgiving(upload.preprocess)
                gr.Examples(EXAMPLES, upload)
        with gr.Column():
            label = gr.Label(elem_id="answer", num_top_classes=3, label="Three best guesses")
            words = gr.Markdown(INVITATION, elem_id="words")
    source = gr.Markdown(elem_id="source")

    live = {"show_progress": "hidden", "trigger_mode": "always_last", "concurrency_limit": 4}
    pad.change(recognize_sketch, pad, [label, words], api_name="sketch", **live)
    upload.change(recognize_upload, upload, [label, words], api_name="upload", **live)
    clear.click(None, js=CLEAR_PAD)
    demo.load(None, js=ARM_PAD)
    demo.load(provenance, outputs=source, api_visibility="private")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument("--share", action="store_true", help="give it a public address, too")
    share = parser.parse_args().share or None
    demo.launch(css=STYLE, run_history=False, share=share)
