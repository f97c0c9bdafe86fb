"""Which weights are used: the Hub's, else checked ones of the local cache, else `weights/`.

The repository is LENET_REPO ("owner/name") or, in a Space, `$SPACE_AUTHOR_NAME/lenet-mnist`; the
revision LENET_REVISION, else its main branch. Without a repository, the embedded ones.
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
from reading.checks import LimitedProgress, check_file_size, check_model, read_accuracy

EMBEDDED_WEIGHTS = Path(__file__).parent.parent / "weights"
HUB_TIMEOUT = 4.0  # s that a load may wait for the Hub
REFRESH_INTERVAL = 600.0  # s, at least, between looks for a newer commit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A model, and where its weights come from.

    Attributes
    ----------
    model : LeNet
        In eval mode, on the CPU.
    origin : "hub", "cache" or "embedded"
    repo_id : str or None
        "owner/name"; None if the weights are the embedded ones.
    commit : str or None
        The full id of the commit that they were loaded from; None if they are embedded.
    accuracy : float or None
        On MNIST's test set, in [0, 1], by the same commit's metrics.json. None if that is not
        known, or not yet.
    loaded_at : datetime
        In UTC.
    """

    model: LeNet
    origin: Literal["hub", "cache", "embedded"]
    repo_id: str | None
    commit: str | None
    accuracy: float | None
    loaded_at: datetime


def configured_repo() -> tuple[str | None, str | None]:
    """Return the repository and the revision that the environment names.

    Returns
    -------
    repo_id : str or None
        None stands for the embedded weights.
    revision : str or None
        A commit, tag or branch; None stands for the main branch.
    """
    owner = os.environ.get("SPACE_AUTHOR_NAME")
    repo_id = os.environ.get("LENET_REPO") or (f"{owner}/lenet-mnist" if owner else None)
    return repo_id, os.environ.get("LENET_REVISION") or None


def load_weights(
    repo_id: str | None, revision: str | None = None, timeout: float = HUB_TIMEOUT
) -> Weights:
    """Load weights from the Hub, else the local cache, else the embedded ones.

    Parameters
    ----------
    repo_id : str or None
        "owner/name"; None loads the embedded weights.
    revision : str, optional
        A commit, tag or branch; the default is the main branch.
    timeout : float
        Seconds. A Hub that is slow, absent or serves a damaged file costs no more, and one line
        in the log.

    Returns
    -------
    weights : Weights
        Without their accuracy: see `load_accuracy`.
    """
    if repo_id is None:
        return _embedded()
    hub_logging.set_verbosity_error()  # one line of ours instead of the client's line a retry
    try:
        return _call_with_timeout(timeout, _from_hub, repo_id, revision)
    except RevisionNotFoundError:
        reason = f"it has no revision {revision or 'main'}"
    except Exception as error:  # whatever went wrong there, the page has to answer
        reason = str(error).partition("\n")[0] or f"no answer within {timeout:g} s"
    try:
        weights = _from_cache(repo_id, revision)
    except Exception:  # nothing there, or what is there cannot be used
        weights = _embedded()
    log.warning("No weights from %s (%s); using those of: %s", repo_id, reason, weights.origin)
    return weights


def load_accuracy(weights: Weights, timeout: float = HUB_TIMEOUT) -> float | None:
    """Load the test accuracy of weights from the metrics.json of the same commit.

    Parameters
    ----------
    weights : Weights
    timeout : float
        Seconds that the Hub may take.

    Returns
    -------
    accuracy : float or None
        In [0, 1]; None if the commit has no such figure, or it cannot be had in time.
    """
    try:
        if weights.origin == "embedded":
            file = EMBEDDED_WEIGHTS / "metrics.json"
        else:
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
    except Exception:  # weights may come without figures; they answer all the same
        return None


def _embedded() -> Weights:
    """Return the weights that come with the repository."""
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    return Weights(model, "embedded", None, None, None, datetime.now(UTC))


def _from_hub(repo_id: str, revision: str | None) -> Weights:
    """Return a repository's weights, and note in the cache that their commit is good."""
    # Resolved once, so that the configuration, the weights and the metrics are one commit's.
    commit = HfApi().model_info(repo_id, revision=revision).sha
    try:
        model = _load_model(repo_id, commit)
    except Exception:  # perhaps a file was damaged in the cache: fetch it anew
        model = _load_model(repo_id, commit, force_download=True)
    file = _checked_commit_file(repo_id, revision)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(commit)
    unfinished.replace(file)
    return Weights(model, "hub", repo_id, commit, None, datetime.now(UTC))


def _from_cache(repo_id: str, revision: str | None) -> Weights:
    """Return the weights that were last loaded from the Hub and fitted."""
    commit = _checked_commit_file(repo_id, revision).read_text()
    model = _load_model(repo_id, commit, local_files_only=True)
    return Weights(model, "cache", repo_id, commit, None, datetime.now(UTC))


def _load_model(repo_id: str, commit: str, **options) -> LeNet:
    """Return a commit's model, if its files are short and it passes the checks."""
    for name in (constants.CONFIG_NAME, constants.SAFETENSORS_SINGLE_FILE):
        file = hf_hub_download(
            repo_id, name, revision=commit, tqdm_class=LimitedProgress, **options
        )
        check_file_size(Path(file))
    model = LeNet.from_pretrained(repo_id, revision=commit, local_files_only=True)
    check_model(model)
    return model


def _checked_commit_file(repo_id: str, revision: str | None) -> Path:
    """Return the file that names the last commit of a revision that loaded and fitted.

    The client's own refs name the last commit that was downloaded, whether it fits or not.
    """
    repo_folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    return Path(constants.HF_HUB_CACHE, repo_folder, "lenet-checked", revision or "main")


def _call_with_timeout(seconds: float, function: Callable, *args, **kwargs):
    """Return function(*args, **kwargs), or raise TimeoutError if it takes longer."""
    future = Future()

    def work():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    # Not an executor: that would wait for its threads when the process ends.
    Thread(target=work, daemon=True).start()
    return future.result(timeout=seconds)


class WeightsLoader:
    """Load weights in the background, and replace them by newer ones.

    Use it as a context manager: its thread loads the weights, and ends with the context.

    Parameters
    ----------
    repo_id, revision : str or None
        As `load_weights` takes them.
    refresh_interval : float
        Seconds, at least, between looks for a newer commit.
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
        """Return the weights in use. The first call waits until they are loaded."""
        return self._loading.result()

    def wait_for_accuracy(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the accuracy of the weights that were loaded first."""
        wait([self._measuring], timeout)

    def refresh(self) -> None:
        """Load a newer commit in the background; until then the present weights are used.

        Does nothing within `refresh_interval` of the last look, unless another process has loaded
        another commit. A Hub that does not answer, or weights that do not fit, change nothing.
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
        """Load what the Hub has, and use it if it is another commit than the present one."""
        newer, present = load_weights(self.repo_id, self.revision), self.weights()
        if newer.origin == "hub" and (present.origin != "hub" or newer.commit != present.commit):
            self._set_weights(newer)

    def _add_accuracy(self) -> None:
        """Add the accuracy of the first weights. It comes after them: no answer waits for it."""
        self._set_weights(self.weights())

    def _set_weights(self, weights: Weights) -> None:
        """Use these weights, with their accuracy, from now on."""
        taken = Future()
        taken.set_result(replace(weights, accuracy=load_accuracy(weights)))
        self._loading = taken
