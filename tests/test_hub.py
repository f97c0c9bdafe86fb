"""Weights to the Hub and back, with the Hub's real client against the Hub of loopback_hub."""

import ast
import io
import json
import logging
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
import safetensors.torch
import torch
from conftest import ROOT, serve_page
from gradio_client import Client, handle_file
from huggingface_hub import ModelCard, hf_hub_download
from loopback_hub import OWNER, READ_TOKEN, WRITE_TOKEN

import train
from lenet import LeNet, load_model
from page import worker as answer
from training import hub as publish

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
    assert f'from_pretrained("{REPO}")' in commits[-1]["README.md"].decode()


def test_pushed_weights_come_back_bit_equal_in_a_fresh_process(hub, small_mnist, tmp_path):
    assert push(small_mnist, tmp_path, "--repo-id", f"{OWNER}/round-trip") == 0
    code = (
        "import sys; from lenet import load_model; model, source = load_model();"
        "model.save_pretrained(sys.argv[1]); print(source)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "pulled"],
        env={**os.environ, "LENET_REPO": f"{OWNER}/round-trip"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == f"{OWNER}/round-trip@{hub.head(f'{OWNER}/round-trip')[:7]}"
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
def test_what_cannot_be_pushed_is_said_before_the_training(
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
def test_a_hub_that_is_down_is_found_before_the_training(
    hub, small_mnist, tmp_path, monkeypatch, capsys, fault
):
    monkeypatch.setattr(publish, "TIMEOUT", 1)
    hub.fault = {"stalled": stall, "500": status(500), "refused": hub.fault}[fault]
    if fault == "refused":
        hub.stop()
    started = time.monotonic()
    try:
        assert push(small_mnist, tmp_path) == 2
    finally:
        if fault == "refused":
            hub.start()
    assert time.monotonic() - started < 10
    assert "cannot push" in capsys.readouterr().err


# Pushing a run that is over


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
    """Have the pauses between tries pass at once; give a list of them (s)."""
    passed = []
    monkeypatch.setattr(time, "sleep", passed.append)
    monkeypatch.setattr(publish, "TIMEOUT", 0.3)
    monkeypatch.setitem(publish.patiently.__kwdefaults__, "pauses", (1, 2))
    return passed


def push_only(folder, *arguments) -> int:
    return train.main(["--push-only", str(folder), *arguments])


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


def disconnect(request) -> bool:
    request.connection.shutdown(socket.SHUT_RDWR)
    request.close_connection = True
    return True


def committed_but_unanswered(request) -> bool:
    """Do what is asked, and be cut off before the answer."""
    answer, request.wfile = request.wfile, io.BytesIO()
    request.route()
    request.wfile = answer
    return disconnect(request)


def status(code, **headers):
    def fault(request):
        request.send(code, {"error": "refused"}, X_Error_Message="refused", **headers)
        return True

    return fault


def stall(request) -> bool:
    Event().wait(2 if request.command in ("POST", "PUT") else 30)
    return True


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
    kept = set(files) == set(publish.FILES)
    row = (step, fault, code, holds, "all five files" if kept else "LOST")
    record_property("failed push", row)
    assert WRITE_TOKEN not in output.err + output.out
    assert holds == ("new" if step.startswith("tag") else "old") and kept
    assert code == 1 and "Traceback" not in output.err
    if fault == "429":
        assert max(pauses) >= 7
    again = re.search(r"to send it again: python train.py (.*)", output.err)[1]
    hub.fault = lambda request: False
    assert train.main(shlex.split(again)) == 0
    assert hub.files_at(REPO, "main")[1] == new
    assert hub.tags[REPO, "v1"] == hub.head(REPO)


@pytest.mark.parametrize("fault", ["429", "500", "503", "disconnect", "stall"])
@pytest.mark.parametrize("step", STEPS)
def test_what_fails_in_passing_is_tried_again(hub, run, pauses, step, fault):
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


def test_the_card_says_what_the_run_found(hub, run):
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


# The README's command lines


def readme_command(start: str) -> str:
    """Give the README's command that starts so, of the maintainer."""
    lines = (ROOT / "README.md").read_text().splitlines()
    (command,) = [line for line in lines if line.startswith(start)]
    return command.replace("<you>", OWNER)


def shell(command: str, folder: Path) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}/bin:{bin_folder}:{os.environ['PATH']}"}
    process = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_space_is_published_by_one_line(hub, tmp_path):
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in tracked:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in (".venv/pip", "data/MNIST", "runs/demo/README.md"):  # as a clone in use has them
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not for the Space")
    shell(readme_command("hf repos create"), tmp_path)
    assert set(hub.commits[f"{OWNER}/lenet"][-1]) >= set(tracked) - {".gitignore"}
    assert b"not for the Space" not in hub.commits[f"{OWNER}/lenet"][-1].values()


def test_training_on_the_hubs_machines_pushes(hub, small_mnist, tmp_path):
    """The README's job is ordered, and what it orders is done here."""
    shell(readme_command("hf jobs run") + " --detach", tmp_path)
    (job,) = hub.jobs
    assert job["secrets"] == {"HF_TOKEN": WRITE_TOKEN} and job["flavor"] == "t4-small"
    (volume,) = job["volumes"]
    assert (volume["source"], volume["mountPath"]) == (f"{OWNER}/lenet", "/lenet")
    pip = tmp_path / "bin" / "pip"  # what it would install is here
    pip.parent.mkdir()
    pip.write_text("#!/bin/sh\n")
    pip.chmod(0o755)
    bash, c, command = job["command"]
    assert (bash, c) == ("bash", "-c")
    for there, here in (
        ("/tmp/mnist", small_mnist),
        ("/tmp/run", tmp_path / "run"),
        ("/lenet/", f"{ROOT}/"),
    ):
        assert there in command
        command = command.replace(there, str(here))
    shell(f"{command} --epochs 2", tmp_path)
    assert set(hub.commits[REPO][-1]) == set(publish.FILES)


# Pulling. Each test has a repository name of its own: the client's cache remembers names.


@pytest.fixture
def pull(hub, monkeypatch, tmp_path, request):
    """Put weights of their own on the Hub; give the weights and a function that loads them."""
    repo = f"{OWNER}/pull-{abs(hash(request.node.name))}"
    weights = LeNet()
    weights.save_pretrained(tmp_path)
    hub.add(repo, {file.name: file.read_bytes() for file in tmp_path.iterdir()})
    monkeypatch.setenv("LENET_REPO", repo)
    return weights, repo


def same(one, other) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_the_hubs_weights_come_first(hub, pull):
    weights, repo = pull
    model, source = load_model()
    assert source == f"{repo}@{hub.head(repo)[:7]}"
    assert same(model, weights) and not model.training


def test_a_spaces_owner_names_the_repository(hub, pull, monkeypatch):
    weights, repo = pull
    hub.commits["visitor/lenet-mnist"] = hub.commits.pop(repo)
    monkeypatch.delenv("LENET_REPO")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "visitor")
    model, source = load_model()
    assert source.startswith("visitor/lenet-mnist@") and same(model, weights)


def test_a_pinned_revision_is_the_one_that_answers(hub, pull, monkeypatch):
    weights, repo = pull
    pinned = hub.head(repo)
    hub.add(repo, {"model.safetensors": b"a later, broken one"})
    monkeypatch.setenv("LENET_REVISION", pinned)
    model, source = load_model()
    assert source == f"{repo}@{pinned[:7]}" and same(model, weights)


def test_the_cache_answers_when_the_hub_is_gone(hub, pull, caplog):
    weights, _ = pull
    load_model()
    hub.stop()
    try:
        with caplog.at_level(logging.WARNING, "lenet"):
            model, source = load_model()
    finally:
        hub.start()
    assert source == "cache" and same(model, weights)
    assert len(caplog.messages) == 1


def test_the_cache_keeps_offering_the_last_good_weights(hub, pull):
    """A damaged commit must not take the place of the good one that was cached before it."""
    weights, repo = pull
    load_model()
    hub.add(repo, {"model.safetensors": b"damaged"})
    model, source = load_model()
    assert source == "cache" and same(model, weights)


def truncated(request):
    """Half of the file, whose length was announced as whole."""
    if request.command == "GET" and request.path.endswith("model.safetensors"):
        request.send_response(200)
        request.send_header("Content-Length", "247584")
        request.end_headers()
        request.wfile.write(b"\0" * 1000)
        request.close_connection = True
        return True
    return False


def altered(request):
    """Another byte in the middle; nothing in the answer tells."""
    if request.command == "GET" and request.path.endswith("model.safetensors"):
        repo, revision = re.fullmatch(r"/(.+)/resolve/(\w+)/.*", request.path).groups()
        content = bytearray(request.hub.files_at(repo, revision)[1]["model.safetensors"])
        content[8:40] = bytes(32)
        request.send(200, bytes(content), X_Repo_Commit=revision, ETag='"altered"')
        return True
    return False


def without(name):
    def fault(request):
        return request.path.endswith(name) and status(404, X_Error_Code="EntryNotFound")(request)

    return fault


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(truncated, id="truncated"),
        pytest.param(altered, id="altered"),
        pytest.param(without("model.safetensors"), id="no weights"),
        pytest.param(without("config.json"), id="no configuration"),
        pytest.param(disconnect, id="disconnected"),
        pytest.param(status(401), id="401"),
        pytest.param(status(403, X_Error_Code="GatedRepo"), id="gated"),
        pytest.param(status(404, X_Error_Code="RepoNotFound"), id="404"),
        pytest.param(status(404, X_Error_Code="RevisionNotFound"), id="no such revision"),
        pytest.param(status(409), id="409"),
        pytest.param(status(429, Retry_After="60"), id="429"),
        pytest.param(status(500), id="500"),
        pytest.param(stall, id="stalled"),
        pytest.param(None, id="refused"),
    ],
)
def test_a_failing_hub_costs_seconds_and_one_line(hub, pull, caplog, fault):
    if fault:
        hub.fault = fault
    else:
        hub.stop()
    started = time.monotonic()
    try:
        with caplog.at_level(logging.WARNING):
            model, source = load_model()
    finally:
        if not fault:
            hub.start()
    assert time.monotonic() - started < 10
    assert source == "embedded"
    assert same(model, LeNet.from_pretrained(ROOT / "weights"))
    assert len(caplog.messages) == 1 and "embedded" in caplog.messages[0]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 247584, b"\xff" * 100], ids=["empty", "zeros", "noise"]
)
def test_a_damaged_file_is_not_used(hub, pull, content):
    _, repo = pull
    hub.add(repo, {"model.safetensors": content})
    _, source = load_model()
    assert source == "embedded"


@pytest.mark.parametrize(
    "config",
    [
        "{}",
        "no JSON",
        '{"second_sigmoid": "no", "temperature": 1.0}',
        '{"second_sigmoid": true, "temperature": "hot"}',
        '{"second_sigmoid": true, "temperature": -1}',
    ],
)
def test_a_configuration_that_does_not_fit_is_not_used(hub, pull, config):
    _, repo = pull
    hub.add(repo, {"config.json": config.encode()})
    _, source = load_model()
    assert source == "embedded"


def test_a_renamed_repository_is_found(hub, pull):
    weights, repo = pull
    new_name = f"{OWNER}/another-name"
    hub.commits[new_name] = hub.commits.pop(repo)
    hub.renamed[repo] = new_name
    model, source = load_model()
    assert source == f"{repo}@{hub.head(new_name)[:7]}" and same(model, weights)


def test_a_file_damaged_in_the_cache_is_fetched_anew(hub, pull):
    weights, repo = pull
    load_model()
    file = hf_hub_download(repo, "model.safetensors", revision=hub.head(repo))
    Path(file).resolve().write_bytes(b"half a file")
    model, source = load_model()
    assert "@" in source and same(model, weights)


def test_a_push_reaches_a_page_that_runs(hub, pull, monkeypatch):
    """When a visitor comes; and what comes later and is damaged does not."""
    _, repo = pull

    def visit():
        monkeypatch.setattr(answer, "checked", -answer.CHECK_EVERY)
        words = answer.provenance()
        answer.loader.submit(int).result()  # the look is over
        return words

    monkeypatch.setattr(answer, "loading", answer.loader.submit(answer.load))
    first = hub.head(repo)[:7]
    assert first in visit() and "UTC" in visit()
    newer = LeNet()
    hub.add(repo, {"model.safetensors": safetensors.torch.save(newer.state_dict())})
    second = hub.head(repo)[:7]
    assert first in visit()  # this visitor has it looked for …
    assert second in visit()  # … for the next
    assert same(answer.loading.result()[0], newer)
    hub.add(repo, {"model.safetensors": b"damaged"})
    visit()
    assert second in visit() and same(answer.loading.result()[0], newer)
    answer.provenance()
    assert second in answer.provenance()


def test_the_page_says_how_good_the_hubs_weights_are(hub, pull, monkeypatch):
    """From the Hub and, once they have been there, from the cache."""
    _, repo = pull
    hub.add(repo, {"metrics.json": b'{"test_accuracy": 0.8765}'})
    monkeypatch.setattr(answer, "loading", answer.loader.submit(answer.load))
    assert "87.65%" in answer.provenance() and repo in answer.provenance()
    hub.stop()
    try:
        monkeypatch.setattr(answer, "loading", answer.loader.submit(answer.load))
        assert "87.65%" in answer.provenance() and "cache" in answer.provenance()
    finally:
        hub.start()


@pytest.mark.parametrize("metrics", [None, b"no JSON", b"[]", b"{}", b'{"test_accuracy": "high"}'])
def test_weights_without_figures_answer_all_the_same(hub, pull, monkeypatch, metrics):
    _, repo = pull
    if metrics is not None:
        hub.add(repo, {"metrics.json": metrics})
    monkeypatch.setattr(answer, "loading", answer.loader.submit(answer.load))
    assert repo in answer.provenance() and "%" not in answer.provenance()


def test_a_stalled_hub_delays_the_first_answer_by_seconds_at_most(hub, pull, tmp_path):
    """Against a Hub that refuses at once, by the clock of a visitor."""

    def seconds_to_first_answer():
        started = time.monotonic()
        with serve_page(tmp_path / "log") as url:
            picture = handle_file(ROOT / "examples" / "digits" / "7-crossed.png")
            label, *_ = Client(url, verbose=False).predict(picture, api_name="/upload")
            assert label["label"] == "7"
            return time.monotonic() - started

    hub.stop()
    try:
        refused = seconds_to_first_answer()
    finally:
        hub.start()
    hub.fault = stall
    assert seconds_to_first_answer() - refused < 10


def test_weights_of_another_network_are_not_used(hub, pull):
    _, repo = pull
    hub.add(repo, {"model.safetensors": safetensors.torch.save({"weight": torch.zeros(3)})})
    _, source = load_model()
    assert source == "embedded"
