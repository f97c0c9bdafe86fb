"""Restore pictures of about MNIST's size, which were cropped, shrunk, stretched or made bilevel.

Old data sets of digits hold such pictures, and people prepare them for programs like this one.
"""

import cv2
import numpy as np

from reading.picture import crop, pad

FAINT = 0.1  # amount of ink; fainter pixels don't connect strokes
HALO = 0.08  # amount of ink; fainter pixels, such as a JPEG's halo, don't widen the digit's box
SPECK_SIDE = 0.3  # size of a speck, at most, in longer sides of the largest part
SPECK_DISTANCE = 0.1  # in the same unit, and over a pixel; nearer parts are of broken strokes
BLUR = 0.5  # pixels, standard deviation; gives a bilevel picture grays
SQUARE = (0.8, 1.25)  # width in heights; a 1 is so broad only if it was stretched
CROSSINGS = 1.3  # mean number of strokes in a row or column; a 1 has fewer
NARROWEST_WIDTH = 0.2  # heights, width of a 1 at its thin places


def restore(amount: np.ndarray) -> np.ndarray:
    """Return the digit in a small picture, cropped to its ink, smoothed if it is bilevel.

    Parameters
    ----------
    amount : float32 ndarray of shape (H, W), ink in [0, 1], not all 0

    Returns
    -------
    digit : float32 ndarray of shape (h, w), in [0, 1]
    """
    digit = remove_specks(amount)
    left, top, width, height = cv2.boundingRect((digit > HALO).view(np.uint8))
    digit = digit[top : top + height, left : left + width]
    if ((digit > 0.05) & (digit < 0.95)).any():  # its edges have grays already
        return digit
    digit = cv2.GaussianBlur(pad(unstretch(digit), 2), (0, 0), BLUR)
    return crop(np.where(digit > 0.02, digit, 0))


def remove_specks(amount: np.ndarray) -> np.ndarray:
    """Return ink without small parts that are apart from the large ones."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((amount > FAINT).view(np.uint8))
    if count < 3:  # the paper and one part
        return amount
    left, top, width, height, _ = boxes[1:].T
    right, bottom, side = left + width, top + height, np.maximum(width, height)
    large = side > SPECK_SIDE * side.max()
    beside = np.maximum(left - right[large].max(), left[large].min() - right)
    below = np.maximum(top - bottom[large].max(), top[large].min() - bottom)
    apart = np.maximum(beside, below) > max(1, SPECK_DISTANCE * side.max())
    is_speck = np.append(False, ~large & apart)
    return np.where(is_speck[labels], np.float32(0), amount) if is_speck.any() else amount


def unstretch(digit: np.ndarray) -> np.ndarray:
    """Return a 1 that was stretched to a square as narrow as a usual 1; other digits unchanged."""
    height, width = digit.shape
    if not SQUARE[0] <= width / height <= SQUARE[1]:
        return digit
    mask = digit > 0.5
    across, down = _crossings(mask), _crossings(mask.T)
    if max(across.mean(), down.mean()) > CROSSINGS:
        return digit
    inked = across > 0
    widths = np.sort(mask.sum(axis=1)[inked] / across[inked])
    narrowing = NARROWEST_WIDTH * height / widths[len(widths) // 5]
    if narrowing >= 1:
        return digit
    width = max(1, round(narrowing * width))
    return cv2.resize(digit, (width, height), interpolation=cv2.INTER_AREA)


def _crossings(mask: np.ndarray) -> np.ndarray:
    return mask[:, 0] + (mask[:, 1:] & ~mask[:, :-1]).sum(axis=1)
