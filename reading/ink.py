"""Gray pixels become ink: how much of it each pixel of the paper holds."""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.paper import MIN_CONTRAST, SMALL_SIDE, Paper, find_paper, inner, remove_strokes
from reading.picture import NoDigitError
from reading.ruling import remove_ruling

MAD_TO_STD = 1.4826  # a normal distribution's standard deviation, in median deviations

NOTHING_MESSAGE = "I found no number in this picture."


@dataclass(frozen=True)
class Ink:
    """How much ink each pixel of a picture holds."""

    amount: np.ndarray  # (H, W) float32 in [0, 1], 1 = the most that the picture holds
    threshold: float  # in [0, 1]: what holds more is surely ink
    on_even_paper: bool  # a screen's or a drawing's; otherwise it is a photograph


def find_ink(gray: np.ndarray) -> Ink:
    """Return the ink of a picture: what is darker than the paper, or what is lighter.

    Otsu's threshold parts it from the paper.
    """
    paper = find_paper(gray)
    even, small = paper.level is not None, max(gray.shape) <= SMALL_SIDE
    ink = _on_uniform_paper(gray, paper) if even else _in_uneven_light(gray, paper)
    if even:
        noise = 0 if small else 4 * MAD_TO_STD * paper.noise / 255
    else:
        seen = ink[::3, ::3]
        if paper.mask is not None and paper.mask[::3, ::3].any():
            seen = seen[paper.mask[::3, ::3] > 0]
        ink -= np.median(seen)  # closing finds the brightest, or darkest, grain
        noise = 4 * MAD_TO_STD * float(np.median(np.abs(seen - np.median(seen))))
    if paper.mask is not None:
        side = max(3, max(gray.shape) // 80) | 1
        ink *= cv2.erode(paper.mask, np.ones((side, side), np.uint8))
    ink = np.clip(ink, 0, 1, out=ink)
    if not small:
        ink = remove_ruling(ink, noise)
    contrast = float(ink.max())
    if contrast < max(MIN_CONTRAST, 1.3 * noise):
        raise NoDigitError(NOTHING_MESSAGE)
    seen = ink if even else inner(ink)  # what lies along a photograph's border is the table
    levels = (seen[seen > noise] * 255).astype(np.uint8)
    if not levels.size:
        raise NoDigitError(NOTHING_MESSAGE)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    ink /= contrast
    return Ink(ink, max(otsu / 255, noise) / contrast, even)


def _on_uniform_paper(gray: np.ndarray, paper: Paper) -> np.ndarray:
    """Return how far each pixel is from the paper's level, in shares of the most there can be."""
    ink = gray - np.float32(paper.level)
    ink /= -max(paper.level, 5) if paper.is_light else max(255 - paper.level, 5)
    return ink


def _in_uneven_light(gray: np.ndarray, paper: Paper) -> np.ndarray:
    """Return the ink on a sheet that is lit unevenly, about 0 where there is none."""
    gray = gray.astype(np.float32) / 255
    gray = cv2.GaussianBlur(gray / np.quantile(gray[::3, ::3], 0.999), (0, 0), 1.2).clip(0, 1)
    sheet = remove_strokes((gray * 255).astype(np.uint8), paper.is_light) / np.float32(255)
    # A quotient, as light multiplies: chalk stands out from the board as much in a shadow.
    darker, brighter = (gray, sheet) if paper.is_light else (sheet, gray)
    return 1 - darker / np.maximum(brighter, 0.02)
