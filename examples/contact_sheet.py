"""What does the network learn from? Draw a contact sheet of the demo recipe's images.

    python examples/contact_sheet.py --data-dir data --output examples/augmented.png

The first 6 rows are MNIST's digits, augmented, two columns a digit; then 4 rows of drawn digits in
other handwriting styles, and 2 rows of non-digits, augmented as well.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import save_image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training.augment import NOISE_SIZE, augment
from training.data import load_mnist, scale
from training.drawings import draw_digits, draw_non_digits
from training.recipes import DEMO

COLUMNS = 20  # two for each digit


def by_digit(images: Tensor, labels: Tensor, rows: int) -> Tensor:
    """Return the images of `rows` rows, each with two images of each digit."""
    columns = [images[labels == digit][: 2 * rows].view(2, rows, 1, 28, 28) for digit in range(10)]
    return torch.cat(columns).transpose(0, 1).flatten(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--output", type=Path, default="contact_sheet.png")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    images, labels = load_mnist(arguments.data_dir, train=True)
    drawn, drawn_labels = map(torch.from_numpy, draw_digits(600, arguments.seed))
    others = torch.from_numpy(draw_non_digits(2 * COLUMNS, arguments.seed))
    sheet = [by_digit(images, labels, 6), by_digit(drawn, drawn_labels, 4), others]
    sheet = scale(torch.cat(sheet))
    generator = torch.Generator().manual_seed(arguments.seed)
    noise = torch.randn(len(sheet), NOISE_SIZE, generator=generator)
    sheet = augment(sheet, noise, replace(DEMO.augmentation, untouched_share=0.0))
    save_image(1 - sheet, arguments.output, nrow=COLUMNS, padding=1, pad_value=1)
    print(f"saved {arguments.output}")


if __name__ == "__main__":
    main()
