"""The recipes and the command line, on 1,797 real digits."""

import io
import json
import math
import os
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial

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
import training.steps
from lenet import LeNet
from training.checkpoint import CHECKPOINT, locked, save_checkpoint
from training.data import (
    NO_DIGIT,
    TrainingSet,
    batches_of,
    load_mnist,
    split,
)
from training.metrics import METRICS, calibration_error, evaluate, fit_temperature
from training.recipes import DEMO, PAPER
from training.run import RUN_FILES, choose_device
from training.state import make_state, tanh_forward, update_ema, with_sigmoids
from training.steps import epoch_seed, make_loss_fn, train_epoch


def test_split_holds_one_in_five_back():
    learn, validate = split(60_000, 0.2, torch.Generator().manual_seed(0))
    assert (len(learn), len(validate)) == (48_000, 12_000)
    assert torch.equal(torch.cat([learn, validate]).sort().values, torch.arange(60_000))
    other, _ = split(60_000, 0.2, torch.Generator().manual_seed(1))
    assert not torch.equal(learn, other)
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
    with pytest.raises(ValueError, match="50 pictures"):
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


def test_the_demos_rate_follows_a_cosine_and_its_weights_a_running_mean():
    recipe, training_set, device = replace(DEMO, tanh_forward=False), random_set(64), "cpu"
    state = make_state(recipe, seed=0, device=torch.device(device), steps=30)
    loss_fn = make_loss_fn(recipe, state.model, training_set, torch.Generator().manual_seed(0))
    mean = state.model.conv1.weight.detach().clone()
    for step in range(30):
        conv1, others = (group["lr"] for group in state.optimizer.param_groups)
        cosine = (1 + math.cos(math.pi * step / 30)) / 2
        assert others == pytest.approx(0.008 * cosine * min(1, (step + 1) / 3))
        assert conv1 == pytest.approx(4 * others), "the first convolution learns faster"
        train_epoch(state, loss_fn, [torch.arange(64)], tqdm(disable=True))
        mean += max(0.001, 9 / (10 + step)) * (state.model.conv1.weight.detach() - mean)
    assert torch.allclose(state.network().conv1.weight, mean, atol=1e-6)
    assert not torch.allclose(mean, state.model.conv1.weight, atol=1e-4)


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


# The command line


def arguments_of(data, folder, *arguments):
    paths = ["--data-dir", str(data), "--output-dir", str(folder)]
    return ["--recipe", "paper", "--device", "cpu", *paths, *arguments]


def run_train(*arguments):
    """Run the command line in this process; return its exit status."""
    try:
        return train.main(arguments_of(*arguments))
    except SystemExit as error:  # argparse's
        return error.code


@pytest.fixture(scope="module")
def run(small_mnist, tmp_path_factory):
    """A whole run of the command line: its folder and what it printed."""
    folder, printed = tmp_path_factory.mktemp("run"), io.StringIO()
    with redirect_stdout(printed):
        how = ("--epochs", "5", "--batch-size", "8", "--lr", "0.005")
        assert run_train(small_mnist, folder, *how) == 0
    return folder, printed.getvalue()


def test_a_run_leaves_its_files_and_reports_each_epoch(run):
    folder, printed = run
    expected = {"model.safetensors", "config.json", "metrics.json", "curves.png", "README.md"}
    assert {file.name for file in folder.iterdir()} == expected == set(RUN_FILES)
    with Image.open(folder / "curves.png") as curves:
        assert min(curves.size) > 300
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(metrics["history"]) == metrics["epochs"] == 5
    lines = [line for line in printed.splitlines() if line.startswith("epoch")]
    for line, epoch in zip(lines, metrics["history"], strict=True):
        assert all(f"{epoch[name]:.4f}" in line for name in METRICS)
    first, last = metrics["history"][0], metrics["history"][-1]
    assert last["train_loss"] < first["train_loss"] / 3
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # on a GPU as on the page


def test_the_saved_weights_are_those_that_were_measured(run, small_mnist):
    folder, printed = run
    metrics = json.loads((folder / "metrics.json").read_text())
    images, labels = load_mnist(small_mnist, train=False)
    loss, accuracy = evaluate(LeNet.from_pretrained(folder), images, labels)
    assert accuracy == metrics["test_accuracy"] > 0.6
    assert math.isclose(accuracy, 1 - metrics["test_errors"] / 297)
    assert loss == pytest.approx(metrics["test_loss"], rel=1e-4)
    assert f"test accuracy {accuracy:.4f} ({metrics['test_errors']} errors)" in printed


def test_the_cards_figures_are_the_runs(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "mit"
    assert card.data.eval_results[0].metric_value == metrics["test_accuracy"]
    assert f"{metrics['test_accuracy']:.2%}" in card.text
    assert f"{metrics['history'][-1]['validation_loss']:.4f}" in card.text
    how = "--recipe paper --seed 0 --epochs 5 --batch-size 8 --lr 0.005 --device cpu"
    assert f"train.py {how}\n" in card.text


@pytest.fixture
def full_disk():
    """Return a function after which no file can grow over 1,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "arguments, remedy",
    [
        (["--device", "meta"], "cpu, cuda, cuda:N or mps"),
        (["--epochs", "0"], "positive int"),
        (["--lr", "-1"], "positive float"),
        (["--output-dir", "/proc/none"], "--output-dir"),
        (["--resume"], "leave --resume out"),
        (["--min-accuracy", "99"], "0.99 for 99 %"),
    ],
)
def test_a_wrong_argument_ends_at_once_with_a_sentence(
    small_mnist, tmp_path, capsys, arguments, remedy
):
    assert run_train(small_mnist, tmp_path, *arguments) == 2
    output = capsys.readouterr()
    assert remedy in output.err and "epoch 1" not in output.out


def test_a_full_disk_is_found_before_the_training(tmp_path, monkeypatch, capsys, full_disk):
    full_disk()
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments_of(tmp_path, tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(ROOT / "train.py", run_name="__main__")
    assert ended.value.code == 2 and "Make room" in capsys.readouterr().err
    assert not list((tmp_path / "run").iterdir())


def test_a_gpu_that_cannot_be_used_is_named(monkeypatch, capsys):
    def driver_too_old(*sizes, device):
        if device.startswith("cuda"):
            raise RuntimeError("The driver is too old (found version 11040). Please update it.")
        return torch.zeros(sizes, device=device)

    monkeypatch.setattr(torch, "ones", driver_too_old)
    assert choose_device(None) == choose_device("cpu") == torch.device("cpu")
    said = "No usable GPU (The driver is too old (found version 11040)). Training on the CPU.\n"
    assert capsys.readouterr().out == said
    with pytest.raises(ValueError, match=r"cuda:0: The driver is too old .* Try --device cpu\."):
        choose_device("cuda:0")


# Runs that end early


@pytest.fixture(scope="module")
def tiny_mnist(small_mnist, tmp_path_factory):
    """A data folder of 100 digits to train on and 60 to test on."""
    folder = tmp_path_factory.mktemp("tiny")
    for part, count in (("train", 100), ("t10k", 60)):
        images, labels = load_mnist(small_mnist, train=part == "train")
        write_mnist(folder, part, images[:count, 0].numpy(), labels[:count].numpy())
    return folder


def write_mnist(folder, part, images, labels):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    write_idx(raw / f"{part}-images-idx3-ubyte", images)
    write_idx(raw / f"{part}-labels-idx1-ubyte", labels)


def weights_in(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


DIES_AT_THE_THIRD_CHECKPOINT = """
import os, signal, sys, train
replace, written = os.replace, []
def place(unfinished, path):
    written.append(path)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(unfinished, path)
os.replace = place
train.main(sys.argv[1:])
"""


def test_killed_and_resumed_it_ends_with_the_same_bits(tiny_mnist, tmp_path, capsys):
    """Killed by `kill -9` in another process, as it writes a checkpoint, and gone on in this."""
    how = "--recipe", "demo", "--epochs", "5", "--batch-size", "64"
    assert run_train(tiny_mnist, tmp_path / "undisturbed", *how) == 0
    run = arguments_of(tiny_mnist, tmp_path / "killed", *how)
    code = [sys.executable, "-c", DIES_AT_THE_THIRD_CHECKPOINT, *run]
    assert subprocess.run(code, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    capsys.readouterr()
    assert train.main([*run, "--resume"]) == 0
    assert re.findall(r"epoch (\d)/5", capsys.readouterr().out) == ["3", "4", "5"]
    assert same(weights_in(tmp_path / "undisturbed"), weights_in(tmp_path / "killed"))
    assert {file.name for file in (tmp_path / "killed").iterdir()} == set(RUN_FILES)


@pytest.fixture
def after_epoch(monkeypatch):
    """Return a function that has another called when an epoch's state is to be saved."""

    def after_epoch(epoch, function):
        def save_and_call(path, state):
            if len(state.history) == epoch:
                function()
            save_checkpoint(path, state)

        monkeypatch.setattr(train, "save_checkpoint", save_and_call)

    return after_epoch


def press_control_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupted_it_keeps_the_best_so_far_and_is_not_lost(
    tiny_mnist, tmp_path, capsys, after_epoch
):
    after_epoch(1, press_control_c)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "4") == 130
    seen = capsys.readouterr().out.splitlines()
    assert "--resume goes on" in seen[-1] and "saved in" in seen[-2]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["history"]) == 1
    _, accuracy = evaluate(LeNet.from_pretrained(tmp_path), *load_mnist(tiny_mnist, train=False))
    assert accuracy == pytest.approx(metrics["test_accuracy"])

    checkpoint = tmp_path / CHECKPOINT
    kept = checkpoint.read_bytes()
    assert run_train(tiny_mnist, tmp_path, "--epochs", "4") == 2
    output = capsys.readouterr()
    assert "--resume" in output.err and "--overwrite" in output.err and "epoch" not in output.out
    assert run_train(tiny_mnist, tmp_path, "--epochs", "9", "--resume") == 2
    assert "--epochs 4 --batch-size 64 --lr 0.001 --seed 0 --device cpu" in capsys.readouterr().err
    assert checkpoint.read_bytes() == kept

    after_epoch(2, press_control_c)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "4", "--resume") == 130
    assert re.findall(r"epoch (\d)/4", capsys.readouterr().out) == ["2"]
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--overwrite") == 0
    assert re.findall(r"epoch (\d)/2", capsys.readouterr().out) == ["1", "2"]


def test_of_two_trainings_in_a_folder_the_second_is_refused(tiny_mnist, tmp_path, capsys):
    with locked(tmp_path):
        assert run_train(tiny_mnist, tmp_path, "--epochs", "1", "--overwrite") == 2
    output = capsys.readouterr()
    assert "another training runs" in output.err and "--output-dir" in output.err
    assert "epoch" not in output.out
    assert run_train(tiny_mnist, tmp_path, "--epochs", "1") == 0


def no_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nSee the docs.")


@pytest.mark.parametrize("epoch", [2, 3], ids=["in mid-run", "at the end"])
def test_a_disk_that_becomes_full_costs_one_epoch(
    tiny_mnist, tmp_path, capsys, monkeypatch, after_epoch, full_disk, epoch
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if epoch == 2:
        after_epoch(2, full_disk)
    else:
        monkeypatch.setattr(train, "measure", lambda *_: full_disk() or {})
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2") == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = capsys.readouterr().err.splitlines()[-1]
    assert "File too large" in message and "--resume" in message
    monkeypatch.undo()
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--resume") == 0


def test_a_gpu_without_memory_is_a_sentence(tiny_mnist, tmp_path, capsys, monkeypatch, after_epoch):
    after_epoch(2, no_memory)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2") == 1
    error = "train.py: CUDA out of memory. Tried to allocate 20 MiB. The epochs before are kept in"
    assert f"{error} {tmp_path}; --resume goes on.\n" in capsys.readouterr().err
    monkeypatch.setattr(train, "load_mnist", lambda *_, **__: no_memory())
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--resume") == 1
    assert "train.py: CUDA out of memory" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"half a file", None], ids=["empty", "other", "cut"])
def test_a_damaged_checkpoint_is_named_and_left(tiny_mnist, tmp_path, capsys, after_epoch, content):
    checkpoint = tmp_path / CHECKPOINT
    if content is None:
        after_epoch(1, press_control_c)
        run_train(tiny_mnist, tmp_path, "--epochs", "2")
        content = checkpoint.read_bytes()[:100_000]
    checkpoint.write_bytes(content)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--resume") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{checkpoint} is damaged" in message and "--overwrite" in message
    assert checkpoint.read_bytes() == content


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(tiny_mnist, tmp_path, capsys):
    assert run_train(tiny_mnist, tmp_path, "--lr", "1e30") == 1
    assert "Try a lower --lr" in capsys.readouterr().err


def test_a_missed_accuracy_is_an_exit_status(tiny_mnist, tmp_path, capsys):
    arguments = ["--epochs", "1", "--min-accuracy"]
    assert run_train(tiny_mnist, tmp_path, *arguments, "0.999") == 1
    assert "less than 0.999" in capsys.readouterr().err
    assert run_train(tiny_mnist, tmp_path, *arguments, "0") == 0


# MNIST's files


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("t10k-images-idx3-ubyte", lambda whole: whole[:10_000], "10,000 bytes instead of 47,056"),
        ("train-labels-idx1-ubyte", lambda _: b"", "empty"),
        ("t10k-labels-idx1-ubyte", lambda _: b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE"),
        ("t10k-labels-idx1-ubyte", lambda _: b"\0\0\x08\x01\0\0'\x10" + bytes(10_000), "MD5"),
        ("train-images-idx3-ubyte", lambda whole: whole + b"1", "78,417 bytes instead of 78,416"),
    ],
)
def test_a_damaged_file_is_named_before_the_training(
    tiny_mnist, tmp_path, capsys, name, content, reason
):
    data = shutil.copytree(tiny_mnist, tmp_path / "data")
    file = data / "MNIST" / "raw" / name
    file.write_bytes(content(file.read_bytes()))
    assert run_train(data, tmp_path / "run") == 2
    output = capsys.readouterr()
    assert f"{file} is damaged" in output.err and reason in output.err
    assert "Delete it" in output.err and "epoch" not in output.out


def test_as_many_labels_as_images_are_wanted(tiny_mnist, tmp_path, capsys):
    data = shutil.copytree(tiny_mnist, tmp_path / "data")
    write_idx(data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.zeros(59))
    assert run_train(data, tmp_path / "run") == 2
    assert "t10k-labels" in capsys.readouterr().err


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    data, output = str(tmp_path / "data"), str(tmp_path / "run")
    assert train.main(["--device", "cpu", "--data-dir", data, "--output-dir", output]) == 2
    message = capsys.readouterr().err
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert name in message
    assert str(tmp_path / "data" / "MNIST" / "raw") in message


# The loop


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


def test_a_seed_gives_the_same_bits_and_another_gives_others(tiny_mnist):
    data, recipe = load_mnist(tiny_mnist, train=True), replace(PAPER, epochs=1)

    def trained(seed):
        model, _ = train.train(*data, recipe, seed=seed, report=lambda line: None)
        return model.state_dict()

    assert same(trained(7), trained(7)) and not same(trained(7), trained(8))


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


def test_two_epochs_learn_in_different_orders(tiny_mnist, monkeypatch):
    orders = []

    def note(state, loss_fn, batches, progress):
        orders.append(torch.cat(batches))
        return train_epoch(state, loss_fn, batches, progress)

    monkeypatch.setattr(training.steps, "train_epoch", note)
    train.train(*load_mnist(tiny_mnist, train=True), replace(PAPER, epochs=2), report=str)
    first, second = orders
    assert not torch.equal(first, second) and torch.equal(first.sort()[0], second.sort()[0])


def test_a_compiled_loss_is_the_plain_one(monkeypatch):
    """Traced and differentiated by PyTorch; the step that needs a C++ compiler is left out."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch.manual_seed(0)
    model, training_set, batch = LeNet(), random_set(64), torch.arange(64)
    expected, right = make_loss_fn(PAPER, model, training_set)(batch)
    gradient = torch.autograd.grad(expected, model.conv1.weight)[0]
    loss, same_right = make_loss_fn(PAPER, model, training_set, use_compile=True)(batch)
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


@pytest.mark.parametrize("threads", [1, 2])
def test_a_missing_compiler_is_no_hindrance(monkeypatch, capsys, threads):
    """Not even if it is missed no earlier than by the first backward."""

    def compiled(function, **_):
        def call(*arguments):
            loss, accuracy = function(*arguments)
            return FailsBackward.apply(loss), accuracy

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    model, training_set, recipe = LeNet(), random_set(8), replace(PAPER, threads=threads)
    loss_fn = make_loss_fn(recipe, model, training_set, use_compile=True)
    for _ in range(2):
        loss, _ = loss_fn(torch.arange(8))
        loss.backward()
    printed = capsys.readouterr().out
    assert printed.count("without torch.compile: backend='inductor' raised: No working C++") == 1
    assert model.conv1.weight.grad.abs().sum() > 0
