"""Environment variables that Gradio reads when it is imported."""

import os
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
MAX_PAST_EVENTS = 100  # events that Gradio remembers; it walks through them after each answer


def gradio_environment() -> dict[str, str]:
    """Return variables that keep uploads private and let Gradio reach itself without a proxy."""
    # By default, all Gradio apps of a user share one folder.
    folder = os.environ.get("GRADIO_TEMP_DIR") or str(private_folder())
    variables = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_MAX_EVENTS": str(MAX_PAST_EVENTS)}
    for name in filter(os.environ.get, (*PROXIES, *map(str.lower, PROXIES))):
        for no in ("NO_PROXY", "no_proxy"):  # at its start, Gradio sends itself a request
            variables[no] = ",".join(filter(None, (os.environ.get(no), "localhost,127.0.0.1")))
        # httpx raises ImportError if a SOCKS proxy is set and socksio isn't installed.
        if os.environ[name].startswith("socks") and not find_spec("socksio"):
            variables[name] = ""
    return variables


def private_folder() -> Path:
    """Return a folder for uploads that only this user can change, or raise SystemExit."""
    user = os.getuid() if hasattr(os, "getuid") else "page"  # not on Windows
    folder = Path(tempfile.gettempdir()).resolve() / f"lenet-uploads-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    ours = user == "page" or (found.st_uid == user and not found.st_mode & 0o022)
    if not (stat.S_ISDIR(found.st_mode) and ours):
        raise SystemExit(f"{folder} isn't yours alone. Set GRADIO_TEMP_DIR to another folder.")
    return folder
