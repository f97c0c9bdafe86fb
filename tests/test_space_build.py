"""The Space, as its front matter and its builder see it."""

import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import RepoCard, SpaceHardware
from serving import ROOT

SPACE = RepoCard.load(ROOT / "README.md", repo_type="space").data.to_dict()
REQUIREMENTS = (ROOT / "requirements.txt").read_text()
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
ZEROGPU_PYTHONS = {"3.12.12", "3.10.13"}  # the Hub's documentation, "ZeroGPU"


def test_the_front_matter_is_a_spaces_and_names_no_repository_but_mnists():
    assert {SPACE["colorFrom"], SPACE["colorTo"]} <= COLORS
    assert SPACE["title"] and not SPACE["emoji"].isascii() and SPACE["license"] == "mit"
    assert SPACE["sdk"] == "gradio" and f"gradio=={SPACE['sdk_version']}\n" in REQUIREMENTS
    assert SPACE["python_version"] in ZEROGPU_PYTHONS
    assert SpaceHardware(SPACE["suggested_hardware"]) == SpaceHardware.CPU_BASIC
    assert (ROOT / SPACE["app_file"]).is_file()
    assert len(SPACE["short_description"]) <= 60
    # The owner's repositories are not ours to name: who publishes it makes them.
    assert SPACE["datasets"] == ["ylecun/mnist"] and not {"models", "preload_from_hub"} & set(SPACE)


def pips_index() -> dict[str, str]:
    """Return the variables that send uv to the index that pip is configured with."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    options = {"UV_DEFAULT_INDEX": "index-url", "SSL_CERT_FILE": "cert"}
    found = {name: re.search(rf"\.{o}='(.*)'$", listed, re.M) for name, o in options.items()}
    return {name: match[1] for name, match in found.items() if match and name not in os.environ}


@pytest.mark.network
@pytest.mark.parametrize("python, zerogpu", [("3.11", 0), ("3.12", 0), ("3.12", 1), ("3.13", 0)])
def test_the_builder_can_resolve_it(python, zerogpu):
    """Asks the package index; without one it fails."""
    assert not re.search(r"^\s*-", REQUIREMENTS, re.M)  # the builder mounts no other file
    spaces = re.search(r"^spaces==.*", (ROOT / "tests" / "requirements.txt").read_text(), re.M)[0]
    # What the builder asks pip for besides, in the same call.
    wanted = [f"gradio[oauth,mcp]=={SPACE['sdk_version']}", "uvicorn>=0.14.0", "websockets>=10.4"]
    wanted += [spaces, *(["torch<=2.13.0"] if zerogpu else []), REQUIREMENTS]
    command = ["uv", "pip", "compile", "-", "--no-header", "--no-annotate", "--no-progress"]
    command += ["--python-version", python, "--python-platform", "x86_64-unknown-linux-gnu"]
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    how = {"env": {**os.environ, **pips_index(), "PATH": path}, "input": "\n".join(wanted)}
    run = subprocess.run(command, capture_output=True, text=True, **how)
    assert run.returncode == 0, run.stderr
    versions = dict(re.findall(r"^([\w-]+)==([\w.]+)", run.stdout, re.M))
    torch = tuple(map(int, versions["torch"].split(".")))
    assert (2, 11) <= torch < (2, 15) and (not zerogpu or torch <= (2, 13, 0))
    assert versions["gradio"] == SPACE["sdk_version"]
