"""Weights to the Hub and back, with the Hub's real client against the Hub of loopback_hub."""

import json
import logging
import os
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from conftest import ROOT
from loopback_hub import OWNER, READ_TOKEN

import train
from lenet import LeNet, load_model

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


def status(code):
    def fault(request):
        request.refuse(code)
        return True

    return fault


def stall(request):
    time.sleep(30)
    return True


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(truncated, id="truncated"),
        pytest.param(status(404), id="404"),
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


def test_weights_of_another_network_are_not_used(hub, pull):
    _, repo = pull
    hub.add(repo, {"model.safetensors": safetensors.torch.save({"weight": torch.zeros(3)})})
    _, source = load_model()
    assert source == "embedded"
