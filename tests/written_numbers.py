"""Draw and photograph written numbers, as `handwriting` does with single digits."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from handwriting import SEED, photograph, strokes_of, trace

SINGLE = "single digits, tablet"


@dataclass(frozen=True)
class Number:
    """A written number: its digits are lists of strokes, (points, 2), in the same coordinates."""

    label: str
    writer: str
    digits: list[list[np.ndarray]]

    @property
    def strokes(self) -> list[np.ndarray]:
        return [stroke for digit in self.digits for stroke in digit]

    @property
    def size(self) -> np.ndarray:
        return np.ptp(np.concatenate(self.strokes), axis=0)

    @property
    def height(self) -> float:
        """The mean height of its digits."""
        return float(np.mean([np.ptp(np.concatenate(digit)[:, 1]) for digit in self.digits]))


def load_numbers(folder: Path) -> list[Number]:
    """Load numbers.json: {"label", "writer", "strokes"}; "strokes" has a list for each digit."""
    return [
        Number(number["label"], f"n{number['writer']}", list(map(strokes_of, number["strokes"])))
        for number in json.loads((folder / "numbers.json").read_text())
    ]


def load_single_digits(folder: Path) -> list[Number]:
    """Load the digits of `handwriting.load_digits`, with their writers, as numbers."""
    written = json.loads((folder / "pendigits-strokes.json").read_text())
    chosen = [written[i] for i in np.random.default_rng(SEED).permutation(len(written))]
    return [Number(str(d["label"]), f"d{d['writer']}", [strokes_of(d["strokes"])]) for d in chosen]


def compose(digits: list[Number], count: int, seed: int, lengths=(2, 6)) -> list[Number]:
    """Compose numbers of single digits, each of one writer's, with gaps of -15% to 60%."""
    random = np.random.default_rng(seed)
    by_writer = {}
    for digit in digits:
        by_writer.setdefault(digit.writer, []).append(digit)
    writers = sorted(by_writer)
    numbers = []
    for _ in range(count):
        writer, gap = writers[random.integers(len(writers))], random.uniform(-0.15, 0.6)
        own = by_writer[writer]
        length = random.integers(lengths[0], lengths[1] + 1)
        chosen = [own[random.integers(len(own))] for _ in range(length)]
        placed, x = [], 0.0
        for digit in chosen:
            points = np.concatenate(digit.strokes)
            low, (width, height) = points.min(axis=0), digit.size
            scale = 100 * np.exp(random.normal(0, 0.08)) / max(height, width / 1.2, 1)
            corner = [x, random.normal(0, 4)]
            placed.append([(stroke - low) * scale + corner for stroke in digit.strokes])
            x += width * scale + 100 * (gap + max(0, random.normal(0, 0.05) * (gap > 0)))
        numbers.append(Number("".join(digit.label for digit in chosen), writer, placed))
    return numbers


def draw_number(number: Number, random: np.random.Generator, canvas=(320, 640)):
    """Draw a number, black on white, at any size and place, with any brush, a little aslope.

    Return the picture, uint8 of shape `canvas`; whether two digits touch or overlap; and each
    digit's (left, top, right, bottom) in pixels.
    """
    angle = np.deg2rad(random.normal(0, 3))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = replace(number, digits=[[s @ turn for s in digit] for digit in number.digits])
    low, size = np.concatenate(turned.strokes).min(axis=0), np.maximum(turned.size, 1)
    sides = np.array(canvas[::-1])
    most = min(200, turned.height * (0.92 * sides / size).min())
    height = random.uniform(0.35, 1) * most
    brush = max(3, height * np.exp(random.uniform(np.log(0.03), np.log(0.14))))
    scale = min(height / turned.height, ((sides - brush - 4) / size).min())
    corner = brush / 2 + random.uniform(0, 1, 2) * np.maximum(sides - size * scale - brush, 0)
    inks = []
    for digit in turned.digits:
        ink = np.zeros(canvas, np.uint8)
        trace(ink, [(stroke - low) * scale + corner for stroke in digit], lambda: brush, 255)
        inks.append(ink)
    near = [cv2.dilate(ink, np.ones((3, 3), np.uint8)) > 100 for ink in inks]
    pairs = ((a, b) for k, a in enumerate(near) for b in inks[k + 1 :])
    touching = any((a & (b > 100)).any() for a, b in pairs)
    corners = [cv2.boundingRect((ink > 100).view(np.uint8)) for ink in inks]
    boxes = [(x, y, x + width, y + tall) for x, y, width, tall in corners]
    return 255 - np.max(inks, axis=0), touching, boxes


def photograph_number(number: Number, random: np.random.Generator):
    """Photograph a number, all of it in view, with digits as in `photograph` where they fit."""
    share = number.height / max(number.size)  # `photograph` scales the longer side
    pen, pitch = np.multiply([(0.03, 0.09), (0.5, 1.2)], share)
    digit = min(0.15 / share, 0.4), min(0.6 / share, 0.57)
    return photograph(number.strokes, random, digit, pen, pitch)


def number_sets(digits: Path, numbers: Path, composed: int = 1000, photographs: int = 500):
    """Yield pictures of written numbers, composed ones and single digits: set, number, picture."""
    single = load_single_digits(digits)
    both = {"written": load_numbers(numbers), "composed": compose(single, composed, SEED)}
    for name, part in both.items():
        random, kinds = np.random.default_rng(SEED), []
        for number in part:
            picture, touching, _ = draw_number(number, random)
            apart = f", {'touching' if touching else 'apart'}" if name == "composed" else ""
            kinds.append(name + apart)
            yield kinds[-1], number, picture
        for k in np.random.default_rng(SEED).permutation(len(part))[:photographs]:
            yield f"{kinds[k]}, photographed", part[k], photograph_number(part[k], random)
    random = np.random.default_rng(SEED)
    for digit in single:
        yield SINGLE, digit, draw_number(digit, random, canvas=(280, 280))[0]
