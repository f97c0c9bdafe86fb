"""Chromium, and what a visitor does at the page: draws, waits for the answer, looks at it."""

import re
import shutil
from collections.abc import Sequence

from playwright.sync_api import expect

# Without a GPU, painting leaves little for anything else: rough edges, %d ms between frames.
PAINT_LITTLE = """
  const paint = requestAnimationFrame;
  window.requestAnimationFrame = (change) => setTimeout(() => paint(change), %d);
  const { getContext } = HTMLCanvasElement.prototype;
  HTMLCanvasElement.prototype.getContext = function (kind, how) {
    return getContext.call(this, kind, kind === "webgl2" ? { ...how, antialias: false } : how);
  };
"""
TIMEOUT = 60_000  # milliseconds for an answer: other tests use the machine, too
# Pen paths in the unit square, x to the right, y down.
DIGITS = {
    "3": [[(0.3, 0.25), (0.45, 0.15), (0.65, 0.2), (0.7, 0.33), (0.6, 0.45), (0.45, 0.5)]
          + [(0.62, 0.53), (0.72, 0.65), (0.65, 0.82), (0.48, 0.87), (0.28, 0.78)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.6, 0.45), (0.5, 0.65), (0.42, 0.85)]],
    "0": [[(0.5, 0.15), (0.33, 0.25), (0.27, 0.5), (0.33, 0.75), (0.5, 0.85), (0.67, 0.75)]
          + [(0.73, 0.5), (0.67, 0.25), (0.5, 0.15)]],
    "4": [[(0.38, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.6, 0.85)]],
    "X": [[(0.2, 0.15), (0.8, 0.85)], [(0.8, 0.15), (0.2, 0.85)]],
    "42": [[(0.2, 0.2), (0.05, 0.6), (0.45, 0.6)], [(0.35, 0.35), (0.34, 0.9)],
           [(0.64, 0.34), (0.72, 0.26), (0.84, 0.26), (0.9, 0.36), (0.82, 0.54), (0.62, 0.78)]
           + [(0.94, 0.78)]],
}  # fmt: skip


def launch_browser(playwright, *more: str):
    """Start the system's Chromium or Chrome, else Playwright's own, with `more` arguments."""
    names = ("chromium", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    arguments = ["--no-sandbox", "--disable-background-networking"]
    arguments += ["--disable-component-update", "--disable-sync"]
    # The pad needs WebGL, which software paints; all else is faster without it.
    arguments += ["--use-angle=swiftshader-webgl", "--disable-gpu-rasterization"]
    return playwright.chromium.launch(executable_path=executable, args=[*arguments, *more])


def wait_for_the_pad(page) -> None:
    """Wait until the pad's tools have come, and the notice that one is to be chosen has gone."""
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=TIMEOUT)
    expect(page.locator("#pad .empty")).to_have_count(0, timeout=TIMEOUT)


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


def draw_stroke(page, points: Sequence[tuple[float, float]]) -> None:
    """Draw with the mouse from point to point, (x, y) in pixels of the page."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def draw(page, strokes) -> None:
    """Draw strokes, or what `DIGITS` has by this name, with the mouse on the pad."""
    page.locator("#pad").scroll_into_view_if_needed()
    for points in to_page(page, DIGITS[strokes] if isinstance(strokes, str) else strokes):
        draw_stroke(getattr(page, "page", page), points)  # a frame's mouse is its page's


def clear(page) -> None:
    """Press Clear. A stroke may begin at once."""
    page.get_by_role("button", name="Clear", exact=True).click()


class Fingers:
    """Fingers on a page that has touch, each with a number; places are pixels of the page."""

    def __init__(self, page):
        self.session = page.context.new_cdp_session(page)
        self.down = {}

    def touch(self, finger: int, *places) -> None:
        """Put a finger down at the first place, unless it is, and move it on."""
        for x, y in places:
            kind = "touchMove" if finger in self.down else "touchStart"
            self.down[finger] = {"id": finger, "x": x, "y": y}
            self.send(kind, self.down.values())

    def lift(self, finger: int) -> None:
        self.send("touchEnd", [self.down.pop(finger)])

    def send(self, kind: str, points=()) -> None:
        event = {"type": kind, "touchPoints": list(points)}
        self.session.send("Input.dispatchTouchEvent", event)


def expect_answer(page, digit: str) -> None:
    expect(page.locator(".guesses b").first).to_have_text(digit, timeout=TIMEOUT)


def expect_no_answer(page) -> None:
    expect(page.locator(".guesses b")).to_have_count(0, timeout=TIMEOUT)
    expect(page.locator(".words")).to_contain_text(re.compile("^Draw|^Drop"))
    expect(page.locator(".figure, .boxes")).to_have_count(0)
