"""Fit the factors of a number's score, so that its probability is calibrated.

    python benchmarks/fit_numbers.py --numbers data/real-numbers --digits data/real-digits

A number's probability is the share of its paths in the sum of exp(score) over all paths. The fit
maximizes the likelihood of the labels (LeCun et al. 1998, section VI; Lafferty et al.
2001, "Conditional random fields"). The script prints the mean loss on writers left out, then what
to copy to reading/candidates.py and reading/lattice.py, fitted on all writers. Run it again when
the weights, the cuts or the features change; give a new feature the factor 0 first.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from written_numbers import compose, draw_number, load_numbers, load_single_digits

from lenet import LeNet
from reading.candidates import SHAPE_FACTORS
from reading.lattice import ANSWER_FACTORS, answer_features, energy
from reading.picture import NoDigitError
from reading.reader import candidates_of
from reading.weights import EMBEDDED_WEIGHTS

KINDS = ("written", "composed", "single digits")
NEVER = -1e9  # log of a probability of 0
UNREADABLE = 0.02  # assumed share of numbers without a right path
BATCH = 200
FOLDS = 5


def prepare(model: LeNet, drawings) -> list[dict]:
    """Return edges, features and log probabilities of each number's candidates."""
    items = []
    for kind, number, picture in drawings:
        try:
            *_, (candidates, *_) = candidates_of(picture)  # the last: with cuts through ink, if any
        except NoDigitError:
            continue
        with torch.inference_mode():
            logits = model(torch.from_numpy(candidates.digits)[:, None]).double()
            log_probabilities = model.probabilities(logits).log()
        whole = (candidates.edges == [0, candidates.edges.max()]).all(axis=1)
        features = [candidates.shape, answer_features(candidates.digits, energy(logits.numpy()))]
        items.append(
            {
                "kind": kind,
                "label": number.label,
                "writer": number.writer,
                "edges": torch.from_numpy(candidates.edges),
                "features": torch.from_numpy(np.concatenate(features, axis=1)),
                "log_probabilities": log_probabilities,
                "energy": energy(logits[whole].numpy()),
            }
        )
    return items


def stack(items: list[dict]) -> list[dict]:
    """Return padded batches of numbers that have similar counts of candidates."""
    items = sorted(items, key=lambda item: len(item["edges"]))
    batches = []
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        pad = {
            key: torch.nn.utils.rnn.pad_sequence([item[key] for item in part], batch_first=True)
            for key in ("edges", "features", "log_probabilities")
        }
        labels = [torch.tensor([int(digit) for digit in item["label"]]) for item in part]
        pad["label"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True)
        pad["length"] = torch.tensor([len(label) for label in labels])
        pad["end"] = torch.tensor([item["edges"].max().item() for item in part])
        batches.append(pad)
    return batches


def losses(batch: dict, factors: torch.Tensor) -> torch.Tensor:
    """Return minus the log probability of each label.

    The first of `factors` is for the log probability, the others are for the features.
    """
    first, last = batch["edges"].unbind(dim=2)
    scores = (batch["features"] @ factors[1:])[..., None] + factors[0] * batch["log_probabilities"]
    count, most = len(scores), batch["label"].shape[1]
    right = scores.gather(2, batch["label"][:, None].expand(-1, scores.shape[1], -1))
    # Log sums over the paths to each cut: all of them, and those that read a label's first digits.
    nothing = torch.full((count, 1), NEVER, dtype=torch.float64)
    everything = [torch.zeros(count, dtype=torch.float64)]
    written = [torch.cat([torch.zeros_like(nothing), nothing.expand(-1, most)], dim=1)]
    for cut in range(1, int(last.max()) + 1):
        here = last == cut
        edges = torch.argsort((~here).int(), dim=1, stable=True)[:, : int(here.sum(1).max())]
        absent = ~here.gather(1, edges)
        start = first.gather(1, edges)
        arriving = torch.stack(everything, 1).gather(1, start)
        arriving = arriving + scores.logsumexp(2).gather(1, edges)
        everything.append(arriving.masked_fill(absent, NEVER).logsumexp(1))
        wide = edges[..., None].expand(-1, -1, most)
        # A path that has read k digits of the label continues with the next one.
        arriving = torch.stack(written, 1)[..., :-1].gather(1, start[..., None].expand_as(wide))
        arriving = arriving + right.gather(1, wide)
        arriving = arriving.masked_fill(absent[..., None], NEVER).logsumexp(1)
        written.append(torch.cat([nothing, arriving], dim=1))
    number = torch.arange(count)
    right = torch.stack(written, 1)[number, batch["end"], batch["length"]]
    return torch.stack(everything, 1)[number, batch["end"]] - right


def robust(losses: torch.Tensor) -> torch.Tensor:
    """Limit each loss to that of an unreadable number, so that such numbers teach nothing."""
    return -torch.log((1 - UNREADABLE) * torch.exp(-losses) + UNREADABLE)


def fit(items: list[dict]) -> torch.Tensor:
    """Return the factors that maximize the labels' likelihood."""
    batches = stack(items)
    factors = torch.zeros(1 + items[0]["features"].shape[1], dtype=torch.float64)
    factors[0] = 1
    factors.requires_grad_()
    optimizer = torch.optim.LBFGS([factors], max_iter=80, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.cat([robust(losses(batch, factors)) for batch in batches]).mean()
        loss = loss + 1e-4 * factors.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return factors.detach()


def load_drawings(numbers: Path, digits: Path):
    """Yield each number: its kind (of `KINDS`), the number, and its picture."""
    single = load_single_digits(digits)
    written, composed = load_numbers(numbers), compose(single, 1500, seed=1)
    random = np.random.default_rng(1)  # not the seed of the benchmark's drawings
    canvases = (320, 640), (320, 640), (280, 280)
    for kind, part, canvas in zip(KINDS, (written, composed, single), canvases, strict=True):
        for number in part:
            yield kind, number, draw_number(number, random, canvas)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--numbers", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--weights", default=EMBEDDED_WEIGHTS, help="a folder or owner/name")
    arguments = parser.parse_args()
    model = LeNet.from_pretrained(arguments.weights)
    items = prepare(model, load_drawings(arguments.numbers, arguments.digits))
    writers = sorted({item["writer"] for item in items})
    left_out = {kind: [] for kind in KINDS}
    for fold in range(FOLDS):
        out = set(writers[fold::FOLDS])
        factors = fit([item for item in items if item["writer"] not in out])
        for kind, found in left_out.items():
            rest = [i for i in items if i["writer"] in out and i["kind"] == kind]
            found += [robust(losses(batch, factors)) for batch in stack(rest)]
    means = (f"{kind} {torch.cat(found).mean():.4f}" for kind, found in left_out.items())
    print(f"Mean limited loss on writers left out: {', '.join(means)} nats. The factors:\n\n```")
    factors = fit(items)
    names = [
        "log probability",
        *SHAPE_FACTORS,
        *(name for name in ANSWER_FACTORS if name != "log probability"),
    ]
    for name, factor in zip(names, factors.tolist(), strict=True):
        print(f'"{name}": {factor:.2f},')
    single = np.concatenate([item["energy"] for item in items if len(item["label"]) == 1])
    print(f"MIN_ENERGY = {np.quantile(single, 0.01):.1f}\n```")


if __name__ == "__main__":
    main()
