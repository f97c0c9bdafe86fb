"""The workers' queue: whose question is answered when, and for how long."""

import asyncio
import sys
import time

import pytest
from echo_pool import ECHO, all_of, run, said

from page.pool import IN_HAND, BusyError, NoAnswerError


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request):
    return request.param and sys.platform == "linux"


def test_a_slow_start_is_not_being_stuck():
    slow = "import time; time.sleep(1.0)" + ECHO
    assert said(run(all_of("a"), slow, seconds=0.2)) == ["a"]


def test_the_time_is_for_one_question_not_for_the_queue():
    assert said(run(all_of(*["nap"] * 4), seconds=0.5)) == ["nap"] * 4


def test_the_time_runs_from_when_the_worker_starts_on_a_question():
    """Not from when it is asked, nor by a watch that looks now and then."""

    async def work(pool):
        await pool.ask("a")
        started = time.monotonic()
        answers = await all_of("nap", "nap", "sleep")(pool)
        return said(answers), time.monotonic() - started

    answers, seconds = run(work, seconds=0.5)
    assert answers == ["nap", "nap", NoAnswerError]
    assert 0.8 < seconds < 2


def test_an_answer_that_came_while_the_page_stood_still_counts():
    async def work(pool):
        await pool.ask("a")
        asking = asyncio.create_task(pool.ask("nap"))
        await asyncio.sleep(0.05)
        time.sleep(1)  # as when the event loop reads a large body
        return await asking

    assert run(work, seconds=0.5)[0] == "nap"


def test_who_waits_no_longer_disturbs_nobody():
    async def work(pool):
        gone = asyncio.create_task(pool.ask("gone"))
        await asyncio.sleep(0)
        gone.cancel()
        return await pool.ask("a")

    assert run(work)[0] == "a"


def test_what_nobody_waits_for_is_not_asked():
    """Twenty slow pictures, given up at once, cost the next visitor those in hand at most."""

    async def work(pool):
        await pool.ask("a")
        gone = [asyncio.create_task(pool.ask("sleep")) for _ in range(20)]
        await asyncio.sleep(0.05)
        for task in gone:
            task.cancel()
        started = time.monotonic()
        answer = await pool.ask("b")
        return answer[0], time.monotonic() - started

    answer, seconds = run(work, seconds=0.4)
    assert answer == "b"
    assert seconds < IN_HAND * 0.4 + 0.6


def test_the_queue_is_bounded_and_says_so():
    async def work(pool):
        asking = [asyncio.create_task(pool.ask("nap")) for _ in range(3 + IN_HAND)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="try again"):
            for _ in range(3):
                await asyncio.wait_for(asyncio.shield(pool.ask("b")), 0.01)
        return said(await asyncio.gather(*asking))

    async def ready_first(pool):
        await pool.ask("a")
        return await work(pool)

    assert run(ready_first, longest_queue=3) == ["nap"] * (3 + IN_HAND)


def test_who_has_left_takes_no_place_in_the_queue():
    async def work(pool):
        await pool.ask("a")
        tasks = [asyncio.create_task(pool.ask("nap")) for _ in range(3 + IN_HAND)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        return await pool.ask("b")

    assert run(work, longest_queue=3)[0] == "b"


def test_askers_are_answered_in_turn():
    """Who asks much at once delays another's one by what is in hand."""

    async def work(pool):
        await pool.ask("a")
        many = [asyncio.create_task(pool.ask("nap", asker="many")) for _ in range(6)]
        await asyncio.sleep(0)
        await pool.ask("b", asker="one")
        answered = sum(task.done() for task in many)
        assert said(await asyncio.gather(*many)) == ["nap"] * 6
        return answered

    assert run(work) <= 2


def test_one_asker_does_not_fill_the_queue():
    async def work(pool):
        await pool.ask("a")
        many = [asyncio.create_task(pool.ask("nap", asker="many")) for _ in range(3 + 1)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.ask("b", asker="many")
        assert (await pool.ask("b", asker="one"))[0] == "b"
        await asyncio.gather(*many)

    run(work, longest_line=3)


@pytest.mark.parametrize("evil", ["end", "sleep"])
def test_askers_keep_their_order_when_a_worker_ends(evil, forks):
    async def work(pool):
        await pool.ask("a")
        order = []

        async def ask(question, asker):
            try:
                await pool.ask(question, asker=asker)
            except NoAnswerError:
                question += "!"
            order.append(question)

        await asyncio.gather(ask(evil, 1), ask("b", 2), ask("c", 2), ask("d", 3), ask("e", 2))
        return order

    assert run(work, forks=forks, seconds=0.4) == [evil + "!", "b", "d", "c", "e"]


def test_who_asks_much_has_one_in_the_workers_hand():
    """So that the next visitor waits for one slow picture, not for two."""

    async def work(pool):
        await pool.ask("a")
        slow = [asyncio.create_task(pool.ask("sleep", asker="one")) for _ in range(4)]
        await asyncio.sleep(0.05)
        started = time.monotonic()
        answer = await pool.ask("b", asker="another")
        for task in slow:
            task.cancel()
        return answer[0], time.monotonic() - started

    answer, seconds = run(work, seconds=1)
    assert answer == "b" and seconds < 1.7
