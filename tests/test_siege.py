"""What one attacker costs the others on the real page: no answer, and bounded memory and disk.

That each attack is refused other files test more closely; here they come as fast as one client
sends them. While they do, the next visitor is answered; how soon, `benchmarks/siege.py` measures.
"""

import asyncio
import json
import re
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import assault
import pytest
import torch
from assault import (
    ATTACKER,
    GOOD,
    MAX_DISK,
    MAX_GROWTH,
    ROUTES,
    VISITOR,
    Attacker,
    Visitor,
    costliest,
    held,
)
from attacks import ATTACKS as PICTURES
from client import client_from
from conftest import serve_page
from loopback_hub import OWNER
from safetensors.torch import save
from serving import ROOT, pss_memory

from lenet import LeNet
from page.pool import WorkerPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux'")

REFUSED = "too long to read|too many pixels|is damaged|Nothing to read"
HEAVY = costliest()


class Site:
    """The page, its folder of uploads, and what it held before the first attack."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.visit()  # waits for the weights
        time.sleep(1)  # the other worker gets ready
        self.before, _ = held(server, folder)
        self.most = self.before, 0.0

    def visit(self) -> None:
        """Have a good picture read by a visitor."""
        asyncio.run(self.ask(GOOD[0]))

    async def ask(self, name: str) -> None:
        visitor = Visitor()
        async with client_from(VISITOR, self.server.url, 30) as http:
            await visitor.ask(http, name)
        assert visitor.seconds and not visitor.errors + visitor.wrong

    @contextmanager
    def watched(self, every_s: float = 0.1):
        """Look at memory and disk all the while; they stay in bounds."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(every_s):
                self.most = tuple(map(max, self.most, held(self.server, self.folder)))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()
        assert self.most[0] - self.before <= MAX_GROWTH
        assert self.most[1] <= MAX_DISK


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("siege") / "uploads"
    with serve_page(folder.parent / "log", GRADIO_TEMP_DIR=str(folder)) as server:
        yield Site(server, folder)


def attack(site: Site, *attacks, delay: float = 0.1, visits: int = 2) -> list[str]:
    """Attack with all at once, and have visitors come meanwhile; return what came of the attacks.

    Each of `attacks` takes an Attacker.
    """

    async def both():
        async with client_from(ATTACKER, site.server.url, 30) as http:
            attacker = Attacker(http, {name: b"" for name in PICTURES} | {"heavy": HEAVY})
            attacking = asyncio.gather(*(attack(attacker) for attack in attacks))
            await asyncio.sleep(delay)
            for number in range(visits):
                await site.ask(GOOD[number % 2])
            return await attacking

    with site.watched():
        return asyncio.run(both())


@pytest.mark.parametrize("name", PICTURES)
def test_a_slow_picture_twice_in_a_row(site, name):
    content = PICTURES[name]()

    async def picture(attacker, endpoint):
        attacker.pictures[name] = content
        return await assault.slow_picture(attacker, name, endpoint)

    both = [partial(picture, endpoint=endpoint) for endpoint in ("upload", "sketch")]
    for said in attack(site, *both, visits=1):
        assert re.search(REFUSED, said), said


def test_the_costliest_picture_that_is_read_twice_in_a_row(site):
    """Whether it is answered or given up after three seconds, the visitor is answered."""

    async def picture(attacker):
        return await assault.slow_picture(attacker, "heavy", "upload")

    for said in attack(site, picture, picture, visits=3):
        assert re.search(REFUSED, said), said


def test_560_requests_in_the_queue(site):
    async def flood(attacker):
        attacker.pictures["jpeg_of_scans"] = PICTURES["jpeg_of_scans"]()
        return await assault.flood(attacker, 560, "jpeg_of_scans")

    (statuses,) = attack(site, flood)
    assert set(statuses.split("+")) <= {"200", "429"}


def test_twenty_who_queue_a_picture_and_leave(site):
    async def leave(attacker):
        return await assault.join_and_leave(attacker, "heavy")

    assert set(attack(site, *[leave] * 20)) <= {"200", "429"}


def test_twenty_who_queue_a_picture_and_cancel(site):
    async def cancel(attacker):
        return await assault.join_and_cancel(attacker, "heavy")

    assert set(attack(site, *[cancel] * 20)) == {"404"}


@pytest.mark.parametrize(
    "attacks, expected",
    [
        ([assault.large_body] * 8, "413"),
        ([assault.chunked_body] * 8, "413"),
        ([assault.long_session] * 16, "413|422"),
        ([assault.wrong_form] * 8, "400"),
        ([assault.server_file] * 30, "error"),
        ([partial(assault.refused_route, route=route) for route in ROUTES], "404"),
        ([partial(assault.refused_route, route=("POST", "gradio_api/component_server"))], "413"),
        ([assault.forge_log] * 9, "404|422"),
        ([partial(assault.slow_upload, seconds=2)] * 5, "closed"),
    ],
    ids=["large", "chunked", "session", "form", "file", "route", "function", "log", "slow"],
)
def test_all_at_once_are_refused(site, attacks, expected):
    for outcome in attack(site, *attacks):
        assert re.fullmatch(f"{expected}|closed", outcome), outcome


def test_uploads_up_to_the_bound_and_beyond(site):
    """As many as the purge lets be, and a half again."""

    async def fill(attacker):
        return [await assault.fill_disk(attacker) for _ in range(10)]

    outcomes = attack(site, fill, fill, fill, fill, visits=3)
    assert set().union(*outcomes) == {"200"}
    deadline = time.monotonic() + 5
    while (left := held(site.server, site.folder)[1]) > 600 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left < 600  # of 800, besides what the tests before have sent
    site.visit()


# Broken weights, from a Hub


def commit(value: float | None = None, temperature=0.66, metrics: bytes = b"") -> dict[str, bytes]:
    """Return a repository's files: the page's own weights, or all of them alike."""
    model = LeNet.from_pretrained(ROOT / "weights")
    weights = {
        name: tensor if value is None else torch.full_like(tensor, value)
        for name, tensor in model.state_dict().items()
    }
    config = json.dumps({"second_sigmoid": True, "temperature": temperature}).encode()
    files = {"model.safetensors": save(weights), "config.json": config}
    return {**files, "metrics.json": metrics or b'{"test_accuracy": 0.5}'}


BROKEN = {
    "weights of 1e38": (commit(1e38), "came with this page"),
    "a temperature of nearly 0": (commit(temperature=5e-324), "came with this page"),
    "a temperature of 400 digits": (commit(temperature=10**400), "came with this page"),
    "an accuracy of 1e308": (commit(metrics=b'{"test_accuracy": 1e308}'), "^Weights:"),
    "90 MB of metrics": (commit(metrics=b'{"test_accuracy": 0.99,' + b" " * 90_000_000 + b"}"),
                         "^Weights:"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_weights_cost_no_answer(hub, kind):
    files, expected = BROKEN[kind]
    repo = f"{OWNER}/broken-{list(BROKEN).index(kind)}"
    hub.add(repo, files)

    async def work(pool):
        _, said, *_ = await pool.ask("upload", str(ROOT / "examples" / "digits" / GOOD[0]))
        await asyncio.sleep(0.5)  # the accuracy comes after the weights
        words = await pool.ask("weights")
        return said, words, pss_memory(pool.programs[0].pid)

    async def ask():
        command = sys.executable, "-m", "page.worker"
        pool = WorkerPool(command, cwd=ROOT, environment={"LENET_REPO": repo}, seconds=10)
        try:
            return await asyncio.wait_for(work(pool), 30)
        finally:
            await pool.stop()

    said, words, memory = asyncio.run(ask())
    assert said == "That is a 7."
    assert re.search(expected, words), words
    assert "%" not in words or "came with this page" in words
    assert "inf" not in words and memory < 700
