"""Find the connected parts of ink, and choose those that are the line of writing."""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.ink import NOTHING_MESSAGE, Ink
from reading.picture import NoDigitError, border

TWO_LINES_MESSAGE = "I see two lines. Please write one number on one line."
MAX_PARTS = 32  # parts of a line: eight digits of up to four strokes
# A part that encloses writing is a frame:
MIN_ENCLOSED = 0.25  # least size of what it encloses, in its shorter sides; a dot in a 0 is smaller
DIRECTIONS = 36  # number of directions from the enclosed part in which to look for the frame
MIN_AROUND = 0.8  # share of these directions in which a frame lies


@dataclass(frozen=True)
class Parts:
    """The connected parts of a picture's ink, in the rectangle that encloses them."""

    labels: np.ndarray  # (h, w) int32: each pixel's part, 0 = paper
    corner: np.ndarray  # (2,) int: column and row in the picture where `labels` starts
    boxes: np.ndarray  # (N, 4) int: left, top, width and height of each part, pixels of `labels`
    mass: np.ndarray  # (N,) float: sums of squared ink; 0 for the paper, frames and bars
    main: int  # the part that is most likely writing
    on_even_paper: bool  # from `reading.ink.Ink`

    def crop_to(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ink of some parts (float32, 0 or 1), and its left and top in the picture."""
        left, top = low = self.boxes[chosen, :2].min(axis=0)
        right, bottom = (self.boxes[chosen, :2] + self.boxes[chosen, 2:4]).max(axis=0)
        ink = chosen[self.labels[top:bottom, left:right]].astype(np.float32)
        return ink, low + self.corner


def find_parts(ink: Ink) -> Parts:
    """Return the connected parts of a picture's ink."""
    mask = (ink.amount > ink.threshold).view(np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    corner = np.array([left, top])
    mask = np.ascontiguousarray(mask[top : top + height, left : left + width])
    # Grana's algorithm is three times as fast as OpenCV 5's default.
    count, labels, boxes, centers = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask, 8, cv2.CV_32S, cv2.CCL_GRANA
    )
    inked = np.flatnonzero(mask.view(bool))  # ten times as fast as for uint8
    part_of_pixel = labels.ravel()[inked]
    amount = ink.amount[top : top + height, left : left + width].ravel()[inked]
    mass = np.bincount(part_of_pixel, np.square(amount), minlength=count)
    if count > 2:  # the paper and several parts
        mass[_surrounds(labels, boxes[:, :4], mass)] = 0
    shape = np.array(ink.amount.shape[::-1])
    if ink.on_even_paper:
        mass[_bars(boxes[:, :4] + [left, top, 0, 0], mass, shape)] = 0
        return Parts(labels, corner, boxes[:, :4], mass, int(mass.argmax()), True)
    # In a photograph, the digit is a long stroke near the middle. A shadow's corner is broad for
    # its length. Parts along the border are the table, unless they reach toward the middle, like
    # a digit that is cut off.
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[inked]
    depths = np.bincount(part_of_pixel, depth, minlength=count)
    mean_depth = depths / np.maximum(boxes[:, cv2.CC_STAT_AREA], 1)
    length = mass / np.maximum(mean_depth, 0.5) ** 1.5
    distance = np.linalg.norm((centers + corner) / (shape / 2) - 1, axis=1)
    edges = np.pad(labels, ((top, shape[1] - top - height), (left, shape[0] - left - width)))
    along_border = np.bincount(border(edges), minlength=count)
    mass[along_border > np.where(distance > 0.5, 0.25, 0.75) * boxes[:, 2:4].max(axis=1)] = 0
    main = (np.sign(mass) * length * (1.2 - distance).clip(0.05)).argmax()
    return Parts(labels, corner, boxes[:, :4], mass, int(main), False)


def _surrounds(labels: np.ndarray, boxes: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Return which parts are frames around other parts, or lie outside such frames."""
    # A frame lies in nearly all directions from the middle of the part that it encloses.
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    size = boxes[:, 2:].max(axis=1)
    real = mass > 0
    real[real] = size[real] > MIN_ENCLOSED / 2 * np.median(size[mass > 0.02 * mass.max()])
    inside = (low[:, None] < low).all(axis=2) & (high[:, None] > high).all(axis=2)
    inside &= np.logical_and.outer(real, real)
    inside &= size >= MIN_ENCLOSED * boxes[:, 2:].min(axis=1)[:, None]
    for frame, part in zip(*np.nonzero(inside), strict=True):
        left, top, width, height = boxes[frame]
        y, x = np.nonzero(labels[top : top + height, left : left + width] == frame)
        middle = (low[part] + high[part]) / 2 - low[frame]
        turn = np.arctan2(y - middle[1], x - middle[0]) * DIRECTIONS / (2 * np.pi)
        inside[frame, part] = len(np.unique(turn.round() % DIRECTIONS)) > MIN_AROUND * DIRECTIONS
    frames, depth = inside.any(axis=1), inside.sum(axis=0)
    if not frames.any():
        return frames
    return frames | (depth < depth[np.where(frames, 0, mass).argmax()])


def _bars(boxes: np.ndarray, mass: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return which parts run along a whole side of the picture, if no others touch a side."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    at_side = (low <= 1) | (high >= shape - 1)
    bars = ((boxes[:, 2:] > 0.95 * shape) & at_side[:, ::-1]).any(axis=1) & (mass > 0)
    others = (mass > 0) & ~bars
    others &= mass > 0.02 * mass[others].max(initial=0)
    return bars & (others.any() and not at_side[others].any())


def choose_line(parts: Parts) -> np.ndarray:
    """Return which parts, bool (N,), are the line of writing, without specks and underlines.

    Raises NoDigitError if there is no line, or more than one.
    """
    boxes, mass, main = parts.boxes, parts.mass, parts.main
    part = mass > 0.02 * mass[main]
    if mass[main] == 0 or part.sum() > MAX_PARTS:
        raise NoDigitError(NOTHING_MESSAGE)  # many parts are noise, cloth or a page of text
    if part.sum() == 1:
        return part
    _, top, width, height = boxes.T
    bottom = top + height
    if not parts.on_even_paper:
        part &= _in_line(boxes, part, main)
    tall = np.max(np.maximum(height, width / 4)[part & (mass > 0.3 * mass[main])])
    # An underline lies below a digit. A dash between two digits belongs to the line.
    flat = part & (width > 4 * height)
    digits = part & (np.maximum(width, height) > 0.25 * tall) & ~flat
    beside, _ = _gaps(boxes, boxes[digits])
    under = (beside < 0) & (top[:, None] > (bottom - 0.1 * height)[digits])
    part &= ~(flat & under.any(axis=1) & ~((beside < 0) & ~under).any(axis=1))
    # Specks and points stand alone. A stroke of a broken digit is near the rest of it.
    big = part & (np.maximum(width, height) > 0.25 * tall)
    part &= big | (np.maximum(*_gaps(boxes, boxes[big])).min(axis=1, initial=tall) < 0.1 * tall)
    beside, below = _gaps(boxes[big], boxes[big])
    # The halves of a single 8 may be farther apart than two lines of several digits.
    apart = (0.15 if (beside > 0).any() else 0.3) * tall
    one_above_other = (beside < -0.3 * np.minimum.outer(width[big], width[big])) & (below > apart)
    if (one_above_other & np.logical_and.outer(*[height[big] > 0.4 * tall] * 2)).any():
        raise NoDigitError(TWO_LINES_MESSAGE)
    return part


def _gaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the horizontal and vertical gaps between pairs of boxes, negative if they overlap."""
    low, high = boxes[:, None, :2], (boxes[:, :2] + boxes[:, 2:])[:, None]
    gaps = np.maximum(low, others[:, :2]) - np.minimum(high, others[:, :2] + others[:, 2:])
    return gaps[..., 0], gaps[..., 1]


def _in_line(boxes: np.ndarray, part: np.ndarray, main: int) -> np.ndarray:
    """Return which parts of a photograph form a row with the main part."""
    beside, _ = _gaps(boxes, boxes)
    middle = boxes[:, 1] + boxes[:, 3] / 2
    side = max(boxes[main, 3], boxes[main, 2] / 4)
    near = (beside < 1.2 * side) & (np.abs(middle[:, None] - middle) < 0.6 * side)
    near &= np.logical_and.outer(part, part & (boxes[:, 3] < 1.8 * side))
    chosen = np.arange(len(boxes)) == main
    while (more := chosen | near[chosen].any(axis=0)).sum() > chosen.sum():
        chosen = more
    return chosen
