"""Whole numbers at the page, in a real browser: drawn, photographed, and what is none."""

import re

from playwright.sync_api import expect
from visitor import DIGITS, TIMEOUT, clear, draw_strokes, expect_answer, expect_no_answer

RING = [(0, -1), (-0.7, -0.7), (-1, 0), (-0.7, 0.7), (0, 1), (0.7, 0.7), (1, 0), (0.7, -0.7)]
TWO = [(0.02, 0.34), (0.1, 0.26), (0.22, 0.26), (0.28, 0.36), (0.2, 0.54), (0, 0.78), (0.32, 0.78)]
ZERO = [(0.13 * x, 0.52 + 0.27 * y) for x, y in [*RING, RING[0]]]
FOUR = [[(0.2, 0.2), (0.05, 0.6), (0.45, 0.6)], [(0.35, 0.35), (0.34, 0.9)]]
SIX = [(0.2, 0.24), (0.09, 0.4), (0.02, 0.62), (0.06, 0.76), (0.18, 0.79), (0.26, 0.68)] + [
    (0.2, 0.56), (0.04, 0.62)
]  # fmt: skip
SEVEN = [(0.05, 0.2), (0.4, 0.2), (0.3, 0.45), (0.22, 0.65), (0.18, 0.85)]
A = [(0.95, 0.5), (0.8, 0.42), (0.66, 0.5), (0.62, 0.68), (0.7, 0.82), (0.85, 0.78)] + [
    (0.95, 0.55), (0.95, 0.7), (1, 0.86)
]  # fmt: skip


def moved(stroke, right: float):
    return [(x + right, y) for x, y in stroke]


NUMBERS = {
    "42": [*FOUR, moved(TWO, 0.62)],
    "2026": [moved(TWO, -0.14), moved(ZERO, 0.36), moved(TWO, 0.53), moved(SIX, 0.88)],
    "00": [  # that touch
        [(middle + 0.21 * x, 0.5 + 0.3 * y) for x, y in [*RING, RING[0]]] for middle in (0.25, 0.67)
    ],
}
NO_NUMBERS = {
    "7a": ([SEVEN, A], r"I read 7\. The mark after it isn.t a digit\."),
    "3+4": (
        [moved(stroke, -0.3) for stroke in DIGITS["3"]]
        + [[(0.42, 0.5), (0.62, 0.5)], [(0.52, 0.4), (0.52, 0.6)]]
        + [moved(stroke, 0.45) for stroke in DIGITS["4"]],
        r"I read 3 and 4\. The mark between them isn.t a digit\.",
    ),
}


def expect_framed(page, number: str, strokes: list) -> None:
    """Each digit is framed, and the one that is chosen explained."""
    draw_strokes(page, strokes)
    expect_answer(page, number)
    expect(page.locator(".boxes i")).to_have_count(len(number))
    expect(page.locator("h2").first).to_have_text(f"Why a {number[0]}?")
    page.locator(".digits label").nth(1).click()
    expect(page.locator("h2").first).to_have_text(f"Why a {number[1]}?", timeout=TIMEOUT)
    clear(page)
    expect_no_answer(page)
    expect(page.locator(".boxes")).to_have_count(0)


def test_what_is_drawn(page):
    """Numbers are read; what is none is answered honestly."""
    for number, strokes in NUMBERS.items():
        expect_framed(page, number, strokes)
    for strokes, words in NO_NUMBERS.values():
        draw_strokes(page, strokes)
        expect(page.locator(".words")).to_have_text(re.compile(words), timeout=TIMEOUT)
        clear(page)


def expect_postal_code(page) -> None:
    page.get_by_role("tab", name="Picture").click()
    page.get_by_role("button", name="Example: 14260-photograph").click()
    expect_answer(page, "14260")
    expect(page.locator(".boxes i")).to_have_count(5)


def test_a_photographed_postal_code(page):
    expect_postal_code(page)


def test_the_frames_in_a_wide_window(visit):
    page = visit(1440, 600)
    expect_framed(page, "42", NUMBERS["42"])
    expect_postal_code(page)
