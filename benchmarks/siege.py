"""One visitor, who asks every second, beside an attacker who does all that is known, ten at a time.

    python benchmarks/siege.py --minutes 10

The attacker is another process and comes from another address of this machine (Linux), since the
page's limits are an address's; `--same-address` has both come from one. Prints one table, and fails
if the visitor gets an error, a wrong answer, or one in a hundred answers after 8 s, or if memory
grows, or the folder of uploads, by a gigabyte; or if a file of the server's is read.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random

import httpx2 as httpx
import numpy as np
from assault import ATTACKS, EVIL, FILE, FORGED, Attacker, ask
from load import EXAMPLES, client_from
from serving import ROOT, Server, pss_memory, serve

sys.path.insert(0, str(ROOT / "tests"))
from attacks import ATTACKS as PICTURES
from attacks import jpeg_of_scans

GOOD = ("7-crossed.png", "3-dark.png")  # named after the digit in it
VISITOR, ATTACKER = "127.0.0.2", "127.0.0.3"
AT_ONCE = 10
MAX_P99 = 8  # seconds
MAX_GROWTH = MAX_DISK = 1000  # MB
READ = re.compile(r"That is an? \d|may not be")  # the page's sentence, where it has read a picture


def costliest() -> bytes:
    """Return a picture that is read, but nearly costs more than one may: 1.5 s of a core."""
    return jpeg_of_scans(14)


@dataclass
class Visitor:
    """What a visitor got: seconds of each answer, and what was wrong with the others."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)

    async def ask(self, http: httpx.AsyncClient, name: str) -> None:
        """Have one picture read, from its upload on."""
        started = time.monotonic()
        try:
            content = (EXAMPLES / name).read_bytes()
            reply = await http.post("gradio_api/upload", files={"files": (name, content)})
            reply.raise_for_status()
            said = await ask(http, "upload", {"path": reply.json()[0], **FILE}, 60)
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        self.seconds.append(time.monotonic() - started)
        if not READ.search(said):
            self.errors[said] += 1
        elif said != f"That is a {name[0]}.":
            self.wrong[said] += 1


async def visit(url: str, address: str, ends: float) -> Visitor:
    """Ask every second, whether the one before was answered or not."""
    visitor = Visitor()
    async with client_from(address, url, 60) as http, asyncio.TaskGroup() as asking:
        number = 0
        while time.time() < ends:
            asking.create_task(visitor.ask(http, GOOD[number % len(GOOD)]))
            number += 1
            await asyncio.sleep(1)
    return visitor


def besiege(url: str, address: str, folder: Path, ends: float, seed: int) -> dict[str, Counter]:
    """Attack until then (seconds since the epoch); return of each attack what came of it."""
    return asyncio.run(attack_all(url, address, folder, ends, seed))


async def attack_all(url: str, address: str, folder: Path, ends: float, seed: int):
    """Do what `besiege` does."""
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


def held(server: Server, folder: Path) -> tuple[float, float]:
    """Return what all processes of the page hold in memory, and the folder on disk (MB)."""
    return pss_memory(server.process.pid), size(folder)


def size(folder: Path) -> float:
    """Return the size of all files below a folder (MB); some may be deleted meanwhile."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(where, name).lstat().st_size
    return total / 1e6


async def watch(server: Server, folder: Path, ends: float) -> np.ndarray:
    """Return memory and disk (MB) at the start and every half second, N×2."""
    figures = [await asyncio.to_thread(held, server, folder)]
    while time.time() < ends:
        await asyncio.sleep(0.5)
        figures.append(await asyncio.to_thread(held, server, folder))
    return np.array(figures)


async def siege(server: Server, folder: Path, pictures: Path, arguments: argparse.Namespace):
    """Have the page visited and attacked; return the visitor, the attacks and what was held."""
    async with client_from(VISITOR, server.url, 60) as http:
        for name in GOOD:  # the first wait until the weights are loaded
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
    """Return in few words what came of an attack, the most frequent first."""
    short = Counter()
    for outcome, number in counter.items():
        short[outcome if len(outcome) < 12 else f"“{' '.join(outcome.split()[:4])} …”"] += number
    return ", ".join(f"{outcome} ({number})" for outcome, number in short.most_common())


def report(visitor: Visitor, outcomes: dict[str, Counter], figures: np.ndarray) -> list[str]:
    """Print the table; return the bars that are missed."""
    p50, p95, p99, most = np.percentile(visitor.seconds, (50, 95, 99, 100))
    (memory, _), (most_memory, most_disk) = figures[0], figures.max(axis=0)
    errors, wrong = visitor.errors.total(), visitor.wrong.total()
    print("| | | |\n| --- | --- | --- |")
    print(f"| the visitor | {len(visitor.seconds)} answers | {errors} errors, {wrong} wrong |")
    print(f"| | p50, p95, p99, most | {p50:.2f}, {p95:.2f}, {p99:.2f}, {most:.2f} s |")
    print(f"| memory | all processes | {memory:.0f} MB, at most {most_memory:.0f} |")
    print(f"| disk | uploads | at most {most_disk:.0f} MB, at the end {figures[-1][1]:.0f} |")
    for name, counter in outcomes.items():
        print(f"| {name} | {counter.total()} | {summary(counter)} |")
    for what, number in (visitor.errors + visitor.wrong).most_common(9):
        print(f"the visitor got {number} times: {what}")
    everything = sum(outcomes.values(), Counter())
    bars = {
        "the visitor got errors or wrong answers": not errors and not wrong,
        f"p99 is not under {MAX_P99} s": p99 < MAX_P99,
        f"memory grew by more than {MAX_GROWTH} MB": most_memory - memory <= MAX_GROWTH,
        f"uploads took more than {MAX_DISK} MB": most_disk <= MAX_DISK,
        "a file of the server's was read": not any(map(READ.search, outcomes["server file"])),
        "an attack got a status of 500 or above": not any(re.match("5..$", o) for o in everything),
    }
    return [bar for bar, kept in bars.items() if not kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--same-address", action="store_true", help="visitor and attacker have one")
    parser.add_argument("--seed", type=int, default=0, help="of the attacks (%(default)s)")
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
        print(f"in the log {number} times: {failure}")
    missed += ["a line of the log was forged"] * bool(
        re.search(rf"^ERROR: {FORGED}", written, re.M)
    )
    missed += ["the page names another host"] * poisoned + ["the page has ended"] * (not alive)
    for bar in missed:
        print(f"missed: {bar}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
