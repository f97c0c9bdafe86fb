"""The command line of training, on real digits."""

import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest
import torch
from conftest import ROOT, write_idx
from huggingface_hub import ModelCard

import train
from lenet import LeNet
from training.checkpoint import locked, save_checkpoint
from training.data import load_mnist
from training.metrics import METRICS
from training.run import CHECKPOINT, RUN_FILES, choose_device


def arguments_of(data, folder, *arguments):
    paths = ["--data-dir", str(data), "--output-dir", str(folder)]
    return ["--recipe", "paper", "--device", "cpu", *paths, *arguments]


def run_train(*arguments):
    try:
        return train.main(arguments_of(*arguments))
    except SystemExit as error:  # argparse's
        return error.code


def test_a_run_learns_and_its_files_and_card_tell_what_it_measured(small_mnist, tmp_path, capsys):
    how = "--epochs", "4", "--batch-size", "8", "--lr", "0.005"
    assert run_train(small_mnist, tmp_path, *how) == 0
    assert {file.name for file in tmp_path.iterdir()} == set(RUN_FILES)
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # on a GPU as on the page

    metrics = json.loads((tmp_path / "metrics.json").read_text())
    images, labels = load_mnist(small_mnist, train=False)
    guesses = LeNet.from_pretrained(tmp_path)(images / 255).argmax(1)
    errors = (guesses != labels).sum().item()
    assert errors == metrics["test_errors"] < 150
    assert metrics["test_accuracy"] == pytest.approx(1 - errors / 297)

    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("epoch")]
    for line, epoch in zip(lines, metrics["history"], strict=True):
        assert all(f"{epoch[name]:.4f}" in line for name in METRICS)
    assert f"test accuracy {metrics['test_accuracy']:.4f} ({errors} errors)" in printed

    card = ModelCard.load(tmp_path / "README.md")
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results["accuracy"] == metrics["test_accuracy"]
    assert results["ece"] == metrics["test_calibration_error"]
    assert f"{metrics['history'][-1]['validation_loss']:.4f}" in card.text
    assert f"train.py --recipe paper --seed 0 {' '.join(how)} --device cpu\n" in card.text
    for digit, row in enumerate(metrics["confusion"]):
        assert sum(row) == (labels == digit).sum()
        assert f"| **{digit}** | {' | '.join(str(n or '') for n in row)} |" in card.text


@pytest.mark.parametrize(
    "arguments, remedy",
    [
        (["--device", "meta"], "cpu, cuda, cuda:N or mps"),
        (["--epochs", "0"], "positive int"),
        (["--output-dir", "/proc/none"], "--output-dir"),
        (["--resume"], "without --resume"),
        (["--min-accuracy", "99"], "0.99 for 99%"),
    ],
)
def test_a_wrong_argument_ends_at_once(small_mnist, tmp_path, capsys, arguments, remedy):
    assert run_train(small_mnist, tmp_path, *arguments) == 2
    output = capsys.readouterr()
    assert remedy in output.err and "epoch 1" not in output.out


def test_a_gpu_that_cannot_be_used_is_named(monkeypatch, capsys):
    torch.use_deterministic_algorithms(False)
    too_old = RuntimeError("The driver is too old (found version 11040). Please update it.")
    monkeypatch.setattr(torch, "ones", Mock(side_effect=too_old))
    assert choose_device(None) == torch.device("cpu")
    said = "No usable CUDA GPU (The driver is too old (found version 11040)). Training on the CPU."
    assert said in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"cuda:0: The driver is too old .* Try --device cpu\."):
        choose_device("cuda:0")
    assert torch.are_deterministic_algorithms_enabled()


@pytest.fixture(scope="module")
def tiny_mnist(small_mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 100), ("t10k", 60)):
        images, labels = load_mnist(small_mnist, train=part == "train")
        write_idx(raw / f"{part}-images-idx3-ubyte", images[:count, 0].numpy())
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[:count].numpy())
    return folder


DIES_AT_THE_SECOND_CHECKPOINT = """
import os, signal, sys, train
places = iter([os.replace, lambda *_: os.kill(os.getpid(), signal.SIGKILL)])
os.replace = lambda *paths: next(places)(*paths)
train.main(sys.argv[1:])
"""


def test_killed_and_resumed_it_ends_with_the_same_bits(tiny_mnist, tmp_path, capsys):
    how = "--recipe", "demo", "--epochs", "2", "--batch-size", "64"
    assert run_train(tiny_mnist, tmp_path / "undisturbed", *how) == 0
    run = arguments_of(tiny_mnist, tmp_path / "killed", *how)
    code = [sys.executable, "-c", DIES_AT_THE_SECOND_CHECKPOINT, *run]
    assert subprocess.run(code, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    capsys.readouterr()
    assert train.main([*run, "--resume"]) == 0
    assert re.findall(r"epoch (\d)/2", capsys.readouterr().out) == ["2"]
    runs = (tmp_path / name / "model.safetensors" for name in ("undisturbed", "killed"))
    assert len({weights.read_bytes() for weights in runs}) == 1
    assert {file.name for file in (tmp_path / "killed").iterdir()} == set(RUN_FILES)


def call_after(epoch, function, monkeypatch):
    """Have a function called before that epoch's checkpoint is saved."""

    def call_and_save(path, state):
        if len(state.history) == epoch:
            function()
        save_checkpoint(path, state)

    monkeypatch.setattr(train, "save_checkpoint", call_and_save)


def test_an_interrupted_run_is_kept_until_told_otherwise(tiny_mnist, tmp_path, capsys, monkeypatch):
    call_after(1, lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "3") == 130
    assert "Continue with --resume" in capsys.readouterr().out.splitlines()[-1]
    assert LeNet.from_pretrained(tmp_path)
    checkpoint = tmp_path / CHECKPOINT
    whole = checkpoint.read_bytes()
    torch.save(torch.load(checkpoint) | {"state": {}}, foreign := io.BytesIO())
    for content, arguments, status, reason in (
        (whole, ["--epochs", "3"], 2, "--resume, or start over with --overwrite"),
        (whole, ["--epochs", "9", "--resume"], 2, "Use --resume --recipe paper --epochs 3"),
        (whole[: len(whole) // 2], ["--epochs", "3", "--resume"], 1, f"{checkpoint} is damaged"),
        (foreign.getvalue(), ["--epochs", "3", "--resume"], 1, "Use that one, or --overwrite.\n"),
    ):
        checkpoint.write_bytes(content)
        assert run_train(tiny_mnist, tmp_path, *arguments) == status
        output = capsys.readouterr()
        assert reason in output.err and "epoch" not in output.out
        assert checkpoint.read_bytes() == content
    assert run_train(tiny_mnist, tmp_path, "--epochs", "1", "--overwrite") == 0


def test_of_two_trainings_in_a_folder_the_second_is_refused(tiny_mnist, tmp_path, capsys):
    with locked(tmp_path):
        assert run_train(tiny_mnist, tmp_path, "--overwrite") == 2
    output = capsys.readouterr()
    assert "another training run uses" in output.err and "--output-dir" in output.err
    assert "epoch" not in output.out


@pytest.fixture
def full_disk():
    """Return a function after which no file can grow beyond 1,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_found_before_the_training(tmp_path, capsys, full_disk):
    full_disk()
    assert run_train(tmp_path, tmp_path / "run") == 2
    assert "Free disk space" in capsys.readouterr().err
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("failure", ["disk", "memory"])
def test_what_fails_in_mid_run_costs_an_epoch_at_most(
    tiny_mnist, tmp_path, capsys, monkeypatch, full_disk, failure
):
    reason = "File too large" if failure == "disk" else "CUDA out of memory"
    no_memory = Mock(side_effect=torch.OutOfMemoryError(f"{reason}. Tried to allocate 20 MiB."))
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    call_after(2, full_disk if failure == "disk" else no_memory, monkeypatch)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2") == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert not list(tmp_path.glob("*.unfinished"))  # it would keep the disk full
    message = capsys.readouterr().err.splitlines()[-1]
    assert reason in message
    assert message.endswith(f". Finished epochs are kept in {tmp_path}; continue with --resume.")
    monkeypatch.undo()
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--resume") == 0


def test_a_run_that_learns_nothing_is_an_exit_status(tiny_mnist, tmp_path, capsys):
    assert run_train(tiny_mnist, tmp_path, "--epochs", "1", "--lr", "1e30") == 1
    assert "Try a lower --lr" in capsys.readouterr().err
    assert run_train(tiny_mnist, tmp_path, "--epochs", "1", "--min-accuracy", "0.999") == 1
    assert "less than 0.999" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("t10k-images-idx3-ubyte", lambda whole: whole[:10_000], "10,000 bytes instead of 47,056"),
        ("t10k-labels-idx1-ubyte", lambda _: b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE"),
        ("t10k-labels-idx1-ubyte", lambda _: b"\0\0\x08\x01\0\0'\x10" + bytes(10_000), "MD5"),
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


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert run_train(tmp_path / "data", tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert str(tmp_path / "data" / "MNIST" / "raw") in message and "t10k-labels" in message
