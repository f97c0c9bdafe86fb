"""What networks make of digits, and how well that tells digits from others."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from handwriting import SEED, draw_anyhow, load_digits
from sklearn.metrics import roc_auc_score
from written_numbers import load_numbers

from reading.picture import NoDigitError
from reading.preprocess import to_mnist


def digits_of(pictures: Iterable, *ways: Callable) -> torch.Tensor:
    """Return what each function makes of each picture, (ways, N, 1, 28, 28); NaN if refused."""

    def or_nan(way: Callable, picture) -> np.ndarray:
        try:
            return way(picture)
        except NoDigitError:
            return np.full((28, 28), np.nan, np.float32)

    digits = np.array([[or_nan(way, picture) for way in ways] for picture in pictures])
    return torch.from_numpy(digits).transpose(0, 1)[:, :, None]


def drawn(shapes: Iterable) -> torch.Tensor:
    """Return strokes drawn at any size and place, with any brush, in MNIST's form."""
    random = np.random.default_rng(SEED)
    return digits_of((draw_anyhow(shape, random) for shape in shapes), to_mnist)[0]


def load_development(digits: Path, numbers: Path, most: int | None = None) -> dict:
    """Return the development digits in MNIST's form and their labels, by the set's name."""
    (tablet, labels), written = load_digits(digits, most), load_numbers(numbers)
    envelopes = np.load(digits / "usps-1000.npz")
    french = [int(label) for number in written for label in number.label]
    return {
        "tablet": (drawn(tablet), labels),
        "French": (drawn(digit for number in written for digit in number.digits), french),
        "envelopes": (digits_of(envelopes["images"], to_mnist)[0], envelopes["labels"]),
    }


def probabilities_of(models: Iterable, digits: torch.Tensor) -> torch.Tensor:
    """Return each model's probabilities, (models, N, 10); 0 where a digit is NaN."""
    with torch.inference_mode():
        answers = [model.probabilities(model(digits.nan_to_num())) for model in models]
    return torch.stack(answers) * ~digits.isnan().any(-1).any(-1)


def first_and_three(probabilities: torch.Tensor, labels) -> torch.Tensor:
    """Return the shares that are right at the first guess, and among three: (2, models)."""
    best = probabilities.topk(3)
    right = (best.indices == torch.as_tensor(labels)[:, None]) & (best.values > 0)
    return torch.stack([right[..., 0], right.any(-1)]).double().mean(-1)


def page_score(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the two best guesses' sum; the page doubts digits for which it is low."""
    return probabilities.topk(2).values.sum(-1)


def area_under_roc(digits: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return each model's area under the ROC curve; its page scores should be high for digits."""
    is_digit = torch.arange(digits.shape[1] + others.shape[1]) < digits.shape[1]
    scores = torch.cat([digits, others], dim=1)
    return torch.tensor([roc_auc_score(is_digit, score) for score in scores])


def spread(values: torch.Tensor, form: str = "{:.2%}") -> str:
    """Return the mean of several models' values and its standard deviation, or one's value."""
    mean = form.format(values.mean())
    return mean if len(values) == 1 else f"{mean} ± {form.format(values.std()).rstrip('%')}"
