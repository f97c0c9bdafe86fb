"""Measure what each part of the demo recipe gains.

    python benchmarks/recipe.py --digits data/real-digits --numbers data/real-numbers

The script trains the whole recipe for a few epochs, then with one part changed at a time, on one
thread each and a run per core. It prints the accuracy on 6,000 held-out images of MNIST's training
set, and on the development digits of `real_digits.py`: tablet and French school (any brush, size
and place) and envelopes. The column "letters" is the area under the ROC curve, letters against
French digits. MNIST's test images aren't used.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from handwriting import load_letters
from scores import (
    area_under_roc,
    drawn,
    first_and_three,
    load_development,
    page_score,
    probabilities_of,
    spread,
)

import train
from lenet import LeNet
from training.data import load_mnist, make_training_set
from training.recipes import DEMO, Recipe
from training.run import choose_device, device_name


def without(kind: int) -> Recipe:
    """Return the recipe without the kind of added images at this index."""
    shares = [0.0 if i == kind else share for i, share in enumerate(DEMO.added_shares)]
    return replace(DEMO, added_shares=tuple(shares))


ADAMW = partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=0.1, fused=True, capturable=True)
VARIANTS = {
    "the whole recipe": DEMO,
    "AdamW in the place of SOAP": replace(DEMO, optimizer=ADAMW),
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
COLUMNS += ("seconds an epoch",)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--numbers", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST folder (data)")
    parser.add_argument("--device", help="as for train.py")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per run (10)")
    parser.add_argument("--seeds", type=int, default=3, help="runs per row (3)")
    names = {"nargs": "+", "default": list(VARIANTS), "choices": VARIANTS, "metavar": "NAME"}
    parser.add_argument("--variants", **names, help="rows to measure (all)")
    return parser.parse_args()


@cache
def load_sets(digits: Path, numbers: Path) -> dict:
    """Return the development digits and the letters in MNIST's form, and their labels."""
    return load_development(digits, numbers) | {"letters": (drawn(load_letters(digits)), None)}


def measure(model: LeNet, development: dict) -> list[float]:
    """Return the cells of `COLUMNS` except the first and the last."""
    answers = {name: probabilities_of([model], d) for name, (d, _) in development.items()}
    area = area_under_roc(page_score(answers["French"]), page_score(answers.pop("letters")))
    shares = {name: first_and_three(answers[name], development[name][1]) for name in answers}
    (tablet, _), (french, three), (envelopes, _) = shares.values()
    return [float(share) for share in (tablet, french, three, envelopes, area)]


def prepare_worker() -> None:
    """Use one thread, and draw a seed's images once: all variants train on the same ones."""
    torch.set_num_threads(1)
    sys.stdout = sys.stderr  # for what training says
    sets = {}

    def draw_once(images, labels, recipe, seed, device):
        if seed not in sets:
            sets.clear()
            sets[seed] = make_training_set(images, labels, recipe, seed, device)
        return sets[seed]

    train.make_training_set = draw_once


def run(arguments: argparse.Namespace, name: str, seed: int) -> list[float]:
    """Train a variant; return the cells of `COLUMNS`."""
    torch.compiler.reset()  # or PyTorch's limit of recompilations stops the compiler
    data = load_mnist(arguments.data_dir, train=True, device=choose_device(arguments.device))
    recipe = replace(VARIANTS[name], epochs=arguments.epochs)
    model, history = train.train(*data, recipe, seed=seed, report=str)
    validation = max(epoch["validation_accuracy"] for epoch in history)
    seconds = np.median([epoch["seconds"] for epoch in history])
    development = load_sets(arguments.digits, arguments.numbers)
    cells = [validation, *measure(model.cpu(), development), seconds]
    print(f"{name}, seed {seed}: {cells}", file=sys.stderr, flush=True)
    return cells


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)  # for the title
    device, names = choose_device(arguments.device), arguments.variants
    processes = os.cpu_count() if device.type == "cpu" else 1
    jobs = [(name, seed) for seed in range(arguments.seeds) for name in names]
    with ProcessPoolExecutor(processes, get_context("spawn"), prepare_worker) as pool:
        cells = list(pool.map(partial(run, arguments), *zip(*jobs, strict=True)))
    title = f"{arguments.epochs} epochs, {arguments.seeds} seeds, {device_name(device)}"
    print(f"| {title} | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}")
    for i, name in enumerate(names):
        *shares, seconds = torch.tensor(cells[i :: len(names)]).T
        print(f"| {name} | {' | '.join([*map(spread, shares), f'{seconds.mean():.1f}'])} |")


if __name__ == "__main__":
    main()
