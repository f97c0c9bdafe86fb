"""Does `train.py --recipe paper` reach the report's figures, and how fast is its loop?

    python benchmarks/paper.py --data-dir data

Trains both readings of the report's table from several seeds and prints the metrics of the last
epoch, mean ± standard deviation over the seeds, beside the report's. Then runs epochs of the same
network, batch and optimizer in turn by the loop of PyTorch's tutorials and by train.py's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor
from tqdm import tqdm

sys.path.append(str(Path(__file__).parents[1]))

from lenet import LeNet
from train import train
from training.data import TrainingSet, batches_of, load_mnist
from training.metrics import METRICS
from training.recipes import PAPER, REPORT_METRICS, Recipe
from training.run import choose_device, device_name
from training.state import make_state
from training.steps import make_loss_fn, train_epoch

IMAGES = 48_000  # of an epoch: four fifths of MNIST's


def row(recipe: Recipe, images: Tensor, labels: Tensor, second_sigmoid: bool, seeds: int) -> str:
    """Train from seeds 0, 1, …; return the table's row."""
    runs = []
    for seed in range(seeds):
        torch.compiler.reset()  # or the recompilations count as one function's, up to a limit
        how = {"seed": seed, "second_sigmoid": second_sigmoid, "report": lambda line: None}
        _, history = train(images, labels, recipe, **how)
        runs.append(history[-1])
        values = "  ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
        print(f"second_sigmoid={second_sigmoid} seed {seed}: {values}", file=sys.stderr, flush=True)
    columns = [[run[name] for run in runs] for name in METRICS]
    cells = (f"{statistics.mean(c):.4f} ± {statistics.stdev(c):.4f}" for c in columns)
    name = "`--recipe paper`" if second_sigmoid else "one sigmoid, as the report prints it"
    return f"| {name}, {seeds} seeds | {' | '.join(cells)} |"


def tutorial_loop(data_dir: Path, device: torch.device) -> Callable[[], float]:
    """Return an epoch as PyTorch's tutorials write it: a DataLoader of single images."""
    dataset = Subset(MNIST(data_dir, train=True, transform=ToTensor()), range(IMAGES))
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


def our_loop(images: Tensor, labels: Tensor) -> Callable[[], float]:
    """Return an epoch as train.py runs it."""
    training_set = TrainingSet(images[:IMAGES], labels[:IMAGES], counts=(IMAGES, 0, 0))
    state = make_state(PAPER, seed=0, device=images.device, steps=0)
    loss_fn = make_loss_fn(PAPER, state.model, training_set, use_compile=True)
    generator = torch.Generator()

    def epoch():
        batches = batches_of(training_set, PAPER, generator)
        return train_epoch(state, loss_fn, batches, tqdm(total=len(batches), leave=False))[0]

    return epoch


def print_speed(loops: dict[str, Callable], epochs: int) -> None:
    """Run the loops in turn, epoch by epoch; print the medians."""
    seconds = {name: [] for name in loops}
    for round_ in range(epochs + 1):
        for name, epoch in loops.items():
            started = time.perf_counter()
            epoch()
            if round_ > 0:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - started)
    print("\n| loop | seconds an epoch | steps a second |\n| --- | --- | --- |")
    for name, times in seconds.items():
        t = statistics.median(times)
        print(f"| {name} | {t:.2f} | {-(-IMAGES // PAPER.batch_size) / t:.0f} |")
    ratios = [plain / ours for plain, ours in zip(*seconds.values(), strict=True)]
    print(f"\ntrain.py is {statistics.median(ratios):.1f} times as fast", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f} over {epochs} pairs of epochs).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data-dir", type=Path, default="data", help="MNIST's (%(default)s)")
    add("--device")
    add("--epochs", type=int, default=PAPER.epochs, help="of each run (%(default)s)")
    add("--seeds", type=int, default=5, help="runs with a sigmoid after both (5)")
    add("--one-sigmoid-seeds", type=int, default=3, help="runs with the first only (3)")
    add("--speed-epochs", type=int, default=3, help="of each loop (3)")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    recipe = replace(PAPER, epochs=arguments.epochs)
    data = load_mnist(arguments.data_dir, train=True, device=device)
    names = " | ".join(name.replace("_", " ") for name in METRICS)
    print(f"| after {recipe.epochs} epochs | {names} |\n|{' --- |' * (len(METRICS) + 1)}")
    print("| the report |", " | ".join(f"{REPORT_METRICS[name]:.4f}" for name in METRICS), "|")
    print(row(recipe, *data, second_sigmoid=True, seeds=arguments.seeds), flush=True)
    print(row(recipe, *data, second_sigmoid=False, seeds=arguments.one_sigmoid_seeds))
    loops = {"PyTorch's tutorials": tutorial_loop(arguments.data_dir, device)}
    print_speed(loops | {"train.py": our_loop(*data)}, arguments.speed_epochs)
    print(f"On {device_name(device)}.")


if __name__ == "__main__":
    main()
