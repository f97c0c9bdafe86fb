"""A picture becomes the number that is written in it, or the probabilities of one digit.

read(Image.open("postcode.png")).guesses    # [("75005", 0.93), ("75006", 0.02), …]
recognize(Image.open("seven.png"))          # {"0": …, …, "9": …}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from lenet import LeNet
from reading import lattice
from reading.candidates import Candidates, find_candidates, only_candidate
from reading.ink import find_ink
from reading.paper import SMALL_SIDE
from reading.parts import choose_line, find_parts
from reading.picture import NoDigitError, load_pixels, to_gray
from reading.preprocess import frame, to_mnist
from reading.small import restore
from reading.stroke_width import BOX_SIZE, shrink_strokes, stroke_width
from reading.weights import configured_repo, load_weights

DIGITS = "0123456789"
GUESSES = 3  # that are returned
MOST_DIGITS = 8  # of a number
CONFIDENT = 0.7  # the likeliest digit's probability
EITHER_CONFIDENT = 0.9  # the two likeliest digits' probability: letters have less, more often than
# they have a low first one; a 1 and a 7 may be one shape; shares below: benchmarks/real_digits.py
SMALLEST = 0.5  # of the tallest digit's height: of 800 written numbers two have a smaller digit
RIVAL = 0.25  # of the best guess's probability: a likely rival's doubts are told, too

DOUBT_MESSAGE = "Is that a digit? The network is not sure that it sees one."
LONG_MESSAGE = "That is more than eight digits. A shorter number, please."


@dataclass(frozen=True)
class DigitReading:
    """What the network made of one digit.

    Attributes
    ----------
    digit : float32 ndarray of shape (28, 28)
        The picture that the network received, in MNIST's form: 0 = paper, 1 = ink.
    layers : list of float32 ndarrays
        As `LeNet.layers` computes them, without the batch's dimension.
    probabilities : dict of str to float
        Of "0" to "9", calibrated; they sum to 1.
    box : tuple of four floats
        Left, top, right and bottom of the digit's ink, as shares of the picture's width and
        height. Of a picture that is read as one digit whatever it holds, all of it.
    is_digit : bool
        Whether it seems to be a digit at all.
    """

    digit: np.ndarray
    layers: list[np.ndarray]
    probabilities: dict[str, float]
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    is_digit: bool = True


@dataclass(frozen=True)
class Reading:
    """What was read in a picture of a number.

    Attributes
    ----------
    guesses : list of (str, float)
        The likeliest numbers, three at most, best first, with their calibrated probabilities.
    digits : list of DigitReading
        The digits of the best guess, from left to right.
    doubt : str
        A sentence, fit for the page, if something in the picture is no digit; else empty.
    """

    guesses: list[tuple[str, float]]
    digits: list[DigitReading]
    doubt: str


def read_digit(image: Image.Image | np.ndarray, model: LeNet) -> DigitReading:
    """Read the digit in a picture.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `reading.preprocess.to_mnist` takes it.
    model : LeNet
        In eval mode, on the CPU.

    Returns
    -------
    reading : DigitReading

    Raises
    ------
    NoDigitError
        If there is nothing to read; the message is fit for the page.
    """
    digit = to_mnist(image)
    with torch.inference_mode():
        layers = model.layers(torch.from_numpy(digit)[None, None])
        probabilities = model.probabilities(layers[-1].double())[0].tolist()
    return DigitReading(
        digit, [layer[0].numpy() for layer in layers], dict(zip(DIGITS, probabilities, strict=True))
    )


def recognize(image: Image.Image | np.ndarray, model: LeNet | None = None) -> dict[str, float]:
    """Return the probabilities of the ten digits in a picture of one.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `reading.preprocess.to_mnist` takes it.
    model : LeNet, optional
        The default is that of `reading.weights.load_weights`, loaded at the first call.

    Returns
    -------
    probabilities : dict of str to float
        Of "0" to "9"; they sum to 1. Calibrated: of the answers given at 90 %, 9 in 10 are right.

    Raises
    ------
    NoDigitError
        If there is nothing to read; the message is fit for the page.
    """
    return read_digit(image, model or _default_model()).probabilities


def read(image: Image.Image | np.ndarray, model: LeNet | None = None) -> Reading:
    """Read the number in a picture: one to eight digits in a row.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `reading.preprocess.to_mnist` takes it.
    model : LeNet, optional
        In eval mode, on the CPU. The default is as in `recognize`.

    Returns
    -------
    reading : Reading

    Raises
    ------
    NoDigitError
        If there is nothing to read, or more than a number; the message is fit for the page.
    """
    model = model or _default_model()
    candidates, boxes = candidates_of(image)
    with torch.inference_mode():
        layers = model.layers(torch.from_numpy(candidates.digits)[:, None])
        logits = layers[-1].double()
        probabilities = model.probabilities(logits)
    scores = lattice.score(candidates, logits.numpy(), probabilities.log().numpy())
    guesses = lattice.find_best(candidates.edges, scores, GUESSES)
    path = list(guesses[0].path)
    is_digit = _seem_digits(candidates, logits, probabilities, path)
    if len(path) > MOST_DIGITS:
        raise NoDigitError(LONG_MESSAGE if np.mean(is_digit) > 0.5 else DOUBT_MESSAGE)
    digits = [
        DigitReading(
            candidates.digits[k],
            [layer[k].numpy() for layer in layers],
            dict(zip(DIGITS, probabilities[k].tolist(), strict=True)),
            tuple(boxes[k].tolist()),
            known,
        )
        for k, known in zip(path, is_digit, strict=True)
    ]
    doubt = describe_doubt(guesses[0].number, is_digit)
    # A sign that is taken for a part of the digit beside it is found in a rival's path.
    for rival in guesses[1:]:
        if doubt or rival.probability < RIVAL * guesses[0].probability:
            break
        known = _seem_digits(candidates, logits, probabilities, list(rival.path))
        doubt = describe_doubt(rival.number, known)
    return Reading([(guess.number, guess.probability) for guess in guesses], digits, doubt)


def _seem_digits(candidates, logits, probabilities, path: list[int]) -> list[bool]:
    """Return whether each candidate of a path seems to be a digit."""
    first, second = probabilities[path].topk(2).values.T.numpy()
    is_digit = lattice.energy(logits[path].numpy()) >= lattice.LEAST_ENERGY
    is_digit &= (first >= CONFIDENT) | (first + second >= EITHER_CONFIDENT)
    height = np.diff(candidates.boxes[path][:, [1, 3]])[:, 0]
    is_digit &= height >= SMALLEST * height.max()
    is_digit &= not lattice.is_crowded(candidates, path)
    return is_digit.tolist()


def describe_doubt(number: str, is_digit: Sequence[bool]) -> str:
    """Return a sentence that says what was read beside what is no digit.

    Parameters
    ----------
    number : str
        The best guess.
    is_digit : sequence of bool
        Whether each of its digits seems to be one.

    Returns
    -------
    sentence : str
        Empty if all of them do.
    """
    if all(is_digit):
        return ""
    if not any(is_digit):
        return DOUBT_MESSAGE
    signs = "".join(digit if known else " " for digit, known in zip(number, is_digit, strict=True))
    read, gaps = signs.split(), len(signs.strip().split())
    inside, before, after = gaps > 1, signs.startswith(" "), signs.endswith(" ")
    if inside + before + after > 1 or gaps > 2:
        return f"I read {_listed(read)}, and other things that are no digits."
    where = "between them" if inside else "before it" if before else "after it"
    return f"I read {_listed(read)}, and something {where} that is no digit."


def _listed(words: Sequence[str]) -> str:
    """Return "3", "3 and 4", "3, 4 and 5"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def candidates_of(image: Image.Image | np.ndarray) -> tuple[Candidates, np.ndarray]:
    """Return what may be digits in a picture.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `read` takes it.

    Returns
    -------
    candidates : reading.candidates.Candidates
    boxes : float ndarray of shape (N, 4)
        Left, top, right and bottom of their ink, as shares of the picture's sides.
    """
    gray = to_gray(load_pixels(image))
    ink = find_ink(gray)
    if max(gray.shape) <= SMALL_SIDE:  # somebody has cropped it to a digit already
        digit = frame(restore(ink.amount))
        return only_candidate(digit), np.array([[0.0, 0.0, 1.0, 1.0]])
    parts = find_parts(ink)
    chosen = choose_line(parts)
    line, corner = parts.crop_to(chosen)
    # A dash is no tall digit: no part holds more than about eight digits side by side.
    height = float(max(parts.boxes[chosen, 3].max(), parts.boxes[chosen, 2].max() / MOST_DIGITS))
    stroke = max(1.0, stroke_width(line))
    scale = min(1.0, 4 * BOX_SIZE / height)
    if scale < 1:
        line = shrink_strokes(line, 1 / scale)
    candidates = find_candidates(line, height * scale, max(1.0, stroke * scale))
    boxes = (candidates.boxes / scale + np.tile(corner, 2)) / (gray.shape[::-1] * 2)
    return candidates, boxes.clip(0, 1)


@cache
def _default_model() -> LeNet:
    """Return the model that the environment names."""
    return load_weights(*configured_repo()).model
