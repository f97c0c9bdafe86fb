"""Measure how long the page takes to start, and how long many visitors at once wait.

    python benchmarks/load.py

Start: the time from `python app.py` to the first answer, at home and as in a Space, compared with
importing PyTorch and Gradio alone.

Clients: 1, 10, 100 and 300 clients send requests without a pause through Gradio's HTTP protocol,
three sketches, then a photograph of two megapixels. An answer's time ends with its event stream.
An answer that differs from the first one for the same picture is an error.

Pens: a hundred clients draw, and send requests while their pens move, like page/pen.js.

The same load goes to a page whose answer is a constant. Memory is that of all processes, with
shared memory counted once. The tables show medians over the rounds.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx2 as httpx
import numpy as np

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from client import ask, client_from, questions
from handwriting import along
from serving import CONSTANT_PAGE, Server, pss_memory, serve
from space_host import SPACE

IMPORTS = (sys.executable, "-c", "import torch, gradio")
IN_SPACE = SPACE | {"HF_ENDPOINT": "http://127.0.0.1:9"}  # without a Hub, which would take time
SETTLE = 5  # seconds until all processes have started
MOVES = 60  # pen movements per stroke, which takes a second
PERIOD = 0.1  # seconds, at least, between two requests of a pen, as in page/pen.js
FORTY_TWO = [  # pixels of the pad
    [(190, 100), (110, 290), (300, 290)],
    [(250, 170), (245, 400)],
    [(370, 160), (410, 110), (480, 110), (510, 170), (470, 260), (360, 390), (520, 390)],
]
FAILURES = (httpx.HTTPError, RuntimeError, KeyError, ValueError)


def first_answer(**environment: str) -> tuple[float, float]:
    """Return the seconds from the page's start to its first answer, and its memory in MB."""
    started = time.perf_counter()
    with serve(log=Path(os.devnull), **environment) as server:
        asyncio.run(visit(server.url, 1, 1))
        seconds = time.perf_counter() - started
        time.sleep(SETTLE)
        return seconds, pss_memory(server.process.pid)


def print_starts(rounds: int) -> None:
    """Print how long the page takes to start: medians over `rounds` starts after a first one."""
    rows = {"at home": [], "as in a Space": []}
    bare = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run(IMPORTS, check=True)
        bare.append(time.perf_counter() - started)
        rows["at home"].append(first_answer())
        rows["as in a Space"].append(first_answer(**IN_SPACE))
    print("| start | s to the first answer | times the imports alone | memory MB |")
    print("| --- | --- | --- | --- |")
    for name, starts in rows.items():
        seconds, memory = np.transpose(starts[1:])  # the first start fills the system's file cache
        ratio = np.median(seconds / bare[1:])
        print(f"| {name} | {np.median(seconds):.2f} | {ratio:.2f} | {np.median(memory):.0f} |")


async def visit(url: str, clients: int, answers: int) -> tuple[list[float], int, float]:
    """Send requests from several clients; return answer times, errors and duration, in seconds."""
    async with client_from("127.0.0.1", url) as http:
        drawing, picture = await questions(http)
    kinds = [drawing] * 3 + [picture]
    waiting = iter(range(answers))
    times, errors, first = [], 0, {}

    async def client(index: int) -> None:
        nonlocal errors
        address = f"127.0.{1 + index // 250}.{1 + index % 250}"
        async with client_from(address, url) as http:
            for number in waiting:
                endpoint, argument = kinds[number % 4]
                asked = time.perf_counter()
                try:
                    answer = await ask(http, endpoint, argument)
                    errors += first.setdefault(endpoint, answer) != answer
                    times.append(time.perf_counter() - asked)
                except FAILURES:
                    errors += 1

    started = time.perf_counter()
    await asyncio.gather(*(client(index) for index in range(clients)))
    return times, errors, time.perf_counter() - started


def drawing_of(moves: int) -> list[list[int]]:
    """Return the part of a 42 that a pen has drawn after so many moves."""
    strokes = []
    for corners in FORTY_TWO[: moves // MOVES + 1]:
        drawn = along(corners, MOVES)[: max(1, moves - MOVES * len(strokes))]
        strokes.append(drawn.round().astype(int).ravel().tolist())
    return strokes


async def draw(url: str, pens: int, seconds: float) -> tuple[list[float], int, float]:
    """Draw 42 repeatedly with several pens; return what `visit` returns."""
    times, errors = [], 0

    async def pen(index: int, component: int) -> None:
        nonlocal errors
        await asyncio.sleep(index / pens)  # spreads their starts over a second
        began = time.perf_counter()
        async with client_from(f"127.0.1.{1 + index}", url) as http:
            while (since := time.perf_counter() - began) < seconds:
                strokes = drawing_of(int(since * MOVES) % (len(FORTY_TWO) * MOVES))
                question = {"strokes": strokes}  # no explanation while the pen moves
                body = {"session_hash": f"pen{index}", "component_id": component}
                body |= {"fn_name": "answer", "data": question}
                asked = time.perf_counter()
                try:
                    reply = await http.post("gradio_api/component_server", json=body)
                    if not reply.json()["guesses"]:
                        raise ValueError(reply.text)
                    times.append(time.perf_counter() - asked)
                except FAILURES:
                    errors += 1
                took = time.perf_counter() - asked
                await asyncio.sleep(max(PERIOD - took, took))

    async with client_from("127.0.0.1", url) as http:
        blocks = (await http.get("config")).json()["components"]
    component = next(b["id"] for b in blocks if b["props"].get("elem_id") == "answer")
    started = time.perf_counter()
    await asyncio.gather(*(pen(index, component) for index in range(pens)))
    return times, errors, time.perf_counter() - started


def print_load(name: str, load, servers: dict[str, Server], rounds: int, before: dict) -> None:
    """Load the servers in turn; print a row for each, and one with their ratio."""
    figures = {server: [] for server in servers}
    for _ in range(rounds):
        for server, (url, _) in servers.items():
            times, errors, seconds = asyncio.run(load(url))
            percentiles = np.percentile(times, (50, 95, 99)) * 1000
            figures[server].append((len(times) / seconds, *percentiles, errors))
    medians = []
    for server, rows in figures.items():
        medians.append(np.median(rows, axis=0)[:-1])
        cells = [f"{value:.0f}" for value in (*medians[-1], sum(row[-1] for row in rows))]
        after = pss_memory(servers[server].process.pid)
        memory = f"{before[server]:.0f} to {after:.0f}"
        print(f"| {name} | {server} | {' | '.join(cells)} | {memory} |")
    rate, *_, p99 = medians[0] / medians[1]
    print(f"| {name} | ratio | {rate:.2f} | | | {p99:.2f} | | |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--starts", type=int, default=5, help="starts of the page per row (%(default)s)")
    add("--clients", type=int, nargs="+", default=[1, 10, 100, 300])
    add("--answers", type=int, default=400, help="answers per round (%(default)s)")
    add("--pens", type=int, default=100, help="pens that draw at once (%(default)s)")
    add("--seconds", type=float, default=15, help="duration of drawing (%(default)s)")
    add("--rounds", type=int, default=3, help="rounds per row (%(default)s)")
    arguments = parser.parse_args()
    print_starts(arguments.starts)
    with serve() as page, serve(CONSTANT_PAGE) as constant:
        servers = {"the page": page, "a constant": constant}
        before = {name: pss_memory(server.process.pid) for name, server in servers.items()}
        for server in servers.values():
            asyncio.run(visit(server.url, 4, 40))  # warms up: the first answers are slower
        print("\n| clients | | answers/s | p50 ms | p95 ms | p99 ms | errors | memory MB |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        rows = {
            str(clients): partial(visit, clients=clients, answers=arguments.answers)
            for clients in arguments.clients
        }
        pens = arguments.pens
        rows[f"{pens} pens"] = partial(draw, pens=pens, seconds=arguments.seconds)
        for name, load in rows.items():
            print_load(name, load, servers, arguments.rounds, before)


if __name__ == "__main__":
    main()
