"""Decode an uploaded picture with OpenCV, after checks that this takes little time and memory.

Pillow isn't used: for some TIFFs, Pillow 12.3 returns freed memory, such as another visitor's
picture. OpenCV 5.0 does so for animated PNGs, so `still_png` drops the animation. OpenCV compares
the size in a file's header with `OPENCV_IO_MAX_IMAGE_PIXELS`, which app.py sets for the workers.
"""

import os
import re
import stat
import struct
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from reading.picture import DAMAGED_MESSAGE, MAX_PIXELS, MAX_SIDE, NoDigitError, shrink, stretch

MAX_FILE = 20_000_000  # bytes
MAX_JPEG_PIXELS = 64_000_000  # more than elsewhere: a large JPEG is decoded at 1/8 of its size
MAX_JPEG_SCANS = 100  # the limit that libjpeg-turbo's own programs advise; cameras write 10
MAX_JPEG_WORK = 1_000_000_000  # pixels × colors, summed over the scans: about a second
MAX_PARTS = 50_000  # segments of a JPEG, chunks of a PNG, values of a TIFF tag

OTHER_KIND = "I can read PNG, JPEG, WebP, GIF, BMP, AVIF, PPM and TIFF pictures."
FILE_TOO_LARGE = f"This file is too large. The limit is {MAX_FILE // 1_000_000} MB."
TOO_LARGE = f"This picture has too many pixels. The limit is {MAX_PIXELS // 1_000_000} million, "
TOO_LARGE += f"or {MAX_JPEG_PIXELS // 1_000_000} million in a JPEG."
COSTLY = "This picture takes too long to read. Please save it again as PNG or JPEG."

# A file's first bytes. MPO, a series of JPEGs, begins like a JPEG; its first picture is read.
SIGNATURES = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*",
    "AVIF": rb"....ftyp(avif|avis|mif1|msf1)",
    "PPM": rb"P[1-6]\s",
}


def open_picture(path: str | Path) -> np.ndarray:
    """Return the first picture in a file, upright.

    Parameters
    ----------
    path : str or Path, a regular file; links, devices and pipes are refused

    Returns
    -------
    pixels : uint8 ndarray of shape (H, W), (H, W, 3) or (H, W, 4), gray, RGB or RGBA
        A large picture is shrunk until its longer side has `MAX_SIDE` / 2 to `MAX_SIDE` pixels.

    Raises
    ------
    NoDigitError
        If the file is no picture, or takes too much time or memory. The page shows the message.
    """
    return decode(read_file(path))


def read_file(path: str | Path) -> bytes:
    """Return a regular file's bytes, at most `MAX_FILE`; raise NoDigitError otherwise."""
    # O_NONBLOCK: opening a pipe would wait for its writer. Windows has only the first two flags.
    names = ("O_RDONLY", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK")
    flags = sum(getattr(os, name, 0) for name in names)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NoDigitError(DAMAGED_MESSAGE)
            data = file.read(MAX_FILE + 1)
    except NoDigitError:
        raise
    except (OSError, ValueError) as error:  # ValueError: the name holds a null character
        raise NoDigitError(DAMAGED_MESSAGE) from error
    if len(data) > MAX_FILE:
        raise NoDigitError(FILE_TOO_LARGE)
    return data


def decode(data: bytes) -> np.ndarray:
    """Decode a file's bytes; returns and raises like `open_picture`."""
    kind = kind_of(data)
    if kind is None:
        raise NoDigitError(OTHER_KIND)
    flags = cv2.IMREAD_UNCHANGED
    try:
        if kind == "JPEG":
            flags = flags_for_jpeg(*measure_jpeg(data))
        elif kind == "PNG":
            data = still_png(data)
        elif kind == "TIFF":
            check_tiff(data)
        pixels, kinds, found = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags)
        if pixels is None:
            raise NoDigitError(DAMAGED_MESSAGE)
        pixels = shrink(pixels) if pixels.dtype == np.uint8 else stretch(pixels)
        if pixels.ndim == 3:
            has_alpha = pixels.shape[2] == 4
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if has_alpha else cv2.COLOR_BGR2RGB)
        exif = dict(zip(kinds, found, strict=True)).get(cv2.IMAGE_METADATA_EXIF, np.empty(0))
        pixels = turn_avif(pixels, data) if kind == "AVIF" else turn(pixels, exif.tobytes())
        return np.ascontiguousarray(pixels)
    except NoDigitError:
        raise
    except Exception as error:  # OpenCV raises errors of many kinds on broken files
        too_large = "CV_IO_MAX_IMAGE" in str(error)
        raise NoDigitError(TOO_LARGE if too_large else DAMAGED_MESSAGE) from error


def kind_of(data: bytes) -> str | None:
    """Return a file's format by its first bytes, a key of `SIGNATURES`, or None."""
    for kind, signature in SIGNATURES.items():
        if re.match(signature, data[:16], re.DOTALL):
            return kind
    return None


def limit(count: int, most: int) -> None:
    if count > most:
        raise NoDigitError(COSTLY)


# JPEG

MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # except those within a scan
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END = 0xDA, 0xD9
WITHOUT_LENGTH = {0x01, 0xD8, END}


def flags_for_jpeg(width: int, height: int) -> int:
    """Return OpenCV's flags to decode a JPEG, at a fraction of its size if it is large."""
    if width * height > MAX_JPEG_PIXELS:
        raise NoDigitError(TOO_LARGE)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION
    for factor in (8, 4, 2):
        if factor * MAX_SIDE <= 2 * max(width, height):
            return flags | getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{factor}")
    return flags


def measure_jpeg(data: bytes) -> tuple[int, int]:
    """Return a JPEG's width and height; refuse one that takes too long to decode."""
    place, segments, scans, passes, size = 2, 0, 0, 0, (0, 0)
    while found := MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == END and scans:
            break  # a second picture or a film may follow, but isn't read
        segments += 1
        limit(segments, MAX_PARTS)
        if marker in WITHOUT_LENGTH:
            continue
        length = max(2, int.from_bytes(data[place : place + 2], "big"))
        body = data[place + 2 : place + length]
        place += length
        if marker in START_OF_FRAME and len(body) >= 5:
            height, width = struct.unpack_from(">HH", body, 1)
            size = max(size, (width, height), key=lambda sides: sides[0] * sides[1])
        elif marker == START_OF_SCAN and body:
            scans, passes = scans + 1, passes + body[0]
            limit(scans, MAX_JPEG_SCANS)
            # The file's size limits a single scan's time, and `flags_for_jpeg` limits its pixels.
            limit(passes * size[0] * size[1] if scans > 1 else 0, MAX_JPEG_WORK)
    return size


# PNG and TIFF

STILL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}


def still_png(data: bytes) -> bytes:
    """Keep only the chunks of a PNG that its pixels and orientation need, each but IDAT once.

    Texts and profiles can unpack to a thousand times their size. An animation's chunks make OpenCV
    return memory that it hasn't written to, and a chunk that is cut off makes it take gigabytes.
    """
    place, chunks, wanted, kept = 8, 0, set(STILL_CHUNKS), [data[:8]]
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = data[place : place + 12 + length]
        chunks += 1
        limit(chunks, MAX_PARTS)
        if kind in wanted and len(chunk) == 12 + length:
            kept.append(chunk)
            wanted -= {kind} - {b"IDAT"}
        if kind == b"IEND":
            break
        place += 12 + length
    return b"".join(kept)


# Bytes of a value by TIFF's number of its type; all other types have 8.
VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 11: 4, 13: 4}


def check_tiff(data: bytes) -> None:
    """Refuse a TIFF with too many values in its first page's tags, or a progressive JPEG in it."""
    # libtiff copies each tag's values. They exceed the file's size only if tags share bytes.
    tags = read_tags(data)
    limit(sum(VALUE_SIZES.get(kind, 8) * values for kind, values, _ in tags.values()), len(data))
    limit(max(values for kind, values, _ in tags.values() if VALUE_SIZES.get(kind) != 1), MAX_PARTS)
    if 259 in tags and tags[259][2] in (6, 7) and re.search(rb"\xff[\xc2\xca]", data):
        raise NoDigitError(COSTLY)  # may have a hundred scans, and isn't in TIFF's specification


def read_tags(data: bytes) -> dict[int, tuple[int, int, int]]:
    """Return the first page's tags of a TIFF or Exif data: (type, number of values, first one)."""
    order = ">" if data[:2] == b"MM" else "<"
    (place,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, place)
    tags = {}
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        number, kind, values = struct.unpack_from(order + "HHI", data, entry)
        value = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
        tags.setdefault(number, (kind, values, *value))
    return tags


def turn(pixels: np.ndarray, exif: bytes) -> np.ndarray:
    """Turn a picture upright by its Exif data: tag 274 is the orientation, 1 to 8."""
    way = 1
    with suppress(struct.error, KeyError):
        way = read_tags(exif)[274][2]
    if 5 <= way <= 8:
        pixels = pixels.swapaxes(0, 1)
    if way in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if way in (3, 4, 7, 8) else pixels


def turn_avif(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """Turn an AVIF's picture upright by its boxes irot and imir, which OpenCV ignores."""
    if turned := re.search(rb"\0\0\0\x09irot([\0-\3])", data):
        pixels = np.rot90(pixels, turned[1][0])
    if mirrored := re.search(rb"\0\0\0\x09imir([\0\1])", data):
        pixels = np.flip(pixels, mirrored[1][0])
    return pixels
