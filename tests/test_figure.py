"""The picture of the layers."""

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from lenet import LeNet
from page.figure import colorize, draw_layers, mosaic


def arrays(model, image):
    with torch.inference_mode():
        return [layer[0].numpy() for layer in model.layers(image)]


def drawing(digit):
    model = LeNet()
    blank = arrays(model, torch.zeros(1, 1, 28, 28))
    layers = arrays(model, torch.from_numpy(digit)[None, None])
    html = draw_layers(digit, layers, blank, [0.91] + [0.01] * 9)
    files = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return html, [Image.open(io.BytesIO(base64.b64decode(file))) for file in files]


def test_the_layers_are_what_the_network_computes():
    model, images = LeNet(), torch.rand(2, 1, 28, 28)
    layers = model.layers(images)
    assert [tuple(layer.shape[1:]) for layer in layers] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)
    ]  # fmt: skip
    assert torch.equal(layers[-1], model(images))


def test_the_received_picture_is_the_networks():
    digit = np.zeros((28, 28), np.float32)
    digit[4:24, 12:15] = 1
    digit[20, 20] = 0.5
    _, pictures = drawing(digit)
    gray = 1 - (np.asarray(pictures[0].convert("L"), np.float32) - 20) / 235
    assert pictures[0].size == (28, 28)
    np.testing.assert_allclose(gray, digit, atol=0.01)


def test_blank_paper_leaves_every_layer_blank():
    _, pictures = drawing(np.zeros((28, 28), np.float32))
    assert len(pictures) == 7
    assert all(np.asarray(p).min() == 255 for p in pictures)


def test_more_is_black_and_less_is_red():
    more, less, same = colorize(np.array([[1.0, -1.0, 0.0]]))[0, :, ::-1]
    assert more.max() < 50 and tuple(same) == (255, 255, 255)
    assert less[0] > 150 > less[1] > less[2]


def test_a_mosaic_keeps_the_maps_in_order():
    tiles = np.arange(6)[:, None, None] * np.ones((6, 2, 2))
    grid = mosaic(tiles, columns=3, gap=1)
    assert grid.shape == (5, 8)
    assert grid[0, [0, 3, 6]].tolist() == [0, 1, 2] and grid[3, [0, 3, 6]].tolist() == [3, 4, 5]
    assert not grid[2].any() and not grid[:, 2].any()


def test_the_bars_are_the_probabilities():
    html, _ = drawing(np.zeros((28, 28), np.float32))
    heights = re.findall(r"height:([\d.]+)%", html)
    assert heights == ["91.0"] + ["1.0"] * 9
    assert len(re.findall("class=best", html)) == 1
