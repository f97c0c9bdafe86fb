"""Any picture of a digit becomes the picture that MNIST's authors would have made of it.

LeCun et al. 1998, section III-A: digits "size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio", with an anti-aliasing filter, then centred in 28x28 "by
computing the center of mass of the pixels". A network that has seen only such pictures reads
only such pictures well. The steps: gray pixels (picture.py), ink (ink.py), here the digit's own
ink, strokes as wide as MNIST's (stroke_width.py), and here the frame. What is small already
(small.py) skips the middle.
"""

from collections.abc import Sequence

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
CENTER = 14.0  # index of the center of mass in 69,998 of MNIST's 70,000 pictures, ± 0.5 pixels

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
        return frame([restore(ink.amount)])[0]
    parts = find_parts(ink)
    chosen = choose_line(parts)
    if _are_apart(parts.boxes[chosen]):
        raise NoDigitError(SEVERAL_MESSAGE)
    return frame([normalize_stroke_width(parts.crop_to(chosen)[0])])[0]


def _are_apart(boxes: np.ndarray) -> bool:
    """Return whether there are large parts with paper between them."""
    low, high = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
    size = boxes[:, 2:].max(axis=1)
    large = size > 0.5 * size.max()
    gaps = np.maximum.outer(low, low) - np.minimum.outer(high, high)
    return bool((gaps[large][:, large] > 0.12 * size.max()).any())


def frame(digits: Sequence[np.ndarray]) -> np.ndarray:
    """Return digits sized to the 20-pixel box and placed in 28x28 by their centers of mass.

    Parameters
    ----------
    digits : sequence of N ndarrays of shape (h, w)
        Cropped to the ink: float32 in [0, 1], or uint8 in [0, 255].

    Returns
    -------
    framed : float32 ndarray of shape (N, 28, 28)
        In [0, 1].
    """
    boxes = np.zeros((len(digits), BOX_SIZE, BOX_SIZE), np.float32)
    sizes = np.empty((len(digits), 2), int)
    for box, size, digit in zip(boxes, sizes, digits, strict=True):
        scale = BOX_SIZE / max(digit.shape)
        height, width = size[:] = [max(1, round(side * scale)) for side in digit.shape]
        # Averaging areas is the anti-aliasing that gives MNIST its grays; it cannot enlarge.
        how = cv2.INTER_AREA if scale <= 1 else cv2.INTER_CUBIC
        resized = cv2.resize(digit, (width, height), interpolation=how)
        is_bytes = digit.dtype == np.uint8
        box[:height, :width] = resized / np.float32(255) if is_bytes else resized.clip(0, 1)
    profiles = np.stack([boxes.sum(axis=2), boxes.sum(axis=1)], axis=1)
    centers = profiles @ np.arange(BOX_SIZE) / profiles.sum(axis=2)
    corners = np.clip(np.round(CENTER - centers).astype(int), 0, IMAGE_SIZE - sizes)
    framed = np.zeros((len(digits), IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for digit, box, (top, left), (height, width) in zip(framed, boxes, corners, sizes, strict=True):
        digit[top : top + height, left : left + width] = box[:height, :width]
    # Where the frame's edge kept a lopsided digit from its place, half a pixel may leave the frame.
    missing = CENTER - centers - corners
    for k in np.flatnonzero(np.abs(missing).max(axis=1, initial=0) > 0.5):
        down, right = np.sign(missing[k]) * (np.abs(missing[k]) - 0.35).clip(0, 0.5)
        shift = np.float32([[1, 0, right], [0, 1, down]])
        framed[k] = cv2.warpAffine(framed[k], shift, (IMAGE_SIZE, IMAGE_SIZE))
    return framed
