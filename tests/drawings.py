"""Sixty drawings of many kinds, as strokes: digits, numbers, marks, two lines, signs, scribbles."""

import numpy as np

from training.digit_shapes import DIGITS
from training.other_marks import MARKS, parse_mark

PLUS = [np.array([(0, 0.5), (1, 0.5)]), np.array([(0.5, 0), (0.5, 1)])]


def written(lines: list[str], random: np.random.Generator) -> list[list[int]]:
    """Return a drawing's strokes: digits as people write them, and the sign +."""
    strokes, height = [], 200 / len(lines)
    for row, line in enumerate(lines):
        left = 30.0
        for character in line:
            sign = character == "+"
            parts = PLUS if sign else DIGITS[int(character)](random.uniform)
            points = np.concatenate(parts)
            scale = min(height, 560 / len(line)) / np.ptp(points, axis=0).max()
            scale *= 0.4 if sign else 1
            corner = left, 140 + height * (1.6 * row + 0.3 * sign)
            strokes += [(part - points.min(axis=0)) * scale + corner for part in parts]
            left += np.ptp(points[:, 0]) * scale + 25
    return in_pixels(strokes)


def in_pixels(strokes) -> list[list[int]]:
    return [np.round(stroke).astype(int).ravel().tolist() for stroke in strokes]


TEXTS = """0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 10 42 77 123 404 860 75005 2026 31415 90210 1984
65 12 99 98765432 123456789 3+4 12+7 5+ 8+1+6 70+4 4|2 12|34 7|1 90|35"""


def drawings() -> list[list[list[int]]]:
    random = np.random.default_rng(0)
    drawn = [written(text.split("|"), random) for text in TEXTS.split()]
    for sign in MARKS[::4][:12]:
        drawn.append(in_pixels([part * 35 + (180, 100) for part in parse_mark(sign)]))
    walks = random.normal(0, 60, (4, 30, 2)).cumsum(axis=1) + (320, 240)
    return drawn + [in_pixels([walk.clip(5, 475)]) for walk in walks]
