"""Two worker processes behind a fair queue. A worker that crashes loses one answer only.

On Linux, one program imports PyTorch and OpenCV (1 s, 300 MB) and forks the workers, which share
this memory (`page.limits.serve`). Elsewhere each worker is a program of its own.
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
START_TIMEOUT = 60  # seconds; a slow machine takes long
RESTART_PAUSE, RETRY_PAUSE = 0.1, 1.0  # seconds: after a worker ends, after none could start
GRACE = 0.05  # seconds beyond the timeout, if this process was late itself


class NoAnswerError(Exception):
    """The worker crashed or took too long."""


class BusyError(Exception):
    """Too many requests are waiting. The page shows the message."""


class Request(NamedTuple):
    text: str  # JSON
    client: Hashable
    answer: asyncio.Future

    def settle(self, answer=None, error: Exception | None = None) -> None:
        if not self.answer.done():  # the client may have left
            self.answer.set_exception(error) if error else self.answer.set_result(answer)


@dataclass(eq=False)
class Worker:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    request: Request | None = None  # the one that it is answering
    timeout: asyncio.Timeout | None = None  # its deadline is also the number of the request


@dataclass(eq=False)
class WorkerPool:
    """Two workers of a program that calls `page.limits.serve`, and the requests that wait."""

    command: tuple[str, ...]  # the program and its arguments
    cwd: os.PathLike | None = None  # the folder to start it in
    environment: dict[str, str] = field(default_factory=dict)  # added to this process's
    seconds: float = 3.0  # timeout of a request
    max_waiting: int = 100  # limit of waiting requests
    max_waiting_of_one: int = 20  # limit of one client's waiting requests
    forks: bool = sys.platform == "linux"
    waiting: list[Request] = field(default_factory=list)  # next first
    workers: list[Worker] = field(default_factory=list)  # those that are ready, longest idle first
    running: asyncio.Future | None = None
    programs: list[Process] = field(default_factory=list)

    def start(self) -> None:
        """Start the workers, unless they are started."""
        if not self.running or self.running.done():
            self.starting = asyncio.Lock()
            self.running = asyncio.gather(self._keep_worker(b"1"), self._keep_worker(b"2"))

    async def stop(self) -> None:
        """End all processes; waiting requests raise NoAnswerError."""
        if self.running:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self._fail_all()

    async def ask(self, *request, client: Hashable = None):
        """Return a worker's answer to a request, both JSON values.

        Parameters
        ----------
        client : hashable
            Clients take turns, and a client occupies at most one worker. None counts as a new
            client each time.

        Raises
        ------
        NoAnswerError
            If the worker crashes or takes too long, or if none starts.
        BusyError
            If `max_waiting` requests are waiting, or `max_waiting_of_one` of this client.
        """
        client = object() if client is None else client
        own = sum(other.client == client for other in self.waiting)
        if len(self.waiting) >= self.max_waiting or own >= self.max_waiting_of_one:
            raise BusyError("The page is busy. Please try again in a minute.")
        self.waiting.append(asked := Request(json.dumps(request), client, asyncio.Future()))
        self.start()
        self._pass_on()
        try:
            return await asked.answer
        finally:
            if asked in self.waiting:  # the client has left
                self.waiting.remove(asked)

    def _pass_on(self) -> None:
        for worker in [worker for worker in self.workers if not worker.request]:
            busy = {other.request.client for other in self.workers if other.request}
            may = (r for r in self.waiting if r.client not in busy and not r.answer.done())
            if request := next(may, None):
                self.waiting.remove(request)
                self.waiting.sort(key=lambda r: r.client == request.client)  # clients take turns
                self.workers.sort(key=lambda other: other is worker)
                worker.request, ends = request, asyncio.get_running_loop().time() + self.seconds
                worker.timeout.reschedule(ends)
                worker.writer.write(f"[{ends}, {request.text}]\n".encode())

    async def _keep_worker(self, slot: bytes) -> None:
        while True:
            worker = None
            try:
                async with AsyncExitStack() as stack:
                    worker = await self._start_worker(slot, stack)
                    await self._answer(worker)
            except Exception as error:
                log.error("A worker failed: %s", type(error).__name__)
            await asyncio.sleep(RESTART_PAUSE)
            if not worker and not self.workers:
                await self._fail_all()
                while not self.waiting:
                    await asyncio.sleep(RETRY_PAUSE)

    async def _answer(self, worker: Worker) -> None:
        """Serve requests by a worker until it ends, fails or exceeds a request's time."""
        self.workers.append(worker)
        try:
            while True:
                try:
                    async with asyncio.timeout(None) as worker.timeout:
                        self._pass_on()
                        line = await worker.reader.readuntil(b"\n")
                except TimeoutError:  # if this process was late itself, the answer may be here
                    async with asyncio.timeout(GRACE):
                        line = await worker.reader.readuntil(b"\n")
                number, answer = json.loads(line)
                if number != worker.timeout.when():
                    raise ValueError
                worker.request.settle(answer)
                worker.request = None
        finally:
            self.workers.remove(worker)
            if worker.request:
                worker.request.settle(error=NoAnswerError())
            self._pass_on()

    async def _start_worker(self, slot: bytes, stack: AsyncExitStack) -> Worker:
        """Start a worker; the stack ends it and its child processes."""
        self.programs = [program for program in self.programs if program.returncode is None]
        if self.forks:
            async with self.starting:
                if not self.programs:
                    self.control, theirs = socket.socketpair()
                    with theirs:
                        await self._run(FORK, stdin=theirs)
            ours, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(self.control, [slot], [theirs.fileno()])
            reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_ANSWER)
        else:
            program = await self._run(stdin=PIPE, stdout=PIPE)
            stack.callback(end_group, program.pid)
            reader, writer = program.stdout, program.stdin
        stack.callback(writer.close)
        async with asyncio.timeout(START_TIMEOUT):
            stack.callback(end_group, int(await reader.readuntil(b"\n")))
        return Worker(reader, writer)

    async def _run(self, *arguments: str, **streams) -> Process:
        # In a session of its own, a worker doesn't get the Ctrl-C that stops the page.
        streams |= {"limit": MAX_ANSWER, "start_new_session": True}
        how = {"cwd": self.cwd, "env": os.environ | self.environment, **streams}
        program = await asyncio.create_subprocess_exec(*self.command, *arguments, **how)
        self.programs.append(program)
        return program

    async def _fail_all(self) -> None:
        """Fail all waiting requests and end all processes."""
        for request in self.waiting:
            request.settle(error=NoAnswerError())
        for program in self.programs:
            if program.returncode is None:
                end_group(program.pid)
            await program.wait()
