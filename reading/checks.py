"""Checks of what comes from the Hub: files are short, and finite weights are not broken."""

import json
from pathlib import Path

import torch

from lenet import LeNet
from reading.preprocess import IMAGE_SIZE

MAX_FILE = 1_000_000  # bytes; the weights take 250 KB, the figures of their run 20 KB
LARGEST = 1000.0  # of a weight; with these no picture can make any step overflow float32
TEMPERATURES = (0.01, 100.0)  # that are taken; training finds 0.5 to 2


class LimitedProgress:
    """A progress bar for `hf_hub_download(tqdm_class=…)` that shows nothing and ends it in time.

    The client writes whatever a server sends, however long the server said that it is; it tells
    its progress bar of each piece first.
    """

    def __init__(self, total: int | None = None, initial: int = 0, **ignored):
        self.received = initial
        self.limit(total or 0)

    def update(self, received: int) -> None:
        """Raise ValueError if more than `MAX_FILE` bytes have come."""
        self.received += received
        self.limit(self.received)

    def limit(self, length: int) -> None:
        if length > MAX_FILE:
            raise ValueError(f"a file of the Hub's is longer than {MAX_FILE:,} bytes")

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass


def check_file_size(file: Path) -> None:
    """Raise ValueError if a file is longer than `MAX_FILE`."""
    LimitedProgress(file.stat().st_size)


def check_model(model: LeNet) -> None:
    """Check that a network's numbers stay in bounds, and that it tells a stroke from blank paper.

    Raises
    ------
    ValueError
        If a weight or the temperature is out of bounds, a step or a probability is not finite, or
        the answer is the same for all digits or for both pictures.
    """
    least, most = TEMPERATURES
    if not least <= model.temperature <= most:  # not printed: a whole number may have any length
        raise ValueError(f"the temperature is not between {least:g} and {most:g}")
    for name, parameter in model.named_parameters():
        if not parameter.abs().max() <= LARGEST:
            raise ValueError(f"{name} holds a weight that is not between ±{LARGEST:g}")
    pictures = torch.zeros(2, 1, IMAGE_SIZE, IMAGE_SIZE)
    pictures[1, 0, 4:24, 13:16] = 1  # a stroke; the other stays blank
    with torch.inference_mode():
        steps = model.layers(pictures)
        steps.append(model.probabilities(steps[-1].double()))
    if not all(step.isfinite().all() for step in steps):
        raise ValueError("the network gives numbers that are not finite")
    # Exact equality will not do: the same sum, taken in another order, differs in its last bits.
    blank, stroke = steps[-2]
    least = 1e-5 * float(stroke.abs().max())
    if float(stroke.max() - stroke.min()) <= least:
        raise ValueError("the network gives all digits the same score")
    if float((stroke - blank).abs().max()) <= least:
        raise ValueError("the network gives a stroke and blank paper the same scores")


def read_accuracy(metrics: Path) -> float | None:
    """Return the test accuracy in a run's metrics.json, in [0, 1], or None if it holds none."""
    try:
        with metrics.open("rb") as file:
            content = file.read(MAX_FILE + 1)
        accuracy = json.loads(content)["test_accuracy"] if len(content) <= MAX_FILE else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    # A bool is an int, too; NaN compares as false.
    is_number = isinstance(accuracy, int | float) and not isinstance(accuracy, bool)
    return float(accuracy) if is_number and 0 <= accuracy <= 1 else None
