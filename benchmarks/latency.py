"""From the end of a stroke to the answer on the page, beside a server function of one constant.

    python benchmarks/latency.py

The page and the same page whose answer is a constant are served side by side. A browser replays
digits on one and the other in turn, sixty movements of the pointer a second: a mouse would wait
until each is painted, which without a GPU takes a third of a second. A stroke ends when the button
goes up; the answer is there when the reply to what was asked since then has changed the page.
Then scribbles follow one another at once, and after each the page must show its own answer.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from browser import TEN_FRAMES_A_SECOND, draw_stroke, launch_browser, to_page
from playwright.sync_api import sync_playwright
from serving import ROOT, Server, serve

sys.path.insert(0, str(ROOT))

from training.curves import smooth
from training.shapes import DIGITS

MOVES = 60  # of the pointer, in a stroke of a second
QUICK = 15  # of these, in a scribble
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
  Object.assign(window, {latency: null, answers: 0, again: null});
  addEventListener("pointerup", () => { up = performance.now(); window.latency = null; }, true);
  window.fetch = async (...request) => {
    if (!String(request[0]?.url ?? request[0]).includes("component_server"))
      return fetch(...request);
    window.again = async () => (await (await fetch(...request)).json()).answer;
    const asked = performance.now(), reply = await fetch(...request);
    window.answers += 1;
    if (up !== null && asked >= up && window.latency === null)
      reply.clone().text().then(() => setTimeout(() => setTimeout(() => {
        window.latency = performance.now() - up;
      })));
    return reply;
  };
"""
REPLAY = """
async (points) => {
  const canvas = document.querySelector("#pad canvas"), pointer = {
    pointerId: 1, isPrimary: true, pointerType: "mouse", bubbles: true, cancelable: true };
  const send = (kind, [clientX, clientY], button, buttons) => canvas.dispatchEvent(
    new PointerEvent(kind, { clientX, clientY, button, buttons, ...pointer }));
  send("pointermove", points[0], -1, 0);
  send("pointerdown", points[0], 0, 1);
  const before = window.answers, start = performance.now();
  for (const [k, point] of points.entries()) {
    await new Promise((go) => setTimeout(go, start + 1000 / 60 * k - performance.now()));
    send("pointermove", point, -1, 1);
  }
  const seconds = (performance.now() - start) / 1000;
  send("pointerup", points.at(-1), 0, 0);
  return (window.answers - before) / seconds;
}
"""
# Whether what the page shows is the answer to its last question.
IS_LAST = """
async () => {
  const last = document.createElement("div");
  last.innerHTML = await window.again();
  const shown = document.querySelector("#answer .words").parentElement;
  return shown.textContent.trim() === last.textContent.trim();
}
"""


@contextmanager
def serve_both() -> Iterator[dict[str, Server]]:
    """Serve the page, and the same page with a constant answer; yield the servers by name."""
    with ExitStack() as stack:
        yield {
            "the page": stack.enter_context(serve()),
            "a constant": stack.enter_context(serve([sys.executable, "-c", EMPTY])),
        }


def open_page(browser, url: str, width: int = 1200):
    """Open the page, with its pad ready to draw on, and a clock in it."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(CLOCK + TEN_FRAMES_A_SECOND)
    page.goto(url)
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(3000)
    return page


def along(corners, moves: int) -> np.ndarray:
    """Return so many points, (x, y) each, on the way from corner to corner."""
    steps = np.linspace(0, len(corners) - 1, moves)
    axes = np.transpose(corners)
    return np.stack([np.interp(steps, range(len(corners)), axis) for axis in axes], axis=1)


def draw_digit(page, label: int, random) -> tuple[float, float]:
    """Draw a digit, a second a stroke; return the time to its answer (ms), and answers a second."""
    strokes = [smooth(stroke) * (0.4, 0.6) + (0.5, 0.2) for stroke in DIGITS[label](random.uniform)]
    for corners in to_page(page, strokes):
        rate = page.evaluate(REPLAY, along(corners, MOVES).tolist())
        time = wait_for_answer(page)
    return time, rate


def scribble(page, random) -> bool:
    """Draw a scribble of a quarter of a second; return whether its own answer stands at the end."""
    pad = page.locator("#pad").bounding_box()
    corners = random.uniform(0.15, 0.85, (5, 2)) * (pad["width"], pad["height"])
    page.evaluate(REPLAY, (along(corners, QUICK) + (pad["x"], pad["y"])).tolist())
    wait_for_answer(page)
    page.wait_for_timeout(200)  # an old one would come
    return page.evaluate(IS_LAST)


def clear(page) -> None:
    """Clear the pad, and wait until it can be drawn on."""
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator("#pad .empty").wait_for(state="detached")
    page.wait_for_timeout(300)  # for a tenth of a second the paper has another size


def answer_to(page, points) -> float:
    """Draw a stroke with the mouse and wait for its answer; return the time from its end (ms)."""
    draw_stroke(page, points)
    return wait_for_answer(page)


def wait_for_answer(page) -> float:
    """Wait for the answer to the stroke that has ended; return the time from its end (ms)."""
    page.wait_for_function("window.latency !== null", timeout=60_000)
    return page.evaluate("window.latency")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=int, default=80, help="on each page (%(default)s)")
    parser.add_argument("--scribbles", type=int, default=50, help="(%(default)s)")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    found = {}
    with serve_both() as servers, sync_playwright() as playwright:
        browser = launch_browser(playwright)
        for name, server in [*servers.items()] * ROUNDS:  # a page that is not drawn on takes time
            page = open_page(browser, server.url)
            draw_digit(page, 2, random)  # the first is slower everywhere
            for number in range(arguments.digits // ROUNDS):
                clear(page)
                found.setdefault(name, []).append(draw_digit(page, number % 10, random))
            page.close()
        page = open_page(browser, servers["the page"].url)
        kept = 0
        for number in range(arguments.scribbles):
            if number % 5 == 0:
                clear(page)
            kept += scribble(page, random)
        browser.close()
    print("| from stroke to answer | p50 ms | p95 ms | answers a second meanwhile |")
    print("| --- | --- | --- | --- |")
    times = {name: np.array(rows) for name, rows in found.items()}
    for name, rows in times.items():
        p50, p95 = np.percentile(rows[:, 0], (50, 95))
        print(f"| {name} | {p50:.0f} | {p95:.0f} | {np.median(rows[:, 1]):.1f} |")
    ratio = np.median(times["the page"][:, 0]) / np.median(times["a constant"][:, 0])
    print(f"\np50: {ratio:.2f} times the constant's")
    print(f"{kept} of {arguments.scribbles} scribbles had their own answer at the end")
    return kept != arguments.scribbles


if __name__ == "__main__":
    sys.exit(main())
