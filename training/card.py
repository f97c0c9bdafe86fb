"""The model card and the training curves of a run."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from training.recipes import RECIPES, REPORT_METRICS

TEXT = """---
{data}
---

# LeNet on MNIST

This model reads the handwritten digit in a 28×28 image. It is the LeNet of the report
"Handwritten digit recognition using CNN": two 5×5 convolutions, average pooling and three linear
layers, 61,706 parameters. It learned from MNIST's 60,000 training images, except a random part of
them, which was kept for validation.

**It reads {test_accuracy:.2%} of MNIST's 10,000 test images correctly** ({test_errors} errors).
With the temperature in `config.json`, the expected calibration error is
{test_calibration_error:.2%}.
{report}
![Loss and accuracy over the epochs](curves.png)

## Use

Run this in a clone of the demo, which holds `lenet.py` and `reading/`:

```python
import torch
from PIL import Image
from lenet import LeNet
from reading.preprocess import to_mnist

model = LeNet.from_pretrained("{repo_id}")
digit = torch.from_numpy(to_mnist(Image.open("digit.png")))  # any picture of one digit
probabilities = model.probabilities(model(digit[None, None]))[0]
print({{digit: f"{{p:.1%}}" for digit, p in enumerate(probabilities)}})
```

## Training

```
{command}
```

This took {seconds:.0f} s on {device} with PyTorch
{versions[torch]}. The same command, machine and number of threads give the same weights.
`metrics.json` has the metrics of every epoch.

## Errors

The most frequent errors on MNIST's test set are {worst}.
In the table, rows are digits and columns are predictions:

| | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{confusion}

## Intended use and limits

The model is for demonstrations, teaching and comparison, not for critical use. It reads one digit
at a time, normalized like MNIST: 20 pixels on the longer side, its center of mass in the middle.
{limits}

## References

- "Handwritten digit recognition using CNN": the report that describes this network.
- Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: "Gradient-based learning applied to document
  recognition", Proceedings of the IEEE 86 (11), 1998: the original LeNet, and MNIST.
"""


def model_card(metrics: dict, repo_id: str) -> ModelCard:
    """Return the model card of a run.

    Parameters
    ----------
    metrics : dict, the content of metrics.json (`training.run.save_run`)
    repo_id : str, the "owner/name" or folder that the card's example loads from
    """
    recipe = RECIPES[metrics["recipe"]]
    text = TEXT.format_map(
        metrics
        | {
            "data": _card_data(metrics).to_yaml(),
            "repo_id": repo_id,
            "report": _report_table(metrics["history"]) if recipe.reproduces_report else "",
            "worst": _worst_errors(metrics["confusion"]),
            "confusion": _confusion_table(metrics["confusion"]),
            "limits": recipe.limits,
        }
    )
    return ModelCard(text)


def draw_curves(history: list[dict], path: Path) -> None:
    """Draw each epoch's loss and accuracy, like the report's Figure 4, to a PNG file."""
    import matplotlib  # a slow import, needed once at the end of a run

    matplotlib.use("Agg")  # draws without a screen
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


def _card_data(metrics: dict) -> ModelCardData:
    """Return the metadata that the Hub's search and leaderboards read."""

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

    return ModelCardData(
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


def _report_table(history: list[dict]) -> str:
    last = history[-1]
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {last[name]:.4f} | {value:.4f} |"
        for name, value in REPORT_METRICS.items()
    )
    head = f"| after epoch {len(history)} | this run | the report |\n| --- | --- | --- |"
    return f"\n{head}\n{rows}\n"


def _confusion_table(confusion: list[list[int]]) -> str:
    return "\n".join(
        f"| **{digit}** | {' | '.join(str(n or '') for n in row)} |"
        for digit, row in enumerate(confusion)
    )


def _worst_errors(confusion: list[list[int]]) -> str:
    """Return the three most frequent errors as a sentence fragment."""
    errors = [(confusion[a][b], a, b) for a in range(10) for b in range(10) if a != b]
    return ", ".join(f"{a} as {b} ({n} times)" for n, a, b in sorted(errors)[:-4:-1])
