"""What a picture may cost: attacks are refused before Pillow decodes, people's pictures are not."""

import io
import os
import struct
import time
import zlib
from contextlib import suppress

import attacks
import numpy as np
import pytest
from attacks import ATTACKS, encode
from PIL import Image, ImageDraw

from page import decode
from page.decode import COSTLY, TOO_LONG, open_bytes, open_picture
from page.format_limits import LIMITS, TooCostlyError
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE
from reading.preprocess import NoDigitError, to_mnist

SEVEN = Image.new("L", (280, 280), 255)
ImageDraw.Draw(SEVEN).line([(70, 56), (210, 56), (112, 238)], fill=0, width=23, joint="curve")
RIGHT = to_mnist(SEVEN)


def file(kind: str, image: Image.Image = SEVEN, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def same_digit(digit: np.ndarray) -> bool:
    return float(np.abs(digit - RIGHT).mean()) < 0.02


NOT_ASKED_FOR = ("qoi", "dds", "eps")
HARMLESS = ("png_of_profiles", "png_of_raw_profile")  # what hurts is left out, and the rest read


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_before_it_costs_anything(attack):
    content = ATTACKS[attack]()
    started = time.process_time()
    with pytest.raises(NoDigitError) as refused:
        to_mnist(open_bytes(content))
    expected = (
        DAMAGED_MESSAGE
        if attack in NOT_ASKED_FOR
        else NOTHING_MESSAGE
        if attack in HARMLESS
        else COSTLY
    )
    assert str(refused.value) == expected
    assert time.process_time() - started < 0.5


PICTURES = {
    "PNG": {},
    "JPEG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "AVIF": {},
    "PPM": {},
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_kinds_that_people_have_are_read(kind, tmp_path):
    path = tmp_path / "no ending"
    path.write_bytes(file(kind, SEVEN.convert("RGB"), **PICTURES[kind]))
    image = open_picture(path)
    assert image.format == kind
    assert same_digit(to_mnist(image))


@pytest.mark.parametrize(
    "content",
    [
        file("JPEG", SEVEN.resize((6000, 6000)), progressive=True),
        file("JPEG", SEVEN.convert("CMYK"), progressive=True),
        file("JPEG", exif=b"Exif\0\0" + attacks.tiff(attacks.plain_tags())),
        file("PNG", SEVEN.resize((4000, 4000))),
        file("PNG", save_all=True, append_images=[SEVEN.rotate(90)] * 20),
        file("GIF", save_all=True, append_images=[SEVEN.rotate(90)] * 20, comment="a note"),
        file("WEBP", save_all=True, append_images=[SEVEN.rotate(90)] * 20, lossless=True),
        file("TIFF", save_all=True, append_images=[SEVEN.rotate(90)] * 40),
        file("TIFF", SEVEN.convert("RGB"), compression="tiff_lzw"),
        file("TIFF", SEVEN.resize((1000, 4000)).resize((280, 280)), strip_size=280),
        file("MPO", save_all=True, append_images=[SEVEN.rotate(90)]),
        file("JPEG") + bytes(1_000_000),  # a film behind the picture
    ],
    ids=[
        "progressive, 36 million pixels",
        "progressive CMYK",
        "Exif",
        "16 million pixels",
        "APNG",
        "GIF of frames",
        "WebP of frames",
        "TIFF of pages",
        "LZW",
        "a strip a row",
        "MPO",
        "JPEG with a film",
    ],
)
def test_the_limits_do_not_touch_what_people_send(content):
    assert same_digit(to_mnist(open_bytes(content)))


def test_a_turned_picture_is_still_turned():
    """The tag that says so survives what is left out of a PNG."""
    exif = Image.Exif()
    exif[0x0112] = 3
    content = file("PNG", SEVEN.rotate(180), exif=exif.tobytes())
    assert same_digit(to_mnist(open_bytes(content)))


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"<svg/>", b"%PDF-1.7", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"P5 9",
     b"RIFF\0\0\0\0WEBP", b"\0\0\0\0ftypavif", b"\x89PNG\r\n\x1a\n", file("ICO"), file("TGA")],
)  # fmt: skip
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(NoDigitError, match="damaged"):
        open_bytes(content)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of broken tags
@pytest.mark.parametrize("kind", LIMITS)
def test_halves_and_noise_never_raise_anything_else(kind):
    rng = np.random.default_rng(0)
    whole = bytearray(file(kind, SEVEN.convert("RGB").resize((60, 60)), **PICTURES[kind]))
    for _ in range(300):
        broken = whole[: rng.integers(len(whole))] if rng.random() < 0.3 else bytearray(whole)
        for place in rng.integers(0, min(len(broken), 400) or 1, 3):
            broken[place : place + 1] = rng.bytes(1)
        try:
            to_mnist(open_bytes(bytes(broken)))
        except NoDigitError as refused:
            assert str(refused)


@pytest.mark.parametrize("kind", LIMITS)
def test_every_limit_holds_for_random_bytes_too(kind):
    for length in (*range(0, 64), 1000):
        head = file(kind, SEVEN.convert("RGB").resize((9, 9)))[:12]
        for fill in (b"\0", b"\xff", b"!"):
            with suppress(TooCostlyError):
                LIMITS[kind]((head + fill * 1000)[:length])


def test_too_many_pixels_are_refused_by_number():
    with pytest.raises(NoDigitError, match="30 million"):
        open_bytes(file("PNG", Image.new("1", (6000, 5000), 1)))
    with pytest.raises(NoDigitError, match="72 million"):
        open_bytes(encode("JPEG", (9000, 8000)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_size_that_is_only_claimed_is_refused_as_well(kind):
    content = bytearray(file(kind))
    place, claim = {
        "PNG": (16, struct.pack(">II", 60_000, 60_000)),
        "JPEG": (content.find(b"\xff\xc0") + 5, struct.pack(">HH", 65_500, 65_500)),
        "GIF": (6, struct.pack("<HH", 65_535, 65_535)),
        "BMP": (18, struct.pack("<ii", 60_000, 60_000)),
        "WEBP": (26, struct.pack("<HH", 16_383, 16_383)),
    }[kind]
    content[place : place + len(claim)] = claim
    if kind == "PNG":
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    with pytest.raises(NoDigitError, match=r"million|damaged"):
        to_mnist(open_bytes(bytes(content)))


def test_a_long_file_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "long.png"
    path.write_bytes(file("PNG"))
    os.truncate(path, 21_000_000)
    with pytest.raises(NoDigitError) as refused:
        open_picture(path)
    assert str(refused.value) == TOO_LONG
    monkeypatch.setattr(decode, "MAX_FILE", 21_000_000)
    assert same_digit(to_mnist(open_picture(path)))


def test_only_a_regular_file_is_opened(tmp_path):
    picture, link, pipe = (tmp_path / name for name in ("picture.png", "link.png", "pipe.png"))
    picture.write_bytes(file("PNG"))
    link.symlink_to(picture)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, "/dev/zero", "/dev/stdin", "no/such/file", "a\0b"):
        started = time.process_time()
        with pytest.raises(NoDigitError, match="damaged"):
            open_picture(path)
        assert time.process_time() - started < 0.5
