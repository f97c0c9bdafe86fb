"""Which weights answer, with the Hub's real client against the Hub of loopback_hub.

Each test has a repository of its own: the client's cache remembers names.
"""

import json
import logging
import re
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from loopback_hub import OWNER, disconnect, status

from lenet import LeNet
from page.worker import describe_weights
from reading.weights import (
    EMBEDDED_WEIGHTS,
    HUB_TIMEOUT,
    Weights,
    WeightsLoader,
    configured_repo,
    load_accuracy,
    load_weights,
)


@pytest.fixture
def pull(hub, monkeypatch, tmp_path, request):
    """A model on the Hub, and its repository, which the environment names."""
    repo = f"{OWNER}/pull-{abs(hash(request.node.name))}"
    model = LeNet()
    model.save_pretrained(tmp_path)
    hub.add(repo, {file.name: file.read_bytes() for file in tmp_path.iterdir()})
    monkeypatch.setenv("LENET_REPO", repo)
    return model, repo


def load(timeout: float = HUB_TIMEOUT) -> Weights:
    """Load what the environment names, as the page does."""
    return load_weights(*configured_repo(), timeout)


@contextmanager
def stopped(hub):
    """Within the context, connections to the Hub are refused."""
    hub.stop()
    try:
        yield
    finally:
        hub.start()


def same(one, other) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def as_file(model: LeNet) -> dict[str, bytes]:
    return {"model.safetensors": safetensors.torch.save(model.state_dict())}


def accuracy(value) -> dict[str, bytes]:
    return {"metrics.json": json.dumps({"test_accuracy": value}).encode()}


# Where from


def test_the_embedded_weights_answer_when_no_repository_is_named():
    weights = load()
    assert (weights.origin, weights.repo_id, weights.commit) == ("embedded", None, None)
    assert not weights.model.training
    metrics = json.loads((EMBEDDED_WEIGHTS / "metrics.json").read_text())
    assert load_accuracy(weights) == metrics["test_accuracy"]


def test_the_hubs_weights_come_first(hub, pull):
    model, repo = pull
    weights = load()
    assert (weights.origin, weights.repo_id, weights.commit) == ("hub", repo, hub.head(repo))
    assert same(weights.model, model) and not weights.model.training


def test_a_spaces_owner_names_the_repository(hub, pull, monkeypatch):
    _, repo = pull
    hub.commits["visitor/lenet-mnist"] = hub.commits.pop(repo)
    monkeypatch.delenv("LENET_REPO")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "visitor")
    weights = load()
    assert weights.repo_id == "visitor/lenet-mnist" and weights.origin == "hub"


def test_a_pinned_revision_is_the_one_that_answers(hub, pull, monkeypatch, caplog):
    model, repo = pull
    pinned = hub.head(repo)
    hub.add(repo, {"model.safetensors": b"a later, broken one"})
    monkeypatch.setenv("LENET_REVISION", pinned)
    weights = load()
    assert weights.commit == pinned and same(weights.model, model)
    monkeypatch.setenv("LENET_REVISION", "v7")
    assert load().origin == "embedded"
    assert f"No weights from {repo} (it has no revision v7)" in caplog.text


def test_a_renamed_repository_is_found(hub, pull):
    _, repo = pull
    new_name = f"{OWNER}/another-name"
    hub.commits[new_name] = hub.commits.pop(repo)
    hub.renamed[repo] = new_name
    assert load().commit == hub.head(new_name)


# The cache


def test_the_cache_answers_when_the_hub_is_gone(hub, pull, caplog):
    model, repo = pull
    load()
    with stopped(hub), caplog.at_level(logging.WARNING, "reading.weights"):
        weights = load()
    assert (weights.origin, weights.commit) == ("cache", hub.head(repo))
    assert same(weights.model, model) and len(caplog.messages) == 1


def test_the_cache_keeps_offering_the_last_good_weights(hub, pull):
    """A damaged commit must not take the place of the good one that was cached before it."""
    model, repo = pull
    load()
    good = hub.head(repo)
    hub.add(repo, {"model.safetensors": b"damaged"})
    weights = load()
    assert (weights.origin, weights.commit) == ("cache", good) and same(weights.model, model)


def test_the_cache_never_names_a_commit_that_was_not_checked(hub, pull):
    """Somebody pushes damaged weights while the good ones before them are being loaded."""
    model, repo = pull
    good = hub.head(repo)

    def push_meanwhile(request):
        if request.command == "GET" and request.path.endswith("model.safetensors"):
            hub.fault = lambda request: False
            hub.add(repo, {"model.safetensors": b"damaged"})
        return False

    hub.fault = push_meanwhile
    assert load().commit == good != hub.head(repo)
    with stopped(hub):
        weights = load()
    assert (weights.origin, weights.commit) == ("cache", good) and same(weights.model, model)


def test_a_file_damaged_in_the_cache_is_fetched_anew(hub, pull):
    model, repo = pull
    load()
    file = hf_hub_download(repo, "model.safetensors", revision=hub.head(repo))
    Path(file).resolve().write_bytes(b"half a file")
    weights = load()
    assert weights.origin == "hub" and same(weights.model, model)


# What is not used


def truncated(request):
    """Send half of the file, whose length was announced as whole."""
    if request.command == "GET" and request.path.endswith("model.safetensors"):
        request.send_response(200)
        request.send_header("Content-Length", "247584")
        request.end_headers()
        request.wfile.write(b"\0" * 1000)
        request.close_connection = True
        return True
    return False


def altered(request):
    """Send other bytes in the middle; nothing in the answer tells."""
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
        pytest.param(status(429, Retry_After="60"), id="429"),
        pytest.param(status(500), id="500"),
    ],
)
def test_a_failing_hub_costs_one_line(hub, pull, caplog, fault):
    hub.fault = fault
    with caplog.at_level(logging.WARNING):
        weights = load()
    assert weights.origin == "embedded"
    assert same(weights.model, LeNet.from_pretrained(EMBEDDED_WEIGHTS))
    assert len(caplog.messages) == 1 and "embedded" in caplog.messages[0]


def test_a_stalled_hub_is_not_waited_for(hub, pull):
    answered = Event()
    hub.fault = lambda request: answered.wait(60)
    try:
        assert load(timeout=0.2).origin == "embedded"
        assert not answered.is_set() and HUB_TIMEOUT <= 5
    finally:
        answered.set()


@pytest.mark.parametrize(
    "name, content",
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\0" * 247584),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", safetensors.torch.save({"weight": torch.zeros(3)})),
        ("config.json", b"{}"),
        ("config.json", b"no JSON"),
        ("config.json", b'{"second_sigmoid": "no", "temperature": 1.0}'),
        ("config.json", b'{"second_sigmoid": true, "temperature": "hot"}'),
        ("config.json", b'{"second_sigmoid": true, "temperature": -1}'),
    ],
)
def test_a_file_that_does_not_fit_is_not_used(hub, pull, name, content):
    _, repo = pull
    hub.add(repo, {name: content})
    assert load().origin == "embedded"


# The page's loader, and what the page says


def loader(**settings) -> WeightsLoader:
    return WeightsLoader(*configured_repo(), **settings)


def describe_once(words: str, weights: WeightsLoader) -> str:
    """Describe the weights, visit for visit, until these words are there."""
    deadline = time.monotonic() + 60
    while words not in (said := describe_weights(weights)):
        assert time.monotonic() < deadline, said
        weights.refresh()
        time.sleep(0.05)
    return said


def test_a_push_reaches_a_page_that_runs(hub, pull):
    """When a visitor comes; and what comes later and is damaged does not."""
    _, repo = pull
    with loader(refresh_interval=0) as weights:
        assert hub.head(repo)[:7] in describe_weights(weights)
        newer = LeNet()
        hub.add(repo, {**as_file(newer), **accuracy(0.5)})
        second = hub.head(repo)[:7]
        assert "50.00%" in describe_once(second, weights)
        assert same(weights.weights().model, newer)
        hub.add(repo, {"model.safetensors": b"damaged"})
        looked_again = Event()

        def note(request):
            asked.append(request.path)
            # The first look asks for its weights four times: the fifth belongs to the next one.
            if sum("model.safe" in path and hub.head(repo) in path for path in asked) > 4:
                looked_again.set()

        asked, hub.fault = [], note
        while not looked_again.wait(0.05):
            weights.refresh()
        assert second in describe_weights(weights) and same(weights.weights().model, newer)


def test_the_hub_is_not_asked_at_every_visit(hub, pull):
    with loader() as weights:
        weights.wait_for_accuracy(10)
        asked = []
        hub.fault = lambda request: asked.append(request.path)
        for _ in range(5):
            weights.refresh()
    assert asked == []  # nor by what leaving the context would have waited for


def test_what_one_worker_finds_the_other_uses_too(hub, pull, monkeypatch):
    """Though it has looked itself a moment ago: a visitor is answered by both."""
    monkeypatch.setattr("reading.weights.HUB_TIMEOUT", 0.5)
    _, repo = pull
    with loader() as other, loader(refresh_interval=0) as one:
        for weights in (one, other):
            weights.wait_for_accuracy(10)
        hub.add(repo, as_file(LeNet()))
        describe_once(hub.head(repo)[:7], one)
        describe_once(hub.head(repo)[:7], other)


def test_the_page_says_how_good_the_hubs_weights_are(hub, pull):
    """By the commit that was loaded; once they have been there, from the cache, too."""
    _, repo = pull
    hub.add(repo, accuracy(0.8765))
    loaded = hub.head(repo)

    def push_meanwhile(request):
        if request.path.endswith("metrics.json"):
            hub.fault = lambda request: False
            hub.add(repo, accuracy(0.25))
        return False

    hub.fault = push_meanwhile
    with loader() as weights:
        words = describe_once("87.65%", weights)
    assert hub.head(repo) != loaded and f"[{repo}@{loaded[:7]}]({hub.url}/{repo})" in words
    with stopped(hub), loader() as weights:
        assert "cache" in describe_once("87.65%", weights)


@pytest.mark.parametrize("metrics", [None, b"no JSON", b"[]", b"{}", b'{"test_accuracy": "high"}'])
def test_weights_without_figures_answer_all_the_same(hub, pull, metrics):
    _, repo = pull
    if metrics is not None:
        hub.add(repo, {"metrics.json": metrics})
    with loader() as weights:
        weights.wait_for_accuracy(10)
        words = describe_weights(weights)
    assert repo in words and "%" not in words
