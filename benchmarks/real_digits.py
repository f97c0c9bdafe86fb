"""Measure how well single digits are read that the network wasn't trained on.

    python benchmarks/real_digits.py --digits data/real-digits --numbers data/real-numbers

For each set of digits, the script prints the share of right first guesses for pictures
(a) shrunk to 28×28, as in most demos
(b) framed by the ink's box and center of mass
(c) prepared by `to_mnist`
For (c) it also prints the share right among three guesses, the refused pictures, the expected
calibration error, and the time of `to_mnist` without decoding. Then it prints how well the page's
score tells digits from letters, and how often small crops get the right polarity.

--digits is a folder with three files:
- pendigits-strokes.json: digits that people wrote on a tablet (UCI "Pen-Based Recognition of
  Handwritten Digits", original coordinates), a list of {"label", "writer", "strokes"}
- letters.json: letters of CROHME 2011 to 2016, in the same form
- usps-1000.npz: digits from envelopes, arrays `images` and `labels`
--numbers is a folder with numbers.json: numbers written at a French school (CROHME 2011 to 2016),
in the same form, but with a list of strokes for each digit.

The strokes are drawn as the page's pad sends them, or photographed by tests/handwriting.py. MNIST's
test pictures, and small bilevel crops of them like those of old scanners, are read last. They are
for reporting only: no choice may depend on them.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from sklearn import datasets

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from handwriting import (
    SEED,
    crop_to_bilevel,
    draw_anyhow,
    draw_at_best_brush,
    load_digits,
    load_letters,
    photograph,
)
from scores import area_under_roc, digits_of, first_and_three, page_score, probabilities_of, spread
from written_numbers import load_numbers

from lenet import LeNet
from reading.picture import crop
from reading.preprocess import IMAGE_SIZE, frame, to_mnist
from reading.reader import PAIR_CONFIDENT
from reading.small import restore
from reading.weights import EMBEDDED_WEIGHTS
from training.data import load_mnist
from training.metrics import calibration_error

ANYHOW = "tablet, any brush, size and place"
FRENCH = "French school, any brush, size and place"
ENVELOPES = "envelopes (USPS)"
BILEVEL = "small bilevel crops"
MNIST = "MNIST's test pictures"
COLUMNS = ("(a) shrunk to 28×28", "(b) box and center of mass", "first guess", "first three")
COLUMNS += ("refused", "calibration error", "p50, p95 ms")


def to_ink(picture) -> np.ndarray:
    """Return a picture's ink in [0, 1], found like in most demos."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    gray = np.asarray(image.convert("L")).astype(np.float32) / 255
    return 1 - gray if np.median(gray) > 0.5 else gray


def shrunk(picture) -> np.ndarray:
    """Return a picture shrunk to 28×28."""
    return cv2.resize(to_ink(picture), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)


def box_and_mass(picture) -> np.ndarray:
    """Return a picture scaled by its ink's box and centered by its mass."""
    ink = to_ink(picture)
    return frame([crop(ink * (ink > 0.1))])[0]


def measure(models: list[LeNet], pictures, labels) -> tuple[str, torch.Tensor]:
    """Return the cells of a row, and each model's page scores of the pictures with (c)."""
    seconds = []

    def timed(picture) -> np.ndarray:
        started = time.perf_counter()
        try:
            return to_mnist(picture)
        finally:
            seconds.append(time.perf_counter() - started)

    cells = []
    for digits in digits_of(pictures, shrunk, box_and_mass, timed):
        answers = probabilities_of(models, digits)
        cells.append(spread(first_and_three(answers, labels)[0]))
    cells.append(spread(first_and_three(answers, labels)[1]))
    refused = answers[0].sum(-1) == 0
    answers, labels = answers[:, ~refused], torch.as_tensor(labels)[~refused]
    errors = [float(calibration_error(answer, labels)) for answer in answers]
    cells += [refused.sum().item(), spread(torch.tensor(errors)), milliseconds(seconds)]
    return " | ".join(map(str, cells)), page_score(answers)


def milliseconds(seconds: list[float]) -> str:
    return "{:.1f}, {:.1f}".format(*np.quantile(seconds, [0.5, 0.95]) * 1000)


def load_sets(folder: Path, numbers: Path, data_dir: Path, most: int) -> dict:
    """Return a function for each set of digits that loads its pictures and labels."""

    def drawn(how, digits):
        random = np.random.default_rng(SEED)
        return (how(digit, random) for digit in digits[0]), digits[1]

    def french():
        written = load_numbers(numbers)
        digits = [digit for number in written for digit in number.digits]
        return digits, [int(label) for number in written for label in number.label]

    def usps():
        file = np.load(folder / "usps-1000.npz")
        return list(file["images"]), file["labels"]

    def sklearn():
        scans = datasets.load_digits()
        return [(image * 255 / 16).astype(np.uint8) for image in scans.images], scans.target

    def mnist():
        images, targets = load_mnist(data_dir, train=False)
        return list(images[:, 0].numpy()), targets.tolist()

    def bilevel():
        images, targets = mnist()
        return (255 - crop_to_bilevel(image) for image in images), targets

    tablet = load_digits(folder, most)
    return {
        "tablet, best brush": lambda: drawn(draw_at_best_brush, tablet),
        ANYHOW: lambda: drawn(draw_anyhow, tablet),
        "tablet, photographed": lambda: drawn(photograph, tablet),
        FRENCH: lambda: drawn(draw_anyhow, french()),
        ENVELOPES: usps,
        "scikit-learn's load_digits": sklearn,
        BILEVEL: bilevel,
        MNIST: mnist,
    }


def print_letters(models: list[LeNet], folder: Path, scores: dict[str, torch.Tensor]) -> None:
    """Print how well the page's score tells digits from letters."""
    random = np.random.default_rng(SEED)
    drawn = (draw_anyhow(letter, random) for letter in load_letters(folder))
    letters = page_score(probabilities_of(models, *digits_of(drawn, to_mnist)))
    print("\nArea under the ROC curve, letters against digits by the page's score:", end=" ")
    areas = {name: area_under_roc(scores[name], letters) for name in (FRENCH, ANYHOW, ENVELOPES)}
    print("; ".join(f"{name} {spread(area, '{:.4f}')}" for name, area in areas.items()), end=". ")
    doubted = ((score < PAIR_CONFIDENT).float().mean(1) for score in (letters, scores[FRENCH]))
    words = "The two best guesses have less than 90% together for {} of the letters"
    words += " and {} of the French digits."
    print(words.format(*map(spread, doubted)))


def print_polarity(crops) -> None:
    """Print the share of small crops, black on white, in which the ink is found to be black."""

    def from_ink(picture: np.ndarray) -> np.ndarray:
        return frame([restore((picture == 0).astype(np.float32))])[0]

    ours, right = digits_of(crops, to_mnist, from_ink)
    right = torch.isclose(ours, right).flatten(1).all(1).double()
    print(f"\nPolarity is right for {right.mean():.2%} of the small bilevel crops.", end=" ")


def print_large_photograph(strokes) -> None:
    """Print the time that a photograph of 12 megapixels takes."""
    large = photograph(strokes, np.random.default_rng(SEED)).resize((4000, 3000))
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        to_mnist(large)
        seconds.append(time.perf_counter() - started)
    print(f"A photograph of 12 megapixels takes `to_mnist` {milliseconds(seconds)} ms (p50, p95).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="see the head of this file")
    parser.add_argument("--numbers", type=Path, required=True, help="see the head of this file")
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST folder (%(default)s)")
    several = "folders or owner/name; for several, print the mean and standard deviation"
    parser.add_argument("--weights", nargs="+", default=[EMBEDDED_WEIGHTS], help=several)
    most = "digits from the tablet, each drawn in three ways (%(default)s)"
    parser.add_argument("--most", type=int, default=1000, help=most)
    arguments = parser.parse_args()
    models = list(map(LeNet.from_pretrained, arguments.weights))
    print(f"| digits | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}")
    scores = {}
    folders = arguments.digits, arguments.numbers, arguments.data_dir
    sets = load_sets(*folders, arguments.most)
    for name, load in sets.items():
        row, scores[name] = measure(models, *load())
        print(f"| {name} | {row} |", flush=True)
    print_letters(models, arguments.digits, scores)
    print_polarity(sets[BILEVEL]()[0])
    print_large_photograph(load_digits(arguments.digits, 1)[0][0])


if __name__ == "__main__":
    main()
