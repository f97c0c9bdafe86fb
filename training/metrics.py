"""Accuracy, loss and calibration of a network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lenet import LeNet
from training.data import scale

# Each epoch's metrics: cross entropy in nats per image, accuracy in [0, 1].
METRICS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@torch.no_grad()
def _logits_of(model: LeNet, images: Tensor) -> Tensor:
    """Return a network's logits of stored images, computed in eval mode."""
    was_training = model.training
    model.eval()
    logits = torch.cat([model(scale(batch)) for batch in images.split(2000)])
    model.train(was_training)
    return logits


def _loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean cross entropy in nats per image, and the accuracy in [0, 1]."""
    correct = (logits.argmax(1) == labels).sum()
    loss, correct = torch.stack([F.cross_entropy(logits, labels), correct]).tolist()
    return loss, correct / len(labels)


def evaluate(model: LeNet, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean cross entropy, in nats per image, and the accuracy, in [0, 1].

    The images and labels are as `load_mnist` returns them; the model stays in its mode.
    """
    return _loss_and_accuracy(_logits_of(model, images), labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature, 0.30 to 3.00, at which (N, 10) logits have the least cross entropy.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    temperatures = torch.linspace(0.3, 3, 271).tolist()
    losses = [F.cross_entropy(logits / t, labels).item() for t in temperatures]
    return round(temperatures[losses.index(min(losses))], 2)


def calibrated(weights: dict, second_sigmoid: bool, images: Tensor, labels: Tensor) -> LeNet:
    """Return the network with these weights, in eval mode, with a fitted temperature.

    Parameters
    ----------
    weights : dict, LeNet's state dict
    second_sigmoid : bool, as `LeNet` takes it
    images, labels : as `load_mnist` returns them, not trained on
    """

    def network(temperature: float = 1.0) -> LeNet:
        model = LeNet(second_sigmoid, temperature).to(images.device).eval()
        model.load_state_dict(weights)
        return model

    return network(fit_temperature(_logits_of(network(), images), labels))


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy.

    The gap is measured in bins of confidence of equal width (Naeini et al. 2015, "Obtaining Well
    Calibrated Probabilities Using Bayesian Binning").

    Parameters
    ----------
    probabilities : float tensor of shape (N, classes), in [0, 1]
    labels : int64 tensor of shape (N,)
    bins : int
    """
    confidence, prediction = probabilities.max(1)
    surplus = confidence - (prediction == labels).float()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    sums = torch.zeros(bins, device=surplus.device).scatter_add_(0, bin_of, surplus)
    return sums.abs().sum().item() / len(labels)


def _confusion_matrix(logits: Tensor, labels: Tensor) -> list[list[int]]:
    digits, predictions = (F.one_hot(of, 10).float() for of in (labels, logits.argmax(1)))
    return (digits.T @ predictions).long().tolist()


def measure(model: LeNet, images: Tensor, labels: Tensor) -> dict:
    """Measure a trained network on the test set, in the form that `load_mnist` returns.

    Returns
    -------
    metrics : dict
        "test_loss" (nats per image), "test_accuracy" and "test_calibration_error" in [0, 1],
        "test_errors" (images), and "confusion" (a row per digit, a column per prediction).
    """
    logits = _logits_of(model, images)
    loss, accuracy = _loss_and_accuracy(logits, labels)
    return {
        "test_loss": loss,
        "test_accuracy": accuracy,
        "test_errors": round((1 - accuracy) * len(labels)),
        "test_calibration_error": calibration_error(model.probabilities(logits), labels),
        "confusion": _confusion_matrix(logits, labels),
    }
