"""A program that answers a pool with what it was asked, or misbehaves over it."""

import asyncio
import sys

from serving import ROOT

from page.pool import WorkerPool

# Answers a question with itself, but ends over "end", says what is no answer over "babble", says
# too much over "flood", and is stuck over "sleep", deaf to polite signals.
ECHO = """
import json, os, signal, sys, time
sys.path.insert(0, ROOT)
from page import fork_server

def answer_lines(questions, answers):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(fork_server.ready_line(), end="", file=answers, flush=True)
    for line in questions:
        question, *rest = json.loads(line)
        if question == "end": os._exit(1)
        if question == "sleep": time.sleep(600)
        if question == "nap": time.sleep(0.2)
        if question == "child": rest = [os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")]
        if question == "flood": print("x" * 2_000_000, file=answers, flush=True)
        print("?" if question == "babble" else json.dumps([question, os.getpid(), *rest]),
              file=answers, flush=True)

fork_server.serve(answer_lines)
""".replace("ROOT", repr(str(ROOT)))


def run(work, program=ECHO, **options):
    """Run `work` with a pool, stopped afterwards."""

    async def main():
        pool = WorkerPool(sys.executable, "-c", program, **options)
        try:
            return await asyncio.wait_for(work(pool), 60)
        finally:
            await pool.stop()

    return asyncio.run(main())


def all_of(*questions):
    """Ask all at once; return the answers, or what was raised."""
    return lambda pool: asyncio.gather(*(pool.ask(q) for q in questions), return_exceptions=True)


def said(answers) -> list:
    return [type(a) if isinstance(a, Exception) else a[0] for a in answers]
