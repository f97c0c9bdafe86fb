"""What networks make of digits, and how well that tells digits from others."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from reading.picture import NoDigitError


def digits_of(pictures: Iterable, *ways: Callable) -> torch.Tensor:
    """Return what each function makes of each picture, (ways, N, 1, 28, 28); NaN if refused."""

    def or_nan(way: Callable, picture) -> np.ndarray:
        try:
            return way(picture)
        except NoDigitError:
            return np.full((28, 28), np.nan, np.float32)

    digits = np.array([[or_nan(way, picture) for way in ways] for picture in pictures])
    return torch.from_numpy(digits).transpose(0, 1)[:, :, None]


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
    """Return what the page doubts a digit by (`reading.reader.read`): too low, it asks."""
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
