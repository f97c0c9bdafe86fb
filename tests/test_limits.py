"""What the kernel holds a worker to, when a picture gets past everything else."""

import asyncio
import re
import sys
import time
from pathlib import Path

import attacks
import pytest
from attacks import ATTACKS
from serving import ROOT

from page.pool import NoAnswerError, WorkerPool

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux'")

# Reads a picture as the page's worker does, or as if nothing had been counted beforehand
# ("blindly"); does some damage itself on request. It answers with words, and its limits.
PROGRAM = """
import io, json, os, resource, subprocess, sys
sys.path.insert(0, ROOT)
import cv2
import numpy as np
from page import limits
from page.decode import open_picture
from reading.preprocess import NoDigitError, to_mnist

def reading(image):
    try:
        return f"ink {to_mnist(image()).sum():.0f}"
    except NoDigitError as refused:
        return str(refused)
    except MemoryError:
        return "out of memory"

def answer_lines(questions, answers):
    limits.limit_process(200_000_000)
    print(os.getpid(), file=answers, flush=True)
    for line in questions:
        number, (what, argument) = json.loads(line)
        if what == "read":
            said = reading(lambda: open_picture(argument))
        elif what == "blindly":
            try:
                data = np.fromfile(argument, np.uint8)
                said = repr(cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8))
            except cv2.error as error:
                said = str(error)
        elif what == "take":
            try:
                said = len(bytearray(argument))
            except MemoryError:
                said = "out of memory"
        elif what == "write":
            with open(argument, "wb") as file:
                try:
                    for _ in range(100):
                        file.write(bytes(1_000_000)), file.flush()
                    said = "written"
                except OSError as error:
                    said = error.strerror
        elif what == "limits":
            said = [resource.getrlimit(resource.RLIMIT_CORE),
                    open("/proc/self/status").read()]
        elif what == "process":
            said = os.getpid()
        print(json.dumps([number, said]), file=answers, flush=True)

limits.serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))
GOOD = str(ROOT / "examples" / "digits" / "7-crossed.png")


def run(work):
    async def main():
        pool = WorkerPool((sys.executable, "-c", PROGRAM), seconds=3)
        try:
            return await asyncio.wait_for(work(pool), 60)
        finally:
            await pool.stop()

    return asyncio.run(main())


async def peaks(pool) -> dict[int, int]:
    """Return of both workers the most that they have ever held in memory (bytes)."""
    workers = set()
    while len(workers) < 2:
        workers.add(await pool.ask("process", None))
    status = {worker: Path(f"/proc/{worker}/status").read_text() for worker in workers}
    return {w: int(re.search(r"VmHWM:\s+(\d+)", s)[1]) * 1024 for w, s in status.items()}


def growth(before: dict[int, int], after: dict[int, int]) -> int:
    """Return by how much a worker's peak has grown; neither has ended meanwhile."""
    assert before.keys() == after.keys()
    return max(after[worker] - before[worker] for worker in before)


@linux
def test_each_attack_gets_a_sentence_and_the_next_picture_its_answer(tmp_path):
    async def work(pool):
        right = await pool.ask("read", GOOD)
        assert right == await pool.ask("read", GOOD) and right.startswith("ink ")
        before = await peaks(pool)
        for name, attack in ATTACKS.items():
            path = tmp_path / name
            path.write_bytes(attack())
            said = await pool.ask("read", str(path))
            assert re.search("too long|too many|damaged|Nothing", said), f"{name}: {said}"
            assert await pool.ask("read", GOOD) == right
            path.unlink()
        assert growth(before, await peaks(pool)) < 100_000_000

    run(work)


@linux
@pytest.mark.parametrize("name", ["tiff_of_same_bytes", "png_of_length", "webp_of_canvas"])
def test_memory_is_bounded_where_nothing_was_counted(name, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(ATTACKS[name]())

    async def work(pool):
        right = await pool.ask("read", GOOD)
        before = await peaks(pool)
        await pool.ask("blindly", str(path))
        assert growth(before, await peaks(pool)) < 250_000_000
        assert await pool.ask("read", GOOD) == right

    run(work)


@linux
@pytest.mark.parametrize("name", ["jpeg_of_scans", "gif_of_tables"])
def test_time_is_bounded_where_nothing_was_counted(name, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(getattr(attacks, name)())

    async def work(pool):
        right = await pool.ask("read", GOOD)
        started = time.monotonic()
        slow = asyncio.create_task(pool.ask("blindly", str(path)))
        await asyncio.sleep(0)
        assert await pool.ask("read", GOOD) == right  # the next visitor's
        assert not slow.done()
        with pytest.raises(NoAnswerError):
            await slow
        assert 2.5 < time.monotonic() - started < 10

    run(work)


@linux
def test_what_a_worker_may_not():
    async def work(pool):
        assert await pool.ask("take", 100_000_000) == 100_000_000
        assert await pool.ask("take", 300_000_000) == "out of memory"
        assert await pool.ask("take", 100_000_000) == 100_000_000
        core, status = await pool.ask("limits", None)
        assert core == [0, 0]
        assert re.search(r"NoNewPrivs:\s+1", status)

    run(work)


@linux
def test_a_worker_fills_no_disk(tmp_path):
    async def work(pool):
        return await pool.ask("write", str(tmp_path / "large"))

    assert run(work) == "File too large"
    assert (tmp_path / "large").stat().st_size <= 64_000_000
