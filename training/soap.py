"""SOAP, the optimizer of the demo recipe."""

import torch
from torch import Tensor


class SOAP(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner.

    Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", algorithm 3. SOAP
    rotates a layer's gradient to the axes along which it varies independently, and takes Adam's
    step there. On LeNet it learns more per epoch than Adam (benchmarks/README.md).

    After the first step, `step` depends on tensors alone, so that a CUDA graph can hold it. A graph
    can't hold `update_bases`; call it between steps, every `BASIS_UPDATE_EVERY` of them.

    Parameters
    ----------
    params : iterable of tensors or parameter groups
    lr, betas : as in Adam
    weight_decay : as in AdamW (Loshchilov and Hutter 2019), but biases don't decay
    """

    COVARIANCE_BETA = 0.95  # decay per step of the gradient's covariances
    BASIS_UPDATE_EVERY = 20  # steps

    def __init__(
        self,
        params,
        lr: float | Tensor,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        for group in self.param_groups:
            group["step"] = torch.zeros((), device=group["params"][0].device)

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter in place from its gradient."""
        for group in self.param_groups:
            lr, betas, step = group["lr"], group["betas"], group["step"].add_(1)
            corrections = [1 - beta**step for beta in betas]
            kept = 1 - lr * group["weight_decay"]
            for parameter in group["params"]:
                gradient = parameter.grad
                matrix = gradient.flatten(1) if gradient.ndim > 1 else gradient[:, None]
                update = self._direction(matrix, self.state[parameter], betas, corrections)
                if parameter.ndim > 1:
                    parameter.mul_(kept)
                parameter.sub_(lr * update.view_as(parameter))

    def _direction(self, gradient: Tensor, state: dict, betas, corrections) -> Tensor:
        """Return Adam's step (lr 1) in the eigenbasis, rotated back; update the state."""
        covariances = gradient @ gradient.T, gradient.T @ gradient
        if not state:
            state["covariances"] = covariances
            state["bases"] = tuple(torch.linalg.eigh(c)[1].flip(1) for c in covariances)
            state["exp_avg"] = torch.zeros_like(gradient)
            state["exp_avg_sq"] = torch.zeros_like(gradient)
        for mean, new in zip(state["covariances"], covariances, strict=True):
            mean.lerp_(new, 1 - self.COVARIANCE_BETA)

        left, right = state["bases"]
        rotated = left.T @ gradient @ right
        mean = state["exp_avg"].lerp_(rotated, 1 - betas[0]) / corrections[0]
        square = state["exp_avg_sq"].lerp_(rotated.square(), 1 - betas[1]) / corrections[1]
        return left @ (mean / (square.sqrt() + 1e-8)) @ right.T

    @torch.no_grad()
    def update_bases(self) -> None:
        """Move the bases one power iteration toward the covariances' eigenbases, in place."""
        for state in self.state.values():
            old_left, old_right = (basis.clone() for basis in state["bases"])
            for basis, covariance in zip(state["bases"], state["covariances"], strict=True):
                basis.copy_(torch.linalg.qr(covariance @ basis)[0])
            left, right = state["bases"]
            rotated = (left.T @ old_left) @ state["exp_avg"] @ (old_right.T @ right)
            state["exp_avg"].copy_(rotated)
