"""Pictures into MNIST's form."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from preprocess import NoDigitError, to_mnist

# An L: no symmetry hides a swapped axis or a mirrored picture.
L_STROKE = [(0.3, 0.2), (0.3, 0.8), (0.6, 0.8)]


def draw(size=280, width=24, ink=0, paper=255, shift=(0, 0), scale=1.0) -> Image.Image:
    image = Image.new("L", (size, size), paper)
    points = [((x * scale) * size + shift[0], (y * scale) * size + shift[1]) for x, y in L_STROKE]
    ImageDraw.Draw(image).line(points, fill=ink, width=width, joint="curve")
    return image


def center_of_mass(digit):
    rows, columns = np.indices(digit.shape)
    return (rows * digit).sum() / digit.sum(), (columns * digit).sum() / digit.sum()


def longest_side(digit):
    rows, columns = np.nonzero(digit)
    return max(np.ptp(rows), np.ptp(columns)) + 1


def test_gives_mnists_form():
    digit = to_mnist(draw())
    assert digit.shape == (28, 28) and digit.dtype == np.float32
    assert digit.min() == 0 and digit.max() == pytest.approx(1, abs=0.01)
    assert longest_side(digit) == 20
    assert center_of_mass(digit) == pytest.approx((14, 14), abs=0.5)


def test_keeps_the_shape_upright_and_unmirrored():
    digit = to_mnist(draw())
    rows, columns = np.nonzero(digit > 0.5)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    assert digit[top:bottom, left : left + 2].mean() > 0.8  # the stem, on the left
    assert digit[bottom - 1 : bottom + 1, left:right].mean() > 0.8  # the foot, at the bottom
    assert digit[top : top + 8, right - 3 : right].max() < 0.1  # nothing, top right
    height, width = bottom - top + 1, right - left + 1
    assert height / width == pytest.approx((0.6 * 280 + 12) / (0.3 * 280 + 24), abs=0.2)


@pytest.mark.parametrize("shift", [(-60, -40), (90, 35), (0, 30)])
def test_the_place_does_not_matter(shift):
    np.testing.assert_allclose(to_mnist(draw(shift=shift)), to_mnist(draw()), atol=0.02)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_the_size_does_not_matter(factor):
    resized = draw(size=round(280 * factor), width=round(24 * factor))
    assert np.abs(to_mnist(resized) - to_mnist(draw())).mean() < 0.02


def as_alpha(image, color):
    alpha = image.point(lambda value: 255 - value)
    layer = Image.new("RGBA", image.size, (*color, 0))
    layer.putalpha(alpha)
    return layer


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda i: i.convert("RGB"), id="RGB"),
        pytest.param(lambda i: i.convert("RGBA"), id="opaque RGBA"),
        pytest.param(lambda i: i.convert("1"), id="one bit"),
        pytest.param(lambda i: i.convert("P"), id="palette"),
        pytest.param(lambda i: i.convert("CMYK"), id="CMYK"),
        pytest.param(lambda i: Image.eval(i, lambda v: 255 - v), id="white on black"),
        pytest.param(lambda i: as_alpha(i, (0, 0, 0)), id="black ink on nothing"),
        pytest.param(lambda i: as_alpha(i, (255, 255, 255)), id="white ink on nothing"),
        pytest.param(np.asarray, id="uint8 array"),
        pytest.param(lambda i: np.asarray(i) / 255, id="float array"),
        pytest.param(lambda i: np.asarray(i.convert("RGB")), id="RGB array"),
    ],
)
def test_the_picture_format_does_not_matter(change):
    np.testing.assert_allclose(to_mnist(change(draw())), to_mnist(draw()), atol=0.02)


@pytest.mark.parametrize(
    "blank",
    [
        Image.new("L", (280, 280), 255),
        Image.new("L", (280, 280), 0),
        Image.new("RGBA", (280, 280)),
        Image.new("RGB", (1, 1), "navy"),
        np.full((28, 28), 0.5),
    ],
    ids=["white", "black", "transparent", "one pixel", "gray"],
)
def test_says_that_there_is_nothing_to_read(blank):
    with pytest.raises(NoDigitError, match="draw a digit"):
        to_mnist(blank)


def test_mnists_own_pictures_are_read_as_well_as_before(mnist_test):
    from lenet import load_model
    from train import evaluate

    images, labels = mnist_test
    model, _ = load_model()
    again = np.stack([to_mnist(image.numpy()) for image in images[:, 0]])
    again = torch.from_numpy((again * 255).round().astype(np.uint8)).unsqueeze(1)
    _, before = evaluate(model, images, labels)
    _, after = evaluate(model, again, labels)
    assert abs(after - before) <= 0.001
