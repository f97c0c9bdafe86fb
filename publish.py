"""What a training run leaves behind, and how that gets to the Hugging Face Hub."""

import json
from pathlib import Path

from lenet import LeNet

FILES = ("model.safetensors", "config.json", "metrics.json", "curves.png", "README.md")
# "Handwritten digit recognition using CNN": its figures after 20 epochs.
REPORT = {
    "train_loss": 0.0397,
    "train_accuracy": 0.9879,
    "validation_loss": 0.0552,
    "validation_accuracy": 0.9836,
}

# Files


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
    last = metrics["history"][-1]
    report = "\n".join(
        f"| {name.replace('_', ' ')} | {last[name]:.4f} | {value:.4f} |"
        for name, value in REPORT.items()
    )
    beside_the_report = f"""
| after epoch {len(metrics["history"])} | this run | the report |
| --- | --- | --- |
{report}
"""
    digits = {
        "paper": "It has met digits as Americans wrote them in the 1980s, and nothing but digits.",
        "demo": """Besides MNIST's, American digits of the 1980s, it has met
drawn ones of other schools (flagged 1, barred 7, curled 9, open 4), and scribbles and letters,
which it is taught to answer evenly. That tells most letters from digits, not all.""",
    }
    return ModelCard(f"""---
{data.to_yaml()}
---

# LeNet on MNIST

Names the handwritten digit in a 28×28 picture: the LeNet of the report "Handwritten digit
recognition using CNN", two 5×5 convolutions, average pooling, three linear layers, 61,706
parameters, trained on MNIST's 60,000 training pictures, some of them held back to validate on.

**{metrics["test_accuracy"]:.2%} of MNIST's 10,000 test pictures are named right**,
{metrics["test_errors"]} are not. Probabilities, with the temperature in `config.json`, are off by
{metrics["test_calibration_error"]:.2%} (expected calibration error).
{beside_the_report if metrics["recipe"] == "paper" else ""}
![Loss and accuracy over the epochs](curves.png)

## Use

`lenet.py` is in the repository of the demo that these weights answer in.

```python
import torch
from lenet import LeNet

model = LeNet.from_pretrained("{repo_id}")
image = torch.zeros(1, 1, 28, 28)  # 0 = paper, 1 = ink, framed as MNIST's pictures are
probabilities = (model(image) / model.temperature).softmax(1)  # of 0 to 9
```

## Training

```
{metrics["command"]}
```

took {metrics["seconds"]:.0f} s on {metrics["device"]} with PyTorch
{metrics["versions"]["torch"]}. The same command on the same machine gives the same bits;
`metrics.json` has every epoch.

## Limits

One digit at a time, brought into MNIST's form: 20 pixels in its longer side, centre of mass at
the centre. {digits[metrics["recipe"]]}
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
    files = [CommitOperationAdd(name, folder / name) for name in FILES]
    commit = api.create_commit(
        repo_id,
        files,
        commit_message="Send a training run",
        # Refuses to write over what somebody else sent in the meantime.
        parent_commit=api.model_info(repo_id).sha,
    )
    return commit.commit_url
