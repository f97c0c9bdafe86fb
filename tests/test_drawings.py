"""Drawn images are normalised as MNIST is, and show what their labels say."""

import numpy as np
import pytest
import torch

from lenet import LeNet
from reading.preprocess import to_mnist
from reading.weights import EMBEDDED_WEIGHTS
from training.digit_shapes import DIGITS
from training.drawings import distort, draw_digits, draw_non_digits, draw_strokes
from training.other_marks import MARKS, parse_mark
from training.pen_curves import smooth
from training.scans import scan


@pytest.fixture(scope="module")
def digits():
    return draw_digits(300, seed=1)


@pytest.fixture(scope="module")
def non_digits():
    return draw_non_digits(150, seed=1)


def test_they_are_normalised_as_mnist_and_no_two_are_the_same(digits, non_digits):
    images, labels = digits
    assert (labels.shape, set(labels)) == ((300,), set(range(10)))
    assert len({picture.tobytes() for picture in images}) == len(images)
    pictures = np.concatenate([images, non_digits])
    assert (pictures.shape, pictures.dtype) == ((450, 1, 28, 28), np.uint8)
    assert pictures.max(axis=(1, 2, 3)).min() > 200
    for picture in pictures:
        assert np.ptp(np.argwhere(picture[0]), axis=0).max() + 1 in (19, 20, 21)


def test_a_seed_gives_the_same_images():
    for write in (lambda seed: draw_digits(20, seed)[0], lambda seed: draw_non_digits(5, seed)):
        assert np.array_equal(write(1), write(1)) and not np.array_equal(write(1), write(2))


@pytest.mark.parametrize("sign", MARKS)
def test_every_sign_can_be_read_and_drawn(sign):
    strokes = parse_mark(sign)
    points = np.concatenate(strokes)
    assert points.min() >= 0 and points.max() <= 1
    assert len(strokes) == sign.count("/") + 1
    corners = sum((np.diff(stroke, axis=0) == 0).all(axis=1).sum() for stroke in strokes)
    assert corners == sign.count(".")
    image = draw_strokes(distort(strokes, 0.04, np.random.default_rng(0)), np.random.default_rng(0))
    assert 0.003 < (image > 128).mean() < 0.5


@pytest.mark.parametrize("digit", range(10))
def test_the_grammar_writes_a_digit_in_many_ways(digit):
    """Each way can be framed; no two are alike, not even the outlines of their boxes."""
    boxes = set()
    for seed in range(50):
        rng = np.random.default_rng(seed)
        strokes = DIGITS[digit](rng.uniform)
        width, height = np.ptp(np.concatenate(strokes), axis=0)
        assert width < 1.6 and 0.8 < height < 1.4 and all(len(stroke) > 1 for stroke in strokes)
        boxes.add((round(width, 2), round(height, 2)))
        to_mnist(draw_strokes(strokes, rng))
    assert len(boxes) > 30


def test_a_one_has_a_flag_a_foot_both_or_neither_and_a_seven_mostly_a_bar():
    rng = np.random.default_rng(0)
    kinds = set()
    for strokes in [DIGITS[1](rng.uniform) for _ in range(300)]:
        feet = [stroke for stroke in strokes if stroke[:, 1].min() > 0.8]
        points = sum(map(len, strokes)) - sum(map(len, feet))
        kinds.add((len(feet), points > 4))  # a bare stem has 3, or 4 with its corner
    assert len(kinds) == 4
    assert 200 < sum(len(DIGITS[7](rng.uniform)) == 2 for _ in range(300)) < 300


def test_a_scan_is_coarse_and_keeps_its_digit():
    image = np.zeros((40, 1, 28, 28), np.uint8)
    image[:, :, 4:24, 13:15] = 255  # a 1
    scans = scan(image, seed=0)
    assert np.array_equal(scans, scan(image, seed=0))
    widths = {int((picture[0] > 100).any(0).sum()) for picture in scans}
    assert {2, 20} & widths and len(widths) > 4, "from a 1 that is stretched to one that is not"


def test_a_curve_passes_its_points_and_is_straight_to_a_corner_and_from_it():
    (stroke,) = parse_mark("00 49. 90")
    curve = smooth(stroke, steps=50)
    assert np.linalg.norm(curve[:, None] - stroke, axis=2).min(axis=0).max() < 1e-9
    first = curve[curve[:, 0] <= 4 / 9]
    assert np.abs(first[:, 1] - 9 / 4 * first[:, 0]).max() < 1e-9


def test_the_network_reads_the_digits_and_doubts_the_rest(digits, non_digits):
    """The embedded weights, which have not seen these very images, read what was meant."""
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    with torch.inference_mode():
        (confidence, guesses), (doubt, _) = (
            model.probabilities(model(torch.from_numpy(images).float() / 255)).max(1)
            for images in (digits[0], non_digits)
        )
    assert (guesses.numpy() == digits[1]).mean() > 0.95
    assert doubt.median() < confidence.median() - 0.2
