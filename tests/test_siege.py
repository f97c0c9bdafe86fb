"""What one attacker costs the others on the real page: no answer, and bounded memory and disk."""

import asyncio
import re
import sys
import time
from functools import partial
from random import Random

import assault
import pytest
from assault import ATTACKER, GOOD, MAX_DISK, MAX_GROWTH, VISITOR, Attacker, Visitor, held
from attacks import jpeg_of_scans
from client import client_from

UNREAD = ".*(Draw a digit|takes too long|couldn't read|found no number|try again).*"
REFUSED = [assault.ATTACKS[name] for name in ("server file", *assault.REQUESTS)]
ATTACKS = [  # how often, what, and what may come of it
    (2, partial(assault.slow_picture, name="slow"), UNREAD),
    (2, partial(assault.slow_picture, name="heavy"), UNREAD),
    (1, partial(assault.flood, calls=100, name="slow"), r"(200|429)(\+(200|429))*"),
    (8, partial(assault.join_and_leave, name="heavy"), "200|429"),
    (5, partial(assault.slow_upload, seconds=2), "closed"),
    *((6, attack, r"error|200|4\d\d") for attack in REFUSED),
]


@pytest.mark.skipif(sys.platform != "linux", reason="the measures are Linux'")
def test_all_at_once_cost_no_visitors_answer(site):
    """Then come more uploads than there is room for."""
    pictures = {"heavy": assault.costliest(), "slow": jpeg_of_scans()}
    visitor, figures = Visitor(), []

    async def visit_during(*attacks) -> list[str]:
        attacking = asyncio.gather(*attacks)
        async with client_from(VISITOR, site.server.url, 60) as http:
            for number in range(1000):
                await visitor.ask(http, GOOD[number % 2])
                figures.append(await asyncio.to_thread(held, site.server, site.uploads))
                if attacking.done():
                    break
        return await attacking

    async def siege() -> None:
        await visit_during()
        async with client_from(ATTACKER, site.server.url, 60) as http:
            attacker = Attacker(http, pictures, Random(0))
            each = [(attack, may) for often, attack, may in ATTACKS for _ in range(often)]
            outcomes = await visit_during(*(attack(attacker) for attack, _ in each))
            for outcome, (_, may) in zip(outcomes, each, strict=True):
                assert re.fullmatch(f"{may}|closed", outcome), (outcome, may)
            filled = (assault.fill_disk(attacker) for _ in range(40))
            assert {*await visit_during(*filled)} == {"200"}

    asyncio.run(siege())
    assert not visitor.errors + visitor.wrong
    memory, disk = map(max, zip(*figures, strict=True))
    assert memory - figures[0][0] <= MAX_GROWTH and disk <= MAX_DISK
    deadline = time.monotonic() + 30
    while (left := held(site.server, site.uploads)[1]) >= 600:  # of 800
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
