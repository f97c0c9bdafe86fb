"""Load weights from the Hub, else from the local cache if they passed the checks, else `weights/`.

The environment names the repository (`configured_repo`). Without one, `weights/` is used.
"""

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Literal

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import logging as hub_logging

from lenet import LeNet
from reading.weight_checks import LimitedProgress, check_file_size, check_model, read_accuracy

EMBEDDED_WEIGHTS = Path(__file__).parent.parent / "weights"
HUB_TIMEOUT = 4.0  # seconds
REFRESH_INTERVAL = 600.0  # seconds between looks for a newer commit; `refresh` may look earlier

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A model, and the origin of its weights."""

    model: LeNet  # in eval mode, on the CPU
    origin: Literal["hub", "cache", "embedded"]
    repo_id: str | None  # "owner/name"; None for embedded weights
    commit: str | None  # the full id; None for embedded weights
    accuracy: float | None  # on MNIST's test set, in [0, 1]; None if unknown or not yet loaded
    loaded_at: datetime  # in UTC


def configured_repo() -> tuple[str | None, str | None]:
    """Return the repository and the revision that the environment names.

    Returns
    -------
    repo_id : str or None, $LENET_REPO, else $SPACE_AUTHOR_NAME/lenet-mnist; None for `weights/`
    revision : str or None, $LENET_REVISION; None for the main branch
    """
    owner = os.environ.get("SPACE_AUTHOR_NAME")
    repo_id = os.environ.get("LENET_REPO") or (f"{owner}/lenet-mnist" if owner else None)
    return repo_id, os.environ.get("LENET_REVISION") or None


def load_weights(
    repo_id: str | None, revision: str | None = None, timeout: float = HUB_TIMEOUT
) -> Weights:
    """Load weights from the Hub, else from the local cache, else from `weights/`; log a failure.

    Parameters
    ----------
    repo_id : str or None, "owner/name"; None for the weights in `weights/`
    revision : str, optional, a commit, tag or branch; the main branch by default
    timeout : float, seconds to wait for the Hub

    Returns
    -------
    weights : Weights, without their accuracy (see `load_accuracy`)
    """
    if repo_id is None:
        return _embedded()
    hub_logging.set_verbosity_error()  # the client would log each retry
    try:
        return _call_with_timeout(timeout, _from_hub, repo_id, revision)
    except RevisionNotFoundError:
        reason = f"it has no revision {revision or 'main'}"
    except Exception as error:  # the page must answer whatever goes wrong at the Hub
        reason = str(error).partition("\n")[0] or f"no answer within {timeout:g} s"
    try:
        weights = _from_cache(repo_id, revision)
    except Exception:  # the cache is empty or damaged
        weights = _embedded()
    log.warning("No weights from %s (%s). Using %s weights.", repo_id, reason, weights.origin)
    return weights


def load_accuracy(weights: Weights, timeout: float = HUB_TIMEOUT) -> float | None:
    """Load the test accuracy of weights, in [0, 1], from the metrics.json of the same commit.

    Returns None if the commit has none, or the Hub takes more than `timeout` seconds.
    """
    try:
        if weights.origin == "embedded":
            return read_accuracy(EMBEDDED_WEIGHTS / "metrics.json")
        file = _call_with_timeout(
            timeout,
            hf_hub_download,
            weights.repo_id,
            "metrics.json",
            revision=weights.commit,
            local_files_only=weights.origin == "cache",
            tqdm_class=LimitedProgress,
        )
        return read_accuracy(Path(file))
    except Exception:  # the page can do without an accuracy
        return None


def _embedded() -> Weights:
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    return Weights(model, "embedded", None, None, None, datetime.now(UTC))


def _from_hub(repo_id: str, revision: str | None) -> Weights:
    """Return a repository's weights, and note in the cache that their commit passed the checks."""
    # Resolved once, so that configuration, weights and metrics come from the same commit.
    commit = HfApi().model_info(repo_id, revision=revision).sha
    try:
        model = _load_model(repo_id, commit)
    except Exception:  # a file in the cache may be damaged, so download it again
        model = _load_model(repo_id, commit, force_download=True)
    file = _checked_commit_file(repo_id, revision)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(commit)
    unfinished.replace(file)
    return Weights(model, "hub", repo_id, commit, None, datetime.now(UTC))


def _from_cache(repo_id: str, revision: str | None) -> Weights:
    """Return the weights that last passed the checks."""
    commit = _checked_commit_file(repo_id, revision).read_text()
    model = _load_model(repo_id, commit, local_files_only=True)
    return Weights(model, "cache", repo_id, commit, None, datetime.now(UTC))


def _load_model(repo_id: str, commit: str, **options) -> LeNet:
    """Return a commit's model after checking the size of its files and its values."""
    for name in (constants.CONFIG_NAME, constants.SAFETENSORS_SINGLE_FILE):
        file = hf_hub_download(
            repo_id, name, revision=commit, tqdm_class=LimitedProgress, **options
        )
        check_file_size(Path(file))
    model = LeNet.from_pretrained(repo_id, revision=commit, local_files_only=True)
    check_model(model)
    return model


def _checked_commit_file(repo_id: str, revision: str | None) -> Path:
    """Return the file that names the last commit of a revision that passed the checks."""
    # The client's own refs name the last downloaded commit, which may have failed them.
    repo_folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    return Path(constants.HF_HUB_CACHE, repo_folder, "lenet-checked", revision or "main")


def _call_with_timeout(seconds: float, function: Callable, *args, **kwargs):
    """Call a function, or raise TimeoutError if it takes longer than `seconds`."""
    future = Future()

    def work():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    # A daemon thread, since an executor would wait for its threads when the process ends.
    Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)


class WeightsLoader:
    """Load weights in the background, and replace them by newer ones.

    Use it as a context manager, which starts and ends its thread. `repo_id` and `revision` are
    those of `load_weights`, `refresh_interval` is in seconds.
    """

    def __init__(
        self,
        repo_id: str | None,
        revision: str | None = None,
        refresh_interval: float = REFRESH_INTERVAL,
    ):
        self.repo_id = repo_id
        self.revision = revision
        self.refresh_interval = refresh_interval
        self._looked_at = time.monotonic()

    def __enter__(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="weights")
        self._loading = self._thread.submit(load_weights, self.repo_id, self.revision)
        self._measuring = self._thread.submit(self._add_accuracy)
        return self

    def __exit__(self, *_):
        self._thread.shutdown(wait=False, cancel_futures=True)

    def weights(self) -> Weights:
        """Return the weights in use, after waiting until the first ones are loaded."""
        return self._loading.result()

    def wait_for_accuracy(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the accuracy of the first weights."""
        wait([self._measuring], timeout)

    def refresh(self) -> None:
        """Load a newer commit in the background, unless `refresh_interval` has not yet passed.

        It looks earlier if another process has loaded another commit. If loading fails, the present
        weights stay in use.
        """
        if self.repo_id is None or not self._loading.done():
            return
        interval = self.refresh_interval
        with suppress(OSError):
            noted = _checked_commit_file(self.repo_id, self.revision).read_text()
            if noted != self.weights().commit:
                interval = min(interval, HUB_TIMEOUT)
        if time.monotonic() - self._looked_at >= interval:
            self._looked_at = time.monotonic()
            self._thread.submit(self._load_newer)

    def _load_newer(self) -> None:
        newer, present = load_weights(self.repo_id, self.revision), self.weights()
        if newer.origin == "hub" and (present.origin != "hub" or newer.commit != present.commit):
            self._set_weights(newer)

    def _add_accuracy(self) -> None:
        # After the weights, so that no answer waits for the accuracy.
        self._set_weights(self.weights())

    def _set_weights(self, weights: Weights) -> None:
        taken = Future()
        taken.set_result(replace(weights, accuracy=load_accuracy(weights)))
        self._loading = taken
