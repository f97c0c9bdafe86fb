"""A long life: the same two questions over and over to one server.

    python benchmarks/soak.py

Prints the server's memory on the way, whether every answer is the first one, and how many files
it holds before and after. It fails if an answer differs, a file is left, or the memory after the
last tenth is more than 5 % above that after the first.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import httpx2 as httpx
from load import ask, questions
from serving import Server, pss_memory, serve


async def live(server: Server, folder: Path, answers: int, clients: int) -> bool:
    """Ask so many times; return whether answers, files and memory stayed as they were."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        both = await questions(http)
        first = [await ask(http, *question) for question in both]
        files = len(list(folder.rglob("*")))
        done, different, held = 0, 0, []

        async def client() -> None:
            nonlocal done, different
            while done < answers:
                done += 1
                number = done
                different += await ask(http, *both[number % 2]) != first[number % 2]
                if number % (answers // 10) == 0:
                    held.append(pss_memory(server.process.pid))
                    print(f"{number:6} answers, {held[-1]:.0f} MB", flush=True)

        await asyncio.gather(*(client() for _ in range(clients)))
        left = len(list(folder.rglob("*"))) - files
    print(f"{different} answers differ from the first; {left} files more than after the first")
    print(f"memory at the end: {held[-1] / held[0]:.3f} times that after the first tenth")
    return not different and not left and held[-1] <= 1.05 * held[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(GRADIO_TEMP_DIR=folder) as server:
        good = asyncio.run(live(server, Path(folder), arguments.answers, arguments.clients))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
