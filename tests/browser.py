"""Chromium, and a mouse that draws on the page's pad."""

import shutil
from collections.abc import Sequence

# The pad paints itself all the time, which without a GPU leaves little for anything else.
TEN_FRAMES_A_SECOND = """
  const paint = requestAnimationFrame;
  window.requestAnimationFrame = (change) => setTimeout(() => paint(change), 100);
"""


def launch_browser(playwright, *more: str):
    """Start the system's Chromium or Chrome, else Playwright's own, with `more` arguments.

    Parameters
    ----------
    playwright : playwright.sync_api.Playwright
    """
    names = ("chromium", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    arguments = ["--no-sandbox", "--disable-background-networking"]
    arguments += ["--disable-component-update", "--disable-sync"]
    arguments += ["--use-angle=swiftshader"]  # the pad needs WebGL; twice as fast without a GPU
    return playwright.chromium.launch(executable_path=executable, args=[*arguments, *more])


def draw_stroke(page, points: Sequence[tuple[float, float]]) -> None:
    """Draw with the mouse from point to point, (x, y) in pixels of the page."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def to_page(page, strokes) -> list[list[tuple[float, float]]]:
    """Return where the points of strokes lie on the page, in its pixels.

    Parameters
    ----------
    page : playwright.sync_api.Page or Frame
    strokes : sequence of sequences of (x, y)
        In heights of the pad, from its top and from a square's left side in its middle.
    """
    pad = page.locator("#pad").bounding_box()
    side, top = pad["height"], pad["y"]
    left = pad["x"] + (pad["width"] - side) / 2
    return [[(left + x * side, top + y * side) for x, y in stroke] for stroke in strokes]
