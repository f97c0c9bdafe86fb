"""Does `to_mnist` bring what people really draw into the form that the network reads?

    python benchmarks/real_digits.py --digits real-digits --data-dir data

For each set of digits: the accuracy, first guess and first three, (a) with the picture shrunk
to 28x28 as most demos do, (b) with its box and centre of mass only, (c) with `to_mnist`; how far
the probabilities of (c) are from the share that is right (expected calibration error); and the
time that `to_mnist` takes a picture, without decoding. Then: how well the probability of the
first guess tells digits from letters, of shapes that the training never drew.

The folder --digits holds pendigits-strokes.json, what people wrote on a tablet (UCI "Pen-Based
Recognition of Handwritten Digits", unnormalised coordinates: a list of {"label", "strokes"}),
and usps-1000.npz, digits from envelopes (`images`, `labels`). The strokes are drawn as the
page's pad sends them, or laid on paper as a camera sees it. MNIST's test pictures are read
last; they are for reporting, not for choosing by.
"""

import argparse
import io
import json
import sys
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from lenet import EMBEDDED_WEIGHTS, LeNet
from reading.preprocess import NoDigitError, crop, frame, to_mnist
from training.data import load_mnist
from training.metrics import calibration_error
from training.strokes import by_hand, parse, smooth

CANVAS = 280  # pixels, the side of a drawing
SEED = 7

# Drawings


def place(strokes, side: float, center) -> list[np.ndarray]:
    """Give the strokes with their longer side and their middle where they are wanted."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    scale = side / max(*(high - low), 1)
    return [(stroke - (low + high) / 2) * scale + center for stroke in strokes]


def trace(image: np.ndarray, strokes, breadth, value) -> None:
    """Draw strokes on an image; breadth() is asked for at each step, in pixels."""
    for stroke in strokes:
        path = np.round(stroke * 16).astype(np.int32)  # sixteenths of a pixel
        for start, end in pairwise(path if len(path) > 1 else [path[0]] * 2):
            cv2.line(image, start, end, value, max(1, round(breadth())), cv2.LINE_AA, shift=4)


def draw(strokes, side: float, brush: float, center=(CANVAS / 2, CANVAS / 2)) -> np.ndarray:
    """Draw strokes as the page's pad does, black on white; side and brush in pixels."""
    image = np.full((CANVAS, CANVAS), 255, np.uint8)
    trace(image, place(strokes, side, np.array(center)), lambda: brush, 0)
    return image


def draw_at_best_brush(strokes, random) -> np.ndarray:
    return draw(strokes, side=200, brush=24)


def draw_anyhow(strokes, random) -> np.ndarray:
    """Any brush from a hairline to a marker, any size that such a brush can write, any place."""
    brush = np.exp(random.uniform(np.log(5), np.log(40)))
    side = random.uniform(max(60, 4 * brush), 230)
    reach = (side + brush) / 2
    return draw(strokes, side, brush, random.uniform(min(reach, 140), max(280 - reach, 140), 2))


# Letters that resemble no digit, none of them among strokes.SIGNS; see there for the notation.
LETTERS = {
    "C": "85,15 40,0 0,50 40,100 85,85",
    "D": "10,0 10,100 / 10,0 80,20 80,80 10,100",
    "G": "85,15 40,0 0,50 40,100 85,80| 85,55| 50,55",
    "J": "30,0 80,0 / 60,0 60,80 30,100 0,80",
    "L": "10,0 10,100| 80,100",
    "P": "10,100 10,0| 65,5 70,45 10,55",
    "Q": "50,0 0,50 50,95 95,50 50,0 / 60,70 95,100",
    "U": "0,0 5,75 45,100 80,75 85,0",
    "V": "0,0 45,100| 90,0",
    "Y": "0,0 45,50 / 90,0 45,50 45,100",
    "d": "75,60 40,40 0,70 40,100 75,70 / 78,0 78,100",
    "f": "80,10 50,0 35,30 35,100 / 10,45 70,45",
    "h": "5,0 5,100 / 5,60 40,40 65,60 70,100",
    "n": "0,10 0,100 / 0,40 40,0 75,30 80,100",
    "p": "5,0 5,100 / 5,20 45,0 75,25 45,55 5,45",
    "t": "40,0 40,90 70,95 / 10,30 75,30",
    "u": "0,0 5,80 45,90 75,50 / 78,0 80,100",
    "y": "0,0 35,50 / 80,0 20,100",
}


def draw_letters(count: int) -> list[np.ndarray]:
    """Draw letters on the pad, with any brush, as `draw_anyhow` draws digits."""
    random = np.random.default_rng(SEED)
    shapes = [LETTERS[name] for name in random.choice(list(LETTERS), count)]
    written = ([smooth(s) for s in by_hand(parse(shape), random)] for shape in shapes)
    return [draw_anyhow(strokes, random) for strokes in written]


# Photographs

PHOTO = {
    "pixels": (900, 1200),
    "digit, share of the height": (0.15, 0.6),
    "pen, share of the digit": (0.03, 0.09),
    "light that the ink takes": (0.35, 0.9),
    "light that the ruling takes": (0.08, 0.3),
    "pitch of the ruling, share of the digit": (0.5, 1.2),
    "light falls off by": (0.0, 0.5),
    "shadow takes": (0.0, 0.45),
    "corners moved by, share of the height": 0.06,
    "turned by, degrees": 8,
    "blur, pixels": (0.6, 2.5),
    "noise, of 255": (1.5, 7),
    "table in view": 0.25,
    "chalk on a board": 0.15,
    "JPEG quality": (40, 92),
}


def photograph(strokes, random) -> Image.Image:
    """Lay strokes on plain, ruled or squared paper, or in chalk on a board, and photograph it."""
    u = random.uniform
    height, width = PHOTO["pixels"]
    side = u(*PHOTO["digit, share of the height"]) * height
    on_board = u() < PHOTO["chalk on a board"]

    def grain(size: int) -> np.ndarray:
        noise = random.normal(0, 1, (height // size, width // size)).astype(np.float32)
        return cv2.resize(noise, (width, height))

    # What the sheet reflects, in [0, 1].
    sheet = 1 + 0.012 * grain(6)
    ruling = random.choice(["plain", "ruled", "squared"])
    pitch = side * u(*PHOTO["pitch of the ruling, share of the digit"])
    left_over = 1 - u(*PHOTO["light that the ruling takes"])
    line, start = round(u(1, 3)), u(0, pitch)
    if not on_board and ruling != "plain":
        for y in np.arange(start, height, pitch).round().astype(int):
            cv2.line(sheet, (0, y), (width, y), left_over, line)
    if not on_board and ruling == "squared":
        for x in np.arange(start, width, pitch).round().astype(int):
            cv2.line(sheet, (x, 0), (x, height), left_over, line)
    pen = max(2, side * u(*PHOTO["pen, share of the digit"]) * (1.5 if on_board else 1))
    ink = np.zeros((height, width), np.float32)
    center = np.array([u(0.35, 0.65) * width, u(0.4, 0.6) * height])
    trace(ink, place(strokes, side, center), lambda: pen * u(0.85, 1.15), 1.0)
    ink *= u(*PHOTO["light that the ink takes"]) * (1 + 0.12 * grain(2)).clip(0, 1.2)
    sheet = 0.16 * sheet + 0.7 * ink if on_board else sheet * (1 - ink)

    # Where the camera stands: the sheet turned and in perspective, the table behind it.
    table = u() < PHOTO["table in view"] and not on_board
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    middle = corners.mean(axis=0)
    moves = PHOTO["corners moved by, share of the height"] * height * u(-1, 1, (4, 2))
    angle = np.deg2rad(u(-1, 1) * PHOTO["turned by, degrees"])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    seen = (corners + moves - middle) @ turn * (1.0 if table else 1.25) + middle
    sheet = cv2.warpPerspective(
        sheet.astype(np.float32),
        cv2.getPerspectiveTransform(corners, seen.astype(np.float32)),
        (width, height),
        borderMode=cv2.BORDER_CONSTANT if table else cv2.BORDER_REFLECT,
        borderValue=u(0.15, 0.5),
    )
    # What light falls on it: less to one side, less in a shadow.
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    direction = u(0, 2 * np.pi)
    across = np.cos(direction) * x + np.sin(direction) * y
    along = np.sin(direction) * x - np.cos(direction) * y
    light = 1 - u(*PHOTO["light falls off by"]) * (across + 1) / 2
    light *= 1 - u(*PHOTO["shadow takes"]) / (1 + np.exp((u(-0.8, 0.8) - along) / u(0.01, 0.15)))
    # What the camera makes of it.
    color = np.array([1, u(0.9, 1), u(0.7, 1)])
    image = cv2.GaussianBlur(0.9 * sheet * light, (0, 0), u(*PHOTO["blur, pixels"]))
    image = 255 * image[..., None] * color
    image += random.normal(0, u(*PHOTO["noise, of 255"]), image.shape)
    file = io.BytesIO()
    quality = round(u(*PHOTO["JPEG quality"]))
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


# The three ways


def gray_of(picture) -> np.ndarray:
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    gray = np.asarray(image.convert("L")).astype(np.float32) / 255
    return 1 - gray if np.median(gray) > 0.5 else gray


def plain(picture) -> np.ndarray:
    return cv2.resize(gray_of(picture), (28, 28), interpolation=cv2.INTER_AREA)


def box_and_mass(picture) -> np.ndarray:
    ink = gray_of(picture)
    return frame(crop(ink * (ink > 0.1)))


WAYS = {
    "(a) shrunk to 28×28": plain,
    "(b) box and centre of mass": box_and_mass,
    "(c) `to_mnist`": to_mnist,
}


def measure(model: LeNet, pictures, labels) -> tuple[str, torch.Tensor]:
    """Give the cells of a row, and the probability of each first guess of way (c)."""
    labels = torch.tensor(labels)
    digits = {way: [] for way in WAYS}
    seconds = []
    for picture in pictures:
        for way, function in WAYS.items():
            started = time.perf_counter()
            try:
                digit = function(picture)
            except NoDigitError:  # counts as wrong
                digit = np.full((28, 28), np.nan, np.float32)
            digits[way].append(digit)
        seconds.append(time.perf_counter() - started)  # of the last way, to_mnist
    cells = []
    for way in WAYS:
        probabilities, refused = ask(model, digits[way])
        right = (probabilities.topk(3).indices == labels[:, None]) & ~refused[:, None]
        cells.append(f"{right[:, 0].float().mean():.2%}, {right.any(1).float().mean():.2%}")
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    answered = probabilities[~refused]
    cells += [refused.sum().item(), f"{calibration_error(answered, labels[~refused]):.2%}"]
    return " | ".join(map(str, [*cells, f"{p50:.1f}, {p95:.1f}"])), answered.amax(1)


def ask(model: LeNet, digits: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the probabilities (N, 10), as the page has them, and which pictures are NaN."""
    batch = torch.from_numpy(np.stack(digits))[:, None]
    with torch.inference_mode():
        logits = model(batch.nan_to_num())
    return (logits / model.temperature).softmax(1), batch.isnan().any((1, 2, 3))


def told_apart(digits: torch.Tensor, others: torch.Tensor) -> float:
    """Give the area under the ROC curve of scores that are to be high for digits alone."""
    scores = torch.cat([digits, others])
    return roc_auc_score(torch.arange(len(scores)) < len(digits), scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST's")
    parser.add_argument("--weights", default=EMBEDDED_WEIGHTS, help="a folder, or owner/name")
    parser.add_argument("--most", type=int, default=2000, help="of each set of digits (2000)")
    arguments = parser.parse_args()
    model = LeNet.from_pretrained(arguments.weights)
    written = json.loads((arguments.digits / "pendigits-strokes.json").read_text())
    order = np.random.default_rng(SEED).permutation(len(written))[: arguments.most]
    labels = [written[i]["label"] for i in order]
    strokes = [[np.array(s, np.float32) for s in written[i]["strokes"]] for i in order]

    def drawn(how):
        random = np.random.default_rng(SEED)
        return (how(digit, random) for digit in strokes)

    def usps():
        file = np.load(arguments.digits / "usps-1000.npz")
        return list(file["images"]), file["labels"]

    def sklearn():
        digits = load_digits()
        return [(image * 255 / 16).astype(np.uint8) for image in digits.images], digits.target

    def mnist():
        images, targets = load_mnist(arguments.data_dir, train=False)
        return list(images[:, 0].numpy()), targets.tolist()

    sets = {
        "tablet, best brush": lambda: (drawn(draw_at_best_brush), labels),
        "tablet, any brush, size, place": lambda: (drawn(draw_anyhow), labels),
        "tablet, photographed": lambda: (drawn(photograph), labels),
        "envelopes (USPS)": usps,
        "scikit-learn's load_digits": sklearn,
        "MNIST test": mnist,
    }
    print("photographs:", "; ".join(f"{name} {value}" for name, value in PHOTO.items()), "\n")
    columns = [*WAYS, "refused", "calibration error", "p50, p95 ms"]
    print(f"| digits | {' | '.join(columns)} |")
    print("| --- |" + " --- |" * len(columns))
    confidence = {}
    for name, load in sets.items():
        row, confidence[name] = measure(model, *load())
        print(f"| {name} | {row} |", flush=True)

    letters, _ = ask(model, [to_mnist(picture) for picture in draw_letters(1000)])
    doubt = letters.amax(1)
    print("\nletters against digits, by the probability of the first guess:")
    for name in ("tablet, any brush, size, place", "envelopes (USPS)", "MNIST test"):
        print(f"  {name}: area under the ROC curve {told_apart(confidence[name], doubt):.4f}")
    for share in (0.5, 0.7, 0.9):
        digits = (confidence["tablet, any brush, size, place"] < share).float().mean()
        print(f"  under {share:.0%} are {digits:.1%} of the tablet's, ", end="")
        print(f"{(doubt < share).float().mean():.1%} of the letters")

    large = photograph(strokes[0], np.random.default_rng(SEED)).resize((4000, 3000))
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        to_mnist(large)
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    print(f"\na photograph of 12 megapixels: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


if __name__ == "__main__":
    main()
