"""Measure how well whole numbers are read, and what this costs single digits.

    python benchmarks/real_numbers.py --numbers data/real-numbers --digits data/real-digits

For each set of numbers, the script prints how many are right at the first guess and among three.
It also prints how many have the right length, and how many are refused (no answer) or doubted. The
last columns are the expected calibration error (15 bins) and the time per picture. Then it prints
how `recognize` and `read` do on single digits, and how long `read` takes for one digit and for
five, against `recognize`.

--numbers and --digits are the folders of real_digits.py. Numbers are drawn at random size, place,
brush width and slope from a fixed seed. Composed numbers combine digits of one writer, at gaps
from overlapping to wide.
"""

import argparse
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from written_numbers import SINGLE, number_sets

from lenet import LeNet
from reading.picture import NoDigitError
from reading.reader import read, recognize
from reading.weights import EMBEDDED_WEIGHTS

COLUMNS = ("numbers", "first", "among three", "length", "refused", "doubted", "calibration error")
COLUMNS += ("p50, p95 ms",)


@dataclass(frozen=True)
class Outcome:
    """The result of reading a number; `probability` is that of the first guess."""

    length: int
    first: bool
    three: bool
    right_length: bool
    refused: bool
    doubted: bool
    probability: float
    seconds: float


def outcome(label: str, picture, model: LeNet) -> Outcome:
    started = time.perf_counter()
    try:
        reading = read(picture, model)
    except NoDigitError:  # counts as wrong
        seconds = time.perf_counter() - started
        return Outcome(len(label), False, False, False, True, False, 0.0, seconds)
    seconds = time.perf_counter() - started
    guesses = [number for number, _ in reading.guesses]
    return Outcome(
        len(label),
        guesses[0] == label,
        label in guesses,
        len(guesses[0]) == len(label),
        False,
        bool(reading.doubt),
        reading.guesses[0][1],
        seconds,
    )


def calibration_error(outcomes: list[Outcome], bins: int = 15) -> float:
    """Return the expected calibration error of the first guesses (Guo et al. 2017)."""
    answered = [o for o in outcomes if not o.refused]
    probabilities = np.array([o.probability for o in answered])
    right = np.array([o.first for o in answered], float)
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, probabilities - right, minlength=bins)
    return float(np.abs(gaps).sum() / max(1, len(answered)))


def print_row(name: str, outcomes: list[Outcome]) -> None:
    def share(field: str) -> str:
        return f"{np.mean([getattr(o, field) for o in outcomes]):.1%}"

    p50, p95 = np.quantile([o.seconds for o in outcomes], [0.5, 0.95]) * 1000
    cells = [name, len(outcomes), share("first"), share("three"), share("right_length")]
    cells += [sum(o.refused for o in outcomes), sum(o.doubted for o in outcomes)]
    cells += [f"{calibration_error(outcomes):.1%}", f"{p50:.1f}, {p95:.1f}"]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def read_all(pictures, model: LeNet) -> tuple[dict[str, list[Outcome]], int, list[float]]:
    """Read `number_sets`; return each set's outcomes.

    Also return how many of the single digits `recognize` reads right, and its seconds for each.
    """
    outcomes, alone, seconds = {}, 0, []
    for name, number, picture in pictures:
        outcomes.setdefault(name, []).append(outcome(number.label, picture, model))
        if name == SINGLE:
            started = time.perf_counter()
            with suppress(NoDigitError):
                probabilities = recognize(picture, model)
                alone += max(probabilities, key=probabilities.get) == number.label
            seconds.append(time.perf_counter() - started)
    return outcomes, alone, seconds


def print_times(times: dict[str, list[float]]) -> None:
    """Print quantiles of durations in seconds, as ms, and their ratios to the first row's."""
    print("\n| | p50, p95 ms | times `recognize` |\n| --- | --- | --- |")
    quantiles = {name: np.quantile(seconds, [0.5, 0.95]) for name, seconds in times.items()}
    first = next(iter(quantiles.values()))
    for name, both in quantiles.items():
        (p50, p95), (ratio50, ratio95) = both * 1000, both / first
        print(f"| {name} | {p50:.1f}, {p95:.1f} | {ratio50:.1f}, {ratio95:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--numbers", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--weights", default=EMBEDDED_WEIGHTS, help="a folder or owner/name")
    parser.add_argument("--composed", type=int, default=1000, help="composed numbers (%(default)s)")
    parser.add_argument("--photographs", type=int, default=500, help="per kind (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # like the page's worker
    torch.backends.mkldnn.set_flags(False)
    cv2.setNumThreads(1)
    model = LeNet.from_pretrained(arguments.weights)
    counts = arguments.composed, arguments.photographs
    pictures = number_sets(arguments.digits, arguments.numbers, *counts)
    sets, right, seconds = read_all(pictures, model)
    print(f"| set | {' | '.join(COLUMNS)} |\n|{' --- |' * (len(COLUMNS) + 1)}")
    for name, outcomes in sets.items():
        print_row(name, outcomes)
    several = sum(not o.right_length and not o.refused for o in sets[SINGLE])
    print(f"\n`recognize` reads {right / len(seconds):.2%} of these single digits right.", end=" ")
    print(f"`read` mistakes {several} of {len(seconds)} for a longer number.")
    times = {"`recognize`, a digit": seconds, "`read`, a digit": [o.seconds for o in sets[SINGLE]]}
    for kind in ("apart", "touching"):
        five = [o.seconds for o in sets[f"composed, {kind}"] if o.length == 5]
        times[f"`read`, five {kind}"] = five
    print_times(times)


if __name__ == "__main__":
    main()
