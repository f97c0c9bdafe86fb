"""Why the answer is what it is: the evidence adds up, and the figure holds what it should."""

import json

import numpy as np
import pytest
import torch

from lenet import LeNet
from page.figure import LETTERS, add_up, explain
from reading.evidence import blank_layers, evidence
from reading.reader import DigitReading
from reading.weights import EMBEDDED_WEIGHTS


def read(model, images) -> list[DigitReading]:
    with torch.inference_mode():
        layers = model.layers(images)
        probabilities = model.probabilities(layers[-1].double()).tolist()
    named = [dict(zip("0123456789", ten, strict=True)) for ten in probabilities]
    own = [[layer[k].numpy() for layer in layers] for k in range(len(images))]
    return list(map(DigitReading, images[:, 0].numpy(), own, named))


def noise(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3


@pytest.fixture(scope="module")
def model():
    return LeNet.from_pretrained(EMBEDDED_WEIGHTS)


@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_the_evidence_adds_up_to_the_score(model, second_sigmoid):
    """For each picture, and ten digits: score(digit) - score(blank paper)."""
    model = model if second_sigmoid else LeNet(second_sigmoid=False).eval()
    for reading in read(model, noise(300)):
        total = evidence(reading.layers[2], model).sum(axis=(1, 2))
        expected = reading.layers[-1] - blank_layers(model)[-1]
        np.testing.assert_allclose(total, expected, atol=1e-4)


def figure_of(digits, model, **how) -> dict:
    return json.loads(json.dumps(explain(digits, model, **how)))


def unpack(letters: str) -> np.ndarray:
    order = LETTERS.tobytes().decode()
    return np.array([order.index(letter) for letter in letters]) / 31 - 1


def assert_shades(letters: str, values: np.ndarray, scale=None) -> None:
    """The letters are these values, but for a common factor and for rounding."""
    expected = values.ravel() / (scale or np.abs(values).max())
    np.testing.assert_allclose(unpack(letters), expected, atol=0.5 / 31 + 1e-6)


@pytest.mark.parametrize("chosen", [0, 2, 7])
def test_the_picture_and_the_layers_are_the_chosen_digits(model, chosen):
    images = noise(3)
    digits = read(model, images)
    figure = figure_of(digits, model, chosen=chosen)
    assert figure["chosen"] == min(chosen, 2) and len(figure["digits"]) == 3
    own, blank = digits[figure["chosen"]], blank_layers(model)
    np.testing.assert_allclose((unpack(figure["input"]) + 1) / 2, own.digit.ravel(), atol=0.01)
    for name, k in (("C1", 0), ("C3", 2), ("F5", 4), ("F6", 5)):
        assert_shades(figure["layers"][name], own.layers[k] - blank[k])
    assert_shades(figure["kernels"]["C3"], model.conv2.weight.detach().numpy())
    assert figure["output"] == pytest.approx(list(own.probabilities.values()), abs=1e-4)
    first = digits[0].probabilities
    assert figure["digits"][0] == int(max(first, key=first.get))


def test_what_the_page_leaves_out_are_means_of_what_it_has(model):
    """S2 and S4 are computed in the browser: pooling takes the means of two by two values."""
    layers = model.layers(noise(1))
    assert [tuple(layer.shape[1:]) for layer in layers] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)
    ]  # fmt: skip
    assert torch.equal(layers[-1], model(noise(1)))
    for maps, pooled in ((0, 1), (2, 3)):
        means = layers[maps].unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
        torch.testing.assert_close(means, layers[pooled], atol=1e-6, rtol=0)


def test_the_maps_are_the_evidence(model):
    (reading,) = read(model, noise(1))
    figure = figure_of([reading], model)
    order = sorted(range(10), key=lambda digit: -reading.probabilities[str(digit)])
    places, blank = evidence(reading.layers[2], model), blank_layers(model)[-1]
    first = order[0]
    assert [digit for digit, *_ in figure["rivals"]] == sorted(order[1:])
    assert figure["answer"][0] == first and figure["rival"] == order[1]
    expected = {d: (places[first] - places[d], blank[first] - blank[d]) for d in order[1:]}
    expected[first] = places[first], blank[first]
    scale = max(np.abs(one).max() for one, _ in expected.values())
    for digit, letters, sums in (figure["answer"], *figure["rivals"]):
        map_, start = expected[digit]
        assert_shades(letters, map_, scale)
        assert sums == list(add_up(start, map_))


def test_a_figure_is_short(model):
    assert len(json.dumps(figure_of(read(model, noise(8)), model))) < 14 * 1024


def test_a_sum_adds_up_when_it_is_rounded():
    random = np.random.default_rng(0)
    for _ in range(200):
        blank, places = random.normal(), random.normal(size=(10, 10))
        more, less, start, score = add_up(blank, places)
        assert round(more + less + start, 1) == score == round(blank + places.sum(), 1)
        exact = places[places > 0].sum(), places[places < 0].sum(), blank
        assert np.allclose((more, less, start), exact, atol=0.151)
