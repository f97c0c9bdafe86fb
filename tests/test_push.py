"""Pushing a run, with the Hub's real client against the Hub of loopback_hub."""

import ast
import io
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest
from huggingface_hub import close_session
from loopback_hub import OWNER, READ_TOKEN, WRITE_TOKEN, disconnect, stall, status
from serving import ROOT

import train
import training.hub
from training.run import CHECKPOINT

REPO = f"{OWNER}/lenet-mnist"


def train_one_epoch(data, folder, *arguments) -> int:
    paths = ["--data-dir", str(data), "--output-dir", str(folder)]
    return train.main(["--recipe=paper", "--epochs=1", "--device=cpu", *paths, *arguments])


def push_only(folder, *arguments) -> int:
    return train.main(["--push-only", str(folder), *arguments])


@pytest.fixture(scope="module")
def finished_run(small_mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert train_one_epoch(small_mnist, folder) == 0
    return folder


@pytest.fixture
def run(finished_run, tmp_path, monkeypatch):
    """A run's folder. Every pause ends at once, ours and those of the Hub's client."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def test_a_push_is_one_commit_of_a_run_whose_cards_python_runs(
    hub, small_mnist, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    assert train_one_epoch(small_mnist, folder, "--push", "--private") == 0
    assert push_only(folder) == 0  # the same files: nothing to do
    commits = hub.commits[REPO]
    assert len(commits) == 2  # the repository's first, empty one and this
    assert commits[-1] == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert hub.created[0]["visibility"] == "private"
    assert f"{hub.url}/{REPO}/commit/{hub.head(REPO)}" in capsys.readouterr().out

    code = re.search(r"```python\n(.*?)```", commits[-1]["README.md"].decode(), re.DOTALL)[1]
    assert f'from_pretrained("{REPO}")' in code
    shutil.copy(ROOT / "examples" / "digits" / "7-crossed.png", tmp_path / "digit.png")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert list(ast.literal_eval(capsys.readouterr().out)) == list(range(10))


@pytest.mark.parametrize(
    "environment, arguments, reason",
    [
        ({"HF_TOKEN": ""}, [], "hf auth login"),
        ({"HF_TOKEN": READ_TOKEN}, [], "hf auth login"),
        ({"HF_TOKEN": "hf_secret\x01part"}, [], "Check HF_TOKEN"),
        ({"ALL_PROXY": "socks5://me:secret@127.0.0.1:1080"}, [], "the proxy in ALL_PROXY"),
        ({}, ["--repo-id", "no-owner"], "OWNER/NAME"),
        ({}, ["--repo-id", "somebody-else/lenet-mnist"], "cannot push to somebody-else"),
        ({}, ["--tag", "not a tag"], "--tag"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_the_training(
    hub, small_mnist, tmp_path, monkeypatch, capsys, environment, arguments, reason
):
    hub.add(REPO, {})
    close_session()  # the client looks for proxies when it opens one
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert train_one_epoch(small_mnist, tmp_path, "--push", *arguments) == 2
    output = capsys.readouterr()
    assert reason in output.err and "epoch" not in output.out
    assert not re.search("secret|hf_[wr]", output.err + output.out)
    assert list(tmp_path.iterdir()) == []


# The requests of a push, in the client's order: the end or a part of their paths.
STATE, PLAN, COMMIT, TAG = f"/models/{REPO}$", "/preupload/", "/commit/", "/tag/"


def fail_at(hub, step, fault, times=100):
    """Have a step of a push fail; return the list of the requests that do."""
    failed = []

    def fail(request):
        if not re.search(step, request.path) or len(failed) == times:
            return False
        failed.append(request.path)
        return fault(request)

    hub.fault = fail
    return failed


@pytest.mark.parametrize(
    "step, fault",
    [(PLAN, status(403)), (COMMIT, status(409)), (COMMIT, disconnect), (TAG, status(500))],
)
def test_a_failed_push_leaves_the_old_or_the_new(hub, run, capsys, step, fault):
    hub.add(REPO, {"model.safetensors": b"old", "notes.txt": b"not ours"})
    old = hub.files_at(REPO, "main")[1]
    fail_at(hub, step, fault)
    assert push_only(run, "--repo-id", REPO, "--tag", "v1") == 1
    output = capsys.readouterr()
    new = {**old, **{file.name: file.read_bytes() for file in run.iterdir()}}
    assert hub.files_at(REPO, "main")[1] == (new if step == TAG else old)
    assert WRITE_TOKEN not in output.err + output.out
    again = re.search(r"To push it again, run: python train.py (.*)", output.err)[1]
    hub.fault = lambda request: False
    assert train.main(shlex.split(again)) == 0
    assert hub.files_at(REPO, "main")[1] == new
    assert hub.tags[REPO, "v1"] == hub.head(REPO)


def committed_but_unanswered(request) -> bool:
    answer, request.wfile = request.wfile, io.BytesIO()
    request.route()
    request.wfile = answer
    return disconnect(request)


@pytest.mark.parametrize(
    "step, fault",
    [(step, status(503)) for step in (STATE, COMMIT, TAG)]
    + [(COMMIT, committed_but_unanswered), (COMMIT, stall)],
)
def test_a_transient_error_is_retried(hub, run, monkeypatch, step, fault):
    monkeypatch.setattr(training.hub, "TIMEOUT", 2)
    hub.add(REPO, {})
    failed = fail_at(hub, step, fault, times=1)
    assert push_only(run, "--repo-id", REPO, "--tag", "v1") == 0
    assert len(failed) == 1
    assert len(hub.commits[REPO]) == 3  # the first, empty one, the test's and the push


def test_somebody_elses_push_meanwhile_is_not_overwritten(hub, run, capsys):
    hub.add(REPO, {})
    theirs = {"model.safetensors": b"theirs"}
    fail_at(hub, PLAN, lambda request: not hub.add(REPO, theirs), times=1)
    assert push_only(run) == 1
    assert hub.commits[REPO][-1] == theirs
    assert "somebody else" in capsys.readouterr().err


def test_a_tag_is_given_once(hub, run, small_mnist, tmp_path, capsys):
    assert push_only(run, "--tag", "v1.2") == push_only(run, "--tag", "v1.2") == 0
    tagged = {(REPO, "v1.2"): hub.head(REPO)}
    assert hub.tags == tagged
    assert train_one_epoch(small_mnist, tmp_path / "later", "--push", "--tag", "v1.2") == 2
    output = capsys.readouterr()
    assert "already has the tag v1.2" in output.err and "epoch" not in output.out
    (run / "curves.png").write_bytes(b"another")
    assert push_only(run, "--tag", "v1.2") == 1
    assert "another commit" in capsys.readouterr().err and hub.tags == tagged


def test_a_folder_without_a_finished_run_is_not_pushed(hub, run, capsys):
    (run / CHECKPOINT).touch()
    assert push_only(run) == 2
    assert "interrupted run" in capsys.readouterr().err and hub.commits == {}
    (run / CHECKPOINT).unlink()
    (run / "curves.png").unlink()
    assert push_only(run) == 2
    assert "curves.png" in capsys.readouterr().err and hub.commits == {}
