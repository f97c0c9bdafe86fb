"""The graph of cuts: every candidate for a digit is an edge, every number a path.

After LeCun et al. 1998, section VII. A path's score is the sum of its edges' scores; what
share of exp(score) a number's paths have is its probability (section VI, "forward training").
"""

import math
from dataclasses import dataclass

import numpy as np

from reading.candidates import SHAPE, Candidates

BEAM = 8  # numbers that are kept at each cut
LIKELIEST = 4  # digits that a candidate is taken for

# What the network's answer adds to a candidate's score, beside its shape (`SHAPE`).
ANSWER = {
    "digit": -1.19,  # each
    "log probability": 1.08,  # of the digit that it is taken for
    "holes": 1.61,
    "more holes": -1.79,  # than one
    "energy": 3.39,  # how far the network's scores rise over their mean
    "energy squared": 2.25,
}
# Of the network's scores for a digit, in 499 of 500 cases. A plus sign has less, most letters, too.
LEAST_ENERGY = 4.0


def score(candidates: Candidates, logits: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
    """Return the score of each candidate as each digit.

    Parameters
    ----------
    candidates : Candidates
    logits, log_probabilities : float64 ndarrays of shape (N, 10)
        Of the network; the latter calibrated.

    Returns
    -------
    scores : float64 ndarray of shape (N, 10)
    """
    shape = candidates.shape @ list(SHAPE.values())
    answer = answer_features(candidates.digits, logits) @ [
        value for name, value in ANSWER.items() if name != "log probability"
    ]
    return (shape + answer)[:, None] + ANSWER["log probability"] * log_probabilities


def answer_features(digits: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return what `ANSWER` names, without the log probability."""
    holes = _holes(digits)
    scaled, one = energy(logits) / 10, np.ones(len(digits))
    return np.stack([one, holes, np.maximum(holes - 1, 0), scaled, scaled**2], axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Return how far scores rise over their mean: high for a digit of any kind.

    The negative energy of Liu et al. 2020, "Energy-based out-of-distribution detection", of scores
    that are moved to a mean of 0, which training leaves open.

    Parameters
    ----------
    logits : float64 ndarray of shape (N, 10)

    Returns
    -------
    energy : float64 ndarray of shape (N,)
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
    """A number that a line may be.

    Attributes
    ----------
    number : str
    probability : float
        In [0, 1].
    path : tuple of int
        The candidates that are its digits.
    """

    number: str
    probability: float
    path: tuple[int, ...]


def find_best(edges: np.ndarray, scores: np.ndarray, count: int) -> list[Guess]:
    """Return the likeliest numbers, best first.

    Numbers that are read along several paths count once, with the sum of their probabilities.

    Parameters
    ----------
    edges : int ndarray of shape (N, 2)
        In the order of `find_candidates`.
    scores : float64 ndarray of shape (N, 10)
    count : int
        How many numbers.

    Returns
    -------
    guesses : list of Guess
        Fewer than `count` where the line has no more.
    """
    end = int(edges.max())
    arriving = [np.flatnonzero(edges[:, 1] == cut).tolist() for cut in range(end + 1)]
    starts = edges[:, 0].tolist()
    likeliest = np.argsort(-scores, axis=1)[:, :LIKELIEST].tolist()
    totals, values = np.logaddexp.reduce(scores, axis=1).tolist(), scores.tolist()
    total = [0.0] + [-np.inf] * end  # log of the sum over all paths to a cut
    # Of each cut, numbers with the log of their sum, their best path's score, and that path.
    beams = [{"": (0.0, 0.0, ())}] + [{} for _ in range(end)]
    for cut in range(1, end + 1):
        found = {}
        for edge in arriving[cut]:
            start = starts[edge]
            if not beams[start]:  # too little ink before it to be a digit
                continue
            total[cut] = _log_add(total[cut], total[start] + totals[edge])
            for number, (log_sum, best, path) in beams[start].items():
                for digit in likeliest[edge]:
                    more = values[edge][digit]
                    key = number + str(digit)
                    known = found.get(key)
                    new = (log_sum + more, best + more, (*path, edge))
                    if known:
                        better = new if new[1] > known[1] else known
                        new = (_log_add(known[0], new[0]), *better[1:])
                    found[key] = new
        kept = sorted(found.items(), key=lambda item: -item[1][0])[:BEAM]
        beams[cut] = dict(kept)
    return [
        Guess(number, math.exp(log_sum - total[end]), path)
        for number, (log_sum, _, path) in list(beams[end].items())[:count]
    ]


def _log_add(one: float, other: float) -> float:
    """Return log(exp(one) + exp(other))."""
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))
