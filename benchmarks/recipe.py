"""What does each part of the demo recipe gain?

    python benchmarks/recipe.py --digits real-digits --numbers real-numbers --data-dir data

Trains the recipe for a few epochs, whole and with one part changed at a time, and prints the
accuracy on the images that training held out (6,000 of MNIST's), and on the development digits of
`real_digits.py`: the tablet's and the French school's strokes at any brush, size and place, and
the envelopes'; and how well letters are told from the French digits (area under the ROC curve).
MNIST's test images are not read.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from handwriting import SEED, draw_anyhow, load_digits, load_letters, load_numbers
from real_digits import area_under_roc, or_nan, probabilities_of, scores_of

from reading.preprocess import to_mnist
from train import train
from training.data import load_mnist
from training.recipes import DEMO, Recipe
from training.run import choose_device, device_name


def without(kind: int) -> Recipe:
    """Return the recipe without one of the kinds of images that are added to MNIST's."""
    shares = [0.0 if i == kind else share for i, share in enumerate(DEMO.added_shares)]
    return replace(DEMO, added_shares=tuple(shares))


VARIANTS = {
    "the whole recipe": DEMO,
    "AdamW in the place of SOAP": replace(
        DEMO, optimizer=partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.1)
    ),
    "no weight decay": replace(DEMO, optimizer=partial(DEMO.optimizer, weight_decay=0.0)),
    "sigmoids in training": replace(DEMO, tanh_forward=False),
    "conv1 scaled as the other layers": replace(DEMO, conv1_scale=1.0),
    "no running mean of the weights": replace(DEMO, ema_decay=None),
    "no augmentation": replace(DEMO, augmentation=None),
    "no other handwriting styles": without(0),
    "no coarse scans": without(1),
    "no non-digits": without(2),
}
COLUMNS = ("validation", "tablet", "French", "French, first three", "envelopes", "letters")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="folder of real digits")
    parser.add_argument("--numbers", type=Path, required=True, help="folder of real numbers")
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST's")
    parser.add_argument("--device")
    parser.add_argument("--epochs", type=int, default=10, help="of each run (10)")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each variant (1)")
    return parser.parse_args()


class Development:
    """The development digits, normalised, and the figures of a network on them."""

    def __init__(self, folder: Path, numbers: Path):
        def drawn(strokes) -> list[np.ndarray]:
            rng = np.random.default_rng(SEED)
            return [or_nan(to_mnist, draw_anyhow(shape, rng)) for shape in strokes]

        tablet, tablet_labels = load_digits(folder, most=None)
        french, french_labels = load_numbers(numbers)
        envelopes = np.load(folder / "usps-1000.npz")
        self.images = [drawn(tablet), drawn(french), list(map(to_mnist, envelopes["images"]))]
        self.labels = list(map(torch.tensor, (tablet_labels, french_labels, envelopes["labels"])))
        self.letters = drawn(load_letters(folder))

    def measure(self, model) -> list[float]:
        """Return `COLUMNS` but the first."""
        hits = []
        for images, labels in zip(self.images, self.labels, strict=True):
            (answers,), refused = probabilities_of([model], images)
            right = (answers.topk(3).indices == labels[:, None]) & ~refused[:, None]
            hits.append(right.float())
        tablet, french, envelopes = hits
        french_scores, letters = (scores_of([model], x) for x in (self.images[1], self.letters))
        return [
            tablet[:, 0].mean().item(),
            french[:, 0].mean().item(),
            french.amax(1).mean().item(),
            envelopes[:, 0].mean().item(),
            area_under_roc(french_scores, letters).item(),
        ]


def row_of(recipe: Recipe, seeds: int, images, labels, development: Development) -> np.ndarray:
    """Return the mean over the seeds of `COLUMNS` and of the seconds an epoch."""
    rows = []
    for seed in range(seeds):
        torch.compiler.reset()  # or the recompilations count as one function's, up to a limit
        model, history = train(
            images, labels, recipe, seed=seed, use_compile=True, report=lambda line: None
        )
        validation = max(epoch["validation_accuracy"] for epoch in history)
        seconds = np.median([epoch["seconds"] for epoch in history])
        rows.append([validation, *development.measure(model.cpu()), seconds])
    return np.mean(rows, axis=0)


def main() -> None:
    arguments = parse_arguments()
    device = choose_device(arguments.device)
    images, labels = load_mnist(arguments.data_dir, train=True, device=device)
    development = Development(arguments.digits, arguments.numbers)
    print(f"{device_name(device)}, {arguments.epochs} epochs\n")
    print(f"| | {' | '.join(COLUMNS)} | seconds an epoch |")
    print("| --- |" + " --- |" * (len(COLUMNS) + 1))
    for name, recipe in VARIANTS.items():
        recipe = replace(recipe, epochs=arguments.epochs)
        *shares, seconds = row_of(recipe, arguments.seeds, images, labels, development)
        cells = " | ".join(f"{share:.2%}" for share in shares)
        print(f"| {name} | {cells} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
