"""Which weights answer, and which may: the Hub's real client against the Hub of loopback_hub.

Each test has a repository of its own: the client's cache remembers names.
"""

import json
import logging
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from loopback_hub import OWNER, disconnect, stall, status

from lenet import LeNet
from page.worker import describe_weights
from reading.weight_checks import LimitedProgress, check_model, read_accuracy
from reading.weights import EMBEDDED_WEIGHTS, Weights, WeightsLoader, configured_repo, load_weights

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


def expect(weights: Weights, origin: str, commit=None, model: LeNet | None = None) -> None:
    """Check where weights come from; without a model, that they are the embedded ones."""
    assert (weights.origin, weights.commit) == (origin, commit) and not weights.model.training
    ours = (model or LeNet.from_pretrained(EMBEDDED_WEIGHTS)).state_dict()
    assert all(map(torch.equal, weights.model.state_dict().values(), ours.values()))


def accuracy(value: float) -> dict[str, bytes]:
    return {"metrics.json": json.dumps({"test_accuracy": value}).encode()}


def test_the_embedded_weights_answer_when_no_repository_is_named():
    expect(load(), "embedded")
    metrics = json.loads((EMBEDDED_WEIGHTS / "metrics.json").read_text())
    with WeightsLoader(None) as weights:
        weights.wait_for_accuracy(60)
        assert f"{metrics['test_accuracy']:.2%} of" in describe_weights(weights)


def test_the_hubs_weights_come_first_in_a_space_its_owners(hub, pull, monkeypatch):
    model, repo = pull
    expect(load(), "hub", hub.head(repo), model)
    hub.commits["visitor/lenet-mnist"] = hub.commits.pop(repo)
    monkeypatch.delenv("LENET_REPO")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "visitor")
    expect(load(), "hub", hub.head("visitor/lenet-mnist"), model)


def test_a_pinned_revision_is_the_one_that_answers(hub, pull, monkeypatch, caplog):
    model, repo = pull
    pinned = hub.head(repo)
    hub.add(repo, DAMAGED)
    monkeypatch.setenv("LENET_REVISION", pinned)
    expect(load(), "hub", pinned, model)
    monkeypatch.setenv("LENET_REVISION", "v7")
    expect(load(), "embedded")
    assert f"No weights from {repo} (it has no revision v7)" in caplog.text


def test_the_cache_answers_with_the_last_good_weights(hub, pull):
    model, repo = pull
    load()
    good = hub.head(repo)
    hub.add(repo, DAMAGED)
    expect(load(), "cache", good, model)
    hub.fault = disconnect
    expect(load(), "cache", good, model)


no_repository, busy = status(404, X_Error_Code="RepoNotFound"), status(429, Retry_After="60")
MISFITS = [
    DAMAGED,
    {"model.safetensors": safetensors.torch.save({"weight": torch.zeros(3)})},
    {"config.json": b"no JSON"},
    {"config.json": b'{"second_sigmoid": "no", "temperature": 1.0}'},
    {"config.json": b'{"second_sigmoid": true, "temperature": "hot"}'},
]


@pytest.mark.parametrize("wrong", [disconnect, no_repository, busy, status(500), *MISFITS])
def test_a_failing_hub_and_files_that_do_not_fit_cost_one_line(hub, pull, caplog, wrong):
    _, repo = pull
    if isinstance(wrong, dict):
        hub.add(repo, wrong)
    else:
        hub.fault = wrong
    with caplog.at_level(logging.WARNING):
        expect(load(), "embedded")
    assert len(caplog.messages) == 1 and "embedded" in caplog.messages[0]


def test_a_stalled_hub_is_not_waited_for(hub, pull):
    hub.fault, start = stall, time.monotonic()
    expect(load_weights(*configured_repo()), "embedded")
    assert time.monotonic() - start < 20  # rather than the 30 s that it stalls


def visit_until(weights: WeightsLoader, done) -> str:
    """Describe the weights, visit for visit, until it is done; return what is said then."""
    deadline = time.monotonic() + 60
    while not done(said := describe_weights(weights)):
        assert time.monotonic() < deadline, said
        weights.refresh()
        time.sleep(0.05)
    return said


def test_a_push_reaches_a_page_that_runs_unless_it_is_damaged(hub, pull, caplog):
    _, repo = pull
    with WeightsLoader(*configured_repo(), refresh_interval=0) as weights:
        assert "%" not in visit_until(weights, lambda said: hub.head(repo)[:7] in said)
        newer = LeNet()
        file = safetensors.torch.save(newer.state_dict())
        second = hub.add(repo, {"model.safetensors": file, **accuracy(0.5)})
        said = visit_until(weights, lambda said: "50.00%" in said)
        assert f"[{repo}@{second[:7]}]({hub.url}/{repo})" in said
        hub.add(repo, DAMAGED)
        # A second look begins when the first is over.
        visit_until(weights, lambda _: caplog.text.count("No weights from") > 1)
        expect(weights.weights(), "hub", second, newer)
    hub.fault = disconnect
    with WeightsLoader(*configured_repo()) as weights:
        said = visit_until(weights, lambda said: "%" in said)
    assert "Cached" in said and "50.00%" in said


def test_the_hub_is_asked_seldom_but_what_one_worker_finds_the_other_uses_too(
    hub, pull, monkeypatch
):
    monkeypatch.setattr("reading.weights.HUB_TIMEOUT", 0.5)
    _, repo = pull
    asked = []
    with (
        WeightsLoader(*configured_repo()) as other,
        WeightsLoader(*configured_repo(), refresh_interval=0) as one,
    ):
        for weights in (one, other):
            visit_until(weights, lambda said: "from the Hub" in said)
        hub.fault = lambda request: asked.append(request.path)
        for _ in range(5):
            other.refresh()
            time.sleep(0.1)
        assert asked == []  # at every visit
        commit = hub.add(repo, accuracy(0.5))
        for weights in (one, other):  # though the other has looked a moment ago
            visit_until(weights, lambda said: commit[:7] in said)


def filled(model: LeNet, value: float, part: str = "") -> LeNet:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(part):
                parameter.fill_(value)
    return model


def embedded(temperature: float = 1.0) -> LeNet:
    model = LeNet.from_pretrained(EMBEDDED_WEIGHTS)
    model.temperature = temperature
    return model


BROKEN = [filled(LeNet(second), value) for second in (True, False) for value in (1e38, -3e38, 0, 1)]
BROKEN += [filled(embedded(), 3e38, layer) for layer in ("conv1", "conv2", "linear1", "linear3")]
BROKEN += [embedded(temperature) for temperature in (5e-324, 1e-30, 1e300, 10**400)]


@pytest.mark.parametrize("model", BROKEN)
def test_broken_weights_and_temperatures_are_refused(model):
    with pytest.raises(ValueError, match=r"between|finite|same|temperature"):
        check_model(model)


ACCURACIES = [("0.9928", 0.9928), ("0", 0), ("1", 1)]
NONE = ["true", "NaN", "1e400", "-0.1", "1.01", '"0.99"', "null", "[0.99]", "9" * 5000]
NONE += ["[" * 100_000, "0.99" + " " * 1_000_000]


@pytest.mark.parametrize(
    "value, read", [*ACCURACIES, *((value, None) for value in NONE)], ids=range(14)
)
def test_only_a_number_from_0_to_1_is_an_accuracy(tmp_path, value, read):
    (tmp_path / "metrics.json").write_text(f'{{"test_accuracy": {value}}}')
    assert read_accuracy(tmp_path / "metrics.json") == read


def test_a_long_file_of_the_hubs_is_not_fetched(hub):
    hub.add("someone/weights", {"short": b" " * 900_000, "long": b" " * 3_000_000})
    how = {"repo_id": "someone/weights", "tqdm_class": LimitedProgress}
    assert len(Path(hf_hub_download(filename="short", **how)).read_bytes()) == 900_000
    with pytest.raises(ValueError, match="longer than 1,000,000 bytes"):
        hf_hub_download(filename="long", **how)
    with pytest.raises(ValueError, match="longer"):  # whatever length the server announced
        LimitedProgress(total=1000).update(1_000_001)
