"""Check the requests of page/pen.js. The page's process imports this, so it needs no PyTorch."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from page.uploads import resolve_upload

PAD_SIZE = 640, 480  # width and height of a drawing, pixels; a phone shows it smaller
BRUSH_RADIUS = 8  # pixels of a drawing
INVITATION = "Draw a digit, or a number of up to eight digits, any size."

MAX_COORDINATES = 8000  # x and y of all points; the gate refuses bodies with many more values
# Pixels. A point may lie outside the pad, since the line to it can cross the pad.
Coordinate = Annotated[int, Field(gt=-10_000, lt=10_000)]
Stroke = Annotated[list[Coordinate], Field(min_length=2)]


class ReadRequest(BaseModel, strict=True):
    """A request to read strokes, each [x, y, x, y, …] in pixels of the pad, or an upload."""

    strokes: Annotated[list[Stroke], Field(max_length=500)] | None = None
    picture: Any = None
    digit: Annotated[int, Field(ge=0, lt=100)] | None = None  # which to explain, from 0 on

    @field_validator("strokes")
    @classmethod
    def check_strokes(cls, strokes):
        """Refuse a stroke with half a point, and too many points."""
        counts = [len(stroke) for stroke in strokes or ()]
        if sum(counts) > MAX_COORDINATES or any(count % 2 for count in counts):
            raise ValueError
        return strokes


def check_request(sent, folder: str | Path) -> tuple:
    """Return the arguments of `WorkerPool.ask` for a request; raise ValueError if it is invalid.

    Parameters
    ----------
    sent : JSON value, the argument that a client sent
    folder : str or Path, where Gradio keeps uploads

    Returns
    -------
    arguments : ("strokes", list of strokes, digit) or ("upload", path, digit)
    """
    asked = ReadRequest.model_validate(sent)
    if asked.strokes is not None:
        return "strokes", asked.strokes, asked.digit
    return "upload", str(resolve_upload(asked.picture, folder)), asked.digit


def with_article(number: str) -> str:
    """Return a number as a sentence needs it: "a 7", "an 8", "42"."""
    return number if len(number) > 1 else f"an {number}" if number == "8" else f"a {number}"
