"""Weights that would break every answer, or none, are told apart before they answer."""

import json
import sys

import pytest
import torch
from huggingface_hub import hf_hub_download

from lenet import LeNet
from reading.checks import LARGEST, LimitedProgress, check_model, read_accuracy
from reading.weights import EMBEDDED_WEIGHTS

BROKEN = r"between|finite|same"


@pytest.fixture
def model():
    return LeNet.from_pretrained(EMBEDDED_WEIGHTS)


def test_the_embedded_weights_pass(model):
    check_model(model)


def test_an_untrained_network_passes():
    torch.manual_seed(0)
    check_model(LeNet())


@pytest.mark.parametrize("value", [1e38, -1e38, 3e38, 0.0, 1.0])
@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_weights_that_are_all_alike_are_refused(value, second_sigmoid):
    model = LeNet(second_sigmoid=second_sigmoid)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    with pytest.raises(ValueError, match=BROKEN):
        check_model(model)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "linear1", "linear2", "linear3"])
def test_one_broken_layer_is_enough(model, layer):
    with torch.no_grad():
        getattr(model, layer).weight.fill_(3e38)
    with pytest.raises(ValueError, match=BROKEN):
        check_model(model)


def test_within_the_bounds_no_picture_overflows():
    """Which is why two pictures are enough to try."""
    for sign in (1, -1):
        for second_sigmoid in (True, False):
            model = LeNet(second_sigmoid, temperature=0.01)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(sign * LARGEST)
                layers = model.layers(torch.ones(1, 1, 28, 28))
                layers.append(model.probabilities(layers[-1]))
            assert all(layer.isfinite().all() for layer in layers)


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300, 10**400, sys.float_info.max])
def test_a_temperature_that_is_none_is_refused(model, temperature):
    model.temperature = temperature
    with pytest.raises(ValueError, match="temperature"):
        check_model(model)


@pytest.mark.parametrize("accuracy", [0.9928, 0, 1, 1.0])
def test_an_accuracy_is_a_number_from_0_to_1(tmp_path, accuracy):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"test_accuracy": accuracy}))
    assert read_accuracy(metrics) == accuracy


@pytest.mark.parametrize(
    "content",
    ["true", "false", "NaN", "Infinity", "1e308", "1e400", "-0.1", "1.01", '"0.99"', "null",
     "[0.99]", "{}", "1" + "0" * 400, "9" * 5000, "[" * 100_000],
)  # fmt: skip
def test_what_is_none_is_not_shown(tmp_path, content):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(f'{{"test_accuracy": {content}}}')
    assert read_accuracy(metrics) is None


def test_other_contents_and_long_files_are_not_shown(tmp_path):
    metrics = tmp_path / "metrics.json"
    assert read_accuracy(metrics) is None
    for content in ("", "[]", "7", '{"test_accuracy": 0.99}' + " " * 1_000_000):
        metrics.write_text(content)
        assert read_accuracy(metrics) is None


@pytest.mark.parametrize("length", [900_000, 3_000_000])
def test_a_long_file_of_the_hubs_is_not_fetched(hub, length):
    hub.add("someone/weights", {"metrics.json": b" " * length})

    def fetch():
        return hf_hub_download("someone/weights", "metrics.json", tqdm_class=LimitedProgress)

    if length < 1_000_000:
        with open(fetch(), "rb") as file:
            assert len(file.read()) == length
    else:
        with pytest.raises(ValueError, match="longer than 1,000,000 bytes"):
            fetch()


def test_a_server_that_lies_about_the_length_is_cut_off():
    progress = LimitedProgress(total=1000)
    progress.update(1_000_000)
    with pytest.raises(ValueError, match="longer"):
        progress.update(1)
