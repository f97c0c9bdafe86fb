"""The process that opens pictures and answers: lines of JSON in, lines of JSON out.

`page.pool` starts `python -m page.worker`, so that the page's own process does without PyTorch,
opens no picture, and outlives a picture that crashes a decoder.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import cv2
import numpy as np
import torch
from huggingface_hub import constants
from PIL import Image

from page import fork_server
from page.answer import BRUSH_RADIUS, PAD_SIZE, with_article
from page.decode import open_picture
from page.figure import draw_figure
from page.limits import limit_process
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE, NoDigitError, check_size
from reading.reader import CONFIDENT, Reading, read
from reading.signs import MARK
from reading.weights import WeightsLoader, configured_repo

PAD_READ_AT = 320  # pixels: strokes as broad as the pad's lose nothing, in half the time
THICKNESS = BRUSH_RADIUS - 2  # of OpenCV's lines, which are broader by almost 2 pixels
WARM_UP = Path(__file__).parent.parent / "examples" / "digits" / "7-crossed.png"


class Answer(NamedTuple):
    """What the page shows of a drawing or a picture.

    Attributes
    ----------
    guesses : list of (str, float)
        The likeliest numbers, three at most, best first; none if there is nothing to read.
    words : str
        How sure the first is, or why there is none.
    figure : str
        The evidence and the layers as HTML; empty if there is nothing to read.
    boxes : list of (float, float, float, float)
        Left, top, right and bottom of each digit of the first guess, as shares of the picture's
        sides.
    """

    guesses: list[tuple[str, float]]
    words: str
    figure: str = ""
    boxes: Sequence[tuple[float, float, float, float]] = ()


def answer_upload(
    loader: WeightsLoader, path: str, digit: int = 0, rival: int | None = None
) -> Answer:
    """Answer a picture.

    Parameters
    ----------
    loader : WeightsLoader
    path : str
        Of the file.
    digit, rival : int, int or None
        What the figure is to show, as `page.figure.draw_figure` takes it.

    Returns
    -------
    answer : Answer
    """
    return _answer(loader, lambda: open_picture(path), digit, rival)


def answer_sketch(loader: WeightsLoader, layers: list[str], composite: str | None) -> Answer:
    """Answer a drawing in pictures, as `answer_upload` does a picture.

    Parameters
    ----------
    loader : WeightsLoader
    layers : list of str
        The paths of the pad's layers: ink where they are not transparent.
    composite : str or None
        Paper and ink in one picture. It is read where no layer holds ink.
    """
    return _answer(loader, lambda: _flatten(layers, composite))


def answer_strokes(
    loader: WeightsLoader, strokes: list[list[int]], digit: int = 0, rival: int | None = None
) -> Answer:
    """Answer a drawing in strokes, as `answer_upload` does a picture.

    Parameters
    ----------
    loader : WeightsLoader
    strokes : list of lists of int
        Of each, x and y in turn, pixels of the pad.
    """
    return _answer(loader, lambda: draw_strokes(strokes), digit, rival)


def draw_strokes(strokes: list[list[int]]) -> np.ndarray:
    """Draw strokes as the pad does, at half its size.

    Parameters
    ----------
    strokes : list of lists of int
        Of each, x and y in turn, pixels of the pad. One point is a dot.

    Returns
    -------
    gray : uint8 ndarray of shape (h, w)
        0 = ink, 255 = paper.
    """
    width, height = PAD_SIZE
    gray = np.full((height // 2, width // 2), 255, np.uint8)
    for stroke in strokes:
        # OpenCV counts from the middle of a pixel, here in halves of one.
        points = np.array(stroke + stroke[-2:], np.int32).reshape(-1, 1, 2) - 1
        cv2.polylines(gray, [points], False, 0, THICKNESS, cv2.LINE_AA, shift=1)
    return gray


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


def describe_answer(reading: Reading) -> str:
    """Return a sentence that names the number, as surely as the probabilities allow."""
    if reading.doubt:
        return reading.doubt
    (first, p), *others = reading.guesses
    if p >= CONFIDENT or not others:
        return f"That is {with_article(first)}."
    first, second = with_article(first), with_article(others[0][0])
    return f"It could be {first} or {second}."


def _answer(
    loader: WeightsLoader, open_image: Callable, digit: int = 0, rival: int | None = None
) -> Answer:
    """Return the answer to the picture that `open_image` opens, words alone if there is none."""
    try:
        image = open_image()
        model = loader.weights().model
        reading = read(image, model)
    except NoDigitError as reason:
        return Answer([], str(reason))
    except MemoryError:  # the process may not have more (`page.limits`)
        return Answer([], DAMAGED_MESSAGE)
    guesses, digits = reading.guesses, reading.digits
    if MARK in reading.text:  # then it is no number, and only its digits are shown
        guesses = [(reading.text, guesses[0][1])] if reading.text != MARK else []
        digits = [one for one in digits if one.is_digit]
    figure = draw_figure(digits, model, digit, rival) if digits else ""
    boxes = [tuple(round(side, 4) for side in one.box) for one in digits]
    return Answer(guesses, describe_answer(reading), figure, boxes)


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


QUESTIONS = {
    "strokes": answer_strokes,
    "sketch": answer_sketch,
    "upload": answer_upload,
    "weights": describe_weights,
}


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
