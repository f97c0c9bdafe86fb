"""The folder of uploads stays small, whatever was left in it."""

import asyncio
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

from page import uploads
from page.uploads import FILE_OVERHEAD, Purger, purge

HOUR = 3600
PLENTY = 10**9
BLOCK = 4096 + FILE_OVERHEAD  # bytes that a small file counts as, at most


def write(folder, name, size=10):
    """Write an upload of that name; the next will be younger."""
    path = folder / hashlib.sha256(name.encode()).hexdigest() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    time.sleep(0.002)
    return path


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def test_what_is_old_goes_and_its_folder(tmp_path):
    """A copy is as old as its coming: Gradio copies with the original's time."""
    os.utime(write(tmp_path, "copy.png"), (0, 0))
    (tmp_path / "tmpbroken").write_bytes(bytes(10))
    (tmp_path / ("ab" * 32) / "b").mkdir(parents=True)  # an upload may be about to move there
    later = time.time() + HOUR + 1
    purge(tmp_path, HOUR, PLENTY)
    assert len(list(tmp_path.iterdir())) == 3
    purge(tmp_path, HOUR, PLENTY, now=later - 2)
    assert left(tmp_path) == ["copy.png", "tmpbroken"] and len(list(tmp_path.iterdir())) == 2
    purge(tmp_path, HOUR, PLENTY, now=later)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_upload_stays(tmp_path):
    """GRADIO_TEMP_DIR may be a folder of other things, too; or not be there."""
    (tmp_path / "other_app" / ("ab" * 32)).mkdir(parents=True)
    for name in ("other_app/model.bin", "thesis.txt"):
        (tmp_path / name).write_bytes(bytes(10))
    for folder in (tmp_path, str(tmp_path), tmp_path / "none"):
        purge(folder, HOUR, 0, now=time.time() + 2 * HOUR)
    assert left(tmp_path) == ["model.bin", "thesis.txt"]
    assert (tmp_path / "other_app" / ("ab" * 32)).exists()


def test_the_oldest_go_first_while_it_is_too_much(tmp_path):
    """So what is being written is spared. Small files count as what they take of the disk."""
    for name in "abcdef":
        write(tmp_path, name, 100_000)
    (tmp_path / "tmpbeing").write_bytes(bytes(10))
    purge(tmp_path, HOUR, 400_000)
    assert left(tmp_path) == ["d", "e", "f", "tmpbeing"]
    purge(tmp_path, HOUR, 0)
    for number in range(100):
        write(tmp_path, str(number), 1)
    purge(tmp_path, HOUR, 50 * FILE_OVERHEAD)
    assert 20 <= len(left(tmp_path)) <= 50


def test_the_examples_stay_and_count(tmp_path):
    example = write(tmp_path, "example.png")
    write(tmp_path, "other")
    for age, most in ((HOUR, BLOCK), (0, 0)):
        purge(tmp_path, age, most, keep={str(example)}, now=time.time() + age / 2)
        assert left(tmp_path) == ["example.png"]


def test_links_are_not_followed(tmp_path):
    outside = write(tmp_path / "outside", "file")
    folder = tmp_path / "folder"
    here = write(folder, "upload").parent
    for link, target in (("file", outside), ("directory", outside.parent), ("loop", folder)):
        (here / link).symlink_to(target)
    (folder / ("ab" * 32)).symlink_to(outside.parent)
    purge(folder, HOUR, PLENTY, now=time.time() + 2 * HOUR)
    assert not list(folder.iterdir()) and outside.exists()


def test_four_purges_at_once_delete_what_is_too_much_only(tmp_path):
    for number in range(200):
        write(tmp_path, str(number))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: purge(tmp_path, HOUR, 100 * BLOCK), range(4)))
    assert 100 <= len(left(tmp_path)) < 200 and "199" in left(tmp_path)


def test_it_purges_at_the_start_every_while_and_after_much(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PURGE_BYTES", 1000)

    async def until_gone(path):
        async with asyncio.timeout(30):
            while path.exists():
                await asyncio.sleep(0.01)

    async def live():
        old = write(tmp_path, "old")
        purger = Purger(tmp_path, HOUR, 50)
        life = asyncio.create_task(purger.run())
        await until_gone(old)
        more = write(tmp_path, "more")
        purger.note(500)
        await asyncio.sleep(0.05)
        assert more.exists(), "it is not yet time"
        monkeypatch.setattr(uploads, "PURGE_SECONDS", 0.1)
        purger.note(500)
        await until_gone(more)
        await until_gone(write(tmp_path, "last"))
        life.cancel()

    asyncio.run(live())
