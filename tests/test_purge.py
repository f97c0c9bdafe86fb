"""The folder of uploads stays small, whatever was left in it."""

import asyncio
import hashlib
import os
import time

from page import uploads
from page.uploads import Purger, purge

HOUR, PLENTY = 3600, 10**9


def write(folder, name, size=10):
    """Write an upload of that name; the next will be younger."""
    path = folder / hashlib.sha256(name.encode()).hexdigest() / name
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    time.sleep(0.002)
    return path


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def test_what_is_old_goes_and_its_folder_and_no_link_is_followed(tmp_path):
    folder, outside = tmp_path / "uploads", write(tmp_path / "other", "file")
    upload = write(folder, "copy.png")
    os.utime(upload, (0, 0))  # Gradio copies with the original's time
    (upload.parent / "link").symlink_to(outside)
    (folder / "tmplink").symlink_to(outside.parent)
    (folder / "tmpbroken").write_bytes(bytes(10))
    (folder / ("ab" * 32)).mkdir()  # an upload may be about to move there
    for age, kept in ((0, 4), (HOUR - 1, 3), (HOUR + 1, 0)):
        purge(folder, HOUR, PLENTY, now=time.time() + age)
        assert len(list(folder.iterdir())) == kept
    assert outside.exists()


def test_what_is_no_upload_stays(tmp_path):
    """GRADIO_TEMP_DIR may be a folder of other things, too."""
    (folder := tmp_path / "other_app" / ("ab" * 32)).mkdir(parents=True)
    (tmp_path / "thesis.txt").write_bytes(bytes(10))
    purge(str(tmp_path), HOUR, 0, now=time.time() + 2 * HOUR)
    assert folder.exists() and left(tmp_path) == ["thesis.txt"]


def test_the_oldest_go_first_but_for_the_examples_while_it_is_too_much(tmp_path):
    example = write(tmp_path, "a", 100_000)
    for name in "bcdef":
        write(tmp_path, name, 100_000)
    (tmp_path / "tmpbeing").write_bytes(bytes(10))
    purge(tmp_path, HOUR, 400_000, keep={str(example)})
    assert left(tmp_path) == ["a", "e", "f", "tmpbeing"]


def test_it_purges_at_the_start_and_after_much(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "PURGE_BYTES", 1000)

    async def until_gone(path):
        async with asyncio.timeout(30):
            while path.exists():
                await asyncio.sleep(0.01)

    async def live():
        purger = Purger(tmp_path, HOUR, 50)
        running = asyncio.create_task(purger.run())
        await until_gone(write(tmp_path, "old"))
        more = write(tmp_path, "more")
        purger.note(500)
        await asyncio.sleep(0.05)
        assert more.exists(), "it is not yet time"
        purger.note(500)
        await until_gone(more)
        running.cancel()

    asyncio.run(live())
