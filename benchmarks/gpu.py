"""Compare train.py with the report's figures and with the training loop of PyTorch's tutorials.

    python benchmarks/gpu.py --data-dir data | tee gpu.md

The script prints the metrics after the last epoch, with one sigmoid and with two: mean ± standard
deviation over seeds. Then it prints the seconds per epoch of both loops. On a GPU it also runs both
recipes twice, and trains to 99% from 20 seeds, in five minutes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from statistics import mean, median, stdev

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
from training.data import TrainingSet, load_mnist
from training.metrics import METRICS
from training.recipes import DEMO, PAPER, REPORT_METRICS
from training.run import choose_device, device_name
from training.state import make_state
from training.steps import make_step, train_epoch

ROOT = Path(__file__).parents[1]
IMAGES = 48_000  # per epoch: four fifths of MNIST's
TO_99 = replace(DEMO, epochs=10, added_shares=(0.0, 0.0, 0.0))  # on MNIST alone


def row(name: str, data: tuple[Tensor, Tensor], second_sigmoid: bool, seeds: int) -> str:
    """Train PAPER with seeds 0, 1, …; return the table's row."""
    last = []
    for seed in range(seeds):
        torch.compiler.reset()  # or PyTorch's limit of recompilations stops the compiler
        how = {"seed": seed, "second_sigmoid": second_sigmoid, "report": str}
        last.append(train(*data, PAPER, **how)[1][-1])
    columns = [[metrics[name] for metrics in last] for name in METRICS]
    cells = " | ".join(f"{mean(c):.4f} ± {stdev(c):.4f}" for c in columns)
    return f"| {name}, {seeds} seeds | {cells} |"


def tutorial_loop(data_dir: Path, device: torch.device) -> Callable[[], None]:
    """Return a function that trains an epoch like PyTorch's tutorials, with a DataLoader."""
    dataset = Subset(MNIST(data_dir, train=True, transform=ToTensor()), range(IMAGES))
    loader = DataLoader(dataset, batch_size=PAPER.batch_size, shuffle=True)
    model = LeNet().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=PAPER.lr)

    def epoch():
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # waits until the device has finished

    return epoch


def our_loop(images: Tensor, labels: Tensor, is_fast: bool) -> Callable[[], object]:
    """Return a function that trains an epoch like train.py."""
    training_set = TrainingSet(images[:IMAGES], labels[:IMAGES], counts=(IMAGES, 0, 0, 0))
    state = make_state(PAPER, seed=0, device=images.device, steps=0)
    step = make_step(state, training_set, is_fast)
    return lambda: train_epoch(state, step, training_set, tqdm(disable=True))


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def whole_run(recipe: str, device: torch.device, data_dir: Path) -> str:
    """Run train.py twice with a recipe and seed 0; return a line with times and metrics."""
    weights, times = set(), []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            how = f"--recipe {recipe} --seed 0 --device {device} --output-dir {folder} --data-dir"
            command = [sys.executable, "train.py", *how.split(), data_dir.absolute()]
            whole = timed(partial(subprocess.check_output, command, cwd=ROOT))
            weights.add(Path(folder, "model.safetensors").read_bytes())
            run = json.loads(Path(folder, "metrics.json").read_text())
        times.append(f"{run['seconds']:.1f} s of training in {whole:.1f} s")
    run |= run["history"][-1]
    figures = ", ".join(f"{name} {run[name]:.4f}" for name in (*METRICS, "test_accuracy"))
    bits = "the same bits" if len(weights) == 1 else "OTHER BITS"
    return f"- `--recipe {recipe}`, twice: {', '.join(times)}; {bits}; {figures}"


def seconds_to_99(data: tuple[Tensor, Tensor], seeds: int) -> str:
    """Return a line with the training time until 99% of the validation images are right."""
    found = []
    for seed in range(seeds):
        history = train(*data, TO_99, seed=seed, report=str)[1]
        seconds = accumulate(epoch["seconds"] for epoch in history)
        reached = (epoch["validation_accuracy"] >= 0.99 for epoch in history)
        found += [s for s, there in zip(seconds, reached, strict=True) if there][:1]
    spread = f"{median(found):.2f} s ({min(found):.2f} to {max(found):.2f})" if found else "never"
    return f"- to 99% of the validation images: {spread}, {len(found)} of {seeds} seeds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data-dir", type=Path, default="data", help="MNIST folder (%(default)s)")
    add("--device", help="as for train.py")
    add("--seeds", type=int, nargs=3, default=(5, 3, 20), help="two sigmoids, one, to 99%%")
    arguments = parser.parse_args()
    device, (both, one, to_99) = choose_device(arguments.device), arguments.seeds
    data = load_mnist(arguments.data_dir, train=True, device=device)
    names = " | ".join(name.replace("_", " ") for name in METRICS)
    print(f"| after {PAPER.epochs} epochs | {names} |\n|{' --- |' * (len(METRICS) + 1)}")
    print(f"| the report | {' | '.join(f'{REPORT_METRICS[name]:.4f}' for name in METRICS)} |")
    print(row("`--recipe paper`", data, True, both), flush=True)
    print(row("one sigmoid, as the report prints it", data, False, one), flush=True)
    print("\n| loop | seconds an epoch | steps a second |\n| --- | --- | --- |")
    loops = {"PyTorch's tutorials": tutorial_loop(arguments.data_dir, device)}
    loops |= {"train.py, eager": our_loop(*data, False), "train.py": our_loop(*data, True)}
    rounds = [[timed(epoch) for epoch in loops.values()] for _ in range(4)]
    for name, seconds in zip(loops, map(median, zip(*rounds[1:], strict=True)), strict=True):
        print(f"| {name} | {seconds:.2f} | {IMAGES / PAPER.batch_size / seconds:.0f} |")
    machine = f"\nOn {device_name(device)}, PyTorch {torch.__version__}"
    if device.type == "cuda":
        print(f"\n{seconds_to_99(data, to_99)}", flush=True)
        for recipe in ("paper", "demo"):
            print(whole_run(recipe, device, arguments.data_dir), flush=True)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        machine += f", driver {subprocess.check_output(query, text=True).split()[0]}"
    print(machine)


if __name__ == "__main__":
    main()
