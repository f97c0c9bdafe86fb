"""The network, and how its weights are loaded."""

import pickle
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from lenet import LeNet


def test_has_the_parameters_of_the_reports_table_and_trains_them_all():
    model = LeNet()
    expected = dict(conv1=156, conv2=2_416, linear1=48_120, linear2=10_164, linear3=850)
    assert {n: sum(p.numel() for p in getattr(model, n).parameters()) for n in expected} == expected
    assert sum(p.numel() for p in model.parameters()) == 61_706
    model(torch.rand(2, 1, 28, 28)).logsumexp(1).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_is_the_function_that_the_table_describes():
    """Against the same network written out with functions, from the report's table."""
    torch.manual_seed(0)
    model, x = LeNet(), torch.rand(3, 1, 28, 28)
    w = dict(model.named_parameters())

    def reference(second):
        h = torch.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=2).sigmoid()
        h = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
        h = second(torch.conv2d(h, w["conv2.weight"], w["conv2.bias"]))
        h = h.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).reshape(3, 400)
        for layer in ("linear1", "linear2", "linear3"):
            h = h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]
        return h

    torch.testing.assert_close(model(x), reference(torch.sigmoid))
    one_sigmoid = LeNet(second_sigmoid=False)
    one_sigmoid.load_state_dict(model.state_dict())
    torch.testing.assert_close(one_sigmoid(x), reference(lambda h: h))


def test_probabilities_are_the_softmax_of_logits_over_the_temperature():
    logits = LeNet()(torch.rand(5, 1, 28, 28)).double()
    assert not torch.allclose(logits.sum(1), torch.ones(5).double(), atol=1e-3)
    for temperature in (0.5, 1.0, 4.0):
        probabilities = LeNet(temperature=temperature).probabilities(logits)
        powers = (logits / temperature).exp()
        torch.testing.assert_close(probabilities, powers / powers.sum(1, keepdim=True))


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 3, 28, 28), (1, 1, 32, 32)])
def test_names_a_wrong_shape(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        LeNet()(torch.zeros(shape))


@pytest.mark.parametrize("asked", [{}, {"strict": False, "map_location": torch.device("cpu")}])
@pytest.mark.parametrize("second_sigmoid", [True, False])
def test_saved_and_loaded_is_the_same_network(tmp_path, second_sigmoid, asked):
    model, x = LeNet(second_sigmoid), torch.rand(2, 1, 28, 28)
    model.save_pretrained(tmp_path)
    loaded = LeNet.from_pretrained(tmp_path, **asked)
    assert not loaded.training and torch.equal(loaded(x), model(x))
    assert {"model.safetensors", "config.json"} <= {file.name for file in tmp_path.iterdir()}


@pytest.fixture
def saved(tmp_path):
    LeNet().save_pretrained(tmp_path)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("asked", [{}, {"strict": True}, {"strict": False, "map_location": "cpu"}])
@pytest.mark.parametrize("damage", ["missing", "unexpected", "misshapen", "not finite"])
def test_refuses_weights_that_do_not_fit(saved, damage, asked):
    weights = load_file(saved)
    bias = weights.pop("conv1.bias")
    save_file(
        weights
        | {
            "missing": {},
            "unexpected": {"conv1.bias": bias, "conv3.bias": torch.zeros(1)},
            "misshapen": {"conv1.bias": bias[:5]},
            "not finite": {"conv1.bias": bias.clone().fill_(torch.nan)},
        }[damage],
        saved,
    )
    with pytest.raises((RuntimeError, ValueError), match=r"conv[13]\.bias"):
        LeNet.from_pretrained(saved.parent, **asked)


def test_never_reads_a_pickle(saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    saved.unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises((OSError, ValueError)):
        LeNet.from_pretrained(tmp_path)
    assert not (tmp_path / "sprung").exists()
