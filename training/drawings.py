"""Draw images that MNIST lacks: digits in other handwriting styles, and non-digits.

MNIST was written by Americans in the 1980s: it has no flagged 1, few barred 7s, no letters.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from reading.preprocess import NoDigitError, find_digit, frame
from training.digit_shapes import DIGITS, Strokes
from training.other_marks import MARKS, parse_mark
from training.pen_curves import smooth
from training.scans import to_bytes

# Sampling probabilities of 0 to 9. Digits with the most varied styles come most often.
DIGIT_PROBABILITIES = (0.05, 0.16, 0.08, 0.07, 0.14, 0.05, 0.05, 0.15, 0.1, 0.15)
CANVAS = 96  # side of the canvas in pixels; a drawing fills 72% of it
# Standard deviations of a point's displacement, in units of the shape's box.
DIGIT_JITTER = 0.025
NON_DIGIT_JITTER = 0.045
SUBPIXEL_BITS = 4  # fractional bits of cv2.line's fixed-point coordinates

Rng = np.random.Generator


def draw_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits in many handwriting styles.

    Returns
    -------
    images : uint8 array of shape (count, 1, 28, 28), normalized like MNIST, 255 = ink
    labels : int64 array of shape (count,), distributed as `DIGIT_PROBABILITIES`
    """
    rng = np.random.default_rng(seed)
    labels = rng.choice(10, count, p=DIGIT_PROBABILITIES)
    images = [_render(partial(_digit, label), DIGIT_JITTER, rng) for label in labels]
    return to_bytes(frame(images)), labels


def draw_non_digits(count: int, seed: int) -> np.ndarray:
    """Draw scribbles, letters and signs, invented marks and parts of digits.

    Returns
    -------
    images : uint8 array of shape (count, 1, 28, 28), normalized like MNIST, 255 = ink
    """
    rng = np.random.default_rng(seed)
    kinds, probabilities = zip(*_NON_DIGITS, strict=True)
    chosen = rng.choice(list(kinds), count, p=list(probabilities))
    return to_bytes(frame([_render(kind, NON_DIGIT_JITTER, rng) for kind in chosen]))


def distort(strokes: Strokes, jitter: float, rng: Rng) -> Strokes:
    """Rotate, shear and stretch strokes; move points by a standard deviation of `jitter`."""
    rotation, shear, stretch = rng.normal([0, 0.12, -0.1], [0.08, 0.18, 0.18])
    rotate = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    matrix = rotate @ np.array([[np.exp(stretch), -shear], [0, 1]])
    written = []
    for stroke in strokes:
        is_new = np.append(True, (np.diff(stroke, axis=0) != 0).any(axis=1))
        moves = rng.normal(0, jitter, (is_new.sum(), 2))[is_new.cumsum() - 1]
        written.append((stroke + moves) @ matrix.T + rng.normal(0, 0.6 * jitter, 2))
    return written


def draw_strokes(strokes: Strokes, rng: Rng) -> np.ndarray:
    """Draw strokes of any scale as uint8 (CANVAS, CANVAS), with a pen of random, varying width."""
    paths = [smooth(stroke) for stroke in strokes]
    points = np.concatenate(paths)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 0.72 * CANVAS / max((high - low).max(), 1e-3)
    pen_width = np.exp(rng.uniform(np.log(2.5), np.log(14)))  # pixels
    image = np.zeros((CANVAS, CANVAS), np.uint8)
    for path in paths:
        pixels = ((path - (low + high) / 2) * scale + CANVAS / 2) * 2**SUBPIXEL_BITS
        wave = rng.uniform(0, 2 * np.pi) + np.linspace(0, rng.uniform(1, 6), len(path))
        widths = (pen_width * (1 + 0.25 * np.sin(wave))).round().clip(1).astype(int)
        pixels = pixels.round().astype(int).tolist()
        for start, end, width in zip(pixels, pixels[1:], widths.tolist(), strict=False):
            cv2.line(image, start, end, 255, width, cv2.LINE_AA, shift=SUBPIXEL_BITS)
    return image


def _render(strokes_of: Callable[[Rng], Strokes], jitter: float, rng: Rng) -> np.ndarray:
    """Draw random strokes until `find_digit` finds a digit in them; return that."""
    while True:
        try:
            return find_digit(draw_strokes(distort(strokes_of(rng), jitter, rng), rng))
        except NoDigitError:  # for example, if strokes are too far apart
            continue


def _digit(label: int, rng: Rng) -> Strokes:
    return DIGITS[label](rng.uniform)


def _mark(rng: Rng) -> Strokes:
    return parse_mark(_pick(MARKS, rng))


def _scribble(rng: Rng) -> Strokes:
    """Return one to three random walks or zigzags."""
    strokes = []
    for _ in range(rng.integers(1, 4)):
        steps = rng.normal(0, 0.35, (rng.integers(4, 11), 2))
        strokes.append(steps.cumsum(0) if rng.random() < 0.5 else rng.random(steps.shape))
    return strokes


def _invented_mark(rng: Rng) -> Strokes:
    """Return two to four lines, arcs and angles joined at a box's corners and midpoints."""
    strokes = []
    for _ in range(rng.integers(2, 5)):
        start, end = rng.integers(0, 3, (2, 2)) / 2
        bend = (start + end) / 2 + rng.normal(0, 0.45, 2)
        shapes = [start, end], [start, bend, end], [start, bend, bend, end]
        strokes.append(np.array(_pick(shapes, rng)))
    return strokes


def _part_of_digit(rng: Rng) -> Strokes:
    """Return the upper or lower half of a 2, 4 or 5: neither half is a digit."""
    strokes = [smooth(stroke) for stroke in _digit(_pick([2, 4, 5], rng), rng)]
    at, above = rng.uniform(0.4, 0.6), rng.random() < 0.5
    halves = [stroke[(stroke[:, 1] < at) == above][::4] for stroke in strokes]
    return [half for half in halves if len(half)]


def _pick(choices, rng: Rng):
    return choices[rng.integers(len(choices))]


# Kinds of non-digits and their sampling probabilities.
_NON_DIGITS = ((_scribble, 0.15), (_mark, 0.5), (_invented_mark, 0.3), (_part_of_digit, 0.05))
