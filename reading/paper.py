"""What the writing lies on: where it is, how bright, and whether the ink on it is darker.

Ink is narrow, and there is less of it than of the paper around it. What is broad is a surface:
the sheet, a desk, a bar. The sheet is the surface that the strongest stroke lies on.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from reading.picture import border, shrink

SMALL_SIDE = 40  # pixels; smaller pictures are examined to their faintest pixel
UNIFORM_NOISE = 3  # of 255; paper that varies less is a screen's or a drawing's
MIN_CONTRAST = 0.1  # of black on white; anything fainter counts as blank paper
THUMBNAIL_SIDE = 32  # pixels: enough to tell paper from ink
STROKES_SIDE = 80  # pixels: enough to find strokes
SURFACE_SIDE = 320  # pixels: enough to find the edges of a sheet
PARTS_WEIGHT = 0.17  # how much the log of the ratio of parts counts (logistic regression)
MAX_STROKE, TYPICAL_STROKE = 1 / 6, 1 / 16  # widths, in shorter sides of the picture
PEN_STROKE = 0.1  # of the writing's extent: half the width of most pens' strokes
MIN_WRITING = 0.12  # of a sheet's extent; smaller marks on it are no writing
MIN_SHEET = 1.3  # times as broad as its strokes; what is narrower is no sheet
MIN_RECTANGLE = 0.88  # of the rectangle around it that a sheet fills; a bold 0 fills less
LOG_STEPS = 40  # gray levels for each factor e of light
MAX_STEP = 4  # such levels between neighbors; a shadow's edge has less, a sheet's more
MIN_COVERED = 0.95  # of the strongest stroke's pixels that lie on the sheet
LOGARITHMS = (LOG_STEPS * np.log(np.arange(256) + 16)).astype(np.uint8)


@dataclass(frozen=True)
class Paper:
    """The surface that the writing lies on."""

    is_light: bool  # whether the ink is darker
    level: float | None  # of 255; None if it is lit unevenly
    noise: float = 0.0  # of 255: the median distance from the level
    mask: np.ndarray | None = None  # (H, W), 1 = paper and what is written on it; None if all is


def find_paper(gray: np.ndarray) -> Paper:
    """Find the paper in a picture."""
    edge = border(gray).astype(np.float32)
    distance = np.abs(edge - np.median(edge))
    small = max(gray.shape) <= SMALL_SIDE
    uniform = small or (distance < UNIFORM_NOISE).mean() > 0.6
    if (distance > 255 * MIN_CONTRAST).mean() > 0.15:  # much of the border may be ink
        edge = _paper_at_border(gray, edge)
        level = np.median(edge)
        # A drawing's or a screen's paper, unlike a photograph's, has one level to the last bit.
        uniform = small or ((edge == level).mean() > 0.6 and (gray == level).mean() > 0.12)
    if small or (uniform and _is_ink(gray, np.median(edge))):
        return _uniform(gray, edge)
    half = shrink(gray, SURFACE_SIDE)
    thumbnail = shrink(half, STROKES_SIDE)
    strokes = [_strokes(picture) for picture in (thumbnail, 255 - thumbnail)]
    dark, light = (np.power(inner(found), 6, dtype=np.float32).sum() for found in strokes)
    is_light = dark > light or (dark == light and strokes[0].max() >= strokes[1].max())
    paper = _surface(half, strokes[0 if is_light else 1], is_light, uniform)
    if paper.mask is None:
        return paper
    return replace(paper, mask=cv2.resize(paper.mask, gray.shape[::-1]))


def _uniform(gray: np.ndarray, paper: np.ndarray) -> Paper:
    """Return the paper of which some pixels are given."""
    level = float(np.median(paper))
    step = 1 if max(gray.shape) <= SMALL_SIDE else 2
    difference = gray[::step, ::step] - np.float32(level)
    is_light = float((difference * np.abs(difference)).sum()) <= 0
    return Paper(is_light, level, float(np.median(np.abs(paper - level))))


def _is_ink(gray: np.ndarray, level: float) -> bool:
    """Return whether what differs from a level is ink, not a sheet that is written on.

    A sheet is broad, and has narrow strokes in it; what is in a bold 0 is about as broad as it.
    """
    thumbnail = shrink(gray, STROKES_SIDE).astype(np.float32)
    mask = (np.abs(thumbnail - level) > 255 * MIN_CONTRAST).view(np.uint8)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3).max()
    if depth <= 2:
        return True
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    extent = max(cv2.boundingRect(largest)[2:])
    if depth <= PEN_STROKE * extent:
        return True
    filled = cv2.drawContours(np.zeros_like(mask), [largest], -1, 1, cv2.FILLED)
    own = np.median(thumbnail[(filled & mask) > 0])
    written = filled & (np.abs(thumbnail - own) > 255 * MIN_CONTRAST).view(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(written)
    if boxes[1:, 2:4].max(initial=0) < MIN_WRITING * extent:
        return True
    if filled.sum() < MIN_RECTANGLE * np.prod(cv2.minAreaRect(largest)[1]):
        return True
    return depth < MIN_SHEET * cv2.distanceTransform(written, cv2.DIST_L2, 3).max()


def _strokes(thumbnail: np.ndarray) -> np.ndarray:
    """Return by how much strokes are darker than the paper around them; 0 elsewhere."""
    # Without light strokes: they would part a dark sheet into pieces that are narrow.
    thumbnail = remove_strokes(thumbnail, False, TYPICAL_STROKE)
    closed = remove_strokes(thumbnail, True)
    around = cv2.medianBlur(thumbnail, max(3, min(thumbnail.shape) // 4 | 1))
    darker = cv2.subtract(np.minimum(closed, around), thumbnail)
    # What runs along the picture's border is a bar or a frame.
    for level in (darker.max() / 2, 255 * MIN_CONTRAST / 2):  # ruled lines may join it to a digit
        mask = (darker > level).view(np.uint8)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask)
        along = np.bincount(border(labels), minlength=count) > 0.5 * boxes[:, 2:4].max(axis=1)
        along[0] = False
        darker[along[labels]] = 0
    return darker


def _surface(gray: np.ndarray, strokes: np.ndarray, is_light: bool, even_edge: bool) -> Paper:
    """Return the paper around the strongest of the strokes."""
    row, column = np.unravel_index(strokes.argmax(), strokes.shape)
    scale = gray.shape[0] / strokes.shape[0], gray.shape[1] / strokes.shape[1]
    seed = int((column + 0.5) * scale[1]), int((row + 0.5) * scale[0])
    bare = cv2.LUT(cv2.blur(remove_strokes(gray, is_light), (3, 3)), LOGARITHMS)
    filled = np.zeros((gray.shape[0] + 2, gray.shape[1] + 2), np.uint8)
    cv2.floodFill(bare, filled, seed, 0, MAX_STEP, MAX_STEP, 4 | cv2.FLOODFILL_MASK_ONLY | 1 << 8)
    contours, _ = cv2.findContours(filled[1:-1, 1:-1], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    mask = np.zeros(gray.shape, np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.concatenate(contours)), 1)
    # Writing is all on one surface: what cuts through it is a shadow.
    _, labels = cv2.connectedComponents((strokes > strokes.max() / 2).view(np.uint8))
    main = cv2.resize((labels == labels[row, column]).view(np.uint8), gray.shape[::-1])
    found = mask[main > 0]
    if found.sum() <= MIN_COVERED * found.size or not mask[::2, ::2].any():
        mask[:] = 1
    paper, whole = gray[::2, ::2][mask[::2, ::2] > 0].astype(np.float32), bool(mask.all())
    level = float(np.median(paper))
    distance = np.abs(paper - level)
    uniform = (distance < UNIFORM_NOISE).mean() > 0.6 and (even_edge or not whole)
    return Paper(
        is_light,
        level if uniform else None,
        float(np.median(distance)),
        None if whole else mask,
    )


def remove_strokes(gray: np.ndarray, is_light: bool, narrow: float = MAX_STROKE) -> np.ndarray:
    """Return a picture without what is darker, or lighter, than the paper and narrow."""
    size = max(3, int(min(gray.shape) * narrow))
    operation = cv2.MORPH_CLOSE if is_light else cv2.MORPH_OPEN
    return cv2.morphologyEx(gray, operation, np.ones((size, size), np.uint8))


def inner(picture: np.ndarray) -> np.ndarray:
    """Return a picture without an eighth of it on each side."""
    top, left = (side // 8 for side in picture.shape)
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


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
