"""Which ink is a line of writing, and where it may be cut."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from reading.ink import find_ink
from reading.parts import choose_line, find_parts
from reading.picture import NoDigitError
from reading.segment import find_cuts


def picture(*strokes) -> np.ndarray:
    """Draw strokes, lists of (x, y) in pixels, black on white."""
    image = Image.new("L", (240, 160), 255)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=0, width=8, joint="curve")
    return np.asarray(image)


def ring(x, y, width=25, height=40) -> list[tuple[float, float]]:
    return [(x + width * np.cos(t), y + height * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]


def line_of(*strokes) -> np.ndarray:
    """Return the ink of the line of writing."""
    parts = find_parts(find_ink(picture(*strokes)))
    return parts.crop_to(choose_line(parts))[0]


def pieces(line: np.ndarray, height=80) -> list[int]:
    """Return how many pixels of ink lie between neighbouring cuts that cross none."""
    cuts = find_cuts(line, height, 8)
    before = [line[left].sum() for left in cuts.left[cuts.is_clear()]]
    return np.diff(before).astype(int).tolist()


ONE, OTHER = [(60, 40), (60, 120)], [(160, 40), (160, 120)]


def test_digits_apart_are_cut_between_them_without_loss():
    assert sum(pieces(line_of(ring(60, 80), OTHER))) == (picture(ring(60, 80), OTHER) < 128).sum()
    slanted = [[(x + 40, 40), (x, 120)] for x in (60, 85, 110)]  # no upright cut parts them
    sizes = pieces(line_of(*slanted))
    assert len(sizes) == 3 and max(sizes) < 1.05 * min(sizes)
    rising = [[(x, 110 - x / 2), (x, 150 - x / 2)] for x in (30, 75, 120, 165, 210)]
    assert len(pieces(line_of(*rising), height=40)) == 5


def test_one_digit_is_one_piece():
    assert len(pieces(line_of(ring(80, 60, 18, 18), ring(80, 105, 18, 18)))) == 1  # a broken 8
    assert len(find_cuts(line_of(ring(80, 80, width=18)), 80, 8)) == 2  # its ends


def test_touching_zeros_may_be_cut_where_they_touch():
    line = line_of(ring(60, 80), ring(106, 80))
    assert cv2.connectedComponents((line > 0).view(np.uint8))[0] == 2  # paper, and one part
    left = find_cuts(line, 80, 8).left[1:-1].sum(axis=(1, 2)) / line.size
    assert np.abs(left - 0.5).min() < 8 / line.shape[1]  # a stroke's width


def test_cuts_run_from_left_to_right_and_from_end_to_end():
    line = line_of(ring(60, 80), ring(106, 80), OTHER)
    cuts = find_cuts(line, 80, 8)
    assert not cuts.left[0].any() and not cuts.right[-1].any()
    assert (cuts.left | cuts.right)[:, line > 0].all()  # no ink is lost
    assert (np.diff((line * cuts.left - line * cuts.right).sum(axis=(1, 2))) >= 0).all()
    assert cuts.crossed[0] == cuts.crossed[-1] == 0


@pytest.mark.parametrize(
    "extra",
    [[(200, 118), (203, 118)], [(30, 140), (190, 140)], [(10, 10), (13, 12)]],
    ids=["a point", "an underline", "a touch by accident"],
)
def test_what_is_no_digit_is_left_out_but_a_dash_is_not(extra):
    np.testing.assert_array_equal(line_of(ONE, OTHER, extra), line_of(ONE, OTHER))
    assert line_of(ONE, OTHER, [(95, 80), (125, 80)]).sum() > line_of(ONE, OTHER).sum()


def test_two_lines_of_writing_are_asked_for_one_at_a_time():
    upper = [[(x, 20), (x, 60)] for x in (60, 100)]
    with pytest.raises(NoDigitError, match="two lines"):
        line_of(*upper, *([(x, 90), (x + 10, 135)] for x in (62, 98)))


def test_strokes_that_cross_may_be_cut_out_whole():
    """Where they cross, the ink is both's."""
    strokes = [(60, 40), (110, 120)], [(150, 40), (80, 120)]
    line = line_of(*strokes)
    top, left = np.argwhere(picture(*strokes) < 128).min(axis=0)
    rows, columns = slice(top, top + line.shape[0]), slice(left, left + line.shape[1])
    cuts = find_cuts(line, 80, 8)
    shares = []
    for stroke, sides in zip(strokes, (cuts.left, cuts.right), strict=True):
        own, sides = picture(stroke)[rows, columns] < 128, sides & (line > 0)
        shares.append((sides & own).sum(axis=(1, 2)) / (sides | own).sum(axis=(1, 2)))
    assert np.min(shares, axis=0).max() > 0.9
