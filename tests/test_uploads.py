"""Only what was uploaded is read: `resolve_upload`, and every form of an argument by HTTP."""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import serve_page
from serving import ROOT

from page.uploads import NotUploadedError, private_folder, resolve_upload

SEVEN = ROOT / "examples" / "digits" / "7-crossed.png"
HASH = "ab" * 32
META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of uploads with one in it, and with what an attacker may hope for beside it."""
    folder = tmp_path / "uploads"
    return fill(folder)


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
    link = tmp_path / "link"
    link.symlink_to(folder)
    path = link / HASH / "seven.png"
    assert resolve_upload(str(path), link) == path


def test_nothing_else_is_an_upload(folder):
    for target in targets(folder):
        for form in (target, *forms(target)):
            with pytest.raises(NotUploadedError):
                resolve_upload(form, folder)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such rights")
def test_the_folder_of_uploads_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder()
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    assert private_folder() == folder
    folder.chmod(0o777)  # as somebody else may have made it first
    with pytest.raises(RuntimeError, match="GRADIO_TEMP_DIR"):
        private_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(RuntimeError, match="GRADIO_TEMP_DIR"):
        private_folder()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such rights")
def test_another_folder_is_taken_where_this_one_is_not_ours(tmp_path):
    """As the sentence advises."""
    code = "import tempfile; tempfile.tempdir = {!r}; import app; print(app.demo.GRADIO_CACHE)"
    private = tmp_path / f"lenet-uploads-{os.getuid()}"
    private.mkdir()
    private.chmod(0o777)
    command = [sys.executable, "-c", code.format(str(tmp_path))]
    environment = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    how = {"cwd": ROOT, "capture_output": True, "text": True}
    assert (
        "set GRADIO_TEMP_DIR to another" in subprocess.run(command, env=environment, **how).stderr
    )
    environment["GRADIO_TEMP_DIR"] = str(tmp_path / "other")
    run = subprocess.run(command, env=environment, **how)
    assert run.stdout.strip() == str(tmp_path / "other"), run.stderr


# By HTTP


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page, with a folder of uploads of its own: its address and the folder."""
    folder = tmp_path_factory.mktemp("site") / "uploads"
    with serve_page(folder.parent / "log", GRADIO_TEMP_DIR=str(folder)) as server:
        yield server.url, fill(folder)


@pytest.fixture(scope="module")
def http(site):
    with httpx.Client(base_url=site[0], timeout=30) as http:
        yield http


def asked(body: dict) -> dict:
    # As callers may; a Python string can hold what no file name can.
    return {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}


def call(http: httpx.Client, route: str, body: dict) -> str:
    """Return what a call by one of the API's routes comes to, as text."""
    reply = http.post(f"gradio_api/{route}", **asked(body))
    if reply.is_success:
        event = reply.json()["event_id"]
        reply = http.get(f"gradio_api/{route}/{event}")
    return f"{reply.status_code} {reply.text}"


def assert_refused(text: str, form) -> None:
    assert re.match(r"4\d\d |200 event: error\n", text), f"{form!r:.200}: {text:.300}"


def assert_all_refused(http, calls: list[tuple[str, dict]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for asked, text in zip(calls, pool.map(lambda c: call(http, *c), calls), strict=True):
            assert_refused(text, asked)


def upload(http: httpx.Client) -> dict:
    path = http.post("gradio_api/upload", files={"files": ("7.png", SEVEN.read_bytes())}).json()[0]
    return {"path": path, **META}


def test_five_hundred_forms_of_an_argument_are_refused(site, http):
    calls = [
        ("call/upload", {"data": [form]}) for target in targets(site[1], site[0])
        for form in forms(target)[::2]
    ]  # fmt: skip
    calls += [
        ("call/upload", {"data": [t]}) for t in targets(site[1]) if t not in (None, "", [], {})
    ]
    assert len(calls) >= 500
    assert_all_refused(http, calls)
    assert "event: complete" in call(http, "call/upload", {"data": [upload(http)]})


def test_the_same_forms_in_a_drawing_are_refused(site, http):
    calls = []
    for target in targets(site[1], site[0]):
        for file in ({"path": target}, {"path": target, **META}):
            for sketch in ({"layers": [file]}, {"layers": [], "composite": file}):
                calls.append(("call/sketch", {"data": [sketch]}))
    assert_all_refused(http, calls)
    drawing = {"background": None, "layers": [], "composite": upload(http)}
    assert "event: complete" in call(http, "call/sketch", {"data": [drawing]})


def test_the_same_forms_by_name_are_refused(site, http):
    info = http.get("gradio_api/info").json()["named_endpoints"]
    image, sketch = (
        info[name]["parameters"][0]["parameter_name"] for name in ("/upload", "/sketch")
    )
    calls = []
    for target in targets(site[1], site[0]):
        for file in ({"path": target}, {"path": target, **META}):
            calls.append(("call/v2/upload", {image: file}))
            calls.append(("call/v2/sketch", {sketch: {"layers": [file], "composite": None}}))
    assert_all_refused(http, calls)


def join(http: httpx.Client, number: int, data: list, session: str) -> dict:
    """Return the message that ends an event which is called by its number, as the page does."""
    body = {"data": data, "fn_index": number, "trigger_id": None, "session_hash": session}
    reply = http.post("gradio_api/queue/join", **asked(body))
    if not reply.is_success:
        return {"success": False, "status": reply.status_code}
    text = http.get("gradio_api/queue/data", params={"session_hash": session}).text
    messages = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    return next(m for m in messages if m["msg"] in ("process_completed", "unexpected_error"))


def test_every_event_of_the_page_refuses_them(site, http):
    """Private ones too: the page's own code calls them by their numbers, and so may anybody."""
    config = http.get("config").json()
    components = {component["id"]: component["type"] for component in config["components"]}
    questions = []
    for event in config["dependencies"]:
        if not event["backend_fn"] or not event["inputs"]:
            continue  # only the page's code, or it takes nothing
        kinds = {components[number] for number in event["inputs"]}
        for target in targets(site[1], site[0])[:24]:
            file = {"path": target}
            questions.append((event["id"], [{"layers": [file], "composite": None}]))
            if "imageeditor" not in kinds:  # for that it is an empty drawing
                questions.append((event["id"], [file]))
    assert len({number for number, _ in questions}) >= 4
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda n: join(http, *questions[n], f"visitor{n}"), range(len(questions)))
        )
    for question, answer in zip(questions, answers, strict=True):
        assert answer["success"] is False, (question, answer)


def test_an_address_beside_a_good_path_is_not_read(http):
    """Clients send both; the path counts."""
    for url in (str(SEVEN), "file:///dev/zero", "http://127.0.0.1:9/x.png", "data:,x"):
        assert "event: complete" in call(
            http, "call/upload", {"data": [{**upload(http), "url": url}]}
        )
