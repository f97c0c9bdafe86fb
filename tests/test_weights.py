"""Which weights answer, with the Hub's real client against the Hub of loopback_hub.

Each test has a repository of its own: the client's cache remembers names.
"""

import json
import logging
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

DAMAGED = {"model.safetensors": b"damaged"}


@pytest.fixture
def pull(hub, monkeypatch, tmp_path, request):
    """A model on the Hub, and its repository, which the environment names."""
    repo = f"{OWNER}/pull-{abs(hash(request.node.name))}"
    model = LeNet()
    model.save_pretrained(tmp_path)
    hub.add(repo, {file.name: file.read_bytes() for file in tmp_path.iterdir()})
    monkeypatch.setenv("LENET_REPO", repo)
    return model, repo


def load(timeout: float = 60) -> Weights:
    """Load what the environment names, as the page does."""
    return load_weights(*configured_repo(), timeout)


@contextmanager
def stopped(hub):
    hub.stop()
    try:
        yield
    finally:
        hub.start()


def expect(weights: Weights, origin: str, commit: str | None, model: LeNet) -> None:
    assert (weights.origin, weights.commit) == (origin, commit) and not weights.model.training
    theirs, ours = weights.model.state_dict(), model.state_dict()
    assert all(map(torch.equal, theirs.values(), ours.values()))


def expect_embedded(weights: Weights) -> None:
    expect(weights, "embedded", None, LeNet.from_pretrained(EMBEDDED_WEIGHTS))


def accuracy(value) -> dict[str, bytes]:
    return {"metrics.json": json.dumps({"test_accuracy": value}).encode()}


def push_while_it_is_asked(hub, repo, name: str, files: dict[str, bytes]) -> None:
    """Have somebody push files at the moment when this file of the commit before is asked for."""

    def push(request):
        if request.command == "GET" and request.path.endswith(name):
            hub.fault = lambda request: False
            hub.add(repo, files)

    hub.fault = push


def test_the_embedded_weights_answer_when_no_repository_is_named():
    weights = load()
    expect_embedded(weights)
    metrics = json.loads((EMBEDDED_WEIGHTS / "metrics.json").read_text())
    assert load_accuracy(weights) == metrics["test_accuracy"] and weights.repo_id is None


def test_the_hubs_weights_come_first_under_the_owners_or_a_new_name(hub, pull, monkeypatch):
    model, repo = pull
    weights = load()
    expect(weights, "hub", hub.head(repo), model)
    assert weights.repo_id == repo
    hub.commits["visitor/lenet-mnist"] = hub.commits.pop(repo)
    hub.renamed[repo] = "visitor/lenet-mnist"
    expect(load(), "hub", hub.head("visitor/lenet-mnist"), model)
    monkeypatch.delenv("LENET_REPO")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "visitor")
    weights = load()
    assert weights.repo_id == "visitor/lenet-mnist" and weights.origin == "hub"


def test_a_pinned_revision_is_the_one_that_answers(hub, pull, monkeypatch, caplog):
    model, repo = pull
    pinned = hub.head(repo)
    hub.add(repo, DAMAGED)
    monkeypatch.setenv("LENET_REVISION", pinned)
    expect(load(), "hub", pinned, model)
    monkeypatch.setenv("LENET_REVISION", "v7")
    expect_embedded(load())
    assert f"No weights from {repo} (it has no revision v7)" in caplog.text


def test_the_cache_answers_with_the_last_good_weights(hub, pull, caplog):
    """When the Hub is gone, and when a damaged commit has taken the place of the good one."""
    model, repo = pull
    load()
    good = hub.head(repo)
    with stopped(hub), caplog.at_level(logging.WARNING, "reading.weights"):
        expect(load(), "cache", good, model)
    assert len(caplog.messages) == 1
    hub.add(repo, DAMAGED)
    expect(load(), "cache", good, model)


def test_the_cache_never_names_a_commit_that_was_not_checked(hub, pull):
    """Somebody pushes damaged weights while the good ones before them are being loaded."""
    model, repo = pull
    good = hub.head(repo)
    push_while_it_is_asked(hub, repo, "model.safetensors", DAMAGED)
    assert load().commit == good != hub.head(repo)
    with stopped(hub):
        expect(load(), "cache", good, model)


def test_a_file_damaged_in_the_cache_is_fetched_anew(hub, pull):
    model, repo = pull
    load()
    file = hf_hub_download(repo, "model.safetensors", revision=hub.head(repo))
    Path(file).resolve().write_bytes(b"half a file")
    expect(load(), "hub", hub.head(repo), model)


def truncated(request):
    """Send part of the file, whose length is announced as whole."""
    if request.command == "GET" and request.path.endswith("model.safetensors"):
        request.send(200, bytes(1000), Content_Length=247_584)
        request.close_connection = True
        return True
    return False


def without(name):
    missing = status(404, X_Error_Code="EntryNotFound")
    return lambda request: request.path.endswith(name) and missing(request)


FAULTS = {
    "truncated": truncated,
    "no weights": without("model.safetensors"),
    "no configuration": without("config.json"),
    "disconnected": disconnect,
    "401": status(401),
    "gated": status(403, X_Error_Code="GatedRepo"),
    "no repository": status(404, X_Error_Code="RepoNotFound"),
    "429": status(429, Retry_After="60"),
    "500": status(500),
}
MISFITS = [
    ("model.safetensors", b""),
    ("model.safetensors", b"\0" * 247584),
    ("model.safetensors", b"\xff" * 100),
    ("model.safetensors", safetensors.torch.save({"weight": torch.zeros(3)})),
    ("config.json", b"{}"),
    ("config.json", b"no JSON"),
    ("config.json", b'{"second_sigmoid": "no", "temperature": 1.0}'),
    ("config.json", b'{"second_sigmoid": true, "temperature": "hot"}'),
    ("config.json", b'{"second_sigmoid": true, "temperature": -1}'),
]


@pytest.mark.parametrize("wrong", [*FAULTS, *range(len(MISFITS))])
def test_a_failing_hub_and_files_that_do_not_fit_cost_one_line(hub, pull, caplog, wrong):
    _, repo = pull
    if wrong in FAULTS:
        hub.fault = FAULTS[wrong]
    else:
        hub.add(repo, dict([MISFITS[wrong]]))
    with caplog.at_level(logging.WARNING):
        expect_embedded(load(1 if wrong == "truncated" else 60))
    assert len(caplog.messages) == 1 and "embedded" in caplog.messages[0]


def test_a_stalled_hub_is_not_waited_for(hub, pull):
    answered = Event()
    hub.fault = lambda request: answered.wait(60)
    try:
        expect_embedded(load(timeout=0.2))
        assert not answered.is_set() and HUB_TIMEOUT <= 5
    finally:
        answered.set()


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
        describe_once(hub.head(repo)[:7], weights)
        newer = LeNet()
        file = safetensors.torch.save(newer.state_dict())
        second = hub.add(repo, {"model.safetensors": file, **accuracy(0.5)})
        assert "50.00%" in describe_once(second[:7], weights)
        expect(weights.weights(), "hub", second, newer)
        hub.add(repo, DAMAGED)
        looked_again = Event()

        def note(request):
            asked.append(request.path)
            # The first look asks for its weights four times: the fifth belongs to the next one.
            if sum("model.safe" in path and hub.head(repo) in path for path in asked) > 4:
                looked_again.set()

        asked, hub.fault = [], note
        while not looked_again.wait(0.05):
            weights.refresh()
        expect(weights.weights(), "hub", second, newer)


def test_the_hub_is_not_asked_at_every_visit(hub, pull):
    asked = []
    with loader() as weights:
        weights.wait_for_accuracy(60)
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
            weights.wait_for_accuracy(60)
        commit = hub.add(repo, accuracy(0.5))
        describe_once(commit[:7], one)
        describe_once(commit[:7], other)


def test_the_page_says_how_good_the_hubs_weights_are(hub, pull):
    """By the commit that was loaded; once they have been there, from the cache, too."""
    _, repo = pull
    loaded = hub.add(repo, accuracy(0.8765))
    push_while_it_is_asked(hub, repo, "metrics.json", accuracy(0.25))
    with loader() as weights:
        words = describe_once("87.65%", weights)
    assert hub.head(repo) != loaded and f"[{repo}@{loaded[:7]}]({hub.url}/{repo})" in words
    with stopped(hub), loader() as weights:
        assert "cache" in describe_once("87.65%", weights)


@pytest.mark.parametrize("metrics", [None, b"no JSON"])
def test_weights_without_figures_answer_all_the_same(hub, pull, metrics):
    _, repo = pull
    hub.add(repo, {"metrics.json": metrics} if metrics else {})
    with loader() as weights:
        weights.wait_for_accuracy(60)
        words = describe_weights(weights)
    assert repo in words and "%" not in words
