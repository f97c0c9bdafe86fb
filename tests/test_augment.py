"""Augmentation: each image is distorted in its own way, and the same numbers repeat it."""

import pytest
import torch

from training.augment import NOISE_SIZE, SCALARS, augment
from training.recipes import DEMO

STRENGTH = DEMO.augmentation


def seven():
    image = torch.zeros(28, 28)
    image[6:9, 6:18] = 1
    image[9:25, 15:18] = 1
    return image


def changed(**values):
    noise = torch.zeros(40, NOISE_SIZE)
    for name, value in values.items():
        noise[:, SCALARS.index(name)] = value
    return augment(seven().expand(40, 1, 28, 28), noise, STRENGTH)[-1, 0]


def center(image):
    index = torch.arange(28.0)
    return torch.stack([image.sum(1) @ index, image.sum(0) @ index]) / image.sum()


def test_an_images_distortion_depends_on_its_own_numbers_alone():
    digits, noise = seven().expand(40, 1, 28, 28), torch.randn(40, NOISE_SIZE)
    one = augment(digits, noise, STRENGTH)
    assert one.min() >= 0 and one.max() <= 1
    unchanged = (one == digits).all(dim=(1, 2, 3))
    assert unchanged.nonzero().flatten().tolist() == list(range(int(40 * STRENGTH.untouched_share)))
    noise[25:] = torch.randn(15, NOISE_SIZE)
    other = augment(digits, noise, STRENGTH)
    assert torch.equal(one[:25], other[:25]) and not torch.equal(one[25:], other[25:])


@pytest.mark.parametrize("name", ["rotation", "shear", "scale", "aspect"])
def test_an_affine_change_keeps_the_center(name):
    assert torch.allclose(changed(), seven(), atol=1e-5)
    out = changed(**{name: 3.0})
    assert not torch.allclose(out, seven(), atol=0.1)
    assert torch.allclose(center(out), center(seven()), atol=0.6)


def test_a_shift_moves_by_its_pixels():
    moved = center(changed(shift_x=2.0, shift_y=-1.0)) - center(seven())
    assert moved.abs().tolist() == pytest.approx([STRENGTH.shift, 2 * STRENGTH.shift], abs=0.05)


def test_ink_is_changed_by_width_and_not_by_blur():
    ink = seven().sum()
    thin, wide = (changed(width=width).sum() for width in (-2.0, 2.0))
    assert thin < 0.8 * ink < 1.2 * ink < wide
    blurred = changed(blur=3.0)
    assert blurred.sum().item() == pytest.approx(ink.item(), rel=1e-4)
    assert ((blurred > 0.05) & (blurred < 0.95)).sum() > 40
