"""A run: its device, its folder's five files, and the facts that its metrics record."""

import json
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import torch
from safetensors import SafetensorError
from tqdm import tqdm

from lenet import LeNet
from training.card import draw_curves, model_card
from training.recipes import RECIPES, Recipe

RUN_FILES = ("model.safetensors", "config.json", "metrics.json", "curves.png", "README.md")
CHECKPOINT = "checkpoint.pt"  # in a run's folder until the run is finished
DISK_BYTES_NEEDED = 8_000_000  # bytes, for two checkpoints, curves and weights


def settings_of(recipe: Recipe, seed: int, device: torch.device) -> dict:
    """Return the settings, by their options, that a resumed run must share."""
    values = {name: getattr(recipe, name) for name in ("epochs", "batch_size", "lr")}
    return {"recipe": recipe.name, **values, "seed": seed, "device": device.type}


def _command_of(settings: dict) -> str:
    recipe = RECIPES[settings["recipe"]]
    command = f"python train.py --recipe {recipe.name} --seed {settings['seed']}"
    for name in ("epochs", "batch_size", "lr"):
        if settings[name] != getattr(recipe, name):
            command += f" --{name.replace('_', '-')} {settings[name]}"
    return f"{command} --device {settings['device']}"


def check_disk_space(folder: Path) -> None:
    """Create a run's folder; raise OSError unless `DISK_BYTES_NEEDED` can be written there."""
    trial = folder / "space.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(bytes(DISK_BYTES_NEEDED))
    except OSError as error:
        raise OSError(
            f"cannot write {DISK_BYTES_NEEDED / 1e6:.0f} MB to {folder}: {error.strerror}. "
            "Free disk space, or name another folder with --output-dir."
        ) from error
    finally:
        trial.unlink(missing_ok=True)


def choose_device(name: str | None) -> torch.device:
    """Return a device that works, and make PyTorch deterministic.

    Parameters
    ----------
    name : str or None
        cpu, cuda, cuda:N or mps; None for CUDA if it works, else the CPU.

    Raises
    ------
    ValueError
        If the named device doesn't exist or doesn't work.
    """
    if name and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"--device must be cpu, cuda, cuda:N or mps, not {name!r}")
    _make_deterministic()
    try:
        # PyTorch may find a GPU that is too old, busy or without a driver.
        matrix = torch.ones(8, 8, device=name or "cuda")
        (matrix @ matrix).sum().item()
        return matrix.device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
    if name:
        raise ValueError(f"--device {name}: {reason}. Try --device cpu.")
    print(f"No usable CUDA GPU ({reason}). Training on the CPU.")
    return torch.device("cpu")


def _make_deterministic() -> None:
    """Make PyTorch compute the same bits from the same seed, on a GPU too."""
    # cuBLAS needs this for repeatable bits. PyTorch reads it once, at the first matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # like the page, not TF32
    torch.utils.deterministic.fill_uninitialized_memory = False  # saves time


@contextmanager
def interruptible() -> Iterator[Event]:
    """Yield an Event that the first Ctrl-C sets; a second one ends the program as usual."""
    stop = Event()

    def interrupt(*_):
        stop.set()
        signal.signal(signal.SIGINT, usual)
        tqdm.write("Stopping after this epoch. Press Ctrl-C again to stop at once.")

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} with {threads} thread{'s' if threads > 1 else ''}"


def _git_commit() -> str | None:
    """Return this code's commit, with "-dirty" if files have changed; None if unknown."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() or None


def provenance(settings: dict, history: list[dict], device: torch.device) -> dict:
    """Return how a run's weights were made: time, device, versions, commit, command and history."""
    return {
        "seconds": sum(epoch["seconds"] for epoch in history),
        "device": device_name(device),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "git_commit": _git_commit(),
        "command": _command_of(settings),
        "history": history,
    }


def check_finished(folder: Path) -> None:
    """Raise ValueError unless a folder holds a finished run's files, `RUN_FILES`."""
    if (folder / CHECKPOINT).exists():
        raise ValueError(f"{folder} holds an interrupted run. Finish it with --resume first.")
    missing = [name for name in RUN_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} holds no finished run: it lacks {', '.join(missing)}")


def save_run(folder: Path, model: LeNet, metrics: dict, repo_id: str) -> None:
    """Write a run's five files, `RUN_FILES`; raise OSError if that fails.

    Parameters
    ----------
    folder : Path
    model : LeNet
    metrics : dict, those of `settings_of`, `training.metrics.measure` and `provenance` together
    repo_id : str, the "owner/name" or folder that the model card names
    """
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # for example, on a full disk
        raise OSError(f"cannot write to {folder}: {error}. Free disk space.") from error
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    draw_curves(metrics["history"], folder / "curves.png")
    (folder / "README.md").write_text(str(model_card(metrics, repo_id)))
