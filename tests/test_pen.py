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
from conftest import opened
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT

from page.requests import ReadRequest
from page.worker import draw_strokes

NEAR = np.ones((5, 5), np.uint8)  # two pixels of half the pad's size, each way
BLANK = np.full((240, 320), 255)
SMALL = (360, 440)  # a window in which software paints fast


def painted(page) -> np.ndarray:
    """Return the pad as it looks, at half its size: 0 = ink."""
    shot = Image.open(io.BytesIO(page.locator("#pad").screenshot())).convert("L")
    return np.asarray(shot.resize((320, 240), Image.Resampling.BOX))


def expect_the_same(page, strokes: int) -> None:
    """So many strokes are asked about; drawn, they lie where the pad has ink, and nowhere else."""
    page.add_style_tag(content=".boxes {display: none}")
    inside = np.s_[4:-4, 4:-4]  # without the pad's border
    page.wait_for_function("window.editor?.tools.get('brush')?.brush_cursor", timeout=TIMEOUT)
    page.evaluate("editor.tools.get('brush').brush_cursor.cursor_container.alpha = 0")
    deadline = time.monotonic() + TIMEOUT / 1000
    while True:  # the pad paints four times a second, or less where others use the machine
        question = page.asked[-1]["strokes"] if page.asked else []
        asked = draw_strokes(ReadRequest(strokes=question).strokes) if question else BLANK
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


def test_on_a_phone_an_early_stroke_is_painted_and_one_finger_draws(new_page, page_url):
    """In every language, whose names the pad's tools have, and at a zoom of 150 percent."""
    how = {"has_touch": True, "is_mobile": True, "locale": "de-DE", "device_scale_factor": 1.5}
    page = new_page(page_url, 360, 740, **how)
    page.goto(page_url, wait_until="commit")
    page.locator("#pad .image-container").wait_for()
    for points in random_strokes(page, 2, 2):  # before the pad is ready
        draw_stroke(page, points)
    expect_the_same(page, 2)
    fingers = Fingers(page)
    for button in ("Clear", "Undo", "Clear"):
        page.get_by_role("button", name=button, exact=True).click()
        expect_no_answer(page)
        (seven,) = to_page(page, DIGITS["7"])
        fingers.touch(0, *seven)
        fingers.lift(0)
        expect_answer(page, "7")
    assert page.evaluate("scrollY") == 0
    pad, answer = (page.locator(part).bounding_box() for part in ("#pad", ".guesses"))
    assert answer["y"] >= 0 and pad["y"] + pad["height"] <= 740, "both are seen while one draws"
    clear(page)
    ((away, near),) = to_page(page, [[(0.9, 0.9), (0.8, 0.8)]])
    fingers.touch(0, *seven[:2])
    fingers.touch(1, away, near)  # a second finger, or a palm, neither paints nor ends the stroke
    fingers.touch(0, seven[2])
    fingers.lift(1)
    fingers.touch(0, *seven[3:])
    fingers.lift(0)
    expect_the_same(page, 1)
    fingers.touch(0, away, near)
    fingers.send("touchCancel")
    expect_the_same(page, 2)


def test_without_webgl_the_page_says_so(window, page_url):
    page = window.context.new_page()  # Gradio reports what it misses
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(page_url)
    expect(page.locator(".words")).to_contain_text("Picture tab", timeout=TIMEOUT)
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.close()


LINK = (ROOT / "page" / "link.js").read_text()
HEADLINES = """window.headlines = [];
setInterval(() => headlines.push(document.querySelector(".headline")?.textContent), 10);"""


def test_a_drawing_can_be_undone_redone_shared_and_replayed(page):
    """Its link gives the same drawing; eight digits would have under 1,500 letters."""
    undo, redo, share = (
        page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo", "Share")
    )
    expect(share).to_be_disabled()
    draw(page, "42")
    expect_answer(page, "42")
    clear(page)
    expect_no_answer(page)
    undo.click()
    expect_answer(page, "42")
    undo.click()
    expect(page.locator(".headline")).not_to_have_text("42", timeout=TIMEOUT)
    redo.click()
    expect(page.locator(".headline")).to_have_text("42", timeout=TIMEOUT)
    expect(page.locator(".thoughts")).to_contain_text("42")
    share.click()
    expect(page.locator("#copied")).to_have_text("Link copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    assert len(page.url.partition("?d=")[2]) < 1500 / 4
    before = draw_strokes(page.asked[-1]["strokes"]) < 128
    page.context.add_init_script(HEADLINES)
    page.reload()
    expect_answer(page, "42")
    assert set(page.evaluate("headlines")) <= {None, "", "42"}, "the answer of the whole drawing"
    expect(page.locator(".thoughts")).to_contain_text("So far:")
    expect_the_same(page, 3)
    after = draw_strokes(page.asked[-1]["strokes"]) < 128
    assert (before ^ after).sum() < 0.2 * before.sum()
    clear(page)
    draw(page, "3")
    expect(page.locator("#why h2")).to_have_text("Why a 3?", timeout=TIMEOUT)
    drawn, linked = page.asked[-1]["strokes"], page.url.partition("?d=")[2]
    empty = page.context.new_page()
    linked = empty.evaluate(f"letters => {{{LINK}; return decode(letters, 640, 480)}}", linked)
    empty.close()
    drawn, linked = (draw_strokes(strokes) < 128 for strokes in (drawn, linked))
    assert len(page.url.partition("?d=")[2]) < 1500 / 8
    assert (drawn ^ linked).sum() < 0.1 * drawn.sum()


COUNT = """let moves = 0;
window.all = window.most = 0;
const frame = () => { moves = 0; requestAnimationFrame(frame); };
frame();
addEventListener("pointermove", () => { all++; most = Math.max(most, ++moves); }, true);"""


def test_a_broken_link_gets_a_sentence_and_none_freezes_the_tab(new_page, page_url):
    """Between two frames the pad gets a piece of its one long stroke."""
    page = new_page(page_url, *SMALL)
    page.add_init_script(COUNT)
    opened(page, f"{page_url}?d=AAAA..AAAA")
    expect(page.locator(".words")).to_contain_text("Please draw a number")
    assert not page.asked
    code = "".join(("g" if k % 8 else "h") + ("_" if k % 2 else "B") for k in range(200))
    page.goto(f"{page_url}?d=BUCk{code}")
    page.wait_for_function("all >= 75", timeout=TIMEOUT)
    assert page.evaluate("most") <= 30


BROKEN = ["", "AAAA.", "AAAA..AAAA", "%00", "AAAA" + "gg" * 1999, "____", "<script></script>"]


@pytest.mark.parametrize("strokes, points", [(1, 4000), (150, 2)])
def test_every_link_that_is_made_opens_and_no_other(browser, strokes, points):
    """What is drawn comes back, as finely as the longest address that the page serves allows."""
    walk = np.random.default_rng(0).normal(0, 30, (strokes, points, 2)).cumsum(1)
    drawn = (np.abs(walk + (320, 240)) % (640, 480)).round().astype(int).reshape(strokes, -1)
    page = browser.new_page()
    page.evaluate(f"window.link = (() => {{{LINK}; return {{encode, decode}}}})()")
    code = page.evaluate("drawn => link.encode(drawn)", drawn.tolist())
    decode = "codes => codes.map((code) => link.decode(code, 640, 480))"
    again, *others = page.evaluate(decode, [code, *BROKEN])
    page.close()
    assert len(code) <= 4000 and len(again) == strokes and others == [None] * len(BROKEN)
    for old, new in zip(drawn, again, strict=True):
        assert np.abs(old[:2] - new[:2]).max() <= 1 and np.abs(old[-2:] - new[-2:]).max() <= 1
