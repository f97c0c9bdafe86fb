"""Does `to_mnist` bring what people really draw into the form that the network reads?

    python benchmarks/real_digits.py --digits real-digits --numbers real-numbers --data-dir data

For each set of digits: the accuracy, first guess and first three, (a) with the picture shrunk
to 28x28 as most demos do, (b) with its box and centre of mass only, (c) with `to_mnist`; how far
the probabilities of (c) are from the share that is right (expected calibration error); and the
time that `to_mnist` takes a picture, without decoding. Then: how well the page's score tells
digits from letters, which the training never saw, and how often ink is told from paper in small
crops.

The folder --digits holds pendigits-strokes.json, what people wrote on a tablet (UCI "Pen-Based
Recognition of Handwritten Digits", unnormalised coordinates: a list of {"label", "strokes"}),
usps-1000.npz, digits from envelopes (`images`, `labels`), and letters.json, other people's
letters; the folder --numbers holds numbers.json, the digits of numbers that people of a French
school wrote (both of CROHME 2011 to 2016, as lists of {"label", "strokes"}). The strokes are
drawn as the page's pad sends them, or laid on paper as a camera sees it. MNIST's test pictures,
and small bilevel crops of them as an old scanner has them, are read last; they are for reporting,
not for choosing by.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from handwriting import (
    SEED,
    Camera,
    crop_to_bilevel,
    draw_anyhow,
    draw_at_best_brush,
    load_digits,
    load_letters,
    load_numbers,
    photograph,
)
from sklearn import datasets
from sklearn.metrics import roc_auc_score

from lenet import LeNet
from reading.picture import crop
from reading.preprocess import IMAGE_SIZE, NoDigitError, frame, to_mnist
from reading.reader import EITHER_CONFIDENT
from reading.small import restore
from reading.weights import EMBEDDED_WEIGHTS
from training.data import load_mnist
from training.metrics import calibration_error

ANYHOW = "tablet, any brush, size, place"
FRENCH = "numbers of a French school"
BILEVEL = "small bilevel crops"

# The three ways


def to_ink(picture) -> np.ndarray:
    """Return a picture's ink in [0, 1], as most demos find it."""
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    gray = np.asarray(image.convert("L")).astype(np.float32) / 255
    return 1 - gray if np.median(gray) > 0.5 else gray


def shrunk(picture) -> np.ndarray:
    """Return a picture shrunk to 28×28."""
    return cv2.resize(to_ink(picture), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)


def box_and_mass(picture) -> np.ndarray:
    """Return a picture sized by its ink's box and placed by its centre of mass."""
    ink = to_ink(picture)
    return frame(crop(ink * (ink > 0.1)))


WAYS = {
    "(a) shrunk to 28×28": shrunk,
    "(b) box and centre of mass": box_and_mass,
    "(c) `to_mnist`": to_mnist,
}


def measure(models: list[LeNet], pictures, labels) -> tuple[str, torch.Tensor]:
    """Return the cells of a row, and each model's page scores of the pictures by way (c)."""
    labels = torch.tensor(labels)
    digits = {way: [] for way in WAYS}
    seconds = []
    for picture in pictures:
        for way, function in WAYS.items():
            started = time.perf_counter()
            digits[way].append(or_nan(function, picture))
        seconds.append(time.perf_counter() - started)  # of the last way, to_mnist
    cells = []
    for way in WAYS:
        answers, refused = probabilities_of(models, digits[way])
        right = (answers.topk(3).indices == labels[:, None]) & ~refused[:, None]
        first, three = right[..., 0], right.any(-1)
        cells.append(", ".join(spread(hit.float().mean(1)) for hit in (first, three)))
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    answers = answers[:, ~refused]
    errors = [float(calibration_error(answer, labels[~refused])) for answer in answers]
    cells += [refused.sum().item(), spread(torch.tensor(errors)), f"{p50:.1f}, {p95:.1f}"]
    return " | ".join(map(str, cells)), page_score(answers)


def or_nan(function, picture) -> np.ndarray:
    """Return what a function makes of a picture (28, 28), or NaN if it refuses it."""
    try:
        return function(picture)
    except NoDigitError:
        return np.full((IMAGE_SIZE, IMAGE_SIZE), np.nan, np.float32)


def spread(values: torch.Tensor, form: str = "{:.2%}") -> str:
    """Return the mean of what the models reach, and its standard deviation if they are several."""
    mean = form.format(values.mean())
    return mean if len(values) == 1 else f"{mean} ± {form.format(values.std()).rstrip('%')}"


def probabilities_of(
    models: list[LeNet], digits: list[np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each model's probabilities (models, N, 10), as the page has them, and what is NaN."""
    batch = torch.from_numpy(np.stack(digits))[:, None]
    with torch.inference_mode():
        answers = [model.probabilities(model(batch.nan_to_num())) for model in models]
    return torch.stack(answers), batch.isnan().any((1, 2, 3))


def page_score(probabilities: torch.Tensor) -> torch.Tensor:
    """Return what the page doubts a digit by (`reading.reader.read`): too low, it asks."""
    return probabilities.topk(2).values.sum(-1)


def scores_of(models: list[LeNet], digits: list[np.ndarray]) -> torch.Tensor:
    """Return each model's page scores (models, N); what is refused is surely doubted: 0."""
    answers, refused = probabilities_of(models, digits)
    return page_score(answers) * ~refused


def area_under_roc(digits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return each model's area under the ROC curve of scores that are to be high for digits."""
    is_digit = torch.arange(digits.shape[1] + others.shape[1]) < digits.shape[1]
    scores = torch.cat([digits, others], dim=1)
    return torch.tensor([roc_auc_score(is_digit, score) for score in scores])


def load_sets(folder: Path, numbers: Path, data_dir: Path, most: int) -> dict:
    """Return functions that load each set of digits: its pictures and labels."""

    def drawn(how, digits):
        random = np.random.default_rng(SEED)
        return (how(digit, random) for digit in digits[0]), digits[1]

    def usps():
        file = np.load(folder / "usps-1000.npz")
        return list(file["images"]), file["labels"]

    def sklearn():
        digits = datasets.load_digits()
        return [(image * 255 / 16).astype(np.uint8) for image in digits.images], digits.target

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
        FRENCH: lambda: drawn(draw_anyhow, load_numbers(numbers)),
        "envelopes (USPS)": usps,
        "scikit-learn's load_digits": sklearn,
        BILEVEL: bilevel,
        "MNIST test": mnist,
    }


def print_letters(models: list[LeNet], folder: Path, scores: dict[str, torch.Tensor]) -> None:
    """Print how well the page's score tells digits from letters."""
    random = np.random.default_rng(SEED)
    drawn = (draw_anyhow(letter, random) for letter in load_letters(folder))
    letters = scores_of(models, [or_nan(to_mnist, letter) for letter in drawn])
    print("\nletters against digits, by the page's score:")
    for name in (FRENCH, ANYHOW, "envelopes (USPS)", "MNIST test"):
        area = spread(area_under_roc(scores[name], letters), "{:.4f}")
        print(f"  {name}: area under the ROC curve {area}")
    doubted = [
        spread((score < EITHER_CONFIDENT).float().mean(1)) for score in (letters, scores[FRENCH])
    ]
    print("  the page doubts {} of the letters, {} of the French digits".format(*doubted))


def print_polarity(crops) -> None:
    """Print in how many small crops, black on white, the ink is told from the paper."""
    right = [
        np.allclose(or_nan(to_mnist, picture), frame(restore((picture == 0).astype(np.float32))))
        for picture in crops
    ]
    print(f"\nsmall bilevel crops: ink is taken for ink in {np.mean(right):.2%}")


def print_large_photograph(strokes) -> None:
    """Print the time that a photograph of 12 megapixels takes."""
    large = photograph(strokes, np.random.default_rng(SEED)).resize((4000, 3000))
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        to_mnist(large)
        seconds.append(time.perf_counter() - started)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    print(f"\na photograph of 12 megapixels: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--numbers", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST's")
    several = "folders, or owner/name; of several the mean and standard deviation are printed"
    parser.add_argument("--weights", nargs="+", default=[EMBEDDED_WEIGHTS], help=several)
    parser.add_argument("--most", type=int, default=2000, help="of each set of digits (2000)")
    arguments = parser.parse_args()
    models = list(map(LeNet.from_pretrained, arguments.weights))
    camera = "; ".join(f"{name} {value}" for name, value in asdict(Camera()).items())
    print(f"photographs: {camera}\n")
    columns = [*WAYS, "refused", "calibration error", "p50, p95 ms"]
    print(f"| digits | {' | '.join(columns)} |")
    print("| --- |" + " --- |" * len(columns))
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
