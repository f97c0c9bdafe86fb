"""Many visitors at once, beside the same page whose answer is a constant.

    python benchmarks/load.py

1, 10, 100 and 300 clients speak Gradio's HTTP protocol with both servers in turn, without a
pause: three sketches, then a photograph of two megapixels. An answer's time is from the call to
the end of its event stream. Then a hundred draw at once, and ask while their pens move, as
page/pen.js does; an answer's time is that of one request. Printed are medians over the rounds.
"""

import argparse
import asyncio
import io
import json
import time
from functools import partial

import httpx2 as httpx  # costs these processors half of what httpx does
import numpy as np
from latency import MOVES, along, serve_both
from PIL import Image
from serving import ROOT, pss_memory

EXAMPLES = ROOT / "examples" / "digits"
FILE = {"meta": {"_type": "gradio.FileData"}}
PERIOD = 0.1  # seconds between two questions of a pen, at least, as in page/pen.js
FORTY_TWO = [  # pixels of the pad
    [(190, 100), (110, 290), (300, 290)],
    [(250, 170), (245, 400)],
    [(370, 160), (410, 110), (480, 110), (510, 170), (470, 260), (360, 390), (520, 390)],
]


def sketch() -> bytes:
    """Return a layer as the pad sends it: transparent, with black ink, PNG."""
    ink = Image.open(EXAMPLES / "7-crossed.png").convert("L").resize((400, 400))
    layer = Image.new("RGBA", ink.size)
    layer.putalpha(ink.point(lambda gray: 255 - gray))
    return encode(layer, "PNG")


def photograph() -> bytes:
    """Return a photograph of two megapixels, JPEG."""
    return encode(Image.open(EXAMPLES / "5-photograph.jpg").resize((1600, 1200)), "JPEG")


def encode(image: Image.Image, kind: str) -> bytes:
    """Return a picture as a file of that format."""
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


async def upload(http: httpx.AsyncClient, content: bytes) -> dict:
    """Upload a file; return it as an endpoint's argument."""
    reply = await http.post("gradio_api/upload", files={"files": ("picture", content)})
    return {"path": reply.json()[0], **FILE}


async def questions(http: httpx.AsyncClient) -> list[tuple[str, dict]]:
    """Upload a drawing and a photograph; return each one's endpoint and argument."""
    layer, picture = await upload(http, sketch()), await upload(http, photograph())
    drawing = {"background": None, "layers": [layer], "composite": None}
    return [("sketch", drawing), ("upload", picture)]


async def ask(http: httpx.AsyncClient, name: str, argument) -> str:
    """Return one answer, as it comes, or raise RuntimeError if it is none."""
    reply = await http.post(f"gradio_api/call/{name}", json={"data": [argument]})
    event = reply.json()["event_id"]
    async with http.stream("GET", f"gradio_api/call/{name}/{event}") as stream:
        text = "".join([line async for line in stream.aiter_text()])
    if "event: complete" not in text:
        raise RuntimeError(text)
    return text


def client_from(address: str, url: str, timeout: float = 120) -> httpx.AsyncClient:
    """Return a client with an address of its own (Linux: 127.0.1.7), as each visitor has.

    The page bounds what one address asks at once. Its connections end before the server ends
    them, at 5 s.
    """
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits, verify=False)
    return httpx.AsyncClient(base_url=url, timeout=timeout, transport=transport)


async def visit(url: str, clients: int, answers: int) -> tuple[list[float], int, float]:
    """Ask so many times by so many clients; return the times (s), the errors, and the whole (s)."""
    async with client_from("127.0.0.1", url) as http:
        drawing, picture = await questions(http)
    kinds = [drawing] * 3 + [picture]
    waiting = iter(range(answers))
    times, errors = [], 0

    async def client(index: int) -> None:
        nonlocal errors
        address = f"127.0.{1 + index // 250}.{1 + index % 250}"
        async with client_from(address, url) as http:
            for number in waiting:
                asked = time.perf_counter()
                try:
                    await ask(http, *kinds[number % 4])
                    times.append(time.perf_counter() - asked)
                except (httpx.HTTPError, RuntimeError, KeyError, json.JSONDecodeError):
                    errors += 1

    started = time.perf_counter()
    await asyncio.gather(*(client(index) for index in range(clients)))
    return times, errors, time.perf_counter() - started


def drawing_of(moves: int) -> list[list[int]]:
    """Return as much of a 42 as a pen has drawn after so many moves, a second a stroke."""
    strokes = []
    for corners in FORTY_TWO[: moves // MOVES + 1]:
        drawn = along(corners, MOVES)[: max(1, moves - MOVES * len(strokes))]
        strokes.append(drawn.round().astype(int).ravel().tolist())
    return strokes


async def draw(url: str, pens: int, seconds: float) -> tuple[list[float], int, float]:
    """Draw 42 again and again with so many pens; return what `visit` returns."""
    times, errors = [], 0

    async def pen(index: int, component: int) -> None:
        nonlocal errors
        await asyncio.sleep(index / pens)  # they do not begin all at once
        began = time.perf_counter()
        async with client_from(f"127.0.1.{1 + index}", url) as http:
            while (since := time.perf_counter() - began) < seconds:
                strokes = drawing_of(int(since * MOVES) % (len(FORTY_TWO) * MOVES))
                question = {"strokes": strokes, "digit": 0, "rival": None}
                body = {"session_hash": f"pen{index}", "component_id": component}
                body |= {"fn_name": "answer", "data": question}
                asked = time.perf_counter()
                try:
                    reply = await http.post("gradio_api/component_server", json=body)
                    if not reply.json()["guesses"]:
                        raise RuntimeError(reply.text)
                    times.append(time.perf_counter() - asked)
                except (httpx.HTTPError, RuntimeError, KeyError, json.JSONDecodeError):
                    errors += 1
                took = time.perf_counter() - asked
                await asyncio.sleep(max(PERIOD - took, took))

    async with client_from("127.0.0.1", url) as http:
        blocks = (await http.get("config")).json()["components"]
    component = next(b["id"] for b in blocks if b["props"].get("elem_id") == "answer")
    started = time.perf_counter()
    await asyncio.gather(*(pen(index, component) for index in range(pens)))
    return times, errors, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 10, 100, 300])
    parser.add_argument("--answers", type=int, default=1000, help="in each round (%(default)s)")
    parser.add_argument("--pens", type=int, default=100, help="that draw at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of drawing (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="for each row (%(default)s)")
    arguments = parser.parse_args()
    with serve_both() as servers:
        before = {name: pss_memory(server.process.pid) for name, server in servers.items()}
        for server in servers.values():
            asyncio.run(visit(server.url, 4, 40))  # the first are slower everywhere
        print("| clients | | answers/s | p50 ms | p95 ms | p99 ms | errors | memory MB |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        rows = {
            str(clients): partial(visit, clients=clients, answers=arguments.answers)
            for clients in arguments.clients
        }
        pens = arguments.pens
        rows[f"{pens} pens"] = partial(draw, pens=pens, seconds=arguments.seconds)
        for clients, load in rows.items():
            figures = {name: [] for name in servers}
            for _ in range(arguments.rounds):
                for name, server in servers.items():
                    times, errors, seconds = asyncio.run(load(server.url))
                    percentiles = np.percentile(times, (50, 95, 99)) * 1000
                    figures[name].append((len(times) / seconds, *percentiles, errors))
            medians = {name: np.median(rounds, axis=0) for name, rounds in figures.items()}
            for name, (rate, p50, p95, p99, _) in medians.items():
                errors = sum(errors for *_, errors in figures[name])
                after = pss_memory(servers[name].process.pid)
                print(
                    f"| {clients} | {name} | {rate:.0f} | {p50:.0f} | {p95:.0f} | {p99:.0f} "
                    f"| {errors} | {before[name]:.0f} to {after:.0f} |"
                )
            ours, empty = medians.values()
            rate, p99 = ours[0] / empty[0], ours[3] / empty[3]
            print(f"| {clients} | ratio | {rate:.2f} | | | {p99:.2f} | | |", flush=True)


if __name__ == "__main__":
    main()
