"""The workers: each asker gets the answer to its own question, in turn, whatever ends a worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from serving import ROOT, children

from page.pool import BusyError, NoAnswerError, WorkerPool

# Answers a question with itself, its process, and when it began and ended; or misbehaves over it.
ECHO = """
import json, os, signal, sys, time
sys.path.insert(0, ROOT)
from page.limits import serve

def answer_lines(questions, answers):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), file=answers, flush=True)
    for line in questions:
        begun = time.monotonic()
        number, (question, *rest) = json.loads(line)
        if question == "end": os._exit(1)
        if question == "sleep": time.sleep(600)
        if question == "nap": time.sleep(0.2)
        if question == "child": rest = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")]
        if question == "flood": print("x" * 2_000_000, file=answers)
        if question == "babble": print("?", file=answers)
        said = json.dumps([number, [question, os.getpid(), begun, time.monotonic(), *rest]])
        print(said, *[said] * (question == "repeat"), sep="\\n", file=answers, flush=True)

serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request):
    return request.param and sys.platform == "linux"


def run(work, *arguments, program=("-c", ECHO), **options):
    async def main():
        pool = WorkerPool((sys.executable, *program), **options)
        try:
            async with asyncio.timeout(60):
                if program == ("-c", ECHO):
                    await ready(pool)
                return await work(pool, *arguments)
        finally:
            await pool.stop()

    return asyncio.run(main())


async def ready(pool) -> set[int]:
    """Wait for two workers that answer; return their processes."""
    while True:
        answers = await asyncio.gather(pool.ask("nap"), pool.ask("nap"))
        if len(processes := {answer[1] for answer in answers}) == 2:
            return processes


def begin(pool, *questions, **who) -> list[asyncio.Task]:
    return [asyncio.create_task(pool.ask(question, **who)) for question in questions]


async def ask_all(pool, *questions, **who) -> list:
    """Ask all at once; return the answers, or what was raised."""
    return await asyncio.gather(*begin(pool, *questions, **who), return_exceptions=True)


def said(answers) -> list:
    return [type(a) if isinstance(a, Exception) else a[0] for a in answers]


def is_alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until_gone(*processes: int) -> None:
    deadline = time.monotonic() + 20
    while any(map(is_alive, processes)):
        assert processes and time.monotonic() < deadline, f"of {processes} some are left"
        time.sleep(0.02)


def descendants(process: int) -> list[int]:
    return [each for child in children(process) for each in (child, *descendants(child))]


def test_each_gets_the_answer_to_its_own_question_from_either_worker(forks):
    questions = [f"question {number} ñ\n" for number in range(90)] + ["x" * 500_000]
    answers = run(ask_all, *questions, forks=forks)
    assert said(answers) == questions
    assert len({process for _, process, *_ in answers}) == 2


def test_who_ends_a_worker_gets_no_answer_and_the_others_theirs(forks, caplog):
    questions = ["a", "end", "b", "babble", "c", "flood", "sleep", "d"]
    answers = run(ask_all, *questions, forks=forks, seconds=1)
    assert said(answers) == [q if len(q) == 1 else NoAnswerError for q in questions]
    assert len(caplog.messages) == 4, "one was asked again"


def test_who_answers_too_often_is_ended_and_nobody_gets_another_s_answer(caplog):
    answers = run(ask_all, *["repeat", "b"] * 5)
    assert {*said(answers[::2])} <= {"repeat", NoAnswerError}
    assert {*said(answers[1::2])} <= {"b", NoAnswerError}
    assert "ValueError" in caplog.text


def test_who_is_behind_a_stuck_question_does_not_wait_for_its_end(forks):
    async def work(pool):  # with which ends what the stuck worker has started, and only that
        started = [answer[-1] for answer in await ask_all(pool, "child", "child")]
        (stuck,) = begin(pool, "sleep")
        answers = []
        while not stuck.done():
            answers.append(await pool.ask("nap"))
        assert said(await asyncio.gather(stuck, return_exceptions=True)) == [NoAnswerError]
        assert answers[0][1] in await ready(pool)
        assert [is_alive(child) for child in started].count(True) == 1
        return answers

    answers = run(work, forks=forks, seconds=1)
    assert len(answers) >= 2 and len({process for _, process, *_ in answers}) == 1


def test_a_slow_start_is_not_being_stuck():
    slow = "-c", "import time; time.sleep(0.8)" + ECHO
    assert said(run(ask_all, "a", program=slow, seconds=0.4)) == ["a"]


def test_an_answer_that_came_while_the_page_stood_still_counts():
    async def work(pool):
        (asking,) = begin(pool, "nap")
        while not any(worker.question for worker in pool.workers):
            await asyncio.sleep(0)
        time.sleep(1)  # as when the event loop reads a large body
        return await asking

    assert run(work, seconds=0.5)[0] == "nap"


def test_an_asker_has_one_question_with_the_workers_and_the_time_is_for_that():
    async def work(pool):  # others have theirs answered beside it
        return await asyncio.gather(ask_all(pool, *["nap"] * 4, asker="one"), ask_all(pool, "nap"))

    own, others = run(work, seconds=0.7)
    times = sorted(answer[2:4] for answer in own)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    assert others[0][2] < times[0][1]


def test_who_leaves_has_no_more_questions_asked_and_no_second_with_the_workers():
    async def work(pool):
        gone = begin(pool, *["sleep"] * 9, asker="one")
        await asyncio.sleep(0.05)
        for task in gone:
            task.cancel()
        assert (await pool.ask("b"))[0] == "b"
        assert [bool(worker.question) for worker in pool.workers] == [True, False]
        assert (await pool.ask("c", asker="one"))[0] == "c"
        assert not any(worker.question for worker in pool.workers)

    run(work, seconds=1.2)


def test_askers_are_answered_in_turn():
    async def work(pool):
        asked = begin(pool, "nap", "nap")  # so that all that follows waits
        questions = {asker: begin(pool, "nap", "nap", "nap", asker=asker) for asker in "ab"}
        questions["c"] = begin(pool, "nap", asker="c")
        await asyncio.gather(*asked)
        return {who: [a[2] for a in await asyncio.gather(*own)] for who, own in questions.items()}

    begun = run(work)
    assert all(own == sorted(own) for own in begun.values())
    assert begun["c"][0] < max(begun["a"][1], begun["b"][1])


def test_the_queue_is_bounded_and_says_so_and_one_asker_does_not_fill_it():
    async def work(pool):
        many = begin(pool, *["nap"] * 3, asker="many")
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.ask("b", asker="many")
        assert (await pool.ask("b", asker="one"))[0] == "b"
        await asyncio.gather(*many)
        asking = begin(pool, *["nap"] * 5)  # of which two are with the workers
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="try again"):
            await pool.ask("b")
        asking[-1].cancel()  # who has left takes no place
        await asyncio.sleep(0)
        assert (await pool.ask("b"))[0] == "b"
        return said(await asyncio.gather(*asking[:-1]))

    assert run(work, longest_queue=3, longest_line=2) == ["nap"] * 4


def test_where_none_starts_all_are_told_and_the_next_may(forks, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("page.pool.RETRY", 0.1)
    program = tmp_path / "program"

    async def work(pool):
        for broken in ("raise ImportError", "raise SystemExit(1)"):
            program.write_text(broken)
            assert said(await ask_all(pool, "my secret", "b")) == [NoAnswerError] * 2
        await asyncio.sleep(0.5)
        assert len(caplog.messages) <= 8, "it tries without a pause, though nobody asks"
        assert "secret" not in caplog.text
        program.write_text(ECHO)
        while said(answers := await ask_all(pool, "d")) == [NoAnswerError]:
            await asyncio.sleep(0.1)
        return answers

    assert said(run(work, program=(str(program),), forks=forks)) == ["d"]


def test_idle_processes_that_end_are_replaced_and_leave_no_zombie(forks):
    others = {*descendants(os.getpid())}  # of other tests' fixtures

    async def work(pool):
        ended = {*descendants(os.getpid())} - others  # at first what forks, too
        for _ in range(2):
            for process in ended:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            while {worker for worker in ended if is_alive(worker)}:
                await asyncio.sleep(0.02)
            assert (await pool.ask("b"))[0] == "b"
            ended = await ready(pool)
        return ended, {*descendants(os.getpid())} - others

    new, ours = run(work, forks=forks)
    assert new <= ours and len(ours) == 2 + forks


def test_stopping_leaves_no_process_and_nobody_waiting(forks):
    others = {*descendants(os.getpid())}

    async def work(pool):
        processes = {*descendants(os.getpid())} - others
        asking = begin(pool, "sleep", "sleep", "sleep")
        await asyncio.sleep(0.05)
        await pool.stop()
        assert said(await asyncio.gather(*asking, return_exceptions=True)) == [NoAnswerError] * 3
        return processes

    wait_until_gone(*run(work, forks=forks))


async def stay(pool, question):
    begin(pool, question)
    print(question, flush=True)
    await asyncio.sleep(600)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_page_is_interrupted_or_killed(how, forks):
    """By Ctrl-C, which all processes of a terminal get; forked ones though they are stuck."""
    question = "sleep" if forks or how == signal.SIGINT else "a"
    page = f"from test_pool import *; run(stay, {question!r}, forks={forks})"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {page}"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline()
        processes = descendants(server.pid)
        assert len(processes) == 2 + forks
        os.killpg(server.pid, how)
    wait_until_gone(*processes)
