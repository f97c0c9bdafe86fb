"""What is drawn on the pad, what is asked about, and what a link holds are the same strokes."""

import io
import json

import cv2
import numpy as np
import pytest
from browser import draw_stroke
from PIL import Image
from playwright.sync_api import expect
from visitor import TIMEOUT, draw, expect_answer, expect_no_answer, touch_stroke, wait_for_the_pad

from page.answer import check_strokes
from page.worker import draw_strokes

NEAR = np.ones((5, 5), np.uint8)  # two pixels of half the pad's size, each way


@pytest.fixture
def new_page(new_page):
    """Return conftest's function, but that each page keeps the questions that it asks."""

    def listening(*place, **context):
        page = new_page(*place, **context)
        page.asked = []

        def on_request(request):
            if "component_server" in request.url:
                page.asked.append(json.loads(request.post_data)["data"])

        page.on("request", on_request)
        return page

    return listening


def painted(page) -> np.ndarray:
    """Return the pad as it looks, at half its size: 0 = ink."""
    page.add_style_tag(content=".boxes {display: none}")
    shot = Image.open(io.BytesIO(page.locator("#pad").screenshot())).convert("L")
    return np.asarray(shot.resize((320, 240), Image.Resampling.BOX))


def expect_the_same(page) -> None:
    """What the page last asked about, drawn, lies where the pad has ink, and nowhere else."""
    inside = np.s_[4:-4, 4:-4]  # without the pad's border
    for _ in range(10):  # the pad paints ten times a second, or less where others use the machine
        page.wait_for_timeout(500)
        asked = draw_strokes(check_strokes(page.asked[-1]["strokes"])) < 128
        pad = painted(page) < 128
        apart = [
            (one & ~(cv2.dilate(other.astype(np.uint8), NEAR) > 0))[inside].sum()
            for one, other in ((asked, pad), (pad, asked))
        ]
        if max(apart) <= 0.001 * asked.sum():
            break
    assert asked.any() and max(apart) <= 0.001 * asked.sum()
    assert asked[inside].sum() == pytest.approx(pad[inside].sum(), rel=0.1)


def random_strokes(page, number: int, seed: int) -> list[list[tuple[float, float]]]:
    """Return strokes as hands make them: fast and slow ones, dots, and some off the edge."""
    random = np.random.default_rng(seed)
    pad = page.locator("#pad").bounding_box()
    corner, size = np.array([pad["x"], pad["y"]]), np.array([pad["width"], pad["height"]])
    strokes = []
    for k in range(number):
        start = random.uniform(0.1, 0.9, 2)
        points = 1 if k % 8 == 7 else [3, 6, 12][k % 3]  # a dot, fast, slow
        step = 0.02 if points == 12 else 0.25
        walk = start + np.cumsum(random.normal(0, step, (points, 2)), axis=0)
        walk = walk.clip(0.02, 0.98)
        if k % 8 == 3:  # off the edge and back
            walk[-2] = (1.2, walk[-2, 1])
        walk[0] = start
        strokes.append((corner + walk * size).tolist())
    return strokes


PHONE = {"has_touch": True, "is_mobile": True}


@pytest.mark.parametrize(
    ("pen", "window", "context"),
    [
        (draw_stroke, (700, 640), {}),
        (touch_stroke, (360, 740), PHONE),
        (draw_stroke, (507, 600), {"device_scale_factor": 1.5}),  # 760 at a zoom of 150 %
    ],
    ids=["mouse", "touch", "zoom"],
)
def test_what_is_drawn_is_what_is_read(visit, pen, window, context):
    """Eight strokes at a time; then Undo takes the last, and Clear all."""
    page = visit(*window, **context)
    page.locator("#pad").scroll_into_view_if_needed()
    for seed in range(2):
        for points in random_strokes(page, 8, seed):
            pen(page, points)
        expect_the_same(page)
        page.get_by_role("button", name="Undo").click()
        expect_the_same(page)
        page.get_by_role("button", name="Clear", exact=True).click()
        expect_no_answer(page)
        expect(page.locator("#pad .empty")).to_have_count(0)


def test_a_window_resized_in_mid_drawing(visit):
    page = visit(760, 900)
    for width in (760, 500, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(100)  # until the window is told
        wait_for_the_pad(page)
        for points in random_strokes(page, 4, width):
            draw_stroke(page, points)
        expect_the_same(page)


def test_a_link_draws_what_was_drawn(visit):
    """Opened anew, it gives the same answer; eight digits would have under 1,500 letters."""
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    draw(page, "3")
    expect_answer(page, "3")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    before = page.asked[-1]["strokes"]
    again = visit(query="?" + link.partition("?")[2])
    expect_answer(again, "3")
    after = again.asked[-1]["strokes"]
    assert len(link.partition("?d=")[2]) < 1500 / 8
    drawn = [draw_strokes(strokes) < 128 for strokes in (before, after)]
    assert (drawn[0] ^ drawn[1]).sum() < 0.1 * drawn[0].sum()


def test_a_link_draws_again_what_the_pad_has_missed(new_page, page_url):
    """On a busy machine the pad may not be ready yet."""
    page = new_page(page_url, 440, 900)
    page.add_init_script("""
        const miss = (event) => event.stopImmediatePropagation();
        addEventListener("pointerdown", miss, { capture: true, once: true });
    """)
    page.goto(f"{page_url}?d=CwB8yUyU4m4mt_H9OmOm1k0j49Y1X1MmLmIVIV")
    expect_answer(page, "3")


@pytest.mark.parametrize(
    "code",
    ["", "x", "AAAA.", "AAAA..AAAA", "%00", "AAAA" * 1000, "____", "<script>alert(1)</script>"],
)
def test_a_broken_link_gets_a_sentence_and_an_empty_pad(visit, code):
    page = visit(query=f"?d={code}")
    expect(page.locator(".words")).to_contain_text("no drawing that can be read", timeout=TIMEOUT)
    assert not page.asked
