"""Keep the folder of uploads small: old files go, and the oldest if there is too much.

Gradio's own `delete_cache` knows the uploads that ended well, and no limit on their sum; this looks
at whatever lies in the folder.
"""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)
EMPTY_FOR = 60  # seconds after which an empty folder goes: an upload may be about to move there


class Purged(NamedTuple):
    """What a purge has removed, and what it has left."""

    files: int
    bytes: int
    bytes_left: int


class Entry(NamedTuple):
    """A file: when it last changed (s since the epoch), its bytes, and its path."""

    changed: float
    size: int
    path: str


def purge(
    folder: str | Path,
    max_age_s: float,
    max_total_bytes: int,
    keep: Collection[str] = (),
    now: float | None = None,
) -> Purged:
    """Delete the files below a folder that are too old, then the oldest while they are too much.

    Symbolic links are deleted themselves, never followed. A file that is being written is young,
    and goes only if nothing older is left to delete. Files that others delete meanwhile are no
    fault. Empty folders go, but not the folder itself.

    Parameters
    ----------
    folder : str or Path
        Its files, at any depth, are meant; nothing else should be kept there.
    max_age_s : float
        Seconds since a file has last changed.
    max_total_bytes : int
        Of all that is left.
    keep : collection of str
        Paths that stay, whatever their age, and count all the same: the page's examples.
    now : float, optional
        Seconds since the epoch, for tests.

    Returns
    -------
    purged : Purged
        Files and bytes that this call has deleted, bytes that are left.
    """
    now = time.time() if now is None else now
    entries = sorted(scan(str(folder), now))
    total = sum(entry.size for entry in entries)
    files = freed = 0
    for entry in entries:
        if entry.path in keep:
            continue
        if now - entry.changed <= max_age_s and total - freed <= max_total_bytes:
            break  # so are all younger ones
        try:
            os.unlink(entry.path)
            files += 1
        except FileNotFoundError:
            pass
        except OSError:
            continue
        freed += entry.size
    return Purged(files, freed, total - freed)


def scan(folder: str, now: float) -> Iterator[Entry]:
    """Yield the files below a folder; remove the folders that have been empty for a while."""
    folders = [folder]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                listed = list(entries)
        except OSError:
            continue
        for entry in listed:
            try:
                info = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(info.st_mode):
                    # A copy keeps its original's time of modification: when it came is the later.
                    yield Entry(max(info.st_mtime, info.st_ctime), info.st_size, entry.path)
                elif now - max(info.st_mtime, info.st_ctime) <= EMPTY_FOR:
                    folders.append(entry.path)
                else:
                    os.rmdir(entry.path)
            except FileNotFoundError:
                pass
            except OSError:  # the folder is not empty
                folders.append(entry.path)


class Purger:
    """Purge a folder at the start, every few minutes, and when much has been uploaded.

    Parameters
    ----------
    folder, max_age_s, max_total_bytes, keep
        As `purge` takes them.
    every_s : float
        Seconds between two purges.
    every_bytes : int
        Of uploads, after which it purges at once.
    """

    def __init__(
        self,
        folder: str | Path,
        max_age_s: float,
        max_total_bytes: int,
        keep: Collection[str] = (),
        every_s: float = 180,
        every_bytes: int = 100_000_000,
    ):
        self.limits = (folder, max_age_s, max_total_bytes, keep)
        self.every_s = every_s
        self.every_bytes = every_bytes
        self.uploaded = 0
        self.much = asyncio.Event()

    def note(self, size: int) -> None:
        """Count the bytes of an upload (`Gate(on_upload=…)`)."""
        self.uploaded += size
        if self.uploaded >= self.every_bytes:
            self.much.set()

    async def run(self) -> None:
        """Purge until cancelled; run it as a task, in the app's lifespan."""
        while True:
            self.uploaded = 0
            self.much.clear()
            try:
                await asyncio.to_thread(purge, *self.limits)
            except OSError as error:  # the next time may do
                log.warning("The purge of uploads failed: %s", type(error).__name__)
            try:
                async with asyncio.timeout(self.every_s):
                    await self.much.wait()
            except TimeoutError:
                pass
