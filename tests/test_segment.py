"""Which ink is a line of writing, and where it may be cut."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from reading.ink import find_ink
from reading.parts import choose_line, find_parts
from reading.picture import NoDigitError
from reading.segment import find_cuts

SIZE = (240, 160)  # width and height, pixels


def picture(*strokes, width=8) -> np.ndarray:
    """Draw strokes, lists of (x, y) in pixels, black on white."""
    image = Image.new("L", SIZE, 255)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, fill=0, width=width, joint="curve")
    return np.asarray(image)


def ring(x, y, width=25, height=40) -> list[tuple[float, float]]:
    return [(x + width * np.cos(t), y + height * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]


def line_of(gray: np.ndarray) -> np.ndarray:
    """Return the ink of the line of writing."""
    parts = find_parts(find_ink(gray))
    return parts.crop_to(choose_line(parts))[0]


def pieces(line: np.ndarray, height=80, stroke=8) -> list[int]:
    """Return how many pixels of ink lie between neighbouring cuts that cross none."""
    cuts = find_cuts(line, height, stroke)
    before = [line[left].sum() for left in cuts.left[cuts.is_clear()]]
    return np.diff(before).astype(int).tolist()


ONE, OTHER = [(60, 40), (60, 120)], [(160, 40), (160, 120)]


def test_digits_apart_are_cut_without_loss():
    left, right = pieces(line_of(picture(ring(60, 80), OTHER)))
    assert left + right == (picture(ring(60, 80), OTHER) < 128).sum()


def test_slanted_digits_that_reach_over_one_another_are_cut_between_them():
    strokes = [[(x + 40, 40), (x, 120)] for x in (60, 85, 110)]  # no upright cut parts them
    sizes = pieces(line_of(picture(*strokes)))
    assert len(sizes) == 3 and max(sizes) < 1.05 * min(sizes)


def test_a_broken_eight_is_one_piece():
    assert len(pieces(line_of(picture(ring(80, 60, 18, 18), ring(80, 105, 18, 18))))) == 1


def test_one_narrow_part_is_not_cut():
    assert len(find_cuts(line_of(picture(ring(80, 80, width=18))), 80, 8)) == 2  # its ends


def test_touching_zeros_may_be_cut_where_they_touch():
    line = line_of(picture(ring(60, 80), ring(106, 80)))
    assert cv2.connectedComponents((line > 0).view(np.uint8))[0] == 2  # paper, and one part
    cuts = find_cuts(line, 80, 8)
    left = cuts.left[1:-1].sum(axis=(1, 2)) / line.size
    assert np.abs(left - 0.5).min() < 8 / line.shape[1]  # a stroke's width


def test_cuts_run_from_left_to_right_and_from_end_to_end():
    line = line_of(picture(ring(60, 80), ring(106, 80), OTHER))
    cuts = find_cuts(line, 80, 8)
    assert not cuts.left[0].any() and not cuts.right[-1].any()
    assert (cuts.left | cuts.right)[:, line > 0].all()  # no ink is lost
    ink = [
        line[left].sum() - line[right].sum()
        for left, right in zip(cuts.left, cuts.right, strict=True)
    ]
    assert (np.diff(ink) >= 0).all() and cuts.crossed[0] == cuts.crossed[-1] == 0


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param([(200, 118), (203, 118)], id="a point"),
        pytest.param([(30, 140), (190, 140)], id="an underline"),
        pytest.param([(10, 10), (13, 12)], id="a touch by accident"),
    ],
)
def test_what_is_no_digit_is_left_out(extra):
    np.testing.assert_array_equal(line_of(picture(ONE, OTHER, extra)), line_of(picture(ONE, OTHER)))


def test_a_dash_between_digits_is_not():
    dash = [(95, 80), (125, 80)]
    assert line_of(picture(ONE, OTHER, dash)).sum() > line_of(picture(ONE, OTHER)).sum()


def test_two_lines_of_writing_are_asked_for_one_at_a_time():
    upper = [[(x, 20), (x, 60)] for x in (60, 100)]
    lower = [[(x, 90), (x + 10, 135)] for x in (62, 98)]
    with pytest.raises(NoDigitError, match="two lines"):
        line_of(picture(*upper, *lower))


def test_a_line_may_slope():
    rising = [[(x, 110 - x / 2), (x, 150 - x / 2)] for x in (30, 75, 120, 165, 210)]
    assert len(pieces(line_of(picture(*rising)), height=40)) == 5


def test_strokes_that_cross_may_be_cut_out_whole():
    """Where they cross, the ink is both's."""
    gray = [picture(stroke) for stroke in ([(60, 40), (110, 120)], [(150, 40), (80, 120)])]
    line = line_of(np.minimum(*gray))
    top, left = np.argwhere(np.minimum(*gray) < 128).min(axis=0)
    strokes = [one[top:, left:][: line.shape[0], : line.shape[1]] < 128 for one in gray]
    cuts = find_cuts(line, 80, 8)
    shares = [
        [
            (own & stroke).sum() / (own | stroke).sum()
            for stroke, own in zip(strokes, sides, strict=True)
        ]
        for sides in zip(cuts.left & (line > 0), cuts.right & (line > 0), strict=True)
    ]
    assert np.min(shares, axis=1).max() > 0.9
