"""What a file may cost and show: attacks are refused, people's pictures are read."""

import json
import os
import struct
import subprocess
import sys
import time
import zlib

import attacks
import numpy as np
import pytest
from attacks import chunk, claim, encode, tiff
from freed_memory import pictures
from PIL import Image, ImageDraw, PngImagePlugin
from serving import ROOT

from app import WORKER_ENVIRONMENT
from page import decode
from page.decode import COSTLY, OTHER_KIND, SIGNATURES, TOO_LARGE, TOO_LONG, open_picture
from page.decode import decode as open_bytes
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE, MAX_PIXELS
from reading.preprocess import NoDigitError, to_mnist

SEVEN = Image.new("L", (280, 280), 255)
ImageDraw.Draw(SEVEN).line([(70, 56), (210, 56), (112, 238)], fill=0, width=23, joint="curve")
RIGHT = to_mnist(SEVEN)
COLOR, GRAY = SEVEN.convert("RGB"), np.asarray(SEVEN, np.float32)
INK = Image.merge("LA", (Image.new("L", SEVEN.size, 0), Image.eval(SEVEN, lambda gray: 255 - gray)))
RNG = np.random.default_rng(0)


def same_digit(digit: np.ndarray) -> bool:
    return float(np.abs(digit - RIGHT).mean()) < 0.02


def file(kind: str, image: Image.Image = SEVEN, **options) -> bytes:
    return encode(kind, image, **options)


def frames(kind: str, number: int = 20, **options) -> bytes:
    return file(kind, save_all=True, append_images=[SEVEN.rotate(90)] * number, **options)


def exif(tag: int, value: int) -> Image.Exif:
    (data := Image.Exif())[tag] = value
    return data


def png(size: tuple[int, int], *chunks: bytes) -> bytes:
    """Return a PNG that claims that size, whatever is in it."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND")


JPEG, PNG = file("JPEG"), file("PNG")
NO_NUMBERS = {"nan": GRAY * np.nan, "infinite": GRAY + np.inf, "huge": (GRAY - 99) * 1e36}


def answer(content: bytes) -> str:
    """Return "7", or why there is none."""
    try:
        return "7" if same_digit(to_mnist(open_bytes(content))) else "other"
    except NoDigitError as refused:
        return str(refused)


def readable() -> dict[str, bytes]:
    """Return what people have: every kind of file, and of pixels."""
    bomb = PngImagePlugin.PngInfo()
    bomb.add_text("bomb", "x" * 20_000_000, zip=True)
    return {
        **{kind: file(kind, COLOR) for kind in (*SIGNATURES, "MPO") if kind != "WEBP"},
        "WEBP": file("WEBP", COLOR, lossless=True),
        "18 million pixels": file("JPEG", SEVEN.resize((4250, 4250)), progressive=True),
        "progressive CMYK": file("JPEG", SEVEN.convert("CMYK"), progressive=True),
        "Exif": file("JPEG", exif=b"Exif\0\0" + tiff()),
        "Exif junk": file("JPEG", exif=b"Exif\0\0" + b"junk" * 50),
        "Exif of no direction": file("JPEG", exif=exif(274, 9)),
        "Exif that lies of the size": file("JPEG", exif=exif(256, 1)),
        "ICC junk": file("JPEG", icc_profile=b"junk" * 500),
        "a film behind it": JPEG + bytes(1_000_000),
        "16 million pixels": file("PNG", SEVEN.resize((4000, 4000)), compress_level=1),
        "text that unpacks to 20 MB": file("PNG", pnginfo=bomb),
        "one bit": file("PNG", SEVEN.convert("1")),
        "palette": file("PNG", SEVEN.convert("P")),
        "gray and alpha": file("PNG", SEVEN.convert("LA")),
        "16 bits": file("PNG", Image.fromarray(np.uint16(GRAY * 257))),
        "32 bits": file("TIFF", Image.fromarray(np.int32(GRAY * 257))),
        "floats": file("TIFF", Image.fromarray(GRAY / 255)),
        "YCbCr": file("TIFF", SEVEN.convert("YCbCr"), compression="jpeg"),
        "LZW": file("TIFF", COLOR, compression="tiff_lzw"),
        "a strip a row": file("TIFF", strip_size=280),
        "frames of APNG": frames("PNG"),
        "frames of GIF": frames("GIF", comment="a note"),
        "frames of WebP": frames("WEBP", lossless=True),
        "pages of TIFF": frames("TIFF", 40),
    }


def refused() -> dict[str, list[bytes]]:
    """Return what is not read, for each sentence."""
    size = (280, 280)
    sof = JPEG.index(b"\xff\xc0") + 5  # where a JPEG says its height and width
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(20_000_000)))
    heads = (b"\xff\xd8\xff GIF89a BM II*\0 P5\t9 RIFF\0\0\0\0WEBP \0\0\0\0ftypavif").split(b" ")
    return {
        OTHER_KIND: [
            *b"|text|<svg/>|<!doctype html>|%PDF-1.7|PK\x03\x04|\x7fELF|qoif|DDS ".split(b"|"),
            *b"#?RADIANCE\n|Pf 9 9 1\n|\0\0\0\x0cjP  |%!PS-Adobe-3.0 EPSF-3.0\n".split(b"|"),
            b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>', bytes(5000), RNG.bytes(5000),
            zlib.compress(bytes(10**7), 9, 31),
            *(file(kind, COLOR) for kind in ("ICO", "TGA", "PCX", "SGI", "DDS", "QOI", "EPS")),
        ],
        DAMAGED_MESSAGE: [
            *heads, b"\x89PNG\r\n\x1a\n", PNG[: len(PNG) // 3], JPEG[: len(JPEG) // 3],
            *(file(kind)[: len(file(kind)) // 2] for kind in ("GIF", "WEBP", "TIFF", "BMP")),
            png(size), png(size, pixels), png((0, 0), pixels), png(size, profile, pixels),
            claim(JPEG, sof, bytes(4)), claim(PNG, 17, b"\x5a"),
        ],
        COSTLY: [
            attacks.jpeg_of_scans(101, side=64), attacks.jpeg_of_scans(17),
            JPEG[:2] + b"\xff\xfe\0\2" * 50_001 + JPEG[2:],
        ],
        TOO_LARGE: [
            encode("PNG", (6000, 5000), "1"), claim(JPEG, sof, struct.pack(">HH", 8000, 8001)),
            png((60_000, 60_000), pixels), claim(JPEG, sof, struct.pack(">HH", 65_500, 65_500)),
            claim(file("GIF"), 6, struct.pack("<HH", 65_535, 65_535)),
            claim(file("BMP"), 18, struct.pack("<ii", 60_000, 60_000)),
            claim(file("WEBP"), 26, struct.pack("<HH", 16_383, 16_383)),
        ],
        NOTHING_MESSAGE: [
            *(encode("PNG", size) for size in ((1, 1), (28, 28), (1, 20_000), (20_000, 1))),
            encode("PNG", (4000, 3900)), encode("JPEG", (1, 2000)), encode("PNG", (1, 1), "1"),
        ],
    }  # fmt: skip


def test_what_people_have_is_read():
    answers = {name: answer(content) for name, content in readable().items()}
    assert {name: words for name, words in answers.items() if words != "7"} == {}


def test_what_is_none_is_refused_with_its_sentence():
    for sentence, files in refused().items():
        assert [*map(answer, files)] == [sentence] * len(files)


TURNED = [
    ("JPEG", SEVEN), ("JPEG", SEVEN.convert("CMYK")), ("PNG", SEVEN.convert("P")), ("PNG", INK),
    ("PNG", Image.fromarray(np.uint16(GRAY * 257))), ("WEBP", SEVEN), ("WEBP", INK.convert("RGBA")),
    ("AVIF", SEVEN), ("AVIF", INK.convert("RGBA")), ("TIFF", SEVEN),
]  # fmt: skip


@pytest.mark.parametrize("kind, image", TURNED)
def test_a_turned_picture_is_read_upright(kind, image):
    speed = {"speed": 10} if kind == "AVIF" else {}
    pillows = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that the Exif undoes
    for way in range(1, 9):
        turned = image.transpose(pillows[way]) if way > 1 else image
        assert same_digit(to_mnist(open_bytes(file(kind, turned, exif=exif(274, way), **speed)))), (
            way
        )


@pytest.mark.parametrize("kind", SIGNATURES)
def test_altered_files_never_raise_anything_else(kind):
    whole = file(kind, COLOR.resize((60, 60)))
    broken = [
        (whole[:12] + fill * 1000)[:n] for n in (*range(64), 1000) for fill in (b"\0", b"\xff")
    ]
    for _ in range(60):
        one = bytearray(whole[: RNG.integers(len(whole))] if RNG.random() < 0.3 else whole)
        for place in RNG.integers(0, min(len(one), 400) or 1, 3):
            one[place : place + 1] = RNG.bytes(1)
        broken.append(bytes(one))
    for content in (*broken, *(file("TIFF", Image.fromarray(a)) for a in NO_NUMBERS.values())):
        assert answer(content)


def test_no_picture_shows_memory_that_nobody_wrote_to():
    """Files that claim more than they hold give the same pixels whatever the memory held."""
    files = attacks.claims()
    ours, theirs = (pictures([*files.values()], *how) for how in ((17,), (195, -1)))
    both = zip(files, ours, theirs, strict=True)
    assert [name for name, (one, _), (other, _) in both if one != other] == []


def test_nothing_that_a_decoder_says_reaches_the_log(tmp_path):
    questions = []
    for content in (attacks.png_of_gamma(), *[*attacks.claims().values()][::4]):
        (path := tmp_path / str(len(questions))).write_bytes(content)
        questions.append(json.dumps([len(questions), ["upload", str(path)]]))
    run = subprocess.run(
        [sys.executable, "-m", "page.worker"], input="\n".join(questions), capture_output=True,
        text=True, cwd=ROOT, env=os.environ | WORKER_ENVIRONMENT, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 1 + len(questions)  # it is ready, and an answer to each


def test_opencv_is_told_how_large_a_picture_may_be():
    """It reads that when it is imported: here (conftest.py), and in the page's worker."""
    for variables in (WORKER_ENVIRONMENT, os.environ):
        assert int(variables["OPENCV_IO_MAX_IMAGE_PIXELS"]) == MAX_PIXELS


def test_a_long_file_is_not_read(tmp_path, monkeypatch):
    (path := tmp_path / "no ending").write_bytes(PNG)
    os.truncate(path, 21_000_000)
    with pytest.raises(NoDigitError) as refused:
        open_picture(path)
    assert str(refused.value) == TOO_LONG
    monkeypatch.setattr(decode, "MAX_FILE", 21_000_000)
    assert same_digit(to_mnist(open_picture(path)))


def test_only_a_regular_file_is_opened(tmp_path):
    picture, link, pipe = (tmp_path / name for name in ("picture.png", "link.png", "pipe.png"))
    picture.write_bytes(PNG)
    link.symlink_to(picture)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, "/dev/zero", "/dev/stdin", "no/such/file", "a\0b"):
        started = time.process_time()
        with pytest.raises(NoDigitError, match="damaged"):
            open_picture(path)
        assert time.process_time() - started < 0.5
