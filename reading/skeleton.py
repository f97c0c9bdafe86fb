"""Find pen strokes in ink: thin it to lines, split these where they meet, and join some again.

A stroke continues in its direction where it crosses another, such as the next digit's.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

# All in widths of a stroke:
MEETING_RADIUS = 0.55  # radius around a junction where a line's direction is unreliable
MAX_OVERLAP = 1.5  # a shorter line between two junctions is an overlap of strokes
MAX_SPUR = 0.5  # a shorter dead end at a junction is the ink's edge, not a stroke
END_LENGTH = 2.0  # length of a line's end that gives its direction

# A pixel's eight neighbors, clockwise from the one above, are the bits of a byte.
NEIGHBORS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
BITS = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(np.uint8)
BRANCHES = ((BITS == 0) & (np.roll(BITS, -1, axis=1) == 1)).sum(axis=1).astype(np.uint8)


@dataclass(frozen=True)
class Strokes:
    """The strokes of ink, and the places where they meet."""

    points: np.ndarray  # (2, N) int: x and y of the pixels of the thinned strokes
    stroke: np.ndarray  # (N,) int: the stroke of each of these pixels
    owner: np.ndarray  # (h, w) int: the nearest stroke, or stroke count + index of a nearer place
    meetings: np.ndarray  # (places, strokes) bool: which strokes meet at a place
    joints: np.ndarray  # (J, 2) int: pairs of strokes that may be one, straightest first
    turns: np.ndarray  # (J,) float: how far the pen turns at these joints, radians

    def joined(self, turn: float) -> "Strokes":
        """Return the strokes after joining those between which the pen turns less than `turn`."""
        count = self.meetings.shape[1]
        name = np.arange(count)
        for one, other in self.joints[self.turns < turn]:
            name[name == name[one]] = name[other]
        kept, name = np.unique(name, return_inverse=True)
        owners = np.concatenate([name, len(kept) + np.arange(len(self.meetings))])
        meetings = np.zeros((len(self.meetings), len(kept)), bool)
        np.logical_or.at(meetings.T, name, self.meetings.T)
        return replace(self, stroke=name[self.stroke], owner=owners[self.owner], meetings=meetings)


def find_strokes(ink: np.ndarray, width: float) -> Strokes:
    """Return the strokes of ink, uint8 (h, w) of 0 and 1, with strokes `width` pixels wide."""
    lines = thin(ink)
    near = np.ones((2 * round(MEETING_RADIUS * width) + 1,) * 2, np.uint8)
    meeting = cv2.dilate(lines & (cv2.LUT(_neighbors(lines), BRANCHES) > 2).view(np.uint8), near)
    segments, places, contacts = _split(lines, meeting)
    length = np.bincount(segments.ravel())
    places_at = np.zeros(len(length), int)
    np.add.at(places_at, np.unique(contacts[2:], axis=1)[0], 1)
    bridge = (places_at > 1) & (length < MAX_OVERLAP * width)
    spur = (places_at == 1) & (length < MAX_SPUR * width)
    bridge[0] = spur[0] = False
    lines &= ~spur[segments].view(np.uint8)
    segments, places, contacts = _split(lines, meeting | bridge[segments].view(np.uint8))
    y, x = np.nonzero(segments)
    points, stroke = np.stack([x, y]), segments[y, x] - 1
    count = stroke.max(initial=-1) + 1
    meetings = np.zeros((places.max(), count), bool)
    meetings[contacts[3] - 1, contacts[2] - 1] = True
    identity = np.where(segments, segments, (places + count) * ((places > 0) & (lines > 0)))
    joints, turns = _joints(points, stroke, contacts, END_LENGTH * width)
    return Strokes(points, stroke, nearest(identity) - 1, meetings, joints, turns)


def thin(ink: np.ndarray) -> np.ndarray:
    """Return ink thinned to lines of one pixel (Zhang and Suen 1984)."""
    above, right, below, left = BITS.T[::2]
    edge = (BRANCHES == 1) & (BITS.sum(axis=1) > 1) & (BITS.sum(axis=1) < 7)
    removable = (
        edge & (above * right * below == 0) & (right * below * left == 0),
        edge & (above * right * left == 0) & (above * below * left == 0),
    )
    pixels = 0
    while pixels != (pixels := cv2.countNonZero(ink)):
        for table in removable:
            ink = ink & ~cv2.LUT(_neighbors(ink), table.view(np.uint8))
    return ink


def _neighbors(ink: np.ndarray) -> np.ndarray:
    return cv2.filter2D(ink, -1, NEIGHBORS, borderType=cv2.BORDER_CONSTANT)


def _split(lines: np.ndarray, meeting: np.ndarray):
    """Return segments of lines, places where they meet, and contacts (x, y, segment, place)."""
    segments = cv2.connectedComponents(lines & ~meeting)[1]
    places = cv2.connectedComponents(meeting)[1]
    near = cv2.dilate(places.astype(np.float32), np.ones((3, 3), np.uint8)).astype(int)
    y, x = np.nonzero((segments > 0) & (near > 0))
    return segments, places, np.stack([x, y, segments[y, x], near[y, x]])


def _joints(points, stroke, contacts, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of strokes that may be one, and their angles."""
    # A stroke's adjacent contacts with a place are one end of the stroke.
    ends = []
    for x, y, segment, place in contacts.T.tolist():
        for end in ends:
            if end[2:] == (segment - 1, place) and max(abs(end[0] - x), abs(end[1] - y)) < 3:
                break
        else:
            ends.append((x, y, segment - 1, place))
    if len(ends) < 2:
        return np.zeros((0, 2), int), np.zeros(0)
    x, y, of, place = np.array(ends).T
    position = np.stack([x, y], axis=1).astype(float)
    away = points.T[None] - position[:, None]
    near = (stroke == of[:, None]) & (np.abs(away).max(axis=2) <= reach)
    heading = _unit((away * near[..., None]).sum(axis=1))
    one, other = np.nonzero(np.triu(place[:, None] == place, 1))
    across = position[other] - position[one]
    turns = _angle(-heading[one], _unit(across)) + _angle(_unit(across), heading[other])
    joints, taken = [], set()
    for joint in np.argsort(turns):
        pair = {int(one[joint]), int(other[joint])}
        if not pair & taken:
            taken |= pair
            joints.append(joint)
    return np.stack([of[one], of[other]], axis=1)[joints], turns[joints]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip((one * other).sum(axis=1), -1, 1))


def nearest(labels: np.ndarray) -> np.ndarray:
    """Return the nearest label other than 0 for each pixel of an int array (h, w)."""
    labeled = labels > 0
    _, cell = cv2.distanceTransformWithLabels(
        (~labeled).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(cell.max() + 1, int)
    label_of[cell[labeled]] = labels[labeled]
    return label_of[cell]
