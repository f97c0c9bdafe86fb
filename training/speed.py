"""Two ways to take the same training step sooner: CUDA graphs on a GPU, torch.compile on a CPU."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet

EAGER_STEPS = 3  # before a graph is recorded: by then the optimizer has made its state


def captured(step: Callable[..., None]) -> Callable[..., None]:
    """Return a step that is one CUDA graph from its fourth call on.

    LeNet's kernels are so small that starting them one by one takes longest; a graph starts all
    of them at once. They are the same kernels: the bits are those of the eager step.

    Parameters
    ----------
    step : callable
        Of CUDA tensors. It only changes tensors in place, and reads nothing else that changes.

    Returns
    -------
    step : callable
        Runs eagerly for tensors of other shapes than its first, and if it can't be recorded.
    """
    side, static, calls, graph = torch.cuda.Stream(), [], 0, None

    def run_eagerly(inputs: tuple[Tensor, ...]) -> None:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # as recording wants it: not on the default stream
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
    """Return a step as a graph, which has not run yet; None, after a line that says why, if not."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph):
            step(*inputs)
    except RuntimeError as error:
        tqdm.write(f"Training goes on more slowly, without a CUDA graph: {_reason(error)}")
        return None
    return graph


def compiled(loss_fn: Callable, model: LeNet) -> Callable:
    """Return a loss function sped up by torch.compile; where that fails, say why and do without.

    Parameters
    ----------
    loss_fn : callable
        Its first result is the loss of `model`.
    model : LeNet, on the CPU
    """
    fast, parameters = torch.compile(loss_fn, dynamic=False), list(model.parameters())
    is_tried = False

    def call(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal fast, is_tried
        try:
            if not is_tried:  # backward is compiled at its first call, which may fail as well
                torch.autograd.grad(fast(*inputs)[0], parameters)
        except Exception as error:  # without a C++ compiler, for instance
            tqdm.write(f"Training goes on more slowly, without torch.compile: {_reason(error)}")
            fast = loss_fn
        is_tried = True
        return fast(*inputs)

    return call


def _reason(error: Exception) -> str:
    """Return an error's first two lines: PyTorch names the reason in the second."""
    return " ".join(str(error).split("\n")[:2])
