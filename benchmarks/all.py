"""Run the benchmarks of benchmarks/README.md and write their output into it.

    python benchmarks/all.py --data data                  # all except those in ON_REQUEST
    python benchmarks/all.py --data data real_digits siege

In that file, each command is followed by the markers <!-- name --> and <!-- end -->. The script
writes the command's output and the commit between them. If the top README.md has a table with the
same markers, its cells are updated too. Commit your changes first.
"""

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ON_REQUEST = {"seeds": "10 minutes", "paper": "half an hour", "recipe": "an hour"}
ON_REQUEST |= {"related_work": "an hour", "gpu": "five minutes, on a GPU"}
DURATION = (
    "Without names it takes 60 to 90 minutes on two quiet cores. Only if named: "
    + ", ".join(f"{name} ({duration})" for name, duration in ON_REQUEST.items())
)
PACKAGES = ("torch", "gradio", "opencv-python-headless", "numpy", "pillow")
SECTION = r"^python (benchmarks/\w+\.py.*)\n```\n+<!-- (\w+) -->$"


def replace(file: Path, name: str, content: str) -> None:
    """Replace the text between a name's markers in a file."""
    marked = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
    text = re.sub(marked, lambda found: found[1] + content + found[2], file.read_text(), flags=re.S)
    file.write_text(text)


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def quote(table: str, source: str) -> str:
    """Fill a Markdown table with the cells that the first table in `source` has under its names.

    Raises KeyError if `source` lacks a row or a column.
    """
    lines = [line for line in source.split("\n\n")[0].splitlines() if line.startswith("|")]
    header, _, *rows = map(cells_of, lines)
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    first, rule, *quoted = [line for line in table.splitlines() if line.startswith("|")]
    columns = cells_of(first)[1:]
    names = [cells_of(line)[0] for line in quoted]
    rows = [[name, *(found[name][column] for column in columns)] for name in names]
    return "\n".join([first, rule, *(f"| {' | '.join(row)} |" for row in rows)])


def commit() -> str:
    """Return the commit, "with changes" if files other than Markdown have changed since."""
    git = ["git", "-C", str(ROOT)]
    head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    changes = subprocess.call([*git, "diff", "--quiet", "HEAD", "--", ".", ":!*.md"])
    return f"{head} with changes" if changes else head


def machine() -> str:
    """Return the versions and the processor in a sentence."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    processor = model[1].strip() if model else platform.machine()
    python = platform.python_version()
    return f"Python {python}, {packages}, on {os.cpu_count()} cores ({processor})"


def run(name: str, command: str, data: Path, code: str) -> None:
    """Run a section's command and write its output into both READMEs."""
    words = [str(data / w[5:]) if w.startswith("data/") else w for w in shlex.split(command)]
    started = time.monotonic()
    print(f"{name}: {command}", file=sys.stderr, flush=True)
    output = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(output.stdout, flush=True)
    output.check_returncode()
    seconds = time.monotonic() - started
    today = datetime.date.today()
    printed = f"Commit {code}, {today}"
    content = f"{output.stdout.strip()}\n\n{printed}, in {seconds:.0f} s."
    replace(HERE / "README.md", name, content)
    replace(HERE / "README.md", "run", f"Last run: {today}, commit {code}, {machine()}.")
    readme = ROOT / "README.md"
    if found := re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", readme.read_text(), re.S):
        replace(readme, name, f"{quote(found[1], output.stdout.strip())}\n\n{printed}.")


def main() -> int:
    sections = {
        name: command
        for command, name in re.findall(SECTION, (HERE / "README.md").read_text(), re.M)
    }
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog=DURATION)
    parser.add_argument(
        "--data",
        type=Path,
        default="data",
        help="folder that replaces data/ in the commands; it holds mnist/ (train.py's --data-dir), "
        "real-digits/ and real-numbers/ (see real_digits.py) (%(default)s)",
    )
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(sections))
    arguments = parser.parse_args()
    names = arguments.names or [name for name in sections if name not in ON_REQUEST]
    if unknown := set(names) - set(sections):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    code, failed = commit(), []
    for name in names:
        try:
            run(name, sections[name], arguments.data.absolute(), code)
        except subprocess.CalledProcessError as error:
            failed.append(f"{name} failed with status {error.returncode}; its table is the old one")
    print("\n".join(failed), file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
