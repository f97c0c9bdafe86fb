"""What the page asks of the worker, checked.

It runs in the page's own process, so it needs neither PyTorch nor OpenCV.
"""

from pathlib import Path

from page.uploads import resolve_upload

PAD_SIZE = 640, 480  # pixels that are drawn on; a phone shows them smaller
BRUSH_RADIUS = 8  # of these

MAX_STROKES = 500  # of a drawing
MAX_NUMBERS = 8000  # of all points, x and y: the gate lets no more through
MAX_COORDINATE = 10_000  # pixels: what lies outside the pad is not seen, but its line may cross it

INVITATION = "Draw a digit, or a number of up to eight, as large as you like."


class WrongQuestionError(ValueError):
    """A question is not one that the page asks."""


def check_question(question, folder: str | Path) -> tuple:
    """Return what the worker is to be asked, for a question of the page's.

    Parameters
    ----------
    question
        What was sent: {"strokes": …} as `check_strokes` takes them, or {"picture": …} as
        `page.uploads.resolve_upload` takes it; "digit" says which digit of the number is to be
        explained, counted from 0; without it, none is.
    folder : str or Path
        That of the uploads.

    Raises
    ------
    WrongQuestionError, NotUploadedError
        If it is anything else.
    """
    if not isinstance(question, dict):
        raise WrongQuestionError
    digit = question.get("digit")
    if digit is not None and (type(digit) is not int or not 0 <= digit < 100):
        raise WrongQuestionError
    if "strokes" in question:
        return "strokes", check_strokes(question["strokes"]), digit
    return "upload", str(resolve_upload(question.get("picture"), folder)), digit


def check_strokes(strokes) -> list[list[int]]:
    """Return strokes, each [x, y, x, y, …] in pixels of the pad, or raise WrongQuestionError."""
    if not isinstance(strokes, list) or len(strokes) > MAX_STROKES:
        raise WrongQuestionError
    numbers = 0
    for stroke in strokes:
        if not isinstance(stroke, list) or len(stroke) < 2 or len(stroke) % 2:
            raise WrongQuestionError
        if not all(type(n) is int and -MAX_COORDINATE < n < MAX_COORDINATE for n in stroke):
            raise WrongQuestionError
        numbers += len(stroke)
    if numbers > MAX_NUMBERS:
        raise WrongQuestionError
    return strokes


def with_article(number: str) -> str:
    """Return "a 7", but "an 8", and "42"."""
    return number if len(number) > 1 else f"an {number}" if number == "8" else f"a {number}"
