"""The loss function of a recipe, and the training steps and epochs on it."""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet
from training.augment import NOISE_SIZE, augment
from training.data import NO_DIGIT, TrainingSet, batches_of, scale
from training.metrics import METRICS, evaluate
from training.parallel import in_threads
from training.recipes import Recipe
from training.state import TrainState, tanh_forward, update_ema

LossFn = Callable[[Tensor], tuple[Tensor, Tensor]]


def make_deterministic() -> None:
    """Have PyTorch compute the same bits from the same seed, on a GPU as well."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS varies in its bits
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # not TF32: the page computes in float32
    torch.utils.deterministic.fill_uninitialized_memory = False  # a check that takes time


def epoch_seed(seed: int, epoch: int, stream: int) -> int:
    """Return a generator's seed for an epoch.

    Generators are seeded anew in each epoch, so that a resumed run needs no generator's state.

    Parameters
    ----------
    seed, epoch : int
        The run's seed, and the epoch from 1.
    stream : int
        Which generator: 0 for the order of the images, 1 for the augmentation.

    Returns
    -------
    seed : int
        32 bits, which is all that PyTorch's CPU generator takes of a longer seed.
    """
    return int(np.random.SeedSequence([abs(seed), epoch, stream]).generate_state(1)[0])


def make_loss_fn(
    recipe: Recipe,
    model: LeNet,
    training_set: TrainingSet,
    noise: torch.Generator | None = None,
    use_compile: bool = False,
) -> LossFn:
    """Return the training loss function.

    Parameters
    ----------
    recipe : Recipe
        Says whether images are augmented, and whether tanh stands in place of sigmoid.
    model : LeNet
    training_set : TrainingSet, on the model's device
    noise : torch.Generator, optional
        What the augmentation draws from, on the model's device.
    use_compile : bool
        Whether to speed it up with torch.compile, where that works.

    Returns
    -------
    loss_fn : callable
        Of a batch of indices, an int64 tensor of shape (N,): the mean cross entropy (nats per
        image; for a non-digit every digit is equally likely) and the share of the digits whose
        first guess is right, both scalar tensors.
    """
    images, labels = training_set.images, training_set.labels
    device = labels.device
    targets = torch.cat([torch.eye(10), torch.full((1, 10), 0.1)]).to(device)  # of a label
    augmentation = recipe.augmentation
    network = partial(tanh_forward, model) if recipe.tanh_forward else model

    def loss_and_accuracy(batch: Tensor, numbers: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, label = scale(images[batch]), labels[batch]
        if numbers is not None:
            x = augment(x, numbers, augmentation)
        logits = network(x)
        right, is_digit = logits.argmax(1) == label, label != NO_DIGIT
        return F.cross_entropy(logits, targets[label]), right.sum() / is_digit.sum()

    if use_compile:
        loss_and_accuracy = _compile_if_possible(loss_and_accuracy, model)
    if recipe.threads > 1 and device.type == "cpu":
        parameters = list(model.parameters())
        loss_and_accuracy = in_threads(loss_and_accuracy, parameters, recipe.threads)
    if augmentation is None:
        return loss_and_accuracy

    def augmented(batch: Tensor) -> tuple[Tensor, Tensor]:
        numbers = torch.randn(len(batch), NOISE_SIZE, generator=noise, device=device)
        return loss_and_accuracy(batch, numbers)

    return augmented


def _compile_if_possible(loss_fn: Callable, model: LeNet) -> Callable:
    """Return a loss function sped up by torch.compile; where that fails, say why and do without."""
    parameters = list(model.parameters())
    # On a GPU this also records CUDA graphs: launching the kernels one by one takes longest.
    mode = "reduce-overhead" if parameters[0].device.type == "cuda" else None
    fast = torch.compile(loss_fn, dynamic=False, mode=mode)
    first_call, compiled = Lock(), False  # one thread compiles; the others wait for it

    def call(*arguments):
        nonlocal fast, compiled
        try:
            if compiled:
                return fast(*arguments)
            with first_call:
                # Backward is compiled at its first call, which may fail as well.
                torch.autograd.grad(fast(*arguments)[0], parameters)
            compiled = True
        except Exception as error:  # without a C++ compiler, for instance
            if fast is loss_fn:
                raise
            fast = loss_fn
            reason = " ".join(str(error).split("\n")[:2])  # PyTorch names the reason in the second
            tqdm.write(f"Training goes on more slowly, without torch.compile: {reason}")
        return fast(*arguments)

    return call


def _train_step(state: TrainState, loss_fn: LossFn, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Update the weights, the learning rate and the running mean; return loss and accuracy."""
    loss, accuracy = loss_fn(batch)
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.step += 1
    if state.schedule is not None:
        state.schedule.step()
    if state.ema is not None:
        update_ema(state.ema, state.model, state.recipe.ema_decay, state.step)
    return loss.detach(), accuracy


def train_epoch(
    state: TrainState, loss_fn: LossFn, batches: Iterable[Tensor], progress: tqdm
) -> tuple[float, float]:
    """Take one step for each batch.

    Parameters
    ----------
    state : TrainState
        Updated in place.
    loss_fn : callable
        As `make_loss_fn` returns it, of the state's model.
    batches : iterable of int64 tensors of shape (N,)
    progress : tqdm
        Updated after each step.

    Returns
    -------
    loss, accuracy : float
        Means over the epoch's images, taken while the network learns.
    """
    loss_sum, accuracy_sum, seen = 0, 0, 0
    # The sums stay on the device: reading one makes the program wait for it.
    for i, batch in enumerate(batches, 1):
        loss, accuracy = _train_step(state, loss_fn, batch)
        loss_sum = loss_sum + loss * len(batch)
        accuracy_sum = accuracy_sum + accuracy * len(batch)
        seen += len(batch)
        progress.update()
        if i % 100 == 0:
            progress.set_postfix(
                loss=f"{loss_sum.item() / seen:.4f}",
                accuracy=f"{accuracy_sum.item() / seen:.4f}",
                refresh=False,
            )
    return loss_sum.item() / seen, accuracy_sum.item() / seen


def train_epochs(
    state: TrainState,
    training_set: TrainingSet,
    validation: tuple[Tensor, Tensor],
    steps: int,
    use_compile: bool = False,
) -> Iterator[dict]:
    """Train the epochs that are left; yield after each one.

    Parameters
    ----------
    state : TrainState
        Updated in place.
    training_set : TrainingSet
    validation : images and labels, as `load_mnist` returns them
    steps : int
        Of the whole run, for the progress bar.
    use_compile : bool
        Whether to use torch.compile.

    Yields
    ------
    metrics : dict
        `METRICS` (training: means over the epoch's images, taken while the network learns;
        validation: after the epoch) and "seconds". The state's history ends with it.

    Raises
    ------
    ArithmeticError
        If the loss is not finite.
    """
    recipe = state.recipe
    order, noise = torch.Generator(), torch.Generator(training_set.images.device)
    loss_fn = make_loss_fn(recipe, state.model, training_set, noise, use_compile)
    how = {"unit": "step", "leave": False, "mininterval": 0.5}
    with tqdm(total=steps, initial=state.step, **how) as progress:
        for epoch in range(len(state.history) + 1, recipe.epochs + 1):
            started = time.perf_counter()
            for stream, generator in enumerate((order, noise)):
                generator.manual_seed(epoch_seed(state.seed, epoch, stream))
            progress.set_description(f"epoch {epoch}/{recipe.epochs}", refresh=False)
            batches = batches_of(training_set, recipe, order)
            loss, accuracy = train_epoch(state, loss_fn, batches, progress)
            if not math.isfinite(loss):
                raise ArithmeticError(
                    f"the loss is no longer a number in epoch {epoch}. "
                    f"Try a lower --lr than {recipe.lr:g}."
                )
            network = state.network()
            val_loss, val_accuracy = evaluate(network, *validation)
            values = loss, accuracy, val_loss, val_accuracy
            metrics = dict(zip(METRICS, values, strict=True))
            metrics["seconds"] = time.perf_counter() - started
            state.history.append(metrics)
            state.keep_best(network, val_loss)
            yield metrics
