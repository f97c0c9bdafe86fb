"""The data, the loss, the steps and the figures of a training."""

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import train
import training.data
from lenet import LeNet
from training.augment import NOISE_SIZE
from training.data import NON_DIGIT, TrainingSet, batches_of, load_mnist, make_training_set, split
from training.metrics import calibration_error, evaluate, fit_temperature
from training.recipes import DEMO, PAPER
from training.soap import SOAP
from training.speed import compiled
from training.state import make_state, tanh_forward, with_sigmoids
from training.steps import make_loss_fn, make_step, train_epoch


def random_set(count):
    images = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8)
    return TrainingSet(images, torch.randint(10, (count,)), counts=(count, 0, 0, 0))


def test_an_epoch_takes_every_image_once_and_returns_its_means():
    # With a rate of 0 the network stays, so the epoch's metrics are those of the network.
    recipe = replace(PAPER, batch_size=10, optimizer=torch.optim.SGD, lr=0.0)
    state = make_state(recipe, seed=0, device=torch.device("cpu"), steps=11)
    training_set = random_set(103)
    batches = batches_of(training_set, recipe, torch.Generator())
    assert [len(batch) for batch in batches] == [10] * 10 + [3]
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(103))
    step = make_step(state, training_set)
    loss, accuracy = train_epoch(state, step, training_set, tqdm(disable=True))
    logits = state.model(training_set.images / 255)
    assert loss == pytest.approx(cross_entropy(logits, training_set.labels).item(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == training_set.labels).sum().item() / 103


def test_the_saved_network_is_the_trained_one():
    torch.manual_seed(0)
    model = LeNet()
    torch.nn.init.normal_(model.conv2.bias)
    images = torch.rand(20, 1, 28, 28)
    with torch.no_grad():
        difference = tanh_forward(model, images) - with_sigmoids(model)(images)
    assert difference.abs().max() < 1e-5


def test_a_non_digit_is_taught_as_any_digit_alike():
    model = LeNet()
    torch.nn.init.zeros_(model.linear3.weight)
    torch.nn.init.zeros_(model.linear3.bias)
    training_set = replace(random_set(1), labels=torch.tensor([NON_DIGIT]), counts=(0, 0, 0, 1))
    loss, right = make_loss_fn(PAPER, model, training_set)(torch.tensor([0]))
    loss.backward()
    assert model.linear3.bias.grad.abs().max() < 1e-7
    assert right == 0


def test_each_step_has_images_of_each_kind_and_noise_of_its_own():
    recipe = replace(DEMO, batch_size=20, added_shares=(0.2, 0.1, 0.1))
    training_set = replace(random_set(64), counts=(40, 8, 8, 8))
    state, taken = make_state(recipe, 0, torch.device("cpu"), steps=6), []
    for _ in range(2):
        train_epoch(state, lambda *inputs: taken.append(inputs), training_set, tqdm(disable=True))
        state.history.append({})
    batches, noises = zip(*taken, strict=True)
    for batch in batches:
        kinds = torch.bucketize(batch, torch.tensor([40, 48, 56]), right=True)
        assert kinds.bincount().tolist() == [12, 4, 2, 2]
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
    assert len(first[first < 40].unique()) == 36, "each of MNIST's images comes at most once"
    assert not torch.equal(first, second)
    assert len(torch.stack(noises).flatten(1).unique(dim=0)) == 6
    loss_fn = make_loss_fn(recipe, state.model, training_set)
    losses = [loss_fn(batches[0], noise)[0].item() for noise in noises[:2]]
    assert losses[0] != losses[1], "the noise distorts the images"


def test_soap_converges_faster_than_adam():
    losses = {}
    for kind in (SOAP, torch.optim.Adam):
        torch.manual_seed(0)
        x = torch.randn(500, 1) + 0.05 * torch.randn(500, 20)  # 20 numbers that are almost equal
        layer, y = torch.nn.Linear(20, 4), x @ torch.randn(20, 4)
        optimizer = kind(layer.parameters(), lr=0.1)
        for step in range(60):
            if kind is SOAP and step % SOAP.BASIS_UPDATE_EVERY == 0:
                optimizer.update_bases()
            optimizer.zero_grad()
            loss = (layer(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        losses[kind] = loss.item()
    assert losses[SOAP] < losses[torch.optim.Adam] / 3


def test_the_demos_rate_rises_and_falls_and_its_weights_are_a_running_mean():
    state = make_state(replace(DEMO, tanh_forward=False), 0, torch.device("cpu"), steps=30)
    step, rates = make_step(state, random_set(64)), []
    mean = state.model.conv1.weight.detach().clone()
    for i in range(30):
        state.begin_step()
        rates.append(state.optimizer.param_groups[1]["lr"].item())
        step(torch.arange(64), torch.randn(64, NOISE_SIZE))
        mean += max(0.001, 9 / (10 + i)) * (state.model.conv1.weight.detach() - mean)
    assert rates[:3] == sorted(rates[:3]) and rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] < 0.01 * max(rates) <= 0.01 * DEMO.lr
    assert torch.allclose(state.network().conv1.weight, mean, atol=1e-6)


def test_drawings_are_the_same_from_any_number_of_processes(monkeypatch):
    monkeypatch.setattr(training.data, "CHUNK", 4)
    mnist = random_set(9)
    one = make_training_set(mnist.images, mnist.labels, DEMO, seed=-1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    two = make_training_set(mnist.images, mnist.labels, DEMO, seed=-1)
    assert one.counts == two.counts == (9, 9, 9, 5) and len(one.labels) == 32
    assert torch.equal(one.images, two.images) and torch.equal(one.labels, two.labels)
    assert len(one.images.flatten(1).unique(dim=0)) == 32, "no chunk repeats another"


def test_the_temperature_is_found():
    torch.manual_seed(0)
    logits = 3 * torch.randn(20_000, 10)
    labels = torch.distributions.Categorical(logits=logits).sample()  # calibrated at 1
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.03)
    assert fit_temperature(2 * logits, labels) == pytest.approx(2, abs=0.06)


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy():
    confident = torch.tensor([0.95] * 100 + [0.65] * 100)
    probabilities = torch.stack([confident, 1 - confident], 1)
    labels = torch.tensor([0] * 90 + [1] * 10 + [0] * 80 + [1] * 20)  # 90 % and 80 % are right
    assert calibration_error(probabilities, labels) == pytest.approx((0.05 + 0.15) / 2, abs=1e-6)


def test_the_best_epoch_is_kept_not_the_last(small_mnist):
    images, labels = (part[:200] for part in load_mnist(small_mnist, train=True))
    recipe = replace(PAPER, epochs=6, lr=0.05)  # a rate that makes the loss jump about
    model, history = train.train(images, labels, recipe, report=lambda line: None)
    losses = [epoch["validation_loss"] for epoch in history]
    assert min(losses) < losses[-1]
    learned, held_back = split(200, 0.2, torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([learned, held_back]).sort().values, torch.arange(200))
    assert len(held_back) == 40
    loss, _ = evaluate(model, images[held_back], labels[held_back])
    assert loss == min(losses)


def test_a_missing_compiler_is_no_hindrance(monkeypatch, capsys):
    missing = RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\nSet X=1")
    monkeypatch.setattr(torch, "compile", lambda *_, **__: Mock(side_effect=missing))
    model = LeNet()
    loss_fn = compiled(make_loss_fn(PAPER, model, random_set(8)), model)
    for _ in range(2):
        loss_fn(torch.arange(8))[0].backward()
    printed = capsys.readouterr().out
    assert printed.count("without torch.compile: backend='inductor' raised: No working C++") == 1
