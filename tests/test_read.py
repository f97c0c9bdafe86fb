"""Numbers are read with the weights that come with the repository."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from written_numbers import Number, draw_number, photograph_number

import reading
from reading.picture import NoDigitError
from reading.reader import recognize
from training.pen_curves import smooth

HERE = Path(__file__).parent
# Characters and their paths in a box 100 high. "/" separates strokes; a repeated point is a corner.
PATHS = dict(line.split(maxsplit=1) for line in (HERE / "pen_paths.txt").open())


def write(text: str, gap: float = 25) -> Number:
    """Write signs side by side, `gap` hundredths of their height apart."""
    x, signs = 0.0, []
    for sign in text:
        paths = [[point.split(",") for point in path.split()] for path in PATHS[sign].split("/")]
        strokes = [smooth(np.array(path, float)) for path in paths]
        points = np.concatenate(strokes)
        signs.append([stroke + [x - points[:, 0].min(), 0] for stroke in strokes])
        x += np.ptp(points[:, 0]) + gap
    return Number(text, "", signs)


def draw(text: str, gap: float = 25, seed: int = 0):
    """Return a picture, and the box of each sign in pixels."""
    picture, _, boxes = draw_number(write(text, gap), np.random.default_rng(seed))
    return picture, boxes


@pytest.mark.parametrize(
    "text", ["7", "42", "365", "2026", "75005", "314159", "8675309", "20263071"]
)
def test_reads_numbers_of_one_to_eight_digits(model, text):
    found = reading.read(draw(text)[0], model)
    assert found.guesses[0][0] == text and not found.doubt


@pytest.mark.parametrize(
    "lines, words", [(["2026307142"], "more than eight digits"), (["365", "2026"], "two lines")]
)
def test_asks_for_one_number_at_a_time(model, lines, words):
    with pytest.raises(NoDigitError, match=words):
        reading.read(np.vstack([draw(line)[0] for line in lines]), model)


def test_reads_digits_that_touch_and_photographs(model):
    touching = [draw("00", gap=0, seed=seed)[0] for seed in range(6)]
    assert [reading.read(p, model).text for p in touching].count("00") >= 4
    photos = [photograph_number(write("75013"), np.random.default_rng(seed)) for seed in range(4)]
    assert [reading.read(p, model).text for p in photos].count("75013") >= 3


def test_an_underline_and_a_stray_dot_are_left_out(model):
    picture, boxes = draw("42")
    left, _, right, bottom = np.array(boxes, int).T
    cv2.line(picture, (left.min(), bottom.max() + 20), (right.max(), bottom.max() + 20), 0, 6)
    picture = np.pad(picture, 60, constant_values=255)
    cv2.line(picture, (10, 10), (14, 12), 0, 6)
    found = reading.read(picture, model)
    assert found.text == "42" and not found.doubt


def test_what_a_reading_holds(model):
    picture, boxes = draw("365")
    found = reading.read(picture, model)
    numbers, probabilities = zip(*found.guesses, strict=True)
    assert len(set(numbers)) == 3 and numbers[0] == "365"
    assert sorted(probabilities, reverse=True) == [*probabilities] and 0.5 < sum(probabilities) <= 1
    for digit, name, box in zip(found.digits, "365", boxes, strict=True):
        assert max(digit.probabilities, key=digit.probabilities.get) == name
        assert sum(digit.probabilities.values()) == pytest.approx(1)
        assert digit.digit.shape == (28, 28) and digit.layers[-1].shape == (10,)
        np.testing.assert_allclose(digit.box * np.tile(picture.shape[::-1], 2), box, atol=4)


@pytest.mark.parametrize(
    "text, read, words",
    [
        ("3.14", "3 ? 14", "I read 3 and 14. The mark between them isn't a digit."),
        ("−7", "? 7", "I read 7. The mark before it isn't a digit."),
        ("7?", "7 ?", "I read 7. The mark after it isn't a digit."),
        ("3+2−", "3 ? 2 ?", "I read 3 and 2. The other marks aren't digits."),
        ("?", "?", "This may not be a digit."),
        *((text, text.replace(text[1], " ? "), "between") for text in ("3+4", "5−2", "1/2")),
        *((f"12{sign}50", "12 ? 50", "between") for sign in ",/"),
        ("7a", "7 ?", "after"),
    ],
)
def test_a_sign_among_digits_keeps_its_place(model, text, read, words):
    found = reading.read(draw(text)[0], model)
    assert found.text == read and words in found.doubt


@pytest.mark.parametrize("text", (HERE / "no_numbers.txt").read_text().split())
def test_what_is_no_number_is_doubted(model, text):
    assert reading.read(draw(text)[0], model).doubt


def test_probabilities_are_calibrated(model):
    random = np.random.default_rng(1)
    texts = ["".join(random.choice(list("0123456789"), 3)) for _ in range(25)]
    guesses = [reading.read(draw(t, seed=k)[0], model).guesses[0] for k, t in enumerate(texts)]
    right = np.mean([guess == text for (guess, _), text in zip(guesses, texts, strict=True)])
    assert right > 0.9 and abs(np.mean([share for _, share in guesses]) - right) < 0.12


def test_a_file_is_read_by_its_path(model, tmp_path):
    Image.fromarray(draw("7")[0]).save(tmp_path / "seven.png")
    for path in (tmp_path / "seven.png", str(tmp_path / "seven.png")):
        assert reading.read(path, model).text == "7" and recognize(path, model)["7"] > 0.5
