"""What the product is made of: pinned, free to use, and nothing in it that runs what it is sent."""

import ast
import re
import subprocess
import sys
from importlib.metadata import metadata, requires

import pytest
from packaging.requirements import Requirement
from serving import ROOT


def required() -> set[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


def test_everything_is_pinned_but_pytorch_and_what_a_space_chooses():
    files = [(ROOT / name).read_text() for name in ("requirements.txt", "tests/requirements.txt")]
    lines = "".join(files).splitlines()
    loose = {line for line in lines if not re.fullmatch(r"[\w-]+(\[\w+\])?==[\w.]+|#.*|", line)}
    # One repository for two kinds of Space: ZeroGPU has PyTorch 2.13 at most, a CPU the newest.
    assert loose == {"torch>=2.11,<2.15", "torchvision>=0.26,<0.30"}
    assert not {"spaces", "pydantic", "uvicorn", "websockets"} & required()


def test_every_dependency_may_be_used_freely():
    # MIT goes with permissive licenses, the MPL, and what NVIDIA gives out with PyTorch.
    free = r"MIT|BSD|Apache|PSF|Python Software|ISC|MPL|Mozilla|HPND|Zlib|NVIDIA|Proprietary"
    found, waiting = set(), list(required())
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            needed = map(Requirement, requires(name) or [])
            waiting += [r.name for r in needed if not r.marker or r.marker.evaluate({"extra": ""})]
    assert "starlette" in found  # which only Gradio needs
    for name in found:
        about = metadata(name)
        told = [c for c in about.get_all("Classifier", []) if c.startswith("License")]
        license = about.get("License-Expression") or " ".join(told) or about.get("License", "")
        if name != "cuda-toolkit":  # which says nothing, and only names NVIDIA's others
            assert re.search(free, license), (name, license[:200])
        assert not re.search(r"\bA?GPL|Affero|GNU General", license), name


def test_nothing_runs_what_it_is_sent():
    """No pickle, no eval, no shell; torch.load of tensors alone."""
    folders = {path: path.relative_to(ROOT).parts for path in ROOT.rglob("*.py")}
    ours = [p for p, parts in folders.items() if not {"tests", "benchmarks", ".venv"} & {*parts}]
    assert {path.parent.name for path in ours} >= {"examples", "reading", "page", "training"}
    for source in ours:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "marshal", "shelve", "dill", "joblib"}, source
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                named = {argument.arg: ast.unparse(argument.value) for argument in node.keywords}
                assert called not in ("eval", "exec", "compile", "os.system", "os.popen"), source
                assert "shell" not in named, source
                assert called != "torch.load" or named.get("weights_only") == "True", source


@pytest.mark.parametrize(
    "module, others",
    [
        # `spaces` imports PyTorch, which takes 400 MB.
        ("app", {"torch", "spaces", "cv2", "torchvision", "matplotlib", "train"}),
        ("page.worker", {"gradio", "torchvision", "matplotlib", "train"}),
    ],
)
def test_the_page_imports_nothing_that_it_does_not_need(module, others):
    code = f"import {module}, sys; print(*{others} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "\n", run
