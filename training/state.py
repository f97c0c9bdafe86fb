"""The state of a training run: what each step changes, and what a checkpoint holds."""

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lenet import LeNet
from training.recipes import Recipe
from training.soap import SOAP


@dataclass
class TrainState:
    """Everything that changes during a training run, and the settings it needs."""

    recipe: Recipe
    seed: int
    steps: int  # of the whole run
    model: LeNet  # the weights that the optimizer changes
    optimizer: torch.optim.Optimizer
    ema: LeNet | None  # the running mean (EMA) of the weights, if the recipe has one
    ema_share: Tensor  # scalar in (0, 1]: how far the next step moves `ema` toward the weights
    sums: Tensor  # (2,): the losses and the correct predictions of the epoch so far
    step: int = 0  # steps begun
    history: list[dict] = field(default_factory=list)  # the metrics of each epoch
    best: dict | None = None  # "val_loss" and "weights" of the epoch with the least loss

    def state_dict(self) -> dict:
        """Return everything that a run needs to resume, as tensors and plain values."""
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        return saved | {"step": self.step, "history": self.history, "best": self.best}

    def load_state_dict(self, saved: dict) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        self.step, self.history, self.best = saved["step"], saved["history"], saved["best"]

    def begin_step(self) -> None:
        """Count a step, write its learning rate and EMA share, and update SOAP's bases when due.

        A CUDA graph repeats the numbers it was recorded with, but reads tensors each time.
        """
        recipe, optimizer = self.recipe, self.optimizer
        if recipe.lr_factor is not None:
            factor = recipe.lr_factor(self.step, self.steps)
            for group in optimizer.param_groups:
                group["lr"].fill_(group["initial_lr"] * factor)
        if isinstance(optimizer, SOAP) and self.step % SOAP.BASIS_UPDATE_EVERY == 0:
            optimizer.update_bases()
        self.step += 1
        if self.ema is not None:
            # Larger in the first steps, so that the mean soon forgets the initial weights.
            self.ema_share.fill_(max(1 - recipe.ema_decay, 9 / (9 + self.step)))

    def network(self) -> LeNet:
        """Return the network to measure and save: the EMA if there is one, with sigmoids."""
        model = self.model if self.ema is None else self.ema
        return with_sigmoids(model) if self.recipe.tanh_forward else model

    def keep_best(self, network: LeNet, val_loss: float) -> None:
        """Keep a network's weights if none had a lower validation loss."""
        # Accuracy is too coarse to choose by: in a 100-epoch run it peaked at epoch 41 by luck.
        if self.best is None or val_loss <= self.best["val_loss"]:
            weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            self.best = {"val_loss": val_loss, "weights": weights}

    def _parts(self) -> dict:
        parts = {"model": self.model, "optimizer": self.optimizer}
        return parts if self.ema is None else parts | {"ema": self.ema}


def make_state(
    recipe: Recipe, seed: int, device: torch.device, steps: int, second_sigmoid: bool = True
) -> TrainState:
    """Return the state of a run before its first step.

    Parameters
    ----------
    recipe : Recipe
    seed : int, for the initial weights; PyTorch's global generator is seeded with it
    device : torch.device
    steps : int, of the whole run
    second_sigmoid : bool, as `LeNet` takes it; a recipe that trains with tanh needs True
    """
    if recipe.tanh_forward and not second_sigmoid:
        raise ValueError(f"the recipe {recipe.name} needs second_sigmoid=True")
    torch.manual_seed(seed)
    # The CPU's convolutions compute in channels last, and would copy any other layout.
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    model = LeNet(second_sigmoid).to(device, memory_format=layout)
    if recipe.orthogonal_linear:
        for layer in (model.linear1, model.linear2, model.linear3):
            nn.init.orthogonal_(layer.weight)
    parameters = list(model.parameters())
    if recipe.conv1_scale != 1:
        conv1, others = parameters[:2], parameters[2:]
        with torch.no_grad():
            for parameter in conv1:
                parameter *= recipe.conv1_scale
        parameters = [{"params": conv1, "lr": recipe.conv1_scale * recipe.lr}, {"params": others}]
    optimizer = recipe.optimizer(parameters, recipe.lr)
    if recipe.lr_factor is not None:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
            group["lr"] = torch.tensor(group["lr"], device=device)
    ema = None if recipe.ema_decay is None else deepcopy(model).requires_grad_(False)
    share, sums = torch.ones((), device=device), torch.zeros(2, device=device)
    return TrainState(recipe, seed, steps, model, optimizer, ema, share, sums)


def tanh_forward(model: LeNet, images: Tensor) -> Tensor:
    """Return the logits (N, 10) of LeNet's weights with tanh in place of both sigmoids.

    Activations with mean 0 train faster (LeCun et al. 1998, "Efficient BackProp", section 4.4).
    """
    x = model.pool1(model.conv1(images).tanh())  # (N, 6, 14, 14)
    x = model.pool2(model.conv2(x).tanh())  # (N, 16, 5, 5)
    return model.linear3(model.linear2(model.linear1(x.flatten(1))))


@torch.no_grad()
def with_sigmoids(model: LeNet) -> LeNet:
    """Return the LeNet with a `forward` that computes the same as `tanh_forward(model, ...)`.

    Only the weights differ, since sigmoid(2x) = (1 + tanh x) / 2.
    """
    network = deepcopy(model)

    def rescale(layer: nn.Module, outputs: float, inputs: float) -> None:
        """Multiply a layer's outputs; with inputs=2, make it take (1 + x) / 2 in place of x."""
        if inputs != 1:
            layer.bias -= layer.weight.flatten(1).sum(1)
        layer.weight *= inputs * outputs
        layer.bias *= outputs

    rescale(network.conv1, outputs=2, inputs=1)
    rescale(network.conv2, outputs=2, inputs=2)
    rescale(network.linear1, outputs=1, inputs=2)
    return network
