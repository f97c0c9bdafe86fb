"""The house: which module may import which, and how long files and functions may be."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from serving import ROOT

FILES = [f for room in (".", "reading", "page", "training") for f in (ROOT / room).glob("*.py")]
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


def test_three_programs_three_rooms_and_arrows_between_them():
    assert {module.partition(".")[0] for module in MODULES} == set(MAY_IMPORT)
    for module, file in MODULES.items():
        room = module.partition(".")[0]
        for imported in imports_of(file):
            allowed = {room} | MAY_IMPORT[room]
            assert imported in allowed or imported.partition(".")[0] in allowed, (module, imported)


@pytest.mark.parametrize("module", MODULES)
def test_a_file_and_its_functions_are_short(module):
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= (250 if module == "train" else 300)
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.Global), "state belongs to an object"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


def test_the_readmes_tree_names_every_file():
    tree = (ROOT / "README.md").read_text().partition("app.py  train.py")[2].partition("```")[0]
    listed = set(re.findall(r"[\w.]+\.(?:py|js|css)\b", tree)) | {"app.py", "train.py"}
    command = ["git", "ls-files", "*.py", "reading/", "page/*.*", "training/"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()
    ours = [Path(name) for name in tracked if not name.startswith(("tests", "bench", "examples"))]
    names = {path.name for path in ours if path.suffix in (".py", ".js", ".css")}
    assert listed == names - {"__init__.py"}
