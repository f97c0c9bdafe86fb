"""A picture of a digit becomes an answer: its ten probabilities, words, the network's layers.

    recognize(Image.open("seven.png"))    # {"0": …, …, "9": …}

Run as a program, it answers the page's questions (`reader.Reader`), so that the page's own process
does without PyTorch and opens no picture.
"""

import base64
import io
import json
import logging
import os
import sys
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import lru_cache

# Read when torch and numpy are imported: for pictures this small, more threads are more work.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import cv2
import numpy as np
import torch
from huggingface_hub import constants
from PIL import Image

from lenet import LeNet, load_accuracy, load_model
from page.figure import draw_layers
from reading.preprocess import DAMAGED, NOTHING, NoDigitError, refuse_if_large, to_mnist

Image.MAX_IMAGE_PIXELS = 32_000_000  # Pillow opens twice as many; to_mnist has a limit of its own
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
PAD_READ_AT = 200  # pixels: so broad a stroke loses nothing by it, and it takes half the time
DOUBT = "Is that a digit? The network is not sure that it sees one."
BETWEEN = 0.9  # the first two guesses' probability, for it to be one of them
SURE = 0.7  # the first guess's probability; how many fall below it: benchmarks/real_digits.py

# The weights

CHECK_EVERY = 600  # seconds, at least, between looks for newer weights on the Hub


def load() -> tuple[LeNet, str, Future, datetime]:
    """Load the weights: the model, its source (`load_model`), its accuracy to come, since when."""
    model, source = load_model()
    # Its accuracy afterwards: no answer is to wait for it.
    return model, source, loader.submit(load_accuracy, source), datetime.now(UTC)


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


def provenance() -> str:
    """Say which weights answer, how good they are, and since when."""
    look_for_newer_weights()
    _, source, accuracy, since = loading.result()
    if source == "embedded":
        words = "The weights that came with this page answer"
    elif source == "cache":
        words = "Weights from the local cache answer; the Hub could not be reached"
    else:
        name = source.partition("@")[0]
        words = f"Weights: [{source}]({constants.ENDPOINT}/{name}), from the Hub"
    wait([accuracy], timeout=0.5)  # somebody may have drawn a digit meanwhile
    if accuracy.done() and accuracy.result() is not None:
        words += f". They read {accuracy.result():.2%} of MNIST's test pictures right"
    return f"{words}. Since {since:%Y-%m-%d %H:%M} UTC."


# The answer


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


def answer(image: Image.Image) -> tuple[dict, str, str]:
    """Give the three things that the page shows of a picture: guesses, words, layers.

    Raises what `recognize` does.
    """
    digit = to_mnist(image)
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


# The page's questions


def answer_upload(source: str) -> tuple[dict, str, str]:
    """Answer a picture, in a file or a data: URL; words alone where there is nothing to read."""
    return answer_kindly(open_picture, source)


def answer_sketch(layers: list[str], composite: str | None) -> tuple[dict, str, str]:
    """Answer a drawing, as the pad sends it (`flatten`), likewise."""
    return answer_kindly(flatten, layers, composite)


def answer_kindly(picture_of, *sources) -> tuple[dict, str, str]:
    try:
        return answer(picture_of(*sources))
    except NoDigitError as nothing:
        return {}, str(nothing), ""


def open_picture(source: str) -> Image.Image:
    try:
        if source.startswith("data:"):
            return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
        return Image.open(source)
    except Exception as error:  # Pillow's formats raise whatever a broken file makes them
        raise NoDigitError(DAMAGED) from error


def flatten(layers: list[str], composite: str | None) -> Image.Image:
    """Make one picture of the pad's layers, black on white.

    Ink is where the layers are not transparent; the composite is opaque all over. It is read
    where no layer holds ink: a caller of the API may send it alone, and under load the pad has
    sent empty layers beside a composite with the drawing.
    """
    inked = [alpha for alpha in map(open_layer, layers) if alpha.getbbox()]
    if not inked:
        if composite is None:
            raise NoDigitError(NOTHING)
        return open_picture(composite)
    paper = Image.new("L", inked[0].size, "white")
    for alpha in inked:
        paper.paste("black", (0, 0), alpha)
    return paper


def open_layer(source: str) -> Image.Image:
    """Give how opaque a layer is, mode L, no larger than it is read at."""
    layer = open_picture(source)
    refuse_if_large(layer)
    try:
        alpha = (layer if layer.mode == "RGBA" else layer.convert("RGBA")).getchannel("A")
    except Exception as error:
        raise NoDigitError(DAMAGED) from error
    return alpha.reduce(max(1, max(alpha.size) // PAD_READ_AT))


QUESTIONS = {"sketch": answer_sketch, "upload": answer_upload, "provenance": provenance}


def main() -> None:
    """Answer each line of JSON on standard input, [question, argument, …], with another."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # where the processors are busy, the page goes first
    cv2.setNumThreads(1)
    torch.backends.mkldnn.set_flags(False)  # made for more than one small picture at a time
    logging.basicConfig(format="%(message)s")
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            question, *arguments = json.loads(line)
            print(json.dumps(QUESTIONS[question](*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
