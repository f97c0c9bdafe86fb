"""Pushing a run, with the Hub's real client against the Hub of loopback_hub."""

import ast
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import ModelCard
from loopback_hub import OWNER, READ_TOKEN, WRITE_TOKEN, disconnect, stall, status
from serving import ROOT

import train
from training.hub import Retry
from training.run import RUN_FILES

# huggingface_hub 2.4.0 uploads a file (lfs.py, `_upload_single_part`) by an argument that its
# HTTP library deprecates; nothing that we pass changes it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning:httpx2")

REPO = f"{OWNER}/lenet-mnist"


def push(small_mnist, folder, *arguments, **how):
    return train.main(
        ["--recipe", "paper", "--epochs", "1", "--device", "cpu", "--data-dir", str(small_mnist)]
        + ["--output-dir", str(folder), "--push", *arguments],
        **how,
    )


def test_a_push_is_one_commit_of_the_whole_folder(hub, small_mnist, tmp_path, capsys):
    assert push(small_mnist, tmp_path) == 0
    commits = hub.commits[REPO]
    assert len(commits) == 2  # the repository's first, empty one and this
    assert commits[-1] == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert f"{hub.url}/{REPO}/commit/{hub.head(REPO)}" in capsys.readouterr().out
    assert f'from_pretrained("{REPO}")' in commits[-1]["README.md"].decode()


def test_pushed_weights_come_back_bit_equal_in_a_fresh_process(hub, small_mnist, tmp_path):
    assert push(small_mnist, tmp_path, "--repo-id", f"{OWNER}/round-trip") == 0
    code = (
        "import sys; from reading.weights import *; weights = load_weights(*configured_repo());"
        "weights.model.save_pretrained(sys.argv[1]); print(weights.origin, weights.commit)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "pulled"],
        env={**os.environ, "LENET_REPO": f"{OWNER}/round-trip"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split() == ["hub", hub.head(f"{OWNER}/round-trip")]
    sent = safetensors.torch.load_file(tmp_path / "model.safetensors")
    pulled = safetensors.torch.load_file(tmp_path / "pulled" / "model.safetensors")
    assert sent.keys() == pulled.keys()
    assert all(torch.equal(sent[name], pulled[name]) for name in sent)


def test_private_only_when_asked_for(hub, small_mnist, tmp_path):
    asked = []

    def note(request):
        if request.path == "/api/repos/create":
            asked.append(json.loads(request.body).get("visibility"))
        return False

    hub.fault = note
    push(small_mnist, tmp_path, "--repo-id", f"{OWNER}/open")
    push(small_mnist, tmp_path, "--repo-id", f"{OWNER}/closed", "--private")
    assert asked[0] in (None, "public") and asked[1] == "private"


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


@pytest.mark.parametrize("fault", ["stalled", "refused", "500"])
def test_a_hub_that_is_down_is_found_before_the_training(hub, small_mnist, tmp_path, capsys, fault):
    hub.fault = {"stalled": stall, "500": status(500), "refused": hub.fault}[fault]
    if fault == "refused":
        hub.stop()
    started = time.monotonic()
    try:
        assert push(small_mnist, tmp_path, retry=Retry(timeout=1)) == 2
    finally:
        if fault == "refused":
            hub.start()
    assert time.monotonic() - started < 30
    assert "cannot push" in capsys.readouterr().err


# Pushing a finished run


@pytest.fixture(scope="module")
def finished_run(small_mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--recipe", "paper", "--epochs", "1", "--device", "cpu"]
    arguments += ["--data-dir", str(small_mnist), "--output-dir", str(folder)]
    assert train.main(arguments) == 0
    return folder


@pytest.fixture
def run(finished_run, tmp_path):
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


@pytest.fixture
def pauses(monkeypatch):
    """Have every pause end at once, ours and those of the Hub's client; return them (s)."""
    passed = []
    monkeypatch.setattr(time, "sleep", passed.append)
    return passed


QUICK = Retry(pauses=(1, 2), timeout=0.3)


def push_only(folder, *arguments, retry=QUICK) -> int:
    return train.main(["--push-only", str(folder), *arguments], retry=retry)


STEPS = {  # of a push, in the client's order
    "state": r"GET /api/models/[\w-]+/[\w-]+",
    "card": r"POST /api/validate-yaml",
    "plan": r"POST .*/preupload/main",
    "upload's place": r"POST .*/lfs/objects/batch",
    "upload": r"PUT /lfs/\w+",
    "upload's end": r"POST /lfs/\w+/verify",
    "commit": r"POST .*/commit/main",
    "tag": r"POST .*/tag/\w+",
    "tag's commit": r"GET /api/models/[\w-]+/[\w-]+/revision/v1",
}


def committed_but_unanswered(request) -> bool:
    """Do what is asked, and be cut off before the answer."""
    answer, request.wfile = request.wfile, io.BytesIO()
    request.route()
    request.wfile = answer
    return disconnect(request)


FAULTS = {
    "401": status(401),
    "403": status(403),
    "404": status(404, X_Error_Code="RepoNotFound"),
    "409": status(409),
    "412": status(412),
    "429": status(429, Retry_After="7"),
    "500": status(500),
    "503": status(503),
    "disconnect": disconnect,
    "stall": stall,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", STEPS)
def test_a_failed_push_leaves_the_old_or_the_new(
    hub, run, pauses, capsys, record_property, step, fault
):
    """And all of the run, and says how to send it again."""
    hub.add(REPO, {"model.safetensors": b"old", "notes.txt": b"not ours"})
    old = hub.files_at(REPO, "main")[1]

    def fail(request):
        asked = f"{request.command} {request.path}"
        return bool(re.fullmatch(STEPS[step], asked)) and FAULTS[fault](request)

    hub.fault = fail
    code = push_only(run, "--repo-id", REPO, "--tag", "v1")
    output = capsys.readouterr()
    files = {file.name: file.read_bytes() for file in run.iterdir()}
    new = {**old, **files}
    now = hub.files_at(REPO, "main")[1]
    holds = "old" if now == old else "new" if now == new else "a mixture"
    kept = set(files) == set(RUN_FILES)
    row = (step, fault, code, holds, "all five files" if kept else "LOST")
    record_property("failed push", row)
    assert WRITE_TOKEN not in output.err + output.out
    assert holds == ("new" if step.startswith("tag") else "old") and kept
    assert code == 1 and "Traceback" not in output.err
    if fault == "429":
        assert max(pauses) >= 7
    again = re.search(r"to send it again: python train.py (.*)", output.err)[1]
    hub.fault = lambda request: False
    assert train.main(shlex.split(again), retry=QUICK) == 0
    assert hub.files_at(REPO, "main")[1] == new
    assert hub.tags[REPO, "v1"] == hub.head(REPO)


@pytest.mark.parametrize("fault", ["429", "500", "503", "disconnect", "stall"])
@pytest.mark.parametrize("step", STEPS)
def test_a_transient_error_is_retried(hub, run, pauses, step, fault):
    hub.add(REPO, {})
    failures = []

    def fail_twice(request):
        asked = f"{request.command} {request.path}"
        if len(failures) == 2 or not re.fullmatch(STEPS[step], asked):
            return False
        failures.append(asked)
        return FAULTS[fault](request)

    hub.fault = fail_twice
    assert push_only(run, "--repo-id", REPO, "--tag", "v1") == 0
    assert len(failures) == 2
    assert len(hub.commits[REPO]) == 3  # the first, empty one, the test's and the push
    assert len(pauses) >= 2 and (fault == "429" or pauses == sorted(pauses))


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, run, pauses, capsys):
    lost = []

    def fault(request):
        if "/commit/" not in request.path or lost:
            return False
        lost.append(request.path)
        return committed_but_unanswered(request)

    hub.fault = fault
    assert push_only(run) == 0
    assert lost and len(hub.commits[REPO]) == 2
    assert hub.head(REPO) in capsys.readouterr().out


def test_the_same_run_pushed_twice_is_one_commit(hub, run):
    assert push_only(run) == push_only(run) == 0
    assert len(hub.commits[REPO]) == 2


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


def test_the_card_has_the_runs_metrics(hub, run):
    assert push_only(run) == 0
    card = ModelCard(hub.commits[REPO][-1]["README.md"].decode())
    metrics = json.loads((run / "metrics.json").read_text())
    data = card.data
    assert data.license == "mit" and data.to_dict()["library_name"] == "pytorch"
    assert (data.pipeline_tag, data.datasets) == ("image-classification", ["ylecun/mnist"])
    results = {result.metric_type: result.metric_value for result in data.eval_results}
    assert results == {
        "accuracy": metrics["test_accuracy"],
        "ece": metrics["test_calibration_error"],
    }
    for digit, row in enumerate(metrics["confusion"]):
        assert f"| **{digit}** | {' | '.join(str(n or '') for n in row)} |" in card.text
    assert sum(map(sum, metrics["confusion"])) == 297
    right = sum(row[digit] for digit, row in enumerate(metrics["confusion"]))
    assert right / 297 == pytest.approx(metrics["test_accuracy"])
    for file in re.findall(r"\]\((\w+\.png)\)", card.text):
        assert file in hub.commits[REPO][-1]


def test_the_cards_python_runs(hub, run, tmp_path):
    assert push_only(run) == 0
    card = hub.commits[REPO][-1]["README.md"].decode()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    shutil.copy(ROOT / "examples" / "digits" / "7-crossed.png", tmp_path / "digit.png")
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert list(ast.literal_eval(process.stdout)) == list(range(10))
