"""The README's lines that publish the Space and train at the Hub, against loopback_hub's Hub."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from loopback_hub import OWNER, WRITE_TOKEN
from serving import ROOT, serve

from training.run import RUN_FILES

SPACE = f"{OWNER}/lenet"
# What a clone in use has besides, and a Space must not get.
CLUTTER = (
    *(".venv/pip", "data/MNIST/raw/train", "runs/demo/README.md", "screenshots/page.png"),
    *("page/__pycache__/pool.pyc", ".hypothesis/examples", ".gradio/flagged", "my photograph.png"),
)


def readme_command(start: str) -> str:
    pages = ("README.md", "docs/hosting.md")
    lines = [line for page in pages for line in (ROOT / page).read_text().splitlines()]
    (command,) = [line for line in lines if line.startswith(start)]
    return command.replace("<you>", OWNER)


def shell(command: str, folder: Path, succeeds=True, **environment: str) -> str:
    """Run a command line in a folder, with the programs of this Python; return its output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **environment}
    run = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert (run.returncode == 0) == succeeds, run.stdout + run.stderr
    return run.stdout + run.stderr


CREATE, UPLOAD = readme_command("hf repos create"), readme_command("git ls-files")


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return [name for name in shell("git ls-files", ROOT).splitlines() if (ROOT / name).exists()]


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def clone(tracked, tmp_path) -> Path:
    """The repository as it is now, with what its use leaves in it."""
    folder = write(tmp_path / "clone", contents(ROOT, tracked))
    shell("git init -q && git add -A", folder)
    return write(folder, dict.fromkeys(CLUTTER, b"not for the Space"))


def contents(folder: Path, names) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("xet", [False, True], ids=["in a commit", "Xet"])
def test_who_pays_publishes_and_updates_by_one_line(hub, clone, tracked, monkeypatch, xet):
    """By the client's older way of uploading a folder, and by its newer, which may make many."""
    if xet:
        monkeypatch.delenv("HF_HUB_DISABLE_XET")
    shell(UPLOAD, clone)
    (wanted,) = hub.created
    assert (wanted["type"], wanted["sdk"]) == ("space", "gradio")
    first, published = hub.commits[SPACE]
    assert first == {} and published == contents(clone, tracked)
    hub.add(SPACE, {"gone.py": b"of an earlier version", ".gitattributes": b"the Hub's own"})
    (clone / "page" / "style.css").write_text("body { color: red }")
    (clone / "LICENSE").unlink()
    shell(UPLOAD, clone)
    now = contents(clone, set(tracked) - {"LICENSE"})
    assert hub.commits[SPACE][3:] == [{".gitattributes": b"the Hub's own", **now}]


def test_who_does_not_pay_creates_it_on_zerogpu_first(hub, clone, tracked, tmp_path):
    """And what arrives there answers."""
    hub.pays = False
    assert "402" in shell(UPLOAD, clone, succeeds=False) and hub.commits == {}
    # Who types the first line twice has done no harm.
    shell(f"{CREATE}\n{CREATE}\n{UPLOAD}", clone)
    (wanted,) = hub.created
    assert (wanted["sdk"], wanted["hardware"]) == ("gradio", "zero-a10g")
    assert hub.commits[SPACE] == [{}, contents(clone, tracked)]
    space = write(tmp_path / "space", hub.commits[SPACE][-1])
    log = tmp_path / "log"
    in_space = {"SYSTEM": "spaces", "SPACE_ID": SPACE, "SPACE_AUTHOR_NAME": OWNER}
    with serve((sys.executable, str(space / "app.py")), log, PYTHONPATH="", **in_space) as server:
        page = Client(server.url, verbose=False)
        picture = handle_file(space / "examples" / "digits" / "7-crossed.png")
        guesses, *_ = page.predict(picture, api_name="/upload")
        assert guesses["label"] == "7"


def test_without_git_nothing_is_uploaded(hub, clone):
    """Rather than everything: a downloaded archive has no list of what belongs."""
    shutil.rmtree(clone / ".git")
    shell(f"{UPLOAD} || true", clone, GIT_CEILING_DIRECTORIES=str(clone.parent))
    assert hub.commits == {}


def test_training_on_the_hubs_machines_pushes(hub, small_mnist, tmp_path):
    """The README's job is ordered, and what it orders is done here."""
    hub.add(SPACE, {})
    shell(readme_command("hf jobs run").replace(" run", " run --detach", 1), tmp_path)
    (job,) = hub.jobs
    assert job["secrets"] == {"HF_TOKEN": WRITE_TOKEN} and job["flavor"] == "t4-small"
    (volume,) = job["volumes"]
    assert (volume["type"], volume["source"], volume["mountPath"]) == ("space", SPACE, "/lenet")
    command = shlex.join(job["command"])
    for there, here in (
        ("/tmp/mnist", small_mnist),
        ("/tmp/run", tmp_path / "run"),
        ("/lenet/", f"{ROOT}/"),
        ("--device cuda", "--device cpu"),  # it fails rather than to train on a CPU there
    ):
        assert there in command
        command = command.replace(there, str(here))
    # What uv would install is here, and uv sees that it fits requirements.txt.
    here = {"UV_PYTHON": sys.executable, "UV_OFFLINE": "1"}
    shell(f"{command} --recipe paper --epochs 1", tmp_path, **here)
    assert set(hub.commits[f"{OWNER}/lenet-mnist"][-1]) == set(RUN_FILES)
