"""Checks of weights from the Hub: files are small, and the network computes finite numbers."""

import json
from pathlib import Path

import torch

from lenet import LeNet
from reading.preprocess import IMAGE_SIZE

MAX_FILE = 1_000_000  # bytes; weights take 250 KB, metrics.json 20 KB
MAX_WEIGHT = 1000.0  # absolute value of a weight, so that no layer can overflow float32
TEMPERATURE_RANGE = (0.01, 100.0)  # range; training finds 0.5 to 2


class LimitedProgress:
    """A hidden progress bar for `hf_hub_download(tqdm_class=…)` that ends long downloads.

    The client doesn't stop when a server sends more than it announced, but it reports each piece
    to its progress bar before it writes it.
    """

    def __init__(self, total: int | None = None, initial: int = 0, **ignored):
        self.received = initial
        self.limit(total or 0)

    def update(self, received: int) -> None:
        self.received += received
        self.limit(self.received)

    def limit(self, length: int) -> None:
        if length > MAX_FILE:
            raise ValueError(f"a file of the Hub is longer than {MAX_FILE:,} bytes")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass


def check_file_size(file: Path) -> None:
    """Raise ValueError if a file is longer than `MAX_FILE`."""
    LimitedProgress(file.stat().st_size)


def check_model(model: LeNet) -> None:
    """Raise ValueError if weights are out of bounds or the network can't tell a stroke from paper.

    The network must also give finite numbers, and different scores to different digits.
    """
    least, most = TEMPERATURE_RANGE
    if not least <= model.temperature <= most:  # not printed: an integer may have any length
        raise ValueError(f"the temperature is not between {least:g} and {most:g}")
    for name, parameter in model.named_parameters():
        if not parameter.abs().max() <= MAX_WEIGHT:
            raise ValueError(f"{name} holds a weight that is not between ±{MAX_WEIGHT:g}")
    pictures = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE)
    pictures[1, 0, 4:24, 13:16] = 1  # a stroke; the other stays blank
    with torch.inference_mode():
        steps = model.layers(pictures)
        steps.append(model.probabilities(steps[-1].double()))
    if not all(step.isfinite().all() for step in steps):
        raise ValueError("the network gives numbers that are not finite")
    # Equal scores may differ in their last bits, since sums are computed in different orders.
    blank, stroke = steps[-2]
    least = 1e-5 * float(stroke.abs().max())
    if float(stroke.max() - stroke.min()) <= least:
        raise ValueError("the network gives all digits the same score")
    if float((stroke - blank).abs().max()) <= least:
        raise ValueError("the network gives a stroke and blank paper the same scores")


def read_accuracy(metrics: Path) -> float | None:
    """Return the test accuracy in [0, 1] from a run's metrics.json, or None if it has none."""
    try:
        with metrics.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        accuracy = json.loads(content)["test_accuracy"] if len(content) <= MAX_FILE else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    # A bool is also an int. NaN fails the comparison.
    is_number = isinstance(accuracy, int | float) and not isinstance(accuracy, bool)
    return float(accuracy) if is_number and 0 <= accuracy <= 1 else None
