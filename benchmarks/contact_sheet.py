"""What does the network learn from? Draw a contact sheet of the demo recipe's pictures.

    python benchmarks/contact_sheet.py --data-dir data --output examples/augmented.png

Above, 6 rows: MNIST's digits, augmented, two columns a digit. Below them, 4 rows of digits that
MNIST lacks, and 2 rows of what is no digit; augmented, too.
"""

import argparse
import sys
from pathlib import Path

import torch
from torchvision.utils import save_image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from train import load_mnist, scale
from training import augment
from training.strokes import write_digits, write_non_digits

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--data-dir", type=Path, default="data")
parser.add_argument("--output", type=Path, default="contact_sheet.png")
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

COLUMNS = 20  # two for each digit
images, labels = load_mnist(arguments.data_dir, train=True)


def by_digit(images, labels, rows):
    """Give `rows` rows, each with two pictures of each digit."""
    columns = [images[labels == digit][: 2 * rows].view(2, rows, 1, 28, 28) for digit in range(10)]
    return torch.cat(columns).transpose(0, 1).flatten(0, 1)


drawn, drawn_labels = map(torch.from_numpy, write_digits(600, arguments.seed))
others = torch.from_numpy(write_non_digits(2 * COLUMNS, arguments.seed))
pictures = [by_digit(images, labels, 6), by_digit(drawn, drawn_labels, 4), others]
pictures = scale(torch.cat(pictures))
augment.UNTOUCHED = 0
generator = torch.Generator().manual_seed(arguments.seed)
noise = torch.randn(len(pictures), augment.NOISE, generator=generator)
pictures = augment.augment(pictures, noise)
save_image(1 - pictures, arguments.output, nrow=COLUMNS, padding=1, pad_value=1)
print(f"saved {arguments.output}")
