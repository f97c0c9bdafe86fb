"""The page: draw or upload a digit, and LeNet names it.

python app.py            # serves on this machine
python app.py --share    # and at a public address for a week (or GRADIO_SHARE=True)
gradio app.py            # loads this file anew when it changes
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TypedDict

from page.environment import gradio_environment

os.environ.update(gradio_environment())

import gradio as gr
import numpy as np
from fastapi import HTTPException
from gradio.data_classes import FileDataMeta
from gradio.processing_utils import save_file_to_cache
from PIL import Image

from page import gradio_patches
from page.answer import BRUSH_RADIUS, INVITATION, PAD_SIZE, check_question
from page.gate import WRONG, WRONG_ARGUMENTS
from page.launch import launch_of
from page.uploads import DeletedUploadError, NotUploadedError, resolve_upload
from page.zero_gpu import declare_gpu_function

HERE = Path(__file__).parent
EXAMPLES = sorted(map(str, (HERE / "examples" / "digits").iterdir()))
SAMPLE = {"path": "examples/digits/7-crossed.png", "meta": {"_type": "gradio.FileData"}}
SCRIPTS = ("pen", "show", "figure", "link")
CARD = str(HERE / "examples" / "page.png")  # shown where a link to the page is shared

# Limits, so that one visitor cannot stop the page for the next; page/gate.py has those of requests
MAX_LAYERS = 8  # of a drawing; the pad sends one
MAX_SECONDS = 3  # for an answer
MAX_WAITING = 500  # questions for the workers; the next client is told that the page is busy
MAX_WAITING_OF_ONE = 64  # of these, from one address: a class of pupils
MAX_RUNNING = 600  # requests in Gradio's hands: more than may wait, so that it decides nothing
MAX_UPLOAD_AGE = 3600  # s that an uploaded file stays on the server
MAX_UPLOADS = 500_000_000  # bytes of all of them
MAX_SESSIONS = 1000  # that Gradio remembers; it makes one for every call of the API
# One thread, as pictures are small. OpenCV reads how large they may be when it is imported.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WORKER_ENVIRONMENT |= {"OPENCV_IO_MAX_IMAGE_PIXELS": "16000000", "OPENCV_LOG_LEVEL": "SILENT"}

TITLE = "LeNet reads your digits"
PURPOSE = "Draw a digit or a number. A tiny 1990s neural network reads it and shows why."
ANSWER = (
    f'<p class="headline"></p><p class="words" aria-live="polite">{INVITATION}</p>'
    '<ol class="guesses"></ol><p class="thoughts"></p>'
)
KEPT = "Drawings aren't saved. Uploaded pictures are deleted after an hour."
PEN = "".join((HERE / "page" / f"{name}.js").read_text() for name in SCRIPTS)
DELETED = "This picture has been deleted. Please upload it again."
UNREADABLE = "I couldn't read this picture. Please try a PNG or JPEG."

if gr.NO_RELOAD:  # `gradio app.py` runs this file twice, and needs no second pool
    from page.pool import BusyError, NoAnswerError, WorkerPool

    pool = WorkerPool(
        (sys.executable, "-m", "page.worker"),
        cwd=HERE,
        environment=WORKER_ENVIRONMENT,
        seconds=MAX_SECONDS,
        longest_queue=MAX_WAITING,
        longest_line=MAX_WAITING_OF_ONE,
    )


def recognize(image: Image.Image | np.ndarray) -> dict[str, float]:
    """Return the probabilities of "0" to "9" in a picture of one digit.

    It is `reading.reader.recognize`; see there. PyTorch is imported only when this is called.
    """
    from reading.reader import recognize

    return recognize(image)


async def answer(question: dict, request: gr.Request) -> dict:
    """Answer what page/pen.js asks."""
    try:
        asked = check_question(question, demo.GRADIO_CACHE)
    except DeletedUploadError:
        return {"words": DELETED}
    except ValueError:
        raise HTTPException(WRONG.status_code, WRONG.detail) from None
    names = ("guesses", "words", "figure", "boxes", "headline", "kind")  # `page.worker.Answer`
    return dict(zip(names, await _ask(request, *asked), strict=False))


async def recognize_sketch(sketch: dict | None, request: gr.Request) -> tuple[dict, str, str]:
    """Read the digit, or the number, that is drawn on the pad.

    Takes {"layers": [picture, …], "composite": picture}, one of which will do. Returns what
    /upload does.
    """
    sketch = sketch or {}
    layers = [_path_of(layer) for layer in sketch.get("layers") or [] if layer]
    composite = sketch.get("composite") and _path_of(sketch["composite"])
    if len(layers) > MAX_LAYERS:
        raise gr.Error(WRONG_ARGUMENTS, print_exception=False)
    return _for_programs(*await _ask(request, "sketch", layers, composite))


async def recognize_upload(image: dict | None, request: gr.Request) -> tuple[dict, str, str]:
    """Read the digit, or the number, in a picture: a scan, a photograph, a drawing.

    Returns the three best guesses with their probabilities, a sentence (how sure the first is, or
    why there is none), and the evidence and the layers as JSON in an HTML element.
    """
    if not image:
        return {}, INVITATION, ""
    return _for_programs(*await _ask(request, "upload", _path_of(image)))


class Picture(TypedDict):
    path: str
    meta: FileDataMeta  # with it, Gradio's clients upload files themselves


class Guess(TypedDict):
    number: str
    probability: float


class Reading(TypedDict):
    guesses: list[Guess]
    words: str


async def read(picture: Picture, request: gr.Request) -> Reading:
    """Read a handwritten number of one to eight digits in a picture: scan, photograph or drawing.

    Any size will do, dark on light or light on dark. A picture is uploaded to this page first, as
    Gradio's clients do; no address is fetched. MCP takes a `data:` URL of up to 45 KB.

    Parameters:
        picture: One number, as PNG, JPEG, WebP, BMP, GIF or TIFF.

    Returns:
        guesses: up to three numbers and their probabilities, the best first; none if it is not one
        words: how sure the best guess is, or why there is none
    """  # in Gradio's form, of which it makes what programs are told
    guesses, words, *_ = await _ask(request, "upload", _path_of(picture), None)
    return {"guesses": [{"number": n, "probability": p} for n, p in guesses], "words": words}


async def describe_weights(request: gr.Request) -> str:
    """Return a line that says which weights answer."""
    try:
        return await pool.ask("weights", client=request.client.host)
    except (NoAnswerError, BusyError):
        return ""


def _path_of(file: dict) -> str:
    """Return the path of an upload on this server."""
    try:
        return str(resolve_upload(file, demo.GRADIO_CACHE))
    except NotUploadedError:
        raise gr.Error(WRONG_ARGUMENTS, print_exception=False) from None


async def _ask(request: gr.Request, *question) -> list:
    """Return the worker's answer to a question (`page.worker.Answer`): guesses, words, …"""
    try:
        return await pool.ask(*question, client=request.client.host)
    except (NoAnswerError, BusyError) as reason:
        return [[], str(reason) or UNREADABLE, None, []]


def _for_programs(guesses: list, words: str, figure: dict | None, *_) -> tuple[dict, str, str]:
    """Return what /sketch and /upload return, for Gradio's components."""
    best = label.postprocess(dict(guesses)).model_dump() if guesses else {}
    data = f'<script type="application/json">{json.dumps(figure)}</script>' if figure else ""
    return best, words, data


LIGHT, DARK = "#faf8f4", "#161513"  # paper and ink: the evidence alone is colored
THEME = gr.themes.Base(
    neutral_hue="stone",
    primary_hue="stone",
    radius_size="sm",
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(body_background_fill=LIGHT, body_background_fill_dark=DARK, color_accent=DARK)

with gr.Blocks(title=TITLE, analytics_enabled=False) as demo:
    gr.Markdown(f"# {TITLE}\n{PURPOSE}", elem_id="head")
    with gr.Row(elem_id="top"):
        gr.HTML(ANSWER, elem_id="answer", js_on_load=PEN, server_functions=[answer])
        with gr.Column(elem_id="given"):
            with gr.Tabs():
                with gr.Tab("Draw") as draw_tab:
                    pad = gr.Sketchpad(
                        elem_id="pad",
                        type="pil",
                        canvas_size=PAD_SIZE,
                        fixed_canvas=True,
                        brush=gr.Brush(BRUSH_RADIUS, colors=["#000000"], color_mode="fixed"),
                        layers=False,
                        transforms=(),
                        label="Pad to draw a number on",
                        show_label=False,
                    )
                    with gr.Row(elem_id="tools"):
                        for name in ("Undo", "Redo", "Clear", "Share"):
                            tool = gr.Button(name, min_width=60)
                            tool.click(None, js=f"() => lenet.{name.lower()}()")
                with gr.Tab("Picture") as picture_tab:
                    upload = gr.Image(
                        elem_id="upload",
                        type="pil",
                        image_mode=None,  # as it is: converting here would lose depth, or alpha
                        sources=["upload", "clipboard", "webcam"],
                        label="A picture of one number",
                        show_label=False,
                    )
                    # When this file is reloaded, gr.Image takes nothing any more but uploads.
                    examples = [save_file_to_cache(file, demo.GRADIO_CACHE) for file in EXAMPLES]
                    gr.Examples(examples, upload, label="Or one of these")
            gr.HTML(f'<span id="copied" role="status"></span>{KEPT}', elem_id="kept")
        gr.HTML(elem_id="why")
    gr.HTML(elem_id="layers")
    source = gr.Markdown(elem_id="source")

    upload.change(None, upload, js="(picture) => lenet.look(picture)")
    draw_tab.select(None, js="() => lenet.turn('pad')")
    picture_tab.select(None, js="() => lenet.turn('picture')")
    demo.load(describe_weights, outputs=source, api_visibility="private", show_progress="hidden")

    # What follows is for programs: nothing on the page asks for it.
    label = gr.Label(num_top_classes=3, label="guesses", visible=False)
    words, figure = gr.Textbox(label="words", visible=False), gr.HTML(label="figure", visible=False)
    outputs = [label, words, figure]
    # Files are not opened here: the components have nothing to prepare.
    how = {"preprocess": False, "postprocess": False, "concurrency_limit": None}
    gr.on([], recognize_sketch, pad, outputs, api_name="sketch", **how)
    gr.on([], recognize_upload, upload, outputs, api_name="upload", **how)
    gr.api(read, api_name="read", concurrency_limit=None)
    pad.example_payload = lambda: {"layers": [], "composite": SAMPLE}
    upload.example_payload = lambda: SAMPLE


demo.queue(max_size=MAX_RUNNING, status_update_rate=10)  # nobody is shown a place in the queue
gradio_patches.patch(demo)
upload.keep_in_cache.add(card := save_file_to_cache(CARD, demo.GRADIO_CACHE))
gradio_patches.replace_card(PURPOSE, card)
declare_gpu_function()


LAUNCH = {  # what can only be said at launch
    "theme": THEME,
    "css_paths": [HERE / "page" / "style.css", HERE / "page" / "figure.css"],
    "max_threads": MAX_RUNNING,
    "state_session_capacity": MAX_SESSIONS,
    "run_history": False,
    "num_workers": 0,  # Gradio's own would serve uploads past the gate
    "ssr_mode": False,  # Node's server: 120 MB, and a start that fails if it takes 3 s to answer
}
demo.launch = launch_of(demo, pool, MAX_UPLOAD_AGE, MAX_UPLOADS, LAUNCH)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument("--share", action="store_true", help="serve it at a public address, too")
    demo.launch(share=parser.parse_args().share or None)
