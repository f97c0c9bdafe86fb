"""Check the paths of uploads that clients name, and purge the folder of uploads."""

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
# Gradio stores uploads and examples as <folder>/<SHA-256 of the content>/<name>.
UPLOAD = re.compile(r"[/\\][0-9a-f]{64}[/\\](?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}")
PURGED = re.compile(r"[0-9a-f]{64}|tmp\w+")  # folders of uploads, and files not yet complete
FILE_OVERHEAD = 8192  # bytes on the disk for a file's folder and inode
EMPTY_SECONDS = 60  # age at which an empty folder is deleted: Gradio may still move a file there
PURGE_SECONDS, PURGE_BYTES = 180, 100_000_000  # time or uploaded bytes until the next purge


class NotUploadedError(ValueError):
    """A client named a file that wasn't uploaded to this server."""


class DeletedUploadError(NotUploadedError):
    """The file may have been uploaded once, but isn't here anymore."""


def resolve_upload(file: dict | str, folder: str | Path) -> Path:
    """Return the path of an upload that a client names.

    Parameters
    ----------
    file : dict or str, Gradio's FileData as a dict with a "path", or the path
    folder : str or Path, the folder of uploads (`demo.GRADIO_CACHE`)

    Raises
    ------
    NotUploadedError
        Unless it is a regular file where Gradio stores uploads. Symbolic links are refused. If
        there is no file, a DeletedUploadError.
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
    except (OSError, ValueError):  # ValueError: the path holds a null character
        raise NotUploadedError from None
    if not (stat.S_ISDIR(kinds[0]) and stat.S_ISREG(kinds[1])):
        raise NotUploadedError
    return Path(path)


def purge(folder, max_age_s: float, max_total_bytes: int, keep: Collection[str] = (), now=None):
    """Delete uploads older than `max_age_s`, then the oldest until `max_total_bytes` are left.

    Paths in `keep` are never deleted, but their sizes count. Only what is named like an upload is
    deleted. Gradio's own `delete_cache` limits neither the sum nor unfinished uploads.
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
            # A copy keeps the mtime of its original; ctime says when it was made.
            changed = max(info.st_mtime, info.st_ctime)
            if not stat.S_ISDIR(info.st_mode):
                size = max(info.st_size, getattr(info, "st_blocks", 0) * 512) + FILE_OVERHEAD
                files.append((changed, size, path))
            elif now - changed > EMPTY_SECONDS:
                folders.append(path)
    total = sum(size for _, size, _ in files)
    for changed, size, path in sorted(files):
        if now - changed <= max_age_s and total <= max_total_bytes:
            break  # all later files are younger
        if path not in keep:
            with suppress(OSError):
                Path(path).unlink(missing_ok=True)
                total -= size
    for path in reversed(folders):  # inner folders first
        with suppress(OSError):  # not empty
            os.rmdir(path)


class Purger:
    """Call `purge` at the start, every three minutes, and after 100 MB of uploads."""

    def __init__(self, folder, max_age_s: float, max_total_bytes: int, keep: Collection[str] = ()):
        self.limits = folder, max_age_s, max_total_bytes, keep
        self.uploaded = 0
        self.much = asyncio.Event()

    def note(self, size: int) -> None:
        self.uploaded += size
        if self.uploaded >= PURGE_BYTES:
            self.much.set()

    async def run(self) -> None:
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
