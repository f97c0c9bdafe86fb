"""The tables of both READMEs are what benchmarks/all.py can write, and it finds every script."""

import re
import runpy

import pytest
from serving import ROOT

ALL = runpy.run_path(str(ROOT / "benchmarks" / "all.py"))
TEXT = (ROOT / "benchmarks" / "README.md").read_text()


def marked(text: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end -->", text, re.S))


def test_every_marker_has_a_command_and_every_script_a_section():
    sections = {name: command for command, name in re.findall(ALL["SECTION"], TEXT, re.M)}
    assert {*sections, "run"} == set(marked(TEXT)) and set(ALL["ON_REQUEST"]) < set(sections)
    scripts = {f"benchmarks/{file.name}" for file in (ROOT / "benchmarks").glob("*.py")}
    assert scripts == {command.split()[0] for command in sections.values()} | {"benchmarks/all.py"}
    assert TEXT.count("<!-- ") == 2 * (len(sections) + 1)


@pytest.mark.parametrize("name, ours", marked((ROOT / "README.md").read_text()).items())
def test_the_readmes_rows_are_those_of_the_benchmarks(name, ours):
    assert ours.split("\n\n")[0] == ALL["quote"](ours, marked(TEXT)[name])
