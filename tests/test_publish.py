"""The README's lines that publish the Space and train at the Hub, against loopback_hub's Hub."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from loopback_hub import OWNER, WRITE_TOKEN
from serving import ROOT

from training.run import RUN_FILES

SPACE = f"{OWNER}/lenet"
# What a clone in use has besides, and a Space must not get.
CLUTTER = [".venv/pip", "data/MNIST/raw/train", "runs/demo/README.md", "my photograph.png"]
CLUTTER += ["page/__pycache__/pool.pyc", ".hypothesis/examples", ".gradio/flagged"]


def readme_command(start: str) -> str:
    pages = ("README.md", "docs/hosting.md")
    lines = [line for page in pages for line in (ROOT / page).read_text().splitlines()]
    (command,) = [line for line in lines if line.startswith(start)]
    return command.replace("<you>", OWNER)


def shell(command: str, folder: Path, **environment: str) -> str:
    """Run a command line in a folder, with the programs of this Python; return its output."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **environment}
    how = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    run = subprocess.run(["bash", "-c", command], **how)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def contents(folder: Path) -> dict[str, bytes]:
    names = shell("git ls-files", folder).splitlines()
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def test_one_line_publishes_and_updates_what_git_lists(hub, monkeypatch, tmp_path):
    shell(f"git ls-files -z | xargs -0 cp --parents -t {tmp_path}", ROOT)
    shell("git init -q && git add -A", tmp_path)
    for name in CLUTTER:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not for the Space")
    monkeypatch.delenv("HF_HUB_DISABLE_XET")  # as it is with who types it
    upload = readme_command("git ls-files")
    shell(upload, tmp_path)
    (wanted,) = hub.created
    assert (wanted["type"], wanted["sdk"]) == ("space", "gradio")
    assert hub.commits[SPACE] == [{}, contents(tmp_path)]
    hub.add(SPACE, {"gone.py": b"of an earlier version", ".gitattributes": b"the Hub's own"})
    (tmp_path / "page" / "style.css").write_text("body { color: red }")
    (tmp_path / "LICENSE").unlink()
    shell(upload, tmp_path)
    assert hub.commits[SPACE][3:] == [{".gitattributes": b"the Hub's own", **contents(tmp_path)}]


def test_who_does_not_pay_creates_it_on_zerogpu_and_may_say_so_twice(hub, tmp_path):
    create = readme_command("hf repos create")
    shell(f"{create}\n{create}", tmp_path)
    (wanted,) = hub.created
    assert (wanted["sdk"], wanted["hardware"]) == ("gradio", "zero-a10g")
    assert hub.commits == {SPACE: [{}]}


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
