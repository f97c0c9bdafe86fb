"""Why the answer is what it is: the evidence adds up, and the figure shows what it should."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lenet import LeNet
from page.figure import INK, add_up, colorize, draw_figure, tint
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


def figure_of(images, **how) -> tuple[str, list[Image.Image]]:
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    html = draw_figure(read(model, images), model, **how)
    files = re.findall(r"data:image/png;base64,([^)]+)", html)
    return html, [Image.open(io.BytesIO(base64.b64decode(file))) for file in files]


def test_the_received_picture_is_the_networks():
    digit = torch.zeros(1, 1, 28, 28)
    digit[0, 0, 4:24, 12:15] = 1
    digit[0, 0, 20, 20] = 0.5
    html, pictures = figure_of(digit)
    ink = (255 - np.asarray(pictures[0], np.float32)) / 255 / INK
    assert pictures[0].size == (28, 28)
    np.testing.assert_allclose(ink, digit[0, 0], atol=0.01)
    assert len(html) < 30_000


def test_of_a_number_the_chosen_digit_is_explained():
    digits = torch.rand(3, 1, 28, 28)
    for chosen in (0, 2, 7):
        html, pictures = figure_of(digits, chosen=chosen)
        (value,) = re.findall(r'name="digit" value="(\d)" checked', html)
        assert int(value) == min(chosen, 2)
        assert np.array_equal(pictures[0], pictures[1 + int(value)])


@pytest.mark.parametrize("rival", [None, *range(10)])
def test_the_first_guess_is_compared_with_any_other(rival):
    html, _ = figure_of(torch.rand(1, 1, 28, 28), rival=rival)
    values = re.findall(r'name="rival" value="(\d)"( checked)?', html)
    first = re.search(r"Why an? (\d)\?", html)[1]
    assert {value for value, _ in values} == set("0123456789") - {first}
    (checked,) = [value for value, state in values if state]
    assert rival is None or str(rival) in (checked, first)


def test_blank_paper_leaves_every_layer_blank():
    _, pictures = figure_of(torch.zeros(1, 1, 28, 28))
    assert np.asarray(pictures[1])[..., 3].max() == 0, "no evidence"
    sizes = [(168, 28), (84, 14), (160, 10), (80, 5), (12, 10), (12, 7)]
    layers = [picture for picture in pictures if picture.size in sizes]
    assert len(layers) == 6 and all(np.asarray(layer).min() == 255 for layer in layers)


def test_more_is_blue_and_less_is_orange():
    for values in (colorize(np.array([[1.0, -1.0, 0.0]])), tint(np.array([[1.0, -1.0, 0.0]]))):
        more, less, _ = values[0, :, 2::-1].astype(int)
        assert more[2] > 150 > more[0] and less[0] > 150 > less[2]
    assert tint(np.array([[1.0, 0.5, 0.0]]))[0, :, 3].tolist() == [255, 128, 0]
    assert colorize(np.zeros((1, 1))).tolist() == [[[255, 255, 255]]]


def test_a_sum_adds_up_when_it_is_rounded():
    random = np.random.default_rng(0)
    for _ in range(200):
        blank, places = random.normal(), random.normal(size=(10, 10))
        parts = add_up(blank, places)
        assert round(sum(parts[:3]), 1) == parts[3] == round(blank + places.sum(), 1)
        exact = blank, places[places > 0].sum(), places[places < 0].sum()
        assert np.allclose(parts[:3], exact, atol=0.151)


def test_the_bars_are_the_probabilities():
    model = LeNet().eval()
    probabilities = dict(zip("0123456789", [0.91] + [0.01] * 9, strict=True))
    (reading,) = read(model, torch.zeros(1, 1, 28, 28))
    html = draw_figure([replace(reading, probabilities=probabilities)], model)
    heights = re.findall(r"height:([\d.]+)%", html)
    assert heights == ["91.0"] + ["1.0"] * 9
    assert len(re.findall("class=best", html)) == 1
