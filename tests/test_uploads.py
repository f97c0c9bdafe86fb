"""Only what was uploaded is read, and the folder of uploads stays small, whatever is left there."""

import asyncio
import hashlib
import os
import re
import socket
import time
from pathlib import Path

import pytest
from client import FILE, SEVEN, UPLOAD, call
from serving import ROOT

from page import uploads
from page.uploads import PURGED, NotUploadedError, Purger, purge, resolve_upload

HASH = "ab" * 32
DATA = SEVEN.read_bytes()
NAMES = "seven.png", "sieben – 7.png", "...png"


def fill(folder: Path) -> Path:
    """Put uploads into a folder, and what an attacker may hope for in and beside it."""
    for inner in (folder / HASH / "folder", folder / "deep_links", Path(f"{folder}2") / HASH):
        inner.mkdir(parents=True)
        (inner / "seven.png").write_bytes(DATA)
    for path in (*(folder / HASH / name for name in NAMES), folder / "tmp0123"):
        path.write_bytes(DATA)
    (folder / HASH / "link.png").symlink_to(SEVEN)
    (folder / ("cd" * 32)).symlink_to(SEVEN.parent)
    os.mkfifo(folder / HASH / "fifo")
    return folder


def targets(folder: Path) -> list:
    """Return names of pictures that were not uploaded, or are none."""
    upload = f"{folder}/{HASH}/seven.png"
    names = (
        f"{HASH}/../{HASH}/seven.png {'cd' * 32}/7-crossed.png deep_links/seven.png tmp0123 {HASH}"
    )
    inner = "folder fifo link.png missing.png folder/seven.png ../../../../../../etc/passwd"
    return [
        *(f"{folder}/{name}" for name in names.split()), f"{folder}2/{HASH}/seven.png",
        *(f"{folder}/{HASH}/{name}" for name in (*inner.split(), "x" * 300, "x/" * 3000)),
        f"/{upload}", f"{upload}/", f"{upload}\0.png", f"{upload}\n", f" {upload}", f"file://{upload}",
        f"{upload}\ud800", f"{folder}/{HASH.upper()}/seven.png", os.path.relpath(upload, ROOT),
        str(SEVEN), "/dev/stdin", "http://127.0.0.1:9/7", "data:image/png;base64,A", "", None, 7,
    ]  # fmt: skip


def test_an_upload_is_found_as_clients_name_it(tmp_path):
    folder = fill(tmp_path / "uploads")
    for name in NAMES:
        path = folder / HASH / name
        sent = {"path": str(path), "url": f"http://host/gradio_api/file={path}", "size": None}
        assert resolve_upload(sent | FILE, folder) == resolve_upload(str(path), str(folder)) == path
    (link := tmp_path / "link").symlink_to(folder)  # as /tmp is on a Mac
    assert resolve_upload(f"{link}/{HASH}/seven.png", link)


def test_nothing_else_is_an_upload(tmp_path):
    folder = fill(tmp_path / "uploads")
    for target in targets(folder):
        for form in (target, {"path": target, **FILE}, {"url": target}, {"path": [target]}):
            with pytest.raises(NotUploadedError):
                resolve_upload(form, folder)


def test_each_way_to_name_a_file_refuses_what_was_not_uploaded(site, http):
    """And nobody is asked for it."""
    nobody = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{nobody.getsockname()[1]}/7.png"
    link = f"{fill(site.uploads)}/{HASH}/link.png"
    components = http.get("config").json()["components"]
    page = next(c["id"] for c in components if c["props"].get("elem_id") == "answer")
    own = {"fn_name": "answer", "component_id": page, "session_hash": "s"}
    for file in (
        {"path": str(SEVEN), **FILE}, {"path": link, **FILE}, {"path": url, **FILE},
        {"path": "x", "url": url, **FILE},
    ):  # fmt: skip
        sketch = {"layers": [file], "composite": None}
        for asked in (
            ("call/upload", {"data": [file]}), ("call/sketch", {"data": [sketch]}),
            ("call/sketch", {"data": [{"layers": [], "composite": file}]}),
            ("call/read", {"data": [file]}), ("call/v2/upload", {"image": file}),
            ("component_server", {"data": {"picture": file}, **own}),
        ):  # fmt: skip
            text = call(http, *asked)
            refused = re.match(r"4\d\d |200 event: error\n", text)
            assert refused and "Wrong arguments" in text, f"{asked!r:.300}: {text:.300}"
    gone = {"path": link.replace("link.png", "gone.png"), **FILE}
    assert "deleted" in call(http, "component_server", {"data": {"picture": gone}, **own})
    nobody.setblocking(False)
    with pytest.raises(BlockingIOError):
        nobody.accept()


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="7.png"\r\n\r\n'
PART = "files", ("7.png", DATA)
ODD = {
    "another field": (400, {"files": [PART, ("other", PART[1])]}),
    "two files": (400, {"files": [PART, PART]}),
    "a text beside the file": (400, {"files": [PART], "data": {"session_hash": "x"}}),
    "half of a file": (200, {"content": HEAD + DATA[:300], "headers": FORM}),
    "over 20 MB": (413, {"content": iter([HEAD] + [bytes(1024**2)] * 20), "headers": FORM}),
}


def left(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_upload_leaves_nothing_but_what_the_purge_takes(site, http, kind):
    """What has an answer of 200 is no file that anybody can name."""
    status, form = ODD[kind]
    before = left(site.uploads)
    assert http.post(UPLOAD, **form).status_code == status
    after = left(site.uploads) - before
    assert len(after) <= (status != 400)
    assert all(PURGED.fullmatch(path.parts[0]) for path in after)


HOUR, PLENTY = 3600, 10**9


def write(folder, name, size=10):
    """Write an upload of that name; the next will be younger."""
    path = folder / hashlib.sha256(name.encode()).hexdigest() / name
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    time.sleep(0.002)
    return path


def test_what_is_old_goes_and_its_folder_and_no_link_is_followed(tmp_path):
    folder, outside = tmp_path / "uploads", write(tmp_path / "other", "file")
    upload = write(folder, "copy.png")
    os.utime(upload, (0, 0))  # Gradio copies with the original's time
    (upload.parent / "link").symlink_to(outside)
    (folder / "tmplink").symlink_to(outside.parent)
    (folder / "tmpbroken").write_bytes(bytes(10))
    (folder / ("ab" * 32)).mkdir()  # an upload may be about to move there
    for age, kept in ((0, 4), (HOUR - 1, 3), (HOUR + 1, 0)):
        purge(folder, HOUR, PLENTY, now=time.time() + age)
        assert len(list(folder.iterdir())) == kept
    assert outside.exists()


def test_what_is_no_upload_stays(tmp_path):
    """GRADIO_TEMP_DIR may be a folder of other things, too."""
    (folder := tmp_path / "other_app" / ("ab" * 32)).mkdir(parents=True)
    (tmp_path / "thesis.txt").write_bytes(bytes(10))
    purge(str(tmp_path), HOUR, 0, now=time.time() + 2 * HOUR)
    assert folder.exists() and left(tmp_path) == {Path("thesis.txt")}


def test_the_oldest_go_first_but_for_the_examples_while_it_is_too_much(tmp_path):
    example = write(tmp_path, "a", 100_000)
    for name in "bcdef":
        write(tmp_path, name, 100_000)
    (tmp_path / "tmpbeing").write_bytes(bytes(10))
    purge(tmp_path, HOUR, 400_000, keep={str(example)})
    assert {path.name for path in left(tmp_path)} == {"a", "e", "f", "tmpbeing"}


def test_it_purges_at_the_start_and_after_much(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PURGE_BYTES", 1000)

    async def until_gone(path):
        async with asyncio.timeout(30):
            while path.exists():
                await asyncio.sleep(0.01)

    async def live():
        purger = Purger(tmp_path, HOUR, 50)
        running = asyncio.create_task(purger.run())
        await until_gone(write(tmp_path, "old"))
        more = write(tmp_path, "more")
        purger.note(500)
        await asyncio.sleep(0.05)
        assert more.exists(), "it is not yet time"
        purger.note(500)
        await until_gone(more)
        running.cancel()

    asyncio.run(live())
