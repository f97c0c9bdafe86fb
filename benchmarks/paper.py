"""Does `train.py --recipe paper` reach the figures of the report?

    python benchmarks/paper.py --data-dir data

Trains both readings of the report's table from several seeds and prints the metrics of the last
epoch, mean ± standard deviation over the seeds, beside the report's.
"""

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from train import train
from training.data import load_mnist
from training.metrics import METRICS
from training.recipes import PAPER, REPORT_METRICS, Recipe
from training.run import choose_device


def row(recipe: Recipe, images: Tensor, labels: Tensor, second_sigmoid: bool, seeds: int) -> str:
    """Train from seeds 0, 1, …; return the table's row."""
    runs = []
    for seed in range(seeds):
        torch.compiler.reset()  # or the recompilations count as one function's, up to a limit
        how = {"seed": seed, "second_sigmoid": second_sigmoid, "report": lambda line: None}
        _, history = train(images, labels, recipe, **how)
        runs.append(history[-1])
        values = "  ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
        print(f"second_sigmoid={second_sigmoid} seed {seed}: {values}", flush=True)
    columns = [[run[name] for run in runs] for name in METRICS]
    cells = (f"{statistics.mean(c):.4f} ± {statistics.stdev(c):.4f}" for c in columns)
    name = "a sigmoid after each convolution" if second_sigmoid else "one sigmoid, as printed"
    return f"| {name}, {seeds} seeds | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--data-dir", type=Path, default="data")
    add("--device")
    add("--epochs", type=int, default=PAPER.epochs, help="of each run (%(default)s)")
    add("--seeds", type=int, default=5, help="runs with a sigmoid after both (5)")
    add("--one-sigmoid-seeds", type=int, default=3, help="runs with the first only (3)")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    recipe = replace(PAPER, epochs=arguments.epochs)
    data = load_mnist(arguments.data_dir, train=True, device=device)
    rows = [
        row(recipe, *data, second_sigmoid=True, seeds=arguments.seeds),
        row(recipe, *data, second_sigmoid=False, seeds=arguments.one_sigmoid_seeds),
    ]
    names = " | ".join(name.replace("_", " ") for name in METRICS)
    print(f"\n| after {recipe.epochs} epochs | {names} |")
    print("| --- | --- | --- | --- | --- |")
    print("| the report |", " | ".join(f"{REPORT_METRICS[name]:.4f}" for name in METRICS), "|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
