"""Train LeNet on MNIST.

    python train.py                             # --recipe demo: the weights that the page uses
    python train.py --recipe paper              # the report's experiment: 20 epochs of Adam
    python train.py --push                      # and push the weights to <you>/lenet-mnist
    python train.py --push-only runs/demo       # push a finished run

A run writes one folder, runs/<recipe>: the weights (model.safetensors, config.json), the metrics
of each epoch (metrics.json, curves.png) and the model card (README.md). Ctrl-C stops after the
epoch; --resume continues from there, or after a crash.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import torch
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet
from training.data import batches_of, load_mnist, make_training_set, split
from training.hub import DEFAULT_RETRY, Retry, check_hub, push
from training.metrics import calibrated, measure
from training.recipes import RECIPES, Recipe
from training.run import (
    CHECKPOINT,
    check_finished,
    check_resume,
    check_space,
    choose_device,
    interruptible,
    load_checkpoint,
    provenance,
    save_checkpoint,
    save_run,
    settings_of,
)
from training.state import make_state
from training.steps import make_deterministic, train_epochs

COMPILE_MIN_STEPS = 2000  # in a shorter run, torch.compile takes longer than it saves


def train(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    second_sigmoid: bool = True,
    use_compile: bool | None = None,
    checkpoint: Path | None = None,
    stop: Event | None = None,
    report: Callable[[str], None] = print,
) -> tuple[LeNet, list[dict]]:
    """Train LeNet by a recipe.

    Parameters
    ----------
    images, labels : as `load_mnist` returns them, on the device to train on
        The recipe's share of them, at random, is held out for validation.
    recipe : Recipe
    seed : int
        Of all that is random. On one machine the same seed gives the same bits.
    second_sigmoid : bool
        As `LeNet` takes it.
    use_compile : bool, optional
        By default torch.compile is used in runs of `COMPILE_MIN_STEPS` or more.
    checkpoint : Path, optional
        File of the state after each epoch; a run whose file exists resumes, to the same bits.
    stop : threading.Event, optional
        Once it is set, the training ends after the epoch.
    report : callable
        Called with a line of text after each epoch.

    Returns
    -------
    model : LeNet, in eval mode
        Of the epoch with the least validation loss, with a fitted temperature.
    history : list of dict
        Each epoch's, as `training.steps.train_epochs` yields them.

    Raises
    ------
    ValueError, ArithmeticError
        If there are too few images; if the loss is not finite.
    """
    order = torch.Generator().manual_seed(seed)
    train_index, validation_index = split(len(images), recipe.validation_share, order)
    training_set = make_training_set(images[train_index], labels[train_index], recipe, seed)
    validation = images[validation_index], labels[validation_index]
    steps = recipe.epochs * len(batches_of(training_set, recipe, order))
    state = make_state(recipe, seed, images.device, steps, second_sigmoid)
    if checkpoint and checkpoint.exists():
        load_checkpoint(checkpoint, state)
    use_compile = steps >= COMPILE_MIN_STEPS if use_compile is None else use_compile
    for metrics in train_epochs(state, training_set, validation, steps, use_compile):
        if checkpoint:
            save_checkpoint(checkpoint, state)
        report(_epoch_line(len(state.history), recipe.epochs, metrics))
        if stop and stop.is_set():
            break
    return calibrated(state.best["weights"], second_sigmoid, *validation), state.history


def _epoch_line(epoch: int, epochs: int, metrics: dict) -> str:
    """Return the line that is printed after an epoch."""
    return (
        f"epoch {epoch:{len(str(epochs))}}/{epochs}"
        "   train loss {train_loss:.4f}  accuracy {train_accuracy:.4f}"
        "   validation loss {validation_loss:.4f}  accuracy {validation_accuracy:.4f}"
    ).format(**metrics)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments; `recipe` is a `Recipe`, with their overrides."""
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST.")
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="demo", help="training recipe (%(default)s)")
    for name, kind in (("epochs", int), ("batch-size", int), ("lr", float)):
        add(f"--{name}", type=_positive(kind), help="overrides the recipe's")
    add("--seed", type=int, default=0, help="the same seed gives the same bits (%(default)s)")
    add("--device", help="cuda, cpu, … (cuda if there is a GPU)")
    add(
        "--data-dir",
        type=Path,
        default="data",
        help="holds MNIST/raw, which is downloaded if missing (%(default)s)",
    )
    add("--output-dir", type=Path, help="the run's folder (runs/<recipe>)")
    add("--resume", action="store_true", help="continue the interrupted run in --output-dir")
    add("--min-accuracy", type=float, metavar="SHARE", help="fail if the test accuracy is lower")
    add("--push", action="store_true", help="push the run to the Hugging Face Hub")
    add("--repo-id", metavar="OWNER/NAME", help="repository to push to (<you>/lenet-mnist)")
    add("--push-only", type=Path, metavar="FOLDER", help="push a finished run, without training")
    add("--tag", help="tag for the pushed commit, such as v1.2")
    add("--private", action="store_true", help="if the repository is created, make it private")
    arguments = parser.parse_args(argv)
    if arguments.min_accuracy is not None and not 0 <= arguments.min_accuracy <= 1:
        parser.error("--min-accuracy is a share from 0 to 1: 0.99 for 99 %")
    arguments.output_dir = arguments.output_dir or Path("runs", arguments.recipe)
    overrides = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr")}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    arguments.recipe = replace(RECIPES[arguments.recipe], **overrides)
    return arguments


def _positive(kind: type) -> Callable[[str], float]:
    """Return argparse's type for a positive number."""

    def parse(text):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"  # argparse's message names it
    return parse


def _push(folder: Path, repo_id: str, tag: str | None, retry: Retry) -> int:
    """Push a run, or print how to do it later; return the exit status."""
    try:
        print(f"pushed: {push(folder, repo_id, tag, retry)}")
    except OSError as error:
        again = ["python", "train.py", "--push-only", str(folder), "--repo-id", repo_id]
        again = shlex.join(again + (["--tag", tag] if tag else []))
        return _fail(
            f"not pushed to {repo_id}: {error}. All of it is kept in {folder}; "
            f"to send it again: {again}",
            status=1,
        )
    return 0


def _fail(reason: str | Exception, status: int) -> int:
    """Print why the program ends, and return its exit status."""
    print(f"train.py: {reason}", file=sys.stderr)
    return status


def main(argv: list[str] | None = None, *, retry: Retry = DEFAULT_RETRY) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
    retry : Retry

    Returns
    -------
    status : int
        0; 1 if the run or the push failed, 2 if nothing was started, 130 if Ctrl-C stopped it.
    """
    arguments = parse_arguments(argv)
    recipe, folder = arguments.recipe, arguments.output_dir
    settings = settings_of(recipe, arguments.seed)
    checkpoint = folder / CHECKPOINT
    # What can fail is found before the training, not after it.
    try:
        if arguments.push_only:
            check_finished(arguments.push_only)
            repo_id = check_hub(arguments.repo_id, arguments.private, retry=retry)
            return _push(arguments.push_only, repo_id, arguments.tag, retry)
        device = choose_device(arguments.device)
        check_space(folder)
        if arguments.resume:
            check_resume(checkpoint, settings)
        repo_id = None
        if arguments.push:
            repo_id = check_hub(arguments.repo_id, arguments.private, arguments.tag, retry)
        images, labels = load_mnist(arguments.data_dir, train=True, device=device)
    except (OSError, ValueError) as error:
        return _fail(error, status=2)

    make_deterministic()
    if not arguments.resume:
        checkpoint.unlink(missing_ok=True)
    try:
        with interruptible() as stop:
            how = {"checkpoint": checkpoint, "stop": stop, "report": tqdm.write}
            model, history = train(images, labels, recipe, seed=arguments.seed, **how)
    except (ArithmeticError, OSError, ValueError) as error:
        return _fail(error, status=1)

    # The test set is read once, when every choice is made.
    test_set = load_mnist(arguments.data_dir, train=False, device=device)
    metrics = settings | measure(model, *test_set) | provenance(settings, history, device)
    print(
        "test accuracy {test_accuracy:.4f} ({test_errors} errors), calibration error "
        "{test_calibration_error:.4f}; {seconds:.1f} s on {device}".format(**metrics)
    )
    save_run(folder, model, metrics, repo_id or str(folder))
    print(f"saved in {folder}")
    if len(history) < recipe.epochs:
        print(f"stopped after epoch {len(history)} of {recipe.epochs}; --resume goes on")
        return 130
    checkpoint.unlink(missing_ok=True)
    if arguments.min_accuracy is not None and metrics["test_accuracy"] < arguments.min_accuracy:
        return _fail(f"that is less than {arguments.min_accuracy}", status=1)
    return _push(folder, repo_id, arguments.tag, retry) if arguments.push else 0


if __name__ == "__main__":
    sys.exit(main())
