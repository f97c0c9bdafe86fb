"""The house: which module may import which, how long things may be, and that imports do nothing."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from serving import ROOT

ROOMS = ("reading", "page", "training")
FILES = [*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).glob("*.py"))]
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in FILES}
# Of each room, what it may import besides its own.
MAY_IMPORT = {
    "lenet": set(),
    "reading": {"lenet"},
    "page": {"lenet", "reading"},
    # Drawn and scanned images take the steps that a picture takes, not more of the room.
    "training": {"lenet", "reading.picture", "reading.preprocess", "reading.small"},
    "app": {"page", "reading"},
    "train": {"lenet", "training"},
}


def imports_of(file) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in names if name in MODULES} or {node.module}
    return {name for name in found if name.partition(".")[0] in MAY_IMPORT}


def test_three_programs_three_rooms_and_arrows_between_them_without_a_circle():
    assert {file.name for file in ROOT.glob("*.py")} == {"app.py", "train.py", "lenet.py"}
    assert all((ROOT / room / "__init__.py").is_file() for room in ROOMS)
    for module, file in MODULES.items():
        room = module.partition(".")[0]
        for imported in imports_of(file):
            allowed = {room} | MAY_IMPORT[room]
            assert imported in allowed or imported.partition(".")[0] in allowed, (module, imported)
    TopologicalSorter({m: imports_of(file) - {m} for m, file in MODULES.items()}).prepare()


@pytest.mark.parametrize("module", MODULES)
def test_a_file_and_its_functions_are_short(module):
    file = MODULES[module]
    assert len(file.read_text().splitlines()) <= (250 if module == "train" else 300)
    for node in ast.walk(ast.parse(file.read_text())):
        assert not isinstance(node, ast.Global), "state belongs to an object"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


IMPORT_ALL = """
import json, os, socket, sys, threading
import gradio, huggingface_hub, torch, cv2, PIL.Image  # what these do is not ours
started, opened = [], []
start, connect = threading.Thread.start, socket.socket.connect
threading.Thread.start = lambda thread: started.append(thread.name) or start(thread)
socket.socket.connect = lambda *address: opened.append(str(address)) or connect(*address)
environment = dict(os.environ)
for module in sys.argv[1:]:
    __import__(module)
changed = [name for name in os.environ if os.environ[name] != environment.get(name)]
print(json.dumps([started, opened, changed]))
"""


def test_importing_starts_nothing():
    """No thread, no connection, and no variable but two that Gradio reads, and one that it sets."""
    modules = [module for module in MODULES if not module.endswith("__init__")]
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *modules], cwd=ROOT, capture_output=True, text=True
    )
    started, opened, changed = json.loads(run.stdout.splitlines()[-1]) if run.stdout else run.stderr
    assert (started, opened) == ([], [])
    ours = {"GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_MAX_EVENTS"}
    assert set(changed) <= ours | {"HF_HUB_DISABLE_TELEMETRY"}
