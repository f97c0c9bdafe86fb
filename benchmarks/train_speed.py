"""How much faster than the usual loop is `train.py`'s?

    python benchmarks/train_speed.py --data-dir data

Runs the two in turn, epoch by epoch, on the same 48,000 images with the same network,
batch and optimizer, in one process, and prints each one's seconds an epoch and the ratio.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lenet import LeNet
from training.data import TrainingSet, batches_of, load_mnist
from training.recipes import PAPER
from training.run import choose_device, device_name
from training.state import make_state
from training.steps import make_loss_fn, train_epoch


def tutorial_loop(data_dir: Path, count: int, device: torch.device) -> Callable[[], float]:
    """Return an epoch as PyTorch's tutorials write it: a DataLoader of single images."""
    dataset = Subset(MNIST(data_dir, train=True, transform=ToTensor()), range(count))
    loader = DataLoader(dataset, batch_size=PAPER.batch_size, shuffle=True)
    model = LeNet().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=PAPER.lr)

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


def our_loop(data_dir: Path, count: int, device: torch.device) -> Callable[[], float]:
    """Return an epoch as train.py runs it."""
    images, labels = load_mnist(data_dir, train=True, device=device)
    training_set = TrainingSet(images[:count], labels[:count], counts=(count, 0, 0))
    state = make_state(PAPER, seed=0, device=device, steps=0)
    loss_fn = make_loss_fn(PAPER, state.model, training_set, use_compile=True)
    generator = torch.Generator()

    def epoch():
        batches = batches_of(training_set, PAPER, generator)
        return train_epoch(state, loss_fn, batches, tqdm(total=len(batches), leave=False))[0]

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--device")
    parser.add_argument("--pictures", type=int, default=48_000, help="an epoch's (48,000)")
    parser.add_argument("--epochs", type=int, default=3, help="counted ones of each loop (3)")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    setting = arguments.data_dir, arguments.pictures, device
    loops = {
        "the plain DataLoader loop": tutorial_loop(*setting),
        "train.py": our_loop(*setting),
    }
    seconds = {name: [] for name in loops}
    for round_ in range(arguments.epochs + 1):
        for name, epoch in loops.items():
            started = time.perf_counter()
            epoch()
            if round_ > 0:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - started)

    steps = -(-arguments.pictures // PAPER.batch_size)
    print(f"{device_name(device)}, PyTorch {torch.__version__}, batch {PAPER.batch_size}\n")
    print("| | seconds an epoch | steps a second | 20 epochs |\n| --- | --- | --- | --- |")
    for name, times in seconds.items():
        t = statistics.median(times)
        print(f"| {name} | {t:.2f} | {steps / t:.0f} | {20 * t:.0f} s |")
    plain, ours = seconds.values()
    ratios = [p / o for p, o in zip(plain, ours, strict=True)]
    print(f"\n{statistics.median(ratios):.2f} times the plain loop's speed", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} pairs of epochs)")


if __name__ == "__main__":
    main()
