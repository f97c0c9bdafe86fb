"""What is drawn on the pad, what is asked about, and what a link holds are the same strokes."""

import io
import time

import cv2
import numpy as np
import pytest
from browser import draw_stroke, to_page
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT
from visitor import (
    DIGITS,
    TIMEOUT,
    Fingers,
    clear,
    draw,
    expect_answer,
    expect_no_answer,
    touch_stroke,
)

from page.answer import Question
from page.worker import draw_strokes

NEAR = np.ones((5, 5), np.uint8)  # two pixels of half the pad's size, each way
SMALL = (360, 440)  # a window in which software paints fast
PHONE = {"has_touch": True, "is_mobile": True}


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
            draw_strokes(Question(strokes=question).strokes)
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
    """Return strokes as hands make them: fast and slow ones, dots, and some off the edge."""
    random = np.random.default_rng(seed)
    page.locator("#pad").scroll_into_view_if_needed()
    pad = page.locator("#pad").bounding_box()
    corner, size = np.array([pad["x"], pad["y"]]), np.array([pad["width"], pad["height"]])
    strokes = []
    for k in range(number):
        start = random.uniform(0.1, 0.9, 2)
        points = [3, 6, 1, 8][k % 4]  # fast, off the edge, a dot, slow
        step = 0.06 if points == 8 else 0.25
        walk = start + np.cumsum(random.normal(0, step, (points, 2)), axis=0)
        walk = walk.clip(0.02, 0.98)
        if points == 6:
            walk[-2] = (1.2, walk[-2, 1])
        walk[0] = start
        strokes.append((corner + walk * size).tolist())
    return strokes


def test_what_is_drawn_is_what_is_read(page):
    """With the mouse; then Undo takes the last stroke, and Clear all."""
    for seed in range(2):
        for points in random_strokes(page, 4, seed):  # the first at once after a clear
            draw_stroke(page, points)
        for button in ("right", "middle"):
            page.mouse.down(button=button)
            page.mouse.move(*points[0])
            page.mouse.up(button=button)
        expect_the_same(page, 4)
        page.get_by_role("button", name="Undo").click()
        expect_the_same(page, 3)
        clear(page)


# The events of a pen, which Playwright has not: kind, button, place.
PEN = """([kind, button, x, y]) => document.querySelector("#pad canvas").dispatchEvent(
  new PointerEvent(kind, {pointerId: 7, pointerType: "pen", button, isPrimary: true, bubbles: true,
    clientX: x, clientY: y}))"""


def test_a_pens_eraser_does_not_paint_and_a_pen_that_is_cancelled_ends(page):
    (down, up), (start, end) = to_page(page, [[(0.5, 0.2), (0.5, 0.8)], [(0.2, 0.5), (0.8, 0.5)]])
    for button in (0, 5):
        for kind, place in (("down", down), ("move", up), ("cancel", up), ("move", end)):
            page.evaluate(PEN, [f"pointer{kind}", button, *place])
        down, up = start, end
    expect_the_same(page, 1)


def test_a_stroke_at_once_after_a_clear_lies_where_the_pen_was(page):
    """Before the pad's next frame, in which it lays the paper out again."""
    (seven,) = to_page(page, DIGITS["7"])
    kinds = ["pointerdown", *["pointermove"] * (len(seven) - 1), "pointerup"]
    events = [[kind, 0, *at] for kind, at in zip(kinds, [*seven, seven[-1]], strict=True)]
    page.evaluate(
        f"""async (events) => {{
          document.querySelectorAll("#tools button")[1].click();
          await new Promise(done => setTimeout(done, 0));
          events.forEach({PEN});
        }}""",
        events,
    )
    expect_the_same(page, 1)
    assert page.asked[-1]["strokes"][0][:2] == pytest.approx([200, 96], abs=3)


def test_a_lost_context_shows_the_strokes_again(page):
    draw(page, "4")
    expect_the_same(page, 2)
    page.evaluate("""async () => {
      const canvas = document.querySelector("#pad canvas");
      const context = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
      const restored = new Promise(done => canvas.addEventListener("webglcontextrestored", done));
      context.loseContext();
      await new Promise(done => setTimeout(done, 0));
      context.restoreContext();
      await restored;
    }""")
    expect_the_same(page, 2)
    draw(page, "7")
    expect_the_same(page, 3)


def test_a_stroke_that_begins_before_the_pad_is_ready_is_painted(new_page, page_url):
    page = new_page(page_url, *SMALL)
    page.goto(page_url, wait_until="commit")
    page.locator("#pad .image-container").wait_for()
    (points,) = random_strokes(page, 1, 0)
    draw_stroke(page, points)
    expect_the_same(page, 1)


def test_a_second_finger_and_a_palm_neither_paint_nor_end_a_stroke(visit):
    page = visit(*SMALL, **PHONE)
    for points in random_strokes(page, 3, 0):
        touch_stroke(page, points)
    (seven, (away, near)) = to_page(page, [*DIGITS["7"], [(0.9, 0.9), (0.8, 0.8)]])
    fingers = Fingers(page)
    fingers.touch(0, *seven[:2])
    fingers.touch(1, away, near)
    fingers.touch(0, seven[2])
    fingers.lift(1)
    fingers.touch(0, *seven[3:])
    fingers.lift(0)
    expect_the_same(page, 4)
    fingers.touch(0, away, near)
    fingers.send("touchCancel")
    expect_the_same(page, 5)


def test_a_pen_writes_though_a_palm_lies_there(page):
    away, *seven = to_page(page, [[(0.9, 0.9)], *DIGITS["7"]])
    page.evaluate(PEN.replace("7", "8", 1).replace("pen", "touch", 1), ["pointerdown", 0, *away[0]])
    for kind, place in [("down", seven[0][0]), *(("move", place) for place in seven[0])]:
        page.evaluate(PEN, [f"pointer{kind}", 0, *place])
    page.evaluate(PEN, ["pointerup", 0, *seven[0][-1]])
    expect_answer(page, "7")
    expect_the_same(page, 1)


def test_at_a_zoom_of_150_percent(visit):
    page = visit(340, 440, device_scale_factor=1.5)
    for points in random_strokes(page, 4, 2):
        draw_stroke(page, points)
    expect_the_same(page, 4)


def test_a_window_resized_in_mid_drawing(page):
    for strokes, width in ((2, 360), (4, 500)):
        page.set_viewport_size({"width": width, "height": 600})
        for points in random_strokes(page, 2, width):
            draw_stroke(page, points)
        expect_the_same(page, strokes)


def test_without_webgl_the_page_says_so(browser, page_url):
    page = browser.new_page()  # Gradio reports what it misses
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(page_url)
    expect(page.locator(".words")).to_contain_text("Picture tab", timeout=TIMEOUT)
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.close()


def test_a_link_draws_what_was_drawn(page, visit):
    """Opened anew, it gives the same answer; eight digits would have under 1,500 letters."""
    draw(page, "3")
    expect_answer(page, "3")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    again = visit(*SMALL, query="?" + link.partition("?")[2])
    expect_answer(again, "3")
    expect_the_same(again, 1)
    assert len(link.partition("?d=")[2]) < 1500 / 8
    drawn = [draw_strokes(window.asked[-1]["strokes"]) < 128 for window in (page, again)]
    assert (drawn[0] ^ drawn[1]).sum() < 0.1 * drawn[0].sum()


LINK = (ROOT / "page" / "link.js").read_text()
BROKEN = ["", "x", "AAAA.", "AAAA..AAAA", "%00", "AAAA" * 1001, "____", "<script>alert(1)</script>"]


def test_a_broken_link_gets_a_sentence_and_an_empty_pad(visit, browser):
    page = visit(query="?d=AAAA..AAAA")
    expect(page.locator(".words")).to_contain_text("Draw a new one", timeout=TIMEOUT)
    assert not page.asked
    page = browser.new_page()
    page.evaluate(f"window.link = (() => {{{LINK}; return {{decode}}}})()")
    for code in BROKEN:
        assert page.evaluate("code => link.decode(code, 640, 480)", code) is None, code
    page.close()
