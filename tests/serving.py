"""Start the page's server, or one like it, wait until it answers, and measure its memory."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = (sys.executable, str(ROOT / "app.py"))
NOTHING_READ = """
import app
async def constant(request, *question):
    return [["7", 1.0]], "That is a 7.", None, []
app._ask = constant
app.demo.launch()
"""
CONSTANT_PAGE = (sys.executable, "-c", NOTHING_READ)  # the same page, but its answer is a constant


class Server(NamedTuple):
    url: str  # with a slash at its end
    process: subprocess.Popen


@contextmanager
def serve(
    command: Sequence[str] = PAGE, log: Path | None = None, **environment: str
) -> Iterator[Server]:
    """Run a program that serves at 127.0.0.1, on the port GRADIO_SERVER_PORT, in a context.

    Its variables are this process's and these. Its output goes to the log; without one its
    standard output is dropped. RuntimeError is raised if it does not answer within 120 seconds.
    """
    with socket.socket() as probe:  # a port that nobody listens on
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = log.open("w") if log else None
    variables = {**os.environ, "GRADIO_SERVER_PORT": str(port), **environment}
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=file or subprocess.DEVNULL, stderr=file
    )
    server = Server(f"http://127.0.0.1:{port}/", process)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError):
                urllib.request.urlopen(server.url, timeout=5).close()
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{command} does not serve: {log.read_text() if log else ''}")
        yield server
    finally:
        process.terminate()
        process.wait(10)
        if file:
            file.close()


def children(process_id: int) -> list[int]:
    """Return the processes that a process has started (Linux)."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(child) for task in tasks for child in read_process(task).split()]


def pss_memory(process_id: int) -> float:
    """Return the memory of a process and its descendants, in MB; what they share counts once."""
    held = re.search(r"^Pss:\s+(\d+)", read_process(f"/proc/{process_id}/smaps_rollup"), re.M)
    own = int(held[1]) * 1024 / 1e6 if held else 0
    return own + sum(map(pss_memory, children(process_id)))


def read_process(file: str | Path) -> str:
    """Return a file that tells of a process, or "" if that has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(file).read_text()
    return ""
