"""Cut a line of writing in more places than it has digits.

The ink between two cuts may be a digit. The network decides later which cuts are right (LeCun et
al. 1998, section V, "heuristic over-segmentation"). `find_gaps` cuts between parts. `find_cuts`
starts anew and also cuts through ink, in two ways: along paths from top to bottom that cross little
of it, and in wide parts by strokes, which stay whole if most of a stroke is on one side.

A line's height is that of its tallest part, and the unit "heights" below.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from reading.skeleton import Strokes, find_strokes, nearest

MAX_CLEAR = 0.1  # stroke widths of ink; a cut that crosses less goes through paper
INK = 0.4  # amount; a pixel with more is surely ink
MIN_INK = 0.012  # ink between two cuts, at least, in squared heights
# Paths
MAX_CUT = 2.5  # stroke widths; the cost of a path, in ink and sidesteps, is less
SIDESTEP = 0.1  # cost of a step to the side, in pixels of ink; keeps paths straight
ROWS = (0.3, 0.5, 0.7)  # shares of the line's rows, in which to choose the cheapest paths
MIN_PATH_DISTANCE = 0.06  # heights
# Strokes
MIN_WIDE = 0.85  # heights; a wider part may be several digits that touch
MAX_NARROW = 0.6  # heights; a line of one part up to this width is one digit
SPLIT_STEP = 0.125  # heights between two splits, which assign strokes to the left or right
SLANT = 0.15  # pixels to the right for each pixel up: the slant of most handwriting
MAJORITY = 0.75  # share of a stroke on one side of a split that puts the whole stroke there
MAX_TURNS = (0.0, 0.8)  # radians; a pen that turns less draws one stroke; both are tried


@dataclass(frozen=True)
class Cuts:
    """Cuts through a line. `find_gaps` and `find_cuts` return its two ends, too, in order."""

    left: np.ndarray  # (count, h, w) bool: pixels to the left of each cut
    right: np.ndarray  # (count, h, w) bool: to the right; ink where strokes meet may be in both
    crossed: np.ndarray  # (count,) float: ink that a cut crosses, in stroke widths

    def __len__(self) -> int:
        return len(self.crossed)

    def is_clear(self) -> np.ndarray:
        """Return which cuts cross no ink."""
        return self.crossed < MAX_CLEAR


def find_gaps(line: np.ndarray, height: float) -> Cuts:
    """Return the cuts through paper of a line, float32 (h, w); `height` is in pixels."""
    ink = (line > INK).view(np.uint8)
    count, labels, boxes, centers = cv2.connectedComponentsWithStats(ink)
    parts = 1 + np.flatnonzero(boxes[1:, cv2.CC_STAT_AREA] >= MIN_INK * height**2)
    parts = parts[np.argsort(boxes[parts, 0])]
    # Parts above one another belong together.
    reach = np.maximum.accumulate(boxes[parts, 0] + boxes[parts, 2])
    group = np.cumsum(np.append(0, centers[parts[1:], 0] > reach[:-1]))
    group_at = np.zeros(line.shape, int)
    if group[-1]:
        group_of = np.zeros(count, int)
        group_of[parts] = group + 1
        group_at = nearest(group_of[labels]) - 1
    left = group_at < np.arange(group[-1] + 2)[:, None, None]
    return Cuts(left, ~left, np.zeros(len(left)))


def find_cuts(line: np.ndarray, height: float, stroke: float) -> Cuts:
    """Return cuts through paper and ink of a line with strokes `stroke` pixels wide."""
    ink, least = line > INK, MIN_INK * height**2
    if _is_one_narrow_part(ink, MAX_NARROW * height):  # like most single digits
        none = np.empty((0, *line.shape), bool)
        return _with_ends(none, none, np.empty(0))
    paths = _cheapest_paths(line, MAX_CUT * stroke, round(MIN_PATH_DISTANCE * height))
    left = np.arange(line.shape[1]) <= paths[:, :, None]
    cuts = _distinct(Cuts(left, ~left, _contact(ink, left, ~left) / stroke), ink, least)
    left, right = _by_strokes(ink, cuts.left[cuts.is_clear()], height, stroke)
    if len(left):
        crossed = np.append(cuts.crossed, _contact(ink, left, right) / stroke)
        left, right = np.concatenate([cuts.left, left]), np.concatenate([cuts.right, right])
        cuts = _distinct(Cuts(left, right, crossed), ink, least)
    order = np.argsort(cuts.left[:, ink].sum(axis=1) - cuts.right[:, ink].sum(axis=1, dtype=float))
    return _with_ends(cuts.left[order], cuts.right[order], cuts.crossed[order])


def _with_ends(left: np.ndarray, right: np.ndarray, crossed: np.ndarray) -> Cuts:
    """Add the line's ends to its cuts."""
    end = np.ones((1, *left.shape[1:]), bool)
    return Cuts(
        np.concatenate([~end, left, end]),
        np.concatenate([end, right, ~end]),
        np.concatenate([[0], crossed, [0]]),
    )


def _is_one_narrow_part(ink: np.ndarray, most: float) -> bool:
    """Return whether all ink is connected and at most `most` columns wide."""
    ink = ink.view(np.uint8)
    return cv2.boundingRect(ink)[2] <= most and cv2.connectedComponents(ink)[0] == 2


def _contact(ink: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many pairs of neighboring ink pixels each cut separates."""
    left, right = left & ink & ~right, right & ink & ~left
    beside = (left[:, :, :-1] & right[:, :, 1:]) | (left[:, :, 1:] & right[:, :, :-1])
    below = (left[:, :-1] & right[:, 1:]) | (left[:, 1:] & right[:, :-1])
    return beside.sum(axis=(1, 2)) + below.sum(axis=(1, 2))


def _distinct(cuts: Cuts, ink: np.ndarray, least: float) -> Cuts:
    """Return cuts with at least `least` ink between any two, preferring those that cross less."""
    sides = np.stack([cuts.left[:, ink], cuts.right[:, ink]]).astype(np.float32)
    flat = sides.transpose(1, 0, 2).reshape(len(cuts), -1)
    common, own = flat @ flat.T, flat.sum(axis=1)
    apart = (own[:, None] + own - 2 * common) / 2 >= least
    inside = (sides.sum(axis=2) >= least).all(axis=0)
    chosen = []
    for cut in np.argsort(cuts.crossed, kind="stable"):
        if inside[cut] and apart[cut, chosen].all():
            chosen.append(cut)
    return Cuts(cuts.left[chosen], cuts.right[chosen], cuts.crossed[chosen])


def _cheapest_paths(ink: np.ndarray, most: float, distance: int) -> np.ndarray:
    """Return the columns of paths that cross less ink than their neighbors, (paths, rows)."""
    (down, up), (step_up, step_down) = _costs(np.stack([ink, ink[::-1]]))
    up, step_down = up[::-1], step_down[::-1]
    step_up, step_down = step_up.tolist(), step_down.tolist()  # fast to walk through step by step
    paths = []
    for share in ROWS:
        row = int(len(ink) * share)
        cost = down[row] + up[row] - ink[row]
        least = cv2.erode(cost[None], np.ones((1, 2 * distance + 1), np.uint8))[0]
        low = np.flatnonzero((cost <= least + 1e-4) & (cost < most))
        runs = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1)
        for run in filter(len, runs):
            path = [int(run[len(run) // 2])]
            for above in range(row, 0, -1):
                path.append(path[-1] + step_up[above][path[-1]])
            path.reverse()
            for below in range(row, len(ink) - 1):
                path.append(path[-1] + step_down[below][path[-1]])
            paths.append(path)
    return np.array(paths, int).reshape(-1, len(ink))


def _costs(inks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least cost of a path from the first row to each pixel, and the step back."""
    # A path continues at one of the three pixels below (seams, Avidan and Shamir 2007).
    count, height, width = inks.shape
    costs = np.full((height, count, width + 2), 1e9, np.float32)
    costs[0, :, 1:-1] = inks[:, 0]
    for row in range(1, height):
        before = costs[row - 1]
        least = np.minimum(before[:, :-2], before[:, 2:])
        least += SIDESTEP
        np.minimum(least, before[:, 1:-1], out=least)
        np.add(least, inks[:, row], out=costs[row, :, 1:-1])
    left, middle, right = costs[:-1, :, :-2], costs[:-1, :, 1:-1], costs[:-1, :, 2:]
    aside = np.where(left < right, -1, 1)
    steps = np.zeros((height, count, width), int)
    steps[1:] = np.where(np.minimum(left, right) + SIDESTEP < middle, aside, 0)
    return costs[:, :, 1:-1].swapaxes(0, 1), steps.swapaxes(0, 1)


def _by_strokes(
    ink: np.ndarray, clear: np.ndarray, height: float, stroke: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels to the left and to the right of cuts through wide parts."""
    interval = (~clear).sum(axis=0)  # how many clear cuts are left of each pixel
    splits = []  # column in the middle row, and interval
    for index in range(len(clear) + 1):
        x, _, wide, _ = cv2.boundingRect((ink & (interval == index)).view(np.uint8))
        if wide > MIN_WIDE * height:
            columns = np.linspace(x, x + wide, round(wide / (SPLIT_STEP * height)) + 1)[1:-1]
            splits += [(column, index) for column in columns]
    if not splits:
        return clear[:0], clear[:0]
    strokes = find_strokes(ink.view(np.uint8), stroke)
    column, index = np.array(splits).T[:, :, None]
    found = [_sides(strokes.joined(turn), column, index, interval) for turn in MAX_TURNS]
    left, right = (np.concatenate(side) for side in zip(*found, strict=True))
    return left, right


def _sides(strokes: Strokes, column, index, interval) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels left and right of slanted splits; most strokes stay whole on one side."""
    rows, columns = interval.shape
    lean = SLANT * (rows / 2 - np.arange(rows))
    x, y = strokes.points
    belongs = np.eye(strokes.meetings.shape[1], dtype=np.float32)[strokes.stroke]
    length = belongs.sum(axis=0)
    share = (x <= column + lean[y]).astype(np.float32) @ belongs / length
    interval_of = (interval[y, x] @ belongs / length).round()
    left = np.where(interval_of == index, share >= MAJORITY, interval_of < index)
    right = np.where(interval_of == index, share <= 1 - MAJORITY, interval_of > index)
    # The ink where strokes of different sides meet belongs to both sides.
    meet = strokes.meetings.T.astype(np.float32)
    torn = (~(left | right)) @ meet > 0
    left = np.concatenate([left, (left @ meet > 0) & ~torn], axis=1)
    right = np.concatenate([right, (right @ meet > 0) & ~torn], axis=1)
    sides = np.concatenate([left, right], axis=1)
    # Neighboring splits that put each stroke on the same side are one cut, unless they tear one.
    new = (sides[1:] != sides[:-1]).any(axis=1) | ~(left | right).all(axis=1)[1:]
    new = np.append(True, new)
    left, right, column = left[new], right[new], column[new]
    left, right = left[:, strokes.owner], right[:, strokes.owner]
    before = np.arange(columns) <= column[:, :, None] + lean[:, None]
    torn = ~(left | right)
    return left | (torn & before), right | (torn & ~before)
