"""What one attacker costs the others on the real page: no answer, and bounded memory and disk.

That each attack is refused other files test more closely; here they come as fast as one client
sends them. While they do, the next visitor is answered; how soon, `benchmarks/siege.py` measures.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable
from functools import partial

import assault
import pytest
from assault import ROUTES, Attacker
from attacks import ATTACKS as PICTURES
from load import client_from
from loopback_hub import OWNER
from safetensors.torch import save
from serving import ROOT, children, pss_memory
from siege import ATTACKER, GOOD, MAX_DISK, MAX_GROWTH, VISITOR, Visitor, costliest, held

from lenet import LeNet
from page.pool import WorkerPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux'")
UNREAD = "too long to read|is damaged|could not be read|couldn't read|[Nn]othing to read"


@pytest.fixture(scope="module")
def attack(site) -> Callable[..., list[str]]:
    """Return a function that attacks with all at once, and has visitors come meanwhile.

    Each of `attacks` takes an Attacker. It returns what came of them. Memory and disk are looked
    at all the while.
    """
    pictures = {"heavy": costliest(), "slow": PICTURES["jpeg_of_scans"]()}

    async def visit(name: str) -> None:
        visitor = Visitor()
        async with client_from(VISITOR, site.server.url, 30) as http:
            await visitor.ask(http, name)
        assert visitor.seconds and not visitor.errors + visitor.wrong

    def look() -> tuple[float, float]:
        return held(site.server, site.uploads)

    async def watch(figures: list) -> None:
        while True:
            figures.append(await asyncio.to_thread(look))
            await asyncio.sleep(0.5)

    async def both(*attacks, visits: int) -> list[str]:
        figures = []
        watching = asyncio.create_task(watch(figures))
        async with client_from(ATTACKER, site.server.url, 30) as http:
            attacker = Attacker(http, pictures)
            attacking = asyncio.gather(*(attack(attacker) for attack in attacks))
            await asyncio.sleep(0.1)
            for number in range(visits):
                await visit(GOOD[number % 2])
            outcomes = await attacking
        watching.cancel()
        memory, disk = map(max, zip(*figures, look(), strict=True))
        assert memory - before <= MAX_GROWTH and disk <= MAX_DISK
        return outcomes

    asyncio.run(visit(GOOD[0]))  # waits for the weights
    before, _ = look()
    return lambda *attacks, visits=1: asyncio.run(both(*attacks, visits=visits))


def picture(name: str, endpoint: str) -> partial:
    return partial(assault.slow_picture, name=name, endpoint=endpoint)


FUNCTION = [partial(assault.refused_route, route=("POST", "gradio_api/component_server"))]


@pytest.mark.parametrize(
    "attacks, expected",
    [
        ([picture("slow", "upload"), picture("slow", "sketch")], UNREAD),
        ([picture("heavy", "upload")] * 2, UNREAD),
        ([partial(assault.flood, calls=200, name="slow")], r"(200|429)(\+(200|429))*"),
        ([partial(assault.join_and_leave, name="heavy")] * 20, "200|429"),
        ([partial(assault.join_and_cancel, name="heavy")] * 20, "404"),
        ([assault.large_body] * 3 + [assault.chunked_body] * 3 + FUNCTION, "413"),
        ([assault.long_session] * 6, "413|422"),
        ([assault.wrong_form] * 6, "200|400"),
        ([assault.server_file] * 20, "error"),
        ([partial(assault.refused_route, route=route) for route in ROUTES], "404"),
        ([assault.forge_log] * 9, "404|422"),
        ([partial(assault.slow_upload, seconds=2)] * 5, "closed"),
    ],
    ids=["slow", "heavy", "flood", "leave", "cancel", "large", "session", "form", "file", "route",
         "log", "slow upload"],
)  # fmt: skip
def test_all_at_once_cost_no_visitors_answer(attack, attacks, expected):
    """Whether a picture is answered or given up after three seconds, the visitor is answered."""
    for outcome in attack(*attacks):
        known = re.search if expected is UNREAD else re.fullmatch
        assert known(f"{expected}|closed", outcome), outcome


def test_uploads_up_to_the_bound_and_beyond(site, attack):
    """As many as the purge lets be, and a half again."""

    async def fill(attacker):
        return [await assault.fill_disk(attacker) for _ in range(10)]

    outcomes = attack(*[fill] * 4, visits=3)
    assert set().union(*outcomes) == {"200"}
    deadline = time.monotonic() + 10
    while (left := held(site.server, site.uploads)[1]) > 600 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left < 600  # of 800, besides what the tests before have sent


# A Hub's weights; tests/test_checks.py has those that are broken


def commit(metrics: bytes) -> dict[str, bytes]:
    """Return a repository's files: the page's own weights, and these metrics."""
    weights = save(LeNet.from_pretrained(ROOT / "weights").state_dict())
    config = json.dumps({"second_sigmoid": True, "temperature": 0.66}).encode()
    return {"model.safetensors": weights, "config.json": config, "metrics.json": metrics}


def test_a_long_file_beside_the_weights_costs_no_memory(hub):
    repo = f"{OWNER}/long-metrics"
    hub.add(repo, commit(b'{"test_accuracy": 0.99,' + b" " * 90_000_000 + b"}"))
    others = set(children(os.getpid()))

    async def work(pool):
        _, said, *_ = await pool.ask("upload", str(ROOT / "examples" / "digits" / GOOD[0]))
        await asyncio.sleep(0.5)  # the accuracy comes after the weights
        ours = set(children(os.getpid())) - others
        return said, await pool.ask("weights"), sum(map(pss_memory, ours))

    async def ask():
        command = sys.executable, "-m", "page.worker"
        pool = WorkerPool(*command, cwd=ROOT, environment={"LENET_REPO": repo}, seconds=10)
        try:
            return await asyncio.wait_for(work(pool), 60)
        finally:
            await pool.stop()

    said, words, memory = asyncio.run(ask())
    assert "7" in said and "%" not in words and 0 < memory < 700
