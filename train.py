"""Train LeNet on MNIST.

    python train.py                             # --recipe demo: the weights that the page uses
    python train.py --recipe paper              # the report's experiment: 20 epochs, two minutes
    python train.py --push                      # and send the weights to <you>/lenet-mnist
    python train.py --push-only runs/demo       # send those of a run that is over

Everything a run makes lies in one folder, runs/<recipe>: the weights (model.safetensors,
config.json), what happened (metrics.json, curves.png) and the model card (README.md). Ctrl-C
stops after the epoch; --resume goes on, after that as after a crash.
"""

import argparse
import math
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from lenet import LeNet
from training.augment import NOISE, augment
from training.hub import FILES, REPORT, check_hub, push, save
from training.soap import SOAP
from training.strokes import write_digits, write_non_digits

# "Handwritten digit recognition using CNN": cross entropy, Adam, a random 4:1 split.
PAPER = {"epochs": 20, "batch_size": 64, "lr": 1e-3}
# What each choice gained: benchmarks/README.md.
DEMO = {"epochs": 100, "batch_size": 256, "lr": 1e-2}
RECIPES = {"demo": DEMO, "paper": PAPER}
VALIDATION_SHARE = {"demo": 0.1, "paper": 0.2}
WARM_UP = 0.1  # of the demo's steps, in which its rate grows; then it falls along a cosine
EDGES = 4  # the first convolution starts and learns so many times larger: sharper edges
AVERAGING = 0.999  # the demo's weights are a running mean; its decay a step
DRAWN_SHARE = 0.16  # of the demo's batches: digits of other schools (strokes.py)
NON_DIGIT_SHARE = 0.025  # of the demo's batches
NO_DIGIT = 10  # the label of what is no digit: every digit is as likely
FIGURES = tuple(REPORT)  # what is measured in each epoch

COMPILING_PAYS = 2000  # steps; for fewer, compiling takes longer than it saves
CHECKPOINT = "checkpoint.pt"
SPACE_NEEDED = 8_000_000  # bytes: two checkpoints, curves and weights


# Data


def load_mnist(data_dir: str | Path, train: bool, device: torch.device | str = "cpu"):
    """Read MNIST, downloading it to `data_dir` when it is missing.

    Returns
    -------
    images : uint8 tensor of shape (60000 or 10000, 1, 28, 28), 0 = paper, 255 = ink
    labels : int64 tensor of shape (60000 or 10000,)
        Both on `device`: 47 MB that lie there from the start, instead of loader processes.

    Raises
    ------
    OSError
        If MNIST is neither in `data_dir` nor to be downloaded; the message says what to do.
    """
    from torchvision.datasets import MNIST  # here, since the benchmarks import this file too

    try:
        mnist = MNIST(data_dir, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"MNIST could not be downloaded ({error}). Put train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
            f"(or their .gz) into {Path(data_dir) / 'MNIST' / 'raw'} and run this again, "
            "or name the folder that holds MNIST/raw with --data-dir."
        ) from error
    return mnist.data.unsqueeze(1).to(device), mnist.targets.to(device)


def scale(images: Tensor) -> Tensor:
    """Turn stored pictures (uint8, 0 to 255) into the network's (float32, 0 to 1)."""
    return images.float().div_(255)


def split(n: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Share n pictures out at random: the indices to train on, and a share to validate on."""
    held_back = int(n * share)
    if not 0 < held_back < n:
        raise ValueError(f"{n} pictures are too few to hold {share:.0%} of them back")
    order = torch.randperm(n, generator=generator)
    return order[held_back:], order[:held_back]


# Learning


def train(
    images: Tensor,
    labels: Tensor,
    *,
    recipe: str,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    second_sigmoid: bool = True,
    checkpoint: Path | None = None,
    stop: Event | None = None,
    report: Callable[[str], None] = print,
) -> tuple[LeNet, list[dict]]:
    """Run a recipe on the device that `images` lie on.

    Parameters
    ----------
    images, labels : as `load_mnist` gives them
        A fifth of them (demo: a tenth), drawn at random, is held back for validation.
    recipe : "demo" or "paper"
    seed : int
        Of the first weights, the split, the order of the pictures and what is done to them.
        On one machine the same seed gives the same bits.
    checkpoint : Path, optional
        A file to keep the state of the run in, after each epoch. If it is there already, the
        run goes on from it, and ends with the same bits as if it had never stopped.
    stop : threading.Event, optional
        Once it is set, the training ends after the epoch.
    report : callable
        Called with one line of text after each epoch.

    Returns
    -------
    model : LeNet, in eval mode
        The weights after the epoch with the highest validation accuracy, and the temperature
        that the validation pictures ask for.
    history : list of dict, one an epoch
        The four figures of the report. The training figures are means over the epoch's
        batches, taken while the network learns; validation is measured after the epoch.

    Raises
    ------
    ValueError
        If there are too few pictures to hold some of them back.
    ArithmeticError
        If the loss is no longer a number.
    """
    settings = {
        "recipe": recipe,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
    }
    torch.manual_seed(seed)
    device = images.device
    by_seed = torch.Generator().manual_seed(seed)
    train_index, validation_index = split(len(images), VALIDATION_SHARE[recipe], by_seed)
    validation = images[validation_index], labels[validation_index]
    images, labels = images[train_index], labels[train_index]
    if recipe == "demo":
        images, labels, kinds = add_drawings(images, labels, seed)
        batches = partial(mixed_batches, kinds, batch_size)
    else:
        batches = partial(plain_batches, len(images), batch_size)
    steps = epochs * len(batches(by_seed, device))
    learner = make_learner(recipe, device, lr, steps, second_sigmoid)
    noise = torch.Generator(device) if recipe == "demo" else None
    score = make_score(learner["model"], images, labels, noise, compiles=steps >= COMPILING_PAYS)

    history, best = [], None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        for name, part in learner.items():
            part.load_state_dict(state[name])
        history, best = state["history"], state["best"]

    progress = tqdm(
        total=steps,
        initial=steps * len(history) // epochs,
        unit="step",
        leave=False,
        mininterval=0.5,
    )
    for epoch in range(len(history) + 1, epochs + 1):
        started = time.perf_counter()
        # Seeded anew for each epoch: an interrupted run goes on as if it had not been.
        for kind, generator in enumerate((by_seed, noise) if noise else (by_seed,)):
            generator.manual_seed(epoch_seed(seed, epoch, kind))
        order = batches(by_seed, device)
        progress.set_description(f"epoch {epoch}/{epochs}", refresh=False)
        loss, accuracy = train_epoch(score, learner["optimizer"], order, progress)
        if not math.isfinite(loss):
            raise ArithmeticError(
                f"the loss is no longer a number in epoch {epoch}. Try a lower --lr than {lr:g}."
            )
        network = network_of(learner)
        figures = loss, accuracy, *evaluate(network, *validation)
        history.append(dict(zip(FIGURES, figures, strict=True)))
        history[-1]["seconds"] = time.perf_counter() - started
        merit = [figures[3], -figures[2]]  # the loss decides where the accuracy is the same
        if best is None or merit >= best["merit"]:
            weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            best = {"merit": merit, "weights": weights}
        if checkpoint:
            state = {name: part.state_dict() for name, part in learner.items()}
            state |= {"settings": settings, "history": history, "best": best}
            save_checkpoint(checkpoint, state)
        report(
            f"epoch {epoch:{len(str(epochs))}}/{epochs}"
            "   train loss {:.4f}  accuracy {:.4f}"
            "   validation loss {:.4f}  accuracy {:.4f}".format(*figures)
        )
        if stop and stop.is_set():
            break
    progress.close()

    def best_network(temperature: float = 1.0) -> LeNet:
        network = LeNet(second_sigmoid, temperature).to(device).eval()
        network.load_state_dict(best["weights"])
        return network

    temperature = fit_temperature(logits_of(best_network(), validation[0]), validation[1])
    return best_network(temperature), history


def epoch_seed(seed: int, epoch: int, kind: int) -> int:
    """Give a seed of 32 bits, which is all that the CPU's generator takes of a longer one."""
    return int(np.random.SeedSequence([abs(seed), epoch, kind]).generate_state(1)[0])


def train_epoch(score, optimizer, batches, progress: tqdm) -> tuple[float, float]:
    """Take one step a batch of indices; give the mean loss and accuracy on the way."""
    loss_sum, accuracy_sum, seen = 0, 0, 0
    # The sums stay on the device: reading one makes the device wait, so that is rarely done.
    for step, batch in enumerate(batches, 1):
        loss, accuracy = score(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        loss_sum = loss_sum + loss.detach() * len(batch)
        accuracy_sum = accuracy_sum + accuracy * len(batch)
        seen += len(batch)
        progress.update()
        if step % 100 == 0:
            progress.set_postfix(
                loss=f"{loss_sum.item() / seen:.4f}",
                accuracy=f"{accuracy_sum.item() / seen:.4f}",
                refresh=False,
            )
    return loss_sum.item() / seen, accuracy_sum.item() / seen


def make_score(model, images, labels, noise: torch.Generator | None = None, compiles=False):
    """Give the function of a batch of indices whose loss the training lowers.

    Returns
    -------
    score : indices -> mean loss, share of the digits that is named right
        With `noise`, the pictures are augmented, and `model` learns as `centered` computes it.
    """
    targets = torch.cat([torch.eye(10), torch.full((1, 10), 0.1)]).to(labels.device)

    network = partial(centered, model) if noise else model

    def judge(batch, numbers=None):
        pictures, target = scale(images[batch]), labels[batch]
        if numbers is not None:
            pictures = augment(pictures, numbers)
        logits = network(pictures)
        right, digits = logits.argmax(1) == target, target != NO_DIGIT
        return F.cross_entropy(logits, targets[target]), right.sum() / digits.sum()

    if compiles:
        judge = compiled(judge, labels.device)
    if noise is None:
        return judge

    def score(batch):
        return judge(batch, torch.randn(len(batch), NOISE, generator=noise, device=labels.device))

    return score


def compiled(function, device: torch.device):
    """Make a function faster by torch.compile, or say why not and leave it as it is."""
    # On a GPU this records CUDA graphs, too: launching its kernels one by one is what takes long.
    mode = "reduce-overhead" if device.type == "cuda" else None
    fast = torch.compile(function, dynamic=False, mode=mode)

    def first_try(*arguments):
        nonlocal fast
        try:
            return fast(*arguments)
        except Exception as error:  # without a C++ compiler, for instance
            if fast is function:
                raise
            fast = function
            reason = str(error).strip().partition("\n")[0]
            tqdm.write(f"Training goes on more slowly, without torch.compile: {reason}")
            return function(*arguments)

    return first_try


# Batches: indices of pictures, a row a step


def plain_batches(n: int, batch_size: int, generator, device="cpu") -> tuple[Tensor, ...]:
    """Share n pictures out at random; the last batch may be smaller."""
    return torch.randperm(n, generator=generator).to(device).split(batch_size)


def mixed_batches(kinds, batch_size: int, generator, device="cpu") -> tuple[Tensor, ...]:
    """Share MNIST's pictures out, among drawn digits and non-digits (see `add_drawings`).

    Each batch has the same number of each kind, MNIST's first; what is left over of MNIST's
    waits for another epoch. The others, of which there are fewer, may come more than once.
    """
    n, drawn, others = kinds
    some_drawn, some_others = round(batch_size * DRAWN_SHARE), round(batch_size * NON_DIGIT_SHARE)
    some = batch_size - some_drawn - some_others
    steps = n // some
    if steps == 0:
        raise ValueError(f"{n} pictures are too few for a batch of {batch_size}")
    parts = [torch.randperm(n, generator=generator)[: steps * some].view(steps, some)]
    parts.append(n + torch.randint(drawn, (steps, some_drawn), generator=generator))
    parts.append(n + drawn + torch.randint(others, (steps, some_others), generator=generator))
    return torch.cat(parts, dim=1).to(device).unbind()


def add_drawings(images: Tensor, labels: Tensor, seed: int):
    """Put drawn digits and what is no digit behind MNIST's; tell how many there are of each."""
    tqdm.write("Drawing what MNIST lacks …")
    drawn, drawn_labels = map(torch.from_numpy, write_digits(len(images), seed))
    others = torch.from_numpy(write_non_digits(len(images) // 3, seed))
    kinds = len(images), len(drawn), len(others)
    images = torch.cat([images, drawn.to(images.device), others.to(images.device)])
    no_digit = torch.full((len(others),), NO_DIGIT)
    labels = torch.cat([labels, drawn_labels.to(labels.device), no_digit.to(labels.device)])
    return images, labels, kinds


# Learners: what a recipe trains, and whose state a checkpoint holds


def make_learner(recipe: str, device, lr: float, steps: int, second_sigmoid: bool = True) -> dict:
    """Give the network at its random start and the optimizer; for the demo, more.

    Returns
    -------
    learner : dict
        "model" and "optimizer"; the demo's also "mean", the running mean of the weights, and
        "schedule", the rate's, both of which follow each of the optimizer's steps.
    """
    # Channels last is the layout that the CPU's convolutions compute in.
    model = LeNet(second_sigmoid).to(device, memory_format=torch.channels_last)
    if recipe == "paper":
        return {"model": model, "optimizer": torch.optim.Adam(model.parameters(), lr, fused=True)}
    for layer in (model.linear1, model.linear2, model.linear3):
        nn.init.orthogonal_(layer.weight)  # so that nothing is lost on the way through the three
    with torch.no_grad():
        for parameter in model.conv1.parameters():
            parameter *= EDGES
    edges, others = list(model.conv1.parameters()), list(model.parameters())[2:]
    optimizer = SOAP([{"params": edges, "lr": EDGES * lr}, {"params": others}], lr)

    def rate(step: int) -> float:
        cosine = (1 + math.cos(math.pi * step / steps)) / 2
        return cosine * min(1, (step + 1) / (WARM_UP * steps))

    schedule = LambdaLR(optimizer, rate)
    mean = deepcopy(model).requires_grad_(False)

    def follow(*_):
        schedule.step()
        # Early on the mean is short, or it would remember the random start for long.
        share = max(1 - AVERAGING, 9 / (9 + schedule.last_epoch))
        for average, parameter in zip(mean.parameters(), model.parameters(), strict=True):
            average.lerp_(parameter.detach(), share)

    optimizer.register_step_post_hook(follow)
    return {"model": model, "optimizer": optimizer, "mean": mean, "schedule": schedule}


def network_of(learner: dict) -> LeNet:
    """Give the network that a learner has made so far."""
    return with_sigmoids(learner["mean"]) if "mean" in learner else learner["model"]


def centered(model: LeNet, images: Tensor) -> Tensor:
    """Compute LeNet's logits with tanh in place of its sigmoids: the same network, in disguise.

    Since sigmoid(2x) = (1 + tanh x) / 2, `with_sigmoids` turns the weights of one into those
    of the other. Activations about 0 are learned from faster (LeCun et al. 1998, "Efficient
    BackProp", sections 4.3 and 4.4).
    """
    x = model.pool1(model.conv1(images).tanh())
    x = model.pool2(model.conv2(x).tanh())
    return model.linear3(model.linear2(model.linear1(x.flatten(1))))


@torch.no_grad()
def with_sigmoids(model: LeNet) -> LeNet:
    """Give the LeNet that computes what `centered` computes of `model`."""
    network = deepcopy(model)

    def adapt(layer: nn.Module, outputs: float, inputs: float) -> None:
        """Have a layer give `outputs` times as much, from inputs (1 + x) / 2 where it had x."""
        if inputs != 1:
            layer.bias -= layer.weight.flatten(1).sum(1)
        layer.weight *= inputs * outputs
        layer.bias *= outputs

    adapt(network.conv1, outputs=2, inputs=1)
    adapt(network.conv2, outputs=2, inputs=2)
    adapt(network.linear1, outputs=1, inputs=2)
    return network


def save_checkpoint(path: Path, state: dict) -> None:
    """Write a run's state: a crash leaves the old file or the new one, whole."""
    unfinished = path.with_suffix(".unfinished")
    torch.save(state, unfinished)
    os.replace(unfinished, path)


# Measuring


@torch.no_grad()
def logits_of(model: LeNet, images: Tensor) -> Tensor:
    """Give the logits (N, 10) of stored pictures; the mode, training or eval, stays as it was."""
    was_training = model.training
    model.eval()
    logits = torch.cat([model(scale(batch)) for batch in images.split(2000)])
    model.train(was_training)
    return logits


def evaluate(model: LeNet, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Measure the mean cross entropy (nats a picture) and the accuracy in [0, 1].

    Parameters
    ----------
    images, labels : as `load_mnist` gives them, on the model's device
    """
    return loss_and_accuracy(logits_of(model, images), labels)


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    correct = (logits.argmax(1) == labels).sum().item()
    return F.cross_entropy(logits, labels).item(), correct / len(labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Find what logits are to be divided by for the lowest cross entropy.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    temperatures = torch.linspace(0.3, 3, 271).tolist()
    losses = [F.cross_entropy(logits / t, labels).item() for t in temperatures]
    return round(temperatures[losses.index(min(losses))], 2)


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Measure how far confidence and accuracy lie apart: the expected calibration error.

    Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning":
    answers fall into bins of equal width by their probability; the mean over the answers of
    the difference, in their bin, between mean probability and share that is right.
    """
    confidence, guess = probabilities.max(1)
    surplus = confidence - (guess == labels).float()
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    sums = torch.zeros(bins, device=surplus.device).scatter_add_(0, bin_of, surplus)
    return sums.abs().sum().item() / len(labels)


def confusion_of(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """Count the answers: a row a digit, a column a first guess."""
    pairs = labels * 10 + logits.argmax(1)
    return pairs.cpu().bincount(minlength=100).view(10, 10).tolist()


# Command line


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST.")
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="demo", help="which experiment (%(default)s)")
    for name, kind in (("epochs", int), ("batch-size", int), ("lr", float)):
        add(f"--{name}", type=positive(kind), help="instead of the recipe's")
    add("--seed", type=int, default=0, help="the same seed gives the same bits (%(default)s)")
    add("--device", help="cuda, cpu, … (cuda where there is one)")
    add(
        "--data-dir",
        type=Path,
        default="data",
        help="holds MNIST/raw; fetched if not (%(default)s)",
    )
    add("--output-dir", type=Path, help="for what the run makes (runs/<recipe>)")
    add("--resume", action="store_true", help="go on with the run that was interrupted there")
    add("--min-accuracy", type=float, metavar="SHARE", help="fail if the test accuracy is lower")
    add("--push", action="store_true", help="send the run to the Hugging Face Hub")
    add("--repo-id", metavar="OWNER/NAME", help="where to (<you>/lenet-mnist)")
    add("--push-only", type=Path, metavar="FOLDER", help="send a run that is over; train nothing")
    add("--tag", help="give what is pushed this name, such as v1.2")
    add("--private", action="store_true", help="if the repository has to be made, make it private")
    arguments = parser.parse_args(argv)
    if arguments.min_accuracy is not None and not 0 <= arguments.min_accuracy <= 1:
        parser.error("--min-accuracy is a share from 0 to 1: 0.99 for 99 %")
    for name, value in RECIPES[arguments.recipe].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    arguments.output_dir = arguments.output_dir or Path("runs", arguments.recipe)
    return arguments


def positive(kind):
    def parse(text):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"  # argparse's message names it
    return parse


def choose_device(name: str | None) -> torch.device:
    """Give the device by that name, else CUDA, else the CPU; ValueError if it is not there."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        print("No CUDA GPU found: training on the CPU.")
        return torch.device("cpu")
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name}: {reason}. Try --device cpu.") from error


def check_folder(folder: Path) -> None:
    """Make sure, before any training, that its results can be written; OSError if not."""
    trial = folder / "space.unfinished"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(bytes(SPACE_NEEDED))
    except OSError as error:
        raise OSError(
            f"cannot write {SPACE_NEEDED / 1e6:.0f} MB to {folder} ({error.strerror}). "
            "Make room, or name another folder with --output-dir."
        ) from error
    finally:
        trial.unlink(missing_ok=True)


def check_resume(checkpoint: Path, settings: dict) -> None:
    """Make sure that --resume has something to go on from; ValueError if not, or another run."""
    if not checkpoint.exists():
        raise ValueError(f"no interrupted run in {checkpoint.parent}: leave --resume out")
    started_with = torch.load(checkpoint, map_location="cpu", weights_only=True)["settings"]
    if started_with != settings:
        flags = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in started_with.items())
        raise ValueError(f"the run in {checkpoint.parent} was started with {flags}")


@contextmanager
def interruptible():
    """Give an event that the first Ctrl-C sets; a second one ends the program as usual."""
    stop = Event()

    def interrupt(*_):
        stop.set()
        signal.signal(signal.SIGINT, usual)
        tqdm.write("Stopping after this epoch. (Ctrl-C again: at once.)")

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)


def command_of(settings: dict) -> str:
    """Give the command that repeats the run."""
    recipe, seed = settings["recipe"], settings["seed"]
    command = f"python train.py --recipe {recipe} --seed {seed}"
    for name, usual in RECIPES[recipe].items():
        value = settings[name]
        command += f" --{name.replace('_', '-')} {value}" if value != usual else ""
    return command


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} with {threads} thread{'s' if threads > 1 else ''}"


def git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() or None


def send(folder: Path, repo_id: str, tag: str | None) -> int:
    """Push a run, or say how to do it later; give the exit status."""
    try:
        print(f"pushed: {push(folder, repo_id, tag)}")
    except OSError as error:
        again = ["python", "train.py", "--push-only", str(folder), "--repo-id", repo_id]
        again = shlex.join(again + (["--tag", tag] if tag else []))
        print(
            f"train.py: not pushed to {repo_id}: {error}. All of it is kept in {folder}; "
            f"to send it again: {again}",
            file=sys.stderr,
        )
        return 1
    return 0


def push_only(arguments: argparse.Namespace) -> int:
    folder = arguments.push_only
    try:
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(f"{folder} is no run that is over: {', '.join(missing)} missing")
        repo_id = check_hub(arguments.repo_id, arguments.private)
    except (OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    return send(folder, repo_id, arguments.tag)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.push_only:
        return push_only(arguments)
    names = ("recipe", "epochs", "batch_size", "lr", "seed")
    settings = {name: getattr(arguments, name) for name in names}
    folder = arguments.output_dir
    checkpoint = folder / CHECKPOINT
    # What can go wrong is found before the training, not after it.
    try:
        device = choose_device(arguments.device)
        check_folder(folder)
        if arguments.resume:
            check_resume(checkpoint, settings)
        repo_id = None
        if arguments.push:
            repo_id = check_hub(arguments.repo_id, arguments.private, arguments.tag)
        images, labels = load_mnist(arguments.data_dir, train=True, device=device)
    except (OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS varies in its bits
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a check that takes time
    if not arguments.resume:
        checkpoint.unlink(missing_ok=True)
    try:
        with interruptible() as stop:
            model, history = train(
                images, labels, **settings, checkpoint=checkpoint, stop=stop, report=tqdm.write
            )
    except (ArithmeticError, OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1

    test_images, test_labels = load_mnist(arguments.data_dir, train=False, device=device)
    logits = logits_of(model, test_images)  # once, when every choice is made
    test_loss, test_accuracy = loss_and_accuracy(logits, test_labels)
    probabilities = (logits / model.temperature).softmax(1)
    metrics = {
        **settings,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "test_errors": round((1 - test_accuracy) * len(test_labels)),
        "test_calibration_error": calibration_error(probabilities, test_labels),
        "confusion": confusion_of(logits, test_labels),
        "seconds": sum(epoch["seconds"] for epoch in history),
        "device": device_name(device),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "git_commit": git_commit(),
        "command": command_of(settings),
        "history": history,
    }
    print(
        "test accuracy {test_accuracy:.4f} ({test_errors} errors), calibration error "
        "{test_calibration_error:.4f}; {seconds:.1f} s on {device}".format(**metrics)
    )
    save(folder, model, metrics, repo_id or str(folder))
    print(f"saved in {folder}")
    if len(history) < arguments.epochs:
        print(f"stopped after epoch {len(history)} of {arguments.epochs}; --resume goes on")
        return 130
    checkpoint.unlink(missing_ok=True)
    if arguments.min_accuracy is not None and test_accuracy < arguments.min_accuracy:
        print(f"train.py: that is less than {arguments.min_accuracy}", file=sys.stderr)
        return 1
    if arguments.push:
        return send(folder, repo_id, arguments.tag)
    return 0


if __name__ == "__main__":
    sys.exit(main())
