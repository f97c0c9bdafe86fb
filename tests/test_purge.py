"""The folder of uploads stays small, whatever was left in it."""

import asyncio
import hashlib
import os
import threading
import time

import pytest

from page.purge import Purger, purge

HOUR = 3600
PLENTY = 10**9


def write(folder, name, size=10):
    """Write a file where Gradio puts an upload of that name; the next will be younger."""
    path = folder / hashlib.sha256(name.encode()).hexdigest() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    time.sleep(0.002)
    return path


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def held(folder) -> int:
    """Return the bytes of all that is there, as the purge counts them."""
    return purge(folder, HOUR, PLENTY).bytes_left


def test_what_is_old_goes(tmp_path):
    write(tmp_path, "upload.png")
    (tmp_path / "tmpbroken").write_bytes(bytes(10))
    later = time.time() + HOUR + 1
    assert purge(tmp_path, HOUR, PLENTY, now=later - 2).files == 0
    assert purge(tmp_path, HOUR, PLENTY, now=later)[::2] == (2, 0)
    assert left(tmp_path) == []


def test_what_is_no_upload_stays(tmp_path):
    """GRADIO_TEMP_DIR may be a folder of other things, too."""
    (tmp_path / "other_app").mkdir()
    (tmp_path / "other_app" / "model.bin").write_bytes(bytes(10))
    (tmp_path / "thesis.txt").write_bytes(bytes(10))
    assert purge(tmp_path, HOUR, 0, now=time.time() + 2 * HOUR) == (0, 0, 0)
    assert left(tmp_path) == ["model.bin", "thesis.txt"]


def test_the_oldest_go_first_while_it_is_too_much(tmp_path):
    for name in "abcdef":
        write(tmp_path, name, 100)
    one = held(tmp_path) // 6
    assert purge(tmp_path, HOUR, 3 * one + 1) == (3, 3 * one, 3 * one)
    assert left(tmp_path) == ["d", "e", "f"]
    assert purge(tmp_path, HOUR, 0).bytes_left == 0


def test_small_files_count_as_what_they_take_of_the_disk(tmp_path):
    """A file of one byte takes a block, a folder and an inode."""
    for number in range(100):
        write(tmp_path, str(number), 1)
    assert held(tmp_path) >= 100 * 8192
    assert purge(tmp_path, HOUR, 400_000).files >= 50


def test_a_copy_is_as_old_as_its_coming(tmp_path):
    """Gradio copies with the original's time; and nobody stays for ever by a time to come."""
    path = write(tmp_path, "copy")
    os.utime(path, (0, 0))
    assert purge(tmp_path, HOUR, PLENTY).files == 0
    assert purge(tmp_path, HOUR, PLENTY, now=time.time() + 2 * HOUR).files == 1


def test_the_examples_stay(tmp_path):
    example, other = write(tmp_path, "example.png", 100), write(tmp_path, "other", 100)
    one = held(tmp_path) // 2
    assert purge(tmp_path, HOUR, one + 1, keep={str(example)}) == (1, one, one)
    later = time.time() + HOUR
    assert purge(tmp_path, 0, 0, keep={str(example)}, now=later) == (0, 0, one)
    assert example.exists() and not other.exists()


def test_links_are_not_followed(tmp_path):
    outside = write(tmp_path / "outside", "file")
    folder = tmp_path / "folder"
    here = write(folder, "upload").parent
    (here / "file").symlink_to(outside)
    (here / "directory").symlink_to(outside.parent)
    (here / "loop").symlink_to(folder)
    (folder / ("ab" * 32)).symlink_to(outside.parent)
    purged = purge(folder, HOUR, PLENTY, now=time.time() + 2 * HOUR)
    assert purged.files == 5 and left(folder) == []
    assert outside.exists()


def test_empty_folders_go_when_no_upload_can_be_about_to_move_there(tmp_path):
    (tmp_path / ("ab" * 32) / "b").mkdir(parents=True)
    purge(tmp_path, HOUR, PLENTY)
    assert (tmp_path / ("ab" * 32) / "b").exists()
    for _ in range(2):  # the inner one first
        purge(tmp_path, HOUR, PLENTY, now=time.time() + HOUR)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_no_fault(tmp_path):
    assert purge(tmp_path / "none", HOUR, 1000) == (0, 0, 0)


def test_four_purges_at_once_delete_each_file_once(tmp_path):
    for number in range(400):
        write(tmp_path, str(number))
    purged, failed = [], []

    def work():
        try:
            purged.append(purge(tmp_path, 0, 0, now=time.time() + HOUR).files)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failed and sum(purged) == 400 and left(tmp_path) == []


def test_it_purges_at_the_start_every_while_and_after_much(tmp_path):
    async def live():
        folder = tmp_path / "uploads"
        old = write(folder, "old", 100)
        purger = Purger(folder, HOUR, 50, every_s=60, every_bytes=1000)
        life = asyncio.create_task(purger.run())
        await until(lambda: not old.exists())
        more = write(folder, "more", 100)
        purger.note(500)
        await asyncio.sleep(0.1)
        assert more.exists(), "it is not yet time"
        purger.note(500)
        await until(lambda: not more.exists())
        life.cancel()
        purger = Purger(folder, HOUR, 50, every_s=0.1)
        life = asyncio.create_task(purger.run())
        await asyncio.sleep(0.05)
        last = write(folder, "last", 100)
        await until(lambda: not last.exists())
        life.cancel()

    async def until(done):
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.01)

    asyncio.run(live())


@pytest.mark.parametrize("age", [0, HOUR])
def test_what_is_being_written_is_spared_unless_the_total_demands_it(tmp_path, age):
    write(tmp_path, "older", 100)
    one = held(tmp_path)
    with (tmp_path / "tmpbeing").open("wb") as being:
        being.write(bytes(100))
        being.flush()
        assert purge(tmp_path, HOUR, one + one // 2).files == 1
        assert left(tmp_path) == ["tmpbeing"]
