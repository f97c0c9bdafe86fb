"""Which places of a picture speak for a digit, and which against it: exactly, not estimated.

Behind its second convolution the network is linear: the scores (logits) are those of blank paper
plus a sum over the hundred places of its 10×10 maps. What a place adds to a digit's score is the
evidence there.
"""

from functools import lru_cache

import numpy as np
import torch

from lenet import LeNet

PLACES = 10  # in each direction; a place sees 14×14 pixels, the next one lies two further
FIRST_PIXEL = 4  # a place is drawn over the two pixels in the middle of what it sees


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
    # A place is one of four that the second pooling averages.
    return np.einsum("dmij,mij->dij", _factors(model), maps2 - blank_layers(model)[2])


def blank_layers(model: LeNet) -> list[np.ndarray]:
    """Return what each layer computes of blank paper, as `LeNet.layers` does; logits last."""
    return _of_model(model)[0]


def _factors(model: LeNet) -> np.ndarray:
    return _of_model(model)[1]


@lru_cache(1)
def _of_model(model: LeNet) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the layers of blank paper, and the factors of the maps: the same for all pictures.

    The factors are of shape (10, 16, 10, 10): digit, map, row, column.
    """
    with torch.inference_mode():
        layers = model.layers(torch.zeros(1, 1, 28, 28))
        one, two, three = (
            linear.weight.double() for linear in (model.linear1, model.linear2, model.linear3)
        )
        pooled = (three @ two @ one).reshape(10, 16, 5, 5).numpy() / 4
    return [layer[0].numpy() for layer in layers], pooled.repeat(2, axis=2).repeat(2, axis=3)
