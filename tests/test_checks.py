"""Weights that would break every answer, or none, are told apart before they answer."""

import json
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from huggingface_hub import hf_hub_download

from lenet import LeNet
from reading.checks import LARGEST, LimitedProgress, check_model, read_accuracy
from reading.weights import EMBEDDED_WEIGHTS


def filled(model: LeNet, value: float, part: str = "") -> LeNet:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(part):
                parameter.fill_(value)
    return model


def embedded() -> LeNet:
    return LeNet.from_pretrained(EMBEDDED_WEIGHTS)


def test_trained_and_untrained_networks_pass():
    check_model(embedded())
    torch.manual_seed(0)
    check_model(LeNet())


ALIKE = [filled(LeNet(second), value) for second in (True, False) for value in (1e38, -3e38, 0, 1)]
LAYERS = ("conv1", "conv2", "linear1", "linear2", "linear3")


@pytest.mark.parametrize("model", [*ALIKE, *(filled(embedded(), 3e38, layer) for layer in LAYERS)])
def test_weights_that_are_all_alike_and_one_broken_layer_are_refused(model):
    with pytest.raises(ValueError, match=r"between|finite|same"):
        check_model(model)


@pytest.mark.parametrize("sign, second_sigmoid", [*product((1, -1), (True, False))])
def test_within_the_bounds_no_picture_overflows(sign, second_sigmoid):
    """Which is why two pictures are enough to try."""
    model = filled(LeNet(second_sigmoid, temperature=0.01), sign * LARGEST)
    layers = model.layers(torch.ones(1, 1, 28, 28))
    layers.append(model.probabilities(layers[-1]))
    assert all(layer.isfinite().all() for layer in layers)


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300, 10**400, sys.float_info.max])
def test_a_temperature_that_is_none_is_refused(temperature):
    model = embedded()
    model.temperature = temperature
    with pytest.raises(ValueError, match="temperature"):
        check_model(model)


VALUES = ["true", "false", "NaN", "Infinity", "1e308", "1e400", "-0.1", "1.01", '"0.99"', "null"]
VALUES += ["[0.99]", "{}", "1" + "0" * 400, "9" * 5000, "[" * 100_000, "0.99" + " " * 1_000_000]
CONTENTS = [None, "", "[]", "7", *(f'{{"test_accuracy": {value}}}' for value in VALUES)]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_what_is_no_accuracy_is_not_shown(tmp_path, content):
    metrics = tmp_path / "metrics.json"
    if content is not None:
        metrics.write_text(content)
    assert read_accuracy(metrics) is None


@pytest.mark.parametrize("accuracy", [0.9928, 0, 1, 1.0])
def test_an_accuracy_is_a_number_from_0_to_1(tmp_path, accuracy):
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"test_accuracy": accuracy}))
    assert read_accuracy(metrics) == accuracy


def test_a_long_file_of_the_hubs_is_not_fetched_whatever_its_server_says(hub):
    hub.add("someone/weights", {"short": b" " * 900_000, "long": b" " * 3_000_000})
    how = {"repo_id": "someone/weights", "tqdm_class": LimitedProgress}
    assert len(Path(hf_hub_download(filename="short", **how)).read_bytes()) == 900_000
    with pytest.raises(ValueError, match="longer than 1,000,000 bytes"):
        hf_hub_download(filename="long", **how)
    progress = LimitedProgress(total=1000)
    progress.update(1_000_000)
    with pytest.raises(ValueError, match="longer"):
        progress.update(1)
