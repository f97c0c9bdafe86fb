"""A picture of a digit becomes its ten probabilities.

recognize(Image.open("seven.png"))    # {"0": …, …, "9": …}
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from lenet import LeNet
from reading.preprocess import to_mnist
from reading.weights import configured_repo, load_weights


@dataclass(frozen=True)
class DigitReading:
    """What the network made of one digit.

    Attributes
    ----------
    digit : float32 ndarray of shape (28, 28)
        The picture that the network received, in MNIST's form: 0 = paper, 1 = ink.
    layers : list of float32 ndarrays
        As `LeNet.layers` computes them, without the batch's dimension.
    probabilities : dict of str to float
        Of "0" to "9", calibrated; they sum to 1.
    """

    digit: np.ndarray
    layers: list[np.ndarray]
    probabilities: dict[str, float]


def read_digit(image: Image.Image | np.ndarray, model: LeNet) -> DigitReading:
    """Read the digit in a picture.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `reading.preprocess.to_mnist` takes it.
    model : LeNet
        In eval mode, on the CPU.

    Returns
    -------
    reading : DigitReading

    Raises
    ------
    NoDigitError
        If there is nothing to read; the message is fit for the page.
    """
    digit = to_mnist(image)
    with torch.inference_mode():
        layers = model.layers(torch.from_numpy(digit)[None, None])
        probabilities = model.probabilities(layers[-1].double())[0].tolist()
    names = map(str, range(10))
    return DigitReading(
        digit, [layer[0].numpy() for layer in layers], dict(zip(names, probabilities, strict=True))
    )


def recognize(image: Image.Image | np.ndarray, model: LeNet | None = None) -> dict[str, float]:
    """Return the probabilities of the ten digits in a picture of one.

    Parameters
    ----------
    image : PIL.Image.Image or ndarray
        As `reading.preprocess.to_mnist` takes it.
    model : LeNet, optional
        The default is that of `reading.weights.load_weights`, loaded at the first call.

    Returns
    -------
    probabilities : dict of str to float
        Of "0" to "9"; they sum to 1. Calibrated: of the answers given at 90 %, 9 in 10 are right.

    Raises
    ------
    NoDigitError
        If there is nothing to read; the message is fit for the page.
    """
    return read_digit(image, model or _default_model()).probabilities


@cache
def _default_model() -> LeNet:
    """Return the model that the environment names."""
    return load_weights(*configured_repo()).model
