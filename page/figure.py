"""Explain an answer: the evidence for the guesses and the layers, which page/figure.js paints.

Each value of a picture is sent as one letter: 63 shades from -1 to 1, as more would look the same.
"""

from collections.abc import Sequence
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

import numpy as np

from lenet import LeNet
from reading.evidence import blank_layers, evidence
from reading.reader import DigitReading

SHADES = 31  # on each side of 0
LETTERS = np.frombuffer(f"{ascii_uppercase}{ascii_lowercase}0123456789+".encode(), np.uint8)
LAYERS = {"C1": 0, "C3": 2, "F5": 4, "F6": 5}  # LeCun's names (but F5 is his C5), and indices


def explain(digits: Sequence[DigitReading], model: LeNet, chosen: int = 0) -> dict:
    """Return one digit's input, the evidence for and against it, and the output of each layer.

    Parameters
    ----------
    digits : sequence of DigitReading, from left to right
    model : LeNet, the network that read them
    chosen : int, index of the digit to explain; if too large, the last digit is explained

    Returns
    -------
    figure : dict of JSON values
        "digits"; "chosen"; "input": the 28×28 picture; "answer": [digit, 10×10 picture, [for,
        against, blank page, score]]; "rivals": for each other digit the same list, in which
        picture and sums are the answer's minus the rival's; "rival": the second guess; "layers"
        and "kernels": pictures by layer, without S2 and S4, the means of C1 and C3; "output":
        ten probabilities.
    """
    reading = digits[chosen := min(chosen, len(digits) - 1)]
    first, second, *_ = order = _best(reading)
    blanks = blank_layers(model)  # the figure shows how each layer differs from a blank page
    places, blank = evidence(reading.layers[2], model), blanks[-1]
    leads, starts = places[first] - places, blank[first] - blank
    scale = max(np.abs(places[first]).max(), np.abs(leads).max(), 1e-9)
    layers = {name: reading.layers[k] - blanks[k] for name, k in LAYERS.items()}

    def describe(digit: int, map_: np.ndarray, start: float) -> list:
        return [digit, pack(map_ / scale), add_up(start, map_)]

    return {
        "digits": [_best(one)[0] for one in digits],
        "chosen": chosen,
        "input": pack(2 * reading.digit - 1),
        "answer": describe(first, places[first], blank[first]),
        "rivals": [describe(d, leads[d], starts[d]) for d in sorted(order[1:])],
        "rival": second,
        "layers": {name: pack(d / max(np.abs(d).max(), 1e-6)) for name, d in layers.items()},
        "kernels": _pack_kernels(model),
        "output": [round(p, 4) for p in reading.probabilities.values()],
    }


def pack(values: np.ndarray) -> str:
    """Encode values in [-1, 1] as letters, row by row."""
    return LETTERS[np.rint((values.ravel() + 1) * SHADES).astype(np.intp)].tobytes().decode()


def add_up(blank: float, places: np.ndarray) -> tuple[float, float, float, float]:
    """Return (sum for, sum against, blank page's score, score), rounded so that they add up."""
    score = round(float(blank + places.sum()), 1)
    blank, less = round(float(blank), 1), round(float(places[places < 0].sum()), 1)
    return round(score - blank - less, 1), less, blank, score


@lru_cache(1)
def _pack_kernels(model: LeNet) -> dict[str, str]:
    """Return each convolution's kernels as letters, in the order of the weights' dimensions."""
    weights = {"C1": model.conv1.weight, "C3": model.conv2.weight}
    arrays = {name: weight.detach().numpy() for name, weight in weights.items()}
    return {name: pack(array / np.abs(array).max()) for name, array in arrays.items()}


def _best(reading: DigitReading) -> list[int]:
    """Return the ten digits, likeliest first."""
    return sorted(range(10), key=lambda digit: -reading.probabilities[str(digit)])
