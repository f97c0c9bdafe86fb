"""Bring a picture of a digit into MNIST's form. A network trained on MNIST needs it.

LeCun et al. 1998, section III-A: digits are "size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio", with an anti-aliasing filter, then centered in 28x28 "by computing
the center of mass of the pixels".
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
CENTER = 14.0  # index of the center of mass, ± 0.5 pixels in 69,998 of MNIST's 70,000 pictures

SEVERAL_MESSAGE = "I see several digits. Please write one digit."


def to_mnist(image: Image.Image | np.ndarray) -> np.ndarray:
    """Bring a picture of a digit into MNIST's form.

    Parameters
    ----------
    image : PIL.Image.Image, str or Path, or ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        A drawing, screenshot, scan or photograph of any size and mode, dark on light or light on
        dark. Arrays are uint8 in [0, 255], or float or bool in [0, 1]; a fourth channel is alpha.
        Only the first frame of a file is read.

    Returns
    -------
    digit : float32 ndarray of shape (28, 28), in [0, 1], 0 = paper, 1 = ink
        The ink's longer side is 20 pixels. On both axes, its center of mass is at index 14.0 ± 0.5,
        unless this would cut off more than half a pixel of ink.

    Raises
    ------
    NoDigitError
        If there is no digit or more than one, or the picture is damaged, an array of another shape,
        or a file of over `reading.picture.MAX_PIXELS` pixels. The message says why.
    """
    return frame([find_digit(image)])[0]


def find_digit(image: Image.Image | np.ndarray) -> np.ndarray:
    """Return the ink of a picture's digit as `frame` takes it; see `to_mnist`."""
    gray = to_gray(load_pixels(image))
    ink = find_ink(gray)
    # A small picture was already cropped to a digit, and has too few pixels to change its strokes.
    if max(gray.shape) <= SMALL_SIDE:
        return restore(ink.amount)
    parts = find_parts(ink)
    chosen = choose_line(parts)
    if _are_apart(parts.boxes[chosen]):
        raise NoDigitError(SEVERAL_MESSAGE)
    return normalize_stroke_width(parts.crop_to(chosen)[0])


def _are_apart(boxes: np.ndarray) -> bool:
    """Return whether there is paper between large parts."""
    low, high = boxes[:, 0], boxes[:, 0] + boxes[:, 2]
    size = boxes[:, 2:].max(axis=1)
    large = size > 0.5 * size.max()
    gaps = np.maximum.outer(low, low) - np.minimum.outer(high, high)
    return bool((gaps[large][:, large] > 0.12 * size.max()).any())


def frame(digits: Sequence[np.ndarray]) -> np.ndarray:
    """Return digits scaled to the 20-pixel box and placed in 28×28 by their centers of mass.

    Parameters
    ----------
    digits : sequence of N ndarrays of shape (h, w), cropped to the ink
        float32 in [0, 1] or uint8 in [0, 255].

    Returns
    -------
    framed : float32 ndarray of shape (N, 28, 28), in [0, 1]
    """
    boxes = np.zeros((len(digits), BOX_SIZE, BOX_SIZE), np.float32)
    sizes = np.empty((len(digits), 2), int)
    for box, size, digit in zip(boxes, sizes, digits, strict=True):
        scale = BOX_SIZE / max(digit.shape)
        height, width = size[:] = [max(1, round(side * scale)) for side in digit.shape]
        # Averaging areas gives grays like MNIST's anti-aliasing, but it can't enlarge.
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
    # A lopsided digit may be off center at the frame's edge. Move up to half a pixel of it outside.
    missing = CENTER - centers - corners
    for k in np.flatnonzero(np.abs(missing).max(axis=1, initial=0) > 0.5):
        down, right = np.sign(missing[k]) * (np.abs(missing[k]) - 0.35).clip(0, 0.5)
        shift = np.float32([[1, 0, right], [0, 1, down]])
        framed[k] = cv2.warpAffine(framed[k], shift, (IMAGE_SIZE, IMAGE_SIZE))
    return framed
