"""A program in a process of its own that answers questions, one after another.

What reads pictures from strangers may take long, or be brought to an end by one of them. Here
neither stops the server beside it, and there are two processors for the two.
"""

import asyncio
import json
import logging
from asyncio.subprocess import PIPE
from collections import deque
from pathlib import Path

log = logging.getLogger(__name__)
PATIENCE = 20  # seconds without an answer, after which the process is taken for stuck
LONGEST = 1_000_000  # bytes of an answer


class NoAnswer(Exception):
    """The process ended, or was stuck, over this question."""


class Reader:
    """Start a program, pass it questions, and start it anew when it has ended.

    It writes a line on its standard output when it is ready; it gets each question as a line of
    JSON on its standard input, and answers each, in their order, with a line of JSON on its
    standard output. When the input ends, it does.

    Parameters
    ----------
    command : the program and its arguments
    cwd : the folder that it is started in
    """

    def __init__(self, *command: str, cwd: Path | None = None):
        self.command = command
        self.cwd = cwd
        self.waiting: deque[tuple[bytes, asyncio.Future]] = deque()
        self.process = None
        self.life = None

    def start(self) -> None:
        """Start the process, if there is none, so that the first question finds it ready."""
        self.life = self.life or asyncio.create_task(self._live())

    async def stop(self) -> None:
        """End the process, and the questions that wait with it."""
        if self.life:
            self.life.cancel()
            await asyncio.gather(self.life, return_exceptions=True)

    async def ask(self, *question):
        """Give the answer to a question, both as JSON has them.

        Raises
        ------
        NoAnswer
            If the process ended over it. Those that waited behind it are asked again.
        """
        line = json.dumps(question).encode() + b"\n"
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((line, future))
        self.start()
        if self.process:
            self.process.stdin.write(line)
        return await future

    async def _live(self) -> None:
        """Pass on questions and answers from the process' start to its end."""
        process = watch = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=PIPE,
                stdout=PIPE,
                limit=LONGEST,
                cwd=self.cwd,
                start_new_session=True,  # so that Ctrl-C is for the server, which then ends this
            )
            await process.stdout.readuntil(b"\n")  # ready: a slow machine may take long to start it
            watch = asyncio.create_task(self._end_when_stuck(process))
            process.stdin.writelines(line for line, _ in self.waiting)
            self.process = process
            while True:
                answer = json.loads(await process.stdout.readuntil(b"\n"))
                _, future = self.waiting.popleft()
                if not future.done():  # else nobody waits for it any more
                    future.set_result(answer)
        except Exception as error:  # whatever it is, the next question needs a new process
            log.error("The reader has ended: %s", type(error).__name__)
        finally:
            self.process = None
            if watch:
                watch.cancel()
            if process:
                if process.returncode is None:
                    process.kill()
                await process.wait()
            self.life = None
        if self.waiting:
            _, future = self.waiting.popleft()
            if not future.done():
                future.set_exception(NoAnswer())
        if self.waiting:
            self.start()

    async def _end_when_stuck(self, process) -> None:
        while True:
            first = self.waiting[0] if self.waiting else None
            await asyncio.sleep(PATIENCE)
            if first and self.waiting and self.waiting[0] is first:
                process.kill()
