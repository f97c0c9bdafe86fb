"""The folder of uploads stays small, whatever was left in it."""

import asyncio
import threading
import time

import pytest

from page.purge import Purger, purge

HOUR = 3600


def write(path, size=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    time.sleep(0.002)  # so that the next is younger
    return path


def left(folder):
    return sorted(path.name for path in folder.rglob("*") if not path.is_dir())


def test_what_is_old_goes_whatever_its_name(tmp_path):
    write(tmp_path / ("ab" * 32) / "upload.png")
    write(tmp_path / "tmpbroken")
    write(tmp_path / "deep_links" / "x" / "state.json")
    later = time.time() + HOUR + 1
    assert purge(tmp_path, HOUR, 1000, now=later - 2) == (0, 0, 30)
    assert purge(tmp_path, HOUR, 1000, now=later) == (3, 30, 0)
    assert left(tmp_path) == []


def test_the_oldest_go_first_while_it_is_too_much(tmp_path):
    for name in "abcdef":
        write(tmp_path / name / name, 100)
    assert purge(tmp_path, HOUR, 350) == (3, 300, 300)
    assert left(tmp_path) == ["d", "e", "f"]
    assert purge(tmp_path, HOUR, 0).bytes_left == 0


def test_a_copy_is_as_old_as_its_coming(tmp_path):
    """Gradio copies with the original's time; and nobody stays for ever by a time to come."""
    import os

    path = write(tmp_path / "copy")
    os.utime(path, (0, 0))
    assert purge(tmp_path, HOUR, 1000).files == 0
    assert purge(tmp_path, HOUR, 1000, now=time.time() + 2 * HOUR).files == 1


def test_the_examples_stay(tmp_path):
    example, other = write(tmp_path / "x" / "example.png", 100), write(tmp_path / "other", 100)
    assert purge(tmp_path, HOUR, 150, keep={str(example)}) == (1, 100, 100)
    assert purge(tmp_path, 0, 0, keep={str(example)}, now=time.time() + HOUR) == (0, 0, 100)
    assert example.exists() and not other.exists()


def test_links_are_not_followed(tmp_path):
    outside = write(tmp_path / "outside" / "file")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").symlink_to(outside)
    (folder / "directory").symlink_to(outside.parent)
    (folder / "loop").symlink_to(folder)
    purged = purge(folder, HOUR, 1000, now=time.time() + 2 * HOUR)
    assert purged.files == 3 and left(folder) == []
    assert outside.exists()


def test_empty_folders_go_when_no_upload_can_be_about_to_move_there(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    purge(tmp_path, HOUR, 1000)
    assert (tmp_path / "a" / "b").exists()
    for _ in range(2):  # the inner one first
        purge(tmp_path, HOUR, 1000, now=time.time() + HOUR)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_no_fault(tmp_path):
    assert purge(tmp_path / "none", HOUR, 1000) == (0, 0, 0)


def test_four_purges_at_once_delete_each_file_once(tmp_path):
    for number in range(400):
        (tmp_path / str(number % 20)).mkdir(exist_ok=True)
        (tmp_path / str(number % 20) / str(number)).write_bytes(bytes(10))
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
        old = write(folder / "old", 100)
        purger = Purger(folder, HOUR, 50, every_s=60, every_bytes=1000)
        life = asyncio.create_task(purger.run())
        await until(lambda: not old.exists())
        more = write(folder / "more", 100)
        purger.note(500)
        await asyncio.sleep(0.1)
        assert more.exists(), "it is not yet time"
        purger.note(500)
        await until(lambda: not more.exists())
        life.cancel()
        purger = Purger(folder, HOUR, 50, every_s=0.1)
        life = asyncio.create_task(purger.run())
        await asyncio.sleep(0.05)
        last = write(folder / "last", 100)
        await until(lambda: not last.exists())
        life.cancel()

    async def until(done):
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.01)

    asyncio.run(live())


@pytest.mark.parametrize("age", [0, HOUR])
def test_what_is_being_written_is_spared_unless_the_total_demands_it(tmp_path, age):
    write(tmp_path / "older", 100)
    with (tmp_path / "tmpbeing").open("wb") as being:
        being.write(bytes(100))
        being.flush()
        assert purge(tmp_path, HOUR, 150).files == 1
        assert left(tmp_path) == ["tmpbeing"]
