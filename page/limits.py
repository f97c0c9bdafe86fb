"""Fork, limit and end the processes that decode pictures.

The kernel enforces the limits, even on a decoder that a picture has taken over. Windows has none
of them, macOS all except the memory's.
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

MEMORY = 700_000_000  # bytes that a worker may add; the largest picture takes 400 MB
FILE = 64_000_000  # bytes of a file that it writes: weights from the Hub, a log
FORK = "--fork"  # argument that makes a program fork workers
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # from Linux's <sys/prctl.h>


def serve(answer_lines: Callable) -> None:
    """Run as the program of a `page.pool.WorkerPool`: as a worker, or with `FORK`, fork workers.

    Parameters
    ----------
    answer_lines : callable, called with two text files, requests and answers
        It writes its process id when it is ready. Then it answers each line [number, request]
        with a line [number, answer], both JSON.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print to stdout, which holds answers only
    if FORK not in sys.argv:
        answer_lines(sys.stdin, answers)
        return
    end_with_parent()
    gc.freeze()  # the garbage collector would write to shared memory, and so copy it
    control, workers = socket.socket(fileno=0), {}
    while True:
        slot, descriptors, *_ = socket.recv_fds(control, 1, 1)
        if slot in workers:
            end_group(workers[slot])
            os.waitpid(workers.pop(slot), 0)  # only after this can its id be used again
        if not descriptors:
            return
        if (worker := os.fork()) == 0:
            try:
                os.setsid()
                end_with_parent()
                os.dup2(descriptors[0], 0)
                with open(0) as requests, open(descriptors[0], "w") as answers:
                    answer_lines(requests, answers)
            except BrokenPipeError:
                pass  # the page has ended
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(0)  # skips exit handlers, which belong to the parent program
        workers[slot] = worker
        os.close(descriptors[0])


def limit_process(memory: int = MEMORY) -> None:
    """Limit this process for good; taking more than `memory` further bytes raises MemoryError."""
    set_limit("RLIMIT_CORE", 0)  # a core dump would write visitors' pictures to the disk
    set_limit("RLIMIT_FSIZE", FILE)
    if held := data_size():
        set_limit("RLIMIT_DATA", held + memory)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent() -> None:
    """Make the kernel end this process as soon as its parent ends."""
    parent = os.getppid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL if os.name == "posix" else 0)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(0)


def end_group(process: int) -> None:
    """Kill a process, and on POSIX its process group; do nothing if it has ended."""
    with suppress(OSError):
        getattr(os, "killpg", os.kill)(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def set_limit(name: str, most: int) -> None:
    """Lower a soft and a hard limit of the kernel; never raise one."""
    which = getattr(resource, name, None)
    if which is None:
        return
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with suppress(OSError, ValueError):  # some systems define a limit but don't support it
        resource.setrlimit(which, (most, most))


def data_size() -> int | None:
    """Return the bytes that RLIMIT_DATA counts, or None where Linux's /proc is missing."""
    # Not the address space (RLIMIT_AS): PyTorch reserves gigabytes of it and uses a tenth.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
