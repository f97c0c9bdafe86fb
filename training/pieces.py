"""Cut digits out of a line as a reader of whole numbers tries to: badly, or nearly right.

A number is cut in more places than it has digits (`reading.segment`), and the network is asked
about whatever lies between two cuts. Here MNIST's digits stand beside one another, touch or
overlap, and are cut by a slanted line, as those of a number are.
"""

import cv2
import numpy as np

from reading.picture import crop
from reading.preprocess import frame
from reading.stroke_width import normalize_stroke_width

HEIGHT = 60  # pixels of a digit in a line
SLANT = 0.2  # of a cut, pixels to the side for each pixel up: one standard deviation
# Between two digits, in heights: of those that are cut badly, and of those that touch.
GAPS, TOUCHING = (-0.2, 0.3), (-0.25, 0.0)
LEFT = (0.4, 1.3)  # share of a neighbour that makes a digit no digit; from 1 on, all of it
# Whose left half is no digit itself, as that of a 0 or a 6 may be.
HALVES, HALF_SHARE = (2, 3, 4, 7), 0.15

Rng = np.random.Generator


def cut_badly(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return pictures of two digits, of one and much of another, and of half of one: non-digits.

    Parameters
    ----------
    images : uint8 ndarray of shape (N, 1, 28, 28)
        MNIST's; 0 = paper, 255 = ink; none blank.
    labels : int ndarray of shape (N,)
    count, seed : int
        The same seed cuts the same pictures.

    Returns
    -------
    pictures : uint8 ndarray of shape (count, 1, 28, 28)
        Normalised as MNIST is.
    """
    rng = np.random.default_rng(seed)
    halves = np.flatnonzero(np.isin(labels, HALVES))
    pictures = []
    for _ in range(count):
        if rng.random() < HALF_SHARE:
            digit = _line(images[rng.choice(halves), 0])
            half = _left_of_cut(digit, digit.shape[1] / 2, rng)
            pictures.append(_normalized(half if half.any() else digit[:, :2]))
        else:
            pair = images[rng.integers(len(images), size=2), 0]
            pictures.append(_cut(*pair, rng.uniform(*GAPS), rng.uniform(*LEFT), rng))
    return np.stack(pictures)[:, None]


def cut_roughly(images: np.ndarray, seed: int) -> np.ndarray:
    """Return digits that were cut off a neighbour which they touch: still digits.

    Parameters
    ----------
    images : uint8 ndarray of shape (N, 1, 28, 28)
        MNIST's; 0 = paper, 255 = ink; none blank.
    seed : int
        The same seed gives the same pictures.

    Returns
    -------
    pictures : uint8 ndarray of shape (N, 1, 28, 28)
        Normalised as MNIST is. Each is of the digit of `images` at its place.
    """
    rng = np.random.default_rng(seed)
    pairs = zip(images[:, 0], images[rng.permutation(len(images)), 0], strict=True)
    return np.stack([_cut(*pair, rng.uniform(*TOUCHING), None, rng) for pair in pairs])[:, None]


def _cut(image: np.ndarray, other: np.ndarray, gap: float, share: float | None, rng: Rng):
    """Return a digit, and the share of a neighbour that a cut leaves beside it, uint8 (28, 28).

    Of a share of None, the cut runs midway between the neighbour's near end and the digit's far.
    """
    turn = int(rng.choice([-1, 1]))  # what is to be to its left is put to the right of its mirror
    digit, other = _line(image[:, ::turn]), _line(other[:, ::turn])
    end = digit.shape[1]
    start = max(0, end + round(HEIGHT * gap))
    up = round(0.1 * HEIGHT)
    line = np.zeros((HEIGHT + 2 * up, max(end, start + other.shape[1])), np.float32)
    line[up : up + HEIGHT, :end] = digit
    y = int(rng.integers(2 * up + 1))
    there = line[y : y + HEIGHT, start : start + other.shape[1]]
    np.maximum(there, other, out=there)
    if share is None:
        line = _left_of_cut(line, (start + end) / 2, rng)
    elif share < 1:
        line = _left_of_cut(line, start + share * other.shape[1], rng)
    return _normalized(line[:, ::turn])


def _line(image: np.ndarray) -> np.ndarray:
    """Return MNIST's digit as the ink of a line of writing, float32 (HEIGHT, w), 0 or 1."""
    digit = crop(image).astype(np.float32)
    size = max(1, round(digit.shape[1] * HEIGHT / digit.shape[0])), HEIGHT
    return (cv2.resize(digit, size, interpolation=cv2.INTER_CUBIC) > 127).astype(np.float32)


def _left_of_cut(line: np.ndarray, column: float, rng: Rng) -> np.ndarray:
    """Return what is to the left of a slanted cut that crosses the middle row at `column`."""
    height, width = line.shape
    cut = column + rng.normal(0, SLANT) * (height / 2 - np.arange(height))
    return line * (np.arange(width) < cut[:, None])


def _normalized(line: np.ndarray) -> np.ndarray:
    """Return ink in MNIST's form, uint8 (28, 28)."""
    digit = frame(normalize_stroke_width(np.ascontiguousarray(crop(line))))
    return (digit * 255).round().astype(np.uint8)
