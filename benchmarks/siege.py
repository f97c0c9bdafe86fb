"""Attack the page, and measure the answers that a visitor gets meanwhile.

    python benchmarks/siege.py --minutes 5

The visitor has a picture read every second. The attacker, another process, runs the attacks of
tests/assault.py at random, ten at a time. It uses another loopback address (Linux), because the
page limits each address; with `--same-address`, both use one. The script fails
- if the visitor gets an error or a wrong answer, or 1% of the answers take over 8 s
- if memory or uploads grow by a gigabyte
- if an attack reads a file of the server.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from random import Random

import httpx2 as httpx
import numpy as np

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from assault import (
    ATTACKER,
    ATTACKS,
    EVIL,
    FORGED,
    GOOD,
    MAX_DISK,
    MAX_GROWTH,
    READ,
    VISITOR,
    Attacker,
    Visitor,
    costliest,
    held,
)
from attacks import ATTACKS as PICTURES
from client import client_from
from serving import Server, serve

AT_ONCE = 10
MAX_P99 = 8  # seconds


async def visit(url: str, address: str, ends: float) -> Visitor:
    """Send a picture every second, even if the previous answer is missing."""
    visitor = Visitor()
    async with client_from(address, url, 60) as http, asyncio.TaskGroup() as asking:
        number = 0
        while time.time() < ends:
            asking.create_task(visitor.ask(http, GOOD[number % len(GOOD)]))
            number += 1
            await asyncio.sleep(1)
    return visitor


def besiege(url: str, address: str, folder: Path, ends: float, seed: int) -> dict[str, Counter]:
    """Attack until `ends` (seconds since the epoch); return the outcomes of each attack."""
    return asyncio.run(attack_all(url, address, folder, ends, seed))


async def attack_all(url: str, address: str, folder: Path, ends: float, seed: int):
    """The coroutine of `besiege`."""
    outcomes = {name: Counter() for name in ATTACKS}
    pictures = {path.name: path.read_bytes() for path in folder.iterdir()}
    async with client_from(address, url, 30) as http:
        attacker = Attacker(http, pictures, Random(seed))

        async def attack() -> None:
            while time.time() < ends:
                name = attacker.random.choice(list(ATTACKS))
                try:
                    async with asyncio.timeout(30):
                        outcome = await ATTACKS[name](attacker)
                except (TimeoutError, httpx.TimeoutException):
                    outcome = "30 s"
                except (httpx.HTTPError, KeyError, ValueError):
                    outcome = "closed"
                outcomes[name][outcome] += 1

        await asyncio.gather(*(attack() for _ in range(AT_ONCE)))
    return outcomes


async def watch(server: Server, folder: Path, ends: float) -> np.ndarray:
    """Return memory and disk in MB, every half second, as an array of shape (N, 2)."""
    figures = [await asyncio.to_thread(held, server, folder)]
    while time.time() < ends:
        await asyncio.sleep(0.5)
        figures.append(await asyncio.to_thread(held, server, folder))
    return np.array(figures)


async def siege(server: Server, folder: Path, pictures: Path, arguments: argparse.Namespace):
    """Visit and attack the page; return the visitor, outcomes, memory and disk, forged or not."""
    async with client_from(VISITOR, server.url, 60) as http:
        for name in GOOD:  # the first requests wait for the weights
            await Visitor().ask(http, name)
    await asyncio.sleep(2)
    ends = time.time() + 60 * arguments.minutes
    attacker = VISITOR if arguments.same_address else ATTACKER
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        attack = asyncio.get_running_loop().run_in_executor(
            pool, besiege, server.url, attacker, pictures, ends, arguments.seed
        )
        visitor, figures, outcomes = await asyncio.gather(
            visit(server.url, VISITOR, ends), watch(server, folder, ends), attack
        )
    async with client_from(VISITOR, server.url, 60) as http:
        poisoned = EVIL in (await http.get("gradio_api/info")).text
    return visitor, outcomes, figures, poisoned


def summary(counter: Counter) -> str:
    """Return an attack's outcomes with their counts, most frequent first."""
    short = Counter()
    for outcome, number in counter.items():
        short[outcome if len(outcome) < 12 else f"“{' '.join(outcome.split()[:4])} …”"] += number
    return ", ".join(f"{outcome} ({number})" for outcome, number in short.most_common())


def report(visitor: Visitor, outcomes: dict[str, Counter], figures: np.ndarray) -> list[str]:
    """Print the table; return the bars that were missed."""
    p50, p95, p99, most = np.percentile(visitor.seconds, (50, 95, 99, 100))
    (memory, _), (most_memory, most_disk) = figures[0], figures.max(axis=0)
    errors, wrong = visitor.errors.total(), visitor.wrong.total()
    print("| what | number | outcome |\n| --- | --- | --- |")
    print(f"| the visitor | {len(visitor.seconds)} answers | {errors} errors, {wrong} wrong |")
    print(f"| | p50, p95, p99, most | {p50:.2f}, {p95:.2f}, {p99:.2f}, {most:.2f} s |")
    print(f"| memory | all processes | {memory:.0f} MB, at most {most_memory:.0f} |")
    print(f"| disk | uploads | at most {most_disk:.0f} MB, at the end {figures[-1][1]:.0f} |")
    for name, counter in outcomes.items():
        print(f"| {name} | {counter.total()} | {summary(counter)} |")
    for what, number in (visitor.errors + visitor.wrong).most_common(9):
        print(f"the visitor got {number} times: {what}", file=sys.stderr)
    everything = sum(outcomes.values(), Counter())
    bars = {
        "the visitor got errors or wrong answers": not errors and not wrong,
        f"p99 is not under {MAX_P99} s": p99 < MAX_P99,
        f"memory grew by more than {MAX_GROWTH} MB": most_memory - memory <= MAX_GROWTH,
        f"uploads took more than {MAX_DISK} MB": most_disk <= MAX_DISK,
        "an attack read a file of the server": not any(map(READ.search, outcomes["server file"])),
        "an attack got a status of 500 or above": not any(re.match("5..$", o) for o in everything),
    }
    return [bar for bar, kept in bars.items() if not kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5, help="(%(default)s)")
    parser.add_argument("--same-address", action="store_true", help="attack from the same address")
    parser.add_argument("--seed", type=int, default=0, help="choose attacks by it (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        uploads, pictures, log = (Path(temporary, name) for name in ("uploads", "pictures", "log"))
        pictures.mkdir()
        for name, make in {**PICTURES, "costliest": costliest}.items():
            (pictures / name).write_bytes(make())
        with serve(log=log, GRADIO_TEMP_DIR=str(uploads)) as server:
            *result, poisoned = asyncio.run(siege(server, uploads, pictures, arguments))
            alive = server.process.poll() is None
        missed = report(*result)
        written = log.read_text()
    failures = Counter(re.findall(r"^Traceback.*\n(?:\s.*\n)*(\S.*)", written, re.M))
    for failure, number in failures.most_common(9):
        print(f"in the log {number} times: {failure}", file=sys.stderr)
    missed += ["a line of the log was forged"] * bool(
        re.search(rf"^ERROR: {FORGED}", written, re.M)
    )
    missed += ["the page names another host"] * poisoned + ["the page has ended"] * (not alive)
    for bar in missed:
        print(f"missed: {bar}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
