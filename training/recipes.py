"""The training recipes, as data. To add one, write an instance and add it to `RECIPES`.

benchmarks/README.md shows what the main parts of `DEMO` gain.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from training.augment import Augmentation
from training.soap import SOAP


def cosine(step: int, steps: int, warmup_share: float) -> float:
    """Return the factor, in [0, 1], of a cosine schedule with a linear warm-up.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", section 3.
    """
    return (1 + math.cos(math.pi * step / steps)) / 2 * min(1, (step + 1) / (warmup_share * steps))


@dataclass(frozen=True)
class Recipe:
    """What a training run does; the defaults are plain training."""

    name: str  # as in `train.py --recipe`
    epochs: int
    batch_size: int
    lr: float  # peak learning rate
    validation_share: float  # share of MNIST's training images held out, in (0, 1)
    # (parameters or groups, lr) -> an optimizer; on a GPU, a CUDA graph must hold its step
    optimizer: Callable[..., torch.optim.Optimizer]
    # (step from 0 on, steps of the run) -> factor of `lr`; None for a constant learning rate
    lr_factor: Callable[[int, int], float] | None = None
    # Through orthogonal initial weights, the three linear layers' gradients keep their norm
    # (Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear
    # neural networks").
    orthogonal_linear: bool = False
    conv1_scale: float = 1.0  # factor of the first convolution's initial weights and of its lr
    tanh_forward: bool = False  # train with tanh in place of sigmoid (training.state.tanh_forward)
    ema_decay: float | None = None  # decay per step of the weights' running mean, which is saved
    augmentation: Augmentation | None = None
    # Shares of each batch, less than 1 in all: drawn digits, scans of MNIST's digits, non-digits.
    added_shares: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reproduces_report: bool = False  # whether the model card compares the run with the report
    limits: str = ""  # for the model card: what it learned from, and where it fails


# The experiment of the report "Handwritten digit recognition using CNN".
PAPER = Recipe(
    name="paper",
    epochs=20,
    batch_size=64,
    lr=1e-3,
    validation_share=0.2,
    optimizer=partial(torch.optim.Adam, fused=True, capturable=True),
    reproduces_report=True,
    limits="It was trained on American digits of the 1980s, and on nothing but digits.",
)
# The report's results after 20 epochs: cross entropy in nats per image, and accuracy.
REPORT_METRICS = {
    "train_loss": 0.0397,
    "train_accuracy": 0.9879,
    "validation_loss": 0.0552,
    "validation_accuracy": 0.9836,
}

# The weights that the page uses: they read today's handwriting and doubt non-digits.
DEMO = Recipe(
    name="demo",
    epochs=50,
    batch_size=256,
    lr=8e-3,
    validation_share=0.1,
    optimizer=partial(SOAP, betas=(0.9, 0.99), weight_decay=0.1),
    lr_factor=partial(cosine, warmup_share=0.1),
    orthogonal_linear=True,
    conv1_scale=4.0,  # its filters find edges sooner
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
    limits="""It was trained on MNIST (American digits of the 1980s), simulated scans, and synthetic
digits in other handwriting styles: flagged 1, barred 7, looped 2, curled 9, open 4. For scribbles
and letters it was trained to give every digit the same probability. It doubts most letters, but
not all. A flagged 1 in one country looks like a 7 without a bar in another.""",
)

RECIPES = {recipe.name: recipe for recipe in (DEMO, PAPER)}
