"""Pen strokes become pictures: as the page's pad sends them, or as a telephone photographs them.

A digit's strokes are a list of arrays of shape (points, 2), x to the right, y down, in any unit.
"""

import io
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reading.picture import crop

CANVAS = 280  # pixels, the side of a drawing
PHOTOGRAPH = (900, 1200)  # pixels, height and width
SEED = 7


def strokes_of(lists) -> list[np.ndarray]:
    return [np.array(stroke, float) for stroke in lists]


def load_digits(folder: Path, most: int | None) -> tuple[list[list[np.ndarray]], list[int]]:
    """Load digits that people wrote on a tablet (UCI "Pen-Based …") and labels, shuffled."""
    written = json.loads((folder / "pendigits-strokes.json").read_text())
    chosen = [written[i] for i in np.random.default_rng(SEED).permutation(len(written))[:most]]
    return [strokes_of(d["strokes"]) for d in chosen], [d["label"] for d in chosen]


def load_letters(folder: Path) -> list[list[np.ndarray]]:
    """Load letters that don't look like digits, from letters.json (CROHME 2011 to 2016)."""
    letters = json.loads((folder / "letters.json").read_text())
    return [strokes_of(letter["strokes"]) for letter in letters]


def along(stroke, moves: int) -> np.ndarray:
    """Return so many points, (x, y) each, on the way from point to point of a stroke."""
    steps, places = np.linspace(0, len(stroke) - 1, moves), range(len(stroke))
    return np.stack([np.interp(steps, places, axis) for axis in np.transpose(stroke)], axis=1)


def place(strokes: Sequence[np.ndarray], side: float, center) -> list[np.ndarray]:
    """Return strokes with a longer side `side` around a center; an extent below 1 counts as 1."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    scale = side / max(*(high - low), 1)
    return [(stroke - (low + high) / 2) * scale + center for stroke in strokes]


def trace(image: np.ndarray, strokes, width: Callable[[], float], value: float) -> None:
    """Draw strokes (pixels) on an image; width() is asked for at each step, in pixels."""
    for stroke in strokes:
        path = np.round(stroke * 16).astype(np.int32)  # sixteenths of a pixel
        for start, end in pairwise(path if len(path) > 1 else [path[0]] * 2):
            cv2.line(image, start, end, value, max(1, round(width())), cv2.LINE_AA, shift=4)


def draw(strokes: Sequence, side: float, brush: float, center=(140, 140)) -> np.ndarray:
    """Draw strokes as the page's pad does, black on white: uint8, (280, 280); sizes in pixels."""
    image = np.full((CANVAS, CANVAS), 255, np.uint8)
    trace(image, place(strokes, side, np.array(center)), lambda: brush, 0)
    return image


def draw_at_best_brush(strokes, random=None) -> np.ndarray:
    """Draw strokes large and in the middle, with a brush that gives MNIST's stroke width."""
    return draw(strokes, side=200, brush=24)


def draw_anyhow(strokes, random: np.random.Generator) -> np.ndarray:
    """Draw strokes with anything from a hairline to a marker, at any size and place."""
    brush = np.exp(random.uniform(np.log(5), np.log(40)))
    side = random.uniform(max(60, 4 * brush), 230)
    reach = (side + brush) / 2
    return draw(strokes, side, brush, random.uniform(min(reach, 140), max(280 - reach, 140), 2))


def crop_to_bilevel(image: np.ndarray, side: int = 16) -> np.ndarray:
    """Return a digit, white on black, as old scanners have it: stretched to a square, bilevel."""
    digit = Image.fromarray(crop(image)).resize((side, side), Image.Resampling.BILINEAR)
    return np.where(np.asarray(digit) > 127, np.uint8(255), np.uint8(0))


def photograph(
    strokes, random: np.random.Generator, digit=(0.15, 0.6), pen=(0.03, 0.09), pitch=(0.5, 1.2)
) -> Image.Image:
    """Return an RGB photograph of strokes on plain, ruled or squared paper, or on a board.

    The ranges are the digit's share of the height, and the pen's and the ruling's of the digit.
    """
    sheet, on_board = _write_on_sheet(strokes, random, digit, pen, pitch)
    sheet = _seen_from_above(sheet, random, on_board)
    return _exposed(sheet * _light(random), random)


def _write_on_sheet(strokes, random, digit, pen, pitch) -> tuple[np.ndarray, bool]:
    """Return what a sheet with writing on it reflects, in [0, 1], and whether it is a board."""
    u = random.uniform
    height, width = PHOTOGRAPH
    side = u(*digit) * height
    on_board = u() < 0.15

    def grain(size: int) -> np.ndarray:
        noise = random.normal(0, 1, (height // size, width // size)).astype(np.float32)
        return cv2.resize(noise, (width, height))

    sheet = 1 + 0.012 * grain(6)
    paper = random.choice(("plain", "ruled", "squared"))
    pitch = side * u(*pitch)
    left_over = 1 - u(0.08, 0.3)  # of the light, by the ruling
    line, start = round(u(1, 3)), u(0, pitch)
    for y in np.arange(start, height, pitch) if paper != "plain" and not on_board else ():
        cv2.line(sheet, (0, round(y)), (width, round(y)), left_over, line)
    for x in np.arange(start, width, pitch) if paper == "squared" and not on_board else ():
        cv2.line(sheet, (round(x), 0), (round(x), height), left_over, line)
    pen = max(2, side * u(*pen) * (1.5 if on_board else 1))
    ink = np.zeros((height, width), np.float32)
    center = np.array([u(0.35, 0.65) * width, u(0.4, 0.6) * height])
    trace(ink, place(strokes, side, center), lambda: pen * u(0.85, 1.15), 1.0)
    ink *= u(0.35, 0.9) * (1 + 0.12 * grain(2)).clip(0, 1.2)
    return (0.16 * sheet + 0.7 * ink if on_board else sheet * (1 - ink)), on_board


def _seen_from_above(sheet: np.ndarray, random, on_board: bool) -> np.ndarray:
    """Return a sheet turned and in perspective, perhaps with the table behind it."""
    u = random.uniform
    height, width = PHOTOGRAPH
    table = u() < 0.25 and not on_board
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    middle = corners.mean(axis=0)
    moves = 0.06 * height * u(-1, 1, (4, 2))
    angle = np.deg2rad(u(-1, 1) * 8)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    seen = (corners + moves - middle) @ turn * (1.0 if table else 1.25) + middle
    return cv2.warpPerspective(
        sheet.astype(np.float32),
        cv2.getPerspectiveTransform(corners, seen.astype(np.float32)),
        (width, height),
        borderMode=cv2.BORDER_CONSTANT if table else cv2.BORDER_REFLECT,
        borderValue=u(0.15, 0.5),
    )


def _light(random) -> np.ndarray:
    """Return the light that falls on the sheet: less to one side, less in a shadow."""
    u = random.uniform
    height, width = PHOTOGRAPH
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    direction = u(0, 2 * np.pi)
    across = np.cos(direction) * x + np.sin(direction) * y
    along = np.sin(direction) * x - np.cos(direction) * y
    light = 1 - u(0.0, 0.5) * (across + 1) / 2
    return light * (1 - u(0.0, 0.45) / (1 + np.exp((u(-0.8, 0.8) - along) / u(0.01, 0.15))))


def _exposed(light: np.ndarray, random) -> Image.Image:
    """Return the JPEG that a camera makes of the light."""
    u = random.uniform
    color = np.array([1, u(0.9, 1), u(0.7, 1)])
    image = cv2.GaussianBlur(0.9 * light, (0, 0), u(0.6, 2.5))
    image = 255 * image[..., None] * color
    image += random.normal(0, u(1.5, 7), image.shape)
    file = io.BytesIO()
    image = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    image.save(file, "JPEG", quality=round(u(40, 92)))
    return Image.open(file).convert("RGB")
