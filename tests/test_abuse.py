"""Whatever is sent to the real page gets a sentence or an answer, and the next one is answered."""

import asyncio
import json
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

import attacks
import httpx2 as httpx
import pytest
from client import EXAMPLES, FILE, SEVEN, ask, call, client_from, sentence, upload
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from serving import children

SEEN, PNG = "That is a 7.", SEVEN.read_bytes()


@pytest.fixture(scope="module")
def http(page_url):
    with httpx.Client(base_url=page_url, timeout=30) as http:
        yield http


PICTURES = {  # test_decode.py has them all
    "picture.png": (lambda: PNG, SEEN),
    "page.html": (lambda: b"<!doctype html><script>alert(1)</script>", "Only pictures in PNG"),
    "half.png": (lambda: PNG[: len(PNG) // 2], "damaged"),
    "large.png": (lambda: attacks.encode("PNG", (6000, 5000), "1"), "too many pixels"),
    "costly.jpg": (attacks.jpeg_of_scans, "takes too long to read"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_gets_its_sentence(http, name):
    make, expected = PICTURES[name]
    file = upload(http, make(), name)
    assert expected in sentence(http, "upload", file)
    assert expected in sentence(http, "sketch", {"layers": [], "composite": file})


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


def check_refused(text: str) -> None:
    assert re.match("200|422", text), text
    assert re.search("Wrong arguments|[Dd]raw|Input should|required", text), text
    assert not re.search(r"Traceback|/root|/home|/tmp|root:|\.py:", text), text


@settings(max_examples=50, deadline=None, derandomize=True)
@given(name=st.sampled_from(["sketch", "upload"]), argument=SKETCH | PICTURE)
def test_whatever_the_argument_is_it_gets_a_sentence(http, name, argument):
    check_refused(call(http, f"call/{name}", {"data": [argument]}))


@pytest.mark.parametrize("name", ["sketch", "upload"])
def test_arguments_of_the_wrong_shape_are_refused(http, name):
    for data in (
        [], [None] * 3, [7], [True], [[]], [{"layers": [None]}], [{"composite": "x"}],
        [{"path": 7, **FILE}], [{"path": "", **FILE}], [{"layers": [{"path": "x" * 5000, **FILE}]}],
        [{"orig_name": "x\0y", "path": "x", **FILE}], [{"layers": [{"path": "app.py"}] * 9}],
    ):  # fmt: skip
        check_refused(call(http, f"call/{name}", {"data": data}))


def test_the_layers_of_a_sketch_are_bounded(http):
    layer = upload(http, attacks.encode("PNG", Image.new("RGBA", (640, 480))))
    seven = upload(http, PNG)

    def said(layers: int) -> str:
        return sentence(http, "sketch", {"layers": [layer] * layers, "composite": seven})

    assert said(8) == SEEN
    assert "Wrong arguments" in said(9)


def test_visitors_never_see_one_anothers_answers(page_url):
    own = [path for path in sorted(EXAMPLES.iterdir()) if path.name[0].isdigit()]
    assert len(own) == 9

    async def visit(number: int, path: Path) -> list[str]:
        async with client_from(f"127.0.2.{1 + number}", page_url) as http:
            reply = await http.post("gradio_api/upload", files={"files": path.read_bytes()})
            file = {"path": reply.json()[0], **FILE}
            return await asyncio.gather(*(ask(http, "upload", file) for _ in range(3)))

    async def visit_all() -> list[list[str]]:
        return await asyncio.gather(*(visit(*each) for each in enumerate(own)))

    figures = set()
    for path, (answer, *same) in zip(own, asyncio.run(visit_all()), strict=True):
        label, _, figure = json.loads(answer)
        assert label["label"] == path.name.split("-")[0] and {*same} == {answer}
        figures.add(figure)
    assert len(figures) == len(own)


def ready_workers(process_id: int) -> list[int]:
    """Return those of the page's two workers that answer: each limits itself last."""
    ready = []
    for worker in children(children(process_id)[0]):
        with suppress(OSError):  # it has ended
            if re.search(r"Max data size +\d", Path(f"/proc/{worker}/limits").read_text()):
                ready.append(worker)
    return ready


def test_one_that_is_stuck_is_given_up_after_three_seconds(server, http):
    """Both workers are, and the next after them answers."""
    file, deadline = upload(http, PNG), time.monotonic() + 60
    while len(stuck := ready_workers(server.process.pid)) < 2:
        assert time.monotonic() < deadline, "there are not two workers"
        time.sleep(0.05)
    for process in stuck:
        os.kill(process, signal.SIGSTOP)
    for _ in stuck:
        started = time.monotonic()
        assert "takes too long" in sentence(http, "upload", file)
        assert time.monotonic() - started > 2.5
    assert sentence(http, "upload", file) == SEEN
