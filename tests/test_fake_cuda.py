"""What a GPU would refuse or get wrong, found without one.

PyTorch's fake tensors know their device; a recording of a step stands in for its CUDA graph.
"""

from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

import training.state
import training.steps
from lenet import LeNet
from training.augment import NOISE_SIZE
from training.data import TrainingSet
from training.recipes import DEMO, PAPER
from training.speed import captured
from training.state import make_state
from training.steps import make_step

CUDA = torch.device("cuda:0")
RECIPES = pytest.mark.parametrize("recipe", [PAPER, DEMO], ids=lambda recipe: recipe.name)


def tensors_in(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def training_set_of(recipe, count, device="cpu"):
    images = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, device=device)
    labels = torch.randint(10, (count,), device=device)
    counts = [count // 2, count // 4, count // 8, count // 8]
    return TrainingSet(images, labels, tuple(counts) if recipe is DEMO else (count, 0, 0, 0))


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
    for child in module.children():
        child._apply(function)
    for name, parameter in module._parameters.items():
        module._parameters[name] = torch.nn.Parameter(function(parameter.detach()))
    return module


@RECIPES
def test_a_step_stays_on_the_gpu(recipe, monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "_apply", replace_parameters)
    # The copy of a fake tensor would read its memory, which there is not.
    monkeypatch.setattr(training.state, "deepcopy", lambda model: LeNet().to(CUDA))
    with FakeTensorMode(allow_non_fake_inputs=True):
        state = make_state(recipe, seed=0, device=CUDA, steps=100)
        assert all(weight.is_contiguous() for weight in state.model.parameters())
        step = make_step(state, training_set_of(recipe, 4000, CUDA), is_fast=False)
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
    """Recordings in the place of CUDA graphs: those that were made."""
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", Mock)
    monkeypatch.setattr(torch.cuda, "current_stream", Mock)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: made.append(Recording()) or made[-1])
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: graph)
    return made


def test_a_gpu_captures_and_a_cpu_compiles_in_a_long_run(monkeypatch):
    monkeypatch.setattr(training.steps, "captured", lambda step: "captured")
    monkeypatch.setattr(training.steps, "compiled", lambda loss_fn, model: "compiled")
    for steps in (100, 5000):
        state = make_state(PAPER, 0, torch.device("cpu"), steps)
        step = make_step(state, training_set_of(PAPER, 64))
        assert (step.args[1] == "compiled") == (steps == 5000)
        on_gpu = replace(state, sums=Mock(device=CUDA))
        assert make_step(on_gpu, training_set_of(PAPER, 64)) == "captured"


@RECIPES
def test_a_captured_step_gives_the_bits_of_the_eager_one(recipe, graphs):
    """For 25 steps, one of them of another size, after a resume as well."""
    torch.manual_seed(0)
    training_set = training_set_of(recipe, 400)
    batches = [inputs_of(recipe, 400, size=40 if i == 9 else 64) for i in range(25)]
    sums, ends, saved = {}, {}, None
    for name in ("eager", "captured", "resumed"):
        state = make_state(recipe, 0, torch.device("cpu"), steps=100)
        step = make_step(state, training_set, is_fast=False)
        step = step if name == "eager" else captured(step)
        if name == "resumed":
            state.load_state_dict(saved)
        for i, inputs in enumerate(batches[state.step :], state.step):
            if name == "eager" and i == 12:
                saved = tree_map_only(torch.Tensor, torch.clone, state.state_dict())
            state.begin_step()
            step(*inputs)
            sums.setdefault(name, {})[i] = state.sums.tolist()
            state.sums.zero_()
        ends[name] = torch.cat([w.flatten() for w in state.network().parameters()])
    assert torch.equal(ends["captured"], ends["eager"])
    assert torch.equal(ends["resumed"], ends["eager"])
    assert sums["captured"] == sums["eager"]
    assert sums["resumed"] == {i: sums["eager"][i] for i in range(12, 25)}
    assert [graph.replays for graph in graphs] == [21, 10]


def test_a_step_that_cannot_be_captured_goes_on(graphs, monkeypatch, capsys):
    def refused(graph):
        raise RuntimeError("operation not permitted when stream is capturing\nSee the docs.")

    monkeypatch.setattr(torch.cuda, "graph", refused)
    taken = []
    step = captured(lambda batch: taken.append(batch.tolist()))
    for i in range(6):
        step(torch.tensor([i]))
    assert taken == [[i] for i in range(6)]
    assert capsys.readouterr().out.count("without a CUDA graph: operation not permitted") == 1
