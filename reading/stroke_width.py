"""Give strokes MNIST's width without closing the gaps between them."""

import cv2
import numpy as np

from reading.picture import crop, pad, shrink

BOX_SIZE = 20  # pixels, the longer side of a digit in MNIST's pictures
STROKE_WIDTH = (2.0, 3.4)  # pixels in the box, the usual range in MNIST
GAP_SLOPE = 0.7  # the distance to the ink rises by 1 per pixel beside a stroke, by 0 between two
MIN_GAP = 3  # pixels, in ink that is at most 80 pixels tall; narrower gaps are noise


def normalize_stroke_width(digit: np.ndarray) -> np.ndarray:
    """Return a digit, float32 (h, w), whose strokes get `STROKE_WIDTH` when it is framed."""
    factor = max(digit.shape) / (4 * BOX_SIZE)
    if factor > 1:
        digit = shrink_strokes(digit, factor)
    side, width = max(digit.shape), stroke_width(digit)
    margin = max(1, _change(width, side, STROKE_WIDTH) + 2)
    return crop(set_stroke_width(pad(digit, margin), width, side)[0])


def set_stroke_width(
    ink: np.ndarray, width: float, side: float, wanted: tuple[float, float] = STROKE_WIDTH
) -> tuple[np.ndarray, float]:
    """Return ink with strokes of another width, and this width in pixels.

    `width` is the present width, and `side` what will be 20 pixels long, both in pixels. `wanted`
    is a range of widths at that size.
    """
    change = _change(width, side, wanted)
    if change > 0:
        return _widen(ink, change), width + change
    change = -min(-change, int(0.6 * width))
    thinner = cv2.erode(ink, _disk(-change))
    return (thinner, width + change) if thinner.max() > 0.5 * ink.max() else (ink, width)


def _change(width: float, side: float, wanted: tuple[float, float]) -> int:
    """Return by how many pixels strokes must grow, given that the digit grows with them."""
    share = np.clip(BOX_SIZE * width / side, *wanted)
    return round((share * side - BOX_SIZE * width) / (BOX_SIZE - share))


def shrink_strokes(ink: np.ndarray, factor: float) -> np.ndarray:
    """Return ink `factor` times smaller, after widening strokes that would vanish."""
    missing = int(np.ceil(1.5 * factor - stroke_width(ink)))
    if missing > 0:  # a hairline
        ink = _dilate(ink, missing)
    return shrink(ink, max(1, round(max(ink.shape) / factor)))


def stroke_width(digit: np.ndarray) -> float:
    """Return the mean width of the strokes in pixels."""
    # Across a stroke of width w, the distance to the paper has a mean of about (w + 1) / 4.
    mask = (pad(digit, 1) > 0.5).view(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return 4 * float(depth.sum()) / max(1, int(mask.sum())) - 1


def _dilate(digit: np.ndarray, by: int) -> np.ndarray:
    return crop(cv2.dilate(pad(digit, by), _disk(by)))


def _widen(digit: np.ndarray, by: int) -> np.ndarray:
    """Return a digit with strokes `by` pixels wider, except where a gap would close."""
    # In a gap, such as in a 6 or an open 4, three pixels along its middle stay paper.
    paper = (digit < 0.5 * digit.max()).view(np.uint8)
    distance = cv2.distanceTransform(paper, cv2.DIST_L2, 5)
    rise = [cv2.Sobel(distance, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    middle = (cv2.magnitude(*rise) < GAP_SLOPE) & (distance >= MIN_GAP / 2)
    gap = cv2.dilate(middle.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    return np.where(gap, digit, cv2.dilate(digit, _disk(by)))


def _disk(growth: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (growth + 1, growth + 1))
