"""Make digits look like coarse scans: cropped, and stretched onto 8 to 20 pixels a side.

Data sets of the 1990s and small uploads look like this: often bilevel, a thin 1 stretched wide.
"""

import cv2
import numpy as np

from reading.picture import crop
from reading.preprocess import frame
from reading.small import restore

SIDE = (8, 20)  # the scan's longer side, in pixels
BILEVEL_SHARE = 0.6
STRETCHED_SHARE = 0.5  # share stretched to a square; the rest keep some of their aspect


def to_bytes(digits: np.ndarray) -> np.ndarray:
    """Return digits, float32 (N, 28, 28) in [0, 1], as uint8 (N, 1, 28, 28)."""
    return (digits * 255).round().astype(np.uint8)[:, None]


def scan(images: np.ndarray, seed: int) -> np.ndarray:
    """Return digits as a coarse scanner would store them, normalized like MNIST.

    Parameters
    ----------
    images : uint8 array of shape (N, 1, 28, 28), 0 = paper, 255 = ink, none blank
    seed : int or sequence of int
    """
    rng = np.random.default_rng(seed)
    return to_bytes(frame([_scan(image[0], rng) for image in images]))


def _scan(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    digit = crop(image)
    side = rng.integers(*SIDE, endpoint=True)
    kept = 0 if rng.random() < STRETCHED_SHARE else rng.random()  # 0: square, 1: its aspect
    size = side * (np.array(digit.shape[::-1]) / max(digit.shape)) ** kept
    coarse = cv2.resize(digit, size.round().astype(int).clip(2), interpolation=cv2.INTER_AREA)
    if rng.random() < BILEVEL_SHARE:
        level = min(rng.uniform(80, 175), 0.9 * coarse.max())
        coarse = 255 * (coarse > level).astype(np.uint8)
    return restore(coarse / np.float32(255))
