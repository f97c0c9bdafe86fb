"""Candidates for digits: the ink between two cuts, in MNIST's form.

Five digits that touch have over a hundred candidates. To save time, the strokes of the whole line
get MNIST's width before it is cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from reading.picture import crop, pad
from reading.preprocess import frame
from reading.segment import INK, MIN_INK, Cuts, find_cuts, find_gaps
from reading.stroke_width import BOX_SIZE, STROKE_WIDTH, normalize_stroke_width, set_stroke_width

HEIGHT = 2 * BOX_SIZE  # pixels: the height that a line is scaled to before it is cut
MAX_WIDTH = 1.4  # line heights; only the line, parts and ink between neighboring cuts are wider
LINE_STROKE_WIDTH = (2.5, 2.8)  # pixels in the 20-pixel box, for the whole line
MARGIN = 8  # pixels around a line, in which its strokes may grow
MIN_SHAPE_SCORE = -6.5  # set by hand; `_is_plausible` drops most candidates with less
# Factors of a candidate's shape in its score, fitted by benchmarks/fit_numbers.py.
SHAPE_FACTORS = {
    "gaps": -0.18,  # clear cuts within the candidate
    "short": -3.28,  # log of the tallest candidate's height divided by its own
    "width": -2.30,  # in heights of the line
    "long": -2.74,  # length of its strokes in heights of the line, beyond 2.5
    "cut": -3.03,  # whether its first cut crosses ink, so that a path counts each cut once
    "alone": 2.38,  # whether it is the whole line: most people draw one digit
}


@dataclass(frozen=True)
class Candidates:
    """The candidates in a line. The first is the whole line."""

    edges: np.ndarray  # (N, 2) int: indices of the cuts on the left and on the right
    boxes: np.ndarray  # (N, 4) float: left, top, right and bottom in the line, pixels
    shape: np.ndarray  # (N, len(SHAPE_FACTORS)) float: the features of `SHAPE_FACTORS`
    digits: np.ndarray  # (N, 28, 28) float32, in MNIST's form


def find_candidates(line: np.ndarray, height: float, stroke: float) -> Iterator[Candidates]:
    """Yield the candidates between the cuts of `find_gaps`; then those of `find_cuts`, if any.

    Parameters
    ----------
    line : float32 ndarray of shape (H, W), ink in [0, 1]
    height, stroke : float, height of the tallest part and width of a stroke, pixels
    """
    scale = HEIGHT / height
    padded = pad(line, MARGIN)
    usual, width = set_stroke_width(padded, stroke, height, LINE_STROKE_WIDTH)
    size = [max(3, round(side * scale)) for side in padded.shape[::-1]]
    small, usual = (cv2.resize(ink, size, interpolation=cv2.INTER_AREA) for ink in (padded, usual))
    # The cuts are found in the thinner of both, in which gaps stay open.
    inked, usual = np.minimum(small, usual), (255 * usual).astype(np.uint8)
    whole = frame([normalize_stroke_width(line)])
    grown = (width - stroke) / 2 * np.array([1, 1, -1, -1])

    def candidates(cuts: Cuts) -> Candidates:
        edges, boxes, inks = _between(usual, cuts)
        lengths = [cv2.countNonZero(ink) / (width * scale) for ink in inks]
        shape = _shape(edges, boxes, lengths, cuts)
        kept = np.flatnonzero(_is_plausible(edges, shape))
        others = [_usual_strokes(inks[k], width * scale) for k in kept[1:]]
        digits = np.concatenate([whole, frame(others)])
        return Candidates(edges[kept], boxes[kept] / scale - MARGIN + grown, shape[kept], digits)

    yield candidates(find_gaps(inked, HEIGHT))
    cuts = find_cuts(inked, HEIGHT, max(1, scale * min(stroke, width)))
    if len(cuts) > 2:  # more than the line's ends
        yield candidates(cuts)


def only_candidate(digits: np.ndarray) -> Candidates:
    """Return the single candidate of a picture that was cropped to one digit."""
    one = np.array([[0, 1]])
    return Candidates(one, np.array([[0.0, 0, 1, 1]]), np.zeros((1, len(SHAPE_FACTORS))), digits)


def _between(line: np.ndarray, cuts: Cuts) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return pairs of cuts that may enclose a digit, with the box and the ink between them."""
    ink = line > 255 * INK
    left, right = (side[:, ink].astype(np.float32) for side in (cuts.left, cuts.right))
    enough = right @ left.T >= MIN_INK * HEIGHT**2
    # Where two cuts cross, ink left of the first may be right of the second. Allow little of it.
    enough &= (left * (1 - right)) @ (right * (1 - left)).T < MIN_INK * HEIGHT**2
    clear, end = cuts.is_clear().tolist(), len(cuts) - 1
    gaps = np.cumsum(clear).tolist()
    to_right, to_left = line * cuts.right, cuts.left.view(np.uint8)
    start = (to_right > 0).any(axis=1).argmax(axis=1).tolist()
    stop = (line.shape[1] - ((line * to_left) > 0).any(axis=1)[:, ::-1].argmax(axis=1)).tolist()
    edges, boxes, inks = [], [], []
    # The whole line is always a candidate, so there is always a path.
    for first, last in [(0, end), *zip(*np.nonzero(np.triu(enough, 1)), strict=True)]:
        low, high = start[first], stop[last]
        if (edges and (first, last) == (0, end)) or high <= low:
            continue
        if high - low > MAX_WIDTH * HEIGHT and edges:
            is_part = clear[first] and clear[last] and gaps[last - 1] == gaps[first]
            if not is_part and last > first + 1:
                continue
        found = to_right[first][:, low:high] * to_left[last][:, low:high]
        x, y, width, height = cv2.boundingRect(found)
        edges.append((first, last))
        boxes.append((low + x, y, low + x + width, y + height))
        inks.append(found[y : y + height, x : x + width])
    return np.array(edges), np.array(boxes), inks


def _shape(edges, boxes, lengths, cuts: Cuts) -> np.ndarray:
    """Return the features, in the order of `SHAPE_FACTORS`."""
    left, top, right, bottom = boxes.T
    width, height = right - left, bottom - top
    line_height = height.max()
    first, last = edges.T
    clear = cuts.is_clear()
    clear_before = np.cumsum(clear)
    return np.stack(
        [
            clear_before[last - 1] - clear_before[first],
            np.log(line_height / height),
            width / line_height,
            np.maximum(np.array(lengths) / line_height - 2.5, 0),
            ~clear[first],
            (first == 0) & (last == len(cuts) - 1),
        ],
        axis=1,
    )


def _is_plausible(edges: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return which candidates the network has to read."""
    plausible = shape @ list(SHAPE_FACTORS.values()) > MIN_SHAPE_SCORE
    plausible |= np.diff(edges)[:, 0] == 1
    plausible[0] = True
    return plausible


def _usual_strokes(ink: np.ndarray, stroke: float) -> np.ndarray:
    """Return ink whose strokes will have MNIST's width after it is framed."""
    side = max(ink.shape)
    if STROKE_WIDTH[0] <= BOX_SIZE * stroke / side <= STROKE_WIDTH[1]:
        return ink
    return crop(set_stroke_width(pad(ink, 4), stroke, side)[0])
