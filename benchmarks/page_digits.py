"""Does the page read what is drawn on it as `to_mnist` and the network read the same strokes?

    python benchmarks/page_digits.py --digits real-digits

Draws other people's strokes (those of real_digits.py, in its order) on the running page by the
browser's mouse, a dozen points a stroke, and has the same points drawn and read in Python.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from latency import ROOT, answer_to, open_page, serve
from playwright.sync_api import sync_playwright
from real_digits import CANVAS, SEED, draw_at_best_brush, place

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import TEN_FRAMES_A_SECOND, find_browser  # noqa: E402

from app import recognize  # noqa: E402

MOVES = 12  # of the mouse a stroke at most: without a GPU each costs the browser 0.1 s


def sparse(stroke: list) -> np.ndarray:
    """Give the points of a stroke that the mouse goes to."""
    points = np.array(stroke, np.float32)
    return points[np.linspace(0, len(points) - 1, min(len(points), MOVES)).round().astype(int)]


def read_on_page(page, strokes) -> str:
    """Draw a digit on the page's pad; give the first guess."""
    pad = page.locator("#pad").bounding_box()
    for stroke in place(strokes, side=200 / CANVAS, center=np.array([0.5, 0.5])):
        answer_to(page, stroke * pad["width"] + (pad["x"], pad["y"]))
    guess = page.get_by_test_id("label-output-value").or_(page.locator("#words")).first.inner_text()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator("#why img").first.wait_for(state="detached")
    page.locator("#pad .empty").wait_for(state="detached")
    return guess.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--most", type=int, default=200, help="digits (%(default)s)")
    arguments = parser.parse_args()
    written = json.loads((arguments.digits / "pendigits-strokes.json").read_text())
    order = np.random.default_rng(SEED).permutation(len(written))[: arguments.most]
    on_page, in_python = [], []
    server, url = serve([sys.executable, "app.py"])
    try:
        with sync_playwright() as playwright:
            browser = find_browser(playwright)
            page = open_page(browser, url, TEN_FRAMES_A_SECOND)
            for number, i in enumerate(order, 1):
                strokes = [sparse(stroke) for stroke in written[i]["strokes"]]
                label = str(written[i]["label"])
                on_page.append(read_on_page(page, strokes) == label)
                probabilities = recognize(draw_at_best_brush(strokes, None))
                in_python.append(max(probabilities, key=probabilities.get) == label)
                if number % 10 == 0:
                    print(f"{number} of {len(order)}", file=sys.stderr)
            browser.close()
    finally:
        server.terminate()
    print(f"on the page {np.mean(on_page):.2%}, in Python {np.mean(in_python):.2%}")


if __name__ == "__main__":
    main()
