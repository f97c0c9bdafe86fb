"""The workers: each client gets the answer to its own question, in turn, whatever ends a worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from serving import ROOT, children

from page.pool import BusyError, NoAnswerError, WorkerPool

pytestmark = pytest.mark.anyio

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
        number, (question,) = json.loads(line)
        if question == "end": os._exit(1)
        if question == "sleep": time.sleep(600)
        if question == "nap": time.sleep(0.2)
        if question == "flood": print("x" * 2_000_000, file=answers)
        said = json.dumps([number, [question, os.getpid(), begun, time.monotonic()]])
        print(said, *[said] * (question == "repeat"), sep="\\n", file=answers, flush=True)

serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=[True, False], ids=["forks", "starts"])
def forks(request):
    return request.param and sys.platform == "linux"


@asynccontextmanager
async def workers(*program, **options):
    pool = WorkerPool((sys.executable, *(program or ("-c", ECHO))), **options)
    try:
        async with asyncio.timeout(60):
            if not program:
                await ready(pool)
            yield pool
    finally:
        await pool.stop()


async def ready(pool) -> set[int]:
    """Wait for two workers that answer; return their processes."""
    while True:
        answers = await ask_all(pool, "nap", "nap")
        if len(processes := {answer[1] for answer in answers if isinstance(answer, list)}) == 2:
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


def descendants(process: int) -> list[int]:
    return [each for child in children(process) for each in (child, *descendants(child))]


async def test_each_gets_the_answer_to_its_own_question_from_either_worker(forks):
    questions = [f"question {number} ñ\n" for number in range(90)] + ["x" * 500_000]
    async with workers(forks=forks) as pool:
        answers = await ask_all(pool, *questions)
    assert said(answers) == questions
    assert len({process for _, process, *_ in answers}) == 2


async def test_who_ends_a_worker_gets_no_answer_and_the_others_theirs(forks, caplog):
    questions = ["a", "end", "b", "flood", "c", "sleep", "d"]
    async with workers(forks=forks, seconds=1) as pool:
        answers = await ask_all(pool, *questions)
    assert said(answers) == [q if len(q) == 1 else NoAnswerError for q in questions]
    assert len(caplog.messages) == 3, "one was asked again"


async def test_a_worker_that_answers_twice_is_ended_and_nobody_gets_anothers_answer(caplog):
    async with workers() as pool:
        answers = await ask_all(pool, *["repeat", "b"] * 5)
    assert {*said(answers[::2])} <= {"repeat", NoAnswerError}
    assert {*said(answers[1::2])} <= {"b", NoAnswerError}
    assert "ValueError" in caplog.text


async def test_who_is_behind_a_stuck_question_does_not_wait_for_its_end(forks):
    async with workers(forks=forks, seconds=1) as pool:
        (stuck,) = begin(pool, "sleep")
        await asyncio.sleep(0)
        assert (await pool.ask("a"))[0] == "a" and not stuck.done()
        with pytest.raises(NoAnswerError):
            await stuck


async def test_askers_take_turns_and_each_has_one_question_with_the_workers():
    async with workers() as pool:
        alone = await ask_all(pool, "nap", "nap", client="a")  # though a worker is idle
        many = [begin(pool, "nap", "nap", "nap", client=client) for client in "ab"]
        late = await pool.ask("nap", client="c")
        answers = [await asyncio.gather(*own) for own in many]
    for own in (alone, *answers):
        assert all(before[3] <= after[2] for before, after in pairwise(own))
    assert late[2] < max(own[1][2] for own in answers)


async def test_who_leaves_has_no_more_questions_asked_and_no_second_with_the_workers():
    async with workers(seconds=1) as pool:
        gone = begin(pool, *["sleep"] * 9, client="one")
        await asyncio.sleep(0.05)
        for task in gone:
            task.cancel()
        left = time.monotonic()
        assert (await pool.ask("b", client="one"))[0] == "b"
        assert 0.5 < time.monotonic() - left < 5


async def test_the_queue_is_bounded_and_says_so_and_one_asker_does_not_fill_it():
    async with workers(max_waiting=3, max_waiting_of_one=2) as pool:
        many = begin(pool, *["nap"] * 3, client="many")  # of which one is with a worker
        others = begin(pool, "nap", "nap")  # of these, too
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="try again"):
            await pool.ask("b")
        others[-1].cancel()  # who has left takes no place
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.ask("b", client="many")
        assert said(await asyncio.gather(pool.ask("b"), *many)) == ["b", "nap", "nap", "nap"]


async def test_where_none_starts_all_are_told_and_the_next_may(forks, tmp_path, caplog):
    (program := tmp_path / "program").write_text("raise SystemExit(1)")
    async with workers(str(program), forks=forks) as pool:
        assert said(await ask_all(pool, "my secret", "b")) == [NoAnswerError] * 2
        await asyncio.sleep(0.5)
        assert len(caplog.messages) <= 4, "it tries without a pause, though nobody asks"
        assert "secret" not in caplog.text
        program.write_text(ECHO)
        while said(answers := await ask_all(pool, "d")) == [NoAnswerError]:
            await asyncio.sleep(0.1)
        assert said(answers) == ["d"]


async def test_what_forks_the_workers_is_replaced_too():
    async with workers() as pool:
        before = await ready(pool)
        os.kill(pool.programs[0].pid, signal.SIGKILL)
        while before & await ready(pool):
            await asyncio.sleep(0.02)


async def stay():
    async with workers() as pool:
        begin(pool, "sleep")
        print("ready", flush=True)
        await asyncio.sleep(50)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_page_is_interrupted_or_killed(how):
    """By Ctrl-C, which all processes of a terminal get; though a worker is stuck."""
    page = f"import sys; sys.path[:0] = {sys.path!r}; from test_pool import *; asyncio.run(stay())"
    command = sys.executable, "-c", page
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as server:
        assert server.stdout.readline()
        processes = descendants(server.pid)
        assert len(processes) >= 2
        os.killpg(server.pid, how)
    deadline = time.monotonic() + 20
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline, "some are left"
        time.sleep(0.02)
