"""The command line of training, on real digits."""

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

import numpy as np
import pytest
import torch
from conftest import ROOT, write_idx
from huggingface_hub import ModelCard
from PIL import Image

import train
from lenet import LeNet
from training.checkpoint import CHECKPOINT, locked, save_checkpoint
from training.data import load_mnist
from training.metrics import METRICS, evaluate
from training.run import RUN_FILES, choose_device


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


def test_a_run_reports_each_epoch_and_saves_what_it_measured(run, small_mnist):
    folder, printed = run
    expected = {"model.safetensors", "config.json", "metrics.json", "curves.png", "README.md"}
    assert {file.name for file in folder.iterdir()} == expected == set(RUN_FILES)
    with Image.open(folder / "curves.png") as curves:
        assert min(curves.size) > 300
    metrics = json.loads((folder / "metrics.json").read_text())
    lines = [line for line in printed.splitlines() if line.startswith("epoch")]
    assert len(lines) == metrics["epochs"] == 5
    for line, epoch in zip(lines, metrics["history"], strict=True):
        assert all(f"{epoch[name]:.4f}" in line for name in METRICS)
    assert metrics["history"][-1]["train_loss"] < metrics["history"][0]["train_loss"] / 3
    loss, accuracy = evaluate(LeNet.from_pretrained(folder), *load_mnist(small_mnist, train=False))
    assert accuracy == metrics["test_accuracy"] > 0.6
    assert math.isclose(accuracy, 1 - metrics["test_errors"] / 297)
    assert loss == pytest.approx(metrics["test_loss"], rel=1e-4)
    assert f"test accuracy {accuracy:.4f} ({metrics['test_errors']} errors)" in printed
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # on a GPU as on the page


def test_the_cards_figures_are_the_runs(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    card = ModelCard.load(folder / "README.md")
    data = card.data
    assert data.license == "mit" and data.to_dict()["library_name"] == "pytorch"
    assert (data.pipeline_tag, data.datasets) == ("image-classification", ["ylecun/mnist"])
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    expected = {"accuracy": "test_accuracy", "ece": "test_calibration_error"}
    assert results == {name: metrics[key] for name, key in expected.items()}
    assert f"{metrics['test_accuracy']:.2%}" in card.text
    assert f"{metrics['history'][-1]['validation_loss']:.4f}" in card.text
    how = "--recipe paper --seed 0 --epochs 5 --batch-size 8 --lr 0.005 --device cpu"
    assert f"train.py {how}\n" in card.text
    for digit, row in enumerate(metrics["confusion"]):
        assert f"| **{digit}** | {' | '.join(str(n or '') for n in row)} |" in card.text
    assert sum(map(sum, metrics["confusion"])) == 297
    right = sum(row[digit] for digit, row in enumerate(metrics["confusion"]))
    assert right / 297 == pytest.approx(metrics["test_accuracy"])
    assert set(re.findall(r"\]\((\w+\.png)\)", card.text)) == {"curves.png"}


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
        (["--resume"], "without --resume"),
        (["--min-accuracy", "99"], "0.99 for 99%"),
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
    assert ended.value.code == 2 and "Free disk space" in capsys.readouterr().err
    assert not list((tmp_path / "run").iterdir())


def test_a_gpu_that_cannot_be_used_is_named(monkeypatch, capsys):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.use_deterministic_algorithms(False)

    def driver_too_old(*sizes, device):
        # PyTorch before 2.14 looks at both at its first product, and never again.
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
        assert torch.are_deterministic_algorithms_enabled()
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
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 100), ("t10k", 60)):
        images, labels = load_mnist(small_mnist, train=part == "train")
        write_idx(raw / f"{part}-images-idx3-ubyte", images[:count, 0].numpy())
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels[:count].numpy())
    return folder


DIES_AT_THE_SECOND_CHECKPOINT = """
import os, signal, sys, train
replace, written = os.replace, []
def place(unfinished, path):
    written.append(path)
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(unfinished, path)
os.replace = place
train.main(sys.argv[1:])
"""


def test_killed_and_resumed_it_ends_with_the_same_bits(tiny_mnist, tmp_path, capsys):
    """Killed by `kill -9` in another process, as it writes a checkpoint, and gone on in this."""
    how = "--recipe", "demo", "--epochs", "3", "--batch-size", "64"
    assert run_train(tiny_mnist, tmp_path / "undisturbed", *how) == 0
    run = arguments_of(tiny_mnist, tmp_path / "killed", *how)
    code = [sys.executable, "-c", DIES_AT_THE_SECOND_CHECKPOINT, *run]
    assert subprocess.run(code, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    capsys.readouterr()
    assert train.main([*run, "--resume"]) == 0
    assert re.findall(r"epoch (\d)/3", capsys.readouterr().out) == ["2", "3"]
    runs = (tmp_path / name / "model.safetensors" for name in ("undisturbed", "killed"))
    assert len({weights.read_bytes() for weights in runs}) == 1
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
    assert "with --resume" in seen[-1] and "saved in" in seen[-2]
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
    assert "another training run uses" in output.err and "--output-dir" in output.err
    assert "epoch" not in output.out
    assert run_train(tiny_mnist, tmp_path, "--epochs", "1") == 0


def no_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nSee the docs.")


@pytest.mark.parametrize("failure", ["disk in mid-run", "disk at the end", "memory"])
def test_what_fails_in_mid_run_costs_an_epoch_at_most(
    tiny_mnist, tmp_path, capsys, monkeypatch, after_epoch, full_disk, failure
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if failure == "disk at the end":
        monkeypatch.setattr(train, "measure", lambda *_: full_disk() or {})
    else:
        after_epoch(2, no_memory if failure == "memory" else full_disk)
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2") == 1
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.glob("*.unfinished"))  # it would keep the disk full
    message = capsys.readouterr().err.splitlines()[-1]
    assert ("File too large" if "disk" in failure else "CUDA out of memory") in message
    assert message.endswith(f". Finished epochs are kept in {tmp_path}; continue with --resume.")
    monkeypatch.undo()
    assert run_train(tiny_mnist, tmp_path, "--epochs", "2", "--resume") == 0


def test_a_gpu_without_memory_for_mnist_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "load_mnist", no_memory)
    assert run_train(tmp_path, tmp_path) == 1
    said = "train.py: CUDA out of memory. Tried to allocate 20 MiB."
    assert capsys.readouterr().err.splitlines()[-1] == said


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


def test_a_run_that_learns_nothing_is_an_exit_status(tiny_mnist, tmp_path, capsys):
    assert run_train(tiny_mnist, tmp_path, "--lr", "1e30") == 1
    assert "Try a lower --lr" in capsys.readouterr().err
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
