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

from reading.ink import NOTHING_MESSAGE, SMALL_SIDE, Ink, find_ink
from reading.parts import Parts, find_parts
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
    image : PIL.Image.Image or ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Any size and mode, dark ink on light paper or light on dark, anywhere in the picture;
        a drawing, a screen, a scan or a photograph. Arrays are uint8 in [0, 255], or float or
        bool in [0, 1]; a fourth channel is alpha. A file that is open but not loaded yet is
        loaded, its first frame, a large JPEG smaller than it is.

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
    return frame(normalize_stroke_width(find_digit(ink)))


# The digit's own ink


def find_digit(ink: Ink) -> np.ndarray:
    """Return the digit's ink, cropped to it, without specks, ruled lines and the table's edge.

    Parameters
    ----------
    ink : Ink
        As `reading.ink.find_ink` returns it.

    Returns
    -------
    digit : float32 ndarray of shape (h, w)
        0 or 1: NIST's digits were bilevel, too.

    Raises
    ------
    NoDigitError
        If there is another digit, or nothing stands out.
    """
    parts = find_parts(ink)
    return parts.crop_to(_choose_parts(parts, ink.on_even_paper))[0]


def _choose_parts(parts: Parts, on_even_paper: bool) -> np.ndarray:
    """Return which connected parts make up the digit whose largest part is the main one.

    Parameters
    ----------
    parts : Parts
    on_even_paper : bool
        Whether a part far from the digit is another digit; in a photograph it is ignored.

    Returns
    -------
    chosen : bool ndarray of shape (N,)

    Raises
    ------
    NoDigitError
        If there is another digit, or nothing stands out.
    """
    boxes, mass, main = parts.boxes, parts.mass, parts.main
    if mass[main] == 0 or (mass.sum() > 4 * mass[main] and (mass > 0).sum() > 20):
        raise NoDigitError(NOTHING_MESSAGE)  # noise, cloth, a page of text
    left, top, width, height = boxes.T
    right, bottom, side = left + width, top + height, np.maximum(width, height)
    # Gaps beside, and above or below, the main part, in its size; negative where they overlap.
    beside = (np.maximum(left, left[main]) - np.minimum(right, right[main])) / side[main]
    below = (np.maximum(top, top[main]) - np.minimum(bottom, bottom[main])) / side[main]
    gap = np.maximum(beside, below)
    size = side / side[main]

    speck = (size < 0.25) & (gap > 0.1) | (mass < 0.02 * mass[main])
    underline = (width > 4 * height) & (top > bottom[main] - 0.1 * height[main])
    part = (mass > 0) & ~speck & ~underline
    apart = (beside > 0.12) | (below > 0.3)
    if (part & (size > 0.5) & apart & (on_even_paper | (gap < 1))).any():
        raise NoDigitError(SEVERAL_MESSAGE)
    part &= gap < 0.3
    part[main] = True
    return part


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
    """Return a framed digit moved by half a pixel at most, since that may leave the frame.

    Parameters
    ----------
    framed : float32 ndarray of shape (28, 28)
    missing : (down, right)
        Pixels from its centre of mass to where that should be.
    """
    down, right = np.sign(missing) * (np.abs(missing) - 0.35).clip(0, 0.5)
    return cv2.warpAffine(framed, np.float32([[1, 0, right], [0, 1, down]]), framed.shape)


def _center_of_mass(profile: np.ndarray) -> float:
    """Return the index of a profile's centre of mass (a pixel's centre is a whole number)."""
    return float((profile * np.arange(len(profile))).sum() / profile.sum())


def _offset(profile: np.ndarray) -> int:
    """Return where a profile starts in the frame, so that its centre of mass is nearest 14."""
    offset = round(CENTER - _center_of_mass(profile))
    return int(np.clip(offset, 0, IMAGE_SIZE - len(profile)))
