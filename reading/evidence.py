"""The exact evidence for and against each digit, patch by patch of the picture.

After its second sigmoid, the network is linear. So a digit's score (logit) is that of a blank
page, plus a sum over the 100 patches of the 10×10 feature maps.
"""

from functools import lru_cache

import numpy as np
import torch

from lenet import LeNet


def evidence(maps2: np.ndarray, model: LeNet) -> np.ndarray:
    """Return what each patch adds to the score of each digit.

    Parameters
    ----------
    maps2 : float32 ndarray of shape (16, 10, 10), the third output of `LeNet.layers`
    model : LeNet, in eval mode, on the CPU

    Returns
    -------
    contributions : float64 ndarray of shape (10, 10, 10), by digit, row and column
        A digit's contributions add up to its score minus that of a blank page.
    """
    return np.einsum("dmij,mij->dij", _factors(model), maps2 - blank_layers(model)[2])


@lru_cache(1)
def blank_layers(model: LeNet) -> list[np.ndarray]:
    """Return the output of `LeNet.layers` for a blank page, without the batch's dimension."""
    with torch.inference_mode():
        return [layer[0].numpy() for layer in model.layers(torch.zeros(1, 1, 28, 28))]


@lru_cache(1)
def _factors(model: LeNet) -> np.ndarray:
    """Return each digit's weights of the maps before the second pooling, (10, 16, 10, 10)."""
    linears = (model.linear3, model.linear2, model.linear1)
    three, two, one = (linear.weight.detach().double() for linear in linears)
    pooled = (three @ two @ one).reshape(10, 16, 5, 5).numpy() / 4  # a mean of four
    return pooled.repeat(2, axis=2).repeat(2, axis=3)
