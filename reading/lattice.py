"""The graph of cuts: every candidate for a digit is an edge, every number a path.

After LeCun et al. 1998, section VII. A path's score is the sum of its edges' scores; what
share of exp(score) a number's paths have is its probability (section VI, "forward training").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

import numpy as np

from reading.candidates import SHAPE, Candidates

BEAM = 8  # numbers kept at each cut
MIN_SHARE = 1e-4  # of all paths; a candidate's digit with a smaller share is dropped
MIN_FOLLOWED = 30  # kept whatever their share, so that a sure number has rivals

# What the network's answer adds to a candidate's score, beside its shape (`SHAPE`).
ANSWER = {
    "digit": -2.84,  # each
    "log probability": 1.38,  # of the digit that it is taken for
    "holes": 0.99,
    "more holes": -1.32,  # than one
    "energy": 3.01,  # how far the network's scores rise over their mean
    "energy squared": 3.50,
}
# Of the network's scores for a digit, in 99 of 100 cases. A plus sign has less, most letters, too.
MIN_ENERGY = 4.9
CROWDED = 1.1  # heights: digits that hang together in so little width are doubted


def score(
    candidates: Candidates, energies: np.ndarray, log_probabilities: np.ndarray
) -> np.ndarray:
    """Return the score of each candidate as each digit."""
    shape = candidates.shape @ list(SHAPE.values())
    answer = answer_features(candidates.digits, energies) @ [
        value for name, value in ANSWER.items() if name != "log probability"
    ]
    return (shape + answer)[:, None] + ANSWER["log probability"] * log_probabilities


def answer_features(digits: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Return what `ANSWER` names, without the log probability."""
    holes = _holes(digits)
    scaled, one = energies / 10, np.ones(len(digits))
    return np.stack([one, holes, np.maximum(holes - 1, 0), scaled, scaled**2], axis=1)


def is_crowded(candidates: Candidates, path: Sequence[int]) -> bool:
    """Return whether a path cuts what hangs together, and is hardly wider than one digit.

    A star is; digits that touch seldom are.
    """
    left, top, right, bottom = candidates.boxes[0]  # of all of the line
    cut = candidates.shape[path, list(SHAPE).index("cut")]
    return bool(cut.any()) and right - left < CROWDED * (bottom - top)


def energy(logits: np.ndarray) -> np.ndarray:
    """Return how far scores rise over their mean: high for a digit of any kind.

    The negative energy of Liu et al. 2020, "Energy-based out-of-distribution detection", of scores
    that are moved to a mean of 0, which training leaves open.
    """
    centered = logits - logits.mean(axis=1, keepdims=True)
    return np.log(np.exp(centered).sum(axis=1))


def _holes(digits: np.ndarray) -> np.ndarray:
    """Return how many pieces of paper the ink of pictures encloses, less a piece of ink beyond one.

    By Euler's formula: pixels, less pairs of neighbours, and squares of four, make the pieces of
    ink less the holes.
    """
    ink = digits > 0.4
    pairs = ink[:, 1:] & ink[:, :-1]
    squares = pairs[:, :, 1:] & pairs[:, :, :-1]
    counts = [part.sum(axis=(1, 2)) for part in (ink, pairs, ink[:, :, 1:] & ink[:, :, :-1])]
    return 1 - (counts[0] - counts[1] - counts[2] + squares.sum(axis=(1, 2)))


@dataclass(frozen=True)
class Guess:
    """A number that a line may be."""

    number: str
    probability: float
    path: tuple[int, ...]  # the candidates that are its digits


def find_best(edges: np.ndarray, scores: np.ndarray, count: int) -> list[Guess]:
    """Return the likeliest numbers, best first.

    Numbers that are read along several paths count once, with the sum of their probabilities.
    """
    end = int(edges.max())
    totals = np.logaddexp.reduce(scores, axis=1)
    share, total = _shares(edges, totals)
    share = share[:, None] * np.exp(scores - totals[:, None])  # of each candidate as each digit
    least = min(MIN_SHARE, np.sort(share, axis=None)[-MIN_FOLLOWED:][0])
    arriving = [[] for _ in range(end + 1)]
    for edge, digit in np.argwhere(share >= least).tolist():
        arriving[edges[edge, 1]].append((edge, str(digit), float(scores[edge, digit])))
    starts = edges[:, 0].tolist()
    # Of each cut, numbers with the log of their sum, their best path's score, and that path.
    beams = [{"": (0.0, 0.0, ())}] + [{} for _ in range(end)]
    for cut in range(1, end + 1):
        found = {}
        for edge, digit, more in arriving[cut]:
            for number, (log_sum, best, path) in beams[starts[edge]].items():
                new = (log_sum + more, best + more, (*path, edge))
                if known := found.get(number + digit):
                    better = new if new[1] > known[1] else known
                    new = (_log_add(known[0], new[0]), *better[1:])
                found[number + digit] = new
        beams[cut] = dict(nlargest(BEAM, found.items(), key=lambda item: item[1][0]))
    return [
        Guess(number, math.exp(log_sum - total), path)
        for number, (log_sum, _, path) in list(beams[end].items())[:count]
    ]


def _shares(edges: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, float]:
    """Return what share of all paths' exp(score) goes through each edge, and the log of it all.

    By the forward-backward algorithm (Rabiner 1989, section III).
    """
    first, last = edges.T
    end = last.max()
    forward, backward = np.full((2, end + 1), -np.inf)
    forward[0] = backward[end] = 0
    for cut in range(1, end + 1):
        here = last == cut
        forward[cut] = np.logaddexp.reduce(forward[first[here]] + totals[here])
    for cut in range(end - 1, -1, -1):
        here = first == cut
        backward[cut] = np.logaddexp.reduce(backward[last[here]] + totals[here])
    return np.exp(forward[first] + totals + backward[last] - forward[end]), float(forward[end])


def _log_add(one: float, other: float) -> float:
    """Return log(exp(one) + exp(other))."""
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))
