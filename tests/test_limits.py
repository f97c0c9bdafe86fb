"""What a picture may cost a worker: what is counted beforehand, and what the kernel forbids."""

import json
import subprocess
import sys

import pytest
from attacks import ATTACKS
from serving import ROOT

from page.decode import COSTLY, TOO_LARGE
from reading.ink import NOTHING_MESSAGE
from reading.picture import DAMAGED_MESSAGE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux'")

# Evaluates what it is sent within a worker's limits; answers with what came of it, seconds of the
# processor, and the most that it has ever held in memory (bytes).
PROGRAM = """
import json, re, resource, time
from page import limits
from page.decode import open_picture
from reading.preprocess import to_mnist

def read(path):
    return f"ink {to_mnist(open_picture(path)).sum():.0f}"

def status(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

def answer_lines(questions, answers):
    limits.limit_process(200_000_000)
    for line in questions:
        started = time.process_time()
        try:
            said = eval(line)
        except Exception as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        answer = said, time.process_time() - started, 1024 * status("VmHWM")
        print(json.dumps(answer), file=answers, flush=True)

limits.serve(answer_lines)
"""
SENTENCES = {  # else COSTLY; of the first ones what hurts is left out, and the rest read
    "png_of_gamma": NOTHING_MESSAGE, "png_of_profiles": NOTHING_MESSAGE,
    "png_of_length": DAMAGED_MESSAGE, "gif_of_size": TOO_LARGE,
    "webp_of_canvas": DAMAGED_MESSAGE,  # the kernel refuses its memory
}  # fmt: skip


def evaluate(*expressions: str) -> list[tuple]:
    command, how = (sys.executable, "-c", PROGRAM), {"cwd": ROOT, "text": True, "check": True}
    run = subprocess.run(command, input="\n".join(expressions), stdout=subprocess.PIPE, **how)
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_an_attack_is_refused_before_it_costs_anything(tmp_path):
    for name, attack in ATTACKS.items():
        (tmp_path / name).write_bytes(attack())
    files = [ROOT / "examples" / "digits" / "7-crossed.png", *map(tmp_path.joinpath, ATTACKS)]
    (ink, _, before), *results = evaluate(*(f"read({str(file)!r})" for file in files))
    assert ink.startswith("ink")
    for name, (said, seconds, most) in zip(ATTACKS, results, strict=True):
        assert (name, said) == (name, SENTENCES.get(name, COSTLY))
        assert seconds < 0.5 and most - before < 100_000_000, name


def test_what_a_worker_may_not(tmp_path):
    large = tmp_path / "large"
    answers = evaluate(
        *(f"len(bytearray({size}))" for size in (100_000_000, 300_000_000, 100_000_000)),
        *("resource.getrlimit(resource.RLIMIT_CORE)", "status('NoNewPrivs')"),
        f"open({str(large)!r}, 'wb').write(bytes(100_000_000))",
    )
    said = [answer[0] for answer in answers]
    assert said == [100_000_000, "MemoryError", 100_000_000, [0, 0], 1, "File too large"]
    assert large.stat().st_size <= 64_000_000
