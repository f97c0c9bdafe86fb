"""Pictures into MNIST's form."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from reading.preprocess import NoDigitError, to_mnist
from reading.weights import load_weights
from training.metrics import evaluate

# Hundredths of a picture's side. In the L, no symmetry hides a swapped axis or a mirrored picture.
L = "30,20 30,80 60,80"
LOOPS = {  # and their holes
    "0": ("50,20 40,40 45,75 55,60 56,40 50,20", 1),
    "6": ("55,20 42,50 42,78 50,78 50,68 43,66", 1),
    "9": ("60,36 58,24 46,24 46,40 60,36 60,55 50,80", 1),
    "open 4": ("42,20 40,55 50,53 50,20 49,80", 0),
}


def draw(*paths, size=280, width=24) -> Image.Image:
    image = Image.new("L", (size, size), 255)
    for path in paths:
        points = [tuple(float(n) * size / 100 for n in p.split(",")) for p in path.split()]
        ImageDraw.Draw(image).line(points, fill=0, width=width, joint="curve")
    return image


def unlike(one, other) -> float:
    """Return the share of the ink that lies elsewhere in the other, at the best of 9 shifts."""
    one, other = to_mnist(one), to_mnist(other)
    shifts = [np.roll(one, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(np.abs(shifted - other).sum() for shifted in shifts) / (one.sum() + other.sum())


def extent(digit: np.ndarray) -> np.ndarray:
    return np.ptp(np.argwhere(digit), axis=0) + 1  # the height and the width of the ink


def test_the_form_is_mnists_upright_and_unmirrored():
    digit = to_mnist(draw(L))
    assert digit.shape == (28, 28) and digit.dtype == np.float32
    assert digit.min() == 0 and digit.max() == pytest.approx(1, abs=0.01)
    assert extent(digit) == pytest.approx((20, 10.7), abs=1)
    assert digit[4:14, 16:].max() < 0.1 and digit[16:, 16:].max() > 0.9  # the foot is to the right


MODES = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"])
SHARES = st.floats(0, 1)


@given(scale=st.floats(0.3, 3), x=SHARES, y=SHARES, inverted=st.booleans(), mode=MODES)
@settings(max_examples=60, deadline=None)
def test_size_place_polarity_and_mode_hardly_matter(scale, x, y, inverted, mode):
    side = round(280 * scale)
    paper = Image.new("RGB", (2 * side, 2 * side), "white")
    paper.paste(draw(L, size=side, width=round(24 * scale)), (int(x * side), int(y * side)))
    picture = ImageOps.invert(paper) if inverted else paper
    assert unlike(picture.convert(mode), draw(L)) < 0.08


def on_its_side(image: Image.Image) -> Image.Image:
    image = image.transpose(Image.Transpose.ROTATE_90)
    image.getexif()[0x0112] = 6  # EXIF's word for it
    return image


CHANGES = {
    "black ink on nothing": lambda i: Image.merge("LA", (i.point([0] * 256), ImageOps.invert(i))),
    "white ink on nothing": lambda i: Image.merge("LA", (i.point([255] * 256), ImageOps.invert(i))),
    "RGB array": lambda i: np.asarray(i.convert("RGB")),
    "16 bits": lambda i: Image.fromarray(np.asarray(i).astype(np.uint16) * 200),
    "dark mode": lambda i: i.point(lambda value: 30 + (255 - value) * 3 // 4),
    "faint": lambda i: i.point(lambda value: 200 + value // 5),
    "equally bright": lambda i: ImageOps.colorize(i, (255, 0, 0), (0, 130, 0)),
    "on its side": on_its_side,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_screens_and_files_make_of_it_does_not_matter(name):
    assert unlike(CHANGES[name](draw(L)), draw(L)) < 0.03


def test_what_runs_off_the_edge_is_ink():
    digit = to_mnist(draw("50,-10 50,80 110,80"))
    assert digit[4:10].sum() > 0 and digit.sum() > 20


AROUND = {
    "frame": lambda p: np.pad(np.pad(p, 10), 20, constant_values=255),
    "title bar": lambda p: np.pad(p, ((30, 0), (0, 0)), constant_values=50),
    "desk": lambda p: np.pad(p, 140, constant_values=60),
    "circle": lambda p: cv2.circle(np.pad(p, 60, constant_values=255), (200, 200), 170, 0, 7),
}


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("text", [L, LOOPS["0"][0], LOOPS["6"][0]], ids=["L", "0", "6"])
def test_what_surrounds_the_paper_is_no_ink(name, text):
    picture = np.asarray(draw(text, width=13))
    assert unlike(AROUND[name](picture), picture) < 0.15


@pytest.mark.parametrize("width", [6, 10, 14])
@pytest.mark.parametrize("name", LOOPS)
def test_loops_and_openings_survive_a_pen_of_any_width(name, width):
    text, holes = LOOPS[name]
    digit = cv2.resize(to_mnist(draw(text, width=width)), (112, 112), interpolation=cv2.INTER_CUBIC)
    labels, _ = cv2.connectedComponents((digit <= 0.5).astype(np.uint8), connectivity=4)
    assert labels - 2 == holes  # beside the ink and the paper around it


@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("side", [12, 16, 28, 128])
def test_a_crop_whose_border_is_mostly_ink_is_not_turned_inside_out(side, margin):
    ring = Image.new("L", (side, side))
    ImageDraw.Draw(ring).ellipse((0, 0, side - 1, side - 1), outline=255, width=side // 6)
    squarish = cv2.dilate(np.asarray(ring), np.ones((side // 8 | 1,) * 2, np.uint8))
    zero = np.pad(squarish, margin)
    digit = to_mnist(zero)
    assert digit[12:16, 12:16].max() < 0.3 < digit[4:24].max(axis=0)[4:8].max()
    np.testing.assert_allclose(to_mnist(255 - zero), digit, atol=0.01)


GRAIN = np.random.default_rng(1).normal(200, 12, (900, 1200, 3)).clip(0, 255).astype(np.uint8)
REFUSED = {
    "white": (Image.new("L", (280, 280), 255), "found no number"),
    "transparent": (Image.new("RGBA", (280, 280)), "found no number"),
    "grain": (GRAIN, "found no number"),
    "near": (draw("42,30 42,70", "57,30 57,70", width=14), "write one digit"),
    "far apart": (draw("42,30 42,70", "85,30 85,70", width=14), "write one digit"),
    "no picture": (np.zeros((4, 4, 2)), "shape"),  # which is the caller's mistake
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why(name):
    picture, words = REFUSED[name]
    with pytest.raises(ValueError if words == "shape" else NoDigitError, match=words):
        to_mnist(picture)


def test_a_one_stretched_to_a_square_is_narrow_again():
    y, x = np.nonzero(np.asarray(draw("60,20 50,80")) == 0)
    one = np.asarray(draw("60,20 50,80"))[y.min() : y.max() + 1, x.min() : x.max() + 1]
    assert extent(to_mnist(cv2.resize(one, (16, 16), None, 0, 0, cv2.INTER_NEAREST)) > 0.5)[1] <= 10
    zero = cv2.circle(np.full((28, 28), 255, np.uint8), (14, 14), 10, 0, 7)
    assert extent(to_mnist(zero) > 0.1)[1] >= 18


SIDES, ODD_VALUES = st.integers(1, 90), st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1.0])


@given(mode=MODES, size=st.tuples(SIDES, SIDES), smooth=st.integers(0, 6), odd=ODD_VALUES)
@settings(max_examples=100, deadline=None)
def test_any_pixels_give_a_digit_or_a_sentence(mode, size, smooth, odd):
    random = np.random.default_rng(smooth)
    noise = Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8))
    image = noise.filter(ImageFilter.GaussianBlur(smooth)).convert(mode)
    for picture in (image, np.where(random.random(size) < 0.1, odd, random.random(size))):
        try:
            digit = to_mnist(picture)
        except NoDigitError as sentence:
            assert str(sentence).endswith((".", "?"))
        else:
            assert digit.shape == (28, 28) and digit.min() >= 0 and 0 < digit.max() <= 1


def test_mnists_own_pictures_are_read_as_well_as_before(mnist_test):
    images, labels = (part[::4] for part in mnist_test)
    again = np.stack([to_mnist(image.numpy()) for image in images[:, 0]])
    assert {extent(digit).max() for digit in again} == {20}
    centers = np.tensordot(again, np.indices((28, 28)), [(1, 2)] * 2) / again.sum((1, 2))[:, None]
    np.testing.assert_allclose(centers, 14, atol=0.5)
    again = torch.from_numpy((again * 255).round().astype(np.uint8)).unsqueeze(1)
    model = load_weights(None).model
    (_, before), (_, after) = (evaluate(model, those, labels) for those in (images, again))
    assert abs(after - before) <= 0.0005
