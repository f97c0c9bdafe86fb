"""Pictures that MNIST lacks, drawn with a pen of our own: other schools' digits, and no digits.

MNIST was written by Americans in the 1980s: it has no 1 with a flag or a foot, few 7 with a
bar, no 9 with a curled tail. And it has nothing but digits, so that a network which has seen
only MNIST names anything. Here each shape is a path or two of the pen, drawn with random
pressure, slant and wobble, and brought into MNIST's form by `to_mnist` itself.
"""

from functools import partial

import cv2
import numpy as np

from reading.preprocess import NoDigitError, to_mnist

# A shape: points "x,y" in hundredths, x to the right, y down, that the pen passes smoothly;
# | makes a corner of one, / lifts the pen.
DIGITS = [
    [  # 0
        "50,0 20,12 5,50 20,88 50,100 80,88 95,50 80,12 48,0",
        "60,5 25,10 8,50 25,92 60,95 88,70 88,30 60,3 35,8",
        "40,0 12,20 0,55 15,92 45,100 75,80 80,40 60,8 30,6",
        "45,0 15,40 10,85 40,100 70,75 65,30 40,5 20,20",
        "20,10 60,0 95,35 80,85 35,100 5,75 8,40 35,10",
    ],
    [  # 1: plain, with a flag, with a foot, with both
        "50,0 50,100",
        "0,40 50,0| 50,100",
        "30,15 50,0| 45,100",
        "0,55 45,0| 45,100",
        "0,50 25,30 55,0| 50,50 40,100",
        "0,60 30,30 60,0| 35,100",
        "5,40 40,15 60,0 58,20 45,100",
        "30,45 60,0| 40,100",
        "25,60 55,5| 60,5 35,100",
        "0,35 30,32 65,0| 50,100",
        "0,25 20,40 60,0| 45,50 40,100",
        "0,45 50,10 60,0| 62,50 50,100",
        "0,30 35,15 55,0| 55,50 50,100",
        "0,38 40,28 70,0| 60,40 30,100",
        "0,22 35,22 60,0| 55,50 55,100",
        "5,48 45,12 62,0| 52,40 25,100",
        "10,30 50,0| 48,100 / 15,100 85,100",
        "20,25 50,0| 50,100| 20,100| 80,100",
        "50,0 50,100 / 25,100 75,100",
    ],
    [  # 2: with a loop, with a corner, with a wave
        "5,25 40,0 75,25 40,65 5,95 15,80 40,90 90,95",
        "5,20 45,0 80,25 5,100| 85,100",
        "0,10 70,10| 5,95| 80,95",
        "5,30 45,0 70,30 20,90 5,90 20,80 60,100 95,85",
        "30,42 10,30 25,3 70,8 72,40 25,95| 95,92",
        "25,35 5,25 30,0 75,15 60,60 10,95 20,75 50,85 100,95",
        "10,20 50,0 90,30 70,85 20,95 5,75 40,60 100,80",
        "35,30 10,25 25,0 70,10 70,45 20,100| 60,85 95,100",
    ],
    [  # 3: round, with a flat top
        "5,10 50,0 75,22 35,45| 80,70 45,100 0,88",
        "5,0 75,0| 35,40| 80,65 50,100 0,90",
        "0,15 40,0 70,20 40,45 50,48 85,75 45,100 0,85",
        "0,8 45,0 80,10 55,40 75,60 70,90 30,100",
        "0,10 60,0 75,15 45,45| 70,60 60,95 10,100",
        "0,5 50,0 75,10 60,35 40,45 55,60 50,85 30,100",
        "0,10 40,0 70,8 60,30 45,45| 60,65 40,100",
        "10,15 45,0 65,15 45,42 70,55 75,80 40,100 5,95",
    ],
    [  # 4: open, closed, in one stroke
        "30,0 5,60| 90,60 / 65,30 60,100",
        "20,0 10,55| 80,50 / 75,0 70,100",
        "60,0 0,65| 95,65 / 60,0 60,100",
        "60,100 60,0| 0,65| 95,65",
        "10,0 5,45 40,50 75,45 / 75,0 75,100",
        "45,0 0,60| 90,55 / 60,35 50,100",
        "50,0 5,60| 30,65 75,50 / 60,35 40,100",
        "45,0 10,45 0,65 20,68 70,55 / 65,30 45,100",
        "35,0 10,45| 60,50 / 65,10 50,50 40,100",
        "40,0 15,60| 65,60 / 55,35 40,100",
        "45,0 5,55 15,62 60,50 70,20| 50,100",
        "35,0 15,40 5,75| 30,72 65,62 / 60,35 50,100",
        "30,0 5,70 20,80 70,70 / 55,45 50,100",
        "50,0 20,40 10,72 40,72 80,60 / 65,40 60,70 65,100",
        "40,0 20,50 20,70| 70,60 / 60,45 55,100",
        "55,0 30,10 10,50 40,50 70,10| 55,100 / 30,55 90,50",
        "40,0 20,35 5,68 25,72 60,66 / 55,40 45,100",
        "35,0 15,60| 25,72 60,70 / 50,50 48,100",
        "30,0 15,40 10,75 35,75 55,65 / 50,45 55,100",
        "60,0 30,35 5,75| 65,70 / 55,50 45,100",
        "45,0 30,30 20,55 40,60 60,40 65,30| 30,100",
    ],
    [  # 5: in one stroke, with its roof apart
        "80,0 20,0| 10,45| 50,35 85,65 50,100 0,90",
        "15,0 10,45| 55,40 80,70 45,100 0,90 / 15,0 85,0",
        "75,5 25,10 15,45 60,50 70,80 35,100 0,90",
        "90,0 20,5| 20,45 75,50 70,95 5,95",
    ],
    [  # 6: curled, straight
        "70,0 20,35 5,75 40,100 75,75 45,50 10,70",
        "50,0 10,50 10,90 50,100 70,75 40,60 10,80",
        "80,10 50,0 5,50 30,100 75,80 50,50 10,65",
        "60,0 30,20 15,60 30,100 60,85 45,62 10,70",
        "75,8 60,0 35,15 15,60 20,95 50,95 65,70 40,60 10,72",
        "70,0 45,20 30,60 25,100 55,95 60,72 0,78",
        "60,0 45,30 30,80 35,100 60,90 50,70 0,70",
        "80,0 30,40 10,85 30,100 60,85 45,65 15,75",
    ],
    [  # 7: with a bar, with a hook, plain
        "0,0 80,0| 35,100 / 15,50 80,45",
        "0,20| 0,3| 85,3| 45,50 35,100 / 15,50 75,50",
        "0,10 20,0 50,10 85,0| 45,50 35,100 / 20,50 75,48",
        "5,0 80,5| 30,100 / 20,55 75,45",
        "0,18 8,0 30,8 60,8 85,0| 60,40 40,100 / 15,62 90,58",
        "0,22 10,2 40,8 85,0| 50,60 42,100 / 10,60 95,55",
        "5,15| 0,5 75,3| 70,40 60,100 / 30,50 100,45",
        "0,25 5,5 45,12 80,5 60,50 30,95 / 20,55 95,60",
        "0,10 75,0| 60,30 50,60 20,100 / 15,60 80,62",
        "0,25 10,0 40,10 70,2| 55,50 45,100 / 10,72 95,66",
        "5,30 0,5 30,5 75,0| 62,35 30,75 25,100 / 5,65 80,62",
        "0,15 15,0 25,12 60,8 70,15 50,60 45,100 / 20,68 85,60",
        "0,12 70,0| 45,45 40,70 45,100 / 5,65 45,60 100,66",
        "8,28 2,10 20,0 55,2 65,20 50,55 40,100 / 0,65 45,62 95,66",
        "0,20 20,2 50,5 60,20 45,60 20,100 / 5,60 90,66",
        "5,12 25,12 65,0| 62,30 35,70 30,100 / 0,66 85,62",
        "10,25 15,3 45,3 68,12 55,50 50,100 / 5,58 50,60 100,52",
        "0,5 85,0| 50,45 40,100",
        "0,15| 5,0 85,5| 40,100",
    ],
    [  # 8: in one stroke, in two loops
        "75,15 40,0 10,20 40,45 80,75 40,100 5,75 40,45 75,15",
        "45,0 10,22 45,47 75,22 45,0 / 45,47 5,75 45,100 85,75 45,47",
        "80,5 30,0 20,30 75,70 45,100 10,80 45,45 80,10",
        "40,45 10,20 45,0 70,20 40,45 5,75 45,100 80,75 40,45",
        "75,0 40,5 45,40 50,75 25,100 5,80 40,40 70,15 72,3",
        "70,5 45,0 35,20 50,60 35,95 10,95 15,75 45,45 75,10",
        "80,10 50,0 30,15 45,40 50,70 35,95 25,75 45,45 85,15",
        "70,20 45,0 25,15 35,45 50,75 30,100 15,80 40,45 75,25 70,10",
        "60,15 40,0 20,12 30,40 50,70 35,100 20,75 45,45 62,18",
        "75,5 45,0 25,20 40,45 45,75 25,100 10,80 40,50 80,12",
        "5,15 30,0 70,5 75,20 45,42| 80,70 50,100 10,85 15,60 45,42",
    ],
    [  # 9: with a curled tail, with a straight stem
        "75,20 40,0 5,25 35,50 75,25| 75,65 50,100 5,88",
        "75,25 40,0 5,22 40,48 75,20 70,80 40,100 0,95 10,85",
        "70,12 40,0 15,15 25,42 55,38 75,10| 70,50 60,85 30,100 0,90 5,75",
        "75,5 35,5 15,25 40,42 70,20 75,8| 78,50 65,90 30,100 0,88",
        "65,15 35,0 5,20 30,42 60,25 65,10 70,50 75,80 45,100 0,85",
        "60,20 30,0 10,20 35,40 65,15| 60,60 45,90 20,100 0,95 0,80",
        "80,0 45,5 30,25 50,40 75,15 80,5| 75,60 50,95 10,98 0,85 30,80",
        "60,10 35,0 15,15 30,42 60,35 65,5| 70,60 55,95 10,100 0,85",
        "55,12 30,0 10,12 15,35 45,40 60,15 65,40 85,70 70,95 20,100 0,90",
        "65,5 35,5 10,25 30,42 65,30 70,10| 60,70 30,92 0,80",
        "70,12 45,0 20,12 30,30 55,30 75,8| 50,70 0,100",
        "80,15 60,0 30,5 25,20 50,25 75,10| 55,60 10,95",
        "45,22 25,8 45,0 80,5| 60,50 5,100",
        "60,10 40,0 20,10 25,35 50,35 65,15 70,40 60,65 75,85 40,100 5,92",
        "50,20 30,15 40,0 75,10| 55,55 0,100",
        "70,10 45,2 25,20 40,38 60,30 68,12| 55,50 62,85 30,100 0,95",
        "65,12 35,0 15,18 25,35 55,30 62,40 70,75 35,100 0,85 10,75",
        "75,20 40,0 5,25 40,45 75,20 80,70 45,100 5,75",
        "70,15 35,0 5,25 35,45 70,20| 68,100",
        "70,10 30,5 5,35 40,50 75,15| 60,70 30,100",
    ],
]
SIGNS = [
    "0,100 45,0| 90,100 / 20,60 70,60",  # A
    "80,0 10,0| 10,100| 80,100 / 10,50 65,50",  # E
    "10,0 10,100 / 10,0 80,0 / 10,45 60,45",  # F
    "10,0 10,100 / 80,0 80,100 / 10,50 80,50",  # H
    "10,0 10,100 / 80,0 10,55| 85,100",  # K
    "0,100 10,0| 45,60| 80,0| 95,100",  # M
    "5,100 10,0| 80,100| 85,0",  # N
    "10,100 10,0| 60,5 65,45 10,50| 80,100",  # R
    "0,0 90,0 / 45,0 45,100",  # T
    "0,0 25,100| 50,30| 75,100| 100,0",  # W
    "0,0 85,100 / 85,0 0,100",  # X
    "75,20 40,0 0,45 35,90 75,50 / 78,0 75,80 95,100",  # a
    "5,50 85,45| 45,0 0,50 40,100 85,80",  # e
    "10,0 10,100 / 60,40 10,70| 65,100",  # k
    "0,100 0,10| 0,40 25,0 40,100 / 40,40 70,0 85,100",  # m
    "10,0 15,100| 20,40 70,5",  # r
    "0,0 10,80 40,90 50,20| 55,90 90,80 95,0",  # w
    "0,100 30,95 5,50 50,0 95,50 70,95 100,100",  # Ω
    "90,100 20,20 45,0 60,25 5,75 40,100 90,60",  # &
    "30,0 20,100 / 75,0 65,100 / 0,35 100,30 / 0,70 95,65",  # #
    "0,50 100,50 / 50,0 50,100",  # +
    "0,60 30,100| 95,0",  # ✓
    "0,50 100,50 / 65,20 100,50| 65,80",  # →
    "50,50 20,20 0,50 20,80 50,50 80,20 100,50 80,80 50,50",  # ∞
    "50,0 0,90| 100,90| 50,0",  # a triangle
    "0,0 90,0| 90,90| 0,90| 0,0",  # a square
    "0,35 100,35| 20,100| 50,0| 80,100| 0,35",  # a star
    "50,25 25,0 0,30 50,100| 100,30 75,0 50,25",  # a heart
    "50,50 60,40 70,55 50,75 25,55 45,20 85,35 85,85 30,100 0,50 30,0",  # a spiral
]
# Of 0 to 9: most of those that other schools write otherwise than MNIST's.
SHARES = (0.06, 0.14, 0.08, 0.08, 0.14, 0.06, 0.06, 0.14, 0.1, 0.14)
CANVAS = 96  # pixels, of which a shape takes three quarters
WOBBLE = 0.045  # of a shape's size: the deviation of a point from its place


def write_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Write digits of all schools.

    Returns
    -------
    images : uint8 ndarray of shape (count, 1, 28, 28), in MNIST's form, 0 = paper, 255 = ink
    labels : int64 ndarray of shape (count,)
    """
    random = np.random.default_rng(seed)
    labels = random.choice(10, count, p=SHARES)
    images = [picture(partial(digit, label), random) for label in labels]
    return np.stack(images)[:, None], labels


def write_non_digits(count: int, seed: int) -> np.ndarray:
    """Write scribbles, letters and other signs, strokes that resemble letters, parts of digits.

    Returns
    -------
    images : uint8 ndarray of shape (count, 1, 28, 28), in MNIST's form, 0 = paper, 255 = ink
    """
    random = np.random.default_rng(seed)
    kinds = random.choice(list(NON_DIGITS), count, p=list(NON_DIGITS.values()))
    return np.stack([picture(kind, random) for kind in kinds])[:, None]


def digit(label: int, random) -> list[np.ndarray]:
    return parse(pick(DIGITS[label], random))


def scribble(random) -> list[np.ndarray]:
    strokes = []
    for _ in range(random.integers(1, 4)):
        steps = random.normal(0, 0.35, (random.integers(4, 11), 2))
        strokes.append(steps.cumsum(0) if random.random() < 0.5 else random.random(steps.shape))
    return strokes


def sign(random) -> list[np.ndarray]:
    return parse(pick(SIGNS, random))


def invented_sign(random) -> list[np.ndarray]:
    """Join a few lines, arcs and angles as letters do: between corners and middles of a box."""
    strokes = []
    for _ in range(random.integers(2, 5)):
        start, end = random.integers(0, 3, (2, 2)) / 2
        bend = (start + end) / 2 + random.normal(0, 0.45, 2)
        shapes = [start, end], [start, bend, end], [start, bend, bend, end]
        strokes.append(np.array(pick(shapes, random)))
    return strokes


def part_of_digit(random) -> list[np.ndarray]:
    """Give the upper or the lower half of a digit that is none without the other."""
    strokes = [smooth(stroke) for stroke in digit(pick([2, 4, 5], random), random)]
    at, above = random.uniform(0.4, 0.6), random.random() < 0.5
    halves = [stroke[(stroke[:, 1] < at) == above][::4] for stroke in strokes]
    return [half for half in halves if len(half)]


NON_DIGITS = {scribble: 0.2, sign: 0.35, invented_sign: 0.35, part_of_digit: 0.1}  # shares


def pick(choices: list, random):
    return choices[random.integers(len(choices))]


def parse(shape: str) -> list[np.ndarray]:
    """Read a shape: strokes of shape (points, 2); at a corner a point stands twice."""
    strokes = []
    for stroke in shape.split("/"):
        points = []
        for point in stroke.split():
            x, y = point.rstrip("|").split(",")
            points += [(int(x) / 100, int(y) / 100)] * (1 + point.endswith("|"))
        strokes.append(np.array(points))
    return strokes


def picture(kind, random) -> np.ndarray:
    """Draw strokes of a kind as somebody's hand might, again until there is something to read."""
    while True:
        try:
            image = to_mnist(draw(by_hand(kind(random), random), random))
            return (image * 255).round().astype(np.uint8)
        except NoDigitError:  # strokes too far apart, for instance
            continue


def by_hand(strokes: list[np.ndarray], random) -> list[np.ndarray]:
    """Turn, slant and stretch strokes, and move their points, together where they are one."""
    turn, slant, stretch = random.normal([0, 0.12, -0.1], [0.1, 0.22, 0.25])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[np.exp(stretch), -slant], [0, 1]])
    written = []
    for stroke in strokes:
        is_new = np.append(True, (np.diff(stroke, axis=0) != 0).any(axis=1))
        moves = random.normal(0, WOBBLE, (is_new.sum(), 2))[is_new.cumsum() - 1]
        written.append((stroke + moves) @ matrix.T + random.normal(0, 0.6 * WOBBLE, 2))
    return written


def smooth(stroke: np.ndarray, steps: int = 10) -> np.ndarray:
    """Lay a curve through a stroke's points: a Catmull-Rom spline, stopping at corners."""
    path = np.concatenate([stroke[:1], stroke, stroke[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for before, start, end, after in zip(path, path[1:], path[2:], path[3:], strict=False):
        leaving = (end - before) / 2 * (start != before).any()
        arriving = (after - start) / 2 * (after != end).any()
        if (start != end).any():
            pieces.append(
                (2 * t**3 - 3 * t**2 + 1) * start
                + (t**3 - 2 * t**2 + t) * leaving
                + (3 * t**2 - 2 * t**3) * end
                + (t**3 - t**2) * arriving
            )
    return np.concatenate([*pieces, stroke[-1:]])


def draw(strokes: list[np.ndarray], random) -> np.ndarray:
    """Draw strokes with a pen whose pressure changes: uint8 (CANVAS, CANVAS), white on black."""
    paths = [smooth(stroke) for stroke in strokes]
    points = np.concatenate(paths)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = 0.72 * CANVAS / max((high - low).max(), 1e-3)
    breadth = random.uniform(5, 13)
    image = np.zeros((CANVAS, CANVAS), np.uint8)
    for path in paths:
        pixels = ((path - (low + high) / 2) * scale + CANVAS / 2) * 16
        wave = random.uniform(0, 2 * np.pi) + np.linspace(0, random.uniform(1, 6), len(path))
        pressure = (breadth * (1 + 0.25 * np.sin(wave))).round().astype(int)
        pixels = pixels.round().astype(int).tolist()  # sixteenths
        for start, end, thickness in zip(pixels, pixels[1:], pressure.tolist(), strict=False):
            cv2.line(image, start, end, 255, thickness, cv2.LINE_AA, shift=4)
    return image
