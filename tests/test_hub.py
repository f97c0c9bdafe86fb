"""Weights from the Hub, with its real client against the Hub of loopback_hub."""

import logging
import re
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import ROOT, serve_page
from gradio_client import Client, handle_file
from huggingface_hub import hf_hub_download
from loopback_hub import OWNER, disconnect, stall, status

from lenet import LeNet, load_model
from page import worker as answer

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
