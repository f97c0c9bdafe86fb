"""MNIST, the drawn images beside it, and the batches of an epoch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.recipes import Recipe
from training.scans import scan
from training.strokes import write_digits, write_non_digits

NO_DIGIT = 10  # the label of a non-digit


@dataclass(frozen=True)
class TrainingSet:
    """The images that a run trains on.

    Parameters
    ----------
    images : uint8 tensor of shape (N, 1, 28, 28)
        0 = paper, 255 = ink: MNIST's first, then drawn digits, coarse scans of MNIST's, and
        non-digits.
    labels : int64 tensor of shape (N,)
        In [0, 9], or `NO_DIGIT`.
    counts : tuple of four ints
        How many there are of each kind; they add up to N.
    """

    images: Tensor
    labels: Tensor
    counts: tuple[int, int, int, int]


def load_mnist(
    data_dir: str | Path, train: bool, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Load MNIST, downloading it to `data_dir` if it is missing.

    All of it lies on the device (47 MB), so that no loader processes are needed.

    Parameters
    ----------
    data_dir : str or Path
        Holds MNIST/raw.
    train : bool
        Whether to load the 60,000 training images or the 10,000 test images.
    device : torch.device or str

    Returns
    -------
    images : uint8 tensor of shape (60000 or 10000, 1, 28, 28)
        0 = paper, 255 = ink.
    labels : int64 tensor of shape (60000 or 10000,)
        In [0, 9].

    Raises
    ------
    OSError
        If MNIST is not in `data_dir` and cannot be downloaded; the message says what to do.
    """
    from torchvision.datasets import MNIST  # takes long, and callers need not load MNIST

    try:
        mnist = MNIST(data_dir, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"MNIST could not be downloaded ({error}). Put train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
            f"(or their .gz) into {Path(data_dir) / 'MNIST' / 'raw'} and run this again, "
            "or name the folder that holds MNIST/raw with --data-dir."
        ) from error
    return mnist.data.unsqueeze(1).to(device), mnist.targets.to(device)


def scale(images: Tensor) -> Tensor:
    """Return stored images as the network takes them.

    Parameters
    ----------
    images : uint8 tensor, 0 = paper, 255 = ink

    Returns
    -------
    images : float32 tensor of the same shape, in [0, 1]
    """
    return images.float().div_(255)


def split(n: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a random split of the indices 0 to n - 1.

    Parameters
    ----------
    n : int
    share : float
        Share to hold out for validation, in (0, 1).
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    train, validation : int64 tensors of shape (n - int(n * share),) and (int(n * share),)

    Raises
    ------
    ValueError
        If one of the two would be empty.
    """
    held_out = int(n * share)
    if not 0 < held_out < n:
        raise ValueError(f"{n} pictures are too few to hold {share:.0%} of them back")
    order = torch.randperm(n, generator=generator)
    return order[held_out:], order[:held_out]


def add_drawings(images: Tensor, labels: Tensor, seed: int) -> TrainingSet:
    """Return MNIST's images, as many drawn digits and scans, and a third as many non-digits.

    Parameters
    ----------
    images : uint8 tensor of shape (N, 1, 28, 28)
    labels : int64 tensor of shape (N,)
    seed : int
        The same seed draws the same images.

    Returns
    -------
    training_set : TrainingSet
        On the device of `images`.
    """
    tqdm.write("Drawing digits and non-digits that MNIST lacks …")
    drawn, drawn_labels = write_digits(len(images), seed)
    scans = scan(images.cpu().numpy(), seed)
    others = write_non_digits(len(images) // 3, seed)
    added = torch.from_numpy(np.concatenate([drawn, scans, others])).to(images.device)
    no_digit = torch.full((len(others),), NO_DIGIT)
    added_labels = torch.cat([torch.from_numpy(drawn_labels), labels.cpu(), no_digit])
    return TrainingSet(
        torch.cat([images, added]),
        torch.cat([labels, added_labels.to(labels.device)]),
        counts=(len(images), len(drawn), len(scans), len(others)),
    )


def make_training_set(images: Tensor, labels: Tensor, recipe: Recipe, seed: int) -> TrainingSet:
    """Return the images that a recipe trains on.

    Parameters
    ----------
    images, labels : MNIST's, as `load_mnist` returns them
    recipe : Recipe
        Drawings are added if it has a share of them.
    seed : int
        Of the drawings.

    Returns
    -------
    training_set : TrainingSet
    """
    if any(recipe.added_shares):
        return add_drawings(images, labels, seed)
    return TrainingSet(images, labels, counts=(len(images), 0, 0, 0))


def batches_of(
    training_set: TrainingSet, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return an epoch's batches of indices, plain or mixed as the recipe asks for.

    Parameters
    ----------
    training_set : TrainingSet
    recipe : Recipe
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    batches : tuple of int64 tensors of shape (batch,), on the device of the images

    Raises
    ------
    ValueError
        If there are too few images for a mixed batch.
    """
    device = training_set.images.device
    if not any(training_set.counts[1:]):
        return plain_batches(len(training_set.images), recipe.batch_size, generator, device)
    shares = recipe.added_shares
    return mixed_batches(training_set.counts, recipe.batch_size, shares, generator, device)


def plain_batches(
    n: int, batch_size: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> tuple[Tensor, ...]:
    """Return batches of the indices 0 to n - 1, shuffled; the last one may be smaller.

    Parameters
    ----------
    n, batch_size : int
    generator : torch.Generator
        On the CPU.
    device : torch.device or str

    Returns
    -------
    batches : tuple of int64 tensors of shape (batch_size,), on `device`
    """
    return torch.randperm(n, generator=generator).to(device).split(batch_size)


def mixed_batches(
    counts: tuple[int, ...],
    batch_size: int,
    shares: tuple[float, ...],
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, ...]:
    """Return batches with the same number of each kind of image, MNIST's first.

    MNIST's images come at most once an epoch (those that do not fill a batch are left out); the
    other kinds are drawn with replacement.

    Parameters
    ----------
    counts : tuple of ints
        As `TrainingSet.counts`.
    batch_size : int
    shares : tuple of float
        Of each batch, in [0, 1], that the kinds after MNIST's have.
    generator : torch.Generator
        On the CPU.
    device : torch.device or str

    Returns
    -------
    batches : tuple of int64 tensors of shape (batch_size,), on `device`

    Raises
    ------
    ValueError
        If there are too few of MNIST's images for one batch.
    """
    n, *others = counts
    sizes = [round(batch_size * share) for share in shares]
    size = batch_size - sum(sizes)
    steps = n // size
    if steps == 0:
        raise ValueError(f"{n} pictures are too few for a batch of {batch_size}")
    parts = [torch.randperm(n, generator=generator)[: steps * size].view(steps, size)]
    first = n
    for count, added in zip(others, sizes, strict=True):
        parts.append(first + torch.randint(count, (steps, added), generator=generator))
        first += count
    return torch.cat(parts, dim=1).to(device).unbind()
