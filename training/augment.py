"""Distort batches of images like different handwriting, pens and scanners.

Affine and elastic distortion: Simard et al. 2003, "Best practices for convolutional neural
networks applied to visual document analysis", section 2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reading.preprocess import CENTER, IMAGE_SIZE

KNOTS = 6  # per side of the grid of random numbers that a smooth field is interpolated from
SCALARS = ("rotation", "shear", "scale", "aspect", "shift_x", "shift_y")
SCALARS += ("width", "contrast", "blur")
NOISE_SIZE = len(SCALARS) + 3 * KNOTS**2  # per image: scalars, two elastic fields, one of fading


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the distortions: standard deviations, unless the comment says otherwise."""

    untouched_share: float  # share of each batch that stays as it is: its first images, MNIST's
    rotation: float  # radians, about the center
    shear: float  # pixels sideways for each pixel down
    scale: float  # natural logarithm of the size
    aspect: float  # logarithm of the width, and minus the logarithm of the height
    shift: float  # pixels, horizontal and vertical
    elastic: float  # pixels, displacement in a smooth random field
    stroke_width: float  # pixels by which strokes are dilated, or eroded if negative
    fading: float  # share of the ink removed, varying smoothly; negative values count as 0
    contrast: float  # share by which ink is amplified; the absolute value counts
    blur: float  # share of ink that moves to each neighbor along an axis; the absolute value counts


def augment(images: Tensor, noise: Tensor, strength: Augmentation) -> Tensor:
    """Return each image with a random distortion of its own.

    A pure function of its arguments, so that it can be compiled and a seed repeats it.

    Parameters
    ----------
    images : float32 tensor of shape (N, 1, 28, 28), in [0, 1], 0 = paper, 1 = ink
    noise : float32 tensor of shape (N, NOISE_SIZE), standard normal, on the same device
    strength : Augmentation

    Returns
    -------
    images : float32 tensor of shape (N, 1, 28, 28), in [0, 1]
        The first `strength.untouched_share` of them are unchanged.
    """
    untouched = int(len(images) * strength.untouched_share)
    kept, images, noise = images[:untouched], images[untouched:], noise[untouched:]
    scalars, grids = noise.split([len(SCALARS), 3 * KNOTS**2], dim=1)
    rotation, shear, scale, aspect, shift_x, shift_y, width, contrast, blur_share = scalars.T
    fields = smooth_fields(grids.reshape(-1, 3, KNOTS**2))

    x, y = _affine_sources(
        rotation * strength.rotation,
        shear * strength.shear,
        scale * strength.scale,
        aspect * strength.aspect,
    )
    x = x + _per_image(shift_x * strength.shift) + fields[:, 0] * strength.elastic
    y = y + _per_image(shift_y * strength.shift) + fields[:, 1] * strength.elastic
    grid = torch.stack([x, y], dim=-1) * (2 / IMAGE_SIZE) + (1 / IMAGE_SIZE - 1)  # to [-1, 1]
    images = F.grid_sample(images, grid, align_corners=False)

    change = _per_image(width * strength.stroke_width).clamp(-0.9, 0.9)
    images = scale_stroke_width(images, change.unsqueeze(1))
    images = blur(images, _per_image(blur_share.abs() * strength.blur).clamp(max=0.3).unsqueeze(1))
    ink = 1 + _per_image(contrast.abs() * strength.contrast)
    ink = ink - (fields[:, 2] * strength.fading).clamp(min=0)
    return torch.cat([kept, (images * ink.unsqueeze(1)).clamp(0, 1)])


def smooth_fields(grids: Tensor) -> Tensor:
    """Interpolate (N, C, KNOTS²) normal numbers to (N, C, 28, 28); each pixel has deviation 1."""
    pixels = torch.arange(IMAGE_SIZE, dtype=torch.float32, device=grids.device)
    knots = torch.linspace(0, IMAGE_SIZE - 1, KNOTS, device=grids.device)
    weights = torch.exp(-(((pixels[:, None] - knots) / (0.8 * (knots[1] - knots[0]))) ** 2) / 2)
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()
    kernel = weights[:, None, :, None] * weights[None, :, None, :]
    fields = grids @ kernel.reshape(IMAGE_SIZE**2, KNOTS**2).T
    return fields.reshape(*grids.shape[:2], IMAGE_SIZE, IMAGE_SIZE)


def scale_stroke_width(images: Tensor, change: Tensor) -> Tensor:
    """Dilate strokes by up to one pixel, or erode them: `change` is (N, 1, 1, 1), in [-1, 1]."""
    dilated = F.max_pool2d(images, 3, stride=1, padding=1)
    eroded = -F.max_pool2d(-images, 3, stride=1, padding=1)
    wider = change.clamp(min=0) * (dilated - images)
    return images + wider + change.clamp(max=0) * (images - eroded)


def blur(images: Tensor, share: Tensor) -> Tensor:
    """Blur with the kernel (share, 1 - 2 share, share) along each axis; `share` is in [0, 1/3]."""
    for dim, padding in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        padded = F.pad(images, padding)
        before, after = padded.narrow(dim, 0, IMAGE_SIZE), padded.narrow(dim, 2, IMAGE_SIZE)
        images = (1 - 2 * share) * images + share * (before + after)
    return images


def _per_image(numbers: Tensor) -> Tensor:
    """Return one number for each image in the shape (N, 1, 1), to broadcast over its pixels."""
    return numbers[:, None, None]


def _affine_sources(rotation: Tensor, shear: Tensor, scale: Tensor, aspect: Tensor):
    """Return the coordinates x and y, each (N, 28, 28), at which each pixel samples its image."""
    index = torch.arange(IMAGE_SIZE, device=rotation.device) - CENTER
    y, x = index[:, None], index[None, :]
    cos, sin = _per_image(rotation.cos()), _per_image(rotation.sin())
    x_scale, y_scale = _per_image((scale + aspect).exp()), _per_image((scale - aspect).exp())
    x, y = cos * x - sin * y, sin * x + cos * y
    return (x + _per_image(shear) * y) * x_scale + CENTER, y * y_scale + CENTER
