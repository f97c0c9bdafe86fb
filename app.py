"""The page: draw or upload a digit, and LeNet names it.

python app.py            # serves on this machine
python app.py --share    # and at a public address for a week (or GRADIO_SHARE=True)

What is drawn or uploaded is read in a process of its own (page/worker.py, asked by page/pool.py).
"""

import argparse
import logging
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

# Read when gradio is imported. Of 10,000 past events it would list all after each answer.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

import gradio as gr
import numpy as np
from PIL import Image

from page.pool import NoAnswer, Reader

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
# Limits, for the sake of the next visitor.
LARGEST_FILE = "20mb"
LONGEST_URL = 28_000_000  # characters of a picture that is sent as a data: URL: as much
LAYERS = 8  # of a drawing; the pad sends one
IN_HAND = 16  # answers at once: the reader gives one after another, and more are in the way
QUEUE = 500  # visitors who wait for an answer; the next is told that the page is busy
KEPT = 3600  # seconds that an uploaded file stays on the server
SESSIONS = 1000  # remembered, 50 KB each: Gradio makes one for every call of the API
CANVAS = 400  # pixels, the side of the pad; it is drawn at this size, smaller on a phone
BRUSH = 14  # pixels, the radius: a digit that fills the pad gets strokes as broad as MNIST's
INVITATION = "Draw one digit, 0 to 9, as large as you like."
UNREADABLE = "This picture could not be read: it is damaged, or takes too long."
NOT_TAKEN = "That is not what this endpoint takes: “Use via API”, below the page, says what is."
EXAMPLES = sorted(map(str, (HERE / "examples" / "digits").iterdir()))

reader = Reader(sys.executable, "-m", "page.worker", cwd=HERE)


def recognize(image: Image.Image | np.ndarray) -> dict[str, float]:
    """Name the digit in a picture: what both endpoints show, from Python (`answer.recognize`).

    Gives the calibrated probabilities of "0" to "9"; raises `preprocess.NoDigitError`, with a
    message that is fit for the page, if there is nothing to read.
    """
    from page import worker as answer  # not at the top, since the page does without PyTorch

    return answer.recognize(image)


async def recognize_sketch(sketch: dict | None) -> tuple[dict, str, str]:
    """Read the digit that is drawn on the pad.

    Takes {"layers": [picture, …], "composite": picture}, one of which will do. Gives the three
    best guesses with their probabilities, a line of words (why there is no guess, or how sure it
    is), and the layers of the network as HTML.
    """
    sketch = sketch or {}
    layers = [source_of(layer) for layer in sketch.get("layers") or [] if layer]
    composite = sketch.get("composite") and source_of(sketch["composite"])
    if len(layers) > LAYERS:
        raise gr.Error(NOT_TAKEN, print_exception=False)
    if not layers and not composite:
        return guesses({}, INVITATION, "")
    return await ask("sketch", layers, composite)


async def recognize_upload(image: dict | None) -> tuple[dict, str, str]:
    """Read the digit in a picture: a scan, a photograph, a drawing.

    Gives the three best guesses with their probabilities, a line of words (why there is no guess,
    or how sure it is), and the layers of the network as HTML.
    """
    if not image:
        return guesses({}, INVITATION, "")
    return await ask("upload", source_of(image))


def source_of(file: dict) -> str:
    """Give where a picture is: the path of an upload on this server, or a data: URL."""
    url = file.get("url") or ""
    source = url if url.startswith("data:") else file["path"]
    if not source or len(source) > LONGEST_URL:
        raise gr.Error(NOT_TAKEN, print_exception=False)
    return source


async def ask(*question) -> tuple[dict, str, str]:
    try:
        return guesses(*await reader.ask(*question))
    except NoAnswer:
        return guesses({}, UNREADABLE, "")


def guesses(probabilities: dict, words: str, layers: str) -> tuple[dict, str, str]:
    """Give what the three components that show an answer are sent."""
    best = label.postprocess(probabilities).model_dump() if probabilities else {}
    return best, words, layers


async def provenance() -> str:
    """Say which weights answer, and since when."""
    try:
        return await reader.ask("provenance")
    except NoAnswer:
        return ""


async def fetch_nothing(self, path):
    """Take a file that was uploaded to this server; fetch none from elsewhere."""
    if path and "://" in str(path):
        raise gr.Error("Send the picture itself, not its address.", print_exception=False)
    return await move_upload(self, path)


# The classes are changed, since Gradio makes new components of them for a visitor, and would
# write a file app.pyi for subclasses.
del gr.ImageEditor.accept_blobs  # keeps in memory whatever is sent; the pad here sends files
move_upload = gr.Image.async_move_resource_to_block_cache
for component in (gr.Image, gr.ImageEditor):
    component.async_move_resource_to_block_cache = fetch_nothing


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
    live = {
        "show_progress": "hidden",
        "trigger_mode": "always_last",
        # Files are not opened here, so the components have nothing to prepare, for which Gradio
        # would change threads four times an answer; the reader takes one question after another.
        "preprocess": False,
        "postprocess": False,
        "concurrency_limit": None,
    }
    draw = {"fn": recognize_sketch, "inputs": drawing, **live}
    look = {"fn": recognize_upload, "inputs": upload, **live}
    take.click(None, pad, drawing, js="drawing => lenet.taken(drawing)")
    drawing.change(**draw, outputs=answers, api_name="sketch")
    upload.change(**look, outputs=answers, api_name="upload")
    # Each tab has an answer of its own.
    draw_tab.select(**draw, outputs=answers, api_visibility="private")
    picture_tab.select(**look, outputs=answers, api_visibility="private")
    undo.click(None, js="() => lenet.undo()")
    clear.click(None, js="() => lenet.clear()")
    demo.load(None, js=(HERE / "page" / "pen.js").read_text())
    # A link brings the drawing back; it is to be seen on the pad.
    demo.load(None, drawing, pad, js="sketch => sketch ?? undefined")
    refuse_kindly(demo)
    demo.load(provenance, outputs=source, api_visibility="private", show_progress="hidden")


@asynccontextmanager
async def with_reader(server):
    reader.start()
    yield
    await reader.stop()


def serve(share: bool | None = None) -> None:
    """Serve the page, with its limits, until the process ends."""
    demo.queue(max_size=QUEUE, status_update_rate=10)  # nobody is shown a place in the queue
    demo.launch(
        theme=THEME,
        css_paths=[HERE / "page" / "style.css"],
        max_file_size=LARGEST_FILE,
        max_threads=IN_HAND,
        state_session_capacity=SESSIONS,
        run_history=False,
        share=share,
        app_kwargs={"lifespan": with_reader},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument("--share", action="store_true", help="give it a public address, too")
    serve(parser.parse_args().share or None)
