"""Only what was uploaded is read: `resolve_upload`, and the page; what is left of odd uploads."""

import base64
import json
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import ROOT

from page.uploads import PURGED, NotUploadedError, resolve_upload

SEVEN = ROOT / "examples" / "digits" / "7-crossed.png"
HASH = "ab" * 32
META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of uploads with one in it, and with what an attacker may hope for beside it."""
    return fill(tmp_path / "uploads")


def fill(folder: Path) -> Path:
    (folder / HASH).mkdir(parents=True)
    for name in ("seven.png", "sieben – 7.png", "...png"):
        (folder / HASH / name).write_bytes(SEVEN.read_bytes())
    (folder / HASH / "link.png").symlink_to(SEVEN)
    (folder / HASH / "null").symlink_to("/dev/null")
    (folder / HASH / "folder").mkdir()
    os.mkfifo(folder / HASH / "fifo")
    (folder / ("cd" * 32)).symlink_to(SEVEN.parent)
    (folder / "tmp0123").write_bytes(SEVEN.read_bytes())
    (folder / "deep_links" / HASH[:11]).mkdir(parents=True)
    (folder / "deep_links" / HASH[:11] / "state.json").write_text("[]")
    (folder.parent / f"{folder.name}2" / HASH).mkdir(parents=True)
    (folder.parent / f"{folder.name}2" / HASH / "seven.png").write_bytes(SEVEN.read_bytes())
    return folder


def targets(folder: Path, url: str = "http://127.0.0.1:9/") -> list:
    """Return names of pictures that were not uploaded, or are none."""
    upload = f"{folder}/{HASH}/seven.png"
    picture = "data:image/png;base64," + base64.b64encode(SEVEN.read_bytes()).decode()
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
        f"{folder}/deep_links/{HASH[:11]}/state.json", f"{folder}2/{HASH}/seven.png",
        f"{folder}/{HASH}/{'x' * 300}.png", f"{folder}/{HASH}/{'x/' * 3000}",
        f"file://{upload}", f"file:{upload}", f"FILE://{SEVEN}", f"{url}gradio_api/file={upload}",
        f"/gradio_api/file={upload}", f"http://127.0.0.1:9/{SEVEN.name}", "ftp://127.0.0.1/7.png",
        "/dev/stdin", "/dev/zero", "/dev/fd/0", "/proc/self/environ", f"/proc/self/root{SEVEN}",
        f"/proc/self/cwd/{SEVEN.relative_to(ROOT)}", "~/.bashrc", "\\\\host\\share\\7.png",
        "", ".", "/", "\0", picture, "data:image/png;base64,AAAA", "data:,", None, 7, True, [], {},
    ]  # fmt: skip


def forms(target) -> list:
    """Return the ways in which a caller can put a file's name into an argument."""
    file = {"path": target, **META}
    return [
        file, {"path": target}, {"path": target, "meta": {"_type": "other"}}, {"url": target},
        {"path": "x.png", "url": target, **META}, {"path": None, "url": target, **META},
        {"path": target, "url": target, "size": 1, "orig_name": "7.png", "mime_type": "image/png"},
        {"path": target, "is_stream": True, **META}, {"path": [target]}, {"path": file},
        {"data": target}, {"name": target, "is_file": True}, {"value": file}, {"image": file},
        {"video": file}, {"background": file},
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["seven.png", "sieben – 7.png", "...png"])
def test_an_upload_is_found_as_clients_name_it(folder, name):
    path = folder / HASH / name
    sent = {"path": str(path), "url": f"http://host/gradio_api/file={path}", "size": None, **META}
    assert resolve_upload(sent, folder) == resolve_upload(str(path), str(folder)) == path
    assert resolve_upload({"path": str(path)}, f"{folder}/") == path


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    """As /tmp is on a Mac."""
    (link := tmp_path / "link").symlink_to(folder)
    path = link / HASH / "seven.png"
    assert resolve_upload(str(path), link) == path


def test_nothing_else_is_an_upload(folder):
    for target in targets(folder):
        for form in (target, *forms(target)):
            with pytest.raises(NotUploadedError):
                resolve_upload(form, folder)


# By HTTP


@pytest.fixture
def http(page_url):
    with httpx.Client(base_url=page_url, timeout=30) as http:
        yield http


def call(http: httpx.Client, route: str, body: dict) -> str:
    """Return what a call by one of the page's routes comes to, as text."""
    # As callers may; a Python string can hold what no file name can.
    how = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    reply = http.post(f"gradio_api/{route}", **how)
    if reply.is_success and route == "queue/join":
        session = {"session_hash": body["session_hash"]}
        reply = http.get("gradio_api/queue/data", params=session)
    elif reply.is_success and route != "component_server":
        reply = http.get(f"gradio_api/{route}/{reply.json()['event_id']}")
    return f"{reply.status_code} {reply.text}"


def upload(http: httpx.Client) -> dict:
    path = http.post("gradio_api/upload", files={"files": ("7.png", SEVEN.read_bytes())}).json()[0]
    return {"path": path, **META}


def test_each_way_to_name_a_file_refuses_what_was_not_uploaded(site, http):
    """The endpoints, by place, by name and by number; the page's own function; private events."""
    info = http.get("gradio_api/info").json()["named_endpoints"]
    names = {name: info[name]["parameters"][0]["parameter_name"] for name in ("/upload", "/sketch")}
    config = http.get("config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    events = {
        event["id"]: {kinds[number] for number in event["inputs"]}
        for event in config["dependencies"] if event["backend_fn"] and event["inputs"]
    }  # fmt: skip
    assert len(events) >= 2
    page = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "answer")
    calls = []
    for n, target in enumerate(targets(fill(site.uploads), str(http.base_url))):
        file = {"path": target, **META}
        sketch = {"layers": [file], "composite": None}
        ways = [
            ("call/upload", {"data": [forms(target)[n % len(forms(target))]]}),
            ("call/sketch", {"data": [sketch]}),
            ("call/sketch", {"data": [{"layers": [], "composite": {"path": target}}]}),
            ("call/read", {"data": [file]}), ("call/v2/upload", {names["/upload"]: file}),
            ("call/v2/sketch", {names["/sketch"]: sketch}),
            ("component_server", {"data": {"picture": file}, "fn_name": "answer",
                                  "component_id": page, "session_hash": f"a{n}"}),
        ]  # fmt: skip
        for event, takes in events.items():
            data = [sketch if "imageeditor" in takes else file]
            body = {"data": data, "fn_index": event, "session_hash": f"b{n}-{event}"}
            ways.append(("queue/join", body))
        calls += [ways[(n + k) % len(ways)] for k in (0, 3, 6)]
    with ThreadPoolExecutor(8) as pool:
        for asked, text in zip(calls, pool.map(lambda c: call(http, *c), calls), strict=True):
            refused = re.match(r'4\d\d |200 event: error\n|200 .*"success":\s*false', text, re.S)
            assert refused, f"{asked!r:.300}: {text:.300}"


def test_an_address_beside_a_good_path_is_not_read(http):
    """Clients send both; the path counts."""
    for url in (None, str(SEVEN), "file:///dev/zero", "http://127.0.0.1:9/x.png", "data:,x"):
        file = {**upload(http), "url": url}
        assert "event: complete" in call(http, "call/upload", {"data": [file]})
        assert "event: complete" in call(http, "call/sketch", {"data": [{"layers": [file]}]})


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\n") -> bytes:
    """Return a multipart form of parts: each one's headers' end, and its content."""
    lines = [
        f"--b\r\nContent-Disposition: form-data; {text}\r\n\r\n".encode() + data + b"\r\n"
        for text, data in parts
    ]
    return b"".join(lines) + b"--b" + end


FILE, DATA = 'name="files"; filename="7.png"', SEVEN.read_bytes()
TYPE = "multipart/form-data; boundary=b"
ONE = form((FILE, DATA))
ODD = {
    "another field": (200, form(('name="other"; filename="7.png"', DATA))),
    "another after it": (400, form((FILE, DATA), ('name="x"; filename="7.png"', DATA))),
    "two files": (400, form((FILE, DATA), (FILE, DATA))),
    "a field without a file": (400, form(('name="files"', DATA))),
    "a text beside the file": (400, form(('name="session_hash"', b"x"), (FILE, DATA))),
    "no name": (400, form(('filename="7.png"', DATA))),
    "no file": (200, form()),
    "an empty body": (200, b""),
    "no form": (400, b"x" * 1000),
    "a long name": (200, form((f'name="files"; filename="{"x" * 2000}"', DATA))),
    "many headers": (413, form((FILE + "\r\nX: y" * 300, DATA))),
    "half of a file": (200, ONE[:500]),
    "no end": (200, form((FILE, DATA), end=b"")),
    "more than 20 MB": (413, form((FILE, bytes(20 * 1024**2)))),
    "no type": (400, ONE, ""),
    "another type": (400, ONE, "application/json"),
    "no boundary": (400, ONE, "multipart/form-data"),
    "a long boundary": (422, ONE, "multipart/form-data; boundary=" + "b" * 300),
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
    reply = http.post("gradio_api/upload", content=iter(pieces), headers=headers)
    assert reply.status_code == status, reply.text
    after = left(site.uploads) - before
    assert len(after) <= 1 and all(map(PURGED.fullmatch, after))
    if status == 400:
        assert not after


def test_an_upload_that_breaks_off_leaves_nothing_but_what_the_purge_takes(site):
    before, address = left(site.uploads), httpx.URL(site.server.url)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n"
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(f"{head}Content-Length: 5000000\r\n\r\n".encode())
        connection.sendall(form((FILE, bytes(2_000_000)), end=b"")[:-3])
        deadline = time.monotonic() + 10
        while left(site.uploads) == before and time.monotonic() < deadline:
            time.sleep(0.02)
    (part,) = left(site.uploads) - before
    assert PURGED.fullmatch(part)
