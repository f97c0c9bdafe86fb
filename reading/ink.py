"""Gray pixels become ink: how much of it each pixel holds, on even paper or in uneven light."""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.picture import NoDigitError, border, shrink

SMALL_SIDE = 40  # pixels: a picture up to this size is examined as it is, to its faintest pixel
EVEN_PAPER = 3  # of 255: paper that varies less is a screen's, or a drawing's
MIN_CONTRAST = 0.1  # of black on white; anything fainter is taken for blank paper
THUMBNAIL_SIDE = 32  # pixels: enough to tell the paper from the ink by
PARTS_WEIGHT = 0.17  # of e times as many parts, in shares of the border: a logistic regression's
MAD_TO_STD = 1.4826  # a normal distribution's standard deviation, in median deviations

NOTHING_MESSAGE = "Nothing to read yet: draw a digit, or choose a picture of one."


@dataclass(frozen=True)
class Ink:
    """How much ink each pixel of a picture holds.

    Attributes
    ----------
    amount : float32 ndarray of shape (h, w)
        In [0, 1], 1 = the most that the picture holds. Of even paper, only the part with ink.
    threshold : float
        In [0, 1]. What holds more is surely ink.
    on_even_paper : bool
        Whether the paper is even, a screen's or a drawing's; otherwise it is a photograph.
    corner : tuple of int
        The column and the row of the picture that `amount` starts at.
    """

    amount: np.ndarray
    threshold: float
    on_even_paper: bool
    corner: tuple[int, int] = (0, 0)


def find_ink(gray: np.ndarray) -> Ink:
    """Return the ink of a picture.

    Ink is what differs from the paper, all of it darker or all of it lighter. Where the border
    of the picture is even, as a drawing's or a screen's is, but for the ink that reaches it, it
    shows the paper for all of the picture; elsewhere the paper is what is left when everything
    narrow is taken away. Otsu's threshold parts the ink from the paper, and from ruled lines.

    Parameters
    ----------
    gray : uint8 ndarray of shape (H, W)
        As `reading.picture.to_gray` returns it.

    Returns
    -------
    ink : Ink

    Raises
    ------
    NoDigitError
        If nothing stands out from the paper.
    """
    edge = border(gray).astype(np.float32)
    paper = float(np.median(edge))
    grain = np.abs(edge - paper)
    small = max(gray.shape) <= SMALL_SIDE
    corner = (0, 0)
    even = small or (grain < EVEN_PAPER).mean() > 0.6
    if (grain > 255 * MIN_CONTRAST).mean() > 0.15:  # much of the border may be ink
        edge = _paper_at_border(gray, edge)
        level = float(np.median(edge))
        # A drawing's or a screen's paper, unlike a photograph's, has one level to the last bit.
        one_level = (edge == level).mean() > 0.6 and (gray == level).mean() > 0.12
        if small or one_level:
            even, paper, grain = True, level, np.abs(edge - level)
    if even:
        noise = 0.0 if small else 4 * MAD_TO_STD * float(np.median(grain)) / 255
        ink, corner = _ink_on_even_paper(gray, paper, noise)
    else:
        ink = _ink_in_uneven_light(gray.astype(np.float32) / 255)
        noise = 4 * MAD_TO_STD * float(np.median(np.abs(ink[::3, ::3])))
    ink = np.clip(ink, 0, 1, out=ink)
    contrast = float(ink.max())
    if contrast < max(MIN_CONTRAST, 1.3 * noise):
        raise NoDigitError(NOTHING_MESSAGE)
    seen = ink if even else _inner(ink)  # what lies along a photograph's border is the table
    levels = (seen[seen > noise] * 255).astype(np.uint8)
    if not levels.size:
        raise NoDigitError(NOTHING_MESSAGE)
    otsu, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    ink /= contrast
    return Ink(ink, max(otsu / 255, noise) / contrast, even, corner)


def _paper_at_border(gray: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return the pixels of the border that are paper, where it may cut through the ink.

    Ink hangs together, and where it fills the picture it cuts the paper into parts: the four
    corners and the inside of a 0. The border votes for its larger share, the parts for the many;
    what nowhere reaches half across the picture is no digit, but paper in its corners.
    """
    thumbnail = shrink(gray, THUMBNAIL_SIDE)
    otsu, light = cv2.threshold(thumbnail, 0, 1, cv2.THRESH_OTSU)
    light_parts, light_reach = _measure_parts(light)
    dark_parts, dark_reach = _measure_parts(1 - light)
    is_light = edge > otsu
    vote = is_light.mean() - 0.5
    vote += PARTS_WEIGHT * np.log(max(1, light_parts) / max(1, dark_parts))
    vote += float(light_reach < 0.5) - float(dark_reach < 0.5)
    paper = edge[is_light == (vote > 0)]
    return paper if paper.size else edge


def _measure_parts(mask: np.ndarray) -> tuple[int, float]:
    """Return how many parts a mask has, and how far one reaches, in sides of the picture."""
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    return count - 1, (boxes[1:, 2:4] / mask.shape[::-1]).max(initial=0)


def _ink_on_even_paper(gray: np.ndarray, paper: float, noise: float):
    """Return what differs from the paper's level, where more than noise does, and its corner."""
    level = np.uint8(paper)
    stands_out = np.maximum(gray, level) - np.minimum(gray, level) > 255 * noise
    left, top, width, height = cv2.boundingRect(stands_out.view(np.uint8))
    if width == 0:
        raise NoDigitError(NOTHING_MESSAGE)
    ink = gray[top : top + height, left : left + width] - np.float32(paper)
    ink /= max(255 - paper, 5) if _polarity(ink) > 0 else -max(paper, 5)
    return ink, (left, top)


def _ink_in_uneven_light(gray: np.ndarray) -> np.ndarray:
    """Return the ink on a sheet that is lit unevenly, about 0 where there is none."""
    gray = cv2.GaussianBlur(gray / np.quantile(gray[::3, ::3], 0.999), (0, 0), 1.2).clip(0, 1)
    # Whether the ink is dark is seen in the middle, against the median around each point.
    levels = (gray * 255).astype(np.uint8)
    small = shrink(levels, 80)
    around = cv2.medianBlur(small, max(small.shape) // 4 | 1)
    dark = _polarity(_inner(small.astype(np.float32) - around)) < 0
    # Closing takes away what is dark and narrower than the window, and leaves shadows' edges.
    size = max(3, min(gray.shape) // 6)
    window = np.ones((size, size), np.uint8)
    operation = cv2.MORPH_CLOSE if dark else cv2.MORPH_OPEN
    sheet = cv2.morphologyEx(levels, operation, window) / np.float32(255)
    # A quotient, as light multiplies: chalk stands out from the board as much in a shadow.
    darker, brighter = (gray, sheet) if dark else (sheet, gray)
    ink = 1 - darker / np.maximum(brighter, 0.02)
    return ink - np.median(ink[::3, ::3])  # the window finds the brightest, or darkest, grain


def _inner(picture: np.ndarray) -> np.ndarray:
    """Return a picture without an eighth of it on each side."""
    top, left = (side // 8 for side in picture.shape)
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def _polarity(difference: np.ndarray) -> float:
    """Return a number that is negative where the strong differences are to the dark side."""
    return float((difference * np.abs(difference)).sum())
