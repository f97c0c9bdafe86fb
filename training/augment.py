"""MNIST's digits as other hands, pens and scanners would have written them, a batch at a time.

Affine and elastic distortions after Simard et al. 2003, "Best practices for convolutional
neural networks applied to visual document analysis"; then the pen's breadth, the ink and the
blur. `augment` is a pure function of the pictures and of normal random numbers, so that it can
be compiled, and so that a seed repeats it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, CENTER = 28, 14  # pixels; the index of a digit's centre of mass (preprocess.CENTER)
# Standard deviations. Of each batch so much stays as MNIST has it.
UNTOUCHED = 0.35
TURN = 0.1  # radians
SLANT = 0.115  # pixels to the side for a pixel down
SIZE = 0.04  # of the logarithm
ASPECT = 0.03  # of the logarithm: broader and flatter by as much
SHIFT = 0.35  # pixels
ELASTIC = 0.55  # pixels
BREADTH = 0.3  # 1 takes a pixel's ink all the way to the darkest, or lightest, beside it
FAINT = 0.06  # of the ink gone, in clouds
CONTRAST = 0.2  # only ever more
BLUR = 0.05  # of a pixel's ink to each neighbour along an axis

KNOTS = 6  # a side, of the grid of normal numbers that a smooth field is made from
NOISE = 9 + 3 * KNOTS**2  # normal numbers that a picture takes: see `augment`


def augment(images: Tensor, noise: Tensor) -> Tensor:
    """Distort each picture in its own way.

    Parameters
    ----------
    images : float32 tensor of shape (N, 1, 28, 28), in [0, 1], 0 = paper, 1 = ink
    noise : float32 tensor of shape (N, NOISE), on the same device
        Standard normal: what is done to a picture depends on its row alone.

    Returns
    -------
    images : float32 tensor of shape (N, 1, 28, 28), in [0, 1]
    """
    untouched = int(len(images) * UNTOUCHED)
    kept, images, noise = images[:untouched], images[untouched:], noise[untouched:]
    scalars, grids = noise.split([9, 3 * KNOTS**2], dim=1)
    turn, slant, size, aspect, right, down, breadth, contrast, blur = scalars.T
    fields = smooth_fields(grids.reshape(-1, 3, KNOTS**2))

    x, y = sources(turn * TURN, slant * SLANT, size * SIZE, aspect * ASPECT)
    x = x + at_pixels(right * SHIFT) + fields[:, 0] * ELASTIC
    y = y + at_pixels(down * SHIFT) + fields[:, 1] * ELASTIC
    grid = torch.stack([x, y], dim=-1) * (2 / SIDE) + (1 / SIDE - 1)  # index -> [-1, 1]
    images = F.grid_sample(images, grid, align_corners=False)

    images = set_breadth(images, at_pixels(breadth * BREADTH).clamp(-0.9, 0.9).unsqueeze(1))
    images = soften(images, at_pixels(blur.abs() * BLUR).clamp(max=0.3).unsqueeze(1))
    ink = 1 + at_pixels(contrast.abs() * CONTRAST) - (fields[:, 2] * FAINT).clamp(min=0)
    return torch.cat([kept, (images * ink.unsqueeze(1)).clamp(0, 1)])


def at_pixels(numbers: Tensor) -> Tensor:
    """Give numbers, one a picture, the shape in which they meet its pixels: (N, 1, 1)."""
    return numbers[:, None, None]


def sources(turn: Tensor, slant: Tensor, size: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
    """Tell where each pixel's ink comes from: indices x and y, of shape (N, 28, 28)."""
    index = torch.arange(SIDE, device=turn.device) - CENTER
    y, x = index[:, None], index[None, :]
    cos, sin = at_pixels(turn.cos()), at_pixels(turn.sin())
    across, along = at_pixels((size + aspect).exp()), at_pixels((size - aspect).exp())
    x, y = cos * x - sin * y, sin * x + cos * y
    return (x + at_pixels(slant) * y) * across + CENTER, y * along + CENTER


def smooth_fields(grids: Tensor) -> Tensor:
    """Turn grids of shape (N, C, KNOTS²), standard normal, into smooth fields (N, C, 28, 28)."""
    pixels = torch.arange(SIDE, dtype=torch.float32, device=grids.device)
    knots = torch.linspace(0, SIDE - 1, KNOTS, device=grids.device)
    weights = torch.exp(-(((pixels[:, None] - knots) / (0.8 * (knots[1] - knots[0]))) ** 2) / 2)
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()  # deviation 1 everywhere
    both = (weights[:, None, :, None] * weights[None, :, None, :]).reshape(SIDE**2, KNOTS**2)
    return (grids @ both.T).reshape(*grids.shape[:2], SIDE, SIDE)


def set_breadth(images: Tensor, change: Tensor) -> Tensor:
    """Make strokes broader where `change` is positive, in [0, 1], thinner where it is negative."""
    broad = F.max_pool2d(images, 3, stride=1, padding=1)
    thin = -F.max_pool2d(-images, 3, stride=1, padding=1)
    return images + change.clamp(min=0) * (broad - images) + change.clamp(max=0) * (images - thin)


def soften(images: Tensor, share: Tensor) -> Tensor:
    """Give a share of each pixel's ink to its neighbours, above and below, left and right."""
    for dim, edge in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        padded = F.pad(images, edge)
        before, after = padded.narrow(dim, 0, SIDE), padded.narrow(dim, 2, SIDE)
        images = (1 - 2 * share) * images + share * (before + after)
    return images
