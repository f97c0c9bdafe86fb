"""Start workers: each a process of a program, or forked by one such process."""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from page.fork_server import ARGUMENT

START = 60  # seconds in which a worker has to be ready: a slow machine may take long
END = 3  # seconds in which the program ends by itself


@dataclass(frozen=True)
class Worker:
    """A process, and the two ends of what it is asked and answers."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    process_id: int

    def kill(self) -> None:
        """End it, and whatever it has started."""
        self.writer.close()
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process_id, signal.SIGKILL)
            else:
                os.kill(self.process_id, signal.SIGTERM)  # Windows' way to end a process


class Launcher:
    """What starts a program's workers and sees to it that none is left.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    cwd : Path or None
        The folder that it is started in.
    environment : mapping of str to str
        Variables that it gets beside this process's own.
    limit : int
        Bytes of a line that a worker writes, at most.
    forks : bool
        Whether the program forks its workers (`fork_server.serve`); else it is one itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path | None,
        environment: Mapping[str, str],
        limit: int,
        forks: bool,
    ):
        self.command, self.cwd, self.environment = command, cwd, environment
        self.limit, self.forks = limit, forks
        self.programs: list[Process] = []
        self.control: socket.socket | None = None

    async def begin(self, pause: float = 0) -> Worker:
        """Return a new worker that is ready, started after a pause (seconds)."""
        await asyncio.sleep(pause)
        self.programs = [program for program in self.programs if program.returncode is None]
        return await asyncio.wait_for(self._fork() if self.forks else self._start(), START)

    async def end(self) -> None:
        """Wait until no process is left; the workers have been killed by now."""
        if self.control:
            self.control.close()  # at which the program ends its workers, and itself
            self.control = None
        for program in self.programs:
            with suppress(TimeoutError):
                await asyncio.wait_for(program.wait(), END)
            if program.returncode is None:
                program.kill()
                await program.wait()

    async def _start(self) -> Worker:
        program = await self._run(stdin=PIPE, stdout=PIPE)
        worker = Worker(program.stdout, program.stdin, program.pid)
        try:
            await program.stdout.readuntil(b"\n")
        except BaseException:
            worker.kill()
            raise
        return worker

    async def _fork(self) -> Worker:
        if not self.programs:
            self.control, theirs = socket.socketpair()
            with theirs:
                await self._run(ARGUMENT, stdin=theirs)
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.control, [b"1"], [theirs.fileno()])
        reader, writer = await asyncio.open_connection(sock=ours, limit=self.limit)
        try:
            _, process_id = (await reader.readuntil(b"\n")).split()
        except BaseException:
            writer.close()  # at which the worker ends
            raise
        return Worker(reader, writer, int(process_id))

    async def _run(self, *arguments: str, **streams) -> Process:
        program = await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            **streams,
            limit=self.limit,
            cwd=self.cwd,
            env={**os.environ, **self.environment},
            start_new_session=True,  # so that Ctrl-C is for the server, which then ends this
        )
        self.programs.append(program)
        return program
