"""Pictures of MNIST's own size: cropped, shrunk, perhaps stretched and made bilevel before us.

Old collections of digits are like that, and what people make for programs such as this one.
"""

import cv2
import numpy as np

from reading.picture import crop, pad

FAINT = 0.1  # of the most ink; fainter pixels join no strokes
HALO = 0.08  # of the most ink; fainter pixels don't widen the digit's box
SPECK_SIDE = 0.3  # of the largest part's longer side
SPECK_DISTANCE = 0.1  # of that side, and more than a pixel; bilevel strokes are often broken
BLUR = 0.5  # pixels, standard deviation: gives a bilevel picture the grays of shrinking
SQUARE = (0.8, 1.25)  # width in heights; an upright 1 is never so broad unless stretched
CROSSINGS = 1.3  # mean number of strokes in a row or column; above, it is not a 1
NARROWEST_WIDTH = 0.2  # heights: how thin an unstretched 1 is at its thin places


def restore(amount: np.ndarray) -> np.ndarray:
    """Return the digit in a small picture, its strokes as they are.

    Parameters
    ----------
    amount : float32 ndarray of shape (H, W)
        Ink in [0, 1], not all 0.

    Returns
    -------
    digit : float32 ndarray of shape (h, w)
        In [0, 1], cropped to the ink. Of a bilevel picture, smoothed.
    """
    digit = remove_specks(amount)
    # A halo of faint gray, as a JPEG leaves it, doesn't widen the box.
    left, top, width, height = cv2.boundingRect((digit > HALO).view(np.uint8))
    digit = digit[top : top + height, left : left + width]
    if ((digit > 0.05) & (digit < 0.95)).any():  # its grays tell where its edges run
        return digit
    digit = cv2.GaussianBlur(pad(unstretch(digit), 2), (0, 0), BLUR)
    return crop(np.where(digit > 0.02, digit, 0))


def remove_specks(amount: np.ndarray) -> np.ndarray:
    """Return ink without what is small and lies apart from the large parts."""
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
    """Return a single stroke that fills a square, a 1 that was stretched, as narrow as a 1 is."""
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
    """Return how often each row crosses the ink."""
    return mask[:, 0] + (mask[:, 1:] & ~mask[:, :-1]).sum(axis=1)
