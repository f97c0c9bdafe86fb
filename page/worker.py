"""The process that opens pictures and answers: lines of JSON in, lines of JSON out.

`page.pool` starts `python -m page.worker`, so that the page's own process does without PyTorch,
opens no picture, and outlives a picture that crashes a decoder.
"""

import json
import logging
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
import torch
from huggingface_hub import constants
from PIL import Image

from lenet import LeNet
from page import fork_server
from page.decode import open_picture
from page.figure import draw_layers
from page.limits import limit_process
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE, NoDigitError, check_size
from reading.preprocess import IMAGE_SIZE
from reading.reader import CONFIDENT, DOUBT_MESSAGE, EITHER_CONFIDENT, read_digit
from reading.weights import WeightsLoader, configured_repo

PAD_READ_AT = 200  # pixels: strokes as broad as the pad's lose nothing, in half the time
WARM_UP = Path(__file__).parent.parent / "examples" / "digits" / "7-crossed.png"

Answer = tuple[dict[str, float], str, str]  # probabilities, words, the layers as HTML


def answer_upload(loader: WeightsLoader, path: str) -> Answer:
    """Answer a picture: what the page shows of it.

    Parameters
    ----------
    loader : WeightsLoader
    path : str
        Of the file.

    Returns
    -------
    probabilities : dict of str to float
        Of "0" to "9"; empty if there is nothing to read.
    words : str
        How sure the answer is, or why there is none.
    layers : str
        The layers of the network as HTML; empty if there is nothing to read.
    """
    return _answer(loader, lambda: open_picture(path))


def answer_sketch(loader: WeightsLoader, layers: list[str], composite: str | None) -> Answer:
    """Answer a drawing, as `answer_upload` does a picture.

    Parameters
    ----------
    loader : WeightsLoader
    layers : list of str
        The paths of the pad's layers: ink where they are not transparent.
    composite : str or None
        Paper and ink in one picture. It is read where no layer holds ink: a caller of the API
        may send it alone, and under load the pad has sent empty layers beside a composite with
        the drawing.
    """
    return _answer(loader, lambda: _flatten(layers, composite))


def describe_weights(loader: WeightsLoader) -> str:
    """Return a line that says which weights answer, how good they are, and since when.

    Has newer ones looked for: it is asked for when a visitor comes.
    """
    loader.refresh()
    loader.wait_for_accuracy(0.5)  # seconds: somebody may have drawn a digit meanwhile
    weights = loader.weights()
    if weights.origin == "embedded":
        words = "The weights that came with this page answer"
    elif weights.origin == "cache":
        words = "Weights from the local cache answer; the Hub could not be reached"
    else:
        address = f"{constants.ENDPOINT}/{weights.repo_id}"
        words = f"Weights: [{weights.repo_id}@{weights.commit[:7]}]({address}), from the Hub"
    if weights.accuracy is not None:
        words += f". They read {weights.accuracy:.2%} of MNIST's test pictures right"
    return f"{words}. Since {weights.loaded_at:%Y-%m-%d %H:%M} UTC."


def describe_answer(probabilities: dict[str, float]) -> str:
    """Return a sentence that names the digit, as surely as the probabilities allow.

    Parameters
    ----------
    probabilities : dict of str to float
        Of "0" to "9".

    Returns
    -------
    sentence : str
    """
    (first, p), (second, q) = sorted(probabilities.items(), key=lambda item: -item[1])[:2]
    if p + q < EITHER_CONFIDENT:
        return DOUBT_MESSAGE
    if p >= CONFIDENT:
        return f"That is {_with_article(first)}."
    first, second = _with_article(first).capitalize(), _with_article(second)
    return f"{first} or {second}: the network is not sure."


def _with_article(digit: str) -> str:
    """Return "a 7", but "an 8"."""
    return f"an {digit}" if digit == "8" else f"a {digit}"


def _answer(loader: WeightsLoader, open_image) -> Answer:
    """Return the answer to the picture that `open_image` opens, words alone if there is none."""
    try:
        image = open_image()
        model = loader.weights().model
        reading = read_digit(image, model)
    except NoDigitError as reason:
        return {}, str(reason), ""
    except MemoryError:  # the process may not have more (`page.limits`)
        return {}, DAMAGED_MESSAGE, ""
    probabilities = reading.probabilities
    blank = _layers_of_blank_paper(model)
    figure = draw_layers(reading.digit, reading.layers, blank, list(probabilities.values()))
    return probabilities, describe_answer(probabilities), figure


@lru_cache(1)
def _layers_of_blank_paper(model: LeNet) -> list[np.ndarray]:
    """Return what each layer computes of blank paper."""
    with torch.inference_mode():
        layers = model.layers(torch.zeros(1, 1, IMAGE_SIZE, IMAGE_SIZE))
    return [layer[0].numpy() for layer in layers]


def _flatten(layers: list[str], composite: str | None) -> Image.Image:
    """Return the pad's layers, black on white, in one picture; else the composite."""
    opened = [open_picture(path) for path in layers]
    check_size(*opened)
    inked = [alpha for alpha in map(_to_alpha, opened) if alpha.getbbox()]
    if not inked:
        if composite is None:
            raise NoDigitError(NOTHING_MESSAGE)
        return open_picture(composite)
    paper = Image.new("L", inked[0].size, "white")
    for alpha in inked:
        paper.paste("black", (0, 0), alpha)
    return paper


def _to_alpha(layer: Image.Image) -> Image.Image:
    """Return how opaque a layer is, mode L, no larger than it is read at."""
    try:
        alpha = (layer if layer.mode == "RGBA" else layer.convert("RGBA")).getchannel("A")
    except Exception as error:
        raise NoDigitError(DAMAGED_MESSAGE) from error
    return alpha.reduce(max(1, max(alpha.size) // PAD_READ_AT))


QUESTIONS = {"sketch": answer_sketch, "upload": answer_upload, "weights": describe_weights}


def answer_lines(questions: TextIO, answers: TextIO) -> None:
    """Answer each line, [question, argument, …] as JSON, with a line of JSON.

    Parameters
    ----------
    questions, answers : text files
        The first line of the answers is `fork_server.ready_line()`.
    """
    with WeightsLoader(*configured_repo()) as loader:
        answer_upload(loader, str(WARM_UP))  # so that what it needs is loaded before the limits
        limit_process()
        print(fork_server.ready_line(), end="", file=answers, flush=True)
        for line in questions:
            question, *arguments = json.loads(line)
            print(json.dumps(QUESTIONS[question](loader, *arguments)), file=answers, flush=True)


def main() -> None:
    """Serve as the pool's program. No thread may start here: it would not survive the fork."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # where the processors are busy, the page goes first
    torch.set_num_threads(1)  # whatever the environment says
    cv2.setNumThreads(1)
    torch.backends.mkldnn.set_flags(False)  # made for more than one small picture at a time
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    logging.basicConfig(format="%(message)s")
    fork_server.serve(answer_lines)


if __name__ == "__main__":
    main()
