"""From the end of a stroke to the answer on the page, beside a handler that does nothing.

    python benchmarks/latency.py

The page and the same page with an empty handler are served side by side; a browser draws on
one and the other in turn. A stroke ends when the mouse button goes up; the answer is there when
the page has changed: the network's picture, or the empty handler's count.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from browser import draw_stroke, launch_browser
from playwright.sync_api import sync_playwright
from serving import Server, serve

# A handler that does nothing, as Gradio has handlers: the components open the picture for it.
EMPTY = """
import itertools, app
count = itertools.count()
async def nothing(*arguments):
    return {}, f"Stroke {next(count)}", ""
for event in app.demo.fns.values():
    if not event.preprocess:
        event.fn, event.preprocess, event.postprocess = nothing, True, True
async def unknown(*question, asker=None):
    return ""
app.pool.ask, app.pool.start = unknown, lambda: None
app.demo.launch()
"""
CLOCK = """() => {
  const shown = () => document.querySelector("#why img")?.src
    ?? document.querySelector("#words").textContent.match(/Stroke .*/)?.[0];
  let before, started;
  window.latency = null;
  addEventListener("pointerup", () => {
    before = shown(); started = performance.now(); window.latency = null;
  }, true);
  new MutationObserver(() => {
    if (started && window.latency === null && shown() && shown() !== before)
      window.latency = performance.now() - started;
  }).observe(document.body, {childList: true, subtree: true, characterData: true,
                             attributes: true, attributeFilter: ["src"]});
}"""


@contextmanager
def serve_both() -> Iterator[dict[str, Server]]:
    """Serve the page, and the same page with empty handlers; yield the servers by name."""
    with ExitStack() as stack:
        yield {
            "the page": stack.enter_context(serve()),
            "an empty handler": stack.enter_context(serve([sys.executable, "-c", EMPTY])),
        }


def open_page(browser, url: str, script: str = ""):
    """Open the page, with its pad ready to draw on, and a clock in it."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(script)
    page.goto(url)
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(3000)
    page.evaluate(CLOCK)
    return page


def stroke(page, random) -> float:
    """Draw one stroke somewhere; return the time to its answer (ms)."""
    pad = page.locator("#pad").bounding_box()
    points = random.uniform(0.15, 0.85, (4, 2)) * pad["width"] + (pad["x"], pad["y"])
    return answer_to(page, points)


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
        times = {name: [] for name in servers}
        browser = launch_browser(playwright)
        pages = {name: open_page(browser, server.url) for name, server in servers.items()}
        for number in range(count + 3):
            for name, page in pages.items():
                time = stroke(page, random)
                if number >= 3:  # the first are slower everywhere
                    times[name].append(time)
                if number % 3 == 2:
                    page.get_by_role("button", name="Clear", exact=True).click()
                    page.wait_for_timeout(1000)
        browser.close()
    print("| from stroke to answer | p50 ms | p95 ms |\n| --- | --- | --- |")
    for name, values in times.items():
        print(f"| {name} | {np.median(values):.0f} | {np.percentile(values, 95):.0f} |")
    ratio = statistics.median(times["the page"]) / statistics.median(times["an empty handler"])
    print(f"\np50: {ratio:.2f} times the empty handler's")


if __name__ == "__main__":
    main()
