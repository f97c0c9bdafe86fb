"""The page's endpoints, called by Gradio's client on the real server, and the README's examples."""

import contextlib
import io
import re
import subprocess

import numpy as np
import pytest
from client import EXAMPLES, FILE
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageOps
from serving import ROOT

from app import recognize
from reading import reader
from reading.preprocess import NoDigitError

SEVEN = Image.open(EXAMPLES / "7-crossed.png").convert("L")
ON_NOTHING = Image.merge("LA", (Image.new("L", SEVEN.size), ImageOps.invert(SEVEN)))


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


@pytest.fixture
def file(tmp_path):
    """Save a picture, or bytes; give it as the client sends it."""

    def save(content):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.png"
        path.write_bytes(content if isinstance(content, bytes) else encoded(content))
        return handle_file(path)

    return save


def test_recognize_returns_ten_probabilities_or_raises():
    probabilities = recognize(SEVEN)
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert max(probabilities, key=probabilities.get) == "7"
    with pytest.raises(NoDigitError):
        recognize(Image.new("L", (280, 280), 255))


def test_the_three_best_guesses_for_people_and_for_programs(client, file):
    label, words, _ = client.predict(file(SEVEN), api_name="/upload")
    reading = client.predict(picture=file(SEVEN), api_name="/read")
    assert words == reading["words"] == "That is a 7." and label["label"] == "7"
    expected = {name: pytest.approx(p, abs=1e-5) for name, p in reader.read(SEVEN).guesses}
    assert {g["label"]: g["confidence"] for g in label["confidences"]} == expected
    assert {g["number"]: g["probability"] for g in reading["guesses"]} == expected


SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


@pytest.mark.parametrize(
    "picture, words",
    [
        (ON_NOTHING, "That is a 7."),
        (encoded(SEVEN.rotate(90), "JPEG", exif=SIDEWAYS), "That is a 7."),
        (Image.fromarray(np.asarray(SEVEN).astype("u2") * 250), "That is a 7."),
        (b"a letter, not a picture", "PNG, JPEG"),
        (encoded(SEVEN)[:400], "damaged"),
        (Image.new("L", (50, 50), 200), "no number"),
    ],
)
def test_what_people_upload_is_read_or_gets_a_sentence(client, file, picture, words):
    label, said, layers = client.predict(file(picture), api_name="/upload")
    assert words in said and bool(label) == bool(layers) == ("7" in said)
    reading = client.predict(picture=file(picture), api_name="/read")
    assert reading["words"] == said and bool(reading["guesses"]) == bool(label)


def test_sketch_reads_the_layers_else_the_composite(client, file):
    nothing, white = file(Image.new("RGBA", (280, 280))), file(Image.new("L", (280, 280), 255))
    for layers, composite, words in (
        ([file(ON_NOTHING), nothing], white, "a 7."),
        ([nothing], file(SEVEN), "a 7."),
        ([], file(SEVEN), "a 7."),
        ([nothing], white, "draw"),
        ([], None, "draw"),
    ):
        sketch = {"background": None, "layers": layers, "composite": composite}
        label, said, figure = client.predict(sketch, api_name="/sketch")
        assert words in said.lower() and bool(label) == bool(figure) == (words == "a 7.")


TO_FETCH = {"path": "http://127.0.0.1/gradio_api/file=/etc/passwd", **FILE}


@pytest.mark.parametrize(
    "picture", [None, "7.png", {}, {"path": 3}, {"path": "/etc/passwd"}, TO_FETCH]
)
def test_read_takes_nothing_but_an_upload(client, picture):
    with pytest.raises(AppError, match="Wrong arguments"):
        client.predict(picture=picture, api_name="/read")


def test_three_endpoints_are_public_and_read_is_described_in_types_and_words(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/sketch", "/upload", "/read"}
    names = [answer["label"] for answer in endpoints["/upload"]["returns"]]
    assert names == ["guesses", "words", "figure"]
    assert "examples/digits" in str(endpoints["/upload"]["parameters"][0]["example_input"])
    read = endpoints["/read"]
    assert "handwritten number" in read["description"]
    (answer,) = read["returns"]
    guess = answer["type"]["properties"]["guesses"]["items"]["properties"]
    assert guess == {"number": {"type": "string"}, "probability": {"type": "number"}}


def test_every_example_is_read_as_it_is_named(client):
    examples = sorted(EXAMPLES.iterdir())
    assert len(examples) >= 10
    for example in examples:  # as 7-crossed.png, 42-plain.png, letter-X.png
        _, words, _ = client.predict(handle_file(example), api_name="/upload")
        name, _ = example.name.split("-")
        assert (f" {name}." if name.isdigit() else "may not be a digit") in words, example.name


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
