"""Train LeNet on MNIST.

    python train.py --recipe paper              # the report's experiment: 20 epochs, two minutes
    python train.py --recipe paper --push       # and send the weights to <you>/lenet-mnist

Everything a run makes lies in one folder, runs/<recipe>: the weights (model.safetensors,
config.json), what happened (metrics.json, curves.png) and the model card (README.md).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from lenet import LeNet

# "Handwritten digit recognition using CNN": cross entropy, Adam, a random 4:1 split.
PAPER = {"epochs": 20, "batch_size": 64, "lr": 1e-3}
RECIPES = {"paper": PAPER}
FIGURES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
REPORT = dict(zip(FIGURES, (0.0397, 0.9879, 0.0552, 0.9836), strict=True))
VALIDATION_SHARE = 0.2


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


# Learning


def train(
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    second_sigmoid: bool = True,
    report=print,
) -> tuple[LeNet, list[dict]]:
    """Run the report's experiment, on the device that `images` lie on.

    Parameters
    ----------
    images, labels : as `load_mnist` gives them
        One in five, drawn at random, is held back for validation.
    seed : int
        Of the first weights, the split and the order of the pictures. On one machine
        the same seed gives the same bits.
    report : callable
        Called with one line of text after each epoch.

    Returns
    -------
    model : LeNet, in eval mode
    history : list of dict, one an epoch
        The four figures of the report. The training figures are means over the epoch's
        batches, taken while the network learns; validation is measured after the epoch.

    Raises
    ------
    ValueError
        If there are too few pictures to hold one in five back.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train_index, validation_index = split(len(images), generator)
    validation = images[validation_index], labels[validation_index]
    images, labels = images[train_index], labels[train_index]

    model, optimizer = learner(images.device, lr, second_sigmoid)

    history = []
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(images), generator=generator).to(images.device)
        batches = order.split(batch_size)
        loss, accuracy = train_epoch(model, optimizer, images, labels, batches, f"{epoch}/{epochs}")
        figures = loss, accuracy, *evaluate(model, *validation)
        history.append(dict(zip(FIGURES, figures, strict=True)))
        report(
            f"epoch {epoch:{len(str(epochs))}}/{epochs}"
            "   train loss {:.4f}  accuracy {:.4f}"
            "   validation loss {:.4f}  accuracy {:.4f}".format(*figures)
        )
    return model.eval(), history


def learner(device, lr: float, second_sigmoid: bool = True) -> tuple[LeNet, torch.optim.Adam]:
    """Give a network at its random start, and the optimizer that will train it."""
    # Channels last is the layout that the CPU's convolutions compute in.
    model = LeNet(second_sigmoid).to(device, memory_format=torch.channels_last)
    return model, torch.optim.Adam(model.parameters(), lr=lr, fused=True)


def split(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Share n pictures out at random: the indices to train on, and one in five to validate on."""
    held_back = int(n * VALIDATION_SHARE)
    if not 0 < held_back < n:
        raise ValueError(f"{n} pictures are too few to hold one in five of them back")
    order = torch.randperm(n, generator=generator)
    return order[held_back:], order[:held_back]


def train_epoch(model, optimizer, images, labels, batches, name: str) -> tuple[float, float]:
    """Take one step a batch of indices; give the mean loss and accuracy on the way."""
    model.train()
    loss_sum = torch.zeros((), device=images.device)
    correct = torch.zeros((), device=images.device, dtype=torch.int64)
    seen = 0
    # The sums stay on the device: reading one makes the device wait, so that is rarely done.
    progress = tqdm(batches, f"epoch {name}", unit="batch", leave=False, mininterval=0.5)
    for step, batch in enumerate(progress, 1):
        target = labels[batch]
        logits = model(scale(images[batch]))
        loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        loss_sum += loss.detach() * len(batch)
        correct += (logits.argmax(1) == target).sum()
        seen += len(batch)
        if step % 100 == 0:
            progress.set_postfix(
                loss=f"{loss_sum.item() / seen:.4f}",
                accuracy=f"{correct.item() / seen:.4f}",
                refresh=False,
            )
    return loss_sum.item() / seen, correct.item() / seen


@torch.no_grad()
def evaluate(model: LeNet, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Measure the mean cross entropy (nats a picture) and the accuracy in [0, 1].

    Parameters
    ----------
    images, labels : as `load_mnist` gives them, on the model's device

    The model's mode, training or eval, is left as it was found.
    """
    was_training = model.training
    model.eval()
    logits = torch.cat([model(scale(batch)) for batch in images.split(2000)])
    model.train(was_training)
    correct = (logits.argmax(1) == labels).sum().item()
    return F.cross_entropy(logits, labels).item(), correct / len(labels)


# What a run leaves behind


def save(folder: Path, model: LeNet, metrics: dict, repo_id: str) -> None:
    """Write a run's five files; repo_id is where the card tells to load the weights from."""
    model.save_pretrained(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    draw_curves(metrics["history"], folder / "curves.png")
    card = model_card(metrics, repo_id)
    (folder / "README.md").write_text(str(card))


def draw_curves(history: list[dict], path: Path) -> None:
    """Draw loss and accuracy over the epochs, as in the report's Figure 4."""
    import matplotlib

    matplotlib.use("Agg")  # no screen needed
    from matplotlib import pyplot as plt

    figure, panes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    epochs = range(1, len(history) + 1)
    for pane, quantity in zip(panes, ("loss", "accuracy"), strict=True):
        for part, style in (("train", "C0.-"), ("validation", "C1.--")):
            pane.plot(epochs, [h[f"{part}_{quantity}"] for h in history], style, label=part)
        pane.set(xlabel="epoch", ylabel=quantity)
        pane.xaxis.get_major_locator().set_params(integer=True)
        pane.grid(alpha=0.3)
        pane.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def model_card(metrics: dict, repo_id: str):
    """Describe a run as the Hub's model card (huggingface_hub.ModelCard)."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    data = ModelCardData(
        license="mit",
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=["lenet", "mnist", "model_hub_mixin", "pytorch_model_hub_mixin"],
        datasets=["ylecun/mnist"],
        metrics=["accuracy"],
        model_name="LeNet on MNIST",
        eval_results=[
            EvalResult(
                task_type="image-classification",
                dataset_type="ylecun/mnist",
                dataset_name="MNIST",
                dataset_split="test",
                metric_type="accuracy",
                metric_value=metrics["test_accuracy"],
            )
        ],
    )
    accuracy, errors = metrics["test_accuracy"], metrics["test_errors"]
    seconds, device, pytorch = metrics["seconds"], metrics["device"], metrics["versions"]["torch"]
    last = metrics["history"][-1]
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {last[name]:.4f} | {REPORT[name]:.4f} |" for name in FIGURES
    )
    return ModelCard(f"""---
{data.to_yaml()}
---

# LeNet on MNIST

Names the handwritten digit in a 28×28 picture: the LeNet of the report "Handwritten digit
recognition using CNN", two 5×5 convolutions, average pooling, three linear layers, 61,706
parameters, trained on MNIST's 60,000 training pictures, a fifth of them held back.

**{accuracy:.2%} of MNIST's 10,000 test pictures are named right**, {errors} are not.

| | this run, {metrics["epochs"]} epochs | the report, {PAPER["epochs"]} epochs |
| --- | --- | --- |
{rows}

![Loss and accuracy over the epochs](curves.png)

## Use

`lenet.py` is in the repository of the demo that these weights answer in.

```python
import torch
from lenet import LeNet

model = LeNet.from_pretrained("{repo_id}")
image = torch.zeros(1, 1, 28, 28)  # 0 = paper, 1 = ink, framed as MNIST's pictures are
probabilities = model(image).softmax(1)  # of 0 to 9
```

## Training

```
{metrics["command"]}
```

took {seconds:.0f} s on {device} with PyTorch {pytorch}. The same command on the same machine
gives the same bits; `metrics.json` has every epoch.

## Limits

One digit at a time, written the way Americans wrote in the 1980s, brought into MNIST's form:
20 pixels in its longer side, centre of mass at the centre. It has no answer for "not a digit".
""")


# The Hub


def check_hub(repo_id: str | None, private: bool) -> str:
    """Make sure, before any training, that the weights can be sent; give the repository's id.

    Raises
    ------
    OSError, ValueError
        If there is no token, the token may not write there, or the name is not valid.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    api = HfApi()
    try:
        repo_id = repo_id or f"{api.whoami()['name']}/lenet-mnist"
        api.create_repo(repo_id, private=private, exist_ok=True)
        api.auth_check(repo_id, write=True)  # create_repo is content with reading
    except OSError as error:
        missing = isinstance(error, LocalTokenNotFoundError)
        reason = "no token found" if missing else str(error).partition("\n")[0].rstrip(".")
        raise OSError(
            f"cannot push to {repo_id or 'the Hub'}: {reason}. `hf auth login`, or HF_TOKEN, "
            "gives a token; it has to be one that may write there."
        ) from error
    return repo_id


def push(folder: Path, repo_id: str) -> str:
    """Send a run's folder to the Hub in one commit; give the commit's address."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    files = [CommitOperationAdd(file.name, file) for file in sorted(folder.iterdir())]
    commit = api.create_commit(
        repo_id,
        files,
        commit_message="Send a training run",
        # Refuses to write over what somebody else sent in the meantime.
        parent_commit=api.model_info(repo_id).sha,
    )
    return commit.commit_url


# Command line


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST.")
    add = parser.add_argument
    add("--recipe", choices=RECIPES, default="paper", help="which experiment (%(default)s)")
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
    add("--push", action="store_true", help="send the run to the Hugging Face Hub")
    add("--repo-id", metavar="OWNER/NAME", help="where to (<you>/lenet-mnist)")
    add("--private", action="store_true", help="if the repository has to be made, make it private")
    arguments = parser.parse_args(argv)
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


def command_of(arguments: argparse.Namespace) -> str:
    """Give the command that repeats the run."""
    command = f"python train.py --recipe {arguments.recipe} --seed {arguments.seed}"
    for name, usual in RECIPES[arguments.recipe].items():
        value = getattr(arguments, name)
        command += f" --{name.replace('_', '-')} {value}" if value != usual else ""
    return command


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} with {torch.get_num_threads()} threads"


def git_commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return run.stdout.strip() or None


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    # What can go wrong is found before the training, not after it.
    try:
        device = choose_device(arguments.device)
        repo_id = check_hub(arguments.repo_id, arguments.private) if arguments.push else None
        images, labels = load_mnist(arguments.data_dir, train=True, device=device)
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS varies in its bits
    torch.use_deterministic_algorithms(True)
    settings = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "lr", "seed")}
    started = time.perf_counter()
    model, history = train(images, labels, **settings, report=tqdm.write)
    seconds = time.perf_counter() - started
    test = load_mnist(arguments.data_dir, train=False, device=device)
    test_loss, test_accuracy = evaluate(model, *test)  # once, when every choice is made
    test_errors = round((1 - test_accuracy) * len(test[0]))
    where = device_name(device)
    print(f"test accuracy {test_accuracy:.4f} ({test_errors} errors); {seconds:.1f} s on {where}")

    metrics = {
        "recipe": arguments.recipe,
        **settings,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "test_errors": test_errors,
        "seconds": seconds,
        "device": where,
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "git_commit": git_commit(),
        "command": command_of(arguments),
        "history": history,
    }
    save(arguments.output_dir, model, metrics, repo_id or str(arguments.output_dir))
    print(f"saved in {arguments.output_dir}")
    if arguments.push:
        print(f"pushed: {push(arguments.output_dir, repo_id)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
