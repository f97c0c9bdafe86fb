"""From `python app.py` to the first answer, beside importing torch and gradio alone.

python benchmarks/cold_start.py
"""

import asyncio
import statistics
import subprocess
import sys
import time

import httpx2 as httpx
from load import ask, questions
from serving import serve

IMPORTS = [sys.executable, "-c", "import torch, gradio"]


def imports() -> float:
    """Return the time that the imports alone take (s)."""
    started = time.perf_counter()
    subprocess.run(IMPORTS, check=True)
    return time.perf_counter() - started


def first_answer() -> float:
    """Return the time from the page's start to its first answer (s)."""
    started = time.perf_counter()
    with serve() as server:

        async def answer() -> None:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
                drawing, _ = await questions(http)
                await ask(http, *drawing)

        asyncio.run(answer())
        return time.perf_counter() - started


def main() -> None:
    imports(), first_answer()  # the files are in the system's cache afterwards
    pairs = [(imports(), first_answer()) for _ in range(5)]
    bare, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [answer / bare for bare, answer in pairs]
    print(
        f"imports {bare:.2f} s, first answer {whole:.2f} s: {statistics.median(ratios):.2f} times"
    )


if __name__ == "__main__":
    main()
