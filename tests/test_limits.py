"""What a picture may cost a worker: what is counted beforehand, and what the kernel forbids."""

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attacks import ATTACKS, gif_of_tables
from serving import ROOT

from page.decode import COSTLY, TOO_LARGE
from page.pool import NoAnswerError, WorkerPool
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux'")

# Reads a picture as the page's worker does, or "blindly", as if nothing had been counted; answers
# with words, seconds of the processor, and /proc/self/status.
PROGRAM = """
import json, os, resource, sys, time
sys.path.insert(0, ROOT)
import cv2
import numpy as np
from page import limits
from page.decode import open_picture
from reading.preprocess import to_mnist

def blindly(path):
    cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)

DO = {
    "read": lambda path: f"ink {to_mnist(open_picture(path)).sum():.0f}", "blindly": blindly,
    "take": lambda size: len(bytearray(size)),
    "write": lambda path: open(path, "wb").write(bytes(100_000_000)),
    "core": lambda _: resource.getrlimit(resource.RLIMIT_CORE),
}

def answer_lines(questions, answers):
    limits.limit_process(200_000_000)
    print(os.getpid(), file=answers, flush=True)
    for line in questions:
        number, (what, argument) = json.loads(line)
        started = time.process_time()
        try:
            said = DO[what](argument)
        except Exception as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        answer = said, time.process_time() - started, open("/proc/self/status").read()
        print(json.dumps([number, answer]), file=answers, flush=True)

limits.serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))
GOOD = str(ROOT / "examples" / "digits" / "7-crossed.png")
SENTENCES = {  # else COSTLY; of the first ones what hurts is left out, and the rest read
    "png_of_gamma": NOTHING_MESSAGE, "png_of_profiles": NOTHING_MESSAGE,
    "tiff_of_pages": NOTHING_MESSAGE, "png_of_length": DAMAGED_MESSAGE,
    "gif_of_size": TOO_LARGE, "webp_of_canvas": DAMAGED_MESSAGE,  # the kernel refuses its memory
}  # fmt: skip


@asynccontextmanager
async def workers(seconds: float = 20):
    pool = WorkerPool((sys.executable, "-c", PROGRAM), seconds=seconds)
    try:
        yield pool
    finally:
        await pool.stop()


def peak(status: str) -> tuple[str, int]:
    """Return a process, and the most that it has ever held in memory (bytes)."""
    number, most = re.search(r"^Pid:\s+(\d+)[\s\S]*^VmHWM:\s+(\d+)", status, re.M).groups()
    return number, int(most) * 1024


async def growth(what: str, files: list[Path]) -> list[tuple[str, float, int]]:
    """Return of each file what is said, seconds of the processor, and how a worker has grown."""
    results = []
    async with workers() as pool:
        before = {}
        while len(before) < 2:  # both workers have read a picture
            before.update([peak((await pool.ask("read", GOOD))[2])])
        for file in files:
            said, seconds, status = await pool.ask(what, str(file))
            worker, most = peak(status)
            results.append((said, seconds, most - before[worker]))  # none has ended
    return results


def test_an_attack_is_refused_before_it_costs_anything(tmp_path):
    for name, attack in ATTACKS.items():
        (tmp_path / name).write_bytes(attack())
    results = asyncio.run(growth("read", [tmp_path / name for name in ATTACKS]))
    for name, (said, seconds, grown) in zip(ATTACKS, results, strict=True):
        assert (name, said) == (name, SENTENCES.get(name, COSTLY))
        assert seconds < 0.5 and grown < 100_000_000, name


def test_memory_is_bounded_where_nothing_was_counted(tmp_path):
    files = [tmp_path / name for name in ("tiff_of_same_bytes", "png_of_length", "webp_of_canvas")]
    for file in files:
        file.write_bytes(ATTACKS[file.name]())
    for _, _, grown in asyncio.run(growth("blindly", files)):
        assert grown < 250_000_000


def test_time_is_bounded_where_nothing_is_counted(tmp_path):
    (path := tmp_path / "picture").write_bytes(gif_of_tables())

    async def work():
        async with workers(seconds=2) as pool:
            while "ink" not in (await pool.ask("read", GOOD))[0]:
                pass
            slow = asyncio.create_task(pool.ask("read", str(path)))
            await asyncio.sleep(0)
            assert "ink" in (await pool.ask("read", GOOD))[0]  # the next visitor's
            assert not slow.done()
            with pytest.raises(NoAnswerError):
                await slow

    asyncio.run(work())


def test_what_a_worker_may_not(tmp_path):
    async def work():
        async with workers() as pool:
            for size in (100_000_000, 300_000_000, 100_000_000):
                said, *_ = await pool.ask("take", size)
                assert said == (size if size < 200_000_000 else "MemoryError")
            core, _, status = await pool.ask("core", None)
            assert core == [0, 0] and re.search(r"NoNewPrivs:\s+1", status)
            assert (await pool.ask("write", str(tmp_path / "large")))[0] == "File too large"

    asyncio.run(work())
    assert (tmp_path / "large").stat().st_size <= 64_000_000
