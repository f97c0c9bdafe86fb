"""The recipes and the command line, on 1,797 real digits."""

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT, write_idx
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from tqdm import tqdm

import train
from lenet import LeNet
from training.data import (
    NO_DIGIT,
    TrainingSet,
    batches_of,
    load_mnist,
    mixed_batches,
    split,
)
from training.metrics import METRICS, calibration_error, evaluate, fit_temperature
from training.recipes import DEMO, PAPER
from training.run import CHECKPOINT, RUN_FILES, choose_device
from training.state import make_state, tanh_forward, update_ema, with_sigmoids
from training.steps import epoch_seed, make_loss_fn, train_epoch


def test_split_holds_one_in_five_back():
    learn, validate = split(60_000, 0.2, torch.Generator().manual_seed(0))
    assert (len(learn), len(validate)) == (48_000, 12_000)
    assert torch.equal(torch.cat([learn, validate]).sort().values, torch.arange(60_000))
    other, _ = split(60_000, 0.2, torch.Generator().manual_seed(1))
    assert not torch.equal(learn, other)


def test_split_refuses_too_few():
    with pytest.raises(ValueError, match="4 pictures"):
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
    loss_fn = make_loss_fn(recipe, state.model, training_set)
    loss, accuracy = train_epoch(state, loss_fn, batches, tqdm(disable=True))
    logits = state.model(training_set.images / 255)
    assert loss == pytest.approx(cross_entropy(logits, training_set.labels).item(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == training_set.labels).sum().item() / 103


def test_a_mixed_batch_has_its_share_of_each_kind():
    generator = torch.Generator().manual_seed(0)
    batches = mixed_batches((1000, 30, 40, 20), 100, (0.16, 0.05, 0.04), generator)
    assert len(batches) == 1000 // 75
    for batch in batches:
        counts = torch.bucketize(batch, torch.tensor([1000, 1030, 1070]), right=True).bincount()
        assert counts.tolist() == [75, 16, 5, 4]
    digits = torch.cat(batches)
    digits = digits[digits < 1000]
    assert len(digits.unique()) == len(digits), "each of MNIST's images comes at most once"
    with pytest.raises(ValueError, match="50 pictures"):
        mixed_batches((50, 30, 40, 20), 100, (0.16, 0.05, 0.04), generator)


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
    training_set = TrainingSet(blank, torch.tensor([NO_DIGIT, 0]), counts=(1, 0, 0, 1))
    loss_fn = make_loss_fn(PAPER, model, training_set)
    loss, _ = loss_fn(torch.tensor([0]))
    loss.backward()
    assert model.linear3.bias.grad.abs().max() < 1e-7
    _, accuracy = loss_fn(torch.tensor([0, 1]))
    assert accuracy == 1, "the accuracy is that of the digits alone"


def test_the_demos_images_are_augmented_anew_in_each_step():
    torch.manual_seed(0)
    model, training_set = LeNet(), random_set(64)
    # Blank images stay blank, so that only an image can make the losses differ.
    blank = replace(training_set, images=torch.zeros_like(training_set.images))
    for recipe, images, differs in (
        (DEMO, training_set, True),
        (DEMO, blank, False),
        (replace(DEMO, augmentation=None), training_set, False),
    ):
        loss_fn = make_loss_fn(recipe, model, images, torch.Generator().manual_seed(0))
        first, second = (loss_fn(torch.arange(64))[0].item() for _ in range(2))
        assert (first != second) == differs


def test_threads_add_up_to_the_gradients_of_one():
    torch.manual_seed(0)
    model, training_set = LeNet(), random_set(101)
    found = {}
    for threads in (1, 2, 3):
        recipe = replace(PAPER, threads=threads)
        loss, accuracy = make_loss_fn(recipe, model, training_set)(torch.arange(101))
        found[threads] = loss, accuracy, *torch.autograd.grad(2 * loss, list(model.parameters()))
    for threads in (2, 3):
        for value, expected in zip(found[threads], found[1], strict=True):
            assert torch.allclose(value, expected, atol=1e-5)


def steps_of(recipe, count=30):
    """The learning rates of a run's steps, and the weights of conv1 after each."""
    training_set = random_set(64)
    state = make_state(recipe, seed=0, device=torch.device("cpu"), steps=count)
    loss_fn = make_loss_fn(recipe, state.model, training_set, torch.Generator().manual_seed(0))
    rates, weights = [], []
    for _ in range(count):
        rates.append([group["lr"] for group in state.optimizer.param_groups])
        train_epoch(state, loss_fn, [torch.arange(64)], tqdm(disable=True))
        weights.append(state.model.conv1.weight.detach().clone())
    return state, rates, weights


def test_the_demos_rate_warms_up_and_falls_along_a_cosine():
    _, rates, _ = steps_of(DEMO)
    for step, (conv1, others) in enumerate(rates):
        cosine = (1 + math.cos(math.pi * step / 30)) / 2
        assert others == pytest.approx(0.008 * cosine * min(1, (step + 1) / 3))
        assert conv1 == pytest.approx(4 * others), "the first convolution learns faster"


def test_the_demos_weights_are_a_running_mean():
    state, _, weights = steps_of(replace(DEMO, tanh_forward=False))
    start = make_state(DEMO, seed=0, device=torch.device("cpu"), steps=30)
    mean = start.model.conv1.weight.detach()
    for step, weight in enumerate(weights, 1):
        share = max(0.001, 9 / (9 + step))
        mean = mean + share * (weight - mean)
    assert torch.allclose(state.network().conv1.weight, mean, atol=1e-6)
    assert not torch.allclose(mean, weights[-1], atol=1e-4)
    assert steps_of(replace(DEMO, ema_decay=None), count=1)[0].ema is None


def test_the_running_mean_settles_at_its_decay():
    ema, model = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(ema.weight)
    torch.nn.init.ones_(model.weight)
    update_ema(ema, model, decay=0.9, step=10**6)
    assert ema.weight.item() == pytest.approx(0.1)


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


@pytest.fixture(scope="module")
def run(small_mnist, tmp_path_factory):
    """A whole run of the command line: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    return folder, run_train(small_mnist, folder, "--epochs", "25", "--lr", "0.005")


def command(data, folder, *arguments, recipe="paper"):
    command = [sys.executable, ROOT / "train.py", "--recipe", recipe, "--device", "cpu"]
    return command + ["--data-dir", data, "--output-dir", folder, *arguments]


def run_train(data, folder, *arguments, check=True, **how):
    run = command(data, folder, *arguments, **how)
    return subprocess.run(run, capture_output=True, text=True, check=check)


def test_a_run_leaves_its_files(run):
    folder, _ = run
    expected = {"model.safetensors", "config.json", "metrics.json", "curves.png", "README.md"}
    assert {file.name for file in folder.iterdir()} == expected == set(RUN_FILES)
    with Image.open(folder / "curves.png") as curves:
        assert min(curves.size) > 300
    assert ModelCard.load(folder / "README.md").data.license == "mit"


def test_a_run_reports_each_epoch_and_learns(run):
    folder, process = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(metrics["history"]) == metrics["epochs"] == 25
    lines = [line for line in process.stdout.splitlines() if line.startswith("epoch")]
    for line, epoch in zip(lines, metrics["history"], strict=True):
        assert all(f"{epoch[name]:.4f}" in line for name in METRICS)
    first, last = metrics["history"][0], metrics["history"][-1]
    assert last["train_loss"] < first["train_loss"] / 3
    assert last["validation_accuracy"] > 0.85
    assert metrics["test_accuracy"] > 0.8
    assert math.isclose(metrics["test_accuracy"], 1 - metrics["test_errors"] / 297)


def test_the_saved_weights_are_those_that_were_measured(run, small_mnist):
    folder, process = run
    metrics = json.loads((folder / "metrics.json").read_text())
    images, labels = load_mnist(small_mnist, train=False)
    loss, accuracy = evaluate(LeNet.from_pretrained(folder), images, labels)
    assert accuracy == metrics["test_accuracy"]
    assert loss == pytest.approx(metrics["test_loss"], rel=1e-4)
    assert f"test accuracy {accuracy:.4f} ({metrics['test_errors']} errors)" in process.stdout


def test_the_cards_figures_are_the_runs(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.data.eval_results[0].metric_value == metrics["test_accuracy"]
    assert f"{metrics['test_accuracy']:.2%}" in card.text
    assert f"{metrics['history'][-1]['validation_loss']:.4f}" in card.text
    assert "train.py --recipe paper --seed 0 --epochs 25 --lr 0.005\n" in card.text


def test_a_seed_gives_the_same_bits_in_another_process(small_mnist, tmp_path):
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    run_train(small_mnist, one, "--epochs", "1", "--seed", "7")
    run_train(small_mnist, again, "--epochs", "1", "--seed", "7")
    assert same(weights_in(one), weights_in(again))
    in_process(small_mnist, other, "--epochs", "1", "--seed", "8")
    assert not torch.equal(weights_in(one)["conv1.weight"], weights_in(other)["conv1.weight"])


@pytest.mark.parametrize(
    "arguments, remedy",
    [
        (["--device", "nosuch"], "--device cpu"),
        (["--epochs", "0"], "positive int"),
        (["--lr", "-1"], "positive float"),
        (["--output-dir", "/proc/none"], "--output-dir"),
        (["--resume"], "leave --resume out"),
        (["--min-accuracy", "99"], "0.99 for 99 %"),
    ],
)
def test_a_wrong_argument_ends_at_once_with_a_sentence(small_mnist, tmp_path, arguments, remedy):
    process = run_train(small_mnist, tmp_path, *arguments, check=False)
    assert process.returncode == 2
    assert remedy in process.stderr
    assert "Traceback" not in process.stderr and "epoch 1" not in process.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_without_cuda_the_cpu_is_used_and_named(run, capsys):
    assert choose_device(None) == torch.device("cpu")
    assert "CPU" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--device cpu"):
        choose_device("cuda")


def weights_in(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def started(data, folder, *arguments, **how):
    """A run in the background, and its lines as they come."""
    process = subprocess.Popen(
        command(data, folder, *arguments, **how),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    return process, iter(process.stdout.readline, "")


def test_killed_three_times_it_ends_with_the_same_bits(small_mnist, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(small_mnist, data)
    images, labels = load_mnist(small_mnist, train=True)
    for kind, part in (("images-idx3", images[:300, 0]), ("labels-idx1", labels[:300])):
        write_idx(data / "MNIST" / "raw" / f"train-{kind}-ubyte", part.numpy())
    arguments, recipe = ["--epochs", "40"], "demo"  # far more than three lives see
    run_train(data, tmp_path / "undisturbed", *arguments, recipe=recipe)
    random = np.random.default_rng()
    for resume in ([], ["--resume"], ["--resume"]):
        process, lines = started(data, tmp_path / "killed", *arguments, *resume, recipe=recipe)
        next(line for line in lines if line.startswith("epoch"))
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        process.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    run_train(data, tmp_path / "killed", *arguments, "--resume", recipe=recipe)
    assert same(weights_in(tmp_path / "undisturbed"), weights_in(tmp_path / "killed"))
    assert not (tmp_path / "killed" / CHECKPOINT).exists()


def test_interrupted_it_keeps_the_best_so_far_and_goes_on_when_asked(small_mnist, tmp_path):
    arguments = ["--epochs", "100", "--lr", "0.003"]
    process, lines = started(small_mnist, tmp_path, *arguments)
    seen = [next(line for line in lines if line.startswith("epoch"))]
    process.send_signal(signal.SIGINT)
    seen += list(lines)
    assert process.wait() == 130
    assert "--resume goes on" in seen[-1] and "saved in" in seen[-2]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    epochs = sum(line.startswith("epoch") for line in seen)
    assert len(metrics["history"]) == epochs < 20
    model = LeNet.from_pretrained(tmp_path)
    _, accuracy = evaluate(model, *load_mnist(small_mnist, train=False))
    assert accuracy == pytest.approx(metrics["test_accuracy"])

    other = run_train(small_mnist, tmp_path, "--epochs", "20", "--resume", check=False)
    assert other.returncode == 2 and "--epochs 100 --batch-size 64 --lr 0.003" in other.stderr
    process, lines = started(small_mnist, tmp_path, *arguments, "--resume")
    assert next(lines).startswith(f"epoch {epochs + 1:3}/100")
    process.kill()


def test_the_best_epoch_is_kept_not_the_last(small_mnist):
    """With a rate that makes the loss jump about, the two are not the same."""
    images, labels = load_mnist(small_mnist, train=True)
    recipe = replace(PAPER, epochs=15, lr=0.05)
    model, history = train.train(images, labels, recipe, report=lambda line: None)
    losses = [epoch["validation_loss"] for epoch in history]
    assert min(losses) < losses[-1]
    _, held_back = split(1500, 0.2, torch.Generator().manual_seed(0))
    loss, _ = evaluate(model, images[held_back], labels[held_back])
    assert loss == min(losses)


@pytest.mark.parametrize("device", ["cpu"] + ["cuda"] * torch.cuda.is_available())
def test_each_epoch_has_an_order_and_noise_of_its_own(device):
    """The CPU's generator takes 32 bits of a seed: what differs above them is the same."""
    seeds = [(seed, epoch, kind) for seed in (0, 1) for epoch in range(1, 50) for kind in (0, 1)]
    generator = torch.Generator(device)
    drawn = set()
    for which in seeds:
        generator.manual_seed(epoch_seed(*which))
        drawn.add(torch.randint(2**31, (1,), generator=generator, device=device).item())
    assert len(drawn) == len(seeds)


def test_two_epochs_learn_in_different_orders(small_mnist):
    """Plain PyTorch repeats the second epoch's loss from its own order, not from the first's."""
    images, labels = (part[:200] for part in load_mnist(small_mnist, train=True))
    recipe = replace(PAPER, epochs=2)
    _, history = train.train(images, labels, recipe, report=lambda line: None)
    learn, _ = split(200, 0.2, torch.Generator().manual_seed(0))

    def loss_after(orders):
        """Return the mean training loss of the last epoch."""
        torch.manual_seed(0)
        model = LeNet()
        optimizer = torch.optim.Adam(model.parameters(), recipe.lr)
        for order in orders:
            loss_sum = 0
            for batch in learn[order].split(recipe.batch_size):
                loss = cross_entropy(model(images[batch] / 255), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss_sum += loss.item() * len(batch)
        return loss_sum / len(learn)

    def order_of(epoch):
        generator = torch.Generator().manual_seed(epoch_seed(0, epoch, 0))
        return torch.randperm(len(learn), generator=generator)

    expected = loss_after([order_of(1), order_of(2)])
    assert history[1]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert loss_after([order_of(1), order_of(1)]) != pytest.approx(expected, rel=1e-4)


def in_process(data, folder, *arguments):
    return train.main([*map(str, command(data, folder, *arguments)[2:])])


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(small_mnist, tmp_path, capsys):
    assert in_process(small_mnist, tmp_path, "--lr", "1e30") == 1
    assert "Try a lower --lr" in capsys.readouterr().err


def test_a_missed_accuracy_is_an_exit_status(small_mnist, tmp_path, capsys):
    arguments = ["--epochs", "1", "--min-accuracy"]
    assert in_process(small_mnist, tmp_path, *arguments, "0.999") == 1
    assert "less than 0.999" in capsys.readouterr().err
    assert in_process(small_mnist, tmp_path, *arguments, "0") == 0


def test_a_full_disk_is_found_before_the_training(small_mnist, tmp_path):
    """A limit of 1 MB a file, set by the shell, stands for the disk."""
    run = shlex.join(map(str, command(small_mnist, tmp_path)))
    process = subprocess.run(
        ["bash", "-c", f"ulimit -f 1000; {run}"], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert "Make room" in process.stderr and "Traceback" not in process.stderr
    assert "epoch" not in process.stdout and not list(tmp_path.iterdir())


def test_a_long_run_is_compiled_and_a_missing_compiler_is_no_hindrance(small_mnist, capsys):
    """The compiled loss is the plain one; where nothing can compile, so is what is used."""
    torch.manual_seed(0)
    images, labels = load_mnist(small_mnist, train=True)
    training_set = TrainingSet(images, labels, counts=(len(images), 0, 0, 0))
    model, batch = LeNet(), torch.arange(64)
    expected, right = make_loss_fn(PAPER, model, training_set)(batch)
    loss, same_right = make_loss_fn(PAPER, model, training_set, use_compile=True)(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and right == same_right

    code = (
        "import torch; from lenet import LeNet; from training.data import TrainingSet;"
        "from training.recipes import PAPER; from training.steps import make_loss_fn;"
        "images = torch.zeros(9, 1, 28, 28, dtype=torch.uint8);"
        "training_set = TrainingSet(images, torch.arange(9), counts=(9, 0, 0, 0));"
        "loss_fn = make_loss_fn(PAPER, LeNet(), training_set, use_compile=True);"
        "[print('loss', loss_fn(torch.arange(8))[0].item()) for _ in range(2)]"
    )
    environment = os.environ | {"CXX": "/nowhere/c++", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert process.stdout.count("loss") == 2, process.stderr
    assert process.stdout.count("without torch.compile") == 1


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    data, output = str(tmp_path / "data"), str(tmp_path / "run")
    assert train.main(["--device", "cpu", "--data-dir", data, "--output-dir", output]) == 2
    message = capsys.readouterr().err
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert name in message
    assert str(tmp_path / "data" / "MNIST" / "raw") in message
