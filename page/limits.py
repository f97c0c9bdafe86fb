"""What a process that reads strangers' pictures forbids itself.

The kernel holds it to these limits whatever a decoder does. Where a system lacks one of them, that
one is left out: Windows has none, macOS all but the memory's.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

MEMORY = 700_000_000  # bytes above what it holds; the largest picture that is read takes 400 MB
FILE = 64_000_000  # bytes of a file that it writes: weights from the Hub, lines in a log
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # Linux' <sys/prctl.h>


def limit_process(memory: int = MEMORY) -> None:
    """Limit this process for good; to be called when what it needs to answer is loaded.

    Parameters
    ----------
    memory : int
        Bytes that it may take beyond those that it has now. A decoder that asks for more gets a
        MemoryError, which is answered like any other damage.
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
