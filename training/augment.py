"""Augment batches of MNIST images with the variation of hands, pens and scanners.

Affine and elastic distortions after Simard et al. 2003, "Best practices for convolutional neural
networks applied to visual document analysis", section 2; then stroke width, fading, contrast and
blur. `augment` is a pure function of images and standard normal numbers: it can be compiled,
and a seed reproduces it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reading.preprocess import CENTER, IMAGE_SIZE

KNOTS = 6  # per side of the grid of normal numbers that a smooth field is interpolated from
SCALARS = ("rotation", "shear", "scale", "aspect", "shift_x", "shift_y")
SCALARS += ("width", "contrast", "blur")
NOISE_SIZE = len(SCALARS) + 3 * KNOTS**2  # normal numbers for each image: see `augment`


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the distortions, each the standard deviation of a normal distribution.

    Parameters
    ----------
    untouched_share : float
        Share of each batch, in [0, 1], that stays as it is.
    rotation : float
        Radians, about the centre of mass.
    shear : float
        Pixels to the side for each pixel down.
    scale : float
        Of the size's logarithm.
    aspect : float
        Of the logarithm of width, and of minus that of height.
    shift : float
        Pixels, horizontally and vertically.
    elastic : float
        Pixels, each pixel's displacement in a smooth random field.
    stroke_width : float
        1 dilates (-1 erodes) by one pixel; fractions interpolate.
    fading : float
        Share of the ink removed, varying smoothly over the image; negative values are cut off.
    contrast : float
        Share by which ink is amplified; the absolute value is used.
    blur : float
        Share of a pixel's ink that moves to each neighbour along an axis; the absolute value
        is used.
    """

    untouched_share: float
    rotation: float
    shear: float
    scale: float
    aspect: float
    shift: float
    elastic: float
    stroke_width: float
    fading: float
    contrast: float
    blur: float


def augment(images: Tensor, noise: Tensor, strength: Augmentation) -> Tensor:
    """Return each image distorted in its own way.

    Parameters
    ----------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1], 0 = paper, 1 = ink.
    noise : float32 tensor of shape (N, NOISE_SIZE), on the same device
        Standard normal. An image's distortion depends on its row alone: the columns are
        `SCALARS`, then three grids of `KNOTS` by `KNOTS` for the elastic field and the fading.
    strength : Augmentation

    Returns
    -------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1]. The first `strength.untouched_share` of them are unchanged.
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
    """Return smooth random fields, interpolated from grids by a Gaussian kernel.

    Parameters
    ----------
    grids : float32 tensor of shape (N, C, KNOTS²)
        Standard normal.

    Returns
    -------
    fields : float32 tensor of shape (N, C, 28, 28)
        Normal with mean 0 and standard deviation 1 at every pixel.
    """
    pixels = torch.arange(IMAGE_SIZE, dtype=torch.float32, device=grids.device)
    knots = torch.linspace(0, IMAGE_SIZE - 1, KNOTS, device=grids.device)
    weights = torch.exp(-(((pixels[:, None] - knots) / (0.8 * (knots[1] - knots[0]))) ** 2) / 2)
    weights = weights / weights.square().sum(1, keepdim=True).sqrt()  # deviation 1 everywhere
    kernel = weights[:, None, :, None] * weights[None, :, None, :]
    fields = grids @ kernel.reshape(IMAGE_SIZE**2, KNOTS**2).T
    return fields.reshape(*grids.shape[:2], IMAGE_SIZE, IMAGE_SIZE)


def scale_stroke_width(images: Tensor, change: Tensor) -> Tensor:
    """Return images with wider or thinner strokes.

    Parameters
    ----------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1], 0 = paper, 1 = ink.
    change : float32 tensor of shape (N, 1, 1, 1)
        In [-1, 1]: 1 is the dilation by a 3x3 square, -1 the erosion, between them a mixture.

    Returns
    -------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1].
    """
    dilated = F.max_pool2d(images, 3, stride=1, padding=1)
    eroded = -F.max_pool2d(-images, 3, stride=1, padding=1)
    wider = change.clamp(min=0) * (dilated - images)
    return images + wider + change.clamp(max=0) * (images - eroded)


def blur(images: Tensor, share: Tensor) -> Tensor:
    """Return images blurred by a three-pixel kernel along each axis.

    Parameters
    ----------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1], 0 = paper, 1 = ink.
    share : float32 tensor of shape (N, 1, 1, 1)
        In [0, 1/3]: the kernel is (share, 1 - 2 share, share).

    Returns
    -------
    images : float32 tensor of shape (N, 1, 28, 28)
        In [0, 1]; the ink at the border of the image is lost to it.
    """
    for dim, padding in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        padded = F.pad(images, padding)
        before, after = padded.narrow(dim, 0, IMAGE_SIZE), padded.narrow(dim, 2, IMAGE_SIZE)
        images = (1 - 2 * share) * images + share * (before + after)
    return images


def _per_image(numbers: Tensor) -> Tensor:
    """Return one number per image in the shape (N, 1, 1), to broadcast over its pixels."""
    return numbers[:, None, None]


def _affine_sources(rotation: Tensor, shear: Tensor, scale: Tensor, aspect: Tensor):
    """Return the source index x and y, each (N, 28, 28), that each pixel is sampled from."""
    index = torch.arange(IMAGE_SIZE, device=rotation.device) - CENTER
    y, x = index[:, None], index[None, :]
    cos, sin = _per_image(rotation.cos()), _per_image(rotation.sin())
    x_scale, y_scale = _per_image((scale + aspect).exp()), _per_image((scale - aspect).exp())
    x, y = cos * x - sin * y, sin * x + cos * y
    return (x + _per_image(shear) * y) * x_scale + CENTER, y * y_scale + CENTER
