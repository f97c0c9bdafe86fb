"""How a process that reads strangers' pictures is forked and ended, and what it forbids itself.

The kernel holds it to these limits whatever a decoder does. Where a system lacks one of them, that
one is left out: Windows has none, macOS all but the memory's.
"""

import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY = 700_000_000  # bytes above what it holds; the largest picture that is read takes 400 MB
FILE = 64_000_000  # bytes of a file that it writes: weights from the Hub, lines in a log
FORK = "--fork"  # the argument of a program that is to fork workers
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # Linux' <sys/prctl.h>


def serve(answer_lines: Callable) -> None:
    """Be the program of a `page.pool.WorkerPool`: a worker, or what forks the workers.

    Parameters
    ----------
    answer_lines : callable
        Given two text files, questions and answers. It prints its process's id when it is ready,
        then for each line [number, question] a line [number, answer], both as JSON.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    if FORK not in sys.argv:
        answer_lines(sys.stdin, answers)
        return
    end_with_parent()
    gc.freeze()  # a collector that looks at what is shared would copy it
    control, workers = socket.socket(fileno=0), {}
    while True:
        place, descriptors, *_ = socket.recv_fds(control, 1, 1)
        if place in workers:
            end_group(workers[place])
            os.waitpid(workers.pop(place), 0)  # until now no other process could have its id
        if not descriptors:
            return
        if (worker := os.fork()) == 0:
            try:
                os.setsid()
                end_with_parent()
                os.dup2(descriptors[0], 0)
                with open(0) as questions, open(descriptors[0], "w") as answers:
                    answer_lines(questions, answers)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)  # what the program has registered for its own end is not for here
        workers[place] = worker
        os.close(descriptors[0])


def limit_process(memory: int = MEMORY) -> None:
    """Limit this process for good, once what it needs to answer is loaded.

    A decoder that asks for more than `memory` bytes beside those gets a MemoryError.
    """
    set_limit("RLIMIT_CORE", 0)  # a crash does not write strangers' pictures to the disk
    set_limit("RLIMIT_FSIZE", FILE)
    if held := data_size():
        set_limit("RLIMIT_DATA", held + memory)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent() -> None:
    """Have the kernel end this process as soon as the one that started it has ended."""
    parent = os.getppid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL if os.name == "posix" else 0)
    if os.getppid() != parent:  # it ended just before
        os._exit(0)


def end_group(process: int) -> None:
    """End a process, and on POSIX what it has started; do nothing if it has ended."""
    with suppress(OSError):
        getattr(os, "killpg", os.kill)(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def set_limit(name: str, most: int) -> None:
    """Lower one of the kernel's limits, the hard one too; never raise one."""
    which = getattr(resource, name, None)
    if which is None:
        return
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(OSError, ValueError):  # a system may have the name alone
        resource.setrlimit(which, (most, most))


def data_size() -> int | None:
    """Return the bytes that RLIMIT_DATA counts of this process, or None where it is unknown.

    Not its whole address space: PyTorch reserves gigabytes of that, and touches a tenth.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def prctl(option: int, value: int) -> None:
    """Set an option of this process on Linux; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
