"""The worker process: asked in order, and started anew after whatever ended it."""

import asyncio
import os
import sys
import time

import pytest

from page.pool import NoAnswerError, WorkerPool

# Answers a question with itself, but ends over "end", says what is no answer over "babble", and
# is stuck over "sleep".
ECHO = """
import json, os, sys, time
print("ready", flush=True)
for line in sys.stdin:
    question, *rest = json.loads(line)
    if question == "end": os._exit(1)
    if question == "sleep": time.sleep(600)
    print("?" if question == "babble" else json.dumps([question, os.getpid(), *rest]), flush=True)
"""


def run(work, *command, **settings):
    """Run `work` with a pool of the echo's, ended afterwards."""

    async def main():
        echo = WorkerPool(*command or (sys.executable, "-c", ECHO), **settings)
        try:
            return await asyncio.wait_for(work(echo), 60)
        finally:
            await echo.stop()

    return asyncio.run(main())


def all_of(*questions):
    """Ask all at once; give the answers, or what was raised."""
    return lambda echo: asyncio.gather(*(echo.ask(q) for q in questions), return_exceptions=True)


def said(answers) -> list:
    return [type(a) if isinstance(a, Exception) else a[0] for a in answers]


def test_each_gets_the_answer_to_its_own_question():
    questions = [f"question {number} ñ\n" for number in range(200)]
    answers = run(all_of(*questions))
    assert said(answers) == questions
    assert len({process for _, process in answers}) == 1


def test_an_answer_may_be_long():
    assert run(lambda echo: echo.ask("long", "x" * 500_000))[2] == "x" * 500_000


@pytest.mark.parametrize("evil", ["end", "babble"])
def test_who_ends_it_gets_no_answer_and_the_others_theirs(evil, caplog):
    answers = run(all_of("a", evil, "b", evil, "c"))
    assert said(answers) == ["a", NoAnswerError, "b", NoAnswerError, "c"]
    assert len({answer[1] for answer in answers[::2]}) == 3
    assert caplog.text.count("has ended") == 2


def test_it_starts_anew_for_the_next_question():
    async def work(echo):
        first = await echo.ask("a")
        with pytest.raises(NoAnswerError):
            await echo.ask("end")
        return first[1] != (await echo.ask("b"))[1]

    assert run(work)


def test_one_that_is_stuck_is_ended():
    started = time.monotonic()
    assert said(run(all_of("sleep", "a"), timeout=0.5)) == [NoAnswerError, "a"]
    assert time.monotonic() - started < 10


def test_a_slow_start_is_not_being_stuck():
    slow = "import time; time.sleep(1.5)" + ECHO
    assert said(run(all_of("a"), sys.executable, "-c", slow, timeout=0.2)) == ["a"]


def test_the_timeout_is_for_one_question_not_for_the_queue():
    slow = ECHO.replace("print", "time.sleep(0.15); print")
    assert said(run(all_of(*"abcdefgh"), sys.executable, "-c", slow, timeout=0.5)) == list(
        "abcdefgh"
    )


def test_who_waits_no_longer_disturbs_nobody():
    async def work(echo):
        gone = asyncio.create_task(echo.ask("gone"))
        await asyncio.sleep(0)
        gone.cancel()
        return await echo.ask("a")

    assert run(work)[0] == "a"


def test_a_program_that_cannot_be_started_answers_nobody():
    assert said(run(all_of("a", "b"), "no/such/program")) == [NoAnswerError, NoAnswerError]


def test_it_gets_its_folder_and_its_variables(tmp_path):
    where = """
import json, os
print("ready", flush=True)
input()
print(json.dumps([os.getcwd(), os.environ["HOLD"]]), flush=True)
"""
    settings = {"cwd": tmp_path, "environment": {"HOLD": "on"}}
    answer = run(lambda pool: pool.ask("where?"), sys.executable, "-c", where, **settings)
    assert answer == [str(tmp_path), "on"]


def test_stopping_it_ends_the_process():
    async def work(echo):
        _, process = await echo.ask("a")
        await echo.stop()
        return process

    with pytest.raises(ProcessLookupError):
        os.kill(run(work), 0)
