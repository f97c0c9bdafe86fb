"""A visitor at the page, in a real browser."""

import re

import pytest
from playwright.sync_api import expect

# Pen paths in the unit square, x to the right, y down.
DIGITS = {
    "3": [[(0.3, 0.25), (0.45, 0.15), (0.65, 0.2), (0.7, 0.33), (0.6, 0.45), (0.45, 0.5)]
          + [(0.62, 0.53), (0.72, 0.65), (0.65, 0.82), (0.48, 0.87), (0.28, 0.78)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.6, 0.45), (0.5, 0.65), (0.42, 0.85)]],
    "0": [[(0.5, 0.15), (0.33, 0.25), (0.27, 0.5), (0.33, 0.75), (0.5, 0.85), (0.67, 0.75)]
          + [(0.73, 0.5), (0.67, 0.25), (0.5, 0.15)]],
    "4": [[(0.38, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.6, 0.85)]],
}  # fmt: skip


@pytest.fixture
def page(browser, page_url):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(page_url)
    # The pad is armed when its notice that a tool is to be chosen has gone.
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=30_000)
    expect(page.locator("#pad .empty")).to_have_count(0)
    yield page
    page.close()


def draw(page, digit: str) -> None:
    """Draw a digit with the mouse, stroke by stroke, over the pad's paper."""
    canvas = page.locator("#pad canvas").first.bounding_box()
    side = min(canvas["width"], canvas["height"]) * 0.8
    left = canvas["x"] + (canvas["width"] - side) / 2
    top = canvas["y"] + (canvas["height"] - side) / 2
    for stroke in DIGITS[digit]:
        points = [(left + x * side, top + y * side) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def expect_answer(page, digit: str) -> None:
    expect(page.get_by_test_id("label-output-value")).to_have_text(digit, timeout=10_000)


def expect_no_answer(page) -> None:
    expect(page.get_by_test_id("label-output-value")).to_have_count(0, timeout=10_000)
    expect(page.locator("#words")).to_have_text(re.compile("draw", re.IGNORECASE))


def test_draw_clear_draw_clear_draw(page):
    """The first stroke on a fresh page draws, and so does the first after every clear."""
    expect_no_answer(page)
    for digit in ("3", "7", "0"):
        draw(page, digit)
        expect_answer(page, digit)
        guesses = page.locator("#answer").get_by_test_id(re.compile("-confidence-set$"))
        expect(guesses).to_have_count(3)
        page.get_by_role("button", name="Clear", exact=True).click()
        expect_no_answer(page)


def test_a_digit_of_two_strokes(page):
    draw(page, "4")
    expect_answer(page, "4")


def test_undoing_every_stroke_empties_the_answer(page):
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("button", name="Undo").click()
    expect_no_answer(page)
    draw(page, "3")
    expect_answer(page, "3")


def test_an_example_is_answered_at_a_click(page):
    page.get_by_role("tab", name="Upload").click()
    page.locator(".gallery-item, .gallery button").first.click()
    expect(page.get_by_test_id("label-output-value")).to_have_text(re.compile(r"\d"))


def test_says_which_weights_answer(page):
    expect(page.locator("#source")).to_contain_text("weights")
