"""Make a training step faster: CUDA graphs on a GPU, torch.compile on a CPU."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet

EAGER_STEPS = 3  # steps before a graph is recorded, in which the optimizer creates its state


def captured(step: Callable[..., None]) -> Callable[..., None]:
    """Return a step that replays a CUDA graph from its fourth call on.

    LeNet's kernels are so small that launching them takes longest; a graph launches all at once,
    with the same bits. The step must change tensors only in place, and read nothing else that
    changes. It runs eagerly if capturing fails, and for tensors of unusual shapes.
    """
    side, static, calls, graph = torch.cuda.Stream(), [], 0, None

    def run_eagerly(inputs: tuple[Tensor, ...]) -> None:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # recording forbids the default stream
            step(*inputs)
        torch.cuda.current_stream().wait_stream(side)

    def run(*inputs: Tensor) -> None:
        nonlocal static, calls, graph
        static = static or [tensor.clone() for tensor in inputs]
        is_usual = [t.shape for t in inputs] == [t.shape for t in static]
        calls += is_usual
        for old, new in zip(static, inputs, strict=True) if is_usual else ():
            old.copy_(new)
        if is_usual and calls == EAGER_STEPS + 1:
            graph = _recorded(step, static)
        if is_usual and graph:
            graph.replay()
        else:
            run_eagerly(inputs)

    return run


def _recorded(step: Callable[..., None], inputs: list[Tensor]) -> torch.cuda.CUDAGraph | None:
    """Return a step as a CUDA graph that hasn't run yet, or None if that fails."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            step(*inputs)
    except RuntimeError as error:
        tqdm.write(f"Training continues more slowly, without a CUDA graph: {_reason(error)}")
        return None
    return graph


def compiled(loss_fn: Callable, model: LeNet) -> Callable:
    """Return the loss function of `model` compiled by torch.compile, or as it is if that fails."""
    fast, parameters = torch.compile(loss_fn, dynamic=False), list(model.parameters())
    is_tried = False

    def call(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal fast, is_tried
        try:
            if not is_tried:  # backward is compiled at its first call, and may fail too
                torch.autograd.grad(fast(*inputs)[0], parameters)
        except Exception as error:  # for example, if there is no C++ compiler
            tqdm.write(f"Training continues more slowly, without torch.compile: {_reason(error)}")
            fast = loss_fn
        is_tried = True
        return fast(*inputs)

    return call


def _reason(error: Exception) -> str:
    """Return an error's first two lines: PyTorch gives the reason in the second."""
    return " ".join(str(error).split("\n")[:2])
