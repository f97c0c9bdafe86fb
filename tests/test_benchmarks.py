"""The tables of both READMEs are what benchmarks/all.py can write, and it finds every script."""

import re
import runpy

import pytest
from serving import ROOT

ALL = runpy.run_path(str(ROOT / "benchmarks" / "all.py"))
TEXT = (ROOT / "benchmarks" / "README.md").read_text()
SECTIONS = {name: command for command, name in re.findall(ALL["SECTION"], TEXT, re.M)}


def marked(text: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end -->", text, re.S))


def test_every_marker_has_a_command_and_every_script_a_section():
    assert {*SECTIONS, "run"} == set(marked(TEXT)) and set(ALL["ON_REQUEST"]) < set(SECTIONS)
    scripts = {f"benchmarks/{file.name}" for file in (ROOT / "benchmarks").glob("*.py")}
    assert scripts == {command.split()[0] for command in SECTIONS.values()} | {"benchmarks/all.py"}
    assert TEXT.count("<!-- ") == 2 * (len(SECTIONS) + 1)


def test_no_benchmark_is_a_library():
    files = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests").glob("*.py")]
    scripts = "|".join(file.stem for file in (ROOT / "benchmarks").glob("*.py"))
    imports = rf"^(?:import|from) (?:{scripts})\b"
    assert [f.name for f in files if re.search(imports, f.read_text(), re.M)] == []


@pytest.mark.parametrize("name", marked((ROOT / "README.md").read_text()))
def test_the_readmes_rows_are_those_of_the_benchmarks(name):
    ours = marked((ROOT / "README.md").read_text())[name]
    quoted = ALL["quote"](ours, marked(TEXT)[name])
    assert ours.split("\n\n")[0] == quoted


def test_a_row_that_no_benchmark_prints_is_an_error():
    source = "| digits | first | three |\n| --- | --- | --- |\n| a | 1% | 2% |"
    table = "| theirs | three |\n| --- | --- |\n| {} | old |"
    assert ALL["quote"](table.format("a"), source).endswith("\n| a | 2% |")
    with pytest.raises(KeyError):
        ALL["quote"](table.format("b"), source)


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    file = tmp_path / "README.md"
    text = "A\n<!-- a -->\n1\n<!-- end -->\nB\n<!-- b -->\n2\n<!-- end -->\n"
    file.write_text(text)
    ALL["replace"](file, "a", r"\1 new")
    assert file.read_text() == text.replace("1", r"\1 new")
