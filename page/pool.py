"""A worker process that answers questions, one after another, and is started anew when it ends.

What opens pictures from strangers may take long, or crash. Here neither stops the server beside
it, and each has a processor of its own.
"""

import asyncio
import json
import logging
import os
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger(__name__)
MAX_ANSWER_SIZE = 1_000_000  # bytes


class NoAnswerError(Exception):
    """The worker ended, or was stuck, over this question."""


class WorkerPool:
    """Start a program, pass it questions, and start it anew when it has ended.

    The program writes a line to its standard output when it is ready. It reads each question as a
    line of JSON from its standard input, and answers each, in their order, with a line of JSON on
    its standard output. When its input ends, it ends.

    Parameters
    ----------
    command : str
        The program and its arguments.
    cwd : Path, optional
        The folder that it is started in.
    environment : mapping of str to str, optional
        Variables that it gets beside this process's own.
    timeout : float
        Seconds without an answer after which it is taken for stuck, and killed.
    """

    def __init__(
        self,
        *command: str,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 20,
    ):
        self.command = command
        self.cwd = cwd
        self.environment = environment or {}
        self.timeout = timeout
        self._waiting: deque[tuple[bytes, asyncio.Future]] = deque()
        self._process = None
        self._task = None

    def start(self) -> None:
        """Start the worker, if there is none, so that the first question finds it ready."""
        self._task = self._task or asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the worker. Questions that wait for it are not answered."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, *question):
        """Return the worker's answer to a question.

        Parameters
        ----------
        question : JSON values

        Returns
        -------
        answer : a JSON value

        Raises
        ------
        NoAnswerError
            If the worker ended over it. Those that waited behind it are asked again.
        """
        line = json.dumps(question).encode() + b"\n"
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((line, future))
        self.start()
        if self._process:
            self._process.stdin.write(line)
        return await future

    async def _run(self) -> None:
        """Pass on questions and answers from the worker's start to its end."""
        process = watch = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_ANSWER_SIZE,
                cwd=self.cwd,
                env={**os.environ, **self.environment},
                start_new_session=True,  # so that Ctrl-C is for the server, which then ends this
            )
            await process.stdout.readuntil(b"\n")  # ready: on a slow machine that may take long
            watch = asyncio.create_task(self._kill_when_stuck(process))
            process.stdin.writelines(line for line, _ in self._waiting)
            self._process = process
            while True:
                answer = json.loads(await process.stdout.readuntil(b"\n"))
                _, future = self._waiting.popleft()
                if not future.done():  # else nobody waits for it any more
                    future.set_result(answer)
        except Exception as error:  # whatever it is, the next question needs a new worker
            log.error("The worker has ended: %s", type(error).__name__)
        finally:
            self._process = None
            if watch:
                watch.cancel()
            if process:
                if process.returncode is None:
                    process.kill()
                await process.wait()
            self._task = None
        if self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(NoAnswerError())
        if self._waiting:
            self.start()

    async def _kill_when_stuck(self, process) -> None:
        """Kill the worker when it has been busy with one question for `timeout` seconds."""
        while True:
            first = self._waiting[0] if self._waiting else None
            await asyncio.sleep(self.timeout)
            if first and self._waiting and self._waiting[0] is first:
                process.kill()
