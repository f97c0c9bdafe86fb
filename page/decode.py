"""Open a stranger's picture, if decoding it costs no more than a picture should.

A file is read once, into memory, and what its own bytes say of the work is counted before Pillow
sees it (`page/format_limits.py`). Pillow then is asked for that one format; formats that nobody
sends, that are decoded in Python or that start a program (EPS) are never asked for.
"""

import io
import os
import re
import stat
from pathlib import Path

# Those that Pillow knows from the start are imported with Image; importing registers the others.
from PIL import AvifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401

from page.format_limits import LIMITS, TooCostlyError
from reading.picture import DAMAGED_MESSAGE, MAX_PIXELS, NoDigitError, check_size

MAX_FILE = 20_000_000  # bytes, as many as may be uploaded
MAX_JPEG_PIXELS = 64_000_000  # a large JPEG is decoded to an eighth of its sides
MAX_PAINTS = 5  # times that a file may paint over its picture: once for each band

TOO_LONG = f"This file is too large: up to {MAX_FILE // 1_000_000} MB are read."
TOO_LARGE = f"This picture has too many pixels: up to {MAX_PIXELS / 1e6:.0f} million are read."
COSTLY = "This picture takes too long to read: save it anew, as PNG or JPEG."

# How a file begins. A picture of several (MPO) begins as a JPEG, and the first of them is read.
SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"II[*+]\0|MM\0\*",
    "AVIF": rb"....ftyp(avif|avis|mif1|msf1)",
    "PPM": rb"P[1-6f]\s",
}


def open_picture(path: str | Path) -> Image.Image:
    """Return the picture in a file, not decoded yet.

    Parameters
    ----------
    path : str or Path
        A regular file; neither a link nor a device nor a pipe is opened.

    Raises
    ------
    NoDigitError
        If it is no picture, or one that would take too much time or memory; the message is fit
        for the page.
    """
    return open_bytes(read_file(path))


def open_bytes(data: bytes) -> Image.Image:
    """Return the picture in a file's bytes; raise what `open_picture` does."""
    kind = kind_of(data)
    if kind is None:
        raise NoDigitError(DAMAGED_MESSAGE)
    try:
        image = Image.open(io.BytesIO(LIMITS[kind](data)), formats=[kind])
    except Image.DecompressionBombError as error:
        raise NoDigitError(TOO_LARGE) from error
    except TooCostlyError as error:
        raise NoDigitError(COSTLY) from error
    except Exception as error:  # Pillow's formats raise whatever a broken file makes them
        raise NoDigitError(DAMAGED_MESSAGE) from error
    if kind != "JPEG" or image.width * image.height > MAX_JPEG_PIXELS:
        check_size(image)
    if painted(image) > MAX_PAINTS * image.width * image.height:
        raise NoDigitError(COSTLY)
    return image


def read_file(path: str | Path) -> bytes:
    """Return a regular file's bytes.

    Raises
    ------
    NoDigitError
        If it is none, or holds more than `MAX_FILE` bytes.
    """
    # A pipe would keep whoever opens it waiting, and Windows has neither flag.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NoDigitError(DAMAGED_MESSAGE)
            data = file.read(MAX_FILE + 1)
    except NoDigitError:
        raise
    except (OSError, ValueError) as error:  # no such file; a name with a zero in it
        raise NoDigitError(DAMAGED_MESSAGE) from error
    if len(data) > MAX_FILE:
        raise NoDigitError(TOO_LONG)
    return data


def kind_of(data: bytes) -> str | None:
    """Return the format that a file begins as, one of `SIGNATURES`, or None."""
    for kind, signature in SIGNATURES.items():
        if re.match(signature, data[:16], re.DOTALL):
            return kind
    return None


def painted(image: Image.Image) -> int:
    """Return how many pixels decoding sets, those that it sets again included."""
    boxes = (tile[1] for tile in image.tile)
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
