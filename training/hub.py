"""What a training run leaves behind, and how that gets to the Hugging Face Hub."""

import json
import re
import sys
import time
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
PAUSES = (1, 2, 4, 8, 16)  # seconds, after a failure that may pass
TIMEOUT = 10  # seconds that the Hub may be silent

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

    def result(metric: str, name: str, value: float) -> EvalResult:
        return EvalResult(
            task_type="image-classification",
            dataset_type="ylecun/mnist",
            dataset_name="MNIST",
            dataset_split="test",
            metric_type=metric,
            metric_name=name,
            metric_value=value,
        )

    data = ModelCardData(
        license="mit",
        library_name="pytorch",
        pipeline_tag="image-classification",
        tags=["lenet", "mnist", "model_hub_mixin", "pytorch_model_hub_mixin"],
        datasets=["ylecun/mnist"],
        metrics=["accuracy"],
        model_name="LeNet on MNIST",
        eval_results=[
            result("accuracy", "Accuracy", metrics["test_accuracy"]),
            result("ece", "Calibration error (15 bins)", metrics["test_calibration_error"]),
        ],
    )
    confusion = metrics["confusion"]
    table = "\n".join(
        f"| **{digit}** | {' | '.join(str(n) if n else '' for n in row)} |"
        for digit, row in enumerate(confusion)
    )
    mistakes = [(confusion[a][b], a, b) for a in range(10) for b in range(10) if a != b]
    worst = ", ".join(f"{a} as {b} ({n} times)" for n, a, b in sorted(mistakes)[:-4:-1])
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

With `lenet.py` and `reading/preprocess.py` of the demo that these weights answer in:

```python
import torch
from PIL import Image
from lenet import LeNet
from reading.preprocess import to_mnist

model = LeNet.from_pretrained("{repo_id}")
digit = torch.from_numpy(to_mnist(Image.open("digit.png")))  # any picture of one digit
probabilities = (model(digit[None, None]) / model.temperature).softmax(1)[0]
print({{digit: f"{{p:.1%}}" for digit, p in enumerate(probabilities)}})
```

## Training

```
{metrics["command"]}
```

took {metrics["seconds"]:.0f} s on {metrics["device"]} with PyTorch
{metrics["versions"]["torch"]}. The same command on the same machine gives the same bits;
`metrics.json` has every epoch.

## What it gets wrong

On MNIST's test set it reads most often {worst}. A row a digit, a column an answer:

| | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{table}

## Intended use and limits

For demonstrations, teaching and comparison, not for reading what matters. One digit at a time,
brought into MNIST's form: 20 pixels in its longer side, centre of mass at the centre.
{digits[metrics["recipe"]]}

## References

- "Handwritten digit recognition using CNN", the report whose network and experiment this is.
- Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: "Gradient-based learning applied to document
  recognition", Proceedings of the IEEE 86 (11), 1998: the network's model, and MNIST.
""")


# The Hub


def check_hub(repo_id: str | None, private: bool = False, tag: str | None = None) -> str:
    """Make sure, before any training, that the weights can be sent; give the repository's id.

    The repository is made if it is not there.

    Raises
    ------
    OSError, ValueError
        If there is no token, the token may not write there, the name is not valid, the tag is
        taken, or the Hub does not answer. The message says what to do and never holds the token.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils import validate_repo_id

    if repo_id and repo_id.count("/") != 1:
        raise ValueError(f"--repo-id is OWNER/NAME, not {repo_id!r}")
    if tag and not re.fullmatch(r"\w[\w.-]*", tag):
        raise ValueError(f"--tag is letters, digits, dots and dashes, not {tag!r}")
    token = get_token() or ""
    if not re.fullmatch("[!-~]*", token):  # the client's own message would show it
        raise ValueError("the Hub's token holds characters that no token has: HF_TOKEN is damaged")
    api = HfApi()
    try:
        if repo_id:
            validate_repo_id(repo_id)
        user = patiently(api.whoami, pauses=PAUSES[:1])["name"]
        repo_id = repo_id or f"{user}/lenet-mnist"
        patiently(api.create_repo, repo_id, private=private, exist_ok=True, pauses=PAUSES[:1])
        # create_repo is content with reading.
        patiently(api.auth_check, repo_id, write=True, pauses=PAUSES[:1])
        taken = tag and commit_of(repo_id, tag)
    except HFValidationError as error:
        raise ValueError(f"--repo-id {repo_id}: {reason_of(error)}") from None
    except Exception as error:
        missing = isinstance(error, LocalTokenNotFoundError)
        reason = "no token found" if missing else reason_of(error)
        advice = "`hf auth login`, or HF_TOKEN, gives a token; it must be allowed to write there"
        if may_pass(error):
            advice = "Try again later, or train without --push and send the run with --push-only"
        raise OSError(f"cannot push to {repo_id or 'the Hub'}: {reason}. {advice}.") from None
    if taken:
        raise ValueError(f"{repo_id} has a tag {tag} already: name another with --tag")
    return repo_id


def push(folder: Path, repo_id: str, tag: str | None = None) -> str:
    """Send a run's five files to the Hub in one commit; give the commit's address.

    What fails in passing (429, 5xx, a dropped connection) is tried again. Files that are there
    already are not sent, and no commit is made if all of them are.

    Raises
    ------
    OSError
        If the files could not be sent; the Hub then holds what it held before. The message is
        fit for the command line.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "README.md").write_text(str(model_card(metrics, repo_id)))  # now it has an address
    api = HfApi()
    try:
        parent = patiently(api.model_info, repo_id, timeout=TIMEOUT).sha

        def commit():
            # The operations are made anew for each try: the client takes notes on them. After
            # a commit whose answer was lost, it finds that nothing has changed since.
            files = [CommitOperationAdd(name, folder / name) for name in FILES]
            message = f"Send a training run: {metrics['test_accuracy']:.2%} on MNIST's test set"
            # With its parent named, it cannot overwrite what somebody else sends meanwhile.
            return api.create_commit(repo_id, files, commit_message=message, parent_commit=parent)

        commit = patiently(commit)
    except Exception as error:
        raise OSError(reason_of(error)) from error
    if tag:
        try:
            # exist_ok: a try whose answer was lost may have made it.
            patiently(api.create_tag, repo_id, tag=tag, revision=commit.oid, exist_ok=True)
            tagged = commit_of(repo_id, tag)
        except Exception as error:
            raise OSError(f"the files are there, but not the tag: {reason_of(error)}") from error
        if tagged != commit.oid:
            raise OSError(f"the files are there, but {tag} already names another commit")
    return commit.commit_url


def commit_of(repo_id: str, revision: str) -> str | None:
    """Give the id of the commit that a tag or branch names, or None if there is no such."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        about = patiently(HfApi().model_info, repo_id, revision=revision, timeout=TIMEOUT)
        return about.sha
    except RevisionNotFoundError:
        return None


def patiently(call, *arguments, pauses=PAUSES, **named):
    """Call, and call again after each of the pauses (s) as long as the failure may pass."""
    from huggingface_hub import get_session

    for pause in (*pauses, None):
        get_session().timeout = TIMEOUT  # else it waits for ever
        try:
            return call(*arguments, **named)
        except Exception as error:
            if pause is None or not may_pass(error):
                raise
            asked = getattr(response_of(error), "headers", {}).get("Retry-After", "")
            pause = max(pause, min(int(asked), 60)) if asked.isdecimal() else pause
            print(f"{reason_of(error)}; trying again in {pause} s", file=sys.stderr)
            time.sleep(pause)


def may_pass(error: BaseException | None) -> bool:
    """Tell a passing failure (busy, down, cut off) from a refusal."""
    from httpx2 import TransportError  # what the Hub's client is made of

    if error is None:
        return False
    if response := response_of(error):
        return response.status_code in (408, 429) or response.status_code >= 500
    return isinstance(error, (TransportError, ConnectionError)) or may_pass(error.__cause__)


def response_of(error: BaseException | None):
    """Give the HTTP response that an error came of, or None."""
    while error and getattr(error, "response", None) is None:
        error = error.__cause__
    return error and error.response


def reason_of(error: Exception) -> str:
    """Give the first lines of the client's message: the status, and what it is about."""
    if getattr(response_of(error), "status_code", None) == 412:
        return "somebody else has pushed there in the meantime"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") or type(error).__name__
