"""The state of a training run: what changes with each step, and what a checkpoint holds.

The demo recipe trains the network with tanh in place of sigmoid. Since sigmoid(2x) =
(1 + tanh x) / 2, the two are the same network with other weights, and `with_sigmoids` converts
the weights. Activations with mean 0 are learned from faster (LeCun et al. 1998, "Efficient
BackProp", sections 4.3 and 4.4).
"""

from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from lenet import LeNet
from training.recipes import Recipe


@dataclass
class TrainState:
    """What a training run has made so far.

    Parameters
    ----------
    recipe : Recipe
    seed : int
    model : LeNet
        The weights that the optimizer changes.
    optimizer : torch.optim.Optimizer
    schedule : LambdaLR or None
        The learning rate's, for a recipe that changes it.
    ema : LeNet or None
        The running mean of the model's weights, for a recipe that has one.
    step : int
        Steps taken.
    history : list of dict
        The metrics of each epoch, as `train.train` returns them.
    best : dict or None
        Of the epoch with the least validation loss: "val_loss" and "weights", a state dict of
        LeNet.
    """

    recipe: Recipe
    seed: int
    model: LeNet
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR | None
    ema: LeNet | None
    step: int = 0
    history: list[dict] = field(default_factory=list)
    best: dict | None = None

    def state_dict(self) -> dict:
        """Return everything that a run needs to go on, as tensors and plain values."""
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        return saved | {"step": self.step, "history": self.history, "best": self.best}

    def load_state_dict(self, saved: dict) -> None:
        """Load what `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        self.step, self.history, self.best = saved["step"], saved["history"], saved["best"]

    def network(self) -> LeNet:
        """Return the network to measure and save: of the mean weights, with LeNet's sigmoids."""
        model = self.model if self.ema is None else self.ema
        return with_sigmoids(model) if self.recipe.tanh_forward else model

    def keep_best(self, network: LeNet, val_loss: float) -> None:
        """Keep a network's weights if none had less validation loss.

        The accuracy would pick an epoch by the luck of a few images: of a hundred, the 41st.
        """
        if self.best is None or val_loss <= self.best["val_loss"]:
            weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            self.best = {"val_loss": val_loss, "weights": weights}

    def _parts(self) -> dict:
        """Return the parts that have a state dict of their own."""
        parts = {name: getattr(self, name) for name in ("model", "optimizer", "schedule", "ema")}
        return {name: part for name, part in parts.items() if part is not None}


def make_state(
    recipe: Recipe, seed: int, device: torch.device, steps: int, second_sigmoid: bool = True
) -> TrainState:
    """Return the state of a run before its first step.

    Parameters
    ----------
    recipe : Recipe
    seed : int
        Of the initial weights: PyTorch's global generator is seeded with it.
    device : torch.device
    steps : int
        Of the whole run, for the learning rate schedule.
    second_sigmoid : bool
        As `LeNet` takes it.

    Returns
    -------
    state : TrainState

    Raises
    ------
    ValueError
        If a recipe that trains with tanh is to train a network with one sigmoid.
    """
    if recipe.tanh_forward and not second_sigmoid:
        raise ValueError(f"the recipe {recipe.name} trains a network with two sigmoids only")
    torch.manual_seed(seed)
    # Channels last is the memory layout that the CPU's convolutions compute in.
    model = LeNet(second_sigmoid).to(device, memory_format=torch.channels_last)
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
    schedule = ema = None
    if recipe.lr_factor is not None:
        schedule = LambdaLR(optimizer, lambda step: recipe.lr_factor(step, steps))
    if recipe.ema_decay is not None:
        ema = deepcopy(model).requires_grad_(False)
    return TrainState(recipe, seed, model, optimizer, schedule, ema)


@torch.no_grad()
def update_ema(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the running mean of the weights towards the weights, in place.

    Parameters
    ----------
    ema, model : nn.Module of the same architecture
    decay : float
        In [0, 1): what each step leaves of the mean. In the first steps less is left,
        step / (9 + step), or the mean would remember the random initial weights for long.
    step : int
        Steps taken so far, from 1.
    """
    share = max(1 - decay, 9 / (9 + step))
    for mean, parameter in zip(ema.parameters(), model.parameters(), strict=True):
        mean.lerp_(parameter, share)


def tanh_forward(model: LeNet, images: Tensor) -> Tensor:
    """Return the logits that LeNet's weights give with tanh in place of both sigmoids.

    Parameters
    ----------
    model : LeNet
        With a sigmoid after both convolutions.
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1], 0 = paper, 1 = ink.

    Returns
    -------
    logits : float32 tensor of shape (N, 10)
    """
    x = model.pool1(model.conv1(images).tanh())  # (N, 6, 14, 14)
    x = model.pool2(model.conv2(x).tanh())  # (N, 16, 5, 5)
    return model.linear3(model.linear2(model.linear1(x.flatten(1))))


@torch.no_grad()
def with_sigmoids(model: LeNet) -> LeNet:
    """Return the LeNet whose `forward` computes what `tanh_forward` computes of `model`.

    Parameters
    ----------
    model : LeNet
        Left as it is.
    """
    network = deepcopy(model)

    def rescale(layer: nn.Module, outputs: float, inputs: float) -> None:
        """Multiply a layer's outputs, and have it take (1 + x) / 2 (inputs=2) in place of x."""
        if inputs != 1:
            layer.bias -= layer.weight.flatten(1).sum(1)
        layer.weight *= inputs * outputs
        layer.bias *= outputs

    rescale(network.conv1, outputs=2, inputs=1)
    rescale(network.conv2, outputs=2, inputs=2)
    rescale(network.linear1, outputs=1, inputs=2)
    return network
