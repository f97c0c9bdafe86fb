"""The workers: each asker gets the answer to its own question, whatever ended a worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from conftest import ROOT, children

from page import pool2
from page.pool2 import BusyError, NoAnswerError, WorkerPool

# Answers a question with itself, but ends over "end", says what is no answer over "babble", says
# too much over "flood", and is stuck over "sleep", deaf to polite signals.
ECHO = """
import json, os, signal, sys, time
sys.path.insert(0, ROOT)
from page import fork_server

def answer_lines(questions, answers):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(fork_server.ready_line(), end="", file=answers, flush=True)
    for line in questions:
        question, *rest = json.loads(line)
        if question == "end": os._exit(1)
        if question == "sleep": time.sleep(600)
        if question == "nap": time.sleep(0.2)
        if question == "child": rest = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")]
        if question == "flood": print("x" * 2_000_000, file=answers, flush=True)
        print("?" if question == "babble" else json.dumps([question, os.getpid(), *rest]),
              file=answers, flush=True)

fork_server.serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request):
    return request.param and sys.platform == "linux"


def run(work, program=ECHO, **options):
    """Run `work` with a pool, stopped afterwards."""

    async def main():
        pool = WorkerPool(sys.executable, "-c", program, **options)
        try:
            return await asyncio.wait_for(work(pool), 60)
        finally:
            await pool.stop()

    return asyncio.run(main())


def all_of(*questions):
    """Ask all at once; return the answers, or what was raised."""
    return lambda pool: asyncio.gather(*(pool.ask(q) for q in questions), return_exceptions=True)


def said(answers) -> list:
    return [type(a) if isinstance(a, Exception) else a[0] for a in answers]


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
    await asyncio.sleep(0.6)


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
    slow = ECHO.replace("    signal.signal(", "    time.sleep(0.8)\n    signal.signal(", 1)

    async def work(pool):
        await pool.ask("a")
        await asyncio.sleep(1.4)
        with pytest.raises(NoAnswerError):
            await pool.ask("end")
        started = time.monotonic()
        await pool.ask("b")
        return time.monotonic() - started

    assert run(work, slow, forks=forks) < 0.3


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
    assert seconds < 2
    wait_until_gone(*processes)


def test_a_slow_start_is_not_being_stuck():
    slow = "import time; time.sleep(1.0)" + ECHO
    assert said(run(all_of("a"), slow, seconds=0.2)) == ["a"]


def test_the_time_is_for_one_question_not_for_the_queue():
    assert said(run(all_of(*["nap"] * 6), seconds=0.5)) == ["nap"] * 6


def test_the_time_runs_from_when_the_worker_starts_on_a_question():
    """Not from when it is asked, nor by a watch that looks now and then."""

    async def work(pool):
        await pool.ask("a")
        started = time.monotonic()
        answers = await all_of("nap", "nap", "sleep")(pool)
        return said(answers), time.monotonic() - started

    answers, seconds = run(work, seconds=0.5)
    assert answers == ["nap", "nap", NoAnswerError]
    assert 0.8 < seconds < 1.3


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
    assert seconds < pool2.IN_HAND * 0.4 + 0.6


def test_the_queue_is_bounded_and_says_so():
    async def work(pool):
        asking = [asyncio.create_task(pool.ask("nap")) for _ in range(3 + pool2.IN_HAND)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="try again"):
            for _ in range(3):
                await asyncio.wait_for(asyncio.shield(pool.ask("b")), 0.01)
        return said(await asyncio.gather(*asking))

    async def ready_first(pool):
        await pool.ask("a")
        return await work(pool)

    assert run(ready_first, longest_queue=3) == ["nap"] * (3 + pool2.IN_HAND)


def test_who_has_left_takes_no_place_in_the_queue():
    async def work(pool):
        await pool.ask("a")
        tasks = [asyncio.create_task(pool.ask("nap")) for _ in range(3 + pool2.IN_HAND)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        return await pool.ask("b")

    assert run(work, longest_queue=3)[0] == "b"


def test_askers_are_answered_in_turn():
    """Who asks twenty questions at once delays another's one by those in hand."""

    async def work(pool):
        await pool.ask("a")
        many = [asyncio.create_task(pool.ask("nap", asker="many")) for _ in range(10)]
        await asyncio.sleep(0)
        await pool.ask("b", asker="one")
        answered = sum(task.done() for task in many)
        assert said(await asyncio.gather(*many)) == ["nap"] * 10
        return answered

    assert run(work) <= pool2.IN_HAND + 1


def test_one_asker_does_not_fill_the_queue():
    async def work(pool):
        await pool.ask("a")
        many = [
            asyncio.create_task(pool.ask("nap", asker="many")) for _ in range(3 + pool2.IN_HAND)
        ]
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

    assert run(work, forks=forks, seconds=0.4) == [evil + "!", "b", "c", "d", "e"]


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
    async def work(pool):
        await spare_is_ready(pool)
        processes = descendants(os.getpid())
        await pool.stop()
        return processes

    processes = run(work, forks=forks)
    assert len(processes) == (3 if forks else 2)
    wait_until_gone(*processes)


def test_stopping_it_at_once_leaves_no_process(forks):
    async def work(pool):
        pool.start()
        await asyncio.sleep(0.05)
        processes = descendants(os.getpid())
        await pool.stop()
        return processes

    wait_until_gone(*run(work, forks=forks))


def test_no_process_is_left_when_the_page_is_killed(forks, tmp_path):
    """Not even one that is stuck over a question."""
    page = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from page.pool2 import WorkerPool

async def main():
    pool = WorkerPool(sys.executable, "-c", {ECHO!r}, forks={forks})
    await pool.ask("a")
    await asyncio.sleep(0.6)
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
