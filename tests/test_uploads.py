"""Only what was uploaded is read: `resolve_upload`, and the page; what is left of odd uploads."""

import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from client import FILE, SEVEN, UPLOAD, call, upload
from serving import ROOT

from page.uploads import PURGED, NotUploadedError, resolve_upload

HASH = "ab" * 32
DATA = SEVEN.read_bytes()
NAMES = "seven.png", "sieben – 7.png", "...png"


def fill(folder: Path) -> Path:
    """Put uploads into a folder, and what an attacker may hope for in and beside it."""
    other = folder.with_name(f"{folder.name}2") / HASH
    for inner in (folder / HASH / "folder", folder / "deep_links" / HASH[:11], other):
        inner.mkdir(parents=True)
    pictures = [folder / HASH / name for name in NAMES]
    for path in (*pictures, folder / "tmp0123", other / "seven.png", folder / "deep_links/x.png"):
        path.write_bytes(DATA)
    (folder / HASH / "link.png").symlink_to(SEVEN)
    (folder / HASH / "null").symlink_to("/dev/null")
    (folder / ("cd" * 32)).symlink_to(SEVEN.parent)
    os.mkfifo(folder / HASH / "fifo")
    return folder


def targets(folder: Path) -> list:
    """Return names of pictures that were not uploaded, or are none."""
    upload = f"{folder}/{HASH}/seven.png"
    return [
        str(SEVEN), "examples/digits/7-crossed.png", "./app.py", "7-crossed.png",
        f"{folder}/{HASH}/link.png", f"{folder}/{'cd' * 32}/7-crossed.png",
        f"{folder}/{HASH}/../../../../../..{SEVEN}", f"{folder}/{HASH}/..", f"{folder}/{HASH}/.",
        f"{folder}/{HASH}/../{HASH}/seven.png", f"{folder}/./{HASH}/seven.png",
        f"{folder}//{HASH}/seven.png", f"/{upload}", f"{upload}/", f"{upload}/.", f"{upload}\0.png",
        f"{upload}\n", f" {upload}", f"{upload}\ud800", os.path.relpath(upload, ROOT),
        f"{folder}/{HASH}/null", f"{folder}/{HASH}/folder", f"{folder}/{HASH}/fifo",
        f"{folder}/{HASH}/missing.png", f"{folder}/{HASH.upper()}/seven.png",
        f"{folder}/{HASH[:-1]}/seven.png", f"{folder}/{HASH}", str(folder), f"{folder}/tmp0123",
        f"{folder}/deep_links/x.png", f"{folder}2/{HASH}/seven.png",
        f"{folder}/{HASH}/{'x' * 300}.png", f"{folder}/{HASH}/{'x/' * 3000}",
        f"file://{upload}", f"file:{upload}", f"/gradio_api/file={upload}", "http://127.0.0.1:9/7",
        "/dev/stdin", f"/proc/self/root{SEVEN}", "~/.bashrc", "\\\\host\\share\\7.png",
        "", ".", "/", "\0", "data:image/png;base64,AAAA", None, 7, True, [], {},
    ]  # fmt: skip


def forms(target) -> list:
    """Return the ways in which a caller can put a file's name into an argument."""
    return [
        target, {"path": target, **FILE}, {"path": [target]}, {"path": {"path": target}},
        {"url": target}, {"path": "x.png", "url": target}, {"path": None, "url": target, **FILE},
        {"data": target}, {"name": target, "is_file": True}, {"image": {"path": target}},
    ]  # fmt: skip


def test_an_upload_is_found_as_clients_name_it(tmp_path):
    folder = fill(tmp_path / "uploads")
    for name in NAMES:
        path = folder / HASH / name
        sent = {"path": str(path), "url": f"http://host/gradio_api/file={path}", "size": None}
        assert resolve_upload(sent | FILE, folder) == resolve_upload(str(path), str(folder)) == path
        assert resolve_upload({"path": str(path)}, f"{folder}/") == path
    (link := tmp_path / "link").symlink_to(folder)  # as /tmp is on a Mac
    path = link / HASH / "seven.png"
    assert resolve_upload(str(path), link) == path


def test_nothing_else_is_an_upload(tmp_path):
    folder = fill(tmp_path / "uploads")
    for target in targets(folder):
        for form in forms(target):
            with pytest.raises(NotUploadedError):
                resolve_upload(form, folder)


@pytest.fixture
def http(page_url):
    with httpx.Client(base_url=page_url, timeout=30) as http:
        yield http


def ways(http: httpx.Client, session: str, file: dict) -> list[tuple[str, dict]]:
    """Return every call that takes a file: endpoints, the page's own function, private events."""
    info = http.get("gradio_api/info").json()["named_endpoints"]
    names = [info[name]["parameters"][0]["parameter_name"] for name in ("/upload", "/sketch")]
    config = http.get("config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    page = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "answer")
    sketch = {"layers": [file], "composite": None}
    own = {"fn_name": "answer", "component_id": page, "session_hash": session}
    events = [
        (event["id"], sketch if kinds[event["inputs"][0]] == "imageeditor" else file)
        for event in config["dependencies"] if event["backend_fn"] and event["inputs"]
    ]  # fmt: skip
    assert len(events) >= 2
    return [
        ("call/upload", {"data": [file]}), ("call/sketch", {"data": [sketch]}),
        ("call/sketch", {"data": [{"layers": [], "composite": file}]}),
        ("call/read", {"data": [file]}), ("call/v2/upload", {names[0]: file}),
        ("call/v2/sketch", {names[1]: sketch}),
        ("component_server", {"data": {"picture": file}, **own}),
        *(("queue/join", {"data": [what], "fn_index": n, "session_hash": f"{session}-{n}"})
          for n, what in events),
    ]  # fmt: skip


def test_each_way_to_name_a_file_refuses_what_was_not_uploaded(site, http):
    """And nobody is asked for it."""
    nobody = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{nobody.getsockname()[1]}/7.png"
    link = f"{fill(site.uploads)}/{HASH}/link.png"
    files = [
        {"path": str(SEVEN), **FILE}, {"path": link, **FILE}, {"path": url, **FILE}, {"url": url},
        {"path": "x", "url": url, **FILE}, {"path": "data:image/png;base64,AAAA", **FILE},
        {"path": f"{link}\0\ud800", **FILE},
    ]  # fmt: skip
    calls = [each for n, file in enumerate(files) for each in ways(http, f"s{n}", file)[n % 2 :: 2]]
    with ThreadPoolExecutor(8) as pool:
        for asked, text in zip(calls, pool.map(lambda c: call(http, *c), calls), strict=True):
            refused = re.match(r'4\d\d |200 event: error\n|200 .*"success":\s*false', text, re.S)
            assert refused and "Wrong arguments" in text, f"{asked!r:.300}: {text:.300}"
    nobody.setblocking(False)
    with pytest.raises(BlockingIOError):
        nobody.accept()


def test_an_address_beside_a_good_path_is_not_read(http):
    """Clients send both; the path counts."""
    file = {**upload(http, DATA), "url": "http://127.0.0.1:9/x.png"}
    assert "event: complete" in call(http, "call/upload", {"data": [file]})
    assert "event: complete" in call(http, "call/sketch", {"data": [{"layers": [file]}]})


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\n") -> bytes:
    """Return a multipart form of parts: each one's headers' end, and its content."""
    head = "--b\r\nContent-Disposition: form-data; {}\r\n\r\n"
    return b"".join(head.format(t).encode() + d + b"\r\n" for t, d in parts) + b"--b" + end


TYPE, PART = "multipart/form-data; boundary=b", ('name="files"; filename="7.png"', DATA)
OTHER, ONE = 'name="other"; filename="7.png"', form(PART)
ODD = {
    "another field": (200, form((OTHER, DATA))),
    "another after it": (400, form(PART, (OTHER, DATA))),
    "two files": (400, form(PART, PART)),
    "a text beside the file": (400, form(('name="session_hash"', b"x"), PART)),
    "no file": (200, form()),
    "a long name": (200, form((f'name="files"; filename="{"x" * 2000}"', DATA))),
    "many headers": (413, form((PART[0] + "\r\nX: y" * 300, DATA))),
    "half of a file": (200, ONE[:500]),
    "no end": (200, form(PART, end=b"")),
    "more than 20 MB": (413, form((PART[0], bytes(20 * 1024**2)))),
    "another type": (400, ONE, "application/json"),
    "names in another alphabet": (200, ONE, f"{TYPE}; charset=cp500"),
}


def left(folder: Path) -> set[str]:
    return {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_upload_leaves_nothing_but_what_the_purge_takes(site, http, kind):
    """What has an answer of 200 is no file that anybody can name, or the one that was sent."""
    status, content, *kinds = ODD[kind]
    before = left(site.uploads)
    pieces = [content[n : n + 65536] for n in range(0, len(content), 65536)]
    headers = {"Content-Type": kinds[0] if kinds else TYPE}
    assert http.post(UPLOAD, content=iter(pieces), headers=headers).status_code == status
    after = left(site.uploads) - before
    assert len(after) <= (status != 400) and all(map(PURGED.fullmatch, after))


def test_an_upload_that_breaks_off_leaves_nothing_but_what_the_purge_takes(site):
    before, address = left(site.uploads), httpx.URL(site.server.url)
    head = f"POST /{UPLOAD} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n"
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(f"{head}Content-Length: 5000000\r\n\r\n".encode())
        connection.sendall(form((PART[0], bytes(2_000_000)), end=b"")[:-3])
        deadline = time.monotonic() + 30
        while left(site.uploads) == before and time.monotonic() < deadline:
            time.sleep(0.02)
    (part,) = left(site.uploads) - before
    assert PURGED.fullmatch(part)
