"""Weights that would break every answer, or none, are told apart before they answer."""

from pathlib import Path

import pytest
import torch
from huggingface_hub import hf_hub_download

from lenet import LeNet
from reading.weight_checks import LimitedProgress, check_model, read_accuracy
from reading.weights import EMBEDDED_WEIGHTS


def filled(model: LeNet, value: float, part: str = "") -> LeNet:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(part):
                parameter.fill_(value)
    return model


def embedded(temperature: float = 1.0) -> LeNet:
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    model.temperature = temperature
    return model


BROKEN = [filled(LeNet(second), value) for second in (True, False) for value in (1e38, -3e38, 0, 1)]
BROKEN += [filled(embedded(), 3e38, layer) for layer in ("conv1", "conv2", "linear1", "linear3")]
BROKEN += [embedded(temperature) for temperature in (5e-324, 1e-30, 1e300, 10**400)]


@pytest.mark.parametrize("model", BROKEN)
def test_broken_weights_and_temperatures_are_refused(model):
    with pytest.raises(ValueError, match=r"between|finite|same|temperature"):
        check_model(model)


ACCURACIES = [("0.9928", 0.9928), ("0", 0), ("1", 1)]
NONE = ["true", "NaN", "1e400", "-0.1", "1.01", '"0.99"', "null", "[0.99]", "9" * 5000]
NONE += ["[" * 100_000, "0.99" + " " * 1_000_000]


@pytest.mark.parametrize(
    "value, read", [*ACCURACIES, *((value, None) for value in NONE)], ids=range(14)
)
def test_only_a_number_from_0_to_1_is_an_accuracy(tmp_path, value, read):
    (tmp_path / "metrics.json").write_text(f'{{"test_accuracy": {value}}}')
    assert read_accuracy(tmp_path / "metrics.json") == read


def test_a_long_file_of_the_hubs_is_not_fetched(hub):
    hub.add("someone/weights", {"short": b" " * 900_000, "long": b" " * 3_000_000})
    how = {"repo_id": "someone/weights", "tqdm_class": LimitedProgress}
    assert len(Path(hf_hub_download(filename="short", **how)).read_bytes()) == 900_000
    with pytest.raises(ValueError, match="longer than 1,000,000 bytes"):
        hf_hub_download(filename="long", **how)
    with pytest.raises(ValueError, match="longer"):  # whatever length the server announced
        LimitedProgress(total=1000).update(1_000_001)
