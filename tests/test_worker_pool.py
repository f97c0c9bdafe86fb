"""The workers: each asker gets the answer to its own question, whatever ended a worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from echo_pool import ECHO, all_of, run, said
from serving import ROOT, children

from page.pool import NoAnswerError, WorkerPool


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request):
    return request.param and sys.platform == "linux"


def is_alive(process_id: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process_id, 0)
        with open(f"/proc/{process_id}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until_gone(*process_ids: int) -> None:
    deadline = time.monotonic() + 5
    while any(map(is_alive, process_ids)):
        assert time.monotonic() < deadline, f"of {process_ids} some are left"
        time.sleep(0.02)


async def spare_is_ready(pool) -> None:
    """Wait until the spare has started."""
    await pool.ask("a")
    await asyncio.sleep(0.4)


def test_each_gets_the_answer_to_its_own_question(forks):
    questions = [f"question {number} ñ\n" for number in range(90)]
    answers = run(all_of(*questions), forks=forks)
    assert said(answers) == questions
    assert len({process for _, process in answers}) == 1


def test_an_answer_may_be_long():
    assert run(lambda pool: pool.ask("long", "x" * 500_000))[2] == "x" * 500_000


@pytest.mark.parametrize("evil", ["end", "babble", "flood", "sleep"])
def test_who_ends_it_gets_no_answer_and_the_others_theirs(evil, forks, caplog):
    answers = run(all_of("a", evil, "b", evil, "c"), forks=forks, seconds=0.5)
    assert said(answers) == ["a", NoAnswerError, "b", NoAnswerError, "c"]
    assert len({answer[1] for answer in answers[::2]}) == 3
    assert caplog.text.count("has ended") == 2


def test_it_starts_anew_for_the_next_question(forks):
    async def work(pool):
        first = await pool.ask("a")
        with pytest.raises(NoAnswerError):
            await pool.ask("end")
        return first[1] != (await pool.ask("b"))[1]

    assert run(work, forks=forks)


def test_a_crash_costs_the_next_visitor_nothing(forks):
    """A program that starts slowly has a spare by then."""
    slow = ECHO.replace("    signal.signal(", "    time.sleep(1.5)\n    signal.signal(", 1)

    async def work(pool):
        await pool.ask("a")
        await asyncio.sleep(2.4)
        with pytest.raises(NoAnswerError):
            await pool.ask("end")
        started = time.monotonic()
        await pool.ask("b")
        return time.monotonic() - started

    assert run(work, slow, forks=forks) < 1


def test_a_forked_worker_starts_in_no_time():
    async def work(pool):
        await pool.ask("a")
        started = time.monotonic()
        for _ in range(5):
            with pytest.raises(NoAnswerError):
                await pool.ask("end")
        return time.monotonic() - started

    assert run(work) < 3


def test_one_that_is_stuck_is_ended_with_what_it_has_started(forks):
    async def work(pool):
        _, process, child = await pool.ask("child")
        started = time.monotonic()
        answers = await all_of("sleep", "a")(pool)
        return said(answers), time.monotonic() - started, process, child

    answers, seconds, *processes = run(work, forks=forks, seconds=0.5)
    assert answers == [NoAnswerError, "a"]
    assert seconds < 4
    wait_until_gone(*processes)


def test_a_program_that_cannot_be_started_answers_nobody(forks):
    async def main():
        pool = WorkerPool("no/such/program", forks=forks)
        try:
            first = await all_of("a", "b")(pool)
            return said(first) + said(await all_of("c")(pool))
        finally:
            await pool.stop()

    assert asyncio.run(main()) == [NoAnswerError] * 3


def test_a_program_that_ends_at_once_answers_nobody(forks):
    assert said(run(all_of("a"), "raise SystemExit(1)", forks=forks)) == [NoAnswerError]


def test_what_forks_may_end_too():
    async def work(pool):
        await spare_is_ready(pool)
        os.kill(pool.launcher.programs[0].pid, signal.SIGKILL)
        await asyncio.sleep(0.3)
        return await pool.ask("b")

    assert run(work)[0] == "b"


def test_an_idle_worker_that_ends_is_replaced(forks):
    async def work(pool):
        await spare_is_ready(pool)
        os.kill(pool.worker.process_id, signal.SIGKILL)
        await asyncio.sleep(0.1)
        return (await pool.ask("b"))[0]

    assert run(work, forks=forks) == "b"


def test_stopping_it_leaves_no_process(forks):
    others = set(descendants(os.getpid()))  # of other tests' fixtures

    async def work(pool):
        await spare_is_ready(pool)
        processes = set(descendants(os.getpid())) - others
        await pool.stop()
        return processes

    processes = run(work, forks=forks)
    assert len(processes) == (3 if forks else 2)
    wait_until_gone(*processes)


def test_stopping_it_at_once_leaves_no_process(forks):
    others = set(descendants(os.getpid()))

    async def work(pool):
        pool.start()
        await asyncio.sleep(0.05)
        processes = set(descendants(os.getpid())) - others
        await pool.stop()
        return processes

    wait_until_gone(*run(work, forks=forks))


def test_no_process_is_left_when_the_page_is_killed(forks, tmp_path):
    """Not even one that is stuck over a question."""
    page = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from page.pool import WorkerPool

async def main():
    pool = WorkerPool(sys.executable, "-c", {ECHO!r}, forks={forks})
    await pool.ask("a")
    await asyncio.sleep(0.4)
    {'asyncio.create_task(pool.ask("sleep"))' if forks else ""}
    await asyncio.sleep(0.1)
    print("asked", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", page], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"asked\n"
    processes = descendants(server.pid)
    assert len(processes) == (3 if forks else 2)
    server.kill()
    server.wait()
    server.stdout.close()
    wait_until_gone(*processes)


def descendants(process_id: int) -> list[int]:
    """Return the processes that a process, and those that it has started, have started."""
    found = children(process_id)
    return found + [deeper for child in found for deeper in descendants(child)]
