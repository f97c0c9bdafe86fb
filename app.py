"""The page: draw or upload a digit, and LeNet names it.

python app.py            # serves on this machine
python app.py --share    # and at a public address for a week (or GRADIO_SHARE=True)
"""

import argparse
import asyncio
import logging
import os
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

# Read when gradio, torch and numpy are imported. Many visitors share the processor, so that one
# thread an answer is less work in all.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import cv2
import gradio as gr
import numpy as np
import torch
from huggingface_hub import constants
from PIL import Image

from explain import draw_layers
from lenet import LeNet, load_accuracy, load_model
from preprocess import DAMAGED, NoDigitError, to_mnist

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
# Limits, for the sake of the next visitor.
LARGEST_FILE = "20mb"
QUEUE = 500  # visitors who wait for an answer; the next is told that the page is busy
KEPT = 3600  # seconds that an uploaded file stays on the server
SESSIONS = 1000  # remembered, 50 KB each: Gradio makes one for every call of the API
Image.MAX_IMAGE_PIXELS = 32_000_000  # Pillow opens twice as many; to_mnist has a limit of its own
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
CANVAS = 400  # pixels, the side of the pad; it is drawn at this size, smaller on a phone
BRUSH = 14  # pixels, the radius: a digit that fills the pad gets strokes as broad as MNIST's
IN_PASSING = 3_000_000  # pixels: a JPEG or PNG of no more is read too fast to be worth a thread
PAD_READ_AT = 200  # pixels: so broad a stroke loses nothing by it, and it takes half the time
INVITATION = "Draw one digit, 0 to 9, as large as you like."
NOT_TAKEN = "That is not what this endpoint takes: “Use via API”, below the page, says what is."
DOUBT = "Is that a digit? The network is not sure that it sees one."
BETWEEN = 0.9  # the first two guesses' probability, for it to be one of them
SURE = 0.7  # the first guess's probability; how many fall below it: benchmarks/real_digits.py
EXAMPLES = sorted(map(str, (HERE / "examples" / "digits").iterdir()))

CHECK_EVERY = 600  # seconds, at least, between looks for newer weights on the Hub


def load() -> tuple[LeNet, str, Future, datetime]:
    """Load the weights: the model, its source (`load_model`), its accuracy to come, since when."""
    model, source = load_model()
    # Its accuracy afterwards: no answer is to wait for it.
    return model, source, loader.submit(load_accuracy, source), datetime.now(UTC)


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
    return probabilities_of(model, layers_of(model, to_mnist(image)))


def layers_of(model: LeNet, digit: np.ndarray) -> list[np.ndarray]:
    """Give what each of the network's steps makes of a picture in MNIST's form."""
    with torch.inference_mode():
        return [layer[0].numpy() for layer in model.layers(torch.from_numpy(digit)[None, None])]


def probabilities_of(model: LeNet, layers: list[np.ndarray]) -> dict[str, float]:
    logits = layers[-1].astype(np.float64) / model.temperature
    powers = np.exp(logits - logits.max())
    return {str(name): p for name, p in enumerate((powers / powers.sum()).tolist())}


@lru_cache(1)
def layers_of_blank_paper(model: LeNet) -> list[np.ndarray]:
    return layers_of(model, np.zeros((28, 28), np.float32))


async def recognize_sketch(sketch: dict | NoDigitError | None) -> tuple[dict, str, str]:
    """Read the digit that is drawn on the pad.

    Takes {"layers": [picture, …], "composite": picture}, one of which will do. Gives the three
    best guesses with their probabilities, a line of words (why there is no guess, or how sure it
    is), and the layers of the network as HTML.
    """
    # Without a thread: beside many visitors, one waits for its turn longer than this takes.
    if not loading.done():
        await asyncio.wrap_future(loading)
    return answer(sketch if isinstance(sketch, NoDigitError) else flatten(sketch))


async def recognize_upload(image: Image.Image | NoDigitError | None) -> tuple[dict, str, str]:
    """Read the digit in a picture: a scan, a photograph, a drawing.

    Gives the three best guesses with their probabilities, a line of words (why there is no guess,
    or how sure it is), and the layers of the network as HTML.
    """
    if isinstance(image, Image.Image):
        in_passing = image.format in ("JPEG", "PNG") and image.width * image.height <= IN_PASSING
        if not in_passing or not loading.done():
            return await asyncio.to_thread(answer, image)
    return answer(image)


def answer(image: Image.Image | NoDigitError | None) -> tuple[dict, str, str]:
    """Give the three things that the page shows of a picture: guesses, words, layers."""
    if image is None:
        return {}, INVITATION, ""
    if isinstance(image, NoDigitError):
        return {}, str(image), ""
    try:
        digit = to_mnist(image)
    except NoDigitError as nothing:
        return {}, str(nothing), ""
    model, *_ = loading.result()
    layers = layers_of(model, digit)
    probabilities = probabilities_of(model, layers)
    blank = layers_of_blank_paper(model)
    return (
        probabilities,
        say(probabilities),
        draw_layers(digit, layers, blank, [*probabilities.values()]),
    )


def say(probabilities: dict[str, float]) -> str:
    """Put an answer into words, as sure as it is."""
    (first, p), (second, q) = sorted(probabilities.items(), key=lambda item: -item[1])[:2]
    if p >= SURE:
        return f"That is {article(first)}."
    if p + q >= BETWEEN:
        return f"{article(first).capitalize()} or {article(second)}: the network is not sure."
    return DOUBT


def article(digit: str) -> str:
    return f"an {digit}" if digit == "8" else f"a {digit}"


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
    return paper.reduce(max(1, max(paper.size) // PAD_READ_AT))


def forgiving(preprocess):
    """Wrap a component's own opening of a file, so that one that is no picture is answered.

    It comes before any function of ours, and its exception would leave the last answer standing.
    """

    def open_picture(self, payload):
        try:
            return preprocess(self, payload)
        except Exception:
            return NoDigitError(DAMAGED)

    return open_picture


def fetch_nothing(move):
    """Wrap a component's own fetching of a file: from this server's uploads, not from elsewhere."""

    async def move_upload(self, path):
        if path and "://" in str(path):
            raise gr.Error("Send the picture itself, not its address.", print_exception=False)
        return await move(self, path)

    return move_upload


# The classes are changed, since Gradio makes new components of them for a visitor, and would
# write a file app.pyi for subclasses.
del gr.ImageEditor.accept_blobs  # keeps in memory whatever is sent; the pad here sends files
for component in (gr.Image, gr.ImageEditor):
    component.preprocess = forgiving(component.preprocess)
    component.async_move_resource_to_block_cache = fetch_nothing(
        component.async_move_resource_to_block_cache
    )


def refuse_kindly(blocks: gr.Blocks) -> None:
    """Have arguments that no endpoint takes refused with a sentence, and one line in the log.

    They come from scripts; Gradio's own answer is empty, and its log a traceback for each.
    """
    preprocess_data = blocks.preprocess_data

    async def preprocess(*arguments, **named):
        try:
            return await preprocess_data(*arguments, **named)
        except gr.Error:
            raise
        except Exception as error:
            log.warning("Refused a call: %s", type(error).__name__)
            raise gr.Error(NOT_TAKEN, print_exception=False) from None

    blocks.preprocess_data = preprocess


def provenance() -> str:
    """Say which weights answer, and since when."""
    look_for_newer_weights()
    _, source, accuracy, since = loading.result()
    accuracy = accuracy.result()
    if source == "embedded":
        words = "The weights that came with this page answer"
    elif source == "cache":
        words = "Weights from the local cache answer; the Hub could not be reached"
    else:
        name = source.partition("@")[0]
        words = f"Weights: [{source}]({constants.ENDPOINT}/{name}), from the Hub"
    if accuracy is not None:
        words += f". They read {accuracy:.2%} of MNIST's test pictures right"
    return f"{words}. Since {since:%Y-%m-%d %H:%M} UTC."


PAPER, NIGHT, ACCENT = "#faf8f4", "#161513", "#c2410c"
THEME = gr.themes.Base(
    neutral_hue="stone",
    primary_hue="orange",
    radius_size="sm",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill=PAPER,
    body_background_fill_dark=NIGHT,
    color_accent=ACCENT,
)

with gr.Blocks(title="LeNet reads your digit", delete_cache=(KEPT, KEPT)) as demo:
    gr.Markdown(
        "# LeNet reads your digit\n"
        "Draw one. A network of 61,706 numbers, after LeCun's of the 1990s, names it.",
        elem_id="head",
    )
    with gr.Row(elem_id="top"):
        with gr.Column(scale=2), gr.Tabs():
            with gr.Tab("Draw") as draw_tab:
                pad = gr.Sketchpad(
                    elem_id="pad",
                    type="pil",
                    canvas_size=(CANVAS, CANVAS),
                    fixed_canvas=True,
                    brush=gr.Brush(default_size=BRUSH, colors=["#000000"], color_mode="fixed"),
                    layers=False,
                    transforms=(),
                    label="Pad to draw a digit on",
                    show_label=False,
                )
                drawing = gr.Sketchpad(visible=False, type="pil", label="A drawing")
                take = gr.Button(visible="hidden", elem_id="take")
                with gr.Row(elem_id="tools"):
                    undo = gr.Button("Undo", min_width=80)
                    clear = gr.Button("Clear", min_width=80)
            with gr.Tab("Picture") as picture_tab:
                upload = gr.Image(
                    elem_id="upload",
                    type="pil",
                    image_mode=None,  # as it is: converting here would lose depth, or alpha
                    sources=["upload", "clipboard", "webcam"],
                    label="A picture of one digit",
                    height=300,
                )
                gr.Examples(EXAMPLES, upload, label="Or one of these")
        with gr.Column(scale=3):
            label = gr.Label(elem_id="answer", num_top_classes=3, label="Three best guesses")
            words = gr.Markdown(INVITATION, elem_id="words")
            why = gr.HTML(elem_id="why", label="The layers of the network")
            gr.DeepLinkButton("Link to this answer", size="sm")
    source = gr.Markdown(elem_id="source")

    answers = [label, words, why]
    live = {"show_progress": "hidden", "trigger_mode": "always_last"}
    draw = {"fn": recognize_sketch, "inputs": drawing, "concurrency_limit": 4, **live}
    # A second thread for pictures would only contend with the first, and with the server's own.
    look = {"fn": recognize_upload, "inputs": upload, "concurrency_limit": 1, **live}
    take.click(None, pad, drawing, js="drawing => lenet.taken(drawing)")
    drawing.change(**draw, outputs=answers, api_name="sketch")
    upload.change(**look, outputs=answers, api_name="upload")
    # Each tab has an answer of its own.
    draw_tab.select(**draw, outputs=answers, api_visibility="private")
    picture_tab.select(**look, outputs=answers, api_visibility="private")
    undo.click(None, js="() => lenet.undo()")
    clear.click(None, js="() => lenet.clear()")
    demo.load(None, js=(HERE / "page.js").read_text())
    # A link brings the drawing back; it is to be seen on the pad.
    demo.load(None, drawing, pad, js="sketch => sketch ?? undefined")
    refuse_kindly(demo)
    demo.load(provenance, outputs=source, api_visibility="private", show_progress="hidden")


def serve(share: bool | None = None) -> None:
    """Serve the page, with its limits, until the process ends."""
    cv2.setNumThreads(1)
    torch.backends.mkldnn.set_flags(False)  # made for more than one small picture at a time
    demo.queue(max_size=QUEUE)
    demo.launch(
        theme=THEME,
        css_paths=[HERE / "style.css"],
        max_file_size=LARGEST_FILE,
        state_session_capacity=SESSIONS,
        run_history=False,
        share=share,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument("--share", action="store_true", help="give it a public address, too")
    serve(parser.parse_args().share or None)
