"""What would AlexNet and YOLO, the report's related work, gain at reading digits and numbers?

    python benchmarks/related_work.py --digits data/real-digits --numbers data/real-numbers

AlexNet (Krizhevsky et al. 2012) learns MNIST, enlarged, and reads digits beside LeNet. A small YOLO
(Redmon et al. 2016) learns lines of MNIST's and drawn digits, and reads numbers beside the page.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import alexnet
from torchvision.ops import nms
from torchvision.transforms.v2 import RGB

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from handwriting import SEED
from scores import load_development
from written_numbers import Number, compose, draw_number, number_sets

from lenet import LeNet
from reading.ink import find_ink
from reading.parts import choose_line, find_parts
from reading.picture import NoDigitError, crop, load_pixels, to_gray
from reading.preprocess import frame
from reading.reader import CONFIDENT, read
from reading.stroke_width import normalize_stroke_width
from reading.weights import EMBEDDED_WEIGHTS
from train import train
from training.data import load_mnist, scale
from training.digit_shapes import DIGITS
from training.drawings import DIGIT_JITTER, distort
from training.pen_curves import smooth
from training.recipes import PAPER, cosine
from training.run import choose_device

ALEXNET_STEPS, YOLO_STEPS, SAVE_STEPS = 1876, 9000, 200  # AlexNet's are two epochs
YOLO_LR, LINES = 2e-3, 30_000
HEIGHT, WIDTH, CELL, INK, WIDEST = 32, 256, 8, 28, 64  # pixels: line, cell, ink, widest digit
COORD, NO_OBJECT, MIN_OBJECTNESS, MAX_IOU = 5.0, 0.5, 0.5, 0.4  # two of the loss, two of boxes
COUNT_BONUS = 4  # factor of the probability of the page's guesses that have as many digits
SYSTEMS = ("the page", "YOLO", "YOLO's boxes, LeNet's names", "the page, with YOLO's count")
SYSTEMS += ("the page; YOLO below 70%",)


def take_step(model: nn.Module, optimizer, loss_of: Callable, batch: tuple) -> float:
    loss = loss_of(model, *batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def train_for(steps: int, file: Path, model, batch_of, loss_of, lr_of) -> list[float]:
    """Train with Adam up to a step, from a checkpoint if there is one; return all losses."""
    optimizer, losses = torch.optim.Adam(model.parameters(), fused=True), []
    if file.exists():
        weights, adam, losses = torch.load(file, map_location=next(model.parameters()).device)
        model.load_state_dict(weights)
        optimizer.load_state_dict(adam)
    model.train()
    for step in range(len(losses), steps):
        torch.manual_seed(step)  # of dropout
        optimizer.param_groups[0]["lr"] = lr_of(step)
        losses.append(take_step(model, optimizer, loss_of, batch_of(step)))
        if len(losses) % SAVE_STEPS == 0 or len(losses) == steps:
            print(file.stem, len(losses), np.mean(losses[-SAVE_STEPS:]), file=sys.stderr)
            unfinished = file.with_suffix(".part")
            torch.save([model.state_dict(), optimizer.state_dict(), losses], unfinished)
            unfinished.replace(file)
    model.eval()
    return losses


def random_batch(parts: tuple[Tensor, ...], size: int, device, step: int) -> tuple[Tensor, ...]:
    chosen = torch.randint(len(parts[0]), (size,), generator=torch.Generator().manual_seed(step))
    return tuple(part[chosen].to(device) for part in parts)


def make_alexnet(side: int) -> nn.Sequential:
    """Return torchvision's AlexNet, for MNIST's pictures enlarged to a side."""
    enlarge, network = nn.Upsample(size=side, mode="bilinear"), alexnet(num_classes=10)
    if side == 224:  # the last maps have 6×6 pixels already; on CUDA, this pool isn't deterministic
        network.avgpool = nn.Identity()
    return nn.Sequential(enlarge, RGB(), network)


def class_loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(scale(images)), labels)


def make_yolo() -> nn.Sequential:
    """Return a YOLO: (N, 1, 32, 256) to (N, 15, 1, 32)."""
    layers = []
    for i, (before, after) in enumerate(((1, 16), (16, 32), (32, 64), (64, 96), (96, 128))):
        kernel, padding = (3, 1) if i < 4 else ((4, 3), (0, 1))
        layers.append(nn.Conv2d(before, after, kernel, padding=padding, bias=False))
        layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.1)] + [nn.MaxPool2d(2)] * (i < 3)
    return nn.Sequential(*layers, nn.Conv2d(128, 15, 1))


def activate(outputs: Tensor) -> Tensor:
    """Return YOLO's outputs as (N, cells, 15): objectness, x, y, √w, √h, ten logits."""
    cells = outputs.squeeze(2).transpose(1, 2)
    return torch.cat([cells[..., :5].sigmoid(), cells[..., 5:]], dim=-1)


def yolo_loss(model: nn.Module, lines: Tensor, target: Tensor) -> Tensor:
    """Return the paper's loss (equation 3), but with cross entropy, and 1 as each box's IoU."""
    found, has = activate(model(scale(lines))), target[..., 0] > 0
    squares, labels = (found[..., :5] - target[..., :5]).square(), target[has][:, 5].long()
    loss = COORD * squares[has][:, 1:].sum() + squares[has][:, 0].sum()
    loss = loss + NO_OBJECT * squares[~has][:, 0].sum()
    names = nn.functional.cross_entropy(found[has][:, 5:], labels, reduction="sum")
    return (loss + names) / len(lines)


def encode(boxes: np.ndarray, labels: np.ndarray) -> Tensor:
    """Return the target (cells, 6) of boxes (N, 4) in pixels: as `activate`, then the label."""
    target = np.zeros((WIDTH // CELL, 6), np.float32)
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    cells = (center[:, 0] // CELL).astype(int).clip(0, len(target) - 1)
    place = center / (CELL, HEIGHT) - np.column_stack([cells, 0 * cells])
    roots = np.sqrt((size / (WIDEST, HEIGHT)).clip(0, 1))
    target[cells] = np.column_stack([np.ones(len(cells)), place, roots, labels])
    return torch.from_numpy(target)


def decode(cells: Tensor) -> tuple[Tensor, str]:
    """Return the boxes in pixels and the digits of one line (cells, 15), from left to right."""
    likely = torch.nonzero(cells[:, 0] > MIN_OBJECTNESS)[:, 0]
    cells = cells[likely]
    center = cells[:, 1:3] * torch.tensor([CELL, HEIGHT])
    center[:, 0] += likely * CELL
    half = cells[:, 3:5].square() * torch.tensor([WIDEST, HEIGHT]) / 2
    kept = nms(boxes := torch.cat([center - half, center + half], 1), cells[:, 0], MAX_IOU)
    kept = kept[center[kept, 0].argsort()]
    return boxes[kept], "".join(map(str, cells[kept, 5:].argmax(1).tolist()))


def fit_line(ink: np.ndarray, left: int = 2) -> tuple[np.ndarray, float]:
    """Return a line's cropped ink (0 or 1) in the size that YOLO reads, and the factor."""
    factor = min(INK / ink.shape[0], (WIDTH - 12) / ink.shape[1])
    width, height = size = [max(1, round(side * factor)) for side in ink.shape[::-1]]
    line = np.zeros((HEIGHT, WIDTH), np.uint8)
    line[2 : 2 + height, left : left + width] = cv2.resize(
        ink * 255, size, interpolation=cv2.INTER_AREA
    )
    return line, factor


def line_of_mnist(images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> tuple:
    """Return a line of one to eight of MNIST's digits: its ink, their boxes and labels."""
    chosen = random.integers(len(images), size=random.integers(1, 9))
    gap, slope = 40 * random.uniform(-0.15, 0.6), random.normal(0, 0.05)
    canvas, boxes, x = np.zeros((300, 700), np.uint8), [], 20
    for digit in (crop(images[k, 0]) for k in chosen):
        by = 40 * np.exp(random.normal(0, 0.08)) / max(digit.shape[0], digit.shape[1] / 1.2)
        large = (cv2.resize(digit, None, None, by, by) > 100).view(np.uint8)
        (height, width), y = large.shape, round(130 + slope * (x - 350) + random.normal(0, 1.6))
        canvas[y : y + height, x : x + width] |= large
        boxes.append((x, y, x + width, y + height))
        x = max(0, x + round(width + gap))
    change, kernel = random.choice([cv2.erode, cv2.dilate]), np.ones([random.integers(1, 4)] * 2)
    return change(canvas, kernel), np.array(boxes), labels[chosen]


def drawn_line(random: np.random.Generator) -> tuple:
    """Return a line of digits in many styles, drawn like the numbers of `real_numbers.py`."""
    pool = []
    for label in random.integers(10, size=8):
        strokes = distort(DIGITS[label](random.uniform), DIGIT_JITTER, random)
        pool.append(Number(str(label), "", [list(map(smooth, strokes))]))
    (number,) = compose(pool, 1, int(random.integers(2**32)), lengths=(1, 8))
    picture, _, boxes = draw_number(number, random)
    return (picture < 128).view(np.uint8), np.array(boxes), np.array([*number.label], int)


def make_lines(count: int, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return lines (N, 1, 32, 256), half of MNIST's digits and half drawn, and their targets."""
    random, lines, targets = np.random.default_rng(SEED), [], []
    written_line = partial(line_of_mnist, images.numpy(), labels.numpy())
    while len(lines) < count:
        ink, boxes, digits = (drawn_line if len(lines) % 2 else written_line)(random)
        x, y, width, height = cv2.boundingRect(ink)
        left = int(random.integers(9))
        line, factor = fit_line(ink[y : y + height, x : x + width], left)
        lines.append(line)
        targets.append(encode((boxes - [x, y] * 2) * factor + [left, 2] * 2, digits))
    return torch.from_numpy(np.stack(lines))[:, None], torch.stack(targets)


def detect(picture, yolo: nn.Module, model: LeNet) -> tuple[str, str]:
    """Return the number that YOLO reads in a picture, and LeNet's names for its boxes."""
    parts = find_parts(find_ink(to_gray(load_pixels(picture))))
    ink, _ = parts.crop_to(choose_line(parts))
    line, factor = fit_line(ink.astype(np.uint8))
    boxes, number = decode(activate(yolo(scale(torch.from_numpy(line)[None, None])))[0])
    edges = ((boxes[:, ::2] - 2) / factor).round().clip(0).int().tolist()
    cut = [crop(part) for part in (ink[:, left:right] for left, right in edges) if part.any()]
    digits = frame(list(map(normalize_stroke_width, cut))) if cut else np.zeros((0, 28, 28), "f4")
    return number, "".join(map(str, model(torch.from_numpy(digits)[:, None]).argmax(1).tolist()))


def print_numbers(pictures, yolo: nn.Module, model: LeNet) -> None:
    found = {}
    for name, number, picture in pictures:
        guesses, counted, names, started = [("", 1.0)], "", "", time.perf_counter()
        with suppress(NoDigitError):  # counts as wrong
            guesses = read(picture, model).guesses
        middle = time.perf_counter()
        with suppress(NoDigitError):
            counted, names = detect(picture, yolo, model)
        page, other = middle - started, time.perf_counter() - middle
        bonus = [p * COUNT_BONUS ** (len(guess) == len(counted)) for guess, p in guesses]
        (first, p), both = guesses[0], guesses[int(np.argmax(bonus))][0]
        answers = first, counted, names, both, first if p >= CONFIDENT else counted
        right = [(a == number.label, len(a) == len(number.label)) for a in answers]
        times = page, other, other, page + other, page + other * (p < CONFIDENT)
        found.setdefault(name, []).append(np.column_stack([right, times]))
    print(f"\n| right, right length, p50 | numbers | {' | '.join(SYSTEMS)} |\n|{' --- |' * 7}")
    for name, cells in found.items():
        columns = *np.mean(cells, axis=0).T[:2], np.median(cells, axis=0)[:, 2] * 1000
        row = [f"{a:.1%}, {b:.1%}, {c:.1f} ms" for a, b, c in zip(*columns, strict=True)]
        print(f"| {name} | {len(cells)} | {' | '.join(row)} |", flush=True)


def cost(model: nn.Module, batch: tuple, loss_of: Callable) -> str:
    """Return parameters, million multiplications and ms a picture, and s for 60,000 to train on."""
    inputs = {"model": deepcopy(model).cpu(), "x": scale(batch[0][:1]).cpu()}
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            inputs["model"](inputs["x"])
        ask = Timer("model(x)", globals=inputs).blocked_autorange().median  # on one thread
    model = deepcopy(model).to(batch[0].device).train()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    inputs["f"] = partial(take_step, model, optimizer, loss_of, batch)
    step = Timer("f()", globals=inputs, num_threads=torch.get_num_threads()).timeit(10).median
    counts = sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2e6
    row = "{:,} | {:.1f} | {:.2f} | {:.0f}"
    return row.format(*counts, ask * 1000, step * 60_000 / len(batch[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--numbers", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--data-dir", type=Path, default="data", help="MNIST folder (%(default)s)")
    parser.add_argument("--folder", type=Path, default="runs/related", help="for checkpoints")
    parser.add_argument("--device", help="as for train.py")
    arguments = parser.parse_args()
    device, folder = choose_device(arguments.device), arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    mnist, side = load_mnist(arguments.data_dir, train=True), 64 if device.type == "cpu" else 224
    batch_of = partial(random_batch, mnist, 64, device)
    torch.manual_seed(SEED)
    large, how = make_alexnet(side).to(device), (batch_of, class_loss, lambda step: PAPER.lr)
    losses = train_for(ALEXNET_STEPS, folder / f"alexnet-{side}.pt", large, *how)
    curve = ", ".join(f"{np.mean(part):.3f}" for part in np.array_split(losses, 10))
    print(f"AlexNet's loss by tenths of {ALEXNET_STEPS} steps: {curve}.\n")
    torch.manual_seed(SEED)
    yolo = make_yolo().to(device)
    lines_of = partial(random_batch, make_lines(LINES, *mnist), 32, device)
    how = lines_of, yolo_loss, lambda step: YOLO_LR * cosine(step, YOLO_STEPS, 0.02)
    train_for(YOLO_STEPS, folder / "yolo.pt", yolo, *how)
    paper, _ = train(*mnist, PAPER, checkpoint=folder / "lenet-paper.pt", report=str)
    demo = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    sets = {"MNIST's test pictures": load_mnist(arguments.data_dir, train=False)}
    sets |= load_development(arguments.digits, arguments.numbers, 1000)
    names = ["parameters", "million multiplications", "ms on a core", "s an epoch", *sets]
    print(f"| | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    models = {"LeNet, `--recipe paper`": paper, "LeNet, `--recipe demo`": demo, "AlexNet": large}
    for name, model in models.items():
        costs, row, model = cost(model, batch_of(0), class_loss), [], model.cpu()
        for pictures, labels in sets.values():
            logits = torch.cat([model(scale(part)).detach() for part in pictures.split(500)])
            right = (logits.argmax(1) == torch.as_tensor(labels)) & ~logits.isnan().any(1)
            row.append(f"{right.double().mean():.2%}")  # a refused picture is NaN
        print(f"| {name} | {costs} | {' | '.join(row)} |", flush=True)
    print(f"| YOLO, a line | {cost(yolo, lines_of(0), yolo_loss)} |{' |' * len(sets)}")
    torch.set_num_threads(1)  # like the page's worker
    with torch.inference_mode():
        print_numbers(number_sets(arguments.digits, arguments.numbers), yolo.cpu(), demo)


if __name__ == "__main__":
    main()
