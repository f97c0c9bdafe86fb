"""Two workers answer questions, each one at a time; whatever ends a worker costs one answer.

On Linux one program imports PyTorch and OpenCV, in a second and 300 MB, and forks the workers,
which share them (`page.limits.serve`). Elsewhere each worker is a program of its own.
"""

import asyncio
import json
import logging
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Hashable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from page.limits import FORK, end_group

log = logging.getLogger(__name__)
MAX_ANSWER = 1_000_000  # bytes
START = 60  # seconds in which a worker has to be ready: a slow machine may take long
PAUSE, RETRY = 0.1, 1.0  # seconds until the next start: after a worker's end, when none starts
SECOND_LOOK = 0.05  # seconds


class NoAnswerError(Exception):
    """The worker ended, or took too long, over this question."""


class BusyError(Exception):
    """Too many questions wait already; the message is fit for the page."""


class Question(NamedTuple):
    words: str  # as JSON
    client: Hashable
    answer: asyncio.Future

    def settle(self, answer=None, error: Exception | None = None) -> None:
        if not self.answer.done():  # else nobody waits for it any more
            self.answer.set_exception(error) if error else self.answer.set_result(answer)


@dataclass(eq=False)
class Worker:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    question: Question | None = None  # in hand
    timeout: asyncio.Timeout | None = None  # when that runs out is the question's number, too


@dataclass(eq=False)
class WorkerPool:
    """Two workers of a program that calls `page.limits.serve`."""

    command: tuple[str, ...]  # the program and its arguments
    cwd: os.PathLike | None = None  # the folder that it is started in
    environment: dict[str, str] = field(default_factory=dict)  # that it gets beside this process's
    seconds: float = 3.0  # that a worker may take for a question
    longest_queue: int = 100  # questions that wait, at most: in all
    longest_line: int = 20  # and of one client
    forks: bool = sys.platform == "linux"
    waiting: list[Question] = field(default_factory=list)  # the first one's client is next
    workers: list[Worker] = field(default_factory=list)  # the ready; the first is idle longest
    running: asyncio.Future | None = None
    programs: list[Process] = field(default_factory=list)

    def start(self) -> None:
        """Start the workers, if there are none, so that the first question finds one ready."""
        if not self.running or self.running.done():
            self.starting = asyncio.Lock()
            self.running = asyncio.gather(self._keep(b"1"), self._keep(b"2"))

    async def stop(self) -> None:
        """End all processes; whoever still waits gets a NoAnswerError."""
        if self.running:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self._give_up()

    async def ask(self, *question, client: Hashable = None):
        """Return the answer to a question, both as JSON has them.

        Parameters
        ----------
        client : hashable
            Who asks. Clients take turns, and each has one question with the workers at most. None
            is unknown, and somebody else each time.

        Raises
        ------
        NoAnswerError
            If the worker ended over it or took too long, or if none starts.
        BusyError
            If `longest_queue` questions wait, or `longest_line` of this client.
        """
        client = object() if client is None else client
        own = sum(other.client == client for other in self.waiting)
        if len(self.waiting) >= self.longest_queue or own >= self.longest_line:
            raise BusyError("The page is busy. Please try again in a minute.")
        self.waiting.append(asked := Question(json.dumps(question), client, asyncio.Future()))
        self.start()
        self._pass_on()
        try:
            return await asked.answer
        finally:
            if asked in self.waiting:  # who asked has left
                self.waiting.remove(asked)

    def _pass_on(self) -> None:
        """Give waiting questions to idle workers."""
        for worker in [worker for worker in self.workers if not worker.question]:
            busy = {other.question.client for other in self.workers if other.question}
            may = (q for q in self.waiting if q.client not in busy and not q.answer.done())
            if question := next(may, None):
                self.waiting.remove(question)
                self.waiting.sort(key=lambda q: q.client == question.client)  # behind all others
                self.workers.sort(key=lambda other: other is worker)
                worker.question, ends = question, asyncio.get_running_loop().time() + self.seconds
                worker.timeout.reschedule(ends)
                worker.writer.write(f"[{ends}, {question.words}]\n".encode())

    async def _keep(self, place: bytes) -> None:
        """Keep a worker in this place."""
        while True:
            worker = None
            try:
                async with AsyncExitStack() as stack:
                    worker = await self._begin(place, stack)
                    await self._answer(worker)
            except Exception as error:
                log.error("A worker failed: %s", type(error).__name__)
            await asyncio.sleep(PAUSE)
            if not worker and not self.workers:
                await self._give_up()
                while not self.waiting:
                    await asyncio.sleep(RETRY)

    async def _answer(self, worker: Worker) -> None:
        """Pass on questions and answers until the worker ends, or does what it may not."""
        self.workers.append(worker)
        try:
            while True:
                try:
                    async with asyncio.timeout(None) as worker.timeout:
                        self._pass_on()
                        line = await worker.reader.readuntil(b"\n")
                except TimeoutError:  # where the page itself stood still, the answer may be here
                    async with asyncio.timeout(SECOND_LOOK):
                        line = await worker.reader.readuntil(b"\n")
                number, answer = json.loads(line)
                if number != worker.timeout.when():
                    raise ValueError
                worker.question.settle(answer)
                worker.question = None
        finally:
            self.workers.remove(worker)
            if worker.question:
                worker.question.settle(error=NoAnswerError())
            self._pass_on()

    async def _begin(self, place: bytes, stack: AsyncExitStack) -> Worker:
        """Start a worker; the stack ends it, and whatever it has started."""
        self.programs = [program for program in self.programs if program.returncode is None]
        if self.forks:
            async with self.starting:
                if not self.programs:
                    self.control, theirs = socket.socketpair()
                    with theirs:
                        await self._run(FORK, stdin=theirs)
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self.control, [place], [theirs.fileno()])
            reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_ANSWER)
        else:
            program = await self._run(stdin=PIPE, stdout=PIPE)
            stack.callback(end_group, program.pid)
            reader, writer = program.stdout, program.stdin
        stack.callback(writer.close)
        async with asyncio.timeout(START):
            stack.callback(end_group, int(await reader.readuntil(b"\n")))
        return Worker(reader, writer)

    async def _run(self, *arguments: str, **streams) -> Process:
        streams |= {"limit": MAX_ANSWER, "start_new_session": True}  # so Ctrl-C is for the page
        how = {"cwd": self.cwd, "env": os.environ | self.environment, **streams}
        program = await asyncio.create_subprocess_exec(*self.command, *arguments, **how)
        self.programs.append(program)
        return program

    async def _give_up(self) -> None:
        """Tell all who wait, and end all processes."""
        for question in self.waiting:
            question.settle(error=NoAnswerError())
        for program in self.programs:
            if program.returncode is None:
                end_group(program.pid)
            await program.wait()
