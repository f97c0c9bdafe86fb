"""Read the number in a picture, or the probabilities of one digit.

read(Image.open("postcode.png")).guesses    # [("75005", 0.93), ("75006", 0.02), …]
recognize(Image.open("seven.png"))          # {"0": …, …, "9": …}
"""

from collections.abc import Iterator
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
from reading.signs import DOUBT_MESSAGE, MARK, Signs, describe_doubt, find_signs, with_marks
from reading.small import restore
from reading.stroke_width import BOX_SIZE, shrink_strokes, stroke_width
from reading.weights import configured_repo, load_weights

DIGITS = "0123456789"
GUESS_COUNT = 3
MAX_DIGITS = 8
CONFIDENT = 0.7  # name the two best guesses if the best has less
# Doubt a digit below `CONFIDENT` if its two best guesses, such as 1 and 7, have less together.
PAIR_CONFIDENT = 0.9
MIN_HEIGHT = 0.55  # in heights of the tallest digit; doubt a smaller digit
MIN_RIVAL_SHARE = 0.25  # share of the best guess's probability; show a likelier rival's marks
CROWDED_CONFIDENT = 0.95  # doubt a crowded number that is less probable (`lattice.is_crowded`)
UNCUT_CONFIDENT = 0.95  # cut the parts of a number that is less probable
MIN_ENERGY_PER_WIDTH = 9  # energy by width in line heights; a digit with less may be two
LONG_MESSAGE = "That's more than eight digits. Please write a shorter number."


@dataclass(frozen=True)
class DigitReading:
    """The network's reading of one digit."""

    digit: np.ndarray  # float32 (28, 28), the network's input: 0 = paper, 1 = ink
    layers: list[np.ndarray]  # `LeNet.layers` without the batch's dimension
    # Calibrated, for "0" to "9". Their sum is 1, or less if `read` finds one digit that may be two.
    probabilities: dict[str, float]
    # Left, top, right and bottom of the ink, in [0, 1]; with `recognize`, the whole picture.
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    is_digit: bool = True  # False for a mark that doesn't look like a digit


@dataclass(frozen=True)
class Reading:
    """The result of `read`."""

    guesses: list[tuple[str, float]]  # up to three numbers, calibrated probabilities, best first
    digits: list[DigitReading]  # the best guess's digits, from left to right
    doubt: str  # the page's sentence if something isn't a digit, else ""
    text: str = ""  # the number, with marks such as "3 ? 4"


def read_digit(image: Image.Image | np.ndarray, model: LeNet) -> DigitReading:
    """Read the digit in a picture; arguments and errors are those of `recognize`."""
    digit = to_mnist(image)
    with torch.inference_mode():
        layers = model.layers(torch.from_numpy(digit)[None, None])
        probabilities = model.probabilities(layers[-1].double())[0].tolist()
    return DigitReading(
        digit, [layer[0].numpy() for layer in layers], dict(zip(DIGITS, probabilities, strict=True))
    )


def recognize(image: Image.Image | np.ndarray, model: LeNet | None = None) -> dict[str, float]:
    """Return the probabilities of the ten digits in a picture of one digit.

    Parameters
    ----------
    image : PIL.Image.Image, str or Path, or ndarray; see `reading.preprocess.to_mnist`
    model : LeNet, optional; by default, `reading.weights.load_weights` loads it once

    Returns
    -------
    probabilities : dict of str to float, "0" to "9", with sum 1
        Calibrated: 9 of 10 answers with 90% are right.

    Raises
    ------
    NoDigitError
        If there is no digit, or more than one. The message says why.
    """
    return read_digit(image, model or _default_model()).probabilities


def read(image: Image.Image | np.ndarray, model: LeNet | None = None, cut: bool = True) -> Reading:
    """Read the number in a picture: one to eight digits in a row.

    Parameters
    ----------
    image : PIL.Image.Image, str or Path, or ndarray; see `reading.preprocess.to_mnist`
    model : LeNet, optional, in eval mode, on the CPU; the default is that of `recognize`
    cut : bool, whether to cut parts that may be several digits; False saves time

    Raises
    ------
    NoDigitError
        If there is no number, or more than one. The page shows the message.
    """
    model = model or _default_model()
    candidates, boxes, signs, layers, energies, probabilities, guesses = _guess(image, model, cut)
    chosen = guesses[0]
    is_digit = _seem_digits(candidates, energies, probabilities, chosen, signs)
    if len(chosen.path) > MAX_DIGITS:
        raise NoDigitError(LONG_MESSAGE if np.mean(is_digit) > 0.5 else DOUBT_MESSAGE)
    text = with_marks(chosen.number, is_digit, boxes[list(chosen.path)], signs)
    # The best path may merge a mark with the digit beside it; a likely rival's path shows it.
    for rival in guesses[1:]:
        is_likely = rival.probability >= MIN_RIVAL_SHARE * guesses[0].probability
        if not is_likely or MARK in text or not all(is_digit):
            break
        seems = _seem_digits(candidates, energies, probabilities, rival, signs)
        if not all(seems) and len(rival.path) <= MAX_DIGITS:
            chosen, is_digit = rival, seems
            text = with_marks(rival.number, seems, boxes[list(rival.path)], signs)
    doubt = describe_doubt(text)
    path = list(chosen.path)
    share = chosen.probability / float(probabilities[0, int(chosen.number)]) if path == [0] else 1
    digits = [
        DigitReading(
            candidates.digits[k],
            [layer[k] for layer in layers],
            dict(zip(DIGITS, (share * probabilities[k]).tolist(), strict=True)),
            tuple(boxes[k].tolist()),
            seems,
        )
        for k, seems in zip(path, is_digit, strict=True)
    ]
    if not any(character.isdigit() for character in text):
        text = chosen.number if not signs.dotted.any() else MARK
    return Reading([(guess.number, guess.probability) for guess in guesses], digits, doubt, text)


def _guess(image, model: LeNet, cut: bool) -> tuple:
    """Return the candidates, the network's output for them, and the best numbers."""
    for found in candidates_of(image):
        candidates, *_ = found
        with torch.inference_mode():
            layers = model.layers(torch.from_numpy(candidates.digits)[:, None])
            logits = layers[-1].double()
            probabilities = model.probabilities(logits).numpy()
        energies, logs = lattice.energy(logits.numpy()), np.log(probabilities)
        scores = lattice.score(candidates, energies, logs)
        # Of the whole line's exp(score), 0 to 9 get shares as in `recognize`.
        scores[0] = np.logaddexp.reduce(scores[0]) + logs[0]
        guesses = lattice.find_best(candidates.edges, scores, GUESS_COUNT)
        if not cut or _is_sure(candidates, energies, guesses[0]):
            break
    return *found, [layer.numpy() for layer in layers], energies, probabilities, guesses


def _is_sure(candidates: Candidates, energies: np.ndarray, guess: lattice.Guess) -> bool:
    """Return whether the parts are so surely digits that cuts through ink aren't needed."""
    path = list(guess.path)
    left, _, right, _ = candidates.boxes[path].T
    least = MIN_ENERGY_PER_WIDTH * (right - left) / np.ptp(candidates.boxes[0, [1, 3]])
    return guess.probability >= UNCUT_CONFIDENT and bool((energies[path] >= least).all())


def _seem_digits(candidates, energies, probabilities, guess, signs: Signs) -> list[bool]:
    """Return whether each candidate of a guess's path looks like a digit."""
    path = list(guess.path)
    *_, second, first = np.sort(probabilities[path]).T
    is_digit = energies[path] >= lattice.MIN_ENERGY
    is_digit &= (first >= CONFIDENT) | (first + second >= PAIR_CONFIDENT)
    height = np.diff(candidates.boxes[path][:, [1, 3]])[:, 0]
    is_digit &= height >= MIN_HEIGHT * height.max()
    is_digit &= ~_are_brackets(guess.number, candidates.boxes[path])
    is_digit &= guess.probability >= CROWDED_CONFIDENT or not lattice.is_crowded(candidates, path)
    left, right = candidates.boxes[path][:, [0, 2]].T[..., None]
    is_digit &= ~((left < signs.dotted) & (signs.dotted < right)).any(axis=1)
    return is_digit.tolist()


def _are_brackets(number: str, boxes: np.ndarray) -> np.ndarray:
    """Return which candidates are a pair of brackets: taller than everything between them."""
    outer = np.zeros(len(boxes), bool)
    if len(boxes) > 2 and number[0] == number[-1] == "1":
        top, bottom = boxes[1:-1, 1].min(), boxes[1:-1, 3].max()
        outer[[0, -1]] = boxes[[0, -1], 1].max() < top and boxes[[0, -1], 3].min() > bottom
    return outer


def candidates_of(
    image: Image.Image | np.ndarray,
) -> Iterator[tuple[Candidates, np.ndarray, Signs]]:
    """Yield candidates, their boxes in [0, 1] and signs: for the parts, then for the cut line."""
    gray = to_gray(load_pixels(image))
    ink = find_ink(gray)
    if max(gray.shape) <= SMALL_SIDE:  # already cropped to a digit
        digits = frame([restore(ink.amount)])
        yield only_candidate(digits), np.array([[0.0, 0.0, 1.0, 1.0]]), Signs()
        return
    parts = find_parts(ink)
    chosen = choose_line(parts)
    stroke = max(1.0, stroke_width(parts.crop_to(chosen)[0]))
    signs, dotted = find_signs(parts, chosen, stroke)
    if (chosen & ~signs).any():
        chosen = chosen & ~signs
    line, corner = parts.crop_to(chosen)
    # At least an eighth of a part's width, so that a dash isn't scaled up like a digit.
    height = float(max(parts.boxes[chosen, 3].max(), parts.boxes[chosen, 2].max() / MAX_DIGITS))
    scale = min(1.0, 4 * BOX_SIZE / height)
    if scale < 1:
        line = shrink_strokes(line, 1 / scale)
    centers = parts.boxes[:, 0] + parts.boxes[:, 2] / 2 + parts.corner[0]
    found = Signs(centers[signs] / gray.shape[1], (centers[dotted] - corner[0]) * scale)
    for candidates in find_candidates(line, height * scale, max(1.0, stroke * scale)):
        boxes = (candidates.boxes / scale + np.tile(corner, 2)) / (gray.shape[::-1] * 2)
        yield candidates, boxes.clip(0, 1), found


@cache
def _default_model() -> LeNet:
    return load_weights(*configured_repo()).model
