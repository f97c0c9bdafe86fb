"""The loss function, the training steps and the epochs of a recipe."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet
from training.augment import NOISE_SIZE, augment
from training.data import TrainingSet, batches_of, scale
from training.metrics import METRICS, evaluate
from training.recipes import Recipe
from training.speed import captured, compiled
from training.state import TrainState, tanh_forward

MIN_COMPILE_STEPS = 2000  # in a shorter run, torch.compile costs more time than it saves

LossFn = Callable[..., tuple[Tensor, Tensor]]


def _epoch_seed(seed: int, epoch: int, stream: int) -> int:
    """Return the 32-bit seed of an epoch's order (stream 0) or augmentation (stream 1)."""
    # With a seed for each epoch, a resumed run needs no generator's state.
    return int(np.random.SeedSequence([abs(seed), epoch, stream]).generate_state(1)[0])


def make_loss_fn(recipe: Recipe, model: LeNet, training_set: TrainingSet) -> LossFn:
    """Return the training loss as a function of a batch of indices and the augmentation's noise.

    It returns the mean cross entropy in nats per image, and the number of correct predictions.
    """
    images, labels, device = training_set.images, training_set.labels, training_set.labels.device
    targets = torch.cat([torch.eye(10), torch.full((1, 10), 0.1)]).to(device)  # a row per label
    if device.type == "cuda":  # fewer kernels per step; a CPU gathers bytes faster
        images = scale(images)
        targets = targets if training_set.counts[-1] else torch.arange(10, device=device)
    network = partial(tanh_forward, model) if recipe.tanh_forward else model

    def loss_and_correct(batch: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, label = scale(images[batch]), labels[batch]
        if noise is not None:
            x = augment(x, noise, recipe.augmentation)
        logits = network(x)
        return F.cross_entropy(logits, targets[label]), (logits.argmax(1) == label).sum()

    return loss_and_correct


def make_step(
    state: TrainState, training_set: TrainingSet, is_fast: bool | None = None
) -> Callable[..., None]:
    """Return a training step, which changes the state in place; call `begin_step` before each.

    Parameters
    ----------
    state : TrainState
    training_set : TrainingSet
    is_fast : bool, optional
        Whether to use a CUDA graph or, on a CPU, torch.compile. The default is False for a short
        run on a CPU, else True.
    """
    loss_fn, device = make_loss_fn(state.recipe, state.model, training_set), state.sums.device.type
    if is_fast is None:
        is_fast = device == "cuda" or state.steps >= MIN_COMPILE_STEPS
    if is_fast and device == "cpu":
        loss_fn = compiled(loss_fn, state.model)
    step = partial(_train_step, state, loss_fn)
    return captured(step) if is_fast and device == "cuda" else step


def _train_step(state: TrainState, loss_fn: LossFn, batch: Tensor, *noise: Tensor) -> None:
    # This depends on tensors alone, so that a CUDA graph can hold it.
    loss, correct = loss_fn(batch, *noise)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    with torch.no_grad():
        if state.ema is not None:
            for mean, weight in zip(state.ema.parameters(), state.model.parameters(), strict=True):
                mean.lerp_(weight, state.ema_share)
        loss_sum, correct_sum = state.sums
        loss_sum += loss * len(batch)
        correct_sum += correct


def train_epoch(
    state: TrainState, step: Callable[..., None], training_set: TrainingSet, progress: tqdm
) -> tuple[float, float]:
    """Train the next epoch; change all of the state but `history` and `best`.

    Returns
    -------
    loss, accuracy : float
        Means over all images and over all digits. Each batch is measured before its step.
    """
    recipe, device = state.recipe, state.sums.device
    order, noise = torch.Generator(), torch.Generator(device)
    for stream, generator in enumerate((order, noise)):
        generator.manual_seed(_epoch_seed(state.seed, len(state.history) + 1, stream))
    batches = batches_of(training_set, recipe, order)
    index, sizes = torch.cat(batches), [len(batch) for batch in batches]
    digits = (index < len(training_set.labels) - training_set.counts[-1]).sum().item()
    state.sums.zero_()
    for batch in index.to(device, non_blocking=True).split(sizes):
        inputs = [batch]
        if recipe.augmentation is not None:
            size = len(batch), NOISE_SIZE
            inputs.append(torch.randn(size, generator=noise, device=device))
        state.begin_step()
        step(*inputs)
        progress.update()
    loss_sum, correct = state.sums.tolist()  # the only wait for the GPU in an epoch
    return loss_sum / len(index), correct / digits


def train_epochs(
    state: TrainState, training_set: TrainingSet, validation: tuple[Tensor, Tensor]
) -> Iterator[dict]:
    """Train the remaining epochs; yield the metrics of each.

    Parameters
    ----------
    state : TrainState, updated in place
    training_set : TrainingSet
    validation : images and labels, as `load_mnist` returns them

    Yields
    ------
    metrics : dict, `METRICS` and "seconds"; the state's history ends with it

    Raises
    ------
    ArithmeticError
        If the loss is not finite.
    """
    recipe, step = state.recipe, make_step(state, training_set)
    options = {"unit": "step", "leave": False, "mininterval": 0.5}
    with tqdm(total=state.steps, initial=state.step, **options) as progress:
        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            started = time.perf_counter()
            progress.set_description(f"epoch {epoch}/{recipe.epochs}", refresh=False)
            loss, accuracy = train_epoch(state, step, training_set, progress)
            if not math.isfinite(loss):
                raise ArithmeticError(
                    f"the loss became infinite or NaN in epoch {epoch}. "
                    f"Try a lower --lr than {recipe.lr:g}."
                )
            network = state.network()
            val_loss, val_accuracy = evaluate(network, *validation)
            metrics = dict(zip(METRICS, (loss, accuracy, val_loss, val_accuracy), strict=True))
            metrics["seconds"] = time.perf_counter() - started
            state.history.append(metrics)
            state.keep_best(network, val_loss)
            yield metrics
