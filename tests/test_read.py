"""Numbers are read with the weights that come with the repository."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from written_numbers import Number, draw_number, photograph_number

import reading
from lenet import LeNet
from reading.lattice import find_best
from reading.picture import NoDigitError
from reading.reader import recognize
from reading.signs import describe_doubt
from reading.weights import EMBEDDED_WEIGHTS
from training.pen_curves import smooth

# Pen paths in a box 100 high: strokes parted by "/" of points x,y; a point with "|" is a corner.
PATHS = {
    "0": "35,0 5,20 0,60 30,100 65,70 65,25 35,0",
    "1": "30,0 28,100",
    "2": "5,25 35,0 65,25 5,100| 70,98",
    "3": "5,10 40,0 60,22 28,46 62,72 40,100 0,88",
    "4": "30,0 0,62| 70,60 / 52,35 48,100",
    "5": "8,0 5,42 42,38 62,68 38,100 0,92 / 8,0 60,2",
    "bar apart": "8,16 5,42 42,38 62,68 38,100 0,92 / 24,2 66,0",
    "6": "50,0 12,45 5,80 30,100 58,80 35,58 8,72",
    "7": "0,2 60,0| 25,100",
    "8": "52,12 28,0 8,20 50,70 30,100 5,78 48,25 52,12",
    "9": "55,18 30,0 5,25 25,48 55,20 50,60 40,100",
    "+": "0,60 60,60 / 30,30 30,90",
    ".": "0,96 2,98",
    ",": "6,92 4,102 -2,116",
    ":": "0,35 2,36 / 0,85 2,86",
    "−": "0,52 34,50",
    "=": "0,42 40,42 / 0,62 40,62",
    "/": "45,-8 0,108",
    "*": "0,30 30,60 / 30,30 0,60 / 15,25 15,65",
    "?": "2,18 18,0 44,14 40,34 22,50 20,68 / 20,92 21,94",
    "!": "0,0 0,65 / 0,92 1,94",
    "a": "50,45 15,45 5,75 25,98 52,70| 52,50| 55,90 70,98",
    "round a": "56,52 30,38 6,56 4,84 24,100 46,88 56,60| 57,40| 57,84 66,100 84,94",
}


@pytest.fixture(scope="module")
def model():
    return LeNet.from_pretrained(EMBEDDED_WEIGHTS)


@pytest.fixture
def number_in(model):
    """Return a function that gives the best guess for a picture."""
    return lambda picture: reading.read(picture, model).guesses[0][0]


def strokes_of(path: str) -> list[np.ndarray]:
    strokes = []
    for stroke in path.split("/"):
        points = [[point.strip("|")] * (1 + point.endswith("|")) for point in stroke.split()]
        strokes.append(np.array([point.split(",") for pair in points for point in pair], float))
    return strokes


def write(text: Sequence[str], gap: float = 25) -> Number:
    """Write signs side by side, `gap` hundredths of their height apart."""
    x, signs = 0.0, []
    for sign in text:
        strokes = [smooth(stroke) for stroke in strokes_of(PATHS[sign])]
        points = np.concatenate(strokes)
        signs.append([stroke + [x - points[:, 0].min(), 0] for stroke in strokes])
        x += np.ptp(points[:, 0]) + gap
    return Number("".join(text), "", signs)


def draw(text: Sequence[str], gap: float = 25, seed: int = 0):
    """Return a picture, and the box of each sign in pixels."""
    picture, _, boxes = draw_number(write(text, gap), np.random.default_rng(seed))
    return picture, boxes


@pytest.mark.parametrize(
    "text", ["7", "42", "365", "2026", "75005", "314159", "8675309", "20263071", ["2", "bar apart"]]
)
def test_reads_numbers_of_one_to_eight_digits(model, text):
    found = reading.read(draw(text)[0], model)
    assert found.guesses[0][0] == ("25" if "bar apart" in text else text)
    assert not found.doubt


@pytest.mark.parametrize(
    "lines, words", [(["2026307142"], "more than eight digits"), (["365", "2026"], "two lines")]
)
def test_asks_for_one_number_at_a_time(model, lines, words):
    with pytest.raises(NoDigitError, match=words):
        reading.read(np.vstack([draw(line)[0] for line in lines]), model)


def test_reads_zeros_that_touch_and_photographs(number_in):
    numbers = [number_in(draw("00", gap=0, seed=seed)[0]) for seed in range(6)]
    assert numbers.count("00") >= 4
    photos = [photograph_number(write("75013"), np.random.default_rng(seed)) for seed in range(4)]
    assert list(map(number_in, photos)).count("75013") >= 3


def test_a_single_digit_is_read_as_it_is_alone(model):
    for digit in "0123456789":
        picture, _ = draw(digit)
        found = reading.read(picture, model)
        (number, probability), (own,) = found.guesses[0], found.digits
        assert own.probabilities[digit] == pytest.approx(recognize(picture, model)[digit], abs=0.1)
        assert own.probabilities[number] == pytest.approx(probability, rel=1e-9)
    again = reading.read(found.digits[0].digit, model)  # a picture of MNIST's own size
    assert again.guesses[0][0] == "9" and again.digits[0].box == (0, 0, 1, 1)


def test_what_a_reading_holds(model):
    picture, boxes = draw("365")
    found = reading.read(picture, model)
    assert len(found.guesses) == 3 and len({number for number, _ in found.guesses}) == 3
    probabilities = [probability for _, probability in found.guesses]
    assert probabilities == sorted(probabilities, reverse=True) and 0.5 < sum(probabilities) <= 1
    assert "".join(max(d.probabilities, key=d.probabilities.get) for d in found.digits) == "365"
    for digit, box in zip(found.digits, boxes, strict=True):
        assert digit.digit.shape == (28, 28) and digit.digit.dtype == np.float32
        assert sum(digit.probabilities.values()) == pytest.approx(1)
        assert digit.layers[-1].shape == (10,)
        np.testing.assert_allclose(digit.box * np.tile(picture.shape[::-1], 2), box, atol=4)


@pytest.mark.parametrize("seed", range(20))
def test_any_scribble_gives_a_reading_or_a_sentence(model, seed):
    random = np.random.default_rng(seed)
    picture = np.full((120, 300), 255, np.uint8)
    for _ in range(random.integers(1, 8)):
        points = random.random((random.integers(2, 9), 2)) * [300, random.integers(3, 120)]
        cv2.polylines(picture, [points.astype(np.int32)], False, 0, int(random.integers(1, 9)))
    try:
        found = reading.read(picture, model)
    except NoDigitError as sentence:
        assert str(sentence).endswith((".", "?"))
        return
    assert 1 <= len(found.digits) == len(found.guesses[0][0]) <= 8
    assert 0 < sum(probability for _, probability in found.guesses) <= 1 + 1e-9


@pytest.mark.parametrize(
    "text, read",
    [
        ("3.14", "3 ? 14"), ("12,50", "12 ? 50"), ("10:30", "10 ? 30"), ("−7", "? 7"),
        ("24/7", "24 ? 7"), ("?", "?"), ("3+4", "3 ? 4"), ("5−2", "5 ? 2"), ("1/2", "1 ? 2"),
        ("7?", "7 ?"), ("8=8", "8 ? 8"), ("6!", "6 ?"), ("0,99", "0 ? 99"), ("2*3", "2 ? 3"),
        ("12+7", "12 ? 7"), ("7a", "7 ?"),
    ],
)  # fmt: skip
def test_a_sign_among_digits_keeps_its_place(model, text, read):
    found = reading.read(draw(text)[0], model)
    assert found.text == read and found.doubt == describe_doubt(read)


def test_the_words_of_doubt(model):
    assert describe_doubt("42") == ""
    assert describe_doubt("?") == "This may not be a digit."
    assert describe_doubt("7 ?") == "I read 7. The mark after it isn't a digit."
    assert describe_doubt("? 8") == "I read 8. The mark before it isn't a digit."
    assert describe_doubt("3 ? 2 ?") == "I read 3 and 2. The other marks aren't digits."
    assert describe_doubt("1 ? 24") == "I read 1 and 24. The mark between them isn't a digit."
    assert not reading.read(draw("88", gap=-2)[0], model).doubt  # that surely touch


def test_the_best_numbers_are_the_likeliest_of_all_paths():
    """Against every path through a small graph, one by one. No path comes to its second cut."""
    edges = np.array([pair for pair in combinations(range(5), 2) if pair != (0, 1)])
    scores = np.random.default_rng(0).normal(0, 2, (len(edges), 10))
    scores[:, 3:] = -30  # so that the beam holds all that counts
    sums = {}

    def walk(cut, number, total):
        if cut == 4:
            sums[number] = np.logaddexp(sums.get(number, -np.inf), total)
        for edge in np.flatnonzero(edges[:, 0] == cut):
            for digit in range(3):
                walk(edges[edge, 1], number + str(digit), total + scores[edge, digit])

    walk(0, "", 0.0)
    total = np.logaddexp.reduce(list(sums.values()))
    guesses = find_best(edges, scores, 3)
    assert [guess.number for guess in guesses] == sorted(sums, key=sums.get, reverse=True)[:3]
    for guess in guesses:
        assert guess.probability == pytest.approx(np.exp(sums[guess.number] - total), rel=1e-6)
        assert edges[list(guess.path)][:, 0].tolist() == [0, *edges[list(guess.path)][:-1, 1]]


def test_probabilities_hold_what_they_promise(model):
    random = np.random.default_rng(1)
    texts = ["".join(random.choice(list("0123456789"), 3)) for _ in range(25)]
    guesses = [reading.read(draw(t, seed=k)[0], model).guesses[0] for k, t in enumerate(texts)]
    right = np.mean([guess == text for (guess, _), text in zip(guesses, texts, strict=True)])
    assert right > 0.9 and abs(np.mean([share for _, share in guesses]) - right) < 0.12


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_read_by_its_path(model, number_in, kind, tmp_path):
    Image.fromarray(draw("7")[0]).save(tmp_path / "seven.png")
    assert number_in(kind(tmp_path / "seven.png")) == "7"
    probabilities = recognize(kind(tmp_path / "seven.png"), model)
    assert max(probabilities, key=probabilities.get) == "7"


@pytest.mark.parametrize("picture", [None, 7, b"seven.png", [[0, 1]]])
def test_what_is_no_picture_is_named(model, picture):
    with pytest.raises(TypeError, match="a file's path, a PIL image or an array, not"):
        recognize(picture, model)
