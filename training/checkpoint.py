"""Lock a run's folder; save, load and check its checkpoint."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch

from training.run import CHECKPOINT, settings_of
from training.state import TrainState


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Lock a run's folder and yield its checkpoint's path; raise OSError if another run has it.

    The operating system releases the lock when the process ends, even after a crash.
    """
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OSError(
            f"another training run uses {folder}. Wait, or name another folder with --output-dir."
        ) from None
    except (ImportError, OSError):  # Windows and some network file systems lack this lock
        pass
    try:
        yield folder / CHECKPOINT
    finally:
        if handle is not None:
            os.close(handle)


def save_checkpoint(path: Path, state: TrainState) -> None:
    """Save a run's state atomically; raise OSError and keep the old file if that fails."""
    device = next(state.model.parameters()).device
    settings = settings_of(state.recipe, state.seed, device)  # for check_checkpoint
    content = BytesIO()
    torch.save({"settings": settings, "state": state.state_dict()}, content)
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(content.getbuffer())
            os.fsync(file.fileno())  # a power cut could otherwise leave an empty file
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error.strerror}. The disk may be full.") from error


def load_checkpoint(path: Path, state: TrainState) -> None:
    """Load a checkpoint into `state`; raise ValueError if another version wrote it."""
    device = next(state.model.parameters()).device
    saved = torch.load(path, map_location=device, weights_only=True)
    try:
        state.load_state_dict(saved["state"])
    except Exception as error:  # PyTorch raises various types for a wrong state dict
        reason = f"another version of train.py wrote {path}. Use that one, or --overwrite."
        raise ValueError(reason) from error


def check_checkpoint(path: Path, settings: dict, resume: bool, overwrite: bool) -> None:
    """Raise an error unless a run may start or resume in the checkpoint's folder.

    Parameters
    ----------
    path : Path of the checkpoint, which need not exist
    settings : dict, from `settings_of`
    resume, overwrite : bool, the command line's flags

    Raises
    ------
    ValueError
        If no run can be resumed, the settings differ, or an interrupted run would be lost.
    RuntimeError
        If the checkpoint is damaged.
    """
    if resume and not path.exists():
        raise ValueError(f"{path.parent} holds no interrupted run. Run this without --resume.")
    if path.exists() and not (resume or overwrite):
        raise ValueError(
            f"{path.parent} holds an interrupted run. Continue it with --resume, or start over "
            "with --overwrite."
        )
    if not resume:
        return
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        saved_settings, _ = saved["settings"], saved["state"]
    except Exception as error:  # PyTorch raises various types for a foreign file
        raise RuntimeError(f"{path} is damaged. Start over with --overwrite.") from error
    if saved_settings != settings:
        flags = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in saved_settings.items())
        raise ValueError(f"the run in {path.parent} has other settings. Use --resume {flags}")
