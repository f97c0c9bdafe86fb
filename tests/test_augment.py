"""Augmentation: each image is distorted in its own way, and the same numbers repeat it."""

import pytest
import torch

from training import augment as augmentation
from training.augment import KNOTS, NOISE_SIZE, SCALARS, smooth_fields
from training.recipes import DEMO

STRENGTH = DEMO.augmentation
KEPT = int(40 * STRENGTH.untouched_share)


def augment(images, noise):
    return augmentation.augment(images, noise, STRENGTH)


@pytest.fixture(scope="module")
def digits():
    """40 images of a 7-like angle, 3 pixels wide, with its centre of mass at 14, 14."""
    image = torch.zeros(28, 28)
    image[5:8, 8:20] = 1
    image[8:24, 17:20] = 1
    y, x = (image.nonzero().float().mean(0)).tolist()
    image = image.roll((round(14 - y), round(14 - x)), (0, 1))
    return image.expand(40, 1, 28, 28).contiguous()


def noise_of(count, **values):
    noise = torch.zeros(count, NOISE_SIZE)
    for name, value in values.items():
        noise[:, SCALARS.index(name)] = value
    return noise


def changed(digits, **values):
    """Augment with these numbers alone; return the images that are not kept as they are."""
    return augment(digits, noise_of(len(digits), **values))[KEPT:]


def center(images):
    index = torch.arange(28.0)
    mass = images.sum((1, 2, 3))
    x = (images.sum((1, 2)) * index).sum(1) / mass
    y = (images.sum((1, 3)) * index).sum(1) / mass
    return x, y


def test_a_batch_keeps_its_shape_and_range_and_its_first_images(digits):
    out = augment(digits, torch.randn(40, NOISE_SIZE))
    assert (out.shape, out.dtype) == (digits.shape, digits.dtype)
    assert out.min() >= 0 and out.max() <= 1
    unchanged = (out == digits).all(dim=(1, 2, 3))
    assert unchanged.nonzero().flatten().tolist() == list(range(KEPT))


def test_no_noise_no_change(digits):
    assert torch.allclose(changed(digits), digits[KEPT:], atol=1e-5)


def test_an_images_distortion_depends_on_its_own_numbers_alone(digits):
    noise = torch.randn(40, NOISE_SIZE)
    one = augment(digits, noise)
    assert torch.equal(one, augment(digits, noise))
    noise[25:] = torch.randn(15, NOISE_SIZE)
    other = augment(digits, noise)
    assert torch.equal(one[:25], other[:25]) and not torch.equal(one[25:], other[25:])


@pytest.mark.parametrize("name", ["rotation", "shear", "scale", "aspect"])
@pytest.mark.parametrize("value", [-3.0, 3.0])
def test_an_affine_change_keeps_the_centre(digits, name, value):
    out = changed(digits, **{name: value})
    x, y = center(out)
    assert not torch.allclose(out, digits[KEPT:], atol=0.1)
    assert (x - 14).abs().max() < 0.6 and (y - 14).abs().max() < 0.6


def test_a_shift_moves_by_its_pixels(digits):
    x0, y0 = center(digits[:1])
    x, y = center(changed(digits, shift_x=2.0, shift_y=-1.0))
    assert (x - x0).abs().mean().item() == pytest.approx(2 * STRENGTH.shift, abs=0.05)
    assert (y - y0).abs().mean().item() == pytest.approx(STRENGTH.shift, abs=0.05)


def test_a_stroke_becomes_wider_and_thinner(digits):
    ink = digits[:1].sum()
    wide, thin = (changed(digits, width=width)[0].sum() for width in (2.0, -2.0))
    assert thin < 0.8 * ink < ink < 1.2 * ink < wide


def test_blur_keeps_the_ink_and_blurs_its_edge(digits):
    out = changed(digits, blur=3.0)
    assert out[0].sum().item() == pytest.approx(digits[0].sum().item(), rel=1e-4)
    assert ((out[0] > 0.05) & (out[0] < 0.95)).sum() > 40


def test_elastic_fields_are_smooth_and_of_deviation_1():
    fields = smooth_fields(torch.randn(400, 3, KNOTS**2))
    assert fields.std().item() == pytest.approx(1, abs=0.05)
    assert fields.diff(dim=2).abs().mean() < 0.25
