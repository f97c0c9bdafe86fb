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


def draw(points=SEVEN, mode="L", paper=255, ink=0, size=280) -> Image.Image:
    image = Image.new(mode, (size, size), paper)
    points = [(x * size, y * size) for x, y in points]
    ImageDraw.Draw(image).line(points, fill=ink, width=size // 12, joint="curve")
    return image


@pytest.fixture(scope="module")
def client(page_url):
    return Client(page_url, verbose=False)


@pytest.fixture
def file(tmp_path):
    """Save a picture; give it as the client sends it."""

    def save(image, name="picture.png"):
        image.save(tmp_path / name)
        return handle_file(tmp_path / name)

    return save


def sketch(layers=(), composite=None):
    return {"background": None, "layers": list(layers), "composite": composite}


def test_recognize_returns_ten_probabilities():
    probabilities = recognize(draw())
    assert list(probabilities) == [str(digit) for digit in range(10)]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert max(probabilities, key=probabilities.get) == "7"
    assert recognize(np.asarray(draw())) == probabilities


def test_recognize_takes_another_model():
    """Of the same weights at another temperature, so that the answers differ by that alone."""
    usual = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    hot = LeNet(temperature=4 * usual.temperature).eval()
    hot.load_state_dict(usual.state_dict())
    assert reader.recognize(draw(), usual) == recognize(draw())
    assert max(reader.recognize(draw(), hot).values()) < max(recognize(draw()).values()) - 0.01


def test_recognize_raises_where_there_is_nothing():
    with pytest.raises(NoDigitError):
        recognize(Image.new("L", (280, 280), 255))


def top(answer) -> str:
    return answer[0]["label"]


def test_upload_answers_with_the_three_best(client, file):
    label, words, _ = client.predict(file(draw()), api_name="/upload")
    guesses = [(guess["label"], guess["confidence"]) for guess in label["confidences"]]
    expected = reader.read(draw()).guesses
    assert [name for name, _ in guesses] == [name for name, _ in expected]
    assert [p for _, p in guesses] == pytest.approx([p for _, p in expected], abs=1e-5)
    assert label["label"] == "7" and words == "That is a 7."


@pytest.mark.parametrize(
    "sign",
    [
        [(0.15, 0.15), (0.85, 0.85), (0.5, 0.5), (0.85, 0.15), (0.15, 0.85)],  # X
        [(0.5, 0.1), (0.25, 0.9), (0.9, 0.4), (0.1, 0.4), (0.75, 0.9), (0.5, 0.1)],  # a star
    ],
)
def test_what_is_no_digit_is_doubted(client, file, sign):
    _, words, _ = client.predict(file(draw(sign)), api_name="/upload")
    assert "may not be a digit" in words


def test_upload_reads_transparent_pictures(client, file):
    ink = draw(mode="RGBA", paper=(0, 0, 0, 0), ink=(0, 0, 0, 255))
    assert top(client.predict(file(ink), api_name="/upload")) == "7"


def test_upload_reads_a_photograph_taken_sideways(client, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    draw(size=1600).rotate(90).save(tmp_path / "photo.jpg", exif=exif)
    assert top(client.predict(handle_file(tmp_path / "photo.jpg"), api_name="/upload")) == "7"


def test_upload_reads_sixteen_bits(client, tmp_path):
    Image.fromarray(np.asarray(draw()).astype(np.uint16) * 250).save(tmp_path / "deep.png")
    assert top(client.predict(handle_file(tmp_path / "deep.png"), api_name="/upload")) == "7"


def test_upload_reads_a_number(client, file):
    two = Image.new("L", (560, 280), 255)
    two.paste(draw(), (0, 0))
    two.paste(draw(), (280, 0))
    label, words, _ = client.predict(file(two), api_name="/upload")
    assert label["label"] == "77" and words == "That is 77."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "PNG, JPEG"),
        (b"a letter, not a picture", "PNG, JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "damaged"),
    ],
)
def test_a_file_that_is_no_picture_gets_a_sentence(client, tmp_path, content, sentence):
    (tmp_path / "picture.png").write_bytes(content)
    label, words, layers = client.predict(handle_file(tmp_path / "picture.png"), api_name="/upload")
    assert not label and not layers and sentence in words


def test_a_truncated_picture_gets_a_sentence(client, tmp_path):
    draw().save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) // 2])
    label, words, layers = client.predict(handle_file(tmp_path / "half.png"), api_name="/upload")
    assert not label and not layers and "damaged" in words


def test_sketch_reads_the_layers(client, file):
    layer = file(draw(mode="RGBA", paper=(0, 0, 0, 0), ink=(0, 0, 0, 255)), "layer.png")
    white = file(Image.new("RGBA", (280, 280), "white"), "composite.png")
    assert top(client.predict(sketch([layer], white), api_name="/sketch")) == "7"


def test_sketch_reads_the_composite_where_the_layers_are_empty(client, file):
    nothing = file(Image.new("RGBA", (280, 280)), "layer.png")
    assert top(client.predict(sketch([nothing], file(draw())), api_name="/sketch")) == "7"


def test_sketch_joins_several_layers(client, file):
    """A 7 whose bar is on one layer and whose stem is on another."""
    clear = {"mode": "RGBA", "paper": (0, 0, 0, 0), "ink": (0, 0, 0, 255)}
    layers = [
        file(draw(part, **clear), f"{n}.png") for n, part in enumerate((SEVEN[:2], SEVEN[1:]))
    ]
    assert top(client.predict(sketch(layers), api_name="/sketch")) == "7"


def test_sketch_reads_a_composite_alone(client, file):
    assert top(client.predict(sketch(composite=file(draw())), api_name="/sketch")) == "7"


def test_an_emptied_pad_is_answered_with_an_invitation(client, file):
    nothing = file(Image.new("RGBA", (280, 280)), "layer.png")
    white = file(Image.new("RGBA", (280, 280), "white"), "composite.png")
    for blank in (None, sketch(), sketch([nothing], white), sketch(composite=white)):
        label, words, layers = client.predict(blank, api_name="/sketch")
        assert not label and not layers and re.search("[Dd]raw", words)


def test_an_empty_upload_is_answered_with_a_sentence(client, file):
    for blank in (None, file(Image.new("L", (50, 50), 200))):
        label, words, layers = client.predict(blank, api_name="/upload")
        assert not label and not layers and re.search("[Dd]raw", words)


def test_read_answers_a_program_in_numbers_and_words(client, file):
    reading = client.predict(picture=file(draw()), api_name="/read")
    guesses = [(guess["number"], guess["probability"]) for guess in reading["guesses"]]
    expected = reader.read(draw()).guesses
    assert [number for number, _ in guesses] == [number for number, _ in expected]
    assert [p for _, p in guesses] == pytest.approx([p for _, p in expected], abs=1e-5)
    assert guesses[0][0] == "7" and reading["words"] == "That is a 7."


def test_read_says_why_there_is_no_guess(client, file, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"no picture")
    for picture, words in (
        (file(Image.new("L", (50, 50), 200), "blank.png"), "draw"),
        (handle_file(tmp_path / "picture.png"), "png, jpeg"),
    ):
        reading = client.predict(picture=picture, api_name="/read")
        assert reading["guesses"] == [] and words in reading["words"].lower()


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


def test_read_is_described_to_programs_in_types_and_words(client):
    read = client.view_api(return_format="dict")["named_endpoints"]["/read"]
    assert "handwritten number" in read["description"]
    (picture,), (answer,) = read["parameters"], read["returns"]
    assert picture["parameter_name"] == "picture" and "path" in picture["type"]["properties"]
    guess = answer["type"]["properties"]["guesses"]["items"]["properties"]
    assert guess == {"number": {"type": "string"}, "probability": {"type": "number"}}
    assert answer["type"]["properties"]["words"] == {"type": "string"}


def test_only_the_three_endpoints_are_public(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/sketch", "/upload", "/read"}


def test_every_example_is_read_as_it_is_named(client):
    """7-crossed.png is a 7, 42-plain.png is 42, letter-X.png is none."""
    examples = sorted((ROOT / "examples" / "digits").iterdir())
    assert len(examples) >= 10
    for example in examples:
        _, words, _ = client.predict(handle_file(example), api_name="/upload")
        name, _ = example.name.split("-")
        said = f" {name}." if name.isdigit() else "may not be a digit"
        assert said in words, example.name


# The Space


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readmes_python_does_what_it_says(monkeypatch, page_url):
    monkeypatch.chdir(ROOT)
    here, from_elsewhere = snippets("python")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(here, {})
    assert printed.getvalue() == "7\n"
    assert "http://127.0.0.1:7860" in from_elsewhere
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(from_elsewhere.replace("http://127.0.0.1:7860", page_url), {})
    assert "That is a 7. [{'label': '7'" in printed.getvalue()


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
