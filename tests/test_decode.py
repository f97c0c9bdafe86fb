"""What a file may cost and show: attacks are refused, people's pictures are read."""

import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from contextlib import suppress

import attacks
import numpy as np
import pytest
from attacks import ATTACKS, encode
from freed_memory import pictures
from PIL import Image, ImageDraw
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


def file(kind: str, image: Image.Image = SEVEN, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def same_digit(digit: np.ndarray) -> bool:
    return float(np.abs(digit - RIGHT).mean()) < 0.02


SENTENCES = {  # else COSTLY; of the first four what hurts is left out, and the rest read
    "png_of_gamma": NOTHING_MESSAGE,
    "png_of_profiles": NOTHING_MESSAGE,
    "png_of_length": DAMAGED_MESSAGE,
    "tiff_of_pages": NOTHING_MESSAGE,
    "gif_of_size": TOO_LARGE,
    "webp_of_canvas": TOO_LARGE,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_before_it_costs_anything(attack):
    content = ATTACKS[attack]()
    started = time.process_time()
    with pytest.raises(NoDigitError) as refused:
        to_mnist(open_bytes(content))
    assert str(refused.value) == SENTENCES.get(attack, COSTLY)
    assert time.process_time() - started < 0.5


def test_no_picture_shows_memory_that_nobody_wrote_to():
    """Files that claim more than they hold give the same pixels whatever the memory held."""
    files = attacks.claims()
    ours, theirs = (pictures([*files.values()], *how) for how in ((17,), (195, -1)))
    both = zip(files, ours, theirs, strict=True)
    assert [name for name, (one, _), (other, _) in both if one != other] == []


def test_nothing_that_a_decoder_says_reaches_the_log(tmp_path):
    questions = []
    for name, content in {**attacks.claims(), "gamma": ATTACKS["png_of_gamma"]()}.items():
        path = tmp_path / name
        path.write_bytes(content)
        questions.append(json.dumps([len(questions), ["upload", str(path)]]))
    run = subprocess.run(
        [sys.executable, "-m", "page.worker"],
        input="\n".join(questions),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | WORKER_ENVIRONMENT,
        check=True,
    )
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 1 + len(questions)  # it is ready, and an answer to each


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
    assert same_digit(to_mnist(open_picture(path)))


@pytest.mark.parametrize(
    "content",
    [
        file("JPEG", SEVEN.resize((6000, 6000)), progressive=True),
        file("JPEG", SEVEN.convert("CMYK"), progressive=True),
        file("JPEG", exif=b"Exif\0\0" + attacks.tiff(attacks.page())),
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


def turned(image: Image.Image, way: int) -> Image.Image:
    """Return a picture that its orientation in Exif, 1 to 8, turns upright again."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's Transpose
    return image if way == 1 else image.transpose(back[way])


INK = Image.merge("LA", (Image.new("L", SEVEN.size, 0), Image.eval(SEVEN, lambda gray: 255 - gray)))


@pytest.mark.parametrize("way", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("JPEG", SEVEN),
        ("JPEG", SEVEN.convert("CMYK")),
        ("PNG", SEVEN.convert("P")),
        ("PNG", Image.fromarray(np.uint16(np.asarray(SEVEN) * 257.0))),
        ("PNG", INK),
        ("WEBP", SEVEN),
        ("WEBP", INK.convert("RGBA")),
        ("AVIF", SEVEN),
        ("AVIF", INK.convert("RGBA")),
        ("TIFF", SEVEN),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_a_turned_picture_is_read_upright(kind, image, way):
    exif = Image.Exif()
    exif[0x0112] = way
    assert same_digit(to_mnist(open_bytes(file(kind, turned(image, way), exif=exif))))


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"P5 9", b"RIFF\0\0\0\0WEBP",
     b"\0\0\0\0ftypavif", b"\x89PNG\r\n\x1a\n"],
)  # fmt: skip
def test_a_head_without_a_picture_is_damaged(content):
    with pytest.raises(NoDigitError, match="damaged"):
        open_bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"<svg/>", b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"qoif", b"DDS ",
     b"Pf 9 9 1\n", b"#?RADIANCE\n", b"\0\0\0\x0cjP  ", file("ICO"), file("TGA")],
)  # fmt: skip
def test_kinds_that_are_not_read_are_named_to_nobody_else(content):
    """OpenCV would decode some of them."""
    with pytest.raises(NoDigitError) as refused:
        open_bytes(content)
    assert str(refused.value) == OTHER_KIND


@pytest.mark.parametrize("kind", SIGNATURES)
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


@pytest.mark.parametrize("kind", SIGNATURES)
def test_every_limit_holds_for_random_bytes_too(kind):
    for length in (*range(0, 64), 1000):
        head = file(kind, SEVEN.convert("RGB").resize((9, 9)))[:12]
        for fill in (b"\0", b"\xff", b"!"):
            with suppress(NoDigitError):
                open_bytes((head + fill * 1000)[:length])


def test_opencv_is_told_how_large_a_picture_may_be():
    """It reads that when it is imported: here (conftest.py), and in the page's worker."""
    assert int(WORKER_ENVIRONMENT["OPENCV_IO_MAX_IMAGE_PIXELS"]) == MAX_PIXELS
    assert os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] == str(MAX_PIXELS)
    for content in (file("PNG", Image.new("1", (6000, 5000), 1)), encode("JPEG", (9000, 8000))):
        with pytest.raises(NoDigitError) as refused:
            open_bytes(content)
        assert str(refused.value) == TOO_LARGE


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
    with pytest.raises(NoDigitError) as refused:
        open_bytes(bytes(content))
    assert str(refused.value) == TOO_LARGE


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
