"""The data, the loss, the steps and the figures of a training."""

import math
from dataclasses import replace
from functools import partial

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
from training.speed import compiled
from training.state import make_state, tanh_forward, with_sigmoids
from training.steps import _epoch_seed, make_loss_fn, make_step, train_epoch


def test_split_holds_one_in_five_back():
    learn, validate = split(60_000, 0.2, torch.Generator().manual_seed(0))
    assert (len(learn), len(validate)) == (48_000, 12_000)
    assert torch.equal(torch.cat([learn, validate]).sort().values, torch.arange(60_000))
    other, _ = split(60_000, 0.2, torch.Generator().manual_seed(1))
    assert not torch.equal(learn, other)
    with pytest.raises(ValueError, match="4 images"):
        split(4, 0.2, torch.Generator())


def test_evaluate_measures_what_it_says():
    torch.manual_seed(0)
    model = LeNet().train()
    images = torch.randint(256, (2500, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(10, (2500,))
    loss, accuracy = evaluate(model, images, labels)
    logits = model(images / 255)
    losses = -logits.log_softmax(1)[torch.arange(2500), labels]
    assert loss == pytest.approx(losses.mean().item(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == labels).sum().item() / 2500
    assert model.training, "evaluate must leave the mode as it was"
    evaluate(model.eval(), images, labels)
    assert not model.training


def random_set(count):
    images = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8)
    return TrainingSet(images, torch.randint(10, (count,)), counts=(count, 0, 0, 0))


def test_an_epoch_takes_every_image_once_and_returns_its_means():
    """With a rate of 0 the network stays, so the epoch's metrics are those of the network."""
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


def test_a_mixed_batch_has_its_share_of_each_kind():
    recipe = replace(DEMO, batch_size=100, added_shares=(0.16, 0.05, 0.04))
    training_set = replace(random_set(1), counts=(1000, 30, 40, 20))
    batches = batches_of(training_set, recipe, torch.Generator())
    assert len(batches) == 1000 // 75
    for batch in batches:
        counts = torch.bucketize(batch, torch.tensor([1000, 1030, 1070]), right=True).bincount()
        assert counts.tolist() == [75, 16, 5, 4]
    digits = torch.cat(batches)
    digits = digits[digits < 1000]
    assert len(digits.unique()) == len(digits), "each of MNIST's images comes at most once"
    with pytest.raises(ValueError, match="50 images"):
        batches_of(replace(training_set, counts=(50, 30, 40, 20)), recipe, torch.Generator())


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
    blank = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    training_set = TrainingSet(blank, torch.tensor([NON_DIGIT, 0]), counts=(1, 0, 0, 1))
    loss_fn = make_loss_fn(PAPER, model, training_set)
    loss, _ = loss_fn(torch.tensor([0]))
    loss.backward()
    assert model.linear3.bias.grad.abs().max() < 1e-7
    _, right = loss_fn(torch.tensor([0, 1]))
    assert right == 1, "a non-digit is neither right nor wrong"


def test_each_step_has_images_and_noise_of_its_own():
    training_set = replace(random_set(64), counts=(40, 8, 8, 8))
    recipe = replace(DEMO, batch_size=20, added_shares=(0.2, 0.2, 0.2))
    state, taken = make_state(recipe, 0, torch.device("cpu"), steps=5), []
    for _ in range(2):
        train_epoch(state, lambda *inputs: taken.append(inputs), training_set, tqdm(disable=True))
        state.history.append({})
    batches, noises = zip(*taken, strict=True)
    assert len(batches) == 10 and len(torch.stack(noises).flatten(1).unique(dim=0)) == 10
    first, second = torch.cat(batches[:5]), torch.cat(batches[5:])
    assert not torch.equal(first, second), "each epoch has an order of its own"
    assert torch.equal(first[first < 40].sort()[0], second[second < 40].sort()[0])
    # Blank images stay blank, so that only an image can make the losses differ.
    blank = replace(training_set, images=torch.zeros_like(training_set.images))
    for images, differs in ((training_set, True), (blank, False)):
        loss_fn = make_loss_fn(recipe, state.model, images)
        first, second = (loss_fn(torch.arange(20), noise)[0] for noise in noises[:2])
        assert (first != second) == differs


def test_the_demos_rate_follows_a_cosine_and_its_weights_a_running_mean():
    recipe, training_set, device = replace(DEMO, tanh_forward=False), random_set(64), "cpu"
    state = make_state(recipe, seed=0, device=torch.device(device), steps=30)
    step = make_step(state, training_set)
    mean = state.model.conv1.weight.detach().clone()
    for i in range(30):
        state.begin_step()
        conv1, others = (group["lr"].item() for group in state.optimizer.param_groups)
        cosine = (1 + math.cos(math.pi * i / 30)) / 2
        assert others == pytest.approx(0.008 * cosine * min(1, (i + 1) / 3))
        assert conv1 == pytest.approx(4 * others), "the first convolution learns faster"
        step(torch.arange(64), torch.randn(64, NOISE_SIZE))
        mean += max(0.001, 9 / (10 + i)) * (state.model.conv1.weight.detach() - mean)
    assert torch.allclose(state.network().conv1.weight, mean, atol=1e-6)
    assert not torch.allclose(mean, state.model.conv1.weight, atol=1e-4)
    state.step = 10**6
    state.begin_step()
    assert state.ema_share.item() == pytest.approx(0.001), "the mean settles at its decay"


def test_drawings_are_the_same_from_any_number_of_processes(monkeypatch):
    monkeypatch.setattr(training.data, "CHUNK", 4)
    mnist = random_set(9)
    sets = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        sets.append(make_training_set(mnist.images, mnist.labels, DEMO, seed=-1))
    one, two = sets
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
    labels = torch.tensor([0] * 90 + [1] * 10 + [0] * 80 + [1] * 20)
    # Of those at 95 % 90 are right, of those at 65 % 80.
    expected = (0.05 * 100 + 0.15 * 100) / 200
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-6)


def test_the_best_epoch_is_kept_not_the_last(small_mnist):
    """With a rate that makes the loss jump about, the two are not the same."""
    images, labels = (part[:500] for part in load_mnist(small_mnist, train=True))
    recipe = replace(PAPER, epochs=6, lr=0.05)
    model, history = train.train(images, labels, recipe, report=lambda line: None)
    losses = [epoch["validation_loss"] for epoch in history]
    assert min(losses) < losses[-1]
    _, held_back = split(500, 0.2, torch.Generator().manual_seed(0))
    loss, _ = evaluate(model, images[held_back], labels[held_back])
    assert loss == min(losses)


def test_a_seed_gives_the_same_bits_and_another_gives_others(small_mnist):
    data = [part[:100] for part in load_mnist(small_mnist, train=True)]
    recipe = replace(PAPER, epochs=1)
    models = [train.train(*data, recipe, seed=seed, report=str)[0] for seed in (7, 7, 8)]
    one, same, other = (torch.nn.utils.parameters_to_vector(m.parameters()) for m in models)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_each_epoch_has_a_seed_of_its_own():
    """In the 32 bits that the CPU's generator takes of it."""
    seeds = [(seed, epoch, kind) for seed in (0, 1) for epoch in range(1, 50) for kind in (0, 1)]
    assert len({_epoch_seed(*which) % 2**32 for which in seeds}) == len(seeds)


def test_a_compiled_loss_is_the_plain_one(monkeypatch):
    """Traced and differentiated by PyTorch; the step that needs a C++ compiler is left out."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch.manual_seed(0)
    model, training_set, batch = LeNet(), random_set(64), torch.arange(64)
    loss_fn = make_loss_fn(PAPER, model, training_set)
    expected, right = loss_fn(batch)
    gradient = torch.autograd.grad(expected, model.conv1.weight)[0]
    loss, same_right = compiled(loss_fn, model)(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and right == same_right
    again = torch.autograd.grad(loss, model.conv1.weight)[0]
    assert torch.allclose(again, gradient, atol=1e-6)


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\nSet X=1")


def test_a_missing_compiler_is_no_hindrance(monkeypatch, capsys):
    """Not even if it is missed no earlier than by the first backward."""

    def broken(function, **_):
        def call(*arguments):
            loss, right = function(*arguments)
            return FailsBackward.apply(loss), right

        return call

    monkeypatch.setattr(torch, "compile", broken)
    model = LeNet()
    loss_fn = compiled(make_loss_fn(PAPER, model, random_set(8)), model)
    for _ in range(2):
        loss, _ = loss_fn(torch.arange(8))
        loss.backward()
    printed = capsys.readouterr().out
    assert printed.count("without torch.compile: backend='inductor' raised: No working C++") == 1
    assert model.conv1.weight.grad.abs().sum() > 0
