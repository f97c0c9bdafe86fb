"""The optimizer of the demo recipe."""

import torch
from torch import Tensor


class SOAP(torch.optim.Optimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner.

    Vyas et al. 2024, "SOAP: Improving and Stabilizing Shampoo using Adam", algorithm 3. Adam
    scales each weight's step by its own gradients; here the gradient of a layer, a matrix of
    outputs by inputs, is turned first to the axes along which it varies independently. On a
    network as small as LeNet that costs little, and an epoch learns what Adam needs three for.

    Parameters
    ----------
    params : iterable of tensors
        A convolution's filters are taken as a matrix of outputs by inputs, a bias as a column.
    lr : float
        Length of a step, as Adam's.
    betas : two floats
        Decay of the mean gradient and of its square, a step, as Adam's.
    """

    COVARIANCE_BETA = 0.95  # decay of a layer's covariances, a step
    BASIS_EVERY = 20  # steps

    def __init__(self, params, lr: float, betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                matrix = gradient.flatten(1) if gradient.ndim > 1 else gradient[:, None]
                update = self.direction(matrix, self.state[parameter], *group["betas"])
                parameter.sub_(update.view_as(parameter), alpha=group["lr"])

    def direction(self, gradient: Tensor, state: dict, beta1: float, beta2: float) -> Tensor:
        """Give Adam's step (learning rate 1) in the eigenbasis, turned back; change the state."""
        step = state.setdefault("step", 0)
        covariances = gradient @ gradient.T, gradient.T @ gradient
        for mean, new in zip(
            state.setdefault("covariances", covariances), covariances, strict=True
        ):
            mean.lerp_(new, 1 - self.COVARIANCE_BETA)
        if step == 0:
            state["bases"] = tuple(torch.linalg.eigh(c)[1].flip(1) for c in state["covariances"])
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
        elif step % self.BASIS_EVERY == 0:  # one step of the power iteration towards the new basis
            old_left, old_right = state["bases"]
            left, right = (
                torch.linalg.qr(covariance @ basis)[0]
                for covariance, basis in zip(state["covariances"], state["bases"], strict=True)
            )
            state["bases"] = left, right
            state["mean"] = (left.T @ old_left) @ state["mean"] @ (old_right.T @ right)
        state["step"] = step = step + 1

        left, right = state["bases"]
        turned = left.T @ gradient @ right
        mean = state["mean"].lerp_(turned, 1 - beta1) / (1 - beta1**step)
        square = state["square"].lerp_(turned.square(), 1 - beta2) / (1 - beta2**step)
        return left @ (mean / (square.sqrt() + 1e-8)) @ right.T
