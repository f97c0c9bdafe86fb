"""Pictures into MNIST's form."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from handwriting import Camera, crop_to_bilevel, photograph
from handwriting import draw as draw_as_the_pad
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from reading.picture import MAX_PIXELS
from reading.preprocess import NoDigitError, to_mnist
from reading.weights import load_weights
from training.metrics import evaluate

# Hundredths of a picture's side. In the L, no symmetry hides a swapped axis or a mirrored picture.
L, UPRIGHT = "30,20 30,80 60,80", "42,30 42,70"
FIVE, BAR = "40,25 38,50 55,48 62,62 55,78 36,76", "46,20 68,18"
EIGHT = "50,50 35,30 50,20 62,30 38,70 50,80 62,70 50,50"
LOOPS = {  # and their holes
    "0": ("50,20 40,40 45,75 55,60 56,40 50,20", 1),
    "6": ("55,20 42,50 42,78 50,78 50,68 43,66", 1),
    "9": ("60,36 58,24 46,24 46,40 60,36 60,55 50,80", 1),
    "open 4": ("42,20 40,55 50,53 50,20 49,80", 0),
}


def path(text: str) -> np.ndarray:
    return np.array([point.split(",") for point in text.split()], float)


def draw(*paths, size=280, width=20) -> Image.Image:
    image = Image.new("L", (size, size), 255)
    for text in paths:
        points = list(map(tuple, path(text) * size / 100))
        ImageDraw.Draw(image).line(points, fill=0, width=width, joint="curve")
    return image


def pad_drawing(name: str, width: int) -> np.ndarray:
    return draw_as_the_pad([path(LOOPS[name][0])], side=170, brush=width)


def small(*paths, side=28, width=20) -> np.ndarray:
    return np.asarray(draw(*paths, width=width).resize((side, side), Image.Resampling.BOX))


def unlike(one, other) -> float:
    """Return the share of the ink that lies elsewhere in the other, at the best of 9 shifts."""
    one, other = to_mnist(one), to_mnist(other)
    shifts = [np.roll(one, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(np.abs(shifted - other).sum() for shifted in shifts) / (one.sum() + other.sum())


def extent(digit: np.ndarray) -> np.ndarray:
    """Return the width and the height of the ink."""
    return np.ptp(np.argwhere(digit), axis=0)[::-1] + 1


def center_of_mass(digit: np.ndarray) -> np.ndarray:
    return np.tensordot(np.indices(digit.shape), digit, 2) / digit.sum()


def test_the_form_is_mnists_upright_and_unmirrored():
    picture = draw(L, width=24)
    digit = to_mnist(picture)
    assert digit.shape == (28, 28) and digit.dtype == np.float32
    assert digit.min() == 0 and digit.max() == pytest.approx(1, abs=0.01)
    assert center_of_mass(digit) == pytest.approx((14, 14), abs=0.5)
    width, height = extent(255 - np.asarray(picture))
    assert extent(digit) == pytest.approx((20 * width / height, 20), abs=1)
    assert extent(digit).max() == 20
    (top, left), (bottom, right) = (f(np.argwhere(digit > 0.5), axis=0) for f in (np.min, np.max))
    assert digit[top:bottom, left : left + 2].mean() > 0.8  # the stem, on the left
    assert digit[bottom - 1 : bottom + 1, left:right].mean() > 0.8  # the foot, at the bottom
    assert digit[top : top + 8, right - 3 : right].max() < 0.1  # nothing, top right


def lay(drawing, place) -> Image.Image:
    """Put a drawing somewhere on paper of twice its sides."""
    paper = Image.new("L", (drawing.width * 2, drawing.height * 2), 255)
    paper.paste(drawing, tuple(int(share * drawing.width) for share in place))
    return paper


PLACES = st.tuples(st.floats(0, 1), st.floats(0, 1))
COMMON = st.sampled_from(["L", "RGB", "RGBA", "P", "CMYK", "LA", "I", "F"])


@given(scale=st.floats(0.3, 3), place=PLACES, inverted=st.booleans(), mode=COMMON)
@settings(max_examples=80, deadline=None)
def test_size_place_polarity_and_mode_hardly_matter(scale, place, inverted, mode):
    picture = lay(draw(L, size=round(280 * scale), width=round(24 * scale)), place)
    picture = ImageOps.invert(picture) if inverted else picture
    assert unlike(picture.convert(mode), draw(L, width=24)) < 0.08


@given(width=st.integers(4, 40), place=PLACES)
@settings(max_examples=50, deadline=None)
def test_the_pen_hardly_matters(width, place):
    """A hairline and a marker differ by what MNIST's own pens do, and come out as broad."""
    picture = lay(draw(L, width=width), place)
    assert unlike(picture, draw(L, width=24)) < 0.25
    assert 1.5 < to_mnist(picture)[8:14].sum(axis=1).mean() < 4  # across the stem


def encode(image, kind, **options) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


def on_nothing(image, ink):
    return Image.merge("LA", (image.point(lambda _: ink), ImageOps.invert(image)))


def from_a_camera(image, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image.transpose(turn), "JPEG", exif=exif)


CHANGES = {
    "one bit": lambda i: i.convert("1"),
    "black ink on nothing": lambda i: on_nothing(i, 0),
    "white ink on nothing": lambda i: Image.merge(
        "LA", (i.point(lambda _: 255), ImageOps.invert(i))
    ),
    "uint8 array": np.asarray,
    "float array": lambda i: np.asarray(i) / 255,
    "RGB array": lambda i: np.asarray(i.convert("RGB")),
    "JPEG noise": lambda i: encode(i, "JPEG", quality=20),
    "GIF": lambda i: encode(i, "GIF", save_all=True, append_images=[Image.new("L", i.size)]),
    "16 bits": lambda i: Image.fromarray(np.asarray(i).astype(np.uint16) * 200),
    "float TIFF": lambda i: encode(i.convert("F"), "TIFF"),
    "dark mode": lambda i: i.point(lambda value: 30 + (255 - value) * 3 // 4),
    "faint": lambda i: i.point(lambda value: 200 + value // 5),
    "equally bright": lambda i: ImageOps.colorize(i, (255, 0, 0), (0, 130, 0)),
    "on its side": lambda i: from_a_camera(i, 6, Image.Transpose.ROTATE_90),
    "upside down": lambda i: from_a_camera(i, 3, Image.Transpose.ROTATE_180),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_screens_and_files_make_of_it_does_not_matter(name):
    picture = draw(L, width=24)
    assert unlike(CHANGES[name](picture), picture) < (0.06 if name == "JPEG noise" else 0.03)


def snap(points, seed=0, **camera) -> Image.Image:
    """Return a photograph by a camera that stands straight above."""
    still = {"digit": (0.5, 0.5), "perspective": 0, "rotation": 0, "table": 0, "board": 0}
    return photograph([points], np.random.default_rng(seed), replace(Camera(), **still | camera))


RULED = {"paper": ("ruled",), "fall_off": (0.4, 0.4), "shadow": (0.3, 0.3)}
CHALK = {"board": 1, "ink": (0.4, 0.4), "fall_off": (0.5, 0.5), "shadow": (0.45, 0.45)}


@pytest.mark.parametrize(
    "seed, pen, camera",
    [*((0, pen, RULED) for pen in (0.05, 0.1, 0.16)), *((k, 0.08, CHALK) for k in range(3))],
)
def test_light_falls_unevenly_on_ruled_paper_and_on_a_board(seed, pen, camera):
    assert unlike(snap(path(L), seed, pen=(pen, pen), **camera), draw(L, width=24)) < 0.25


def test_reads_a_digit_that_the_photograph_cuts_off():
    """The top of a 0 is missing, and what is left of it runs along the border."""
    turn = np.linspace(0, 2 * np.pi, 30)
    circle = 100 * np.column_stack([0.7 * np.sin(turn), np.cos(turn)])
    photo = snap(circle, pen=(0.08, 0.08), paper=("plain",))
    for top in (90, 110, 130):
        digit = to_mnist(photo.crop((0, top, *photo.size)))
        assert digit[8:12].reshape(4, 2, 14).max((0, 2)).min() > 0.9  # on the left and the right


def test_parts_that_belong_together_stay_and_so_does_what_runs_off_the_edge():
    assert unlike(draw(FIVE, BAR, width=14), draw(FIVE, width=14)) > 0.1
    assert unlike(small(FIVE, BAR, width=14), small(FIVE, width=14)) > 0.1
    broken_eight = Image.new("L", (280, 280), 255)
    for top in (43, 139):
        ImageDraw.Draw(broken_eight).ellipse((99, top, 181, top + 82), outline=0, width=14)
    digit = to_mnist(broken_eight)
    assert digit[:12].max() > 0.9 and digit[16:].max() > 0.9
    digit = to_mnist(draw("50,-10 50,80 110,80", width=24))
    assert digit[4:10].sum() > 0 and digit.sum() > 20


def test_several_digits_are_asked_for_one_at_a_time():
    for right in ("57,30 57,70", "65,30 65,70", "85,30 85,70"):
        with pytest.raises(NoDigitError, match="One at a time"):
            to_mnist(draw(UPRIGHT, right, width=14))


def edged(picture, width, value=90):
    return np.pad(picture[width:-width, width:-width], width, constant_values=value)


def on_a_desk(picture):
    desk = np.random.default_rng(0).normal(60, 6, (560, 560)).clip(0, 255).astype(np.uint8)
    desk[140:420, 140:420] = picture
    return desk


def ruled(picture):
    paper = np.pad(picture, 100, constant_values=255)
    paper[::40] = paper[1::40] = np.minimum(paper[::40], 150)
    return paper


def circled(picture):
    paper = np.pad(picture, 60, constant_values=255)
    return cv2.ellipse(paper, (200, 200), (170, 160), 8, 0, 350, 0, 7)


SETTINGS = {
    "line at the edge": lambda p: edged(p, 1),
    "nested lines": lambda p: edged(edged(p, 20, 255), 3, 0),
    "black margin": lambda p: np.pad(p, 30),
    "white margin": lambda p: np.pad(255 - p, 30, constant_values=255),
    "title bar": lambda p: np.pad(p, ((30, 0), (0, 0)), constant_values=50),
    "bars above and below": lambda p: np.pad(p, ((80, 120), (0, 0))),
    "circle": circled,
    "note on a desk": on_a_desk,
    "ruled": ruled,
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ["L", "0", "6"])
def test_what_surrounds_the_paper_is_no_ink(setting, name):
    picture = np.asarray(draw(L, width=14)) if name == "L" else pad_drawing(name, 12)
    assert unlike(SETTINGS[setting](picture), picture) < 0.15


def holes(ink: np.ndarray) -> int:
    paper = np.pad(~ink, 1, constant_values=True).astype(np.uint8)
    return cv2.connectedComponents(paper, connectivity=4)[0] - 2


@pytest.mark.parametrize("width", [4, 6, 8, 10, 12, 14])
@pytest.mark.parametrize("name", LOOPS)
def test_loops_and_openings_survive_a_pen_of_any_width(name, width):
    drawing = pad_drawing(name, width)
    digit = cv2.resize(to_mnist(drawing), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert holes(digit > 0.5) == holes(drawing < 128) == LOOPS[name][1]


def ring(side: int, width: int) -> np.ndarray:
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).ellipse((0, 0, side - 1, side - 1), outline=255, width=width)
    return np.asarray(image)


@pytest.mark.parametrize("margin", [0, 1])
@pytest.mark.parametrize("side", [12, 16, 24, 32, 64, 128])
def test_a_crop_is_not_turned_inside_out(side, margin):
    """Most of its border is ink."""
    squarish = cv2.dilate(ring(side, side // 6), np.ones((side // 8 | 1,) * 2, np.uint8))
    zero = np.pad(squarish, margin)
    digit = to_mnist(zero)
    assert digit[12:16, 12:16].max() < 0.3 < digit[4:24].max(axis=0)[4:8].max()
    np.testing.assert_allclose(to_mnist(255 - zero), digit, atol=0.01)


@pytest.mark.parametrize("side", [16, 28])
def test_corners_of_paper_specks_and_halos_are_no_ink(side):
    bold_one = np.full((side, side), 255, np.uint8)
    bold_one[: side // 5, : side // 3] = bold_one[-side // 5 :, -side // 4 :] = 0
    digit = to_mnist(bold_one)
    assert digit[8:20, 14].min() > 0.5
    np.testing.assert_allclose(to_mnist(255 - bold_one), digit, atol=0.01)
    eight = small(EIGHT, side=side, width=24)
    speckled = eight.copy()
    speckled[1, -2] = 0
    np.testing.assert_allclose(to_mnist(speckled), to_mnist(eight), atol=0.01)
    halo = 255 - cv2.GaussianBlur(255 - small(FIVE), (0, 0), 2.2) * 0.15
    assert unlike(np.minimum(small(FIVE), halo.astype(np.uint8)), small(FIVE)) < 0.12


@pytest.mark.parametrize("one", ["52,20 50,80", "60,20 50,80"])
def test_a_one_stretched_to_a_square_is_narrow_again(one):
    assert extent(to_mnist(crop_to_bilevel(255 - np.asarray(draw(one)))) > 0.5)[0] <= 10
    assert extent(to_mnist(crop_to_bilevel(ring(28, 8))) > 0.1)[0] >= 19


def noise(kind: str, *shape) -> np.ndarray:
    random = np.random.default_rng(1)
    values = random.integers(0, 256, shape) if kind == "uniform" else random.normal(200, 12, shape)
    return values.clip(0, 255).astype(np.uint8)


BLANK = {
    "white": Image.new("L", (280, 280), 255),
    "black": Image.new("L", (280, 280), 0),
    "transparent": Image.new("RGBA", (280, 280)),
    "one pixel": Image.new("RGB", (1, 1), "navy"),
    "gray": np.full((28, 28), 0.5),
    "noise": noise("uniform", 280, 280),
    "grain": noise("normal", 900, 1200, 3),
}


@pytest.mark.parametrize("name", BLANK)
def test_says_that_there_is_nothing_to_read(name):
    """But noise of MNIST's own size is the network's business."""
    with pytest.raises(NoDigitError, match="draw a digit"):
        to_mnist(BLANK[name])
    for kind in ("uniform", "normal"):
        assert extent(to_mnist(noise(kind, 28, 28))).max() == 20


@pytest.mark.parametrize("side, words", [(MAX_PIXELS // 4000 + 2, "million"), (280, "damaged")])
def test_part_of_a_file_is_refused_by_its_size_before_it_is_decoded(side, words):
    whole = io.BytesIO()
    Image.linear_gradient("L").resize((side, side), 0).save(whole, "PNG", compress_level=0)
    with pytest.raises(NoDigitError, match=words):
        to_mnist(Image.open(io.BytesIO(whole.getvalue()[:1000])))


def expect_digit_or_sentence(picture, least=0) -> None:
    try:
        digit = to_mnist(picture)
    except NoDigitError as sentence:
        assert str(sentence).endswith((".", "?"))
        return
    assert digit.shape == (28, 28) and digit.dtype == np.float32
    assert digit.min() >= 0 and least < digit.max() <= 1 and np.isfinite(digit).all()


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]
NO_TARGETS = ["La", "RGBa", "LAB", "PA", "I;16B"]  # Pillow converts nothing to these
SIDES = st.integers(1, 90)


@given(
    mode=st.sampled_from(MODES + NO_TARGETS),
    size=st.tuples(SIDES, SIDES),
    seed=st.integers(0, 2**32),
    smooth=st.integers(0, 6),
)
@settings(max_examples=150, deadline=None)
def test_any_pixels_of_any_mode_give_a_digit_or_a_sentence(mode, size, seed, smooth):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(smooth))
    if mode in NO_TARGETS:
        image = Image.new(mode, size)
    expect_digit_or_sentence((image.convert("I") if mode == "I;16" else image).convert(mode))


SHAPES = [(1, 1), (1, 900), (900, 1), (3, 50), (28, 28), (60, 41, 3), (50, 50, 4)]
VALUES = [np.nan, np.inf, -np.inf, 1e30, -1.0, 0.5]


@given(st.sampled_from(SHAPES), st.sampled_from(VALUES), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_arrays_of_odd_shapes_and_values_give_a_digit_or_a_sentence(shape, value, seed):
    random = np.random.default_rng(seed)
    array = np.where(random.random(shape) < 0.1, value, random.random(shape))
    expect_digit_or_sentence(array, least=0.5)


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 2), (2, 4, 4, 3)])
def test_an_array_that_is_no_picture_is_the_callers_mistake(shape):
    with pytest.raises(ValueError, match="shape"):
        to_mnist(np.zeros(shape))


def test_mnists_own_pictures_are_read_as_well_as_before(mnist_test):
    images, labels = (part[::4] for part in mnist_test)
    again = np.stack([to_mnist(image.numpy()) for image in images[:, 0]])
    assert {extent(digit).max() for digit in again} == {20}
    assert max(np.abs(center_of_mass(digit) - 14).max() for digit in again) <= 0.5
    again = torch.from_numpy((again * 255).round().astype(np.uint8)).unsqueeze(1)
    model = load_weights(None).model
    (_, before), (_, after) = (evaluate(model, those, labels) for those in (images, again))
    assert abs(after - before) <= 0.0005
