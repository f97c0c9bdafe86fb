"""Which files a caller may name: those that were uploaded to this server, and no others."""

import getpass
import os
import re
import stat
import tempfile
from pathlib import Path

LONGEST_PATH = 1024  # characters
# Gradio keeps an upload, and an example, in <folder>/<SHA-256 of its content>/<name>.
UPLOAD = re.compile(r"[/\\][0-9a-f]{64}[/\\](?!\.{1,2}$)[^/\\\x00-\x1f\x7f]{1,255}")


def private_folder() -> Path:
    """Return a folder for this page's uploads that no other program of the user's has."""
    return Path(tempfile.gettempdir()).resolve() / f"lenet-uploads-{getpass.getuser()}"


class NotUploadedError(ValueError):
    """What a caller sent names no file that was uploaded to this server."""


def resolve_upload(file: dict | str, folder: str | Path) -> Path:
    """Return the path of an upload that a caller of an endpoint names.

    Only the path counts: addresses are not fetched, and `data:` URLs not read. Which server made
    an upload is told by the folder, so no other program should have the same one.

    Parameters
    ----------
    file : dict or str
        What the endpoint is sent, Gradio's FileData as a dict; or the path alone.
    folder : str or Path
        That of the uploads, as Gradio names it (`demo.GRADIO_CACHE`).

    Returns
    -------
    path : Path

    Raises
    ------
    NotUploadedError
        If it names anything but a regular file at an upload's place in the folder. Symbolic links
        below the folder are not followed.
    """
    path = file.get("path") if isinstance(file, dict) else file
    if not isinstance(path, str) or not 0 < len(path) <= LONGEST_PATH:
        raise NotUploadedError("A file is named by its path.")
    folder = str(Path(folder))
    place = path.removeprefix(folder)
    if not os.path.isabs(path) or place == path or not UPLOAD.fullmatch(place):
        raise NotUploadedError("This is not the path of an upload.")
    try:
        kinds = [os.lstat(part).st_mode for part in (os.path.dirname(path), path)]
    except (OSError, ValueError):  # ValueError: no file system can have this name
        raise NotUploadedError("There is no such upload.") from None
    if not (stat.S_ISDIR(kinds[0]) and stat.S_ISREG(kinds[1])):
        raise NotUploadedError("This is not an upload.")
    return Path(path)
