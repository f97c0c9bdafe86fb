"""Uploads: which paths a caller may name, and the purge that keeps their folder small."""

import asyncio
import logging
import os
import re
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
MAX_PATH = 1024  # characters
# Gradio keeps an upload, and an example, in <folder>/<SHA-256 of its content>/<name>.
UPLOAD = re.compile(r"[/\\][0-9a-f]{64}[/\\](?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}")
PURGED = re.compile(r"[0-9a-f]{64}|tmp\w+")  # Gradio's names of an upload's folder, and of a part
FILE_OVERHEAD = 8192  # bytes that the disk needs beside a file's own: its folder, its inode
EMPTY_SECONDS = 60  # after which an empty folder goes: an upload may be about to move there
PURGE_SECONDS, PURGE_BYTES = 180, 100_000_000  # a purge comes after either


class NotUploadedError(ValueError):
    """A caller named a file that was not uploaded to this server."""


class DeletedUploadError(NotUploadedError):
    """The file may have been uploaded once, but isn't here any more."""


def resolve_upload(file: dict | str, folder: str | Path) -> Path:
    """Return the path of an upload that a caller of an endpoint names.

    Parameters
    ----------
    file : dict or str
        Gradio's FileData as a dict, of which only the path counts; or the path alone.
    folder : str or Path
        The folder of uploads, as Gradio names it (`demo.GRADIO_CACHE`).

    Raises
    ------
    NotUploadedError
        If it names anything but a regular file at an upload's place in the folder. Symbolic links
        below the folder are not followed.
    DeletedUploadError
        If there is no file at that place.
    """
    path = file.get("path") if isinstance(file, dict) else file
    if not isinstance(path, str) or not 0 < len(path) <= MAX_PATH or not os.path.isabs(path):
        raise NotUploadedError
    place = path.removeprefix(str(Path(folder)))
    if place == path or not UPLOAD.fullmatch(place):
        raise NotUploadedError
    try:
        kinds = [os.lstat(part).st_mode for part in (os.path.dirname(path), path)]
    except FileNotFoundError:
        raise DeletedUploadError from None
    except (OSError, ValueError):  # ValueError: no file system can have this name
        raise NotUploadedError from None
    if not (stat.S_ISDIR(kinds[0]) and stat.S_ISREG(kinds[1])):
        raise NotUploadedError
    return Path(path)


def purge(folder, max_age_s: float, max_total_bytes: int, keep: Collection[str] = (), now=None):
    """Delete the uploads that are too old, then the oldest while all are too large.

    What Gradio does not name as it names uploads stays, and so does `keep`, which counts. Links
    are deleted, never followed. Gradio's own `delete_cache` knows no sum, nor broken uploads.
    """
    now = time.time() if now is None else now
    files, folders = [], []
    for where, inner, names in os.walk(folder):
        if where == str(folder):
            inner[:], names = filter(PURGED.fullmatch, inner), filter(PURGED.fullmatch, names)
        for path in (os.path.join(where, name) for name in (*inner, *names)):
            try:
                info = os.lstat(path)
            except OSError:
                continue
            # A copy keeps its original's time of modification: when it came is the later.
            changed = max(info.st_mtime, info.st_ctime)
            if not stat.S_ISDIR(info.st_mode):
                size = max(info.st_size, getattr(info, "st_blocks", 0) * 512) + FILE_OVERHEAD
                files.append((changed, size, path))
            elif now - changed > EMPTY_SECONDS:
                folders.append(path)
    total = sum(size for _, size, _ in files)
    for changed, size, path in sorted(files):
        if now - changed <= max_age_s and total <= max_total_bytes:
            break  # so are all younger ones
        if path not in keep:
            with suppress(OSError):
                Path(path).unlink(missing_ok=True)
                total -= size
    for path in reversed(folders):  # the inner ones first
        with suppress(OSError):  # it is not empty
            os.rmdir(path)


class Purger:
    """Purge a folder at the start, every three minutes, and when much has been uploaded.

    Parameters
    ----------
    folder : str or Path
    max_age_s : float
        Seconds since a file last changed.
    max_total_bytes : int
        Bytes of all that may be left.
    keep : collection of str
        Paths that stay: the page's examples.
    """

    def __init__(self, folder, max_age_s: float, max_total_bytes: int, keep: Collection[str] = ()):
        self.limits = folder, max_age_s, max_total_bytes, keep
        self.uploaded = 0
        self.much = asyncio.Event()

    def note(self, size: int) -> None:
        """Count the bytes of an upload."""
        self.uploaded += size
        if self.uploaded >= PURGE_BYTES:
            self.much.set()

    async def run(self) -> None:
        """Purge until cancelled."""
        while True:
            self.uploaded = 0
            self.much.clear()
            try:
                await asyncio.to_thread(purge, *self.limits)
            except OSError as error:
                log.warning("The purge of uploads failed: %s", type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(PURGE_SECONDS):
                    await self.much.wait()
