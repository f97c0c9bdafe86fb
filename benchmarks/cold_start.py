"""From `python app.py` to the first answer, at home and as in a Space, beside two imports alone.

python benchmarks/cold_start.py
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
from load import ask, questions
from serving import pss_memory, serve
from space_host import SPACE

UNREACHABLE = "http://127.0.0.1:9"  # the Hub: it is not what is measured
SETTLE = 5  # s until the workers and Gradio's reloader, of a Space, have started
IMPORTS = [sys.executable, "-c", "import torch, gradio"]


def imports() -> float:
    """Return the time that the imports alone take (s)."""
    started = time.perf_counter()
    subprocess.run(IMPORTS, check=True)
    return time.perf_counter() - started


def first_answer(**environment: str) -> tuple[float, float]:
    """Return the time from the page's start to its first answer (s), and its memory (MB)."""
    started = time.perf_counter()
    with serve(log=Path(os.devnull), **environment) as server:

        async def answer() -> None:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
                drawing, _ = await questions(http)
                await ask(http, *drawing)

        asyncio.run(answer())
        seconds = time.perf_counter() - started
        time.sleep(SETTLE)
        return seconds, pss_memory(server.process.pid)


def main() -> None:
    in_space = SPACE | {"HF_ENDPOINT": UNREACHABLE}
    imports(), first_answer(), first_answer(**in_space)  # files are then in the system's cache
    rounds = [(imports(), first_answer(), first_answer(**in_space)) for _ in range(5)]
    bare = statistics.median(alone for alone, _, _ in rounds)
    print(f"the imports alone: {bare:.2f} s")
    for name, index in (("at home", 1), ("as in a Space", 2)):
        seconds, memory = zip(*(times[index] for times in rounds), strict=True)
        ratio = statistics.median(s / times[0] for s, times in zip(seconds, rounds, strict=True))
        print(
            f"first answer {name}: {statistics.median(seconds):.2f} s, {ratio:.2f} times the "
            f"imports; {statistics.median(memory):.0f} MB"
        )
    ratio = statistics.median(space[0] / home[0] for _, home, space in rounds)
    print(f"as in a Space / at home: {ratio:.2f}")


if __name__ == "__main__":
    main()
