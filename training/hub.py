"""Push a run to the Hugging Face Hub."""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_session, get_token
from huggingface_hub.errors import (
    HFValidationError,
    LocalTokenNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx, validate_repo_id  # the HTTP library that it uses

from training.card import model_card
from training.run import RUN_FILES


@dataclass(frozen=True)
class Retry:
    """How long to wait for the Hub.

    Parameters
    ----------
    pauses : tuple of float
        Seconds between one try and the next; one try more than there are pauses.
    timeout : float
        Seconds without an answer after which a try has failed.
    """

    pauses: tuple[float, ...] = (1, 2, 4, 8, 16)
    timeout: float = 10


DEFAULT_RETRY = Retry()


def check_hub(
    repo_id: str | None,
    private: bool = False,
    tag: str | None = None,
    retry: Retry = DEFAULT_RETRY,
) -> str:
    """Raise unless weights can be pushed; make the repository if it is not there.

    Parameters
    ----------
    repo_id : str or None
        "owner/name"; None for "<user>/lenet-mnist", with the token's user.
    private : bool
        Whether a repository that has to be made is private.
    tag : str, optional
        That the push will give its commit.
    retry : Retry

    Returns
    -------
    repo_id : str

    Raises
    ------
    OSError
        If there is no token, it may not write there, or the Hub does not answer. The message
        says what to do and never holds the token.
    ValueError
        If the repository's name or the tag is not valid, the tag exists, or the token is damaged.
    """
    if repo_id and repo_id.count("/") != 1:
        raise ValueError(f"--repo-id is OWNER/NAME, not {repo_id!r}")
    if tag and not re.fullmatch(r"\w[\w.-]*", tag):
        raise ValueError(f"--tag is letters, digits, dots and dashes, not {tag!r}")
    if not re.fullmatch("[!-~]*", get_token() or ""):  # the client's own message would show it
        raise ValueError("the Hub's token holds characters that no token has: HF_TOKEN is damaged")
    once_again = replace(retry, pauses=retry.pauses[:1])
    try:
        if repo_id:
            validate_repo_id(repo_id)
        user = with_retries(once_again, HfApi().whoami)["name"]
        repo_id = repo_id or f"{user}/lenet-mnist"
        _make_writable(repo_id, private, once_again)
        tag_exists = tag and _commit_of(repo_id, tag, retry)
    except HFValidationError as error:
        raise ValueError(f"--repo-id {repo_id}: {_reason_of(error)}") from None
    except Exception as error:
        raise OSError(f"cannot push to {repo_id or 'the Hub'}: {_advice_on(error)}") from None
    if tag_exists:
        raise ValueError(f"{repo_id} has a tag {tag} already: name another with --tag")
    return repo_id


def push(folder: Path, repo_id: str, tag: str | None = None, retry: Retry = DEFAULT_RETRY) -> str:
    """Push a run's five files to the Hub in one commit.

    Transient errors (429, 5xx, a dropped connection) are retried. Files that are there already
    are not sent, and no commit is made if all of them are.

    Parameters
    ----------
    folder : Path
        Of a finished run. Its model card is rewritten to name the repository.
    repo_id : str
        "owner/name", as `check_hub` returns it.
    tag : str, optional
        To give the commit.
    retry : Retry

    Returns
    -------
    url : str
        The commit's.

    Raises
    ------
    OSError
        If the files could not be sent; the Hub then holds what it held before. Or if only the
        tag could not be given. The message is fit for the command line.
    """
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "README.md").write_text(str(model_card(metrics, repo_id)))
    message = f"Push a training run: {metrics['test_accuracy']:.2%} on MNIST's test set"
    try:
        commit = _commit_files(folder, repo_id, message, retry)
    except Exception as error:
        raise OSError(_reason_of(error)) from error
    if tag:
        try:
            # exist_ok: a try whose answer was lost may have made it.
            named = {"tag": tag, "revision": commit.oid, "exist_ok": True}
            with_retries(retry, HfApi().create_tag, repo_id, **named)
            tagged = _commit_of(repo_id, tag, retry)
        except Exception as error:
            raise OSError(f"the files are there, but not the tag: {_reason_of(error)}") from error
        if tagged != commit.oid:
            raise OSError(f"the files are there, but {tag} already names another commit")
    return commit.commit_url


def with_retries(retry: Retry, call: Callable, *arguments, **named):
    """Return call(*arguments, **named), calling again after each transient error.

    Parameters
    ----------
    retry : Retry
        A pause is longer where the Hub's Retry-After asks for it, up to 60 s.
    call : callable
        That uses the Hub's client.

    Raises
    ------
    Exception
        The last error, if it is not transient or there are no tries left.
    """
    for pause in (*retry.pauses, None):
        get_session().timeout = retry.timeout  # the client's default is none
        try:
            return call(*arguments, **named)
        except Exception as error:
            if pause is None or not is_transient(error):
                raise
            asked = getattr(_response_of(error), "headers", {}).get("Retry-After", "")
            pause = max(pause, min(int(asked), 60)) if asked.isdecimal() else pause
            print(f"{_reason_of(error)}; trying again in {pause} s", file=sys.stderr)
            time.sleep(pause)


def is_transient(error: BaseException | None) -> bool:
    """Return whether a request may succeed later: the Hub is busy, down or cut off.

    Parameters
    ----------
    error : BaseException or None
        Its causes count as well.

    Returns
    -------
    transient : bool
        True of the statuses 408, 429 and 5xx and of errors of the connection; False of a
        refusal (any other status) and of any other error.
    """
    if error is None:
        return False
    if response := _response_of(error):
        return response.status_code in (408, 429) or response.status_code >= 500
    lost = isinstance(error, (httpx.TransportError, ConnectionError))
    return lost or is_transient(error.__cause__)


def _make_writable(repo_id: str, private: bool, retry: Retry) -> None:
    """Make a repository if it is not there, and raise unless the token may write to it."""
    api = HfApi()
    with_retries(retry, api.create_repo, repo_id, private=private, exist_ok=True)
    with_retries(retry, api.auth_check, repo_id, write=True)  # create_repo is content with reading


def _commit_files(folder: Path, repo_id: str, message: str, retry: Retry):
    """Commit a run's files on top of the commit that is there now; return the CommitInfo."""
    api = HfApi()
    parent = with_retries(retry, api.model_info, repo_id, timeout=retry.timeout).sha

    def commit():
        # New operations for each try: the client modifies them. After a commit whose answer was
        # lost, the next try finds the files unchanged.
        files = [CommitOperationAdd(name, folder / name) for name in RUN_FILES]
        # Naming the parent makes the Hub refuse (412) if somebody has pushed in between.
        return api.create_commit(repo_id, files, commit_message=message, parent_commit=parent)

    return with_retries(retry, commit)


def _commit_of(repo_id: str, revision: str, retry: Retry) -> str | None:
    """Return the id of the commit that a tag or branch names, None if there is no such."""
    named = {"revision": revision, "timeout": retry.timeout}
    try:
        return with_retries(retry, HfApi().model_info, repo_id, **named).sha
    except RevisionNotFoundError:
        return None


def _response_of(error: BaseException | None):
    """Return the HTTP response that an error, or its cause, came from, or None."""
    while error and getattr(error, "response", None) is None:
        error = error.__cause__
    return error and error.response


def _reason_of(error: Exception) -> str:
    """Return the first two lines of the client's message: the status, and what it is about."""
    if getattr(_response_of(error), "status_code", None) == 412:
        return "somebody else has pushed there in the meantime"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") or type(error).__name__


def _advice_on(error: Exception) -> str:
    """Return why a check failed, and what to do."""
    missing = isinstance(error, LocalTokenNotFoundError)
    reason = "no token found" if missing else _reason_of(error)
    if is_transient(error):
        return (
            f"{reason}. Try again later, or train without --push and push the run with --push-only."
        )
    return (
        f"{reason}. `hf auth login`, or HF_TOKEN, gives a token; it must be allowed to write there."
    )
