"""Find points, commas, dashes and slashes among digits by their place and shape."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reading.parts import Parts

MARK = "?"  # shown in place of a sign
DOUBT_MESSAGE = "This may not be a digit."

MAX_LOW = 0.4  # line heights; every digit is taller
MAX_DOT = 0.25  # line heights, width and height of a dot
MAX_SPECK = 1.6  # stroke widths; dust or a period
MIN_SLASH_HEIGHT = 0.95  # line heights
MIN_LEAN = np.deg2rad(12)  # a slash leans farther to the right; few people's 1s do
MAX_SPREAD = 0.4  # stroke widths, standard deviation of a straight stroke from its axis


@dataclass(frozen=True)
class Signs:
    """Where signs stand in a line; they aren't candidates. Fields are arrays of x."""

    centers: np.ndarray = field(default_factory=lambda: np.empty(0))  # in picture widths
    # Of parts with a point below them, in pixels of the line.
    dotted: np.ndarray = field(default_factory=lambda: np.empty(0))


def find_signs(parts: Parts, chosen: np.ndarray, stroke: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which parts are signs, and which have a point below them, both bool (N,)."""
    left, top, width, height = parts.boxes.T
    right, bottom, size = left + width, top + height, np.maximum(width, height)
    tall = height[chosen].max()
    digits = chosen & (height >= MAX_LOW * tall)
    none = np.zeros(len(chosen), bool)
    if not digits.any():
        return none, none
    own = (parts.mass > 0) & ~digits & (size >= 0.8 * stroke) & (height < MAX_LOW * tall)
    overlap = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    beside = (overlap[:, digits] <= 0.3 * np.minimum.outer(width, width[digits])).all(axis=1)
    middle = top + height / 2
    first, last = top[digits].min(), bottom[digits].max()
    in_line = (middle > first) & (middle < last + 0.3 * tall)
    center = left + width / 2
    before = (center[:, None] > center[digits]).any(axis=1)
    after = (center[:, None] < center[digits]).any(axis=1)
    near = (-overlap[:, digits]).min(axis=1) < tall
    speck = size < min(MAX_DOT * tall, MAX_SPECK * stroke)
    signs = own & beside & in_line & np.where(speck, before & after, near)
    # Question and exclamation marks have a point below them.
    point = own & (size < MAX_DOT * tall) & (np.minimum(width, height) > 0.5 * size)
    inside = (center[:, None] > left) & (center[:, None] < right)
    gap = top[:, None] - bottom
    below = (point[:, None] & inside & (gap > 0) & (gap < 0.5 * tall)).any(axis=0)
    for part in np.flatnonzero(digits & before & after & (height > MIN_SLASH_HEIGHT * tall)):
        signs[part] = _is_slash(parts, part, stroke)
    return signs, digits & below


def _is_slash(parts: Parts, part: int, stroke: float) -> bool:
    """Return whether a part is a single straight stroke that leans far."""
    left, top, width, height = parts.boxes[part]
    if not np.tan(MIN_LEAN) < (width - stroke) / max(height - stroke, 1) < 1.5:
        return False
    box = parts.labels[top : top + height, left : left + width] == part
    variances = np.linalg.eigvalsh(np.cov(np.nonzero(box)))
    return bool(np.sqrt(variances[0]) < MAX_SPREAD * stroke)


def with_marks(number: str, is_digit: Sequence[bool], boxes: np.ndarray, signs: Signs) -> str:
    """Return a number with one mark for each run of signs and non-digits, such as "3 ? 14"."""
    characters = [
        (center, digit if known else MARK)
        for center, digit, known in zip(
            boxes[:, [0, 2]].mean(axis=1), number, is_digit, strict=True
        )
    ]
    characters += [(center, MARK) for center in signs.centers]
    text = "".join(character for _, character in sorted(characters))
    return re.sub(r"\?+", f" {MARK} ", text).strip()


def describe_doubt(text: str) -> str:
    """Return the page's sentence for a text with marks, "" without any."""
    words = text.split()
    numbers = [word for word in words if word != MARK]
    if len(numbers) == len(words):
        return ""
    if not numbers:
        return DOUBT_MESSAGE
    if len(words) - len(numbers) > 1:
        return f"I read {_listed(numbers)}. The other marks aren't digits."
    where = "before it" if words[0] == MARK else "after it" if words[-1] == MARK else "between them"
    return f"I read {_listed(numbers)}. The mark {where} isn't a digit."


def _listed(words: Sequence[str]) -> str:
    """Return a list as a phrase: "3", "3 and 4", "3, 4 and 5"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
