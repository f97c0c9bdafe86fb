"""What a file may cost and show: attacks are refused, people's pictures are read."""

import os
import struct
import zlib

import numpy as np
import pytest
from attacks import chunk, claim, claims, encode, jpeg_of_scans
from freed_memory import pictures
from PIL import Image, ImageDraw, PngImagePlugin

from page import decode
from page.decode import COSTLY, FILE_TOO_LARGE, OTHER_KIND, SIGNATURES, TOO_LARGE, open_picture
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE
from reading.preprocess import NoDigitError, to_mnist

SEVEN = Image.new("L", (280, 280), 255)
ImageDraw.Draw(SEVEN).line([(70, 56), (210, 56), (112, 238)], fill=0, width=23, joint="curve")
RIGHT = to_mnist(SEVEN)
COLOR, GRAY = SEVEN.convert("RGB"), np.asarray(SEVEN, np.float32)
INK = Image.merge("LA", (Image.new("L", SEVEN.size, 0), Image.eval(SEVEN, lambda gray: 255 - gray)))
RNG = np.random.default_rng(0)


def png(size: tuple[int, int], *chunks: bytes) -> bytes:
    """Return a PNG that claims that size, whatever is in it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND")


def answer(content: bytes) -> str:
    """Return "7", or why there is none."""
    try:
        digit = to_mnist(decode.decode(content))
    except NoDigitError as refused:
        return str(refused)
    return "7" if np.abs(digit - RIGHT).mean() < 0.02 else "other"


JPEG, PNG = encode("JPEG", SEVEN), encode("PNG", SEVEN)


def readable() -> dict[str, bytes]:
    """Return what people have: every kind of file, and of pixels."""
    (bomb := PngImagePlugin.PngInfo()).add_text("bomb", "x" * 20_000_000, zip=True)
    more = {"lossless": True, "save_all": True, "append_images": [SEVEN.rotate(90)] * 20}
    return {
        **{kind: encode(kind, COLOR, lossless=True) for kind in (*SIGNATURES, "MPO")},
        "18 million pixels": encode("JPEG", SEVEN.resize((4250, 4250)), progressive=True),
        "progressive CMYK": encode("JPEG", SEVEN.convert("CMYK"), progressive=True),
        "Exif junk": encode("JPEG", SEVEN, exif=b"Exif\0\0" + b"junk" * 50),
        "a film behind it": JPEG + bytes(1_000_000),
        "16 million pixels": encode("PNG", SEVEN.resize((4000, 4000)), compress_level=1),
        "text that unpacks to 20 MB": encode("PNG", SEVEN, pnginfo=bomb),
        "one bit": encode("PNG", SEVEN.convert("1")),
        "palette": encode("PNG", SEVEN.convert("P")),
        "16 bits": encode("PNG", Image.fromarray(np.uint16(GRAY * 257))),
        "32 bits": encode("TIFF", Image.fromarray(np.int32(GRAY * 257))),
        "floats": encode("TIFF", Image.fromarray(GRAY / 255)),
        **{f"frames, {k}": encode(k, SEVEN, **more) for k in ("PNG", "GIF", "TIFF", "WEBP")},
    }


def refused() -> dict[str, list[bytes]]:
    """Return what is not read, for each sentence."""
    sof = JPEG.index(b"\xff\xc0") + 5  # where a JPEG says its height and width
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    heads = b"\xff\xd8\xff GIF89a BM II*\0 P5\t9 RIFF\0\0\0\0WEBP \0\0\0\0ftypavif".split(b" ")
    return {
        OTHER_KIND: [
            *b"|text|<svg/>|<!doctype html>|%PDF-1.7|#?RADIANCE\n|Pf 9 9 1\n".split(b"|"),
            bytes(5000), zlib.compress(bytes(10**7), 9, 31),
            *(encode(kind, COLOR) for kind in ("ICO", "TGA", "DDS", "EPS")),
        ],
        DAMAGED_MESSAGE: [
            *heads, b"\x89PNG\r\n\x1a\n", PNG[: len(PNG) // 3], JPEG[: len(JPEG) // 3],
            *(encode(kind, SEVEN)[:300] for kind in ("GIF", "WEBP", "TIFF", "BMP")),
            png((99, 99)), png((99, 99), pixels), png((0, 0), pixels), claim(JPEG, sof, bytes(4)),
        ],
        COSTLY: [
            jpeg_of_scans(101, side=64), jpeg_of_scans(17), JPEG[:2] + b"\xff\xfe\0\2" * 50_001,
        ],
        TOO_LARGE: [
            encode("PNG", (6000, 5000), "1"), claim(JPEG, sof, struct.pack(">HH", 8000, 8001)),
            png((60_000, 60_000), pixels), claim(JPEG, sof, struct.pack(">HH", 65_500, 65_500)),
            claim(encode("BMP", SEVEN), 18, struct.pack("<ii", 60_000, 60_000)),
            claim(encode("WEBP", SEVEN), 26, struct.pack("<HH", 16_383, 16_383)),
        ],
        NOTHING_MESSAGE: [encode("PNG", size) for size in ((1, 1), (1, 20_000), (20_000, 1))],
    }  # fmt: skip


def test_what_people_have_is_read():
    answers = {name: answer(content) for name, content in readable().items()}
    assert {name: words for name, words in answers.items() if words != "7"} == {}


def test_what_is_none_is_refused_with_its_sentence():
    for sentence, files in refused().items():
        assert [*map(answer, files)] == [sentence] * len(files)


@pytest.mark.parametrize(
    "kind, image", [("JPEG", SEVEN), ("PNG", INK), ("WEBP", INK), ("AVIF", SEVEN), ("TIFF", SEVEN)]
)
def test_a_turned_picture_is_read_upright(kind, image):
    exif, undone = Image.Exif(), {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    for way, transpose in undone.items():
        exif[274] = way
        assert answer(encode(kind, image.transpose(transpose), exif=exif)) == "7", way


@pytest.mark.parametrize("kind", SIGNATURES)
def test_altered_files_never_raise_anything_else(kind):
    whole = encode(kind, COLOR.resize((60, 60)))
    broken = [whole[:n] for n in range(64)]
    for _ in range(60):
        one = bytearray(whole[: RNG.integers(len(whole))] if RNG.random() < 0.3 else whole)
        for place in RNG.integers(0, min(len(one), 400) or 1, 3):
            one[place : place + 1] = RNG.bytes(1)
        broken.append(bytes(one))
    no_numbers = (GRAY * np.nan, GRAY + np.inf, (GRAY - 99) * 1e36)
    for content in (*broken, *(encode("TIFF", Image.fromarray(pixels)) for pixels in no_numbers)):
        assert answer(content)


def test_no_picture_shows_memory_that_nobody_wrote_to():
    """Files that claim more than they hold give the same pixels whatever the memory held."""
    files = claims()
    ours, theirs = (pictures([*files.values()], *how) for how in ((17,), (195, -1)))
    both = zip(files, ours, theirs, strict=True)
    assert [name for name, (one, _), (other, _) in both if one != other] == []


def test_a_long_file_is_not_read(tmp_path):
    (path := tmp_path / "no ending").write_bytes(PNG)
    assert open_picture(path).shape == (280, 280)
    os.truncate(path, 20_000_001)
    with pytest.raises(NoDigitError, match=FILE_TOO_LARGE):
        open_picture(path)


def test_only_a_regular_file_is_opened(tmp_path):
    picture, link, pipe = (tmp_path / name for name in ("picture.png", "link.png", "pipe.png"))
    picture.write_bytes(PNG)
    link.symlink_to(picture)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, "/dev/zero", "/dev/stdin", "no/such/file", "a\0b"):
        with pytest.raises(NoDigitError, match="damaged"):
            open_picture(path)
