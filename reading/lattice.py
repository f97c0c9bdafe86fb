"""Find the best path through the cuts: a chain of candidates, each read as a digit.

LeCun et al. 1998, section V. A path's score is the sum of its edges' scores. A number's
probability is its paths' share of the sum of exp(score) (section VI, "forward training").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest

import numpy as np

from reading.candidates import SHAPE_FACTORS, Candidates

BEAM = 8  # numbers kept at each cut
MIN_SHARE = 1e-4  # share of the sum of exp(score); a candidate's digit with less is dropped
MIN_KEPT = 30  # pairs of candidate and digit that are always kept: a sure number has rivals

# Fitted factors of the rest of a candidate's score, besides `SHAPE_FACTORS`.
ANSWER_FACTORS = {
    "digit": -2.84,  # constant: each candidate of a path adds it
    "log probability": 1.38,  # of the digit that it is read as
    "holes": 0.99,
    "more holes": -1.32,  # beyond one
    "energy": 3.01,  # a tenth of `energy`
    "energy squared": 3.50,
}
MIN_ENERGY = 4.9  # fitted, too: 99% of digits have more; a plus sign and many letters have less
MAX_CROWDED_WIDTH = 1.1  # heights; narrower connected digits are doubted, unless sure


def score(
    candidates: Candidates, energies: np.ndarray, log_probabilities: np.ndarray
) -> np.ndarray:
    """Return the score of each candidate as each digit, (N, 10)."""
    shape = candidates.shape @ list(SHAPE_FACTORS.values())
    answer = answer_features(candidates.digits, energies) @ [
        value for name, value in ANSWER_FACTORS.items() if name != "log probability"
    ]
    return (shape + answer)[:, None] + ANSWER_FACTORS["log probability"] * log_probabilities


def answer_features(digits: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Return the features in the order of `ANSWER_FACTORS`, (N, 5), except the log probability."""
    holes = _holes(digits)
    scaled, one = energies / 10, np.ones(len(digits))
    return np.stack([one, holes, np.maximum(holes - 1, 0), scaled, scaled**2], axis=1)


def is_crowded(candidates: Candidates, path: Sequence[int]) -> bool:
    """Return whether a path cuts ink that is hardly wider than one digit, such as a star."""
    left, top, right, bottom = candidates.boxes[0]  # of the whole line
    cut = candidates.shape[path, list(SHAPE_FACTORS).index("cut")]
    return bool(cut.any()) and right - left < MAX_CROWDED_WIDTH * (bottom - top)


def energy(logits: np.ndarray) -> np.ndarray:
    """Return the log of the sum of exp(logit - mean logit) for logits (N, 10): high for a digit.

    The negative energy of Liu et al. 2020, "Energy-based out-of-distribution detection". The mean
    is subtracted because training doesn't determine it.
    """
    centered = logits - logits.mean(axis=1, keepdims=True)
    return np.log(np.exp(centered).sum(axis=1))


def _holes(digits: np.ndarray) -> np.ndarray:
    """Return the number of holes in each picture's ink, minus its parts beyond one."""
    # Euler's formula: pixels - pairs of neighbors + squares of four = parts - holes.
    ink = digits > 0.4
    pairs = ink[:, 1:] & ink[:, :-1]
    squares = pairs[:, :, 1:] & pairs[:, :, :-1]
    counts = [part.sum(axis=(1, 2)) for part in (ink, pairs, ink[:, :, 1:] & ink[:, :, :-1])]
    return 1 - (counts[0] - counts[1] - counts[2] + squares.sum(axis=(1, 2)))


@dataclass(frozen=True)
class Guess:
    """A number that a line may hold."""

    number: str
    probability: float
    path: tuple[int, ...]  # indices of its candidates


def find_best(edges: np.ndarray, scores: np.ndarray, count: int) -> list[Guess]:
    """Return the likeliest numbers, best first, for edges (N, 2) and scores (N, 10).

    A number with several paths appears once, with the sum of their probabilities.
    """
    end = int(edges.max())
    totals = np.logaddexp.reduce(scores, axis=1)
    share, total = _shares(edges, totals)
    share = share[:, None] * np.exp(scores - totals[:, None])  # for each candidate and digit
    least = min(MIN_SHARE, np.sort(share, axis=None)[-MIN_KEPT:][0])
    arriving = [[] for _ in range(end + 1)]
    for edge, digit in np.argwhere(share >= least).tolist():
        arriving[edges[edge, 1]].append((edge, str(digit), float(scores[edge, digit])))
    starts = edges[:, 0].tolist()
    # For each cut: number -> (log of its paths' sum of exp(score), best path's score, that path).
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
    """Return each edge's share of the sum of exp(score) over all paths, and the log of that sum."""
    # The forward-backward algorithm (Rabiner 1989, section III).
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
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))
