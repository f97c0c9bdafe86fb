"""Drawn images are normalised as MNIST is, and show what their labels say."""

import numpy as np
import pytest
import torch

from training.drawings import draw_digits, draw_non_digits
from training.scans import scan


@pytest.fixture(scope="module")
def drawn():
    """300 digits, their labels, and 150 images of none."""
    return *draw_digits(300, seed=1), draw_non_digits(150, seed=1)


def test_they_are_normalised_as_mnist_and_no_two_are_the_same(drawn):
    images, labels, non_digits = drawn
    assert (labels.shape, set(labels)) == ((300,), set(range(10)))
    assert len({picture.tobytes() for picture in images}) == len(images)
    pictures = np.concatenate([images, non_digits])
    assert (pictures.shape, pictures.dtype) == ((450, 1, 28, 28), np.uint8)
    assert pictures.max(axis=(1, 2, 3)).min() > 200
    assert {np.ptp(np.argwhere(p[0]), axis=0).max() + 1 for p in pictures} <= {19, 20, 21}


def test_a_scan_is_coarse_and_keeps_its_digit():
    image = np.zeros((40, 1, 28, 28), np.uint8)
    image[:, :, 4:24, 13:15] = 255  # a 1
    scans = scan(image, seed=0)
    assert np.array_equal(scans, scan(image, seed=0))
    widths = {int((picture[0] > 100).any(0).sum()) for picture in scans}
    assert {2, 20} & widths and len(widths) > 4, "from a 1 that is stretched to one that is not"


def test_the_network_reads_the_digits_and_doubts_the_rest(model, drawn):
    images, labels, non_digits = drawn
    with torch.inference_mode():
        (confidence, guesses), (doubt, _) = (
            model.probabilities(model(torch.from_numpy(pictures).float() / 255)).max(1)
            for pictures in (images, non_digits)
        )
    assert (guesses.numpy() == labels).mean() > 0.95
    assert doubt.median() < confidence.median() - 0.2
