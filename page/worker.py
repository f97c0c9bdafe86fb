"""The worker process: it opens pictures, reads them, and answers in lines of JSON.

`page.pool` starts `python -m page.worker`. So the page's own process needs no PyTorch, and
survives a picture that crashes a decoder.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import cv2
import numpy as np
import torch
from huggingface_hub import constants

from page.decode import open_picture
from page.figure import explain
from page.limits import limit_process, serve
from page.requests import BRUSH_RADIUS, INVITATION, PAD_SIZE, with_article
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE, NoDigitError, shrink
from reading.reader import CONFIDENT, GUESS_COUNT, DigitReading, Reading, read
from reading.signs import DOUBT_MESSAGE
from reading.weights import WeightsLoader, configured_repo

PAD_READ_AT = 320  # pixels, half the pad's size: reads the same in half the time
THICKNESS = BRUSH_RADIUS - 2  # at half size; OpenCV draws lines almost 2 pixels thicker
WARM_UP = Path(__file__).parent.parent / "examples" / "digits" / "7-crossed.png"


class Answer(NamedTuple):
    """What the page shows for a drawing or a picture."""

    guesses: list[tuple[str, float]]  # up to three numbers and probabilities, best first
    words: str  # a sentence: how sure the first guess is, or why there is none
    figure: dict | None = None  # the result of `page.figure.explain`
    boxes: Sequence[tuple[float, ...]] = ()  # each digit's left, top, right, bottom, in [0, 1]
    headline: str = ""
    kind: str = ""  # "sure", "two" likely guesses, "mark", "none" (no digit), "" without guesses


def answer_upload(loader: WeightsLoader, path: str, digit: int | None = 0) -> Answer:
    """Read an uploaded picture; `digit` is the index of the digit to explain, None for none."""
    return _answer(loader, lambda: open_picture(path), digit, nothing=NOTHING_MESSAGE)


def answer_sketch(loader: WeightsLoader, layers: list[str], composite: str | None) -> Answer:
    """Read the layers of a drawing, or its composite if they are empty."""
    return _answer(loader, lambda: _flatten(layers, composite))


def answer_strokes(loader: WeightsLoader, strokes: list, digit: int | None = 0) -> Answer:
    """Read strokes; `digit` None, while the pen moves, skips cuts, doubts and explanation."""
    return _answer(loader, lambda: draw_strokes(strokes), digit, cut=digit is not None)


def draw_strokes(strokes: list[list[int]]) -> np.ndarray:
    """Draw strokes, each [x, y, x, y, …] in pixels of the pad, black on white at half its size."""
    width, height = PAD_SIZE
    gray = np.full((height // 2, width // 2), 255, np.uint8)
    for stroke in strokes:
        # OpenCV's coordinates start at the middle of the first pixel; shift=1 halves them.
        points = np.array(stroke + stroke[-2:], np.int32).reshape(-1, 1, 2) - 1
        cv2.polylines(gray, [points], False, 0, THICKNESS, cv2.LINE_AA, shift=1)
    return gray


def describe_weights(loader: WeightsLoader) -> str:
    """Return a sentence that names the weights and their accuracy."""
    loader.wait_for_accuracy(0.5)  # seconds; no longer, since a visitor's drawing may wait
    weights = loader.weights()
    words = {"embedded": "Bundled weights", "cache": "Cached weights (the Hub's can't be loaded)"}
    repo, commit = weights.repo_id, (weights.commit or "")[:7]
    link = f"Weights: [{repo}@{commit}]({constants.ENDPOINT}/{repo}), from the Hub"
    said = words.get(weights.origin, link)
    if weights.accuracy is not None:
        said += f": {weights.accuracy:.2%} of MNIST's test digits right"
    return f"{said}."


def describe_answer(reading: Reading) -> str:
    """Return the page's sentence for a reading, for programs that measure readings."""
    return _decide(reading, reading.doubt)[2]


def _decide(reading: Reading, doubt: str) -> tuple[str, str, str]:
    """Return the kind, headline and sentence of an `Answer`."""
    (first, p), *others = reading.guesses
    named = with_article(first)
    if doubt == DOUBT_MESSAGE:
        return "none", "Not a digit?", f"{DOUBT_MESSAGE} My best guess is {named}."
    if doubt:
        return "mark", reading.text, doubt
    if p >= CONFIDENT or not others:
        return "sure", first, f"That is {named}."
    second = others[0][0]
    return "two", f"{first} or {second}?", f"It could be {named} or {with_article(second)}."


def _answer(loader, open_image: Callable, digit=0, cut=True, nothing=INVITATION) -> Answer:
    """Read the picture that `open_image` returns; the answer is only a sentence if it raises."""
    try:
        image = open_image()
        model = loader.weights().model
        reading = read(image, model, cut)
    except NoDigitError as reason:
        return Answer([], nothing if str(reason) == NOTHING_MESSAGE else str(reason))
    except MemoryError:  # the limit of `page.limits`
        return Answer([], DAMAGED_MESSAGE)
    kind, headline, words = _decide(reading, reading.doubt if cut else "")
    guesses, digits = reading.guesses, reading.digits
    if kind == "mark":
        digits = [one for one in digits if one.is_digit]
        guesses = _guesses_with_marks(reading.text, digits)
    figure = None if digit is None else explain(digits, model, digit)
    if figure:
        digit = with_article(str(figure["answer"][0]))
        subject = headline if kind == "two" and len(digits) == 1 else f"{digit}?"
        figure["heading"] = f"Why it looks like {digit}" if kind == "none" else f"Why {subject}"
    boxes = [tuple(round(side, 4) for side in one.box) for one in digits if kind != "none"]
    return Answer(guesses, words, figure, boxes, headline, kind)


def _guesses_with_marks(text: str, digits: Sequence[DigitReading]) -> list[tuple[str, float]]:
    """Return the three likeliest readings of a text with marks, such as "3 ? 4" and "8 ? 4"."""
    best = [("", 1.0)]
    for one in digits:
        longer = [(n + d, p * q) for n, p in best for d, q in one.probabilities.items()]
        best = sorted(longer, key=lambda guess: -guess[1])[:GUESS_COUNT]
    template = re.sub(r"\d", "{}", text)
    return [(template.format(*number), p) for number, p in best]


def _flatten(layers: list[str], composite: str | None) -> np.ndarray:
    """Return a drawing's layers in one picture, black on white; the composite if they are empty."""
    inked = []
    for path in layers:
        pixels = open_picture(path)
        if pixels.ndim < 3 or pixels.shape[2] < 4 or pixels[..., 3].min() == 255:
            return pixels  # an opaque layer includes the paper
        longest = max(pixels.shape[:2])
        if (alpha := shrink(pixels[..., 3], longest // max(1, longest // PAD_READ_AT))).any():
            inked.append(alpha)
    if not inked:
        if composite is None:
            raise NoDigitError(NOTHING_MESSAGE)
        return open_picture(composite)
    paper = np.full_like(inked[0], 255)
    for alpha in inked:
        height, width = np.minimum(alpha.shape, paper.shape)
        under = paper[:height, :width]
        under[:] = cv2.multiply(under, 255 - alpha[:height, :width], scale=1 / 255)
    return paper


HANDLERS = {
    "strokes": answer_strokes,
    "sketch": answer_sketch,
    "upload": answer_upload,
    "weights": describe_weights,
}


def answer_lines(requests: TextIO, answers: TextIO) -> None:
    """Answer each line [number, [request, argument, …]] with [number, answer], both JSON."""
    with WeightsLoader(*configured_repo()) as loader:
        answer_upload(loader, str(WARM_UP))  # loads all modules, which the limits might prevent
        limit_process()
        print(os.getpid(), file=answers, flush=True)
        for line in requests:
            number, (request, *arguments) = json.loads(line)
            loader.refresh()  # at each request, so that both workers soon use the same weights
            answer = HANDLERS[request](loader, *arguments)
            print(json.dumps([number, answer]), file=answers, flush=True)


def main() -> None:
    """Serve as the pool's program. No thread may start here, since a fork doesn't copy threads."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)  # the page's own process goes first
    torch.set_num_threads(1)  # overrides the environment
    cv2.setNumThreads(1)
    torch.backends.mkldnn.set_flags(False)  # slower for one small picture
    # Decoders write about broken files to stderr. It is closed to them, and open to Python's log.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    logging.basicConfig(format="%(message)s")
    serve(answer_lines)


if __name__ == "__main__":
    main()
