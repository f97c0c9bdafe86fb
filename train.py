"""Train LeNet on MNIST.

    python train.py                          # the recipe of the page's weights
    python train.py --recipe paper           # the report's experiment: 20 epochs of Adam
    python train.py --push                   # train, then push to <you>/lenet-mnist
    python train.py --push-only runs/demo    # push a finished run

A run writes weights, metrics, curves and a model card to runs/<recipe>. Ctrl-C stops it after
the epoch, and --resume continues it.
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
from training import run
from training.checkpoint import check_checkpoint, load_checkpoint, locked, save_checkpoint
from training.data import batches_of, load_mnist, make_training_set, split
from training.hub import prepare_repo, push
from training.metrics import calibrated, measure
from training.recipes import RECIPES, Recipe
from training.state import make_state
from training.steps import train_epochs


def train(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int = 0,
    second_sigmoid: bool = True,
    checkpoint: Path | None = None,
    stop: Event | None = None,
    report: Callable[[str], None] = print,
) -> tuple[LeNet, list[dict]]:
    """Train LeNet by a recipe.

    Parameters
    ----------
    images, labels : as `load_mnist` returns them, on the device to train on
    recipe : Recipe
    seed : int, which gives the same bits on the same machine
    second_sigmoid : bool, as `LeNet` takes it
    checkpoint : Path, optional, the file of the state after each epoch; resumed if it exists
    stop : threading.Event, optional, which ends the training after the epoch
    report : callable, which takes a line of text after each epoch

    Returns
    -------
    model : LeNet, in eval mode, of the epoch with the least validation loss
    history : list of dict, each epoch's metrics (`training.steps.train_epochs`)

    Raises
    ------
    ValueError, ArithmeticError
        If there are too few images, or the loss is not finite.
    """
    order, device = torch.Generator().manual_seed(seed), images.device
    images, labels = images.cpu(), labels.cpu()  # `split` and the drawings need the CPU
    train_index, validation_index = split(len(images), recipe.validation_share, order)
    training_set = make_training_set(images[train_index], labels[train_index], recipe, seed, device)
    validation = images[validation_index].to(device), labels[validation_index].to(device)
    steps = recipe.epochs * len(batches_of(training_set, recipe, order))
    state = make_state(recipe, seed, device, steps, second_sigmoid)
    if checkpoint and checkpoint.exists():
        load_checkpoint(checkpoint, state)
    for metrics in train_epochs(state, training_set, validation):
        if checkpoint:
            save_checkpoint(checkpoint, state)
        line = "epoch {:{}}/{}   train loss {train_loss:.4f}  accuracy {train_accuracy:.4f}   "
        line += "validation loss {validation_loss:.4f}  accuracy {validation_accuracy:.4f}"
        report(line.format(len(state.history), len(str(recipe.epochs)), recipe.epochs, **metrics))
        if stop and stop.is_set():
            break
    return calibrated(state.best["weights"], second_sigmoid, *validation), state.history


def _parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments, with `recipe` as a `Recipe` that has the overrides."""
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST.")
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="demo", help="training recipe (default: demo)")
    for name, kind in (("epochs", int), ("batch-size", int), ("lr", float)):
        add(f"--{name}", type=_positive(kind), help="replaces the recipe's value")
    add("--seed", type=int, default=0, help="random seed; the same one repeats a run (default: 0)")
    add("--device", help="cpu, cuda, cuda:N or mps (default: cuda if it works, else cpu)")
    folder = {"type": Path, "metavar": "FOLDER"}
    where = "folder that holds MNIST/raw, downloaded if missing (default: data)"
    add("--data-dir", **folder, default="data", help=where)
    add("--output-dir", **folder, help="receives the results (default: runs/<recipe>)")
    exclusive = parser.add_mutually_exclusive_group().add_argument
    exclusive("--resume", action="store_true", help="continue the interrupted run in --output-dir")
    exclusive("--overwrite", action="store_true", help="discard the interrupted run and start over")
    add("--min-accuracy", type=float, metavar="SHARE", help="with less, exit with 1 before --push")
    add("--push", action="store_true", help="after training, push the run to the Hugging Face Hub")
    add("--repo-id", metavar="OWNER/NAME", help="Hub repository (default: <you>/lenet-mnist)")
    add("--push-only", **folder, help="push a finished run, without training")
    add("--tag", help="tag for the pushed commit, such as v1.2")
    add("--private", action="store_true", help="make the repository private if the push creates it")
    arguments = parser.parse_args(argv)
    if arguments.min_accuracy is not None and not 0 <= arguments.min_accuracy <= 1:
        parser.error("--min-accuracy must be from 0 to 1: 0.99 for 99%")
    arguments.output_dir = arguments.output_dir or Path("runs", arguments.recipe)
    given = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr")}
    overrides = {name: value for name, value in given.items() if value is not None}
    arguments.recipe = replace(RECIPES[arguments.recipe], **overrides)
    return arguments


def _positive(kind: type) -> Callable[[str], float]:
    """Return argparse's type for a positive number."""

    def parse(text):
        if (value := kind(text)) > 0:
            return value
        raise ValueError

    parse.__name__ = f"positive {kind.__name__}"  # shown in argparse's error
    return parse


def _push(folder: Path, repo_id: str, tag: str | None) -> int:
    """Push a run, or print the command to try again; return the exit status."""
    try:
        print(f"Pushed to {push(folder, repo_id, tag)}")
    except OSError as error:
        again = ["python", "train.py", "--push-only", str(folder), "--repo-id", repo_id]
        again = shlex.join(again + (["--tag", tag] if tag else []))
        kept = f"The run is saved in {folder}. To push it again, run: {again}"
        return _fail(f"cannot push to {repo_id}: {error}. {kept}", status=1)
    return 0


def _fail(reason: str | Exception, status: int, then: str = "") -> int:
    """Print the first line of the reason; return the exit status."""
    reason = str(reason).partition("\n")[0]
    reason = f"{reason.rstrip('.')}. {then}" if then else reason
    print(f"train.py: {reason}", file=sys.stderr)
    return status


def _run(arguments: argparse.Namespace, checkpoint: Path) -> int:
    """Train, measure, save and push as the command line says; return the exit status."""
    recipe, folder = arguments.recipe, arguments.output_dir
    # Check everything that could fail before the training, not after it.
    device = run.choose_device(arguments.device)
    settings = run.settings_of(recipe, arguments.seed, device)
    check_checkpoint(checkpoint, settings, arguments.resume, arguments.overwrite)
    repo_id = None
    if arguments.push:
        repo_id = prepare_repo(arguments.repo_id, arguments.private, arguments.tag)
    images, labels = load_mnist(arguments.data_dir, train=True, device=device)
    if not arguments.resume:
        checkpoint.unlink(missing_ok=True)
    try:
        with run.interruptible() as stop:
            options = {"checkpoint": checkpoint, "stop": stop, "report": tqdm.write}
            model, history = train(images, labels, recipe, seed=arguments.seed, **options)
        # No choice depends on the test set: it comes last.
        test_set = load_mnist(arguments.data_dir, train=False, device=device)
        metrics = settings | measure(model, *test_set) | run.provenance(settings, history, device)
        run.save_run(folder, model, metrics, repo_id or str(folder))
    except (ArithmeticError, OSError, RuntimeError, ValueError) as error:
        kept = f"Finished epochs are kept in {folder}; continue with --resume."
        can_resume = checkpoint.exists() and isinstance(error, OSError | RuntimeError)
        return _fail(error, status=1, then=kept if can_resume else "")
    print(
        "test accuracy {test_accuracy:.4f} ({test_errors} errors), calibration error "
        "{test_calibration_error:.4f}; trained in {seconds:.1f} s on {device}".format(**metrics)
    )
    print(f"Results saved in {folder}")
    if len(history) < recipe.epochs:
        print(f"Stopped after epoch {len(history)} of {recipe.epochs}. Continue with --resume.")
        return 130
    checkpoint.unlink(missing_ok=True)
    if arguments.min_accuracy is not None and metrics["test_accuracy"] < arguments.min_accuracy:
        return _fail(f"the test accuracy is less than {arguments.min_accuracy}", status=1)
    return _push(folder, repo_id, arguments.tag) if arguments.push else 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: success; 1: the run, its accuracy or the push failed; 2: nothing was started; 130: Ctrl-C.
    """
    arguments = _parse_arguments(argv)
    try:
        if arguments.push_only:
            run.check_finished(arguments.push_only)
            repo_id = prepare_repo(arguments.repo_id, arguments.private)
            return _push(arguments.push_only, repo_id, arguments.tag)
        run.check_disk_space(arguments.output_dir)
        with locked(arguments.output_dir) as checkpoint:
            return _run(arguments, checkpoint)
    except (OSError, ValueError, RuntimeError) as error:
        # RuntimeError: a damaged checkpoint, or too little GPU memory for MNIST.
        return _fail(error, status=1 if isinstance(error, RuntimeError) else 2)


if __name__ == "__main__":
    sys.exit(main())
