"""Whatever is sent to the real page gets a sentence or an answer, and the next one is answered."""

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
from attacks import ATTACKS, encode
from client import EXAMPLES, FILE, SEVEN, call, sentence, upload
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from serving import children

SEEN, PNG = "That is a 7.", SEVEN.read_bytes()


@pytest.fixture(scope="module")
def http(page_url):
    with httpx.Client(base_url=page_url, timeout=30) as http:
        yield http


def test_a_picture_gets_its_sentence_and_nothing_that_a_decoder_says_is_logged(site, http):
    def logged() -> list[bytes]:  # but what Gradio says at its start
        return [line for line in site.log.read_bytes().splitlines() if line[:2] != b"* "]

    before = logged()
    for content, expected in (
        (PNG, SEEN), (PNG[: len(PNG) // 2], "damaged"), (ATTACKS["jpeg_of_scans"](), "too long"),
        (ATTACKS["png_of_gamma"](), "found no number"),
        (encode("PNG", (6000, 5000), "1"), "too many pixels"),
    ):  # fmt: skip
        file = upload(http, content)
        assert expected in sentence(http, "upload", file)
        said = sentence(http, "sketch", {"layers": [], "composite": file})
        assert expected in said or "Draw a digit" in said
    assert logged() == before


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


@settings(max_examples=60, deadline=None, derandomize=True)
@given(name=st.sampled_from(["sketch", "upload"]), data=st.lists(SKETCH | PICTURE, max_size=3))
def test_whatever_the_arguments_are_they_get_a_sentence(http, name, data):
    text = call(http, f"call/{name}", {"data": data})
    assert re.match("200|422", text), text
    assert re.search("Wrong arguments|[Dd]raw|Input should|required", text), text
    assert not re.search(r"Traceback|/root|/home|/tmp|root:|\.py:", text), text


def test_the_layers_of_a_sketch_are_bounded(http):
    layer = upload(http, encode("PNG", Image.new("RGBA", (640, 480))))
    seven = upload(http, PNG)
    for layers, expected in ((8, SEEN), (9, "Wrong arguments")):
        sketch = {"layers": [layer] * layers, "composite": seven}
        assert expected in sentence(http, "sketch", sketch)


def test_visitors_never_see_one_anothers_answers(http):
    paths = [path for path in sorted(EXAMPLES.iterdir()) if path.name[0].isdigit()] * 3

    def read(path: Path) -> str:
        return sentence(http, "upload", upload(http, path.read_bytes()))

    with ThreadPoolExecutor(9) as visitors:
        said = [*visitors.map(read, paths)]
    assert len(paths) == 27
    assert all(path.name.split("-")[0] in words for path, words in zip(paths, said, strict=True))


def test_one_that_is_stuck_is_given_up_after_three_seconds(server, http):
    """Both workers are, and the next after them answers."""
    file, (fork_server, *_) = upload(http, PNG), children(server.process.pid)
    deadline = time.monotonic() + 60
    while len(workers := children(fork_server)) < 2:
        assert time.monotonic() < deadline, "there are not two workers"
        time.sleep(0.05)
    for process in workers:
        os.kill(process, signal.SIGSTOP)
    for _ in workers:
        started = time.monotonic()
        assert "couldn't read" in sentence(http, "upload", file)
        assert time.monotonic() - started > 2.5
    assert sentence(http, "upload", file) == SEEN
