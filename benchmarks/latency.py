"""From the end of a stroke to the answer on the page, beside a server function of one constant.

    python benchmarks/latency.py

The page and the same page whose answer is a constant are served side by side; a browser draws on
one and the other in turn, sixty movements a second. A stroke ends when the mouse button goes up;
the answer is there when the reply to what was asked since then has changed the page.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from browser import TEN_FRAMES_A_SECOND, draw_stroke, launch_browser
from playwright.sync_api import sync_playwright
from serving import Server, serve

MOVES = 60  # of the mouse, in a stroke of a second
ROUNDS = 4
# The same page, but that nothing is read.
EMPTY = """
import app
async def constant(request, *question):
    return [["7", 1.0]], "That is a 7.", "", []
app._ask = constant
app.demo.launch()
"""
CLOCK = """
  const fetch = window.fetch;
  let up = null;
  Object.assign(window, {latency: null, answers: 0});
  addEventListener("pointerup", () => { up = performance.now(); window.latency = null; }, true);
  window.fetch = async (...request) => {
    const asked = performance.now(), reply = await fetch(...request);
    if (!String(request[0]?.url ?? request[0]).includes("component_server")) return reply;
    window.answers += 1;
    if (up !== null && asked >= up && window.latency === null)
      reply.clone().text().then(() => setTimeout(() => setTimeout(() => {
        window.latency = performance.now() - up;
      })));
    return reply;
  };
"""


@contextmanager
def serve_both() -> Iterator[dict[str, Server]]:
    """Serve the page, and the same page with a constant answer; yield the servers by name."""
    with ExitStack() as stack:
        yield {
            "the page": stack.enter_context(serve()),
            "a constant": stack.enter_context(serve([sys.executable, "-c", EMPTY])),
        }


def open_page(browser, url: str, script: str = ""):
    """Open the page, with its pad ready to draw on, and a clock in it."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(CLOCK + script)
    page.goto(url)
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(3000)
    return page


def along(corners, moves: int) -> np.ndarray:
    """Return so many points, (x, y) each, on the way from corner to corner."""
    steps = np.linspace(0, len(corners) - 1, moves)
    axes = np.transpose(corners)
    return np.stack([np.interp(steps, range(len(corners)), axis) for axis in axes], axis=1)


def stroke(page, random) -> tuple[float, float]:
    """Draw a stroke of a second; return the time to its answer (ms), and answers a second."""
    pad = page.locator("#pad").bounding_box()
    corners = random.uniform(0.15, 0.85, (5, 2)) * (pad["width"], pad["height"])
    corners += pad["x"], pad["y"]
    points = along(corners, MOVES)
    page.mouse.move(*points[0])
    page.mouse.down()
    before, started = page.evaluate("window.answers"), time.monotonic()
    for number, point in enumerate(points):
        page.mouse.move(*point)
        time.sleep(max(0, started + number / 60 - time.monotonic()))
    rate = (page.evaluate("window.answers") - before) / (time.monotonic() - started)
    page.mouse.up()
    page.wait_for_function("window.latency !== null", timeout=60_000)
    return page.evaluate("window.latency"), rate


def answer_to(page, points) -> float:
    """Draw a stroke and wait for its answer; return the time from its end (ms)."""
    draw_stroke(page, points)
    page.wait_for_function("window.latency !== null", timeout=60_000)
    return page.evaluate("window.latency")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--strokes", type=int, default=40, help="on each page (%(default)s)")
    count = parser.parse_args().strokes
    random = np.random.default_rng(0)
    with serve_both() as servers, sync_playwright() as playwright:
        found = {name: [] for name in servers}
        browser = launch_browser(playwright)
        for name, server in [*servers.items()] * ROUNDS:  # a page that is not drawn on takes time
            page = open_page(browser, server.url, TEN_FRAMES_A_SECOND)
            stroke(page, random)  # the first is slower everywhere
            for number in range(count // ROUNDS):
                found[name].append(stroke(page, random))
                if number % 3 == 2:
                    page.get_by_role("button", name="Clear", exact=True).click()
                    page.locator("#pad .empty").wait_for(state="detached")
            page.close()
        browser.close()
    print("| from stroke to answer | p50 ms | p95 ms | answers a second meanwhile |")
    print("| --- | --- | --- | --- |")
    times = {name: np.array(rows) for name, rows in found.items()}
    for name, rows in times.items():
        p50, p95 = np.percentile(rows[:, 0], (50, 95))
        print(f"| {name} | {p50:.0f} | {p95:.0f} | {np.median(rows[:, 1]):.1f} |")
    ratio = np.median(times["the page"][:, 0]) / np.median(times["a constant"][:, 0])
    print(f"\np50: {ratio:.2f} times the constant's")


if __name__ == "__main__":
    main()
