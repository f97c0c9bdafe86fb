"""Find the ink in a gray picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.paper import MIN_CONTRAST, SMALL_SIDE, Paper, find_paper, inner, remove_strokes
from reading.picture import NoDigitError
from reading.ruling import remove_ruling

MAD_TO_STD = 1.4826  # standard deviation of a normal distribution, in median absolute deviations

NOTHING_MESSAGE = "I found no number in this picture."


@dataclass(frozen=True)
class Ink:
    """The amount of ink in each pixel of a picture."""

    amount: np.ndarray  # (H, W) float32 in [0, 1], 1 = the most in this picture
    threshold: float  # in [0, 1]; pixels with more are surely ink
    on_even_paper: bool  # True for a drawing or a screen, False for a photograph


def find_ink(gray: np.ndarray) -> Ink:
    """Return the ink of a gray picture, uint8 (H, W), or raise NoDigitError if there is none.

    Otsu's threshold separates ink from noise.
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
        ink -= np.median(seen)  # `remove_strokes` takes the grain's extremes for the paper
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
    seen = ink if even else inner(ink)  # a photograph's border may show the table
    levels = (seen[seen > noise] * 255).astype(np.uint8)
    if not levels.size:
        raise NoDigitError(NOTHING_MESSAGE)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    ink /= contrast
    return Ink(ink, max(otsu / 255, noise) / contrast, even)


def _on_uniform_paper(gray: np.ndarray, paper: Paper) -> np.ndarray:
    """Return each pixel's distance from the paper's level; 1 is the largest possible one."""
    ink = gray - np.float32(paper.level)
    ink /= -max(paper.level, 5) if paper.is_light else max(255 - paper.level, 5)
    return ink


def _in_uneven_light(gray: np.ndarray, paper: Paper) -> np.ndarray:
    """Return the ink on a sheet in uneven light, about 0 where there is none."""
    gray = gray.astype(np.float32) / 255
    gray = cv2.GaussianBlur(gray / np.quantile(gray[::3, ::3], 0.999), (0, 0), 1.2).clip(0, 1)
    sheet = remove_strokes((gray * 255).astype(np.uint8), paper.is_light) / np.float32(255)
    # A quotient, since light multiplies: in a shadow, chalk stands out by the same factor.
    darker, brighter = (gray, sheet) if paper.is_light else (sheet, gray)
    return 1 - darker / np.maximum(brighter, 0.02)
