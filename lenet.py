"""LeNet of "Handwritten digit recognition using CNN", and where its weights come from.

    model = LeNet.from_pretrained("weights")    # or "owner/name" on the Hugging Face Hub
    logits = model(images)                      # (N, 1, 28, 28) in [0, 1] -> (N, 10)

A report's table leaves one thing open, the activation after the second convolution.
Its figures are those of the network that has one (README, "The report, repeated").
"""

import json
import logging
import os
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import torch
from huggingface_hub import HfApi, PyTorchModelHubMixin, constants, hf_hub_download
from huggingface_hub.utils import logging as hub_logging
from safetensors.torch import load_file
from torch import nn

EMBEDDED_WEIGHTS = Path(__file__).parent / "weights"
HUB_PATIENCE = 4.0  # seconds that a start may lose to a Hub that does not answer

log = logging.getLogger(__name__)


class LeNet(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="pytorch",
    pipeline_tag="image-classification",
    license="mit",
):
    """Two 5x5 convolutions, average pooling, three linear layers: 61,706 parameters.

    The three linear layers have no activation between them; that is the report's network.

    Parameters
    ----------
    second_sigmoid : bool
        Whether a sigmoid follows the second convolution as well. False is the report's
        table to the letter, True the network that reaches the report's figures.
    temperature : float
        What logits are divided by before softmax, so that 90 % means right 9 times in 10.
        `train.py` fits it; it is kept in config.json. The logits themselves leave it out.

    Raises
    ------
    ValueError
        If the temperature is not positive, or `second_sigmoid` is neither True nor False.
    """

    def __init__(self, second_sigmoid: bool = True, temperature: float = 1.0):
        super().__init__()
        if not isinstance(second_sigmoid, bool):
            raise ValueError(f"second_sigmoid is true or false, not {second_sigmoid!r}")
        if not isinstance(temperature, int | float) or not 0 < temperature < float("inf"):
            raise ValueError(f"a temperature is a positive number, not {temperature!r}")
        self.temperature = temperature
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.activation1 = nn.Sigmoid()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.activation2 = nn.Sigmoid() if second_sigmoid else nn.Identity()
        self.pool2 = nn.AvgPool2d(2)
        self.linear1 = nn.Linear(400, 120)
        self.linear2 = nn.Linear(120, 84)
        self.linear3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score each of the ten digits.

        Parameters
        ----------
        x : float32 tensor of shape (N, 1, 28, 28)
            Pictures in [0, 1], 0 = paper, 1 = ink, framed as MNIST's are (`preprocess.to_mnist`).

        Returns
        -------
        logits : float32 tensor of shape (N, 10)
            Unnormalised scores; softmax makes them probabilities.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        return self.layers(x)[-1]

    def layers(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Give what each step makes of the pictures, the logits last.

        Takes and raises what `forward` does. Shapes: (N, 6, 28, 28), (N, 6, 14, 14),
        (N, 16, 10, 10), (N, 16, 5, 5), (N, 120), (N, 84), (N, 10).
        """
        if x.ndim != 4 or x.shape[1:] != (1, 28, 28):
            raise ValueError(f"LeNet takes pictures of shape (N, 1, 28, 28), not {tuple(x.shape)}")
        maps1 = self.activation1(self.conv1(x))
        pooled1 = self.pool1(maps1)
        maps2 = self.activation2(self.conv2(pooled1))
        pooled2 = self.pool2(maps2)
        line1 = self.linear1(pooled2.flatten(1))  # 400 numbers in
        line2 = self.linear2(line1)
        return [maps1, pooled1, maps2, pooled2, line1, line2, self.linear3(line2)]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the calibrated probabilities of the ten digits.

        Parameters
        ----------
        logits : float tensor of shape (N, 10)
            As `forward` returns them.

        Returns
        -------
        probabilities : float tensor of shape (N, 10)
            softmax(logits / temperature), in [0, 1]; each row sums to 1 (Guo et al. 2017, "On
            Calibration of Modern Neural Networks", section 4.2). Of the dtype of `logits`.
        """
        return (logits / self.temperature).softmax(dim=1)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id,
        revision,
        cache_dir,
        force_download,
        local_files_only,
        token,
        map_location="cpu",
        **model_kwargs,
    ):
        # The mixin would read a pickle where there is no safetensors file, leave weights whose
        # names do not match at their random start, and do without a configuration. Here each
        # is an error.
        if missing := {"second_sigmoid", "temperature"} - model_kwargs.keys():
            raise ValueError(f"{model_id}: config.json lacks {' and '.join(sorted(missing))}")
        file = Path(model_id) / constants.SAFETENSORS_SINGLE_FILE
        if not file.is_file():
            file = hf_hub_download(
                repo_id=model_id,
                filename=constants.SAFETENSORS_SINGLE_FILE,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        weights = load_file(file, device=map_location)
        for name, tensor in weights.items():
            if tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise ValueError(f"{file}: {name} holds values that are not finite float32")
        model = cls(**model_kwargs).to(map_location)
        model.load_state_dict(weights, strict=True)
        return model.eval()


def load_model() -> tuple[LeNet, str]:
    """Load the weights that the page answers with: the Hub's, else cached ones, else `weights/`.

    The repository is LENET_REPO ("owner/name") or, in a Space, `$SPACE_AUTHOR_NAME/lenet-mnist`;
    the revision LENET_REVISION, else its main branch. A Hub that is slow, absent or serves a
    damaged file costs at most `HUB_PATIENCE` seconds and one line in the log.

    Returns
    -------
    model : LeNet
        In eval mode, on the CPU.
    source : str
        "owner/name@1a2b3c4" from the Hub, "cache" or "embedded".
    """
    repo_id, revision = _repository()
    if repo_id is None:
        return LeNet.from_pretrained(EMBEDDED_WEIGHTS), "embedded"

    hub_logging.set_verbosity_error()  # one line of ours instead of the client's line a retry
    try:
        return _within(HUB_PATIENCE, _from_hub, repo_id, revision)
    except Exception as error:  # whatever went wrong there, the page has to answer
        reason = str(error).partition("\n")[0] or f"no answer within {HUB_PATIENCE:g} s"
    try:
        model, source = _from_cache(repo_id, revision)
    except Exception:  # nothing there, or what is there cannot be used
        model, source = LeNet.from_pretrained(EMBEDDED_WEIGHTS), "embedded"
    log.warning("No weights from %s (%s); using those of: %s", repo_id, reason, source)
    return model, source


def load_accuracy(source: str) -> float | None:
    """Load how much of MNIST's test set the weights read right, from their run's metrics.json.

    Parameters
    ----------
    source : str
        As `load_model` has just given it.

    Returns
    -------
    accuracy : float or None
        In [0, 1]; None if the figure cannot be had within `HUB_PATIENCE` seconds.
    """
    try:
        file = EMBEDDED_WEIGHTS / "metrics.json"
        if source != "embedded":
            file = Path(_within(HUB_PATIENCE, _fetch_metrics, source == "cache"))
        return float(json.loads(file.read_text())["test_accuracy"])
    except Exception:  # weights may come without figures; they answer all the same
        return None


def _repository() -> tuple[str | None, str | None]:
    """Give the repository that the weights are to come from, and the revision, if one is set."""
    owner = os.environ.get("SPACE_AUTHOR_NAME")
    repo_id = os.environ.get("LENET_REPO") or (f"{owner}/lenet-mnist" if owner else None)
    return repo_id, os.environ.get("LENET_REVISION") or None


def _from_hub(repo_id: str, revision: str | None) -> tuple[LeNet, str]:
    api = HfApi()
    # Resolved once, so that the configuration and the weights are of one commit.
    commit = api.model_info(repo_id, revision=revision).sha
    try:
        model = LeNet.from_pretrained(repo_id, revision=commit)
    except Exception:  # perhaps of a file that was damaged in the cache: fetch it anew
        model = LeNet.from_pretrained(repo_id, revision=commit, force_download=True)
    # Only now may the cache call this commit `revision`: what it offers without the Hub was good.
    api.resolve_revision(repo_id, revision=revision)
    return model, f"{repo_id}@{commit[:7]}"


def _from_cache(repo_id: str, revision: str | None) -> tuple[LeNet, str]:
    commit = _cached_commit(repo_id, revision)
    return LeNet.from_pretrained(repo_id, revision=commit, local_files_only=True), "cache"


def _cached_commit(repo_id: str, revision: str | None) -> str:
    """Give the commit that the weights were last loaded of, even if there is a newer one by now."""
    return HfApi().resolve_revision(repo_id, revision=revision, local_files_only=True).resolved


def _fetch_metrics(local_files_only: bool) -> str:
    repo_id, revision = _repository()
    commit = _cached_commit(repo_id, revision)
    return hf_hub_download(
        repo_id, "metrics.json", revision=commit, local_files_only=local_files_only
    )


def _within(seconds: float, function, *args):
    """Give function(*args), or raise TimeoutError when it takes longer than `seconds`."""
    future = Future()

    def work():
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)

    # Not an executor: that would wait for its threads when the process ends.
    Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)
