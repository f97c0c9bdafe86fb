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
    return [
        DigitReading(
            images[k, 0].numpy(),
            [layer[k].numpy() for layer in layers],
            dict(zip("0123456789", probabilities[k], strict=True)),
        )
        for k in range(len(images))
    ]


@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_the_evidence_adds_up_to_the_score(second_sigmoid):
    """For each of a thousand pictures, and ten digits: score(digit) - score(blank paper)."""
    model = LeNet(second_sigmoid=second_sigmoid).eval()
    if second_sigmoid:
        model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    images = torch.rand(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3
    for reading in read(model, images):
        total = evidence(reading.layers[2], model).sum(axis=(1, 2))
        expected = reading.layers[-1] - blank_layers(model)[-1]
        np.testing.assert_allclose(total, expected, atol=1e-4)


def test_the_layers_are_what_the_network_computes():
    model, images = LeNet(), torch.rand(2, 1, 28, 28)
    layers = model.layers(images)
    assert [tuple(layer.shape[1:]) for layer in layers] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)
    ]  # fmt: skip
    assert torch.equal(layers[-1], model(images))


def figure_of(images, **how) -> tuple[dict, list[DigitReading], LeNet]:
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    digits = read(model, images)
    return json.loads(json.dumps(explain(digits, model, **how))), digits, model


def unpack(letters: str) -> np.ndarray:
    order = LETTERS.tobytes().decode()
    return np.array([order.index(letter) for letter in letters]) / 31 - 1


def assert_shades(letters: str, values: np.ndarray) -> None:
    """The letters are these values, but for a common factor and for rounding."""
    expected = values.ravel() / np.abs(values).max()
    np.testing.assert_allclose(unpack(letters), expected, atol=0.5 / 31 + 1e-6)


def test_the_picture_and_the_layers_are_the_networks():
    images = torch.rand(2, 1, 28, 28) ** 3
    figure, digits, model = figure_of(images, chosen=1)
    np.testing.assert_allclose((unpack(figure["input"]) + 1) / 2, images[1].ravel(), atol=0.01)
    blank = blank_layers(model)
    for name, k in (("C1", 0), ("C3", 2), ("F5", 4), ("F6", 5)):
        assert_shades(figure["layers"][name], digits[1].layers[k] - blank[k])
    assert_shades(figure["kernels"]["C3"], model.conv2.weight.detach().numpy())
    assert figure["output"] == pytest.approx(list(digits[1].probabilities.values()), abs=1e-4)


def test_what_the_page_leaves_out_are_means_of_what_it_has():
    """S2 and S4 are computed in the browser: pooling takes the means of two by two values."""
    _, (reading,), _ = figure_of(torch.rand(1, 1, 28, 28))
    for maps, pooled in ((0, 1), (2, 3)):
        a = reading.layers[maps]
        means = (a[:, ::2, ::2] + a[:, 1::2, ::2] + a[:, ::2, 1::2] + a[:, 1::2, 1::2]) / 4
        np.testing.assert_allclose(means, reading.layers[pooled], atol=1e-6)


def test_the_guesses_maps_are_the_evidence():
    figure, (reading,), model = figure_of(torch.rand(1, 1, 28, 28) ** 3)
    order = sorted(range(10), key=lambda digit: -reading.probabilities[str(digit)])
    places, blank = evidence(reading.layers[2], model), blank_layers(model)[-1]
    first = order[0]
    assert [digit for digit, *_ in figure["guesses"]] == order[:3]
    assert [digit for digit, *_ in figure["rivals"]] == sorted(order[1:])
    assert figure["rival"] == order[1]
    maps = {digit: (places[digit], blank[digit]) for digit in order[:3]}
    over = {d: (places[first] - places[d], blank[first] - blank[d]) for d in order[1:]}
    scale = max(np.abs(one).max() for one, _ in (*maps.values(), *over.values()))
    for name, expected in (("guesses", maps), ("rivals", over)):
        for digit, letters, sums in figure[name]:
            map_, start = expected[digit]
            np.testing.assert_allclose(unpack(letters), map_.ravel() / scale, atol=0.5 / 31 + 1e-6)
            assert sums == list(add_up(start, map_))


@pytest.mark.parametrize("chosen", [0, 2, 7])
def test_of_a_number_the_chosen_digit_is_explained(chosen):
    images = torch.rand(3, 1, 28, 28)
    figure, digits, _ = figure_of(images, chosen=chosen)
    assert figure["chosen"] == min(chosen, 2) and len(figure["digits"]) == 3
    own = images[figure["chosen"]].ravel()
    np.testing.assert_allclose((unpack(figure["input"]) + 1) / 2, own, atol=0.01)
    best = max(digits[0].probabilities, key=digits[0].probabilities.get)
    assert figure["digits"][0][0] == int(best)


def test_a_figure_is_short():
    figure, *_ = figure_of(torch.rand(8, 1, 28, 28))
    assert len(json.dumps(figure)) < 14 * 1024


def test_a_sum_adds_up_when_it_is_rounded():
    random = np.random.default_rng(0)
    for _ in range(200):
        blank, places = random.normal(), random.normal(size=(10, 10))
        more, less, start, score = add_up(blank, places)
        assert round(more + less + start, 1) == score == round(blank + places.sum(), 1)
        exact = places[places > 0].sum(), places[places < 0].sum(), blank
        assert np.allclose((more, less, start), exact, atol=0.151)
