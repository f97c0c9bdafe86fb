"""A line of writing, cut in more places than it has digits.

What lies between two cuts may be a digit; which cuts are right, the network says later (LeCun
et al. 1998, section VII, "heuristic over-segmentation"). A cut is a path from the top of the line
to its bottom that crosses as little ink as it can: none between two digits that stand apart,
however they slant or reach over one another, and a stroke where they touch.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

HEIGHT = 32  # pixels of a digit's height when paths are looked for
CLEAR = 0.1  # stroke widths: a path that crosses less ink runs over paper
MAX_CUT = 2.5  # stroke widths of ink that a path may cross
SIDESTEP = 0.1  # pixels of ink that a step to the side costs, or paths would wind at will
ROWS = (0.3, 0.5, 0.7)  # of the height, where the least costly paths are picked
REACH = 2  # pixels between two of them, at least
LEAST_INK = 0.012 * HEIGHT**2  # pixels between two cuts
# Digits that run into one another have places that no cheap path passes: there, straight cuts.
WIDE = 1.05  # a part wider than so much of its height gets them
STEP = 7  # pixels, at most, between two
SLANT = 0.15  # of them, pixels to the side for each pixel up: that of most hands


@dataclass(frozen=True)
class Cuts:
    """Cuts through a line, from left to right; the first and the last are its ends.

    Attributes
    ----------
    columns : int ndarray of shape (count, h)
        Of each row of the line, the column that a cut runs through: ink in it or to its left lies
        before the cut.
    crossed : float ndarray of shape (count,)
        Ink that a cut crosses, in widths of a stroke.
    """

    columns: np.ndarray
    crossed: np.ndarray

    def __len__(self) -> int:
        return len(self.crossed)

    def is_clear(self) -> np.ndarray:
        """Return which cuts run over paper."""
        return self.crossed < CLEAR


def find_cuts(line: np.ndarray, height: float, stroke: float) -> Cuts:
    """Return where a line of writing may be cut.

    Parameters
    ----------
    line : float32 ndarray of shape (h, w)
        In [0, 1], cropped to the ink.
    height, stroke : float
        Of the digits, and how wide their strokes are, pixels.

    Returns
    -------
    cuts : Cuts
    """
    scale = HEIGHT / height
    rows, columns = (max(3, round(side * scale)) for side in line.shape)
    ink = cv2.resize(line, (columns, rows), interpolation=cv2.INTER_AREA)
    stroke = max(1, stroke * scale)
    paths = _distinct(ink, _cheapest_paths(ink, MAX_CUT * stroke), LEAST_INK)
    clear = paths[_crossed(ink, paths) < CLEAR * stroke]
    straight = _straight_paths(ink, clear)
    paths = _distinct(ink, straight, 2 * LEAST_INK, kept=paths)
    paths = paths[np.argsort(_before(ink, paths).sum(axis=0))]
    crossed = np.concatenate([[0], _crossed(ink, paths) / stroke, [0]])
    ends = [np.full((1, rows), side) for side in (-1, columns - 1)]
    at = np.concatenate([ends[0], paths, ends[1]])[:, _indices(rows, line.shape[0])]
    return Cuts(((at + 1) * (line.shape[1] / columns)).round().astype(int) - 1, crossed)


def _indices(count: int, larger: int) -> np.ndarray:
    """Return which of `count` rows each row of a larger picture is taken from."""
    return (np.arange(larger) * (count / larger)).astype(int)


def _before(ink: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Return the ink to the left of paths in each row, of shape (rows, paths)."""
    sums = np.pad(ink.cumsum(axis=1), ((0, 0), (1, 0)))
    return sums[np.arange(len(ink))[:, None], paths.T + 1]


def _crossed(ink: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Return how much ink paths run through."""
    return np.pad(ink, ((0, 0), (1, 0)))[np.arange(len(ink))[:, None], paths.T + 1].sum(axis=0)


def _distinct(ink: np.ndarray, paths: np.ndarray, least: float, kept=None) -> np.ndarray:
    """Return the paths with at least so much ink between any two of them, the cheapest first.

    Paths that are `kept` already go before.
    """
    first = 0 if kept is None else len(kept)
    paths = paths if kept is None else np.concatenate([kept, paths])
    before = _before(ink, paths)
    between = np.abs(before[:, :, None] - before[:, None]).sum(axis=0)
    inside = (before.sum(axis=0) > least) & (before.sum(axis=0) < ink.sum() - least)
    chosen = list(range(first))
    for path in first + np.argsort(_crossed(ink, paths)[first:], kind="stable"):
        if inside[path] and (between[path, chosen] >= least).all():
            chosen.append(path)
    return paths[chosen]


def _cheapest_paths(ink: np.ndarray, most: float) -> np.ndarray:
    """Return paths that cross less ink than their neighbours do, of shape (paths, rows)."""
    (down, up_to), (up, down_to) = _costs(ink), _costs(ink[::-1])
    found = []
    for share in ROWS:
        row = int(len(ink) * share)
        cost = down[row] + up[-1 - row] - ink[row]
        least = cv2.erode(cost[None], np.ones((1, 2 * REACH + 1), np.uint8))[0]
        low = np.flatnonzero((cost <= least + 1e-4) & (cost < most))
        runs = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1)
        columns = np.array([run[len(run) // 2] for run in runs if len(run)], int)
        paths = np.empty((len(ink), len(columns)), int)
        paths[row] = columns
        for above in range(row, 0, -1):
            paths[above - 1] = paths[above] + up_to[above, paths[above]]
        for below in range(row, len(ink) - 1):
            paths[below + 1] = paths[below] + down_to[-1 - below, paths[below]]
        found.append(paths.T)
    return np.concatenate(found)


def _costs(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least cost of a path from the first row to each pixel, and how it comes there.

    A path goes on to one of the three pixels below (seams, as in Avidan and Shamir 2007).

    Returns
    -------
    costs : float32 ndarray of shape (h, w)
    steps : int ndarray of shape (h, w)
        To the pixel's predecessor: one column to the left, -1, to the right, 1, or none.
    """
    height, width = ink.shape
    costs = np.full((height, width + 2), 1e9, np.float32)
    costs[0, 1:-1] = ink[0]
    for row in range(1, height):
        before = costs[row - 1]
        least = np.minimum(before[:-2], before[2:])
        least += SIDESTEP
        np.minimum(least, before[1:-1], out=least)
        np.add(least, ink[row], out=costs[row, 1:-1])
    left, middle, right = costs[:-1, :-2], costs[:-1, 1:-1], costs[:-1, 2:]
    aside = np.where(left < right, -1, 1)
    steps = np.where(np.minimum(left, right) + SIDESTEP < middle, aside, 0)
    return costs[:, 1:-1], np.concatenate([np.zeros((1, width), int), steps])


def _straight_paths(ink: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Return slanted straight paths through parts that are wide, none farther than `STEP`."""
    height, width = ink.shape
    ends = [np.full(height, -1), *clear[np.argsort(clear[:, height // 2])], np.full(height, width)]
    found = []
    for left, right in pairwise(ends):
        index = np.arange(width)
        part = (ink > 0.3) & (index > left[:, None]) & (index <= right[:, None])
        x, y, wide, tall = cv2.boundingRect(part.view(np.uint8))
        if wide <= WIDE * tall or not tall:
            continue
        lean = SLANT * (y + tall / 2 - np.arange(height))
        for column in np.linspace(x, x + wide, round(wide / STEP) + 1)[1:-1]:
            path = (column + lean).round().astype(int)
            found.append(np.clip(path, np.maximum(left, -1), np.minimum(right, width - 1)))
    return np.array(found, int).reshape(-1, height)
