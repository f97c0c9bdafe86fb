"""What the page asks of the worker, checked without PyTorch, and what both know of the pad."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from page.uploads import resolve_upload

PAD_SIZE = 640, 480  # pixels that are drawn on; a phone shows them smaller
BRUSH_RADIUS = 8  # of these
INVITATION = "Draw a digit, or a number of up to eight digits, any size."

MAX_NUMBERS = 8000  # of all points, x and y: the gate lets no more through
# Pixels: what lies outside the pad is not seen, but its line may cross it.
Coordinate = Annotated[int, Field(gt=-10_000, lt=10_000)]
Stroke = Annotated[list[Coordinate], Field(min_length=2)]


class Question(BaseModel, strict=True):
    """What page/pen.js asks: about strokes, each [x, y, x, y, …] in pixels, or an upload."""

    strokes: Annotated[list[Stroke], Field(max_length=500)] | None = None
    picture: Any = None
    digit: Annotated[int, Field(ge=0, lt=100)] | None = None  # to be explained, counted from 0

    @field_validator("strokes")
    @classmethod
    def check_strokes(cls, strokes):
        """Refuse half points, and too many."""
        counts = [len(stroke) for stroke in strokes or ()]
        if sum(counts) > MAX_NUMBERS or any(count % 2 for count in counts):
            raise ValueError
        return strokes


def check_question(question, folder: str | Path) -> tuple:
    """Return what the worker is to be asked, for a question of the page's.

    Parameters
    ----------
    question
        What was sent.
    folder : str or Path
        That of the uploads.

    Raises
    ------
    ValueError
        If it is no `Question`, or names no upload.
    """
    asked = Question.model_validate(question)
    if asked.strokes is not None:
        return "strokes", asked.strokes, asked.digit
    return "upload", str(resolve_upload(asked.picture, folder)), asked.digit


def with_article(number: str) -> str:
    """Return "a 7", but "an 8", and "42"."""
    return number if len(number) > 1 else f"an {number}" if number == "8" else f"a {number}"
