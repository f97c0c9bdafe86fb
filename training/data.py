"""MNIST, the scanned and drawn images added to it, and the batches of an epoch."""

import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import md5
from math import prod
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.drawings import draw_digits, draw_non_digits
from training.recipes import Recipe
from training.scans import scan

NON_DIGIT = 10  # the label of a non-digit
CHUNK = 1000  # images that one process draws from one seed
MAX_PROCESSES = 16
# MNIST's files and their MD5. torchvision checks only the archives that it downloads.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
COUNTS = {"train": 60_000, "t10k": 10_000}


@dataclass(frozen=True)
class TrainingSet:
    """The images that a run trains on, sorted by kind."""

    images: Tensor  # uint8 (N, 1, 28, 28), 0 = paper, 255 = ink
    labels: Tensor  # int64 (N,), in [0, 9] or NON_DIGIT
    counts: tuple[int, int, int, int]  # MNIST's, drawn digits, scans, non-digits; the sum is N


def load_mnist(
    data_dir: str | Path, train: bool, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Load MNIST onto a device, and download it first if it's missing.

    Parameters
    ----------
    data_dir : str or Path, the folder that holds MNIST/raw
    train : bool, True for the 60,000 training images, False for the 10,000 test images
    device : torch.device or str

    Returns
    -------
    images : uint8 tensor of shape (N, 1, 28, 28), 0 = paper, 255 = ink
    labels : int64 tensor of shape (N,), in [0, 9]

    Raises
    ------
    OSError
        If a file is damaged, or MNIST can't be downloaded.
    """
    from torchvision.datasets import MNIST  # a slow import, for this function alone

    raw = Path(data_dir) / "MNIST" / "raw"
    counts = {name: _count_in(raw / name) for name in FILES if (raw / name).exists()}
    for part in COUNTS:
        if len({count for name, count in counts.items() if name.startswith(part)}) > 1:
            raise OSError(
                f"{raw}: {part}-labels and {part}-images differ in count. "
                "Delete both and run this again to download them."
            )
    try:
        mnist = MNIST(data_dir, train=train, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise OSError(
            f"cannot download MNIST ({reason}). Put {', '.join(FILES)} (or their .gz files) into "
            f"{raw}, or name the folder that holds MNIST/raw with --data-dir."
        ) from error
    return mnist.data.unsqueeze(1).to(device), mnist.targets.to(device)


def _count_in(file: Path) -> int:
    """Return the number of images or labels in a file; raise OSError if it's damaged."""
    # Other data in MNIST's format may have any count. With MNIST's counts, the MD5 must match.
    content = file.read_bytes()
    shape = (28, 28) if "images" in file.name else ()
    start = 8 + 4 * len(shape)
    magic, count, *sizes = np.frombuffer(content[:start].ljust(start, b"\0"), ">u4").tolist()
    expected, found = FILES[file.name], md5(content, usedforsecurity=False).hexdigest()
    if not content:
        reason = "it is empty"
    elif magic != 0x801 + len(shape) or tuple(sizes) != shape:
        reason = f"it begins with {content[:20]!r}"
    elif len(content) != start + count * prod(shape):
        reason = f"it has {len(content):,} bytes instead of {start + count * prod(shape):,}"
    elif count == COUNTS[file.name.partition("-")[0]] and found != expected:
        reason = f"its MD5 is {found} instead of {expected}"
    else:
        return count
    raise OSError(f"{file} is damaged: {reason}. Delete it and run this again to download it.")


def scale(images: Tensor) -> Tensor:
    """Convert uint8 images in [0, 255] to float32 in [0, 1]; return float images unchanged."""
    return images if images.is_floating_point() else images.float().div_(255)


def split(n: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Split the indices 0 to n - 1 at random for training and validation.

    Parameters
    ----------
    share : float in (0, 1), the validation share
    generator : torch.Generator on the CPU

    Returns
    -------
    train, validation : int64 tensors; neither is empty, else ValueError is raised
    """
    held_out = int(n * share)
    if not 0 < held_out < n:
        raise ValueError(f"{n} images are too few to hold out {share:.0%} for validation")
    order = torch.randperm(n, generator=generator)
    return order[held_out:], order[:held_out]


def _draw_images(images: np.ndarray, seed: int, processes: int) -> tuple[np.ndarray, ...]:
    """Return drawn digits, their labels, scans of the images, and non-digits."""
    # Each chunk has its own seed, so that the images don't depend on the number of processes.
    chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)]
    seeds = [(abs(seed), i) for i in range(len(chunks))]
    counts, thirds = zip(*((len(chunk), (len(chunk) + 2) // 3) for chunk in chunks), strict=True)
    # Spawn, since a forked process would share the GPU's context and the threads' locks.
    ignore_control_c = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(processes, get_context("spawn"), *ignore_control_c)
    try:
        run = pool.map if processes > 1 and len(chunks) > 1 else map
        digits, scans = run(draw_digits, counts, seeds), run(scan, chunks, seeds)
        others = run(draw_non_digits, thirds, seeds)
        drawn, labels = zip(*digits, strict=True)
        return tuple(map(np.concatenate, (drawn, labels, [*scans], [*others])))
    finally:
        pool.shutdown(cancel_futures=True)


def make_training_set(
    images: Tensor, labels: Tensor, recipe: Recipe, seed: int, device: torch.device | str = "cpu"
) -> TrainingSet:
    """Return the images that a recipe trains on.

    A recipe with `added_shares` adds a drawn digit and a scan for each of MNIST's images, and a
    non-digit for every third.

    Parameters
    ----------
    images, labels : as `load_mnist` returns them, on the CPU
    recipe : Recipe
    seed : int, for the drawings and scans
    device : torch.device or str, for the result
    """
    counts = len(images), 0, 0, 0
    if any(recipe.added_shares):
        tqdm.write("Drawing what MNIST lacks: digits in other styles, letters, scribbles ...")
        processes = min(torch.get_num_threads(), MAX_PROCESSES)
        drawings = _draw_images(images.numpy(), seed, processes)
        drawn, drawn_labels, scans, others = map(torch.from_numpy, drawings)
        counts = len(images), len(drawn), len(scans), len(others)
        images = torch.cat([images, drawn, scans, others])
        labels = torch.cat([labels, drawn_labels, labels, torch.full((len(others),), NON_DIGIT)])
    return TrainingSet(images.to(device), labels.to(device), counts)


def batches_of(
    training_set: TrainingSet, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return an epoch's batches of indices into a training set, int64 tensors on the CPU.

    If a set has added images, each batch has the same mix of kinds (`added_shares`). MNIST's
    images come at most once an epoch; added images are sampled with replacement.

    Parameters
    ----------
    training_set : TrainingSet
    recipe : Recipe
    generator : torch.Generator on the CPU

    Raises
    ------
    ValueError
        If there are too few images for one mixed batch.
    """
    n, *others = training_set.counts
    order = torch.randperm(n, generator=generator)
    if not any(others):
        return order.split(recipe.batch_size)
    sizes = [round(recipe.batch_size * share) for share in recipe.added_shares]
    size = recipe.batch_size - sum(sizes)
    steps = n // size
    if steps == 0:
        raise ValueError(f"{n} images are too few for a batch of {recipe.batch_size}")
    parts, first = [order[: steps * size].view(steps, size)], n
    for count, added in zip(others, sizes, strict=True):
        parts.append(first + torch.randint(count, (steps, added), generator=generator))
        first += count
    return torch.cat(parts, dim=1).unbind()
