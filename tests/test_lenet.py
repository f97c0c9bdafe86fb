"""The network, and how its weights are loaded."""

import pickle
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from lenet import LeNet


def test_has_the_parameters_of_the_reports_table_and_trains_them_all():
    model = LeNet()
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in model.children()]
    assert [size for size in sizes if size] == [156, 2_416, 48_120, 10_164, 850]
    model(torch.rand(2, 1, 28, 28)).logsumexp(1).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_is_the_function_that_the_table_describes_saved_and_loaded_too(tmp_path, second_sigmoid):
    model, x = LeNet(second_sigmoid, temperature=4.0), torch.rand(3, 1, 28, 28)
    w = dict(model.named_parameters())
    h = torch.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2).sigmoid()
    h = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    h = torch.conv2d(h, w["conv2.weight"], w["conv2.bias"])
    h = h.sigmoid() if second_sigmoid else h
    h = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).reshape(3, 400)
    for layer in ("linear1", "linear2", "linear3"):
        h = h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
    torch.testing.assert_close(model(x), h)
    model.save_pretrained(tmp_path)
    loaded = LeNet.from_pretrained(tmp_path)
    assert not loaded.training and torch.equal(loaded(x), model(x))
    torch.testing.assert_close(loaded.probabilities(h), (h / 4).softmax(1))


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 3, 28, 28), (1, 1, 32, 32)])
def test_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        LeNet()(torch.zeros(shape))


@pytest.mark.parametrize("asked", [{}, {"strict": False, "map_location": "cpu"}])
@pytest.mark.parametrize("damage", ["missing", "unexpected", "misshapen", "not finite"])
def test_refuses_weights_that_do_not_fit(tmp_path, damage, asked):
    LeNet().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    bias = weights.pop("conv1.bias")
    weights |= {
        "missing": {},
        "unexpected": {"conv1.bias": bias, "conv3.bias": torch.zeros(1)},
        "misshapen": {"conv1.bias": bias[:5]},
        "not finite": {"conv1.bias": bias.clone().fill_(torch.nan)},
    }[damage]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises((RuntimeError, ValueError), match=r"conv[13]\.bias"):
        LeNet.from_pretrained(tmp_path, **asked)


def test_never_reads_a_pickle(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    LeNet().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises((OSError, ValueError)):
        LeNet.from_pretrained(tmp_path)
    assert not (tmp_path / "sprung").exists()
