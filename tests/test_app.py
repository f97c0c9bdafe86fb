"""The page's endpoints, called by Gradio's client on the real server, and the README's examples."""

import contextlib
import io
import re
import subprocess

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw
from serving import ROOT

from app import recognize
from lenet import LeNet
from reading import reader
from reading.preprocess import NoDigitError
from reading.weights import EMBEDDED_WEIGHTS

SEVEN = [(0.25, 0.2), (0.75, 0.2), (0.4, 0.85)]
STAR = [(0.5, 0.1), (0.25, 0.9), (0.9, 0.4), (0.1, 0.4), (0.75, 0.9), (0.5, 0.1)]


def draw(points=SEVEN, size=280, alpha=False) -> Image.Image:
    mode, paper, ink = ("RGBA", (0,) * 4, (0, 0, 0, 255)) if alpha else ("L", 255, 0)
    image = Image.new(mode, (size, size), paper)
    points = [(x * size, y * size) for x, y in points]
    ImageDraw.Draw(image).line(points, fill=ink, width=size // 12, joint="curve")
    return image


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


@pytest.fixture
def file(tmp_path):
    """Save a picture, or bytes; give it as the client sends it."""

    def save(content, name="picture.png", **options):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}-{name}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path, **options)
        return handle_file(path)

    return save


def test_recognize_returns_ten_probabilities_or_raises():
    probabilities = recognize(draw())
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert max(probabilities, key=probabilities.get) == "7"
    assert recognize(np.asarray(draw())) == probabilities
    with pytest.raises(NoDigitError):
        recognize(Image.new("L", (280, 280), 255))


def test_recognize_takes_another_model():
    """Of the same weights at another temperature, so that the answers differ by that alone."""
    usual = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    hot = LeNet(temperature=4 * usual.temperature).eval()
    hot.load_state_dict(usual.state_dict())
    assert reader.recognize(draw(), usual) == recognize(draw())
    assert max(reader.recognize(draw(), hot).values()) < max(recognize(draw()).values()) - 0.01


def test_the_three_best_guesses_for_people_and_for_programs(client, file):
    label, words, _ = client.predict(file(draw()), api_name="/upload")
    reading = client.predict(picture=file(draw()), api_name="/read")
    assert words == reading["words"] == "That is a 7." and label["label"] == "7"
    names, probabilities = zip(*reader.read(draw()).guesses, strict=True)
    for guesses, name, probability in (
        (label["confidences"], "label", "confidence"),
        (reading["guesses"], "number", "probability"),
    ):
        assert tuple(guess[name] for guess in guesses) == names
        assert [g[probability] for g in guesses] == pytest.approx(probabilities, abs=1e-5)


SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


@pytest.mark.parametrize(
    "picture, name, options, words",
    [
        (draw(alpha=True), "7.png", {}, "That is a 7."),
        (draw(size=1600).rotate(90), "photo.jpg", {"exif": SIDEWAYS}, "That is a 7."),
        (Image.fromarray(np.asarray(draw()).astype("u2") * 250), "deep.png", {}, "That is a 7."),
        (Image.fromarray(np.hstack([draw(), draw()])), "77.png", {}, "That is 77."),
        (draw(STAR), "star.png", {}, "may not be a digit"),
    ],
)
def test_upload_reads_what_people_have(client, file, picture, name, options, words):
    answer = client.predict(file(picture, name, **options), api_name="/upload")
    assert words in answer[1]


def png(picture) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "png, jpeg"),
        (b"a letter, not a picture", "png, jpeg"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "damaged"),
        (png(draw())[: len(png(draw())) // 2], "damaged"),
        (png(Image.new("L", (50, 50), 200)), "no number"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(client, file, content, sentence):
    label, words, layers = client.predict(file(content), api_name="/upload")
    assert not label and not layers and sentence in words.lower()
    reading = client.predict(picture=file(content), api_name="/read")
    assert reading == {"guesses": [], "words": words}


def test_sketch_reads_the_layers_else_the_composite(client, file):
    ink, nothing = file(draw(alpha=True)), file(Image.new("RGBA", (280, 280)))
    white, seven = file(Image.new("RGBA", (280, 280), "white")), file(draw())
    bar, stem = (file(draw(part, alpha=True)) for part in (SEVEN[:2], SEVEN[1:]))
    for layers, composite, words in (
        ([ink], white, "a 7."),
        ([nothing], seven, "a 7."),
        ([bar, stem], None, "a 7."),
        ([], seven, "a 7."),
        ([], None, "draw"),
        ([nothing], white, "draw"),
        ([], white, "draw"),
    ):
        sketch = {"background": None, "layers": layers, "composite": composite}
        label, said, figure = client.predict(sketch, api_name="/sketch")
        assert words in said.lower() and bool(label) == bool(figure) == (words == "a 7.")
    for endpoint in ("/sketch", "/upload"):
        label, said, figure = client.predict(None, api_name=endpoint)
        assert not label and not figure and "draw" in said.lower()


@pytest.mark.parametrize(
    "picture",
    [None, 5, "7.png", [], {}, {"path": 3}, {"path": "/etc/passwd"}]
    + [{"path": f"http://127.0.0.1/{path}"} for path in ("7.png", "gradio_api/file=/etc/passwd")],
)
def test_read_takes_nothing_but_an_upload(client, picture):
    if isinstance(picture, dict) and str(picture.get("path")).startswith("http"):
        picture["meta"] = {"_type": "gradio.FileData"}  # with which Gradio would fetch it
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
    (picture,), (answer,) = read["parameters"], read["returns"]
    assert picture["parameter_name"] == "picture" and "path" in picture["type"]["properties"]
    guess = answer["type"]["properties"]["guesses"]["items"]["properties"]
    assert guess == {"number": {"type": "string"}, "probability": {"type": "number"}}
    assert answer["type"]["properties"]["words"] == {"type": "string"}


def test_every_example_is_read_as_it_is_named(client):
    """7-crossed.png is a 7, 42-plain.png is 42, letter-X.png is none."""
    examples = sorted((ROOT / "examples" / "digits").iterdir())
    assert len(examples) >= 10
    for example in examples:
        _, words, _ = client.predict(handle_file(example), api_name="/upload")
        name, _ = example.name.split("-")
        assert (f" {name}." if name.isdigit() else "may not be a digit") in words, example.name


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readmes_python_does_what_it_says(monkeypatch, page_url):
    monkeypatch.chdir(ROOT)
    here, from_elsewhere = snippets("python")
    assert "http://127.0.0.1:7860" in from_elsewhere
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(here, {})
        exec(from_elsewhere.replace("http://127.0.0.1:7860", page_url), {})
    first, _, second = printed.getvalue().partition("\n")
    assert first == "7" and "That is a 7. [{'label': '7'" in second


def test_the_readmes_curl_does_what_it_says(page_url):
    (script,) = [code for code in snippets("bash") if "curl" in code]
    assert "http://127.0.0.1:7860/" in script
    script = script.replace("http://127.0.0.1:7860/", page_url)
    run = subprocess.run(["bash", "-ec", script], cwd=ROOT, capture_output=True, text=True)
    assert "event: complete" in run.stdout and "That is a 7." in run.stdout, run


def test_ci_runs_the_readmes_test_command():
    (find,) = re.findall(r"^test_command=\$\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.M)
    found = subprocess.run(["bash", "-c", find], cwd=ROOT, capture_output=True, text=True).stdout
    (command,) = found.splitlines()
    assert command in [line for code in snippets("bash") for line in code.splitlines()]
    assert "-r requirements.txt -r tests/requirements.txt" in command
    assert command.endswith("python -m pytest -n 3 --dist loadfile")
