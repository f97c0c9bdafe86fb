"""Does the page read what is drawn on it as `to_mnist` and the network read the same strokes?

    python benchmarks/page_digits.py --digits real-digits

Draws other people's strokes (those of real_digits.py, in its order) on the running page by the
browser's mouse, a dozen points a stroke, and has the same points drawn and read in Python.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from browser import launch_browser, to_page
from latency import answer_to, clear, open_page
from playwright.sync_api import sync_playwright
from serving import ROOT, serve

sys.path.insert(0, str(ROOT))

from handwriting import CANVAS, draw_at_best_brush, for_the_mouse, load_digits, place

from app import recognize


def read_on_page(page, strokes) -> str:
    """Draw a digit on the page's pad; return the first guess."""
    for stroke in to_page(page, place(strokes, side=200 / CANVAS, center=np.array([0.5, 0.5]))):
        answer_to(page, stroke)
    guess = page.locator(".guesses b, .words").first.inner_text()
    clear(page)
    page.locator(".figure").wait_for(state="detached")
    return guess.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="as for real_digits.py")
    parser.add_argument("--most", type=int, default=200, help="digits (%(default)s)")
    arguments = parser.parse_args()
    digits, labels = load_digits(arguments.digits, arguments.most)
    on_page, in_python = [], []
    with serve() as server, sync_playwright() as playwright:
        browser = launch_browser(playwright)
        page = open_page(browser, server.url, width=420)  # where the pad is soon painted
        for number, (digit, label) in enumerate(zip(digits, map(str, labels), strict=True), 1):
            strokes = for_the_mouse(digit)
            on_page.append(read_on_page(page, strokes) == label)
            probabilities = recognize(draw_at_best_brush(strokes))
            in_python.append(max(probabilities, key=probabilities.get) == label)
            if number % 10 == 0:
                print(f"{number} of {len(digits)}", file=sys.stderr)
        browser.close()
    print(f"on the page {np.mean(on_page):.2%}, in Python {np.mean(in_python):.2%}")


if __name__ == "__main__":
    main()
