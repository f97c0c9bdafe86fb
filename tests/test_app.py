"""The page's endpoints on the real server, whatever they are sent, and the README's examples."""

import contextlib
import io
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attacks import ATTACKS, encode
from client import EXAMPLES, FILE, call, sentence, upload
from gradio_client import Client, handle_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from serving import ROOT, children

from app import recognize
from reading import reader
from reading.preprocess import NoDigitError

SEVEN = Image.open(EXAMPLES / "7-crossed.png").convert("L")
SEEN, PNG = "That is a 7.", encode("PNG", SEVEN)


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


def test_recognize_returns_ten_probabilities_or_raises():
    probabilities = recognize(SEVEN)
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert max(probabilities, key=probabilities.get) == "7"
    with pytest.raises(NoDigitError):
        recognize(Image.new("L", (280, 280), 255))


def test_the_three_best_guesses_for_people_and_for_programs(client, tmp_path):
    SEVEN.save(tmp_path / "seven.png")
    Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
    seven, blank = (handle_file(tmp_path / f"{name}.png") for name in ("seven", "blank"))
    label, words, _ = client.predict(seven, api_name="/upload")
    reading = client.predict(picture=seven, api_name="/read")
    assert words == reading["words"] == "That is a 7." and label["label"] == "7"
    expected = {name: pytest.approx(p, abs=1e-5) for name, p in reader.read(SEVEN).guesses}
    assert {g["label"]: g["confidence"] for g in label["confidences"]} == expected
    assert {g["number"]: g["probability"] for g in reading["guesses"]} == expected
    label, words, layers = client.predict(blank, api_name="/upload")
    assert "no number" in words and not (label or layers)
    assert client.predict(picture=blank, api_name="/read") == {"guesses": [], "words": words}


def test_three_endpoints_are_public_and_read_is_described_in_types_and_words(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/sketch", "/upload", "/read"}
    names = [answer["label"] for answer in endpoints["/upload"]["returns"]]
    assert names == ["guesses", "words", "figure"]
    for name in ("/upload", "/sketch", "/read"):
        assert "examples/digits" in str(endpoints[name]["parameters"][0]["example_input"])
    read = endpoints["/read"]
    assert "handwritten number" in read["description"]
    (answer,) = read["returns"]
    guess = answer["type"]["properties"]["guesses"]["items"]["properties"]
    assert guess == {"number": {"type": "string"}, "probability": {"type": "number"}}


def test_the_readmes_python_and_curl_do_what_they_say(monkeypatch, page_url):
    monkeypatch.chdir(ROOT)
    readme = (ROOT / "README.md").read_text().replace("http://127.0.0.1:7860/", page_url)
    readme = readme.replace("http://127.0.0.1:7860", page_url)
    (script,) = re.findall(r"```bash\n(page=.*?)```", readme, re.S)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for code in re.findall(r"```python\n(.*?)```", readme, re.S):
            exec(code, {})
    first, _, second = printed.getvalue().partition("\n")
    assert first == "7" and "That is a 7. [{'label': '7'" in second
    run = subprocess.run(["bash", "-ec", script], capture_output=True, text=True)
    assert "event: complete" in run.stdout and "That is a 7." in run.stdout, run


def test_a_picture_gets_its_sentence_and_nothing_that_a_decoder_says_is_logged(site, http):
    def logged() -> list[bytes]:  # but what Gradio says at its start
        return [line for line in site.log.read_bytes().splitlines() if line[:2] != b"* "]

    before = logged()
    for content, expected in (
        (PNG, SEEN), (PNG[: len(PNG) // 2], "damaged"), (ATTACKS["jpeg_of_scans"](), "too long"),
        (ATTACKS["png_of_gamma"](), "found no number"),
        (encode("PNG", (6000, 5000), "1"), "too many pixels"), (b"a letter", "PNG, JPEG"),
    ):  # fmt: skip
        file = upload(http, content)
        assert expected in sentence(http, "upload", file)
        said = sentence(http, "sketch", {"layers": [], "composite": file})
        assert expected in said or "Draw a digit" in said
    assert logged() == before


ENDPOINT = st.sampled_from(["sketch", "upload", "read"])
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
@given(name=ENDPOINT, data=st.lists(SKETCH | PICTURE, max_size=3))
def test_whatever_the_arguments_are_they_get_a_sentence(http, name, data):
    text = call(http, f"call/{name}", {"data": data})
    assert re.match("200|422", text), text
    assert re.search("Wrong arguments|[Dd]raw|Input should|required", text), text
    assert not re.search(r"Traceback|/root|/home|/tmp|root:|\.py:", text), text


def test_a_sketch_is_its_layers_else_its_composite_and_has_few(http):
    ink = Image.merge("LA", (Image.new("L", SEVEN.size), ImageOps.invert(SEVEN)))
    pictures = ink, Image.new("RGBA", (280, 280)), Image.new("L", (280, 280), 255), SEVEN
    ink, nothing, white, seven = (upload(http, encode("PNG", picture)) for picture in pictures)
    for layers, composite, expected in (
        ([ink, nothing], white, SEEN), ([nothing], white, "Draw"), ([], None, "Draw"),
        ([nothing] * 8, seven, SEEN), ([], seven, SEEN), ([nothing] * 9, seven, "Wrong arguments"),
    ):  # fmt: skip
        sketch = {"layers": layers, "composite": composite}
        assert expected in sentence(http, "sketch", sketch)


def test_visitors_never_see_one_anothers_answers(http):
    paths = sorted(EXAMPLES.iterdir()) * 3  # as 7-crossed.png, 42-plain.png, letter-X.png

    def read(path: Path) -> str:
        return sentence(http, "upload", upload(http, path.read_bytes()))

    with ThreadPoolExecutor(9) as visitors:
        said = [*visitors.map(read, paths)]
    assert len(paths) >= 30
    for path, words in zip(paths, said, strict=True):
        name, _ = path.name.split("-")
        assert (f" {name}." if name.isdigit() else "may not be a digit") in words, path.name


def test_one_that_is_stuck_is_given_up_after_three_seconds(site, http):
    """Both workers are, and the next after them answers."""
    file, (fork_server, *_) = upload(http, PNG), children(site.server.process.pid)
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
