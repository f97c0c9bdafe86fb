"""The connected parts of ink, and which of them are a line of writing."""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.ink import NOTHING_MESSAGE, Ink
from reading.picture import NoDigitError, border

TWO_LINES_MESSAGE = "That looks like two lines of writing. One number at a time, please."
MAX_PARTS = 32  # of a line: eight digits in up to four strokes


@dataclass(frozen=True)
class Parts:
    """The connected parts of a picture's ink.

    Attributes
    ----------
    labels : int32 ndarray of shape (H, W)
        The part that each pixel is of; 0 = paper.
    boxes : int ndarray of shape (N, 4)
        Left, top, width and height of each part, pixels.
    mass : ndarray of shape (N,)
        Sum of the squared ink of each part; 0 for what is no part of anything.
    main : int
        The part that is most likely writing.
    """

    labels: np.ndarray
    boxes: np.ndarray
    mass: np.ndarray
    main: int

    def crop_to(self, chosen: np.ndarray) -> tuple[np.ndarray, int, int]:
        """Return the ink of some parts, cropped to it, and the column and row it starts at.

        Parameters
        ----------
        chosen : bool ndarray of shape (N,)

        Returns
        -------
        ink : float32 ndarray of shape (h, w)
            0 or 1.
        left, top : int
        """
        left, top = self.boxes[chosen, :2].min(axis=0)
        right, bottom = (self.boxes[chosen, :2] + self.boxes[chosen, 2:4]).max(axis=0)
        return chosen[self.labels[top:bottom, left:right]].astype(np.float32), left, top


def find_parts(ink: Ink) -> Parts:
    """Return the connected parts of a picture's ink.

    Parameters
    ----------
    ink : Ink
        As `reading.ink.find_ink` returns it.

    Returns
    -------
    parts : Parts
    """
    amount = ink.amount
    mask = (amount > ink.threshold).view(np.uint8)
    # Grana's algorithm: of OpenCV 5's it alone counts pixels quickly, three times as fast.
    count, labels, boxes, centers = cv2.connectedComponentsWithStatsWithAlgorithm(
        mask, 8, cv2.CV_32S, cv2.CCL_GRANA
    )
    inked = np.flatnonzero(mask.view(bool))  # of bytes it takes ten times as long
    part_of_pixel = labels.ravel()[inked]
    mass = np.bincount(part_of_pixel, np.square(amount.ravel()[inked]), minlength=count)
    main = mass.argmax()
    if not ink.on_even_paper:
        # In a photograph the digit is a long stroke about the middle; a shadow's corner is
        # broad for its length, and what runs along the border is the table, but for a digit
        # that the picture cuts off: its centre is nearer to the middle.
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3).ravel()[inked]
        depths = np.bincount(part_of_pixel, depth, minlength=count)
        mean_depth = depths / np.maximum(boxes[:, cv2.CC_STAT_AREA], 1)
        length = mass / np.maximum(mean_depth, 0.5) ** 1.5
        middle = np.array(amount.shape[::-1]) / 2
        distance = np.linalg.norm(centers / middle - 1, axis=1)
        along_border = np.bincount(border(labels), minlength=count)
        mass[along_border > np.where(distance > 0.5, 0.25, 0.75) * boxes[:, 2:4].max(axis=1)] = 0
        main = (np.sign(mass) * length * (1.2 - distance).clip(0.05)).argmax()
    return Parts(labels, boxes[:, :4], mass, main)


def choose_line(parts: Parts, on_even_paper: bool) -> np.ndarray:
    """Return which parts are the line of writing: without specks, underlines and what is far off.

    Parameters
    ----------
    parts : Parts
    on_even_paper : bool
        All of a drawing is meant; of a photograph, what stands in line with the main part.

    Returns
    -------
    chosen : bool ndarray of shape (N,)

    Raises
    ------
    NoDigitError
        If nothing stands out, or there are two lines.
    """
    boxes, mass, main = parts.boxes, parts.mass, parts.main
    part = mass > 0.02 * mass[main]
    if mass[main] == 0 or part.sum() > MAX_PARTS:
        raise NoDigitError(NOTHING_MESSAGE)  # noise, cloth, a page of text
    _, top, width, height = boxes.T
    bottom = top + height
    if not on_even_paper:
        part &= _in_line(boxes, part, main)
    tall = np.max(np.maximum(height, width / 4)[part & (mass > 0.3 * mass[main])])
    # An underline lies below a digit; a dash between two is part of the line.
    flat = part & (width > 4 * height)
    digits = part & (np.maximum(width, height) > 0.25 * tall) & ~flat
    beside, _ = _gaps(boxes, boxes[digits])
    under = (beside < 0) & (top[:, None] > (bottom - 0.1 * height)[digits])
    part &= ~(flat & under.any(axis=1) & ~((beside < 0) & ~under).any(axis=1))
    # Specks and points stand alone; a stroke of a broken digit is near the rest of it.
    big = part & (np.maximum(width, height) > 0.25 * tall)
    part &= big | (np.maximum(*_gaps(boxes, boxes[big])).min(axis=1, initial=tall) < 0.1 * tall)
    beside, below = _gaps(boxes[big], boxes[big])
    one_above_other = (beside < -0.3 * np.minimum.outer(width[big], width[big])) & (
        below > 0.3 * tall
    )
    if (one_above_other & np.logical_and.outer(*[height[big] > 0.4 * tall] * 2)).any():
        raise NoDigitError(TWO_LINES_MESSAGE)
    return part


def _gaps(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the paper beside, and above or below, each pair of boxes; negative: they overlap."""
    low, high = boxes[:, None, :2], (boxes[:, :2] + boxes[:, 2:])[:, None]
    gaps = np.maximum(low, others[:, :2]) - np.minimum(high, others[:, :2] + others[:, 2:])
    return gaps[..., 0], gaps[..., 1]


def _in_line(boxes: np.ndarray, part: np.ndarray, main: int) -> np.ndarray:
    """Return which parts of a photograph stand beside the main one, or beside one that does."""
    beside, _ = _gaps(boxes, boxes)
    middle = boxes[:, 1] + boxes[:, 3] / 2
    side = max(boxes[main, 3], boxes[main, 2] / 4)
    near = (beside < 1.2 * side) & (np.abs(middle[:, None] - middle) < 0.6 * side)
    near &= np.logical_and.outer(part, part & (boxes[:, 3] < 1.8 * side))
    chosen = np.arange(len(boxes)) == main
    while (more := chosen | near[chosen].any(axis=0)).sum() > chosen.sum():
        chosen = more
    return chosen
