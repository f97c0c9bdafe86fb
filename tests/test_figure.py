"""Why the answer is what it is: the evidence adds up, and the figure holds what it should."""

import json

import numpy as np
import pytest

from lenet import LeNet
from page.figure import LETTERS, add_up, explain
from reading.evidence import blank_layers, evidence
from reading.reader import DigitReading, read_digit


def read_noise(model, count: int) -> list[DigitReading]:
    return [read_digit(image, model) for image in np.random.default_rng(0).random((count, 28, 28))]


@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_the_evidence_adds_up_to_the_score(model, second_sigmoid):
    model = model if second_sigmoid else LeNet(second_sigmoid=False).eval()
    for reading in read_noise(model, 100):
        total = evidence(reading.layers[2], model).sum(axis=(1, 2))
        expected = reading.layers[-1] - blank_layers(model)[-1]
        np.testing.assert_allclose(total, expected, atol=1e-4)


def assert_shades(letters: str, values: np.ndarray, scale=None) -> None:
    """The letters are these values, but for a common factor and for rounding."""
    shades = np.array([LETTERS.tobytes().index(letter) for letter in letters.encode()]) / 31 - 1
    expected = values.ravel() / (scale or np.abs(values).max())
    np.testing.assert_allclose(shades, expected, atol=0.5 / 31 + 1e-6)


@pytest.mark.parametrize("chosen", [0, 2, 7])  # of three
def test_the_picture_and_the_layers_are_the_chosen_digits(model, chosen):
    digits = read_noise(model, 3)
    figure = explain(digits, model, chosen=chosen)
    assert figure["chosen"] == min(chosen, 2) and len(figure["digits"]) == 3
    assert len(json.dumps(explain(8 * digits[:1], model))) < 14 * 1024
    own, blank = digits[figure["chosen"]], blank_layers(model)
    assert_shades(figure["input"], 2 * own.digit - 1, scale=1)
    for name, k in (("C1", 0), ("C3", 2), ("F5", 4), ("F6", 5)):
        assert_shades(figure["layers"][name], own.layers[k] - blank[k])
    assert_shades(figure["kernels"]["C3"], model.conv2.weight.detach().numpy())
    assert figure["output"] == pytest.approx(list(own.probabilities.values()), abs=1e-4)


def test_the_maps_are_the_evidence(model):
    (reading,) = read_noise(model, 1)
    figure = explain([reading], model)
    first, second, *_ = np.argsort([-p for p in reading.probabilities.values()]).tolist()
    assert [digit for digit, *_ in figure["rivals"]] == sorted({*range(10)} - {first})
    assert figure["answer"][0] == first and figure["rival"] == second
    places, blank = evidence(reading.layers[2], model), blank_layers(model)[-1]
    over = places[first] - places
    scale = max(np.abs(places[first]).max(), np.abs(over).max())
    starts = blank[first] - blank
    over[first], starts[first] = places[first], blank[first]
    for digit, letters, sums in (figure["answer"], *figure["rivals"]):
        assert_shades(letters, over[digit], scale)
        assert list(sums) == list(add_up(starts[digit], over[digit]))


@pytest.mark.parametrize("seed", range(50))
def test_a_sum_adds_up_when_it_is_rounded(seed):
    blank, *places = np.random.default_rng(seed).normal(size=101)
    more, less, start, score = add_up(blank, np.array(places))
    assert round(more + less + start, 1) == score == round(blank + sum(places), 1)
    exact = sum(p for p in places if p > 0), sum(p for p in places if p < 0), blank
    assert (more, less, start) == pytest.approx(exact, abs=0.151)
