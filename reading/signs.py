"""Signs among digits that their place and shape give away: points, commas, dashes, slashes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from reading.parts import Parts

MARK = "?"  # stands for what is not a digit
DOUBT_MESSAGE = "This may not be a digit."

MAX_LOW = 0.4  # of the line's height; every digit is taller
MAX_DOT = 0.25  # of the line's height: width and height of a dot
MAX_SPECK = 1.6  # stroke widths: dust, or a full stop
MIN_SLASH_HEIGHT = 0.95  # of the line's height
MIN_LEAN = np.deg2rad(12)  # off the vertical: a slash; few people's 1 leans so far
MAX_SPREAD = 0.4  # stroke widths: a straight stroke's standard deviation from its axis


@dataclass(frozen=True)
class Signs:
    """Where signs stand that are no candidates, and what has a point below.

    `between` is in shares of the picture's width, `dotted` in pixels of the line.
    """

    between: np.ndarray = field(default_factory=lambda: np.empty(0))
    dotted: np.ndarray = field(default_factory=lambda: np.empty(0))


def find_signs(parts: Parts, chosen: np.ndarray, stroke: float) -> tuple[np.ndarray, np.ndarray]:
    """Tell signs from the parts of digits."""
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
    # A point below what stands alone: ? and !
    point = own & (size < MAX_DOT * tall) & (np.minimum(width, height) > 0.5 * size)
    inside = (center[:, None] > left) & (center[:, None] < right)
    gap = top[:, None] - bottom
    below = (point[:, None] & inside & (gap > 0) & (gap < 0.5 * tall)).any(axis=0)
    for part in np.flatnonzero(digits & before & after & (height > MIN_SLASH_HEIGHT * tall)):
        signs[part] = _is_slash(parts, part, stroke)
    return signs, digits & below


def _is_slash(parts: Parts, part: int, stroke: float) -> bool:
    """Return whether a part is one straight stroke that leans far."""
    left, top, width, height = parts.boxes[part]
    if not np.tan(MIN_LEAN) < (width - stroke) / max(height - stroke, 1) < 1.5:
        return False
    box = parts.labels[top : top + height, left : left + width] == part
    variances = np.linalg.eigvalsh(np.cov(np.nonzero(box)))
    return bool(np.sqrt(variances[0]) < MAX_SPREAD * stroke)


def with_marks(number: str, is_digit: Sequence[bool], boxes: np.ndarray, signs: Signs) -> str:
    """Return a number with a mark for each run of what is no digit: "3 ? 14"."""
    characters = [
        (center, digit if known else MARK)
        for center, digit, known in zip(
            boxes[:, [0, 2]].mean(axis=1), number, is_digit, strict=True
        )
    ]
    characters += [(center, MARK) for center in signs.between]
    text = "".join(character for _, character in sorted(characters))
    return re.sub(r"\?+", f" {MARK} ", text).strip()


def describe_doubt(text: str) -> str:
    """Return a sentence that says what was read beside what is no digit."""
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
    """Return "3", "3 and 4", "3, 4 and 5"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
