"""Compute the gradients of a batch in several threads, each of which takes a part of it.

LeNet's layers are too small for PyTorch to share each of them between cores; half a batch a core
is worth the thread.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def in_threads(loss_fn: Callable, parameters: Sequence[Tensor], threads: int) -> Callable:
    """Return a loss function that computes the loss, and its gradients, in threads.

    Whatever the number of cores, the same parts are added in the same order: to the same bits.

    Parameters
    ----------
    loss_fn : callable
        Of tensors of N rows: the mean loss over the rows, and a share of them, both scalars.
    parameters : sequence of tensors
        What the gradients are taken of.
    threads : int
        Thread i takes row i and each `threads`-th from there.

    Returns
    -------
    loss_fn : callable
        As `loss_fn`; the loss's `backward` has nothing left to do but to hand out the gradients.
    """
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def one_part(share: float, rows: list[Tensor]) -> list[Tensor]:
        loss, accuracy = loss_fn(*rows)
        gradients = torch.autograd.grad(loss, parameters)
        return [share * value for value in (loss.detach(), accuracy, *gradients)]

    def all_parts(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        parts = [[tensor[i::threads] for tensor in tensors] for i in range(threads)]
        shares = [len(part[0]) / len(tensors[0]) for part in parts]
        sums = zip(*pool.map(one_part, shares, parts), strict=True)
        loss, accuracy, *gradients = map(sum, sums)
        return _WithGradients.apply(loss, gradients, *parameters), accuracy

    return all_parts


class _WithGradients(torch.autograd.Function):
    """A loss whose gradients are known already."""

    @staticmethod
    def forward(ctx, loss, gradients, *parameters):
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx, factor):
        return None, None, *(factor * gradient for gradient in ctx.gradients)
