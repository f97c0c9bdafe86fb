"""Find the paper: its place, its brightness, and whether the ink on it is darker or lighter.

Ink is narrow and covers less than the paper around it. Everything broad is a surface, such as a
sheet, a desk or a bar. The paper is the surface that the strongest stroke lies on.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from reading.picture import border, shrink

SMALL_SIDE = 40  # pixels; smaller pictures count as cropped to a digit, without noise
UNIFORM_NOISE = 3  # gray levels; paper that varies less is from a screen or a drawing
MIN_CONTRAST = 0.1  # 1 = black on white; less counts as blank paper
THUMBNAIL_SIDE = 32  # pixels, enough to tell paper from ink
STROKES_SIDE = 80  # pixels, enough to find strokes
SURFACE_SIDE = 320  # pixels, enough to find the edges of a sheet
PARTS_WEIGHT = 0.17  # factor of the log ratio of parts in `_paper_at_border` (logistic regression)
MAX_STROKE, TYPICAL_STROKE = 1 / 6, 1 / 16  # widths, in shorter sides of the picture
PEN_STROKE = 0.1  # share of the writing's extent: half the width of most pens' strokes
MIN_WRITING = 0.12  # share of a sheet's extent; smaller marks aren't writing
MIN_SHEET = 1.3  # least breadth of a sheet, in breadths of the broadest stroke on it
MIN_RECTANGLE = 0.88  # share of its rectangle that a sheet fills; a bold 0 fills less
LOG_STEPS = 40  # levels per factor e of brightness
MAX_STEP = 4  # such levels between neighbors: more than at a shadow's edge, less than a sheet's
MIN_COVERED = 0.95  # share of the strongest stroke's pixels that lie on the sheet
LOGARITHMS = (LOG_STEPS * np.log(np.arange(256) + 16)).astype(np.uint8)


@dataclass(frozen=True)
class Paper:
    """The surface that the writing lies on."""

    is_light: bool  # whether the ink is darker
    level: float | None  # brightness in [0, 255]; None in uneven light
    noise: float = 0.0  # median distance from the level, gray levels
    mask: np.ndarray | None = None  # uint8 (H, W), 1 = paper and its writing; None if all is paper


def find_paper(gray: np.ndarray) -> Paper:
    """Return the paper in a gray picture, uint8 (H, W)."""
    edge = border(gray).astype(np.float32)
    level = np.median(edge)
    distance = np.abs(edge - level)
    small = max(gray.shape) <= SMALL_SIDE
    uniform = small or (distance < UNIFORM_NOISE).mean() > 0.6
    if (distance > 255 * MIN_CONTRAST).mean() > 0.15:  # much of the border may be ink
        edge = _paper_at_border(gray, edge)
        level = np.median(edge)
        # The paper of a drawing or a screen has exactly one level, that of a photograph doesn't.
        uniform = small or ((edge == level).mean() > 0.6 and (gray == level).mean() > 0.12)
    if small or (uniform and _is_ink(gray, level)):
        return _uniform(gray, edge, float(level))
    half = shrink(gray, SURFACE_SIDE)
    thumbnail = shrink(half, STROKES_SIDE)
    strokes = [_strokes(picture) for picture in (thumbnail, 255 - thumbnail)]
    dark, light = (np.power(inner(found), 6, dtype=np.float32).sum() for found in strokes)
    is_light = dark > light or (dark == light and strokes[0].max() >= strokes[1].max())
    paper = _surface(half, strokes[0 if is_light else 1], is_light, uniform)
    if paper.mask is None:
        return paper
    return replace(paper, mask=cv2.resize(paper.mask, gray.shape[::-1]))


def _uniform(gray: np.ndarray, paper: np.ndarray, level: float) -> Paper:
    """Return the paper of a picture, given some of its pixels and their median."""
    step = 1 if max(gray.shape) <= SMALL_SIDE else 2
    difference = gray[::step, ::step] - np.float32(level)
    is_light = float((difference * np.abs(difference)).sum()) <= 0
    return Paper(is_light, level, float(np.median(np.abs(paper - level))))


def _is_ink(gray: np.ndarray, level: float) -> bool:
    """Return whether the pixels that differ from a level are ink, not a sheet with writing."""
    # A sheet is broad, with narrow strokes. The hole in a bold 0 is about as broad as the ink.
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
    """Return how much darker strokes are than the paper around them; 0 elsewhere."""
    # Light strokes would divide a dark sheet into narrow pieces, so they are removed first.
    thumbnail = remove_strokes(thumbnail, False, TYPICAL_STROKE)
    closed = remove_strokes(thumbnail, True)
    around = cv2.medianBlur(thumbnail, max(3, min(thumbnail.shape) // 4 | 1))
    darker = cv2.subtract(np.minimum(closed, around), thumbnail)
    # Parts along the picture's border are bars or frames. Ruled lines may connect them to a digit,
    # so the higher level comes first.
    for level in (darker.max() / 2, 255 * MIN_CONTRAST / 2):
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
    # Writing lies on one surface, so an edge that cuts through it is a shadow's.
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
        is_light, level if uniform else None, float(np.median(distance)), None if whole else mask
    )


def remove_strokes(gray: np.ndarray, is_light: bool, narrow: float = MAX_STROKE) -> np.ndarray:
    """Return a gray picture without its narrow parts, dark ones if `is_light`, else light ones."""
    size = max(3, int(min(gray.shape) * narrow))
    operation = cv2.MORPH_CLOSE if is_light else cv2.MORPH_OPEN
    return cv2.morphologyEx(gray, operation, np.ones((size, size), np.uint8))


def inner(picture: np.ndarray) -> np.ndarray:
    """Return a picture without the outer eighth on each side."""
    top, left = (side // 8 for side in picture.shape)
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def _paper_at_border(gray: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return the paper's pixels on a border that may cut through the ink.

    Paper has the larger share of the border, and more parts, such as four corners and a 0's hole.
    A digit reaches more than half across the picture; so a color that doesn't is paper.
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
    """Return a mask's number of parts, and the largest extent of one in sides of the picture."""
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    return count - 1, (boxes[1:, 2:4] / mask.shape[::-1]).max(initial=0)
