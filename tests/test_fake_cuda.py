"""What a GPU would refuse or get wrong, found without one."""

from unittest.mock import MagicMock, Mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import training.state
from lenet import LeNet
from training.augment import NOISE_SIZE
from training.data import TrainingSet
from training.recipes import DEMO, PAPER
from training.speed import captured
from training.state import make_state
from training.steps import make_step

CUDA = torch.device("cuda:0")


def tensors_in(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def random_set(count, device="cpu"):
    images = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, device=device)
    return TrainingSet(images, torch.randint(10, (count,), device=device), (count - 9, 0, 0, 9))


def inputs_of(recipe, count, size=64, device="cpu"):
    batch = torch.randint(count, (size,), device=device)
    noise = [torch.randn(size, NOISE_SIZE, device=device)] if recipe.augmentation else []
    return batch, *noise


class OnOneDevice(TorchDispatchMode):
    """Raise where an operation leaves the GPU, or makes as much as the training set is."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert {t.device for t in tensors_in((args, kwargs, result))} <= {CUDA}, func
        assert all(t.numel() < 4000 * 784 for t in tensors_in(result)), func
        return result


def replace_parameters(module, function, recurse=True):
    """Module._apply for fake tensors, which PyTorch cannot swap in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            part._parameters[name] = torch.nn.Parameter(function(parameter.detach()))
    return module


@pytest.mark.parametrize("recipe", [PAPER, DEMO], ids=lambda recipe: recipe.name)
def test_a_step_stays_on_the_gpu(recipe, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "_apply", replace_parameters)
    # The copy of a fake tensor would read its memory, which there is not.
    monkeypatch.setattr(training.state, "deepcopy", lambda model: LeNet().to(CUDA))
    with FakeTensorMode(allow_non_fake_inputs=True):
        state = make_state(recipe, seed=0, device=CUDA, steps=100)
        assert all(weight.is_contiguous() for weight in state.model.parameters())
        step = make_step(state, random_set(4000, CUDA), is_fast=False)
        inputs = inputs_of(recipe, 4000, device=CUDA)

        def backward(loss):  # autograd's engine wants a real GPU
            for parameter in state.model.parameters():
                parameter.grad = torch.zeros_like(parameter)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        state.step = 19
        with OnOneDevice():
            for _ in range(3):  # SOAP's bases change before the second
                state.begin_step()
                step(*inputs)
        assert {t.device for t in tensors_in((state.state_dict(), state.sums))} == {CUDA}


class Recording(TorchDispatchMode):
    """A CUDA graph's stand-in: runs operations again on the same tensors, with the same numbers."""

    def __init__(self):
        super().__init__()
        self.calls, self.replays = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tensors_in(result)))
        return result

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        for func, args, kwargs, results in self.calls if self.replays > 1 else ():
            # The first time, recording has run them: what a graph does not do.
            for old, new in zip(results, tensors_in(func(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)


@pytest.fixture
def graphs(monkeypatch):
    made = []
    for name in ("Stream", "current_stream", "stream"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: made.append(Recording()) or made[-1])
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: graph)
    return made


def test_a_captured_step_gives_the_bits_of_the_eager_one(graphs):
    torch.manual_seed(0)
    training_set = random_set(400)
    batches = [inputs_of(DEMO, 400, size=40 if i == 9 else 64) for i in range(25)]
    ends = []
    for speed_up in (lambda step: step, captured):
        state = make_state(DEMO, 0, torch.device("cpu"), steps=100)
        step = speed_up(make_step(state, training_set, is_fast=False))
        for inputs in batches:
            state.begin_step()
            step(*inputs)
        weights = [weight.flatten() for weight in state.network().parameters()]
        ends.append(torch.cat([state.sums, *weights]))
    assert torch.equal(*ends)
    assert graphs[0].replays == 21  # all but the first three and the one of another size


def test_a_step_that_cannot_be_captured_goes_on(graphs, monkeypatch, capsys):
    refused = RuntimeError("operation not permitted when stream is capturing\nSee the docs.")
    monkeypatch.setattr(torch.cuda, "graph", Mock(side_effect=refused))
    taken = []
    step = captured(lambda batch: taken.append(batch.item()))
    for i in range(6):
        step(torch.tensor([i]))
    assert taken == list(range(6))
    assert capsys.readouterr().out.count("without a CUDA graph: operation not permitted") == 1
