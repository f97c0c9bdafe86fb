"""Processes that answer questions, one at a time; whatever ends one, the next is ready.

What reads pictures from strangers may take long, take all memory, or crash. Here it costs the
answer to one question: a spare process takes over, and there are two processors for the page and
for the worker.
"""

import asyncio
import json
import logging
import sys
from collections import deque
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from page.fair_queue import FairQueue
from page.launcher import Launcher, Worker

log = logging.getLogger(__name__)
IN_HAND = 2  # questions that a worker holds: the one that it answers, and another asker's
PAUSE = 0.1  # seconds between two starts, at least, should each worker end at once
SECOND_LOOK = 0.05  # seconds
BUSY = "Many people are asking at once. Please try again in a minute."


class NoAnswerError(Exception):
    """The worker ended, or took too long, over this question."""


class BusyError(Exception):
    """Too many questions wait already; the message is fit for the page."""


class Question(NamedTuple):
    """A line for the worker, who waits for its answer, and who asks, if that is known."""

    line: bytes
    future: asyncio.Future
    asker: Hashable


class WorkerPool:
    """Two processes of a program: one answers, and one is its spare.

    The program writes `fork_server.ready_line()` when it can answer, gets each question as a line
    of JSON, and answers each, in their order, with another line.

    Parameters
    ----------
    command : str
        The program and its arguments.
    cwd : Path, optional
        The folder that it is started in.
    environment : mapping of str to str, optional
        Variables that it gets beside this process's own.
    seconds : float
        How long a worker may take for one question.
    longest_queue, longest_line : int
        Questions that wait, at most: in all, and of one asker.
    longest_answer : int
        Bytes of an answer, at most.
    forks : bool
        Whether the program forks its workers (`fork_server.serve`); else it is one itself.
    """

    def __init__(
        self,
        *command: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        seconds: float = 3.0,
        longest_queue: int = 100,
        longest_line: int = 20,
        longest_answer: int = 1_000_000,
        forks: bool = sys.platform == "linux",
    ):
        self.seconds = seconds
        self.longest_queue, self.longest_line = longest_queue, longest_line
        self.launcher = Launcher(command, cwd, environment or {}, longest_answer, forks)
        self.waiting = FairQueue()
        self.asked: deque[Question] = deque()  # the first is being answered
        self.worker: Worker | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timed: Question | None = None
        self.life: asyncio.Task | None = None

    def start(self) -> None:
        """Start the processes, if there are none, so that the first question finds one ready."""
        self.life = self.life or asyncio.create_task(self._live())

    async def stop(self) -> None:
        """End the processes, and the questions that wait with them."""
        if self.life:
            self.life.cancel()
            await asyncio.gather(self.life, return_exceptions=True)
        for question in (*self.asked, *self.waiting):
            question.future.cancel()

    async def ask(self, *question, asker: Hashable = None):
        """Return the answer to a question, both as JSON has them.

        Parameters
        ----------
        asker : hashable
            Who asks, if that is known. Askers are answered in turn.

        Raises
        ------
        NoAnswerError
            If the worker ended over it, or took too long. Those that wait behind it are asked of
            the spare.
        BusyError
            If `longest_queue` questions wait already, or `longest_line` of this asker.
        """
        if self._is_full(asker):
            self.waiting.keep(lambda waiting: not waiting.future.done())
            if self._is_full(asker):
                raise BusyError(BUSY)
        future = asyncio.get_running_loop().create_future()
        line = json.dumps(question).encode() + b"\n"
        self.waiting.append(Question(line, future, asker), asker)
        self.start()
        self._pass_on()
        return await future

    def _is_full(self, asker: Hashable) -> bool:
        own = 0 if asker is None else self.waiting.count(asker)
        return len(self.waiting) >= self.longest_queue or own >= self.longest_line

    async def _live(self) -> None:
        """Have a worker answer and another be ready, until there is none to be had."""
        spare = asyncio.create_task(self.launcher.begin())
        try:
            while True:
                try:
                    worker = await spare
                except Exception:  # something may have ended it while it waited
                    worker = await self.launcher.begin()
                spare = asyncio.create_task(self.launcher.begin(PAUSE))
                await self._answer(worker)
        except Exception as error:
            log.error("No worker starts: %s", type(error).__name__)
            for question in self.waiting:
                if not question.future.done():
                    question.future.set_exception(NoAnswerError())
            self.waiting = FairQueue()
        finally:
            spare.cancel()
            with suppress(Exception, asyncio.CancelledError):
                (await spare).kill()
            await self.launcher.end()
            self.life = None
        if self.waiting:  # since
            self.start()

    async def _answer(self, worker: Worker) -> None:
        """Pass on questions and answers until the worker ends."""
        self.worker = worker
        self._pass_on()
        try:
            while True:
                answer = json.loads(await worker.reader.readuntil(b"\n"))
                future = self.asked.popleft().future
                if not future.done():  # else nobody waits for it any more
                    future.set_result(answer)
                self._pass_on()
        except Exception as error:  # whatever it is, the next question needs another worker
            log.error("A worker has ended: %s", type(error).__name__)
        finally:
            self.worker = None
            self._set_timer()
            worker.kill()
        if self.asked:
            future = self.asked.popleft().future
            if not future.done():
                future.set_exception(NoAnswerError())
        self.waiting.put_back(self.asked)
        self.asked.clear()

    def _pass_on(self) -> None:
        """Ask the worker what somebody still waits for, up to `IN_HAND` questions at once.

        Who asks for much has one of them, so that the next visitor waits for no more than that.
        """
        while self.worker and len(self.asked) < IN_HAND:
            in_hand = {question.asker for question in self.asked} - {None}
            question = self.waiting.pop(besides=in_hand)
            if question is None:
                break
            if not question.future.done():
                self.worker.writer.write(question.line)
                self.asked.append(question)
        self._set_timer()

    def _set_timer(self) -> None:
        """Time the question that is being answered, from when the one before it was."""
        first = self.asked[0] if self.worker and self.asked else None
        if first is self.timed:
            return
        if self.timer:
            self.timer.cancel()
        self.timed = first
        if first:
            self.timer = asyncio.get_running_loop().call_later(self.seconds, self._look_again)

    def _look_again(self) -> None:
        # Where the page itself stood still, the answer may be here, not read yet.
        self.timer = asyncio.get_running_loop().call_later(SECOND_LOOK, self._give_up)

    def _give_up(self) -> None:
        log.error("A question takes longer than %g s", self.seconds)
        self.worker.kill()
