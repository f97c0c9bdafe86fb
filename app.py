"""The page: draw or upload a number, and LeNet reads it.

python app.py            # serves the page on this machine
python app.py --share    # also at a public address for a week (or GRADIO_SHARE=True)
gradio app.py            # also reloads this file when it changes
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
from page.gate import WRONG, WRONG_ARGUMENTS
from page.launch import make_launch
from page.requests import BRUSH_RADIUS, INVITATION, PAD_SIZE, check_request
from page.uploads import DeletedUploadError, NotUploadedError, resolve_upload
from page.zero_gpu import declare_gpu_function

HERE = Path(__file__).parent
EXAMPLES = sorted(map(str, (HERE / "examples" / "digits").iterdir()))
SAMPLE = {"path": "examples/digits/7-crossed.png", "meta": {"_type": "gradio.FileData"}}
SCRIPTS = ("pen", "show", "figure", "link")
CARD = str(HERE / "examples" / "page.png")  # preview of a shared link to the page

# Limits, so that no visitor can stop the page for others. page/gate.py limits requests further.
MAX_LAYERS = 8  # layers of a drawing; the pad sends one
MAX_SECONDS = 3  # timeout of an answer
MAX_WAITING = 500  # requests that wait for a worker; further ones get "The page is busy"
MAX_WAITING_OF_ONE = 64  # of these, requests from one address, such as a school's
MAX_RUNNING = 600  # requests that Gradio serves; more than MAX_WAITING: the pool refuses first
MAX_UPLOAD_AGE = 3600  # seconds until an upload is deleted
MAX_UPLOAD_BYTES = 500_000_000  # bytes of all uploads
MAX_SESSIONS = 1000  # sessions that Gradio remembers; each call of the API makes one
# One thread, since pictures are small. OpenCV reads its limit of pixels when it is imported.
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WORKER_ENVIRONMENT |= {"OPENCV_IO_MAX_IMAGE_PIXELS": "16000000", "OPENCV_LOG_LEVEL": "SILENT"}

TITLE = "LeNet reads your digits"
PURPOSE = "Draw a digit or a number. A tiny 1990s neural network reads it and shows why."
ANSWER = (
    f'<p class="headline"></p><p class="words" aria-live="polite">{INVITATION}</p>'
    '<ol class="guesses"></ol><p class="thoughts"></p>'
)
KEPT = "The server keeps no drawings. It deletes uploaded pictures after an hour."
SCRIPT = "".join((HERE / "page" / f"{name}.js").read_text() for name in SCRIPTS)
DELETED = "This picture has been deleted. Please upload it again."
FAILED = "I couldn't read this drawing. Please try again."
UNREADABLE = "I couldn't read this picture. Please try again, or try another one."

if gr.NO_RELOAD:  # `gradio app.py` runs this file again after changes, but needs one pool
    from page.pool import BusyError, NoAnswerError, WorkerPool

    pool = WorkerPool(
        (sys.executable, "-m", "page.worker"),
        cwd=HERE,
        environment=WORKER_ENVIRONMENT,
        seconds=MAX_SECONDS,
        max_waiting=MAX_WAITING,
        max_waiting_of_one=MAX_WAITING_OF_ONE,
    )


def recognize(image: Image.Image | np.ndarray) -> dict[str, float]:
    """Return the probabilities of "0" to "9"; see `reading.reader.recognize`."""
    # The page's process must not import PyTorch, but a program that calls this does.
    from reading.reader import recognize

    return recognize(image)


async def answer(sent: dict, request: gr.Request) -> dict:
    """Answer a request of page/pen.js."""
    try:
        asked = check_request(sent, demo.GRADIO_CACHE)
    except DeletedUploadError:
        return {"guesses": [], "words": DELETED}
    except ValueError:
        raise HTTPException(WRONG.status_code, WRONG.detail) from None
    names = ("guesses", "words", "figure", "boxes", "headline", "kind")  # `page.worker.Answer`
    return dict(zip(names, await _ask(request, *asked), strict=False))


async def recognize_sketch(sketch: dict | None, request: gr.Request) -> tuple[dict, str, str]:
    """Read the number in a drawing.

    Takes {"layers": [picture, …], "composite": picture}; the composite is used if the layers are
    empty. Returns the same as /upload.
    """
    sketch = sketch or {}
    layers = [_path_of(layer) for layer in sketch.get("layers") or [] if layer]
    composite = sketch.get("composite") and _path_of(sketch["composite"])
    if len(layers) > MAX_LAYERS:
        raise gr.Error(WRONG_ARGUMENTS, print_exception=False)
    return _for_programs(*await _ask(request, "sketch", layers, composite))


async def recognize_upload(image: dict | None, request: gr.Request) -> tuple[dict, str, str]:
    """Read the number in a picture: a scan, a photograph or a drawing.

    Returns up to three numbers with their probabilities ({} without a number), a sentence that says
    how sure the best one is, and HTML that holds the evidence and the layers as JSON.
    """
    if not image:
        return {}, INVITATION, ""
    return _for_programs(*await _ask(request, "upload", _path_of(image)))


class Picture(TypedDict):
    path: str
    meta: FileDataMeta  # tells Gradio's clients to upload the file


class Guess(TypedDict):
    number: str
    probability: float


class Reading(TypedDict):
    guesses: list[Guess]
    words: str


async def read(picture: Picture, request: gr.Request) -> Reading:
    """Read a handwritten number of one to eight digits in a picture: scan, photograph or drawing.

    It may have any size and be dark on light or light on dark. Upload the picture to this page
    first, as Gradio's clients do. In MCP, send a `data:` URL of up to 45 KB; no other URL works.

    Parameters:
        picture: One number, as PNG, JPEG, WebP, GIF, BMP, AVIF, PPM or TIFF.

    Returns:
        guesses: up to three numbers and their probabilities, best first; empty without a number
        words: how sure the best guess is, or why there is none
    """  # Gradio makes the API's documentation from this docstring
    guesses, words, *_ = await _ask(request, "upload", _path_of(picture), None)
    return {"guesses": [{"number": n, "probability": p} for n, p in guesses], "words": words}


async def describe_weights(request: gr.Request) -> str:
    """Return a sentence that names the weights; empty if no worker answers."""
    try:
        return await pool.ask("weights", client=request.client.host)
    except (NoAnswerError, BusyError):
        return ""


def _path_of(file: dict) -> str:
    """Return the path of an upload; raise gr.Error for any other file."""
    try:
        return str(resolve_upload(file, demo.GRADIO_CACHE))
    except NotUploadedError:
        raise gr.Error(WRONG_ARGUMENTS, print_exception=False) from None


async def _ask(request: gr.Request, *asked) -> list:
    """Return a worker's answer (`page.worker.Answer`), or one that says why there is none."""
    try:
        return await pool.ask(*asked, client=request.client.host)
    except (NoAnswerError, BusyError) as reason:
        return [[], str(reason) or (FAILED if asked[0] == "strokes" else UNREADABLE), None, []]


def _for_programs(guesses: list, words: str, figure: dict | None, *_) -> tuple[dict, str, str]:
    """Return an answer as /sketch and /upload do: label, sentence, HTML."""
    best = label.postprocess(dict(guesses)).model_dump() if guesses else {}
    data = f'<script type="application/json">{json.dumps(figure)}</script>' if figure else ""
    return best, words, data


LIGHT, DARK = "#faf8f4", "#161513"  # paper and ink; only the evidence is colored
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
        gr.HTML(ANSWER, elem_id="answer", js_on_load=SCRIPT, server_functions=[answer])
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
                        image_mode=None,  # a conversion here would lose depth or alpha
                        sources=["upload", "clipboard", "webcam"],
                        label="A picture of one number",
                        show_label=False,
                    )
                    # After a reload, the patched gr.Image accepts only uploads, even as examples.
                    examples = [save_file_to_cache(file, demo.GRADIO_CACHE) for file in EXAMPLES]
                    gr.Examples(examples, upload, label="Or one of these")
            gr.HTML(f'<span id="copied" role="status"></span>{KEPT}', elem_id="kept")
        gr.HTML(elem_id="why")
    gr.HTML(elem_id="layers")
    source = gr.Markdown(elem_id="source")

    upload.change(None, upload, js="(picture) => lenet.look(picture)")
    draw_tab.select(None, js="() => lenet.switchTab('pad')")
    picture_tab.select(None, js="() => lenet.switchTab('picture')")
    demo.load(describe_weights, outputs=source, api_visibility="private", show_progress="hidden")

    # The rest is the API for other programs; the page doesn't use it.
    label = gr.Label(num_top_classes=3, label="guesses", visible=False)
    words, figure = gr.Textbox(label="words", visible=False), gr.HTML(label="figure", visible=False)
    outputs = [label, words, figure]
    # The components needn't prepare anything, since the workers open the files.
    how = {"preprocess": False, "postprocess": False, "concurrency_limit": None}
    gr.on([], recognize_sketch, pad, outputs, api_name="sketch", **how)
    gr.on([], recognize_upload, upload, outputs, api_name="upload", **how)
    endpoint = gr.api(read, api_name="read", concurrency_limit=None)
    demo.fns[endpoint["id"]].inputs[0].example_payload = lambda: SAMPLE
    pad.example_payload = lambda: {"layers": [], "composite": SAMPLE}
    upload.example_payload = lambda: SAMPLE


demo.queue(max_size=MAX_RUNNING, status_update_rate=10)  # s; the page shows no position in it
gradio_patches.patch(demo)
upload.keep_in_cache.add(card := save_file_to_cache(CARD, demo.GRADIO_CACHE))
gradio_patches.replace_card(PURPOSE, card)
declare_gpu_function()


LAUNCH = {  # options that Gradio takes only at launch
    "theme": THEME,
    "css_paths": [HERE / "page" / "style.css", HERE / "page" / "figure.css"],
    "max_threads": MAX_RUNNING,
    "state_session_capacity": MAX_SESSIONS,
    "run_history": False,
    "num_workers": 0,  # Gradio's workers would serve uploads past the gate
    "ssr_mode": False,  # Node.js takes 120 MB, and the start fails if it takes 3 s to answer
}
demo.launch = make_launch(demo, pool, MAX_UPLOAD_AGE, MAX_UPLOAD_BYTES, LAUNCH)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument("--share", action="store_true", help="also serve it at a public address")
    demo.launch(share=parser.parse_args().share or None)
