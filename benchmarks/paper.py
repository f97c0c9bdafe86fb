"""Does `train.py --recipe paper` reach the figures of the report?

    python benchmarks/paper.py --data-dir data

Trains both readings of the report's table from several seeds and prints the figures after
the last epoch, mean ± standard deviation over the seeds, beside the report's.
"""

import argparse
import statistics
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from train import FIGURES, PAPER, choose_device, load_mnist, train
from training.hub import REPORT

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--data-dir", type=Path, default="data")
parser.add_argument("--device")
parser.add_argument("--seeds", type=int, default=5, help="runs with a sigmoid after both (5)")
parser.add_argument("--one-sigmoid-seeds", type=int, default=3, help="runs with the first only (3)")
arguments = parser.parse_args()
device = choose_device(arguments.device)
images, labels = load_mnist(arguments.data_dir, train=True, device=device)


def row(second_sigmoid: bool, seeds: int) -> str:
    """Train from seeds 0, 1, …; give the table's row."""
    runs = []
    for seed in range(seeds):
        torch.compiler.reset()  # or the recompilations count as one function's, up to a limit
        _, history = train(
            images,
            labels,
            recipe="paper",
            **PAPER,
            seed=seed,
            second_sigmoid=second_sigmoid,
            report=lambda line: None,
        )
        runs.append(history[-1])
        values = "  ".join(f"{name} {value:.4f}" for name, value in history[-1].items())
        print(f"second_sigmoid={second_sigmoid} seed {seed}: {values}", flush=True)
    columns = [[run[name] for run in runs] for name in FIGURES]
    cells = (f"{statistics.mean(c):.4f} ± {statistics.stdev(c):.4f}" for c in columns)
    name = "a sigmoid after each convolution" if second_sigmoid else "one sigmoid, as printed"
    return f"| {name}, {seeds} seeds | {' | '.join(cells)} |"


rows = [row(True, arguments.seeds), row(False, arguments.one_sigmoid_seeds)]
print(
    f"\n| after {PAPER['epochs']} epochs |", " | ".join(f.replace("_", " ") for f in FIGURES), "|"
)
print("| --- | --- | --- | --- | --- |")
print("| the report |", " | ".join(f"{REPORT[name]:.4f}" for name in FIGURES), "|")
print("\n".join(rows))
