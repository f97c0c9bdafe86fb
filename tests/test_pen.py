"""What is drawn on the pad, what is asked about, and what a link holds are the same strokes."""

import io
import time

import cv2
import numpy as np
import pytest
from browser import (
    DIGITS,
    TIMEOUT,
    Fingers,
    clear,
    draw,
    draw_stroke,
    expect_answer,
    expect_no_answer,
    to_page,
)
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT

from page.requests import ReadRequest
from page.worker import draw_strokes

NEAR = np.ones((5, 5), np.uint8)  # two pixels of half the pad's size, each way
SMALL = (360, 440)  # a window in which software paints fast


def painted(page) -> np.ndarray:
    """Return the pad as it looks, at half its size: 0 = ink."""
    shot = Image.open(io.BytesIO(page.locator("#pad").screenshot())).convert("L")
    return np.asarray(shot.resize((320, 240), Image.Resampling.BOX))


def expect_the_same(page, strokes: int) -> None:
    """So many strokes are asked about; drawn, they lie where the pad has ink, and nowhere else."""
    page.add_style_tag(content=".boxes {display: none}")
    inside = np.s_[4:-4, 4:-4]  # without the pad's border
    page.evaluate("editor.tools.get('brush').brush_cursor.cursor_container.alpha = 0")
    deadline = time.monotonic() + TIMEOUT / 1000
    while True:  # the pad paints ten times a second, or less where others use the machine
        question = page.asked[-1]["strokes"] if page.asked else []
        asked = (
            draw_strokes(ReadRequest(strokes=question).strokes)
            if question
            else np.full((240, 320), 255)
        )
        pictures = asked[inside], painted(page)[inside]
        apart = [
            ((one < 128) & ~(cv2.dilate((other < 128).astype(np.uint8), NEAR) > 0)).sum()
            for one, other in (pictures, pictures[::-1])
        ]
        if len(question) == strokes and max(apart) <= 0.001 * (pictures[0] < 128).sum():
            break
        assert time.monotonic() < deadline, (len(question), apart)
    asked, pad = (255.0 * picture.size - picture.sum() for picture in pictures)
    assert asked == pytest.approx(pad, rel=0.15)


def random_strokes(page, number: int, seed: int) -> list[list[tuple[float, float]]]:
    """Return strokes as hands make them: a fast one, one off the edge, a dot, and a slow one."""
    random = np.random.default_rng(seed)
    page.locator("#pad").scroll_into_view_if_needed()
    pad = page.locator("#pad").bounding_box()
    corner, size = np.array([pad["x"], pad["y"]]), np.array([pad["width"], pad["height"]])
    strokes = []
    for points, step in [(3, 0.25), (6, 0.25), (1, 0), (8, 0.06)][:number]:
        walk = random.uniform(0.1, 0.9, 2) + np.cumsum(random.normal(0, step, (points, 2)), axis=0)
        walk = walk.clip(0.02, 0.98)
        if points == 6:
            walk[-2, 0] = 1.2
        strokes.append((corner + walk * size).tolist())
    return strokes


# The events of a pointer, which Playwright has not: kind, button, place.
POINTER = """([kind, button, x, y], pointerId = 7, pointerType = "pen") =>
  document.querySelector("#pad canvas").dispatchEvent(new PointerEvent(kind, {pointerId,
    pointerType, button, isPrimary: true, bubbles: true, clientX: x, clientY: y}))"""

LOSE_CONTEXT = """async () => {
  const canvas = document.querySelector("#pad canvas");
  const context = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
  const restored = new Promise(done => canvas.addEventListener("webglcontextrestored", done));
  context.loseContext();
  await new Promise(done => setTimeout(done, 0));
  context.restoreContext();
  await restored;
}"""

# Before the pad's next frame, in which it lays the paper out again.
CLEAR_AND_DRAW = f"""async (events) => {{
  document.querySelectorAll("#tools button")[2].click();
  await new Promise(done => setTimeout(done, 0));
  events.forEach((event) => ({POINTER})(event));
}}"""


def test_what_is_drawn_is_what_is_read(page):
    """After Undo, a lost context, another size of the window, and at once after Clear, too."""
    for points in random_strokes(page, 4, 0):  # the first at once after a clear
        draw_stroke(page, points)
    for button in ("right", "middle"):
        page.mouse.down(button=button)
        page.mouse.move(*points[0])
        page.mouse.up(button=button)
    expect_the_same(page, 4)
    page.get_by_role("button", name="Undo").click()
    expect_the_same(page, 3)
    page.evaluate(LOSE_CONTEXT)
    expect_the_same(page, 3)
    clear(page)
    for width in (360, 500):
        page.set_viewport_size({"width": width, "height": 600})
        for points in random_strokes(page, 2, width):
            draw_stroke(page, points)
    expect_the_same(page, 4)
    (seven,) = to_page(page, DIGITS["7"])
    kinds = ["pointerdown", *["pointermove"] * (len(seven) - 1), "pointerup"]
    events = [[kind, 0, *at] for kind, at in zip(kinds, [*seven, seven[-1]], strict=True)]
    page.evaluate(CLEAR_AND_DRAW, events)
    expect_the_same(page, 1)
    assert page.asked[-1]["strokes"][0][:2] == pytest.approx([200, 96], abs=3)


def test_a_pens_eraser_does_not_paint_a_cancelled_pen_ends_and_a_palm_is_no_pen(page):
    def pen(events, button=0):
        for kind, place in events:
            page.evaluate(POINTER, [f"pointer{kind}", button, *place])

    (down, up), (start, end) = to_page(page, [[(0.5, 0.2), (0.5, 0.8)], [(0.2, 0.5), (0.8, 0.5)]])
    pen([("down", down), ("move", up), ("cancel", up), ("move", end)])
    pen([("down", start), ("move", end), ("cancel", end), ("move", end)], button=5)
    expect_the_same(page, 1)
    clear(page)
    away, seven = to_page(page, [[(0.9, 0.9)], *DIGITS["7"]])
    page.evaluate(f"(event) => ({POINTER})(event, 8, 'touch')", ["pointerdown", 0, *away[0]])
    pen([("down", seven[0]), *(("move", place) for place in seven), ("up", seven[-1])])
    expect_answer(page, "7")
    expect_the_same(page, 1)


def test_a_stroke_that_begins_before_the_pad_is_ready_is_painted(new_page, page_url):
    """At a zoom of 150 percent."""
    page = new_page(page_url, *SMALL, device_scale_factor=1.5)
    page.goto(page_url, wait_until="commit")
    page.locator("#pad .image-container").wait_for()
    for points in random_strokes(page, 2, 2):
        draw_stroke(page, points)
    expect_the_same(page, 2)


def test_a_second_finger_and_a_palm_neither_paint_nor_end_a_stroke(visit):
    page = visit(*SMALL, has_touch=True, is_mobile=True)
    page.locator("#pad").scroll_into_view_if_needed()
    (seven, (away, near)) = to_page(page, [*DIGITS["7"], [(0.9, 0.9), (0.8, 0.8)]])
    fingers = Fingers(page)
    fingers.touch(0, *seven[:2])
    fingers.touch(1, away, near)
    fingers.touch(0, seven[2])
    fingers.lift(1)
    fingers.touch(0, *seven[3:])
    fingers.lift(0)
    expect_the_same(page, 1)
    fingers.touch(0, away, near)
    fingers.send("touchCancel")
    expect_the_same(page, 2)


def test_without_webgl_the_page_says_so(browser, page_url):
    page = browser.new_page()  # Gradio reports what it misses
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(page_url)
    expect(page.locator(".words")).to_contain_text("Picture tab", timeout=TIMEOUT)
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.close()


LINK = (ROOT / "page" / "link.js").read_text()
BROKEN = ["", "x", "AAAA.", "AAAA..AAAA", "%00", "AAAA" * 1001, "____", "<script>alert(1)</script>"]


def test_a_link_draws_what_was_drawn_and_a_broken_one_gets_a_sentence(page, visit):
    """Opened anew, it gives the same answer; eight digits would have under 1,500 letters."""
    draw(page, "3")
    expect_answer(page, "3")
    page.get_by_role("button", name="Share").click()
    expect(page.locator("#copied")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    again = visit(*SMALL, query="?" + link.partition("?")[2])
    expect_answer(again, "3")
    expect_the_same(again, 1)
    assert len(link.partition("?d=")[2]) < 1500 / 8
    drawn = [draw_strokes(window.asked[-1]["strokes"]) < 128 for window in (page, again)]
    assert (drawn[0] ^ drawn[1]).sum() < 0.1 * drawn[0].sum()
    broken = visit(*SMALL, query="?d=AAAA..AAAA")
    expect(broken.locator(".words")).to_contain_text("Draw a new one", timeout=TIMEOUT)
    assert not broken.asked
    empty = page.context.new_page()
    decode = f"(letters) => {{{LINK}; return decode(letters, 640, 480)}}"
    assert [letters for letters in BROKEN if empty.evaluate(decode, letters) is not None] == []
    empty.close()
