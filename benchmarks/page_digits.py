"""Measure how often the page reads a drawn digit right, and how soon after a stroke.

    python benchmarks/page_digits.py --digits data/real-digits

A browser replays the digits of real_digits.py, with sixty pointer events a second, on the page and
on a page whose answer is a constant. The events come from a script, because Playwright's mouse
waits for each frame, which takes a third of a second without a GPU. The time runs from the end of
a stroke until the page shows the reply to a request that was sent after it. The same strokes are
also drawn and read in Python.

Then scribbles follow one another quickly. The script fails if the page doesn't end with the answer
to the latest scribble.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("", "tests"))

from browser import PAINT_LITTLE, launch_browser, to_page
from handwriting import CANVAS, along, draw_at_best_brush, load_digits, place
from serving import CONSTANT_PAGE, PAGE, serve

import reading
from reading.picture import NoDigitError

MOVES = 60  # pointer events per stroke, which takes a second
QUICK = 15  # pointer events per scribble
ROUNDS = 4  # the pages take turns, since an open page takes time even if it is idle
WARM_UP = 2  # digits not counted, since the first are slower
CLOCK = """
  const fetch = window.fetch;
  let up = null;
  Object.assign(window, {latency: null, answers: 0, again: null});
  addEventListener("pointerup", () => { up = performance.now(); window.latency = null; }, true);
  window.fetch = async (...request) => {
    if (!String(request[0]?.url ?? request[0]).includes("component_server"))
      return fetch(...request);
    window.again = async () => (await fetch(...request)).json();
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
# Returns whether the page shows the answer to its latest request.
IS_LAST = """
async () => {
  const last = (await window.again()).guesses.map(([number]) => number);
  return `${last}` === `${[...document.querySelectorAll(".guesses b")].map((b) => b.textContent)}`;
}
"""


def open_page(browser, url: str):
    """Open the page with a clock in it, and wait until its pad is ready."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(CLOCK + PAINT_LITTLE % 100)
    page.goto(url)
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=60_000)
    page.wait_for_timeout(3000)
    return page


def wait_for_answer(page) -> float:
    """Wait for the answer to the last stroke; return the time since its end, in ms."""
    page.wait_for_function("window.latency !== null", timeout=60_000)
    return page.evaluate("window.latency")


def draw_digit(page, strokes) -> tuple[str, float, float]:
    """Draw a digit; return the first guess, the time to it in ms, and answers per second."""
    for points in to_page(page, place(strokes, side=200 / CANVAS, center=np.array([0.5, 0.5]))):
        rate = page.evaluate(REPLAY, along(points, MOVES).tolist())
        time = wait_for_answer(page)
    return "".join(page.locator(".guesses b").all_inner_texts()[:1]), time, rate


def scribble(page, random) -> bool:
    """Draw for a quarter of a second; return whether the page ends with this scribble's answer."""
    (points,) = to_page(page, [random.uniform(0.15, 0.85, (5, 2))])
    page.evaluate(REPLAY, along(points, QUICK).tolist())
    wait_for_answer(page)
    page.wait_for_timeout(200)  # a late answer to an older scribble would arrive by now
    return page.evaluate(IS_LAST)


def clear(page) -> None:
    """Clear the pad and wait until it is ready again."""
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator("#pad .empty").wait_for(state="detached")
    page.wait_for_timeout(300)  # the paper has another size for a tenth of a second


def read(strokes) -> str:
    """Draw and read a digit in Python; return the first guess, "" without one."""
    try:
        return reading.read(draw_at_best_brush(strokes)).guesses[0][0]
    except NoDigitError:
        return ""


def print_table(found: dict[str, list], labels: list[int], in_python: list[str]) -> None:
    """Print the share read right, and the times to the answers."""
    right = np.mean([guess == str(label) for guess, label in zip(in_python, labels, strict=True)])
    print("| from stroke to answer | read right | p50 ms | p95 ms | answers a second meanwhile |")
    print("| --- | --- | --- | --- | --- |")
    medians = []
    for name, rows in found.items():
        guesses, times, rates = zip(*rows, strict=True)
        hits = np.mean([guess == str(label) for guess, label in zip(guesses, labels, strict=True)])
        p50, p95 = np.percentile(times, (50, 95))
        medians.append(p50)
        cell = f"{hits:.1%}" if name == "the page" else ""
        print(f"| {name} | {cell} | {p50:.0f} | {p95:.0f} | {np.median(rates):.1f} |")
    print(f"| ratio | | {medians[0] / medians[1]:.2f} | | |")
    print(f"\nOf the same {len(labels)} digits, Python reads {right:.1%} right.", end=" ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--most", type=int, default=80, help="digits per page (%(default)s)")
    parser.add_argument("--scribbles", type=int, default=50, help="quick scribbles (%(default)s)")
    arguments = parser.parse_args()
    digits, labels = load_digits(arguments.digits, arguments.most)
    commands = {"the page": PAGE, "a constant": CONSTANT_PAGE}
    found, kept = {name: [] for name in commands}, 0
    with ExitStack() as stack:
        urls = {name: stack.enter_context(serve(command)).url for name, command in commands.items()}
        browser = launch_browser(stack.enter_context(sync_playwright()), "--use-angle=swiftshader")
        parts = [digits[k::ROUNDS] for k in range(ROUNDS)]
        for part in parts:
            for name, url in urls.items():
                page = open_page(browser, url)
                for number, strokes in enumerate([*part[:WARM_UP], *part]):
                    clear(page)
                    answer = draw_digit(page, strokes)
                    if number >= WARM_UP:
                        found[name].append(answer)
                page.close()
                print(f"{len(found[name])} digits on {name}", file=sys.stderr)
        page = open_page(browser, urls["the page"])
        random = np.random.default_rng(0)
        for number in range(arguments.scribbles):
            if number % 5 == 0:
                clear(page)
            kept += scribble(page, random)
        browser.close()
    in_order = [label for k in range(ROUNDS) for label in labels[k::ROUNDS]]
    print_table(found, in_order, [read(strokes) for part in parts for strokes in part])
    print(f"{kept} of {arguments.scribbles} quick scribbles got their own answer.")
    return kept != arguments.scribbles


if __name__ == "__main__":
    sys.exit(main())
