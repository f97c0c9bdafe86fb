"""Which places of a picture speak for a digit, and which against it: exactly, not estimated.

Behind its second convolution the network is linear: the scores (logits) are those of blank paper
plus a sum over the hundred places of its 10×10 maps. What a place adds to a digit's score is the
evidence there.
"""

from functools import lru_cache

import numpy as np
import torch

from lenet import LeNet


def evidence(maps2: np.ndarray, model: LeNet) -> np.ndarray:
    """Return what each place adds to the score of each digit.

    Parameters
    ----------
    maps2 : float32 ndarray of shape (16, 10, 10)
        What the second convolution computed of a picture, behind its activation: the third of
        `LeNet.layers`.
    model : LeNet
        In eval mode, on the CPU.

    Returns
    -------
    contributions : float64 ndarray of shape (10, 10, 10)
        Of each digit, row and column. The hundred of a digit add up to its score less that of
        blank paper.
    """
    return np.einsum("dmij,mij->dij", _factors(model), maps2 - blank_layers(model)[2])


@lru_cache(1)
def blank_layers(model: LeNet) -> list[np.ndarray]:
    """Return what each layer computes of blank paper, as `LeNet.layers` does; logits last."""
    with torch.inference_mode():
        return [layer[0].numpy() for layer in model.layers(torch.zeros(1, 1, 28, 28))]


@lru_cache(1)
def _factors(model: LeNet) -> np.ndarray:
    """Return what the maps before the second pooling count for each digit's score.

    Of shape (10, 16, 10, 10): digit, map, row, column. A place is one of four that are averaged.
    """
    linears = (model.linear3, model.linear2, model.linear1)
    three, two, one = (linear.weight.detach().double() for linear in linears)
    pooled = (three @ two @ one).reshape(10, 16, 5, 5).numpy() / 4
    return pooled.repeat(2, axis=2).repeat(2, axis=3)
