"""The recipe and its command line, on 1,797 real digits."""

import json
import math
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

import train
from lenet import LeNet


def test_split_holds_one_in_five_back():
    learn, validate = train.split(60_000, torch.Generator().manual_seed(0))
    assert (len(learn), len(validate)) == (48_000, 12_000)
    assert torch.equal(torch.cat([learn, validate]).sort().values, torch.arange(60_000))
    other, _ = train.split(60_000, torch.Generator().manual_seed(1))
    assert not torch.equal(learn, other)


def test_split_refuses_too_few():
    with pytest.raises(ValueError, match="4 pictures"):
        train.split(4, torch.Generator())


def test_evaluate_measures_what_it_says():
    torch.manual_seed(0)
    model = LeNet().train()
    images = torch.randint(256, (2500, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(10, (2500,))
    loss, accuracy = train.evaluate(model, images, labels)
    logits = model(images / 255)
    losses = -logits.log_softmax(1)[torch.arange(2500), labels]
    assert loss == pytest.approx(losses.mean().item(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == labels).sum().item() / 2500
    assert model.training, "evaluate must leave the mode as it was"
    train.evaluate(model.eval(), images, labels)
    assert not model.training


def test_an_epoch_takes_every_picture_once_and_reports_what_it_met():
    """With a rate of 0 the network stays, so the epoch's figures are those of the network."""
    torch.manual_seed(0)
    model = LeNet()
    images = torch.randint(256, (103, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(10, (103,))
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    batches = torch.randperm(103).split(10)
    loss, accuracy = train.train_epoch(model, still, images, labels, batches, "1/1")
    logits = model(images / 255)
    assert loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-4)
    assert accuracy == (logits.argmax(1) == labels).sum().item() / 103


@pytest.fixture(scope="module")
def run(small_mnist, tmp_path_factory):
    """A whole run of the command line: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    return folder, run_train(small_mnist, folder, "--epochs", "25", "--lr", "0.005")


def run_train(data, folder, *arguments, check=True):
    command = [sys.executable, ROOT / "train.py", "--recipe", "paper", "--device", "cpu"]
    command += ["--data-dir", data, "--output-dir", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def test_a_run_leaves_its_files(run):
    folder, _ = run
    expected = {"model.safetensors", "config.json", "metrics.json", "curves.png", "README.md"}
    assert {file.name for file in folder.iterdir()} == expected
    with Image.open(folder / "curves.png") as curves:
        assert min(curves.size) > 300
    assert ModelCard.load(folder / "README.md").data.license == "mit"


def test_a_run_reports_each_epoch_and_learns(run):
    folder, process = run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert len(metrics["history"]) == metrics["epochs"] == 25
    lines = [line for line in process.stdout.splitlines() if line.startswith("epoch")]
    for line, epoch in zip(lines, metrics["history"], strict=True):
        assert all(f"{epoch[figure]:.4f}" in line for figure in train.FIGURES)
    first, last = metrics["history"][0], metrics["history"][-1]
    assert last["train_loss"] < first["train_loss"] / 3
    assert last["validation_accuracy"] > 0.85
    assert metrics["test_accuracy"] > 0.8
    assert math.isclose(metrics["test_accuracy"], 1 - metrics["test_errors"] / 297)


def test_the_saved_weights_are_those_that_were_measured(run, small_mnist):
    folder, process = run
    metrics = json.loads((folder / "metrics.json").read_text())
    images, labels = train.load_mnist(small_mnist, train=False)
    loss, accuracy = train.evaluate(LeNet.from_pretrained(folder), images, labels)
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
    weights = {}
    for name, seed in (("one", "7"), ("again", "7"), ("other", "8")):
        run_train(small_mnist, tmp_path / name, "--epochs", "1", "--seed", seed)
        weights[name] = load_file(tmp_path / name / "model.safetensors")
    assert all(torch.equal(weights["one"][k], weights["again"][k]) for k in weights["one"])
    assert not torch.equal(weights["one"]["conv1.weight"], weights["other"]["conv1.weight"])


@pytest.mark.parametrize(
    "arguments, remedy",
    [
        (["--device", "nosuch"], "--device cpu"),
        (["--epochs", "0"], "positive int"),
        (["--lr", "-1"], "positive float"),
        (["--output-dir", "/proc/none"], "/proc/none"),
    ],
)
def test_a_wrong_argument_ends_at_once_with_a_sentence(small_mnist, tmp_path, arguments, remedy):
    process = run_train(small_mnist, tmp_path, *arguments, check=False)
    assert process.returncode == 2
    assert remedy in process.stderr
    assert "Traceback" not in process.stderr and "epoch 1" not in process.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_without_cuda_the_cpu_is_used_and_named(run, capsys):
    assert train.choose_device(None) == torch.device("cpu")
    assert "CPU" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--device cpu"):
        train.choose_device("cuda")


def test_a_failed_download_says_what_to_put_where(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    data, output = str(tmp_path / "data"), str(tmp_path / "run")
    assert train.main(["--device", "cpu", "--data-dir", data, "--output-dir", output]) == 2
    message = capsys.readouterr().err
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert name in message
    assert str(tmp_path / "data" / "MNIST" / "raw") in message
