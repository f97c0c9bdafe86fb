"""How much faster than the usual loop is `train.py`'s?

    python benchmarks/train_speed.py --data-dir data

Runs the two in turn, epoch by epoch, on the same 48,000 pictures with the same network,
batch and optimizer, in one process, and prints each one's seconds an epoch and the ratio.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lenet import LeNet
from train import (
    PAPER,
    choose_device,
    device_name,
    load_mnist,
    make_learner,
    make_score,
    plain_batches,
    train_epoch,
)

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--data-dir", type=Path, default="data")
parser.add_argument("--device")
parser.add_argument("--pictures", type=int, default=48_000, help="an epoch's (48,000)")
parser.add_argument("--epochs", type=int, default=3, help="counted ones of each loop (3)")
arguments = parser.parse_args()
device = choose_device(arguments.device)
images, labels = load_mnist(arguments.data_dir, train=True, device=device)
images, labels = images[: arguments.pictures], labels[: arguments.pictures]


def plain_loop():
    """Give the epoch that everyone writes, from PyTorch's tutorials."""
    dataset = MNIST(arguments.data_dir, train=True, transform=ToTensor())
    dataset = Subset(dataset, range(arguments.pictures))
    loader = DataLoader(dataset, batch_size=PAPER["batch_size"], shuffle=True)
    model = LeNet().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=PAPER["lr"])

    def epoch():
        model.train()
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()  # makes the device finish

    return epoch


def our_loop():
    learner = make_learner("paper", device, PAPER["lr"], steps=0)
    score = make_score(learner["model"], images, labels, compiles=True)
    generator = torch.Generator()

    def epoch():
        batches = plain_batches(len(images), PAPER["batch_size"], generator, device)
        return train_epoch(
            score, learner["optimizer"], batches, tqdm(total=len(batches), leave=False)
        )

    return epoch


loops = {"the plain DataLoader loop": plain_loop(), "train.py": our_loop()}
seconds = {name: [] for name in loops}
for round_ in range(arguments.epochs + 1):
    for name, epoch in loops.items():
        started = time.perf_counter()
        epoch()
        if round_ > 0:  # the first is a warm-up
            seconds[name].append(time.perf_counter() - started)

steps = -(-arguments.pictures // PAPER["batch_size"])
print(f"{device_name(device)}, PyTorch {torch.__version__}, batch {PAPER['batch_size']}\n")
print("| | seconds an epoch | steps a second | 20 epochs |\n| --- | --- | --- | --- |")
for name, times in seconds.items():
    t = statistics.median(times)
    print(f"| {name} | {t:.2f} | {steps / t:.0f} | {20 * t:.0f} s |")
plain, ours = seconds.values()
ratios = [p / o for p, o in zip(plain, ours, strict=True)]
print(f"\n{statistics.median(ratios):.2f} times the plain loop's speed", end=" ")
print(f"({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} pairs of epochs)")
