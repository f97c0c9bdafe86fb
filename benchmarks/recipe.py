"""What does each part of the demo recipe gain?

    python benchmarks/recipe.py --digits real-digits --data-dir data

Trains the recipe for a few epochs, whole and with one part taken out at a time, and prints the
accuracy on the pictures that training held back (6,000 of MNIST's), and on the development
digits of `real_digits.py`: the tablet's strokes at any brush, size and place (first guess,
first three) and the envelopes'; and how well letters are told from the tablet's digits (area
under the ROC curve). MNIST's test pictures are not read.
"""

import argparse
import json
import sys
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from real_digits import SEED, ask, draw_anyhow, draw_letters, told_apart

import train
from reading.preprocess import to_mnist

TAKEN_OUT = {
    "the whole recipe": {},
    "Adam in the place of SOAP": {"train.SOAP": partial(torch.optim.Adam, betas=(0.9, 0.99))},
    "sigmoids while it learns": {
        "train.centered": lambda model, images: model(images),
        "train.with_sigmoids": deepcopy,
    },
    "a first convolution like the others": {"train.EDGES": 1},
    "no averaging of the weights": {"train.AVERAGING": 0.0},
    "no augmentation": {"augment.UNTOUCHED": 1.0},
    "no digits of other schools": {"train.DRAWN_SHARE": 0.0},
    "no non-digits": {"train.NON_DIGIT_SHARE": 0.0},
    "twice the non-digits": {"train.NON_DIGIT_SHARE": 2 * train.NON_DIGIT_SHARE},
}

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--digits", type=Path, required=True)
parser.add_argument("--data-dir", type=Path, default="data", help="MNIST's")
parser.add_argument("--device")
parser.add_argument("--epochs", type=int, default=10, help="of each run (10)")
parser.add_argument("--seeds", type=int, default=1, help="runs of each (1)")
arguments = parser.parse_args()
device = train.choose_device(arguments.device)
train.COMPILING_PAYS = 0
# Every run learns from the same drawings.
train.write_digits, train.write_non_digits = map(
    cache, (train.write_digits, train.write_non_digits)
)
images, labels = train.load_mnist(arguments.data_dir, train=True, device=device)

written = json.loads((arguments.digits / "pendigits-strokes.json").read_text())
random = np.random.default_rng(SEED)
tablet = [
    to_mnist(draw_anyhow([np.array(s, np.float32) for s in digit["strokes"]], random))
    for digit in written
]
tablet_labels = torch.tensor([digit["label"] for digit in written])
file = np.load(arguments.digits / "usps-1000.npz")
usps, usps_labels = [to_mnist(image) for image in file["images"]], torch.tensor(file["labels"])
letters = [to_mnist(letter) for letter in draw_letters(1000)]

print(f"{train.device_name(device)}, {arguments.epochs} epochs\n")
print("| | validation | tablet | tablet, first three | envelopes | letters | seconds an epoch |")
print("| --- |" + " --- |" * 6)
for name, replaced in TAKEN_OUT.items():
    figures = []
    for seed in range(arguments.seeds):
        settings = train.DEMO | {"epochs": arguments.epochs, "seed": seed, "recipe": "demo"}
        patches = [patch(target, value) for target, value in replaced.items()]
        torch.compiler.reset()  # or the recompilations count as one function's, up to a limit
        for one in patches:
            one.start()
        model, history = train.train(images, labels, **settings, report=lambda line: None)
        for one in patches:
            one.stop()
        row = [max(epoch["validation_accuracy"] for epoch in history)]
        on_tablet, on_envelopes = (ask(model.cpu(), pictures)[0] for pictures in (tablet, usps))
        right = on_tablet.topk(3).indices == tablet_labels[:, None]
        row += [right[:, 0].float().mean().item(), right.any(1).float().mean().item()]
        row.append((on_envelopes.argmax(1) == usps_labels).float().mean().item())
        row.append(told_apart(on_tablet.amax(1), ask(model, letters)[0].amax(1)))
        figures.append([*row, np.median([epoch["seconds"] for epoch in history])])
    *shares, seconds = np.mean(figures, axis=0)
    print(
        f"| {name} | {' | '.join(f'{share:.2%}' for share in shares)} | {seconds:.1f} |", flush=True
    )
