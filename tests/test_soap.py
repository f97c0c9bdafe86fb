"""The optimizer, by what it does to a loss."""

import pytest
import torch

from training.soap import SOAP


def badly_scaled_regression():
    """Predict 4 numbers from 20 that are almost equal: an ill-conditioned problem."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(500, 1, generator=generator)
    x = common + 0.05 * torch.randn(500, 20, generator=generator)
    y = x @ torch.randn(20, 4, generator=generator)
    torch.manual_seed(0)
    return torch.nn.Linear(20, 4), x, y


def loss_after(steps, optimizer_of):
    layer, x, y = badly_scaled_regression()
    optimizer = optimizer_of(layer.parameters())
    return run(layer, x, y, optimizer, range(steps)), layer, optimizer


def run(layer, x, y, optimizer, steps):
    """Take these steps; return the last loss."""
    for step in steps:
        if isinstance(optimizer, SOAP) and step % SOAP.BASIS_UPDATE_EVERY == 0:
            optimizer.update_bases()
        loss = (layer(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_it_converges_faster_than_adam():
    soap, _, _ = loss_after(60, lambda p: SOAP(p, lr=0.1))
    adam, _, _ = loss_after(60, lambda p: torch.optim.Adam(p, lr=0.1))
    assert soap < adam / 3


def test_its_first_step_is_as_long_as_the_learning_rate():
    _, layer, _ = loss_after(1, lambda p: SOAP(p, lr=0.01))
    start, _, _ = badly_scaled_regression()
    step = layer.weight - start.weight
    # In the eigenbasis each component of the step is the rate, whatever the gradient.
    assert step.norm().item() == pytest.approx(0.01 * step.numel() ** 0.5, rel=0.1)


def test_a_restored_state_continues_to_the_same_bits():
    whole, expected, _ = loss_after(50, lambda p: SOAP(p, lr=0.01))
    _, layer, optimizer = loss_after(27, lambda p: SOAP(p, lr=0.01))
    _, x, y = badly_scaled_regression()
    resumed = SOAP(layer.parameters(), lr=0.5)
    resumed.load_state_dict(optimizer.state_dict())
    assert run(layer, x, y, resumed, range(27, 50)) == whole
    assert torch.equal(layer.weight, expected.weight)


def test_weight_decay_shrinks_weights_and_leaves_biases():
    layer = torch.nn.Linear(20, 4)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    layer(torch.zeros(1, 20)).sum().mul(0).backward()  # gradients of 0
    SOAP(layer.parameters(), lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(layer.weight, 0.95 * weight)
    assert torch.equal(layer.bias, bias)
