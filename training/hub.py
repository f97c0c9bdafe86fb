"""Push a run to the Hugging Face Hub."""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_session, get_token
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import httpx, validate_repo_id  # huggingface_hub's HTTP library

from training.card import model_card
from training.run import RUN_FILES

TIMEOUT = 10  # seconds to wait for an answer; the client's default is no limit
PAUSES = (1, 2, 4, 8)  # seconds between tries of a request
UNRETRIED = re.compile("/api/(?!.*/preupload/)")  # requests that the client itself doesn't retry


def prepare_repo(repo_id: str | None, private: bool = False, tag: str | None = None) -> str:
    """Check that a run can be pushed, and create the repository if it's missing.

    Parameters
    ----------
    repo_id : str or None, "owner/name"; None for the token's "<user>/lenet-mnist"
    private : bool, whether a new repository is private
    tag : str, optional, the tag that the push will add

    Returns
    -------
    repo_id : str

    Raises
    ------
    OSError
        If there is no token with write access, or the Hub doesn't answer.
    ValueError
        If the name, the tag or the token is malformed, or the tag exists.
    """
    if repo_id and repo_id.count("/") != 1:
        raise ValueError(f"--repo-id must be OWNER/NAME, not {repo_id!r}")
    if tag and not re.fullmatch(r"\w[\w.-]*", tag):
        raise ValueError(f"--tag {tag!r}: use letters, digits, '.' and '-'; no '.' or '-' first")
    if not re.fullmatch("[!-~]*", get_token() or ""):  # the client's error would show the token
        raise ValueError("the Hub token has characters that no token has. Check HF_TOKEN.")
    api = _client()
    try:
        if repo_id:
            validate_repo_id(repo_id)
        repo_id = repo_id or f"{api.whoami()['name']}/lenet-mnist"
        api.create_repo(repo_id, private=private, exist_ok=True)
        api.auth_check(repo_id, write=True)  # create_repo accepts a token that can only read
        tag_exists = tag and _commit_of(repo_id, tag)
    except HFValidationError as error:
        raise ValueError(f"--repo-id {repo_id}: {_reason_of(error)}") from None
    except Exception as error:
        raise OSError(f"cannot push to {repo_id or 'the Hub'}: {_advice_on(error)}") from None
    if tag_exists:
        raise ValueError(f"{repo_id} already has the tag {tag}. Name another with --tag.")
    return repo_id


def push(folder: Path, repo_id: str, tag: str | None = None) -> str:
    """Push a run's five files to the Hub in one commit, or in none if nothing changed.

    Parameters
    ----------
    folder : Path, a finished run; its model card is rewritten to name the repository
    repo_id : str, as `prepare_repo` returns it
    tag : str, optional, for the commit

    Returns
    -------
    url : str, the commit's

    Raises
    ------
    OSError
        If the push fails. Then the Hub is unchanged, or lacks only the tag.
    """
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "README.md").write_text(str(model_card(metrics, repo_id)))
    message = f"Push a training run: {metrics['test_accuracy']:.2%} on MNIST's test set"
    try:
        commit = _commit_files(folder, repo_id, message)
    except Exception as error:
        raise OSError(_reason_of(error)) from error
    if tag:
        try:
            # A try may have created the tag although its answer was lost.
            named = {"tag": tag, "revision": commit.oid, "exist_ok": True}
            _with_retries(_client().create_tag, repo_id, **named)
            tagged = _commit_of(repo_id, tag)
        except Exception as error:
            raise OSError(f"the files were pushed, but not the tag: {_reason_of(error)}") from error
        if tagged != commit.oid:
            raise OSError(f"the files were pushed, but the tag {tag} already names another commit")
    return commit.commit_url


def _client() -> HfApi:
    """Return the Hub's client, with a timeout; raise OSError if it can't use the proxy."""
    try:
        get_session().timeout = TIMEOUT
    except (ImportError, ValueError) as error:
        proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
        raise OSError(
            f"cannot use the proxy in {' or '.join(proxies)} ({_reason_of(error)}). "
            "Unset it, or name an http:// proxy."
        ) from None
    return HfApi()


def _with_retries(call: Callable, *arguments, **named):
    """Return call(*arguments, **named); repeat transient errors that the client doesn't retry."""
    for pause in PAUSES:
        try:
            return call(*arguments, **named)
        except httpx.HTTPError as error:
            source = getattr(error, "response", None) or error
            if not _is_transient(error) or not UNRETRIED.match(source.request.url.path):
                raise
            print(f"{_reason_of(error)}. Trying again in {pause} s.", file=sys.stderr)
            time.sleep(pause)
    return call(*arguments, **named)


def _is_transient(error: BaseException) -> bool:
    """Return whether the request may succeed later: the Hub is busy, down or cut off."""
    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in (408, 429) or response.status_code >= 500
    return isinstance(error, (httpx.TransportError, ConnectionError))


def _commit_files(folder: Path, repo_id: str, message: str):
    """Commit a run's files on top of the current commit; return the CommitInfo."""
    parent = _commit_of(repo_id)

    def commit():
        # The client modifies operations, so each try needs new ones.
        files = [CommitOperationAdd(name, folder / name) for name in RUN_FILES]
        # With the parent named, the Hub answers 412 if somebody else pushed meanwhile.
        options = {"commit_message": message, "parent_commit": parent}
        return _client().create_commit(repo_id, files, **options)

    return _with_retries(commit)


def _commit_of(repo_id: str, revision: str | None = None) -> str | None:
    """Return the commit id of a revision, or None if there is no such revision."""
    named = {"revision": revision, "timeout": TIMEOUT}  # model_info ignores the session's
    try:
        return _with_retries(_client().model_info, repo_id, **named).sha
    except RevisionNotFoundError:
        return None


def _reason_of(error: Exception) -> str:
    """Return the first two lines of the client's message: the status and its subject."""
    if getattr(getattr(error, "response", None), "status_code", None) == 412:
        return "somebody else pushed there at the same time"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]).rstrip(".") or type(error).__name__


def _advice_on(error: Exception) -> str:
    """Return why a check failed, and what to do."""
    missing = isinstance(error, LocalTokenNotFoundError)
    reason = "no token found" if missing else _reason_of(error)
    if _is_transient(error):
        then = "Try again later, or train without --push and use --push-only later."
    else:
        then = "Run `hf auth login`, or set HF_TOKEN, with a token that can write there."
    return f"{reason}. {then}"
