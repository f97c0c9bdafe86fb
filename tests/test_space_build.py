"""The Space, as its front matter and its builder see it."""

import inspect
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from huggingface_hub import RepoCard, SpaceCardData, SpaceHardware
from serving import ROOT

SPACE = RepoCard.load(ROOT / "README.md", repo_type="space").data.to_dict()


# The Hub's documentation, "Spaces configuration reference"; its client's class knows some of them.
KEYS = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version"),
    *("suggested_hardware", "suggested_storage", "app_file", "app_port", "base_path", "fullWidth"),
    *("header", "short_description", "models", "datasets", "tags", "thumbnail", "pinned"),
    *("hf_oauth", "hf_oauth_scopes", "hf_oauth_expiration_minutes", "hf_oauth_authorized_org"),
    *("disable_embedding", "startup_duration_timeout", "custom_headers", "preload_from_hub"),
    "license",
}
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
ZEROGPU_PYTHONS = {"3.12.12", "3.10.13"}  # the documentation, "ZeroGPU"


def test_the_front_matter_is_a_spaces_and_names_no_repository_but_mnists():
    known = set(inspect.signature(SpaceCardData).parameters) - {"ignore_metadata_errors", "kwargs"}
    assert known - {"duplicated_from"} <= KEYS  # of a copy; the Hub writes it
    assert set(SPACE) <= KEYS
    assert {SPACE["colorFrom"], SPACE["colorTo"]} <= COLORS
    assert SPACE["title"] and not SPACE["emoji"].isascii()
    assert SPACE["sdk"] == "gradio"
    assert f"gradio=={SPACE['sdk_version']}\n" in (ROOT / "requirements.txt").read_text()
    assert SPACE["python_version"] in ZEROGPU_PYTHONS
    assert SpaceHardware(SPACE["suggested_hardware"]) == SpaceHardware.CPU_BASIC
    assert (ROOT / SPACE["app_file"]).is_file()
    assert len(SPACE["short_description"]) <= 60
    assert SPACE["license"] == "mit" and all(isinstance(tag, str) for tag in SPACE["tags"])
    # The owner's repositories are not ours to name: who publishes it makes them.
    assert SPACE["datasets"] == ["ylecun/mnist"]
    assert not {"models", "preload_from_hub", "thumbnail"} & set(SPACE)  # the last is an address


def builders_line(zerogpu: bool) -> list[str]:
    """Return what the builder asks pip for besides requirements.txt, in the same call."""
    tests = (ROOT / "tests" / "requirements.txt").read_text()
    return [
        f"gradio[oauth,mcp]=={SPACE['sdk_version']}",
        *("uvicorn>=0.14.0", "websockets>=10.4", re.search(r"^spaces==.*", tests, re.M)[0]),
        *(["torch<=2.13.0"] if zerogpu else []),
    ]


def pips_index() -> dict[str, str]:
    """Return the variables that send uv to the index that pip is configured with."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    set_to = dict(re.findall(r"^([\w:.-]+)='(.*)'$", listed, re.M))

    def option(name):
        places = (":env:", "install", "global")
        return next((set_to[f"{p}.{name}"] for p in places if f"{p}.{name}" in set_to), None)

    wanted = {"UV_DEFAULT_INDEX": option("index-url"), "SSL_CERT_FILE": option("cert")}
    return {name: value for name, value in wanted.items() if value and name not in os.environ}


PYTHONS, HARDWARE = ("3.11", "3.12", "3.13"), ("CPU", "ZeroGPU")


@pytest.fixture(scope="module")
def resolved():
    """What uv resolves for each Python and hardware; all at once, since it waits for the index."""
    requirements = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"^\s*-", requirements, re.M)  # the builder mounts no other file
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = {**os.environ, **pips_index(), "UV_NO_PROGRESS": "1", "PATH": path}

    def resolve(kind: tuple[str, str]) -> subprocess.CompletedProcess:
        wanted = "\n".join([requirements, *builders_line(kind[1] == "ZeroGPU")])
        command = ["uv", "pip", "compile", "-", "--no-header", "--no-annotate"]
        command += ["--python-version", kind[0], "--python-platform", "x86_64-unknown-linux-gnu"]
        how = {"input": wanted, "env": environment, "capture_output": True, "text": True}
        return subprocess.run(command, **how)

    kinds = list(product(PYTHONS, HARDWARE))
    with ThreadPoolExecutor(len(kinds)) as threads:
        return dict(zip(kinds, threads.map(resolve, kinds), strict=True))


@pytest.mark.network
@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_builder_can_resolve_it(resolved, python, hardware):
    """Asks the package index; without one it fails."""
    run = resolved[python, hardware]
    assert run.returncode == 0, run.stderr
    versions = dict(re.findall(r"^([\w-]+)==([\w.]+)", run.stdout, re.M))
    torch = tuple(map(int, versions["torch"].split(".")))
    assert (2, 11) <= torch < (2, 15) and (hardware == "CPU" or torch <= (2, 13, 0))
    assert versions["gradio"] == SPACE["sdk_version"]
