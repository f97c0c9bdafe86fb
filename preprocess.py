"""Any picture of a digit becomes the picture that MNIST's authors would have made of it.

LeCun et al. 1998, section III-A: digits "size normalized to fit in a 20x20 pixel box while
preserving their aspect ratio", with an anti-aliasing filter, then centred in 28x28 "by
computing the center of mass of the pixels". A network that has seen only such pictures
reads only such pictures well.
"""

import numpy as np
from PIL import Image

FRAME = 28  # pixels, the side of MNIST's pictures
BOX = 20  # pixels, the longest side of a digit in them
CENTER = 14.0  # index of the centre of mass: that of 69,998 of MNIST's 70,000, ± half a pixel
LEAST_CONTRAST = 0.1  # of black on white; anything fainter is taken for blank paper


class NoDigitError(ValueError):
    """There is nothing to read; the message says so to a visitor."""


def to_mnist(image: Image.Image | np.ndarray) -> np.ndarray:
    """Bring a picture of a digit into MNIST's form.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        Any size and mode, dark ink on light paper or light on dark, anywhere in the picture.
        Arrays are uint8 in [0, 255], or float or bool in [0, 1]; a fourth channel is alpha.

    Returns
    -------
    digit : float32 ndarray of shape (28, 28)
        In [0, 1], 0 = paper, 1 = ink. The ink's longer side is 20 pixels, its centre of mass
        within half a pixel of index 14.0 on both axes, unless that would cut off ink.

    Raises
    ------
    NoDigitError
        If there is no ink in the picture.
    """
    ink = find_ink(to_gray(image))
    return frame(ink[ink_box(ink)])


def to_gray(image: Image.Image | np.ndarray) -> np.ndarray:
    """Give the picture's brightness, float32 of shape (H, W) in [0, 1].

    What is transparent becomes the paper that the ink is seen on: white around dark ink,
    black around light ink.
    """
    if isinstance(image, np.ndarray):
        pixels = image if image.dtype == np.uint8 else (image.clip(0, 1) * 255).astype(np.uint8)
        image = Image.fromarray(pixels)
    pixels = np.asarray(image.convert("LA"), dtype=np.float32) / 255
    gray, alpha = pixels[..., 0], pixels[..., 1]
    if alpha.min() < 1:
        visible = alpha.sum()
        ink_is_light = visible > 0 and (gray * alpha).sum() > visible / 2
        gray = gray * alpha + (0.0 if ink_is_light else 1.0) * (1 - alpha)
    return gray


def find_ink(gray: np.ndarray) -> np.ndarray:
    """Give how much ink each pixel holds, float32 of shape (H, W) in [0, 1], 1 at the most.

    The border shows what the paper looks like; ink is what differs from it, to the side,
    darker or lighter, to which most of the picture differs.
    """
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    difference = gray - np.median(border)
    if difference.sum() < 0:
        difference = -difference
    ink = difference.clip(0, None)
    contrast = ink.max()
    if contrast < LEAST_CONTRAST:
        raise NoDigitError("Nothing to read yet: draw a digit, or choose a picture of one.")
    return ink / contrast


def ink_box(ink: np.ndarray) -> tuple[slice, slice]:
    """Give the rows and the columns that hold ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def frame(digit: np.ndarray) -> np.ndarray:
    """Size a digit, cropped to its ink, to the 20-pixel box and place it in 28x28 by its mass."""
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    # Averaging areas is the anti-aliasing that gives MNIST its greys; it cannot enlarge.
    resampling = Image.Resampling.BOX if scale <= 1 else Image.Resampling.BICUBIC
    resized = Image.fromarray(digit).resize((width, height), resampling)
    digit = np.asarray(resized).clip(0, 1)

    framed = np.zeros((FRAME, FRAME), np.float32)
    top = place(digit.sum(axis=1))
    left = place(digit.sum(axis=0))
    framed[top : top + height, left : left + width] = digit
    return framed


def place(mass: np.ndarray) -> int:
    """Give the first index at which a profile of mass, once in the frame, has its centre at 14."""
    center = (mass * np.arange(len(mass))).sum() / mass.sum()
    return int(np.clip(round(CENTER - center), 0, FRAME - len(mass)))
