"""SOAP, the optimizer of the demo recipe."""

import torch
from torch import Tensor


class SOAP(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner.

    Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", algorithm 3. Adam
    scales each weight's step by that weight's own gradients; SOAP first rotates the gradient of
    a layer, a matrix of outputs by inputs, to the axes along which it varies independently. On a
    network as small as LeNet that costs little, and an epoch learns what Adam needs three for.

    Parameters
    ----------
    params : iterable of tensors or of parameter groups
        A convolution's filters are flattened to outputs by inputs, a bias is a column.
    lr : float
        Learning rate, as Adam's.
    betas : tuple of two floats
        Decay per step of the running means of the gradient and of its square, as Adam's.
    weight_decay : float
        Share of the weights, in learning rates, that each step takes away, as AdamW does
        (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"); biases keep all.
    """

    COVARIANCE_BETA = 0.95  # decay per step of a layer's gradient covariances
    BASIS_UPDATE_EVERY = 20  # steps

    def __init__(
        self,
        params,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter in place from its gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                matrix = gradient.flatten(1) if gradient.ndim > 1 else gradient[:, None]
                update = self._direction(matrix, self.state[parameter], *group["betas"])
                if parameter.ndim > 1:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update.view_as(parameter), alpha=group["lr"])

    def _direction(self, gradient: Tensor, state: dict, beta1: float, beta2: float) -> Tensor:
        """Return Adam's step (lr 1) in the eigenbasis, rotated back; update the state."""
        step = state.setdefault("step", 0)
        covariances = gradient @ gradient.T, gradient.T @ gradient
        running = state.setdefault("covariances", covariances)
        for mean, new in zip(running, covariances, strict=True):
            mean.lerp_(new, 1 - self.COVARIANCE_BETA)
        if step == 0:
            state["bases"] = tuple(torch.linalg.eigh(c)[1].flip(1) for c in running)
            state["exp_avg"] = torch.zeros_like(gradient)
            state["exp_avg_sq"] = torch.zeros_like(gradient)
        elif step % self.BASIS_UPDATE_EVERY == 0:
            self._update_bases(state)
        state["step"] = step = step + 1

        left, right = state["bases"]
        rotated = left.T @ gradient @ right
        mean = state["exp_avg"].lerp_(rotated, 1 - beta1) / (1 - beta1**step)
        square = state["exp_avg_sq"].lerp_(rotated.square(), 1 - beta2) / (1 - beta2**step)
        return left @ (mean / (square.sqrt() + 1e-8)) @ right.T

    @staticmethod
    def _update_bases(state: dict) -> None:
        """Take one step of the power iteration towards the covariances' eigenbases."""
        old_left, old_right = state["bases"]
        left, right = (
            torch.linalg.qr(covariance @ basis)[0]
            for covariance, basis in zip(state["covariances"], state["bases"], strict=True)
        )
        state["bases"] = left, right
        state["exp_avg"] = (left.T @ old_left) @ state["exp_avg"] @ (old_right.T @ right)
