"""Load a picture and turn it into gray pixels, small enough to read quickly."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

MAX_PIXELS = 16_000_000  # limit for decoding; larger JPEGs are decoded at a fraction of their size
MAX_SIDE = 640  # pixels, the longest side of a picture that is read

DAMAGED_MESSAGE = "I couldn't read this picture. It may be damaged. Please try another one."


class NoDigitError(ValueError):
    """There is no digit to read. The page shows the message, which says why."""


def load_pixels(image: Image.Image | np.ndarray | str | Path) -> np.ndarray:
    """Return a picture's first frame, upright, as uint8 (H, W), (H, W, 3) or (H, W, 4).

    `image` is as in `reading.preprocess.to_mnist`. Raises NoDigitError if it is damaged, too large
    or an array of another shape, TypeError for another type, OSError for a file that isn't there or
    isn't a picture. From 179 million pixels on, Pillow raises its DecompressionBombError.
    """
    if isinstance(image, np.ndarray):
        return _to_bytes(image)
    if isinstance(image, str | Path):
        image = Image.open(image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"a picture is a file's path, a PIL image or an array, not {image!r:.60}")
    if isinstance(image, ImageFile.ImageFile):  # not decoded yet
        scale = MAX_SIDE / 2 / max(1, *image.size)
        image.draft(None, tuple(max(1, int(side * scale)) for side in image.size))
        if (pixels := image.width * image.height) > MAX_PIXELS:
            raise NoDigitError(
                f"This picture has {pixels / 1e6:.0f} million pixels. "
                f"Up to {MAX_PIXELS / 1e6:.0f} million are read: choose a smaller one."
            )
    try:
        if image.tell():  # n_frames would parse the whole file
            image.seek(0)
        image.load()
        if image.mode[0] in "IF":  # 16 or 32 bits per pixel
            return stretch(np.asarray(image))
        factor = -(-max(image.size) // MAX_SIDE)  # rounded up, since averaging whole pixels is fast
        if factor > 1 and image.mode not in ("1", "P", "PA"):
            image = image.reduce(factor)
        if image.mode != "L":
            has_alpha = image.has_transparency_data
            image = image.convert("L" if image.mode == "1" else "RGBA" if has_alpha else "RGB")
        return np.asarray(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow's decoders raise errors of many kinds on broken files
        raise NoDigitError(DAMAGED_MESSAGE) from error


def stretch(values: np.ndarray) -> np.ndarray:
    """Convert a picture with 16 bits or more per pixel, which may use a part of their range.

    Parameters
    ----------
    values : ndarray of shape (H, W) or (H, W, C), any range; NaN and infinity count as 0

    Returns
    -------
    pixels : uint8 ndarray of shape (h, w) or (h, w, C), from 0 to 255, h and w at most `MAX_SIDE`
    """
    if values.dtype != np.uint16:
        values = np.nan_to_num(values.astype(np.float32), copy=False, posinf=0, neginf=0)
    values = shrink(values).astype(np.float32)
    return _to_bytes((values - values.min()) / max(np.ptp(values), 1e-9))


def shrink(pixels: np.ndarray, longest: int = MAX_SIDE) -> np.ndarray:
    """Return a picture averaged down until its longer side has at most `longest` pixels.

    `pixels` are uint8 or float32, (H, W) or (H, W, C). Small pictures are returned as they are.
    """
    scale = longest / max(*pixels.shape[:2], 1)
    if scale >= 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W), (H, W, 3) or (H, W, 4), in gray and shrunk to `MAX_SIDE`.

    Transparent pixels become paper: white around dark ink, black around light ink. If ink and paper
    are equally bright, gray is the first principal component of the colors.
    """
    pixels = shrink(pixels)
    if pixels.ndim == 2:
        return pixels
    color = np.ascontiguousarray(pixels[..., :3])
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    if alpha is not None and alpha.min() < 255:
        visible = cv2.multiply(gray, alpha, scale=1 / 255)
        covered = cv2.merge([alpha] * 3)
        color = cv2.multiply(color, covered, scale=1 / 255)
        if visible.sum() < alpha.sum() / 2:  # dark ink
            color = cv2.add(color, cv2.bitwise_not(covered))
        gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    sample = color[::4, ::4].reshape(-1, 3)
    if (sample == sample[:, :1]).all():
        return gray
    sample = sample.astype(np.float32) - np.median(border(color), axis=0)
    variances, axes = np.linalg.eigh(sample.T @ sample / len(sample))
    if cv2.meanStdDev(gray)[1].item() ** 2 >= 0.05 * variances[-1]:
        return gray
    along = color @ axes[:, -1]
    return (128 + (along - along.mean()) / 2).clip(0, 255).astype(np.uint8)


def border(pixels: np.ndarray) -> np.ndarray:
    """Return the pixels of a picture's four edges."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def crop(digit: np.ndarray) -> np.ndarray:
    """Return an array of shape (H, W), not all 0, cropped to its nonzero values."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def pad(digit: np.ndarray, width: int) -> np.ndarray:
    """Return an array with `width` pixels of 0 around it."""
    return cv2.copyMakeBorder(digit, *[width] * 4, cv2.BORDER_CONSTANT, value=0)


def _to_bytes(array: np.ndarray) -> np.ndarray:
    """Return an array of numbers in [0, 1], or of integers in [0, 255], as uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise NoDigitError(f"Arrays have shape (H, W), (H, W, 3) or (H, W, 4), not {array.shape}.")
    if array.dtype.kind in "fb":
        array = np.nan_to_num(shrink(array.astype(np.float32))).clip(0, 1) * 255
    return array if array.dtype == np.uint8 else array.clip(0, 255).round().astype(np.uint8)
