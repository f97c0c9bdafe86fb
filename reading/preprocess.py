"""Any picture of a digit becomes the picture that MNIST's authors would have made of it.

LeCun et al. 1998, section III-A: digits "size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio", with an anti-aliasing filter, then centred in 28x28 "by
computing the center of mass of the pixels". A network that has seen only such pictures reads
only such pictures well. The steps: gray pixels (picture.py), ink (ink.py), here the digit's own
ink, strokes as wide as MNIST's (stroke_width.py), and here the frame. What is small already
(small.py) skips the middle.
"""

import cv2
import numpy as np
from PIL import Image

from reading.ink import find_ink
from reading.paper import SMALL_SIDE
from reading.parts import choose_line, find_parts
from reading.picture import NoDigitError, load_pixels, to_gray
from reading.small import restore
from reading.stroke_width import BOX_SIZE, normalize_stroke_width

IMAGE_SIZE = 28  # pixels, the side of MNIST's pictures
CENTER = 14.0  # index of the centre of mass: that of 69,998 of MNIST's 70,000, ± half a pixel

SEVERAL_MESSAGE = "That looks like several digits. One at a time, please."


def to_mnist(image: Image.Image | np.ndarray) -> np.ndarray:
    """Bring a picture of a digit into MNIST's form.

    Parameters
    ----------
    image : PIL.Image.Image, ndarray of shape (H, W), (H, W, 3) or (H, W, 4), str or Path
        Any size and mode, dark ink on light paper or light on dark, anywhere in the picture;
        a drawing, a screen, a scan or a photograph. Arrays are uint8 in [0, 255], or float or
        bool in [0, 1]; a fourth channel is alpha. Of a file, named or open, the
        first frame is loaded, a large JPEG smaller than it is.

    Returns
    -------
    digit : float32 ndarray of shape (28, 28)
        In [0, 1], 0 = paper, 1 = ink. The ink's longer side is 20 pixels, its centre of mass
        within half a pixel of index 14.0 on both axes, unless that would cut off more than
        half a pixel of ink.

    Raises
    ------
    NoDigitError
        If there is nothing, or more than one digit, to read, or the picture is damaged, a file
        of more than `reading.picture.MAX_PIXELS` pixels, or an array of another shape. The
        message is fit for the page.
    """
    gray = to_gray(load_pixels(image))
    ink = find_ink(gray)
    # A small one was cropped by somebody already, and its grays are all it has: its strokes stay.
    if max(gray.shape) <= SMALL_SIDE:
        return frame(restore(ink.amount))
    parts = find_parts(ink)
    chosen = choose_line(parts)
    if _are_apart(parts.boxes[chosen]):
        raise NoDigitError(SEVERAL_MESSAGE)
    return frame(normalize_stroke_width(parts.crop_to(chosen)[0]))


def _are_apart(boxes: np.ndarray) -> bool:
    """Return whether there are large parts with paper between them."""
    low, high = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
    size = boxes[:, 2:].max(axis=1)
    large = size > 0.5 * size.max()
    gaps = np.maximum.outer(low, low) - np.minimum.outer(high, high)
    return bool((gaps[large][:, large] > 0.12 * size.max()).any())


# The frame


def frame(digit: np.ndarray) -> np.ndarray:
    """Return a digit sized to the 20-pixel box and placed in 28x28 by its centre of mass.

    Parameters
    ----------
    digit : float32 ndarray of shape (h, w)
        In [0, 1], cropped to the ink.

    Returns
    -------
    framed : float32 ndarray of shape (28, 28)
        In [0, 1].
    """
    scale = BOX_SIZE / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    # Averaging areas is the anti-aliasing that gives MNIST its greys; it cannot enlarge.
    interpolation = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
    digit = cv2.resize(digit, (width, height), interpolation=interpolation).clip(0, 1)

    framed = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.float32)
    top, left = _offset(digit.sum(axis=1)), _offset(digit.sum(axis=0))
    framed[top : top + height, left : left + width] = digit
    # Where the frame's edge kept a lopsided digit from its place:
    center = _center_of_mass(framed.sum(axis=1)), _center_of_mass(framed.sum(axis=0))
    missing = CENTER - np.array(center)
    return nudge(framed, missing) if np.abs(missing).max() > 0.5 else framed


def nudge(framed: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Return a framed digit moved by half a pixel at most, since that may leave the frame."""
    down, right = np.sign(missing) * (np.abs(missing) - 0.35).clip(0, 0.5)
    return cv2.warpAffine(framed, np.float32([[1, 0, right], [0, 1, down]]), framed.shape)


def _center_of_mass(profile: np.ndarray) -> float:
    """Return the index of a profile's centre of mass (a pixel's centre is a whole number)."""
    return float((profile * np.arange(len(profile))).sum() / profile.sum())


def _offset(profile: np.ndarray) -> int:
    """Return where a profile starts in the frame, so that its centre of mass is nearest 14."""
    offset = round(CENTER - _center_of_mass(profile))
    return int(np.clip(offset, 0, IMAGE_SIZE - len(profile)))
