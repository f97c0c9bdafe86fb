"""Whatever is sent to the two endpoints gets a sentence or an answer, and the next one is answered.

Nothing is read of the server's disk, nothing is fetched from another host, no path is shown.
"""

import base64
import io
import json
import os
import re
import signal
import struct
import threading
import time
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, PngImagePlugin
from serving import ROOT, children

EXAMPLES = ROOT / "examples" / "digits"
SEVEN = Image.new("L", (280, 280), 255)
ImageDraw.Draw(SEVEN).line([(70, 56), (210, 56), (112, 238)], fill=0, width=23, joint="curve")
DAMAGED, TOO_LARGE, NOTHING = "damaged", "million", "[Dd]raw|No digit|nothing"
OTHER_KIND = "PNG, JPEG, WebP, GIF, BMP, AVIF, PPM and TIFF"
READ = "That is a 7"  # and the label says so
ANY = "."  # any sentence


def file(kind: str, image: Image.Image = SEVEN, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def part(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def altered(content: bytes, *places: float) -> bytes:
    content = bytearray(content)
    for place in places:
        content[int(len(content) * place)] ^= 0x5A
    return bytes(content)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that claims that size, whatever is in it."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    end = png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + end


def claim(content: bytes, place: int, form: str, *sizes: int) -> bytes:
    """Write another size into a file's header."""
    size = struct.pack(form, *sizes)
    return content[:place] + size + content[place + len(size) :]


def blank(width: int, height: int) -> Image.Image:
    return Image.new("L", (width, height), 255)


def exif(**tags) -> bytes:
    data = Image.Exif()
    for tag, value in tags.items():
        data[int(tag[1:])] = value
    return data.tobytes()


def text_bomb() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("bomb", "x" * 50_000_000, zip=True)
    return info


def animation(frames: int) -> dict:
    return {"save_all": True, "append_images": [blank(64, 64), SEVEN.resize((64, 64))] * frames}


RANDOM = np.random.default_rng(0)
WAVES = np.sin(np.arange(280 * 280)).reshape(280, 280)
GRAY = np.asarray(SEVEN, np.float32)
IDAT = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
JPEG, PNG = file("JPEG"), file("PNG")
SOF = JPEG.index(b"\xff\xc0") + 5  # where a JPEG says its height and width

KINDS = {
    # No pictures
    "empty": (b"", OTHER_KIND),
    "text": (b"a letter, not a picture", OTHER_KIND),
    "html": (b"<!doctype html><script>alert(1)</script>", OTHER_KIND),
    "pdf": (b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj", OTHER_KIND),
    "zip": (b"PK\x03\x04" + bytes(200), OTHER_KIND),
    "gzip bomb": (zlib.compress(bytes(10_000_000), 9, 31), OTHER_KIND),
    "program": (b"\x7fELF" + bytes(500), OTHER_KIND),
    "zeros": (bytes(5000), OTHER_KIND),
    "noise": (RANDOM.bytes(5000), OTHER_KIND),
    "json": (b'{"path": "/etc/passwd"}', OTHER_KIND),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><text>7</text></svg>', OTHER_KIND),
    "svg that fetches": (b'<svg><image href="http://127.0.0.1/x.png"/></svg>', OTHER_KIND),
    "xml bomb": (b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>', OTHER_KIND),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix.", OTHER_KIND),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n", OTHER_KIND),
    # Halves of pictures
    **{f"{share:.0%} of a PNG": (part(PNG, share), DAMAGED) for share in (0.02, 0.3, 0.6)},
    **{f"{share:.0%} of a JPEG": (part(JPEG, share), DAMAGED) for share in (0.02, 0.3, 0.7)},
    "half a GIF": (part(file("GIF"), 0.5), DAMAGED),
    "half a WebP": (part(file("WEBP"), 0.5), DAMAGED),
    "half a TIFF": (part(file("TIFF"), 0.5), DAMAGED),
    "half a BMP": (part(file("BMP"), 0.5), DAMAGED),
    # Damaged inside
    "PNG, head altered": (altered(PNG, 0.03), DAMAGED),
    "PNG, pixels altered": (altered(PNG, 0.4, 0.5, 0.6), ANY),
    "PNG without pixels": (png(280, 280), DAMAGED),
    "PNG with too few pixels": (png(280, 280, IDAT), DAMAGED),
    "PNG of no size": (png(0, 0, IDAT), DAMAGED),
    "JPEG, altered": (altered(JPEG, 0.5, 0.6, 0.7), ANY),
    "JPEG of no size": (claim(JPEG, SOF, ">HH", 0, 0), DAMAGED),
    "ICC junk": (file("JPEG", icc_profile=b"junk" * 500), READ),
    "EXIF junk": (file("JPEG", exif=b"Exif\0\0" + b"junk" * 50), READ),
    "EXIF of no direction": (file("JPEG", exif=exif(_274=9)), READ),
    "EXIF that lies of the size": (file("JPEG", exif=exif(_256=1, _257=1)), READ),
    # Bombs: a kilobyte that claims more than fits
    "PNG of 60,000 squared": (png(60_000, 60_000, IDAT), f"{TOO_LARGE}|{DAMAGED}"),
    "PNG of 2^31": (png(2**31 - 1, 2**31 - 1, IDAT), f"{TOO_LARGE}|{DAMAGED}"),
    "JPEG of 65,500 squared": (claim(JPEG, SOF, ">HH", 65500, 65500), f"{TOO_LARGE}|{DAMAGED}"),
    "GIF of 65,535 squared": (claim(file("GIF"), 6, "<HH", 65535, 65535), f"{TOO_LARGE}|{DAMAGED}"),
    "BMP of 60,000 squared": (
        claim(file("BMP"), 18, "<ii", 60_000, 60_000), f"{TOO_LARGE}|{DAMAGED}"
    ),
    "text that unpacks to 50 MB": (file("PNG", pnginfo=text_bomb()), f"{READ}|{DAMAGED}"),
    "profile that unpacks to 50 MB": (
        png(280, 280, png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000))), IDAT),
        DAMAGED,
    ),
    "blank, 30,000,000 pixels": (file("PNG", Image.new("1", (6000, 5000), 1)), TOO_LARGE),
    # Sizes
    **{
        f"{w} by {h}": (file("PNG", blank(w, h)), NOTHING)
        for w, h in ((1, 1), (2, 2), (28, 28), (1, 20_000), (20_000, 1), (4000, 3900))
    },
    "1 by 2,000, as JPEG": (file("JPEG", blank(1, 2000)), NOTHING),
    "one black pixel": (file("PNG", Image.new("L", (1, 1))), NOTHING),
    "3 by 3 of noise": (file("PNG", Image.fromarray(np.uint8(np.eye(3) * 255))), ANY),
    "noise of 500 by 500": (
        file("PNG", Image.fromarray(RANDOM.integers(0, 256, (500, 500), np.uint8))), ANY
    ),
    "a 7 of 16,000,000 pixels": (file("PNG", SEVEN.resize((4000, 4000))), READ),
    "a 7 of 36,000,000 pixels, as JPEG": (file("JPEG", SEVEN.resize((6000, 6000))), READ),
    # Every kind of pixel
    "one bit": (file("PNG", SEVEN.convert("1")), READ),
    "palette": (file("PNG", SEVEN.convert("P")), READ),
    "palette with a transparent color": (
        file("PNG", SEVEN.convert("RGB").quantize(8), transparency=0), ANY
    ),
    "gray with alpha": (file("PNG", SEVEN.convert("LA")), READ),
    "sixteen bits": (file("PNG", Image.fromarray(np.uint16(GRAY * 257))), READ),
    "thirty-two bits": (file("TIFF", Image.fromarray(np.int32(GRAY * 257))), READ),
    "floats": (file("TIFF", Image.fromarray(GRAY / 255)), READ),
    "floats that are no numbers": (file("TIFF", Image.fromarray(GRAY * np.nan)), ANY),
    "floats to infinity": (file("TIFF", Image.fromarray(GRAY + np.float32(np.inf))), ANY),
    "floats of waves": (file("TIFF", Image.fromarray(np.float32(WAVES * 1e30))), ANY),
    "CMYK": (file("JPEG", SEVEN.convert("CMYK")), READ),
    "YCbCr": (file("TIFF", SEVEN.convert("RGB").convert("YCbCr"), compression="jpeg"), READ),
    "LAB": (file("TIFF", Image.merge("LAB", (SEVEN, *[Image.new("L", SEVEN.size, 128)] * 2))), ANY),
    # Every kind of file
    **{
        kind: (file(kind, SEVEN.convert("RGB")), READ)
        for kind in ("BMP", "PPM", "TIFF", "WEBP", "GIF", "AVIF", "MPO")
    },
    # Kinds that nobody has, or that are decoded slowly
    **{
        kind: (file(kind, SEVEN.convert("RGB")), OTHER_KIND)
        for kind in ("PCX", "TGA", "ICO", "SGI", "DDS", "QOI", "EPS")
    },
    "progressive JPEG": (file("JPEG", progressive=True), READ),
    "5,000 frames of GIF": (file("GIF", SEVEN.resize((64, 64)), **animation(2500)), READ),
    "300 frames of WebP": (file("WEBP", SEVEN.resize((64, 64)), **animation(150)), READ),
    "20 frames of APNG": (file("PNG", SEVEN, save_all=True, append_images=[SEVEN] * 20), READ),
    "40 pages of TIFF": (file("TIFF", SEVEN, save_all=True, append_images=[SEVEN] * 40), READ),
}  # fmt: skip
NAMES = {"svg": "picture.svg", "html": "page.html", "pdf": "paper.pdf", "pickle": "model.pt",
         "JPEG, altered": "picture.png", "one bit": "picture.jpg", "BMP": "picture.gif",
         "GIF": "no ending", "TIFF": "../../picture.png"}  # fmt: skip


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "seven.png"
    SEVEN.save(path)
    return handle_file(path)


def sketch(picture):
    return {"background": None, "layers": [], "composite": picture}


def check(result, expected: str) -> None:
    label, words, layers = result
    assert re.search(expected, words), words
    assert not re.search(r"/tmp|/root|/home|Traceback|Error", words), words
    if label:
        assert layers and len(label["confidences"]) == 3
    else:
        assert not layers


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_answered_and_so_is_the_next(client, good, tmp_path, kind):
    content, expected = KINDS[kind]
    path = tmp_path / NAMES.get(kind, "picture.png").rpartition("/")[2]
    path.write_bytes(content)
    check(client.predict(handle_file(path), api_name="/upload"), expected)
    check(client.predict(sketch(handle_file(path)), api_name="/sketch"), ANY)
    check(client.predict(good, api_name="/upload"), READ)


# By hand, past the client's own checks


def call(page_url: str, name: str, body: bytes) -> tuple[int, str]:
    """Ask for an answer over HTTP and wait for it; return the status and what came."""
    request = urllib.request.Request(
        f"{page_url}gradio_api/call/{name}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            event = json.load(reply)["event_id"]
        with urllib.request.urlopen(f"{request.full_url}/{event}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


FILE = {"meta": {"_type": "gradio.FileData"}}


def test_a_data_url_is_no_upload(page_url, client, good):
    """Callers upload their pictures: what is not an upload may have 64 KB."""
    address = "data:image/png;base64," + base64.b64encode(file("PNG")).decode()
    for picture in ({"url": address, **FILE}, {"path": address, **FILE}, {"path": address}):
        _, text = call(page_url, "upload", json.dumps({"data": [picture]}).encode())
        assert text.startswith("event: error"), text
    check(client.predict(good, api_name="/upload"), READ)


BODIES = {
    "no JSON": b"7",
    "half of JSON": b'{"data": [',
    "no data": b"{}",
    "no argument": b'{"data": []}',
    "three arguments": b'{"data": [null, null, null]}',
    **{
        f"argument {value!r:.40}": json.dumps({"data": [value]}).encode()
        for value in (
            7, "seven", True, [], {}, [[]], {"layers": 7}, {"layers": [None]}, {"layers": ["x"]},
            {"composite": "x"}, {"path": None, **FILE}, {"path": 7, **FILE}, {"id": "no such id"},
            {"path": "", **FILE}, {"path": "no/such/file.png", **FILE},
            {"path": "x", "url": "data:image/png;base64,AAAA", **FILE},
            {"path": "x", "url": "data:nonsense", **FILE}, {"composite": {"path": "", **FILE}},
            {"layers": [{"path": "x" * 5000, **FILE}]}, {"orig_name": "x\0y", "path": "x", **FILE},
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["sketch", "upload"])
@pytest.mark.parametrize("body", BODIES)
def test_arguments_of_the_wrong_shape_are_refused(page_url, client, good, name, body):
    status, text = call(page_url, name, BODIES[body])
    assert status in (200, 422)
    assert re.search("Wrong arguments|damaged|[Dd]raw|json|Input should|required", text), text
    assert not re.search(r"Traceback|/root|/home|/tmp|\.py", text), text
    check(client.predict(good, api_name="/upload"), READ)


@pytest.mark.parametrize("name", ["sketch", "upload"])
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "app.py", "../app.py", "weights/curves.png", "file:///etc/passwd"]
)
def test_no_file_of_the_server_is_read(page_url, client, good, name, path):
    picture = {"path": path, **FILE}
    argument = sketch(picture) if name == "sketch" else picture
    _, text = call(page_url, name, json.dumps({"data": [argument]}).encode())
    assert text.startswith("event: error") and "complete" not in text
    check(client.predict(good, api_name="/upload"), READ)


@pytest.mark.parametrize("name", ["sketch", "upload"])
def test_nothing_is_fetched_from_another_host(page_url, name):
    asked = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}/picture.png"
    try:
        for picture in (
            {"path": url, **FILE},
            {"path": url},
            {"path": "x", "url": url, **FILE},
            {"path": "https://example.com/picture.png", **FILE},
        ):
            argument = sketch(picture) if name == "sketch" else picture
            _, text = call(page_url, name, json.dumps({"data": [argument]}).encode())
            assert text.startswith("event: error"), text
    finally:
        server.shutdown()
    assert asked == []


def test_a_file_that_is_too_large_is_refused(page_url, client, good, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(PNG + bytes(30_000_000))
    with pytest.raises(Exception, match=r"size|large|413"):
        client.predict(handle_file(path), api_name="/upload")
    check(client.predict(good, api_name="/upload"), READ)


TEXT = st.text(max_size=20) | st.sampled_from(["/etc/passwd", "app.py", "data:image/png;base64,AA"])
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KEY = st.sampled_from(["path", "url", "meta", "_type", "size", "layers", "composite", "id"])
SHAPELESS = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner), max_leaves=8
)
PICTURE = st.fixed_dictionaries({"path": TEXT, "meta": st.just(FILE["meta"])}) | SHAPELESS
SKETCH = st.fixed_dictionaries(
    {}, optional={"layers": st.lists(PICTURE, max_size=3), "composite": PICTURE, "id": LEAF}
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(name=st.sampled_from(["sketch", "upload"]), argument=SKETCH | PICTURE)
def test_whatever_the_argument_is_it_gets_a_sentence(page_url, name, argument):
    status, text = call(page_url, name, json.dumps({"data": [argument]}).encode())
    assert status in (200, 422)
    assert re.search("Wrong arguments|damaged|[Dd]raw|JSON|Input should|required", text), text
    assert not re.search(r"Traceback|/root|/home|/tmp|root:|\.py:", text), text


def test_visitors_never_see_one_anothers_answers(page_url, tmp_path):
    """Six visitors at once, each with a digit of their own, get the answer to theirs."""
    own = [path for path in sorted(EXAMPLES.iterdir()) if path.name[0].isdigit()]
    assert len(own) == 9

    def visit(path):
        client = Client(page_url, verbose=False)
        return [client.predict(handle_file(path), api_name="/upload") for _ in range(8)]

    with ThreadPoolExecutor(len(own)) as pool:
        answers = list(pool.map(visit, own))
    for path, results in zip(own, answers, strict=True):
        assert {label["label"] for label, _, _ in results} == {path.name.split("-")[0]}
        assert len({layers for _, _, layers in results}) == 1
    assert len({results[0][2] for results in answers}) == len(own)


def is_ready(process_id: int) -> bool:
    """Return whether a worker answers, or could: it has limited itself last."""
    try:
        limits = Path(f"/proc/{process_id}/limits").read_text()
    except OSError:  # it has ended
        return False
    return re.search(r"Max data size +\d", limits) is not None


def workers(server) -> list[int]:
    """Return the page's two workers, once they are ready."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        (program,) = children(server.process.pid)
        if len(found := list(filter(is_ready, children(program)))) == 2:
            return found
        time.sleep(0.05)
    raise AssertionError("there are not two workers")


def test_what_ends_the_worker_costs_one_answer(server, client, good):
    """As a picture would that makes a decoder crash; other workers answer the next."""
    for _ in range(2):
        ours = workers(server)
        for process in ours:
            os.kill(process, signal.SIGSTOP)
        waiting = [client.submit(good, api_name="/upload") for _ in range(3)]
        time.sleep(0.5)
        for process in ours:
            os.kill(process, signal.SIGKILL)
        answers = [job.result(timeout=20) for job in waiting]
        assert sum(words.startswith("That is a 7") for _, words, _ in answers) >= 1
        assert sum("could not be read" in words for _, words, _ in answers) <= 2
        check(client.predict(good, api_name="/upload"), READ)


def test_one_that_is_stuck_is_given_up_after_three_seconds(server, client, good):
    """One worker, then the other, and those after them answer again."""
    for process in workers(server):
        os.kill(process, signal.SIGSTOP)
    for _ in range(2):
        started = time.monotonic()
        label, words, _ = client.predict(good, api_name="/upload")
        assert not label and "takes too long" in words
        assert 2.5 < time.monotonic() - started < 15
    check(client.predict(good, api_name="/upload"), READ)


def test_a_sketch_of_many_layers_is_refused(page_url, client, good):
    """What the worker is asked stays short, however much somebody sends."""
    body = {"background": None, "layers": [good] * 9, "composite": None}
    with pytest.raises(Exception, match="Wrong arguments"):
        client.predict(body, api_name="/sketch")
    check(client.predict(good, api_name="/upload"), READ)


def test_the_layers_of_a_sketch_are_bounded_together(page_url, client, good, tmp_path):
    """Each may be read alone; eight of them would take seconds."""
    Image.new("RGBA", (2000, 2000)).save(tmp_path / "layer.png")
    layer = handle_file(tmp_path / "layer.png")
    answer = client.predict({"layers": [layer] * 2, "composite": good}, api_name="/sketch")
    check(answer, READ)
    answer = client.predict({"layers": [layer] * 5, "composite": good}, api_name="/sketch")
    check(answer, "20 million pixels")
    check(client.predict(good, api_name="/upload"), READ)


def test_what_visitors_send_cannot_be_listed(page_url, client, good):
    client.predict(good, api_name="/upload")
    for address in ("file=", "file=/tmp", "file=/tmp/gradio", "file=.", "upload", "download"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{page_url}gradio_api/{address}", timeout=30)
        assert 400 <= refused.value.code < 500
