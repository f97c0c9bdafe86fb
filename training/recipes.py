"""The training recipes, as data. To add one, write an instance and add it to `RECIPES`.

Their network is LeNet, their loss cross entropy; everything else that they choose is a field.
What each choice of `DEMO` gained: benchmarks/README.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from training.augment import Augmentation
from training.soap import SOAP


def cosine(step: int, steps: int, warmup_share: float) -> float:
    """Return the learning rate's factor in a cosine schedule with a linear warm-up.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", section
    3, without restarts.

    Parameters
    ----------
    step, steps : int
        Steps taken, and steps of the whole run.
    warmup_share : float
        Share of the steps, in (0, 1], in which the warm-up factor grows to 1.

    Returns
    -------
    factor : float
        In [0, 1].
    """
    return (1 + math.cos(math.pi * step / steps)) / 2 * min(1, (step + 1) / (warmup_share * steps))


@dataclass(frozen=True)
class Recipe:
    """What a training run does; the defaults are plain training.

    Parameters
    ----------
    name : str
        As `train.py --recipe` takes it.
    epochs, batch_size : int
    lr : float
        The peak of the learning rate.
    validation_share : float
        Share of MNIST's 60,000 training images, in (0, 1), that is held out.
    optimizer : callable
        (parameters or groups, lr) -> torch.optim.Optimizer, whose steps a CUDA graph can hold.
    lr_factor : callable or None
        The learning rate schedule: (step, steps of the run) -> factor of `lr`, from step 0 on;
        None for a constant rate.
    orthogonal_linear : bool
        Whether the linear layers start orthogonal, so that the three in a row, which have no
        activation between them, keep the norm of what they are given (Saxe et al. 2014, "Exact
        solutions to the nonlinear dynamics of learning in deep linear neural networks").
    conv1_scale : float
        Factor of the first convolution's initial weights and of its learning rate.
    tanh_forward : bool
        Whether the network computes with tanh in place of sigmoid while it is trained
        (`training.state.tanh_forward`).
    ema_decay : float or None
        Decay per step of the running mean of the weights (EMA), which is what is measured and
        saved; None for the weights themselves.
    augmentation : Augmentation or None
        None for images as they are.
    added_shares : tuple of three floats
        Shares of each batch: digits in other handwriting styles (`training.drawings`), coarse
        scans of MNIST's digits (`training.scans`), and non-digits.
    reproduces_report : bool
        Whether the model card sets the run beside the report's figures.
    limits : str
        What the model has not seen, in a sentence or two for the model card.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    validation_share: float
    optimizer: Callable[..., torch.optim.Optimizer]
    lr_factor: Callable[[int, int], float] | None = None
    orthogonal_linear: bool = False
    conv1_scale: float = 1.0
    tanh_forward: bool = False
    ema_decay: float | None = None
    augmentation: Augmentation | None = None
    added_shares: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reproduces_report: bool = False
    limits: str = ""


# The experiment of "Handwritten digit recognition using CNN": cross entropy, Adam, a random 4:1
# split.
PAPER = Recipe(
    name="paper",
    epochs=20,
    batch_size=64,
    lr=1e-3,
    validation_share=0.2,
    optimizer=partial(torch.optim.Adam, fused=True, capturable=True),
    reproduces_report=True,
    limits="It has met digits as Americans wrote them in the 1980s, and nothing but digits.",
)
# What it reports after 20 epochs: cross entropy (nats per image) and accuracy.
REPORT_METRICS = {
    "train_loss": 0.0397,
    "train_accuracy": 0.9879,
    "validation_loss": 0.0552,
    "validation_accuracy": 0.9836,
}

# The weights that the page uses: digits as people write them today, and doubt about non-digits.
DEMO = Recipe(
    name="demo",
    epochs=50,
    batch_size=256,
    lr=8e-3,
    validation_share=0.1,
    optimizer=partial(SOAP, betas=(0.9, 0.99), weight_decay=0.1),
    lr_factor=partial(cosine, warmup_share=0.1),
    orthogonal_linear=True,
    conv1_scale=4.0,  # sharper edges, sooner
    tanh_forward=True,
    ema_decay=0.999,
    augmentation=Augmentation(
        untouched_share=0.35,
        rotation=0.1,
        shear=0.115,
        scale=0.04,
        aspect=0.03,
        shift=0.35,
        elastic=0.55,
        stroke_width=0.3,
        fading=0.06,
        contrast=0.2,
        blur=0.05,
    ),
    added_shares=(0.3, 0.05, 0.03),
    limits="""Besides MNIST, American digits of the 1980s, it has met drawn digits in other
handwriting styles (flagged 1, barred 7, looped 2, curled 9, open 4), coarse scans, and scribbles
and letters, for which it is trained to answer every digit alike. That tells most letters from
digits, not all; a flagged 1 and a 7 without a bar are one shape in different countries.""",
)

RECIPES = {recipe.name: recipe for recipe in (DEMO, PAPER)}
