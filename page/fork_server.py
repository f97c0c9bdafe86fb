"""Workers that are forked from one process, which has imported all that they need.

PyTorch and OpenCV take a second to import and 300 MB. A forked worker shares these until it
writes to them: it starts in milliseconds, and holds a few megabytes of its own.

    if __name__ == "__main__":
        serve(answer_lines)

`pool.WorkerPool` starts such a program with the argument `--forks`, a socket as its standard
input, and sends it another socket for each worker that it wants. Without the argument the program
itself is the one worker, as on Windows.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from page.limits import end_with_parent

ARGUMENT = "--forks"
AnswerLines = Callable[[TextIO, TextIO], None]


def serve(answer_lines: AnswerLines) -> None:
    """Answer lines here, or in as many processes as are asked for; return at the input's end.

    Parameters
    ----------
    answer_lines : callable
        Given the questions and where the answers go, both as lines of text. It writes
        `ready_line()` when it can answer.
    """
    if ARGUMENT not in sys.argv[1:]:
        with os.fdopen(os.dup(1), "w") as answers:
            os.dup2(2, 1)  # what a library prints is no answer
            answer_lines(sys.stdin, answers)
        return
    os.dup2(2, 1)
    end_with_parent()
    control = socket.socket(fileno=os.dup(0))
    gc.freeze()  # a collector that looks at what is shared would copy it
    workers = set()
    while True:
        _, descriptors, *_ = socket.recv_fds(control, 1, 1)
        # Reaped only now: until here the pool may send a signal to one, which must not have
        # passed its number on to another process.
        workers = {worker for worker in workers if os.waitpid(worker, os.WNOHANG)[0] == 0}
        if not descriptors:
            break
        if (worker := os.fork()) == 0:
            control.close()
            work(answer_lines, descriptors[0])
        workers.add(worker)
        os.close(descriptors[0])
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def work(answer_lines: AnswerLines, descriptor: int) -> None:
    """Be a worker, in a process group of its own, until the socket's other end is closed."""
    status = 1
    try:
        os.setsid()
        end_with_parent()
        os.dup2(descriptor, 0)
        os.close(descriptor)
        with open(0, closefd=False) as questions, os.fdopen(os.dup(0), "w") as answers:
            answer_lines(questions, answers)
        status = 0
    except BrokenPipeError:
        status = 0  # nobody waits for the answer any more
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)  # what the parent has registered for its own end is not for here


def ready_line() -> str:
    """Return the line that a worker begins with: which process it is."""
    return f"ready {os.getpid()}\n"
