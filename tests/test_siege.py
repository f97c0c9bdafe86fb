"""What one attacker costs the others on the real page: no answer, and bounded memory and disk.

That each attack is refused other files test more closely; here they come as fast as one client
sends them. While they do, the next visitor is answered; how soon, `benchmarks/siege.py` measures.
"""

import asyncio
import re
import sys
import time
from collections.abc import Callable
from functools import partial

import assault
import pytest
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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux'")
UNREAD = "too long|too many pixels|is damaged|not be read|couldn't read|[Nn]othing to read"


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
