"""Pictures into MNIST's form."""

import io
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from handwriting import Camera, crop_to_bilevel, photograph
from handwriting import draw as draw_strokes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from reading.picture import MAX_PIXELS
from reading.preprocess import NoDigitError, to_mnist

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


def test_returns_mnists_form():
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
    left, top, right, bottom = Image.eval(draw(), lambda value: 255 - value).getbbox()
    rows, columns = np.nonzero(digit)
    assert np.ptp(columns) + 1 == pytest.approx(20 * (right - left) / (bottom - top), abs=1)


@pytest.mark.parametrize("shift", [(-60, -40), (90, 35), (0, 30)])
def test_the_place_does_not_matter(shift):
    np.testing.assert_allclose(to_mnist(draw(shift=shift)), to_mnist(draw()), atol=0.02)


def unlike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of the ink that lies elsewhere in the other, at the best of 9 shifts."""
    shifts = [np.roll(one, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(np.abs(shifted - other).sum() for shifted in shifts) / (one.sum() + other.sum())


def lay(drawing, place) -> Image.Image:
    """Put a drawing somewhere on paper of twice its sides."""
    paper = Image.new("L", (drawing.width * 2, drawing.height * 2), 255)
    paper.paste(drawing, tuple(int(share * drawing.width) for share in place))
    return paper


PLACES = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(
    scale=st.floats(0.3, 3),
    place=PLACES,
    inverted=st.booleans(),
    mode=st.sampled_from(["L", "RGB", "RGBA", "P", "CMYK", "LA", "I", "F"]),
)
@settings(max_examples=150, deadline=None)
def test_size_place_polarity_and_mode_hardly_matter(scale, place, inverted, mode):
    """At most 8 % of the ink lies elsewhere, for the same drawing of 84 to 840 pixels."""
    picture = lay(draw(size=round(280 * scale), width=round(24 * scale)), place)
    if inverted:
        picture = Image.eval(picture, lambda value: 255 - value)
    assert unlike(to_mnist(picture.convert(mode)), to_mnist(draw())) < 0.08


@given(width=st.integers(4, 40), place=PLACES)
@settings(max_examples=100, deadline=None)
def test_the_pen_hardly_matters(width, place):
    """A hairline and a marker differ by what MNIST's own pens do: at most a quarter of the ink."""
    assert unlike(to_mnist(lay(draw(width=width), place)), to_mnist(draw())) < 0.25


@pytest.mark.parametrize("width", [5, 10, 20, 40])
def test_hairlines_and_markers_come_out_as_broad_as_mnists(width):
    """Breadth of a stroke of the L: ink a row of the stem, between its end and its foot."""
    digit = to_mnist(draw(width=width))
    stem = digit[8:14].sum(axis=1).mean()
    assert 1.5 < stem < 4


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


def encode(image, kind, **options) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


@pytest.mark.parametrize("width", [0.05, 0.1, 0.16])  # share of the L
def test_reads_a_photograph_of_ruled_paper_in_uneven_light(width):
    """The camera stands straight above, so that the L is that of `draw` but for light and grain."""
    camera = replace(
        Camera(),
        digit=(0.45, 0.45),
        pen=(width, width),
        paper=("ruled",),
        fall_off=(0.4, 0.4),
        shadow=(0.3, 0.3),
        perspective=0,
        rotation=0,
        table=0,
        board=0,
    )
    photo = photograph([100 * np.float32(L_STROKE)], np.random.default_rng(0), camera)
    assert unlike(to_mnist(photo), to_mnist(draw())) < 0.25  # as much as MNIST's own pens differ by


def test_reads_chalk_on_a_board():
    board = Image.eval(draw(size=600, width=30), lambda value: 45 + (255 - value) // 2)
    noise = np.random.default_rng(0).normal(0, 4, (600, 600))
    board = Image.fromarray((np.asarray(board) + noise).clip(0, 255).astype(np.uint8))
    assert unlike(to_mnist(board), to_mnist(draw())) < 1 / 6


@pytest.mark.parametrize("seed", range(6))
def test_reads_faint_chalk_in_a_shadow(seed):
    """Light multiplies: the same chalk is as much brighter than the board there as elsewhere."""
    camera = replace(
        Camera(),
        digit=(0.5, 0.5),
        pen=(0.08, 0.08),
        ink=(0.4, 0.4),
        fall_off=(0.5, 0.5),
        shadow=(0.45, 0.45),
        perspective=0,
        rotation=0,
        board=1,
    )
    photo = photograph([100 * np.float32(L_STROKE)], np.random.default_rng(seed), camera)
    assert unlike(to_mnist(photo), to_mnist(draw())) < 0.25


def test_reads_a_digit_that_the_photograph_cuts_off():
    """The top of a 0 is missing, and what is left of it runs along the border."""
    camera = replace(
        Camera(), digit=(0.5, 0.5), pen=(0.08, 0.08), paper=("plain",), rotation=0, table=0, board=0
    )
    turn = np.linspace(0, 2 * np.pi, 30)
    circle = 100 * np.float32(np.column_stack([0.7 * np.sin(turn), np.cos(turn)]))
    photo = photograph([circle], np.random.default_rng(0), camera)
    for top in (90, 110, 130):
        left, right = (
            to_mnist(photo.crop((0, top, *photo.size)))[8:12].reshape(4, 2, 14).max((0, 2))
        )
        assert min(left, right) > 0.9


def test_a_cameras_rotation_is_undone():
    """Tag 6: the camera lay on its side, and the picture has to be turned clockwise."""
    upright = draw(size=1400, width=120)
    for orientation, turn in ((6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = encode(upright.transpose(turn), "JPEG", exif=exif)
        assert unlike(to_mnist(stored), to_mnist(upright)) < 0.05


def test_colored_ink_on_paper_that_is_equally_bright():
    mask = draw().point(lambda value: 255 if value < 128 else 0)
    picture = Image.new("RGB", mask.size, (0, 130, 0))
    picture.paste((255, 0, 0), mask=mask)
    assert unlike(to_mnist(picture), to_mnist(draw())) < 0.05


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda i: encode(i, "JPEG", quality=20), id="JPEG noise"),
        pytest.param(
            lambda i: encode(i, "GIF", save_all=True, append_images=[draw(ink=255)]), id="GIF"
        ),
        pytest.param(
            lambda i: Image.fromarray(np.asarray(i).astype(np.uint16) * 200), id="16 bits"
        ),
        pytest.param(lambda i: encode(i.convert("F"), "TIFF"), id="float TIFF"),
        pytest.param(lambda i: Image.eval(i, lambda v: 30 + (255 - v) * 3 // 4), id="dark mode"),
        pytest.param(lambda i: Image.eval(i, lambda v: 200 + v // 5), id="faint"),
    ],
)
def test_what_screens_and_files_make_of_it_does_not_matter(change):
    assert unlike(to_mnist(change(draw())), to_mnist(draw())) < 0.06


# One digit


def strokes(*paths, size=280, width=20) -> Image.Image:
    image = Image.new("L", (size, size), 255)
    for path in paths:
        points = [(x * size, y * size) for x, y in path]
        ImageDraw.Draw(image).line(points, fill=0, width=width, joint="curve")
    return image


FIVE = [(0.4, 0.25), (0.38, 0.5), (0.55, 0.48), (0.62, 0.62), (0.55, 0.78), (0.36, 0.76)]
BAR = [(0.46, 0.2), (0.68, 0.18)]
DOT = [(0.8, 0.8), (0.83, 0.8)]
UNDERLINE = [(0.25, 0.92), (0.75, 0.92)]
ONE = [(0.5, 0.2), (0.5, 0.8)]


@pytest.mark.parametrize(
    "picture, same_as",
    [
        pytest.param(strokes(FIVE, DOT), strokes(FIVE), id="a dot beside it"),
        pytest.param(strokes(FIVE, UNDERLINE), strokes(FIVE), id="underlined"),
        pytest.param(
            strokes(ONE, [(0.02, 0.02), (0.04, 0.04)]), strokes(ONE), id="a touch by accident"
        ),
    ],
)
def test_what_is_not_of_the_digit_is_left_out(picture, same_as):
    np.testing.assert_array_equal(to_mnist(picture), to_mnist(same_as))


def test_a_bar_that_stands_apart_belongs_to_its_five():
    with_bar, without = to_mnist(strokes(FIVE, BAR, width=14)), to_mnist(strokes(FIVE, width=14))
    assert unlike(with_bar, without) > 0.1


def test_a_broken_eight_is_one_digit():
    circle = [(0.12 * np.cos(t), 0.12 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 20)]
    halves = [[(0.5 + x, y0 + y) for x, y in circle] for y0 in (0.3, 0.64)]
    digit = to_mnist(strokes(*halves, width=14))
    assert digit[:12].max() > 0.9 and digit[16:].max() > 0.9


@pytest.mark.parametrize("gap", [0.15, 0.3, 0.5])
def test_several_digits_are_asked_for_one_at_a_time(gap):
    left = [(0.5 - gap / 2 - dx, y) for dx, y in ((0.15, 0.3), (0.0, 0.3), (0.1, 0.7))]
    right = [(x + gap, y) for x, y in [(0.5 - gap / 2, 0.3), (0.5 - gap / 2, 0.7)]]
    with pytest.raises(NoDigitError, match="One at a time"):
        to_mnist(strokes(left, right, width=14))


def test_ink_may_run_off_the_edge():
    digit = to_mnist(strokes([(0.5, -0.1), (0.5, 0.8), (1.1, 0.8)], width=24))
    assert digit[4:10].sum() > 0 and digit.sum() > 20


# Settings


def at_the_edge(picture, width, value=90):
    return np.pad(picture[width:-width, width:-width], width, constant_values=value)


def on_a_desk(picture):
    desk = np.random.default_rng(0).normal(60, 6, (560, 560)).clip(0, 255).astype(np.uint8)
    desk[140:420, 140:420] = picture
    return desk


def with_bars(picture):
    return np.pad(picture, ((80, 120), (0, 0)))


def circled(picture):
    paper = np.pad(picture, 60, constant_values=255)
    return cv2.ellipse(paper, (200, 200), (170, 160), 8, 0, 350, 0, 7)


def ruled(picture, pitch=40):
    paper = np.pad(picture, 100, constant_values=255)
    paper[::pitch] = paper[1::pitch] = np.minimum(paper[::pitch], 150)
    return paper


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(lambda p: at_the_edge(p, 1), id="line at the edge"),
        pytest.param(lambda p: at_the_edge(at_the_edge(p, 20, 255), 3, 0), id="nested lines"),
        pytest.param(lambda p: np.pad(p, 30), id="black margin"),
        pytest.param(lambda p: np.pad(255 - p, 30, constant_values=255), id="white margin"),
        pytest.param(lambda p: np.pad(p, ((30, 0), (0, 0)), constant_values=50), id="title bar"),
        pytest.param(with_bars, id="bars above and below"),
        pytest.param(circled, id="circle"),
        pytest.param(on_a_desk, id="note on a desk"),
        pytest.param(ruled, id="ruled"),
    ],
)
@pytest.mark.parametrize("name", ["L", "0", "6"])
def test_what_surrounds_the_paper_is_no_ink(setting, name):
    if name == "L":
        picture = np.asarray(draw(width=14))
    else:
        picture = draw_strokes([100 * np.float32(LOOPS[name][0])], side=170, brush=12)
    assert unlike(to_mnist(setting(picture)), to_mnist(picture)) < 0.15


# What lies between the strokes

LOOPS = {  # and their holes
    "0": ([(0.5, 0.2), (0.4, 0.4), (0.45, 0.75), (0.55, 0.6), (0.56, 0.4), (0.5, 0.2)], 1),
    "6": ([(0.55, 0.2), (0.42, 0.5), (0.42, 0.78), (0.5, 0.78), (0.5, 0.68), (0.43, 0.66)], 1),
    "9": (
        [
            (0.6, 0.36),
            (0.58, 0.24),
            (0.46, 0.24),
            (0.46, 0.4),
            (0.6, 0.36),
            (0.6, 0.55),
            (0.5, 0.8),
        ],
        1,
    ),
    "open 4": ([(0.42, 0.2), (0.4, 0.55), (0.5, 0.53), (0.5, 0.2), (0.49, 0.8)], 0),
}


def holes(ink: np.ndarray) -> int:
    """Return how many parts of the paper are closed in; a pixel's corner lets none through."""
    paper = np.pad(~ink, 1, constant_values=True).astype(np.uint8)
    return cv2.connectedComponents(paper, connectivity=4)[0] - 2


@pytest.mark.parametrize("width", [4, 6, 8, 10, 12, 14])
@pytest.mark.parametrize("name", LOOPS)
def test_loops_and_openings_survive_a_pen_of_any_width(name, width):
    path, count = LOOPS[name]
    drawing = draw_strokes([100 * np.float32(path)], side=170, brush=width)
    assert holes(drawing < 128) == count
    digit = cv2.resize(to_mnist(drawing), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert holes(digit > 0.5) == count


# Small pictures


def ring(side: int, width: int) -> np.ndarray:
    """Return a round 0, white on black, that fills its picture from edge to edge."""
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
def test_paper_that_is_left_in_the_corners_is_no_ink(side):
    """A bold 1, cropped and stretched to a square, leaves no more of it."""
    one = np.full((side, side), 255, np.uint8)
    one[: side // 5, : side // 3] = one[-side // 5 :, -side // 4 :] = 0
    digit = to_mnist(one)
    assert digit[8:20, 14].min() > 0.5
    np.testing.assert_allclose(to_mnist(255 - one), digit, atol=0.01)


@pytest.mark.parametrize("side", [16, 28])
def test_a_speck_beside_a_small_eight_is_left_out(side):
    eight = np.asarray(
        strokes(
            [
                (0.5, 0.5),
                (0.35, 0.3),
                (0.5, 0.2),
                (0.62, 0.3),
                (0.38, 0.7),
                (0.5, 0.8),
                (0.62, 0.7),
                (0.5, 0.5),
            ],
            width=24,
        )
    )
    eight = cv2.resize(eight, (side, side), interpolation=cv2.INTER_AREA)
    speckled = eight.copy()
    speckled[1, -2] = 0
    np.testing.assert_allclose(to_mnist(speckled), to_mnist(eight), atol=0.01)


def test_a_small_fives_bar_that_stands_apart_stays():
    small = [
        strokes(*paths, width=14).resize((28, 28), Image.Resampling.BOX)
        for paths in ((FIVE, BAR), (FIVE,))
    ]
    assert unlike(*map(to_mnist, small)) > 0.1


def test_a_halo_around_a_small_digit_does_not_widen_its_box():
    small = np.asarray(strokes(FIVE).resize((28, 28), Image.Resampling.BOX))
    halo = 255 - cv2.GaussianBlur(255 - small, (0, 0), 2.2) * 0.15
    hazy = np.minimum(small, halo.astype(np.uint8))
    assert unlike(to_mnist(hazy), to_mnist(small)) < 0.12


@pytest.mark.parametrize("lean", [0.02, 0.1])
def test_a_one_stretched_to_a_square_is_narrow_again(lean):
    one = np.asarray(strokes([(0.5 + lean, 0.2), (0.5, 0.8)]))
    columns = np.flatnonzero(to_mnist(crop_to_bilevel(255 - one)).max(axis=0) > 0.5)
    assert np.ptp(columns) + 1 <= 10
    zero = to_mnist(crop_to_bilevel(ring(28, 8)))
    assert np.ptp(np.flatnonzero(zero.max(axis=0) > 0.1)) >= 18


# Nothing to read


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


def noise(kind: str, shape) -> np.ndarray:
    random = np.random.default_rng(1)
    values = random.integers(0, 256, shape) if kind == "uniform" else random.normal(200, 12, shape)
    return values.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(280, 280), (900, 1200, 3)])
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_pure_noise_is_nothing_to_read(shape, kind):
    with pytest.raises(NoDigitError, match="draw a digit"):
        to_mnist(noise(kind, shape))


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_noise_of_mnists_own_size_is_the_networks_business(kind):
    digit = to_mnist(noise(kind, (28, 28)))
    assert digit.shape == (28, 28) and longest_side(digit) == 20


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    """Half of the file is missing: whoever decodes it finds it damaged."""
    side = int(MAX_PIXELS**0.5) + 2
    file = io.BytesIO()
    Image.effect_noise((side, side), 50).save(file, "PNG", compress_level=0)
    bomb = Image.open(io.BytesIO(file.getvalue()[:1000]))
    with pytest.raises(NoDigitError, match="million pixels"):
        to_mnist(bomb)


def test_a_truncated_file_is_a_damaged_picture():
    file = io.BytesIO()
    draw().save(file, "PNG")
    truncated = Image.open(io.BytesIO(file.getvalue()[: len(file.getvalue()) // 2]))
    with pytest.raises(NoDigitError, match="damaged"):
        to_mnist(truncated)


@given(
    mode=st.sampled_from(
        ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
        + ["LAB", "I", "F", "I;16", "I;16B"]
    ),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 2**32),
    smooth=st.integers(0, 6),
)
@settings(max_examples=300, deadline=None)
def test_any_pixels_of_any_mode_give_a_digit_or_a_sentence(mode, size, seed, smooth):
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8), "RGB")
    image = image.filter(ImageFilter.GaussianBlur(smooth))
    if mode not in ("La", "RGBa", "LAB", "PA", "I;16B"):
        image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    else:
        image = Image.new(mode, size)
    try:
        digit = to_mnist(image)
    except NoDigitError as sentence:
        assert str(sentence).endswith((".", "?"))
        return
    assert digit.shape == (28, 28) and digit.dtype == np.float32
    assert digit.min() >= 0 and digit.max() <= 1 and np.isfinite(digit).all()


@given(
    shape=st.sampled_from(
        [(1, 1), (1, 900), (900, 1), (3, 50), (28, 28), (60, 41, 3), (50, 50, 4)]
    ),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1.0, 0.5]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_arrays_of_odd_shapes_and_values_give_a_digit_or_a_sentence(shape, value, seed):
    random = np.random.default_rng(seed)
    array = np.where(random.random(shape) < 0.1, value, random.random(shape))
    try:
        digit = to_mnist(array)
    except NoDigitError as sentence:
        assert re.search("[Dd]raw|One at a time", str(sentence))
        return
    assert np.isfinite(digit).all() and digit.max() > 0.5


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 2), (2, 4, 4, 3)])
def test_an_array_that_is_no_picture_is_the_callers_mistake(shape):
    with pytest.raises(ValueError, match="shape"):
        to_mnist(np.zeros(shape))


def test_mnists_own_pictures_are_read_as_well_as_before(mnist_test):
    from reading.weights import load_weights
    from training.metrics import evaluate

    images, labels = mnist_test
    model = load_weights(None).model
    again = np.stack([to_mnist(image.numpy()) for image in images[:, 0]])
    assert {longest_side(digit) for digit in again} == {20}
    centers = np.array([center_of_mass(digit) for digit in again])
    assert np.abs(centers - 14).max() <= 0.5
    again = torch.from_numpy((again * 255).round().astype(np.uint8)).unsqueeze(1)
    _, before = evaluate(model, images, labels)
    _, after = evaluate(model, again, labels)
    assert abs(after - before) <= 0.0005
