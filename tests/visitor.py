"""What a visitor does at the page: draws, waits for the answer, looks at it."""

import re

from browser import draw_stroke, to_page
from playwright.sync_api import expect

# Pen paths in the unit square, x to the right, y down.
DIGITS = {
    "3": [[(0.3, 0.25), (0.45, 0.15), (0.65, 0.2), (0.7, 0.33), (0.6, 0.45), (0.45, 0.5)]
          + [(0.62, 0.53), (0.72, 0.65), (0.65, 0.82), (0.48, 0.87), (0.28, 0.78)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.6, 0.45), (0.5, 0.65), (0.42, 0.85)]],
    "0": [[(0.5, 0.15), (0.33, 0.25), (0.27, 0.5), (0.33, 0.75), (0.5, 0.85), (0.67, 0.75)]
          + [(0.73, 0.5), (0.67, 0.25), (0.5, 0.15)]],
    "4": [[(0.38, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.6, 0.85)]],
    "star": [[(0.5, 0.1), (0.25, 0.9), (0.9, 0.4), (0.1, 0.4), (0.75, 0.9), (0.5, 0.1)]],
    "X": [[(0.2, 0.15), (0.8, 0.85)], [(0.8, 0.15), (0.2, 0.85)]],
}  # fmt: skip


TIMEOUT = 20_000  # milliseconds for an answer: other tests use the machine, too


def wait_for_the_pad(page) -> None:
    """Wait until the pad's tools have come, and the notice that one is to be chosen has gone."""
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=30_000)
    expect(page.locator("#pad .empty")).to_have_count(0)


def draw(page, digit: str) -> None:
    draw_strokes(page, DIGITS[digit])


def draw_strokes(page, strokes) -> None:
    """Draw with the mouse on the pad."""
    for points in to_page(page, strokes):
        draw_stroke(page, points)


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


def touch_stroke(page, points) -> None:
    """Draw with a finger from point to point, pixels of the page."""
    fingers = Fingers(page)
    fingers.touch(0, *points)
    fingers.lift(0)


def expect_answer(page, digit: str) -> None:
    expect(page.locator(".guesses b").first).to_have_text(digit, timeout=TIMEOUT)


def expect_no_answer(page) -> None:
    expect(page.locator(".guesses b")).to_have_count(0, timeout=TIMEOUT)
    expect(page.locator(".words")).to_contain_text(re.compile("draw", re.IGNORECASE))
    expect(page.locator(".figure")).to_have_count(0)
