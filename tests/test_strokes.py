"""Drawn images are normalised as MNIST is, and show what their labels say."""

import numpy as np
import pytest
import torch

from lenet import LeNet
from reading.preprocess import to_mnist
from reading.weights import EMBEDDED_WEIGHTS
from training.curves import smooth
from training.scans import scan
from training.shapes import DIGITS
from training.signs import SIGNS, parse
from training.strokes import by_hand, draw, write_digits, write_non_digits


@pytest.fixture(scope="module")
def digits():
    return write_digits(600, seed=1)


@pytest.fixture(scope="module")
def non_digits():
    return write_non_digits(300, seed=1)


def test_they_are_normalised_as_mnist(digits, non_digits):
    images, labels = digits
    assert (images.shape, images.dtype) == ((600, 1, 28, 28), np.uint8)
    assert (labels.shape, set(labels)) == ((600,), set(range(10)))
    assert (non_digits.shape, non_digits.dtype) == ((300, 1, 28, 28), np.uint8)
    for picture in [*images, *non_digits]:
        rows, columns = np.nonzero(picture[0] > 0)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
        assert picture.max() > 200


def test_a_seed_gives_the_same_images(digits, non_digits):
    again, labels = write_digits(20, seed=1)
    other, _ = write_digits(20, seed=2)
    assert np.array_equal(again, write_digits(20, seed=1)[0])
    assert not np.array_equal(again, other)
    assert np.array_equal(write_non_digits(5, seed=3), write_non_digits(5, seed=3))
    assert len(labels) == 20


def test_no_two_are_the_same(digits):
    images, _ = digits
    assert len({picture.tobytes() for picture in images}) == len(images)


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_can_be_read_and_drawn(sign):
    strokes = parse(sign)
    points = np.concatenate(strokes)
    assert points.min() >= 0 and points.max() <= 1
    assert len(strokes) == sign.count("/") + 1
    corners = sum((np.diff(stroke, axis=0) == 0).all(axis=1).sum() for stroke in strokes)
    assert corners == sign.count(".")
    image = draw(by_hand(strokes, 0.04, np.random.default_rng(0)), np.random.default_rng(0))
    assert 0.003 < (image > 128).mean() < 0.5


@pytest.mark.parametrize("digit", range(10))
def test_the_grammar_writes_a_digit_in_many_ways(digit):
    """Each way can be framed; no two are alike, not even the outlines of their boxes."""
    boxes = set()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        strokes = DIGITS[digit](rng.uniform)
        points = np.concatenate(strokes)
        assert np.isfinite(points).all() and all(len(stroke) > 1 for stroke in strokes)
        width, height = np.ptp(points, axis=0)
        assert width < 1.6 and 0.8 < height < 1.4
        boxes.add((round(width, 2), round(height, 2)))
        to_mnist(draw(strokes, rng))
    assert len(boxes) > 60


def test_a_one_has_a_flag_a_foot_both_or_neither_and_a_seven_mostly_a_bar():
    rng = np.random.default_rng(0)
    ones = [DIGITS[1](rng.uniform) for _ in range(300)]
    kinds = set()
    for strokes in ones:
        feet = [stroke for stroke in strokes if stroke[:, 1].min() > 0.8]
        points = sum(map(len, strokes)) - sum(map(len, feet))
        kinds.add((len(feet), points > 4))  # a bare stem has 3, or 4 with its corner
    assert len(kinds) == 4
    barred = sum(len(DIGITS[7](rng.uniform)) == 2 for _ in range(300))
    assert 200 < barred < 300


def test_a_scan_is_coarse_and_keeps_its_digit():
    image = np.zeros((40, 1, 28, 28), np.uint8)
    image[:, :, 4:24, 13:15] = 255  # a 1
    scans = scan(image, seed=0)
    assert np.array_equal(scans, scan(image, seed=0))
    widths = {int((picture[0] > 100).any(0).sum()) for picture in scans}
    assert {2, 20} & widths and len(widths) > 4, "from a 1 that is stretched to one that is not"


def test_a_curve_passes_its_points_and_breaks_at_corners():
    (stroke,) = parse("00 49. 90")
    path = smooth(stroke, steps=50)
    for point in stroke:
        assert np.linalg.norm(path - point, axis=1).min() < 1e-9
    # Straight to the corner and straight away from it.
    first = path[path[:, 0] <= 4 / 9]
    assert np.abs(first[:, 1] - 9 / 4 * first[:, 0]).max() < 1e-9


def test_the_network_reads_the_digits_and_doubts_the_rest(digits, non_digits):
    """The embedded weights, which have not seen these very images, read what was meant."""
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)

    def probabilities(images):
        with torch.inference_mode():
            logits = model(torch.from_numpy(images).float() / 255)
        return model.probabilities(logits).max(1)

    confidence, guesses = probabilities(digits[0])
    assert (guesses.numpy() == digits[1]).mean() > 0.95
    doubt, _ = probabilities(non_digits)
    assert doubt.median() < confidence.median() - 0.2
