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
from training.run import RUN_FILES

REPO = f"{OWNER}/lenet-mnist"


def push(small_mnist, folder, *arguments):
    return train.main(
        ["--recipe", "paper", "--epochs", "1", "--device", "cpu", "--data-dir", str(small_mnist)]
        + ["--output-dir", str(folder), "--push", *arguments]
    )


def test_a_push_is_one_commit_of_the_whole_folder(hub, small_mnist, tmp_path, capsys):
    assert push(small_mnist, tmp_path) == 0
    commits = hub.commits[REPO]
    assert len(commits) == 2  # the repository's first, empty one and this
    assert commits[-1] == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert f"{hub.url}/{REPO}/commit/{hub.head(REPO)}" in capsys.readouterr().out
    assert hub.created[0].get("visibility") in (None, "public")
    assert f'from_pretrained("{REPO}")' in commits[-1]["README.md"].decode()


@pytest.mark.parametrize(
    "token", [None, "hf_wrong", READ_TOKEN], ids=["no", "a wrong", "a reading"]
)
def test_without_the_right_token_nothing_is_trained(
    hub, small_mnist, tmp_path, monkeypatch, capsys, token
):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.add(REPO, {})
    assert push(small_mnist, tmp_path) == 2
    output = capsys.readouterr()
    assert "hf auth login" in output.err
    assert "epoch" not in output.out and list(tmp_path.iterdir()) == []
    assert token is None or token not in output.err + output.out


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--repo-id", "no-owner"], "OWNER/NAME"),
        (["--repo-id", "maintainer/two words"], "--repo-id"),
        (["--repo-id", "somebody-else/lenet-mnist"], "cannot push to somebody-else/lenet-mnist"),
        (["--tag", "not a tag"], "--tag"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_the_training(
    hub, small_mnist, tmp_path, capsys, arguments, reason
):
    assert push(small_mnist, tmp_path, *arguments) == 2
    output = capsys.readouterr()
    assert reason in output.err and "epoch" not in output.out
    assert WRITE_TOKEN not in output.err and list(tmp_path.iterdir()) == []


def test_a_damaged_token_is_not_shown(hub, small_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_secret\x01part")
    assert push(small_mnist, tmp_path) == 2
    output = capsys.readouterr()
    assert "HF_TOKEN" in output.err and "secret" not in output.err + output.out


@pytest.mark.parametrize("fault", [stall, status(500)], ids=["stalled", "500"])
def test_a_hub_that_is_down_is_found_before_the_training(
    hub, small_mnist, tmp_path, capsys, monkeypatch, fault
):
    monkeypatch.setattr(training.hub, "TIMEOUT", 0.3)
    hub.fault = fault
    assert push(small_mnist, tmp_path) == 2
    output = capsys.readouterr()
    assert "cannot push" in output.err and "Try again later" in output.err
    assert "epoch" not in output.out


def test_a_proxy_that_cannot_be_used_is_named_not_the_token(
    hub, small_mnist, tmp_path, monkeypatch, capsys
):
    close_session()  # the client looks for proxies when it opens one
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@127.0.0.1:1080")
    assert push(small_mnist, tmp_path) == 2
    output = capsys.readouterr()
    assert "proxy in ALL_PROXY" in output.err and "SOCKS" in output.err
    assert "token" not in output.err and "secret" not in output.err and "epoch" not in output.out


# Pushing a finished run


@pytest.fixture(scope="module")
def finished_run(small_mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--recipe", "paper", "--epochs", "1", "--device", "cpu"]
    arguments += ["--data-dir", str(small_mnist), "--output-dir", str(folder)]
    assert train.main(arguments) == 0
    return folder


@pytest.fixture
def run(finished_run, tmp_path, monkeypatch):
    """A run's folder. Every pause ends at once, ours and those of the Hub's client."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def push_only(folder, *arguments) -> int:
    return train.main(["--push-only", str(folder), *arguments])


STEPS = {  # of a push, in the client's order
    "state": r"GET /api/models/[\w-]+/[\w-]+",
    "card": r"POST /api/validate-yaml",
    "plan": r"POST .*/preupload/main",
    "commit": r"POST .*/commit/main",
    "tag": r"POST .*/tag/\w+",
    "tag's commit": r"GET /api/models/[\w-]+/[\w-]+/revision/v1",
}


def at(step, fault, times=100):
    """Return a fault for a step of a push, and the list of the requests that meet it."""
    met = []

    def fail(request):
        asked = f"{request.command} {request.path}"
        if not re.fullmatch(STEPS[step], asked) or len(met) == times:
            return False
        met.append(asked)
        return fault(request)

    return fail, met


@pytest.mark.parametrize(
    "step, fault, tries",
    [
        ("state", status(404, X_Error_Code="RepoNotFound"), 1),
        ("plan", status(403), 1),
        ("commit", status(401), 1),
        ("commit", status(409), 1),
        ("tag", status(403), 1),
        # What the client doesn't retry is retried here.
        ("state", status(503), 5),
        ("card", status(500), 5),
        ("commit", status(429), 5),
        ("commit", disconnect, 5),
        ("tag", status(500), 5),
        # What it retries is not retried once more.
        ("plan", status(503), 6),
    ],
)
def test_a_failed_push_leaves_the_old_or_the_new(hub, run, capsys, step, fault, tries):
    """And all of the run, and says how to send it again."""
    hub.add(REPO, {"model.safetensors": b"old", "notes.txt": b"not ours"})
    old = hub.files_at(REPO, "main")[1]
    hub.fault, met = at(step, fault)
    assert push_only(run, "--repo-id", REPO, "--tag", "v1") == 1
    output = capsys.readouterr()
    assert len(met) == tries
    files = {file.name: file.read_bytes() for file in run.iterdir()}
    assert set(files) == set(RUN_FILES)
    assert hub.files_at(REPO, "main")[1] == ({**old, **files} if step == "tag" else old)
    assert WRITE_TOKEN not in output.err + output.out
    again = re.search(r"To push it again, run: python train.py (.*)", output.err)[1]
    hub.fault = lambda request: False
    assert train.main(shlex.split(again)) == 0
    assert hub.files_at(REPO, "main")[1] == {**old, **files}
    assert hub.tags[REPO, "v1"] == hub.head(REPO)


@pytest.mark.parametrize("step", ["state", "card", "commit", "tag", "tag's commit"])
def test_a_transient_error_is_retried(hub, run, step):
    hub.add(REPO, {})
    hub.fault, met = at(step, status(503), times=2)
    assert push_only(run, "--repo-id", REPO, "--tag", "v1") == 0
    assert len(met) == 2
    assert len(hub.commits[REPO]) == 3  # the first, empty one, the test's and the push


def committed_but_unanswered(request) -> bool:
    """Do what is asked, and be cut off before the answer."""
    answer, request.wfile = request.wfile, io.BytesIO()
    request.route()
    request.wfile = answer
    return disconnect(request)


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, run, capsys):
    hub.fault, met = at("commit", committed_but_unanswered, times=1)
    assert push_only(run) == 0
    assert met and len(hub.commits[REPO]) == 2
    assert hub.head(REPO) in capsys.readouterr().out


def test_the_same_run_pushed_twice_is_one_commit_and_private_if_asked_for(hub, run):
    assert push_only(run, "--private") == push_only(run) == 0
    assert len(hub.commits[REPO]) == 2 and hub.created[0]["visibility"] == "private"


def test_somebody_elses_push_meanwhile_is_not_overwritten(hub, run, capsys):
    hub.add(REPO, {})

    def fault(request):
        if "/preupload/" in request.path:
            hub.add(REPO, {"model.safetensors": b"theirs"})
        return False

    hub.fault = fault
    assert push_only(run) == 1
    assert hub.commits[REPO][-1] == {"model.safetensors": b"theirs"}
    assert "somebody else" in capsys.readouterr().err


def test_a_tag_is_given_once(hub, run, small_mnist, tmp_path, capsys):
    assert push_only(run, "--tag", "v1.2") == 0
    tagged = hub.head(REPO)
    assert hub.tags == {(REPO, "v1.2"): tagged}
    assert push_only(run, "--tag", "v1.2") == 0  # the same files: nothing to do
    assert push(small_mnist, tmp_path / "later", "--tag", "v1.2") == 2
    output = capsys.readouterr()
    assert "v1.2" in output.err and "epoch" not in output.out
    (run / "curves.png").write_bytes(b"another")
    assert push_only(run, "--tag", "v1.2") == 1
    assert "another commit" in capsys.readouterr().err
    assert hub.tags == {(REPO, "v1.2"): tagged}


def test_a_folder_without_a_run_is_not_pushed(hub, run, capsys):
    (run / "curves.png").unlink()
    assert push_only(run) == 2
    assert "curves.png" in capsys.readouterr().err
    assert push_only(run / "nowhere") == 2
    assert hub.commits == {}


def test_the_cards_python_runs(hub, run, tmp_path, monkeypatch, capsys):
    assert push_only(run) == 0
    card = hub.commits[REPO][-1]["README.md"].decode()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    shutil.copy(ROOT / "examples" / "digits" / "7-crossed.png", tmp_path / "digit.png")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(code, {})
    assert list(ast.literal_eval(capsys.readouterr().out)) == list(range(10))
