"""What a visitor sees: one view, one answer, and a page that keeps what was drawn."""

import re
from io import BytesIO

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DIGITS, TIMEOUT, draw, draw_stroke, expect_answer, to_page
from conftest import opened
from drawings import drawings
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT

from page.requests import BRUSH_RADIUS, PAD_SIZE, with_article
from page.worker import answer_strokes, answer_upload, draw_strokes
from reading.signs import DOUBT_MESSAGE
from reading.weights import WeightsLoader

SHOTS = ROOT / "screenshots"  # CI keeps it; examples/page.png is number-1366-light.png


def expect_one_answer(answer) -> None:
    guesses, words, figure, boxes, headline, kind = answer
    if not kind:
        assert not (guesses or figure or boxes or headline) and re.search("eight|two lines", words)
        return
    best, second = guesses[0][0], guesses[1][0]
    named, digit = with_article(best), with_article(str(figure["answer"][0]))
    why, either = f"Why {digit}?", f"{best} or {second}?"
    unsure = f"It could be {named} or {with_article(second)}."
    none = f"{DOUBT_MESSAGE} My best guess is {named}."
    expected = {
        "sure": (best, f"That is {named}.", why, len(best)),
        "two": (either, unsure, f"Why {either}" if len(best) == 1 else why, len(best)),
        "mark": (best, words, why, sum(map(str.isdigit, best))),
        "none": ("Not a digit?", none, f"Why it looks like {digit}", 0),
    }
    assert (headline, words, figure["heading"], len(boxes)) == expected[kind]
    assert (kind == "mark") == ("?" in best) == words.startswith("I read")
    assert len(guesses) == 3


def test_headline_sentence_boxes_and_heading_tell_one_answer(tmp_path):
    """Of 60 drawings; and what the API says of their pictures."""
    kinds, file = [], str(tmp_path / "drawing.png")
    with WeightsLoader(None, None) as loader:
        for strokes in drawings():
            answer = answer_strokes(loader, strokes)
            expect_one_answer(answer)
            cv2.imwrite(file, draw_strokes(strokes))
            picture = answer_upload(loader, file)
            assert (picture.words, picture.headline) == (answer.words, answer.headline)
            kinds.append(answer.kind)
    assert len(kinds) >= 60
    least = {"sure": 30, "two": 1, "mark": 4, "none": 6, "": 5}
    assert all(kinds.count(kind) >= count for kind, count in least.items()), kinds


SHIFTS = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  await frame().then(frame); // in the window's new size
  window.shifts = [];
  new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({value}) => value)))
    .observe({type: "layout-shift"});
}"""
SIZES = [(1366, 768, "map"), (1440, 900, "map"), (768, 1024, "heading"), (390, 844, "heading")]


@pytest.mark.parametrize("width, height, seen", SIZES)
def test_all_is_in_one_view_and_nothing_moves(page, width, height, seen):
    """Each digit is framed, and the chosen one explained; screenshots are kept."""
    SHOTS.mkdir(exist_ok=True)
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(SHIFTS)
    draw(page, "42")
    expect_answer(page, "42")
    expect(page.locator("#why h2")).to_have_text("Why a 4?", timeout=TIMEOUT)
    page.wait_for_timeout(500)
    assert page.evaluate("shifts") == [] and page.evaluate("scrollY") == 0
    part = page.locator("#why .places" if seen == "map" else "#why h2").first
    for shown in (part, page.locator(".guesses"), page.locator("#tools"), page.locator(".digits")):
        box = shown.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= height
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    lefts = page.locator(".guesses .bar").evaluate_all("all => all.map(bar => bar.offsetLeft)")
    assert len(lefts) == 3 and len(set(lefts)) == 1, "bars begin at one left edge"
    expect(page.locator(".boxes i")).to_have_count(2)
    style = page.add_style_tag(content="* {transition: none !important}")  # colors change at once
    for theme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        page.screenshot(path=SHOTS / f"number-{width}-{theme}.png")
    page.evaluate("document.body.classList.remove('light', 'dark')")
    style.evaluate("style => style.remove()")
    page.locator(".digits label", has_text="2").click()
    expect(page.locator("#why h2")).to_have_text("Why a 2?", timeout=TIMEOUT)
    page.locator(".maps").nth(2).locator("canvas").nth(5).hover()
    assert page.locator(".large canvas").first.bounding_box()["width"] >= 240
    expect(page.locator(".large figcaption").first).to_have_text("C3, map 6 of 16")


def width_of_stroke(page) -> float:
    """Measure the 4's bar, in the pad's height: it tells at what scale the paper is shown."""
    shot = Image.open(BytesIO(page.locator("#pad").screenshot())).convert("L")
    column = np.asarray(shot)[:, (shot.width - shot.height * 7 // 10) // 2]
    return (column[len(column) // 2 : len(column) * 7 // 10] < 128).sum() / len(column)


def test_nothing_is_cut_off_and_anyone_can_use_it(page):
    """On either tab, axe-core finds nothing serious."""
    page.add_style_tag(content="* {transition: none !important}")
    draw(page, "42")
    for tab, answer in (("Draw", "42"), ("Picture", "5")):
        page.get_by_role("tab", name=tab).click()
        if tab == "Picture":
            page.get_by_role("button", name="Example: 5-photograph").click()
        expect_answer(page, answer)
        for width, is_dark in ((1440, False), (360, False), (360, True)):
            page.set_viewport_size({"width": width, "height": 740})
            page.mouse.move(0, 0)
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", is_dark)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            violations = Axe().run(page).response["violations"]
            serious = [v for v in violations if v["impact"] in ("serious", "critical")]
            assert not [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]
            if tab == "Draw" and not is_dark:
                bar = pytest.approx(2 * BRUSH_RADIUS / PAD_SIZE[1], abs=0.01)
                assert width_of_stroke(page) == bar
        page.evaluate("document.body.classList.remove('light', 'dark')")


def test_while_the_pen_moves_there_is_no_doubt(page):
    (first,), (second,) = (to_page(page, [stroke]) for stroke in DIGITS["X"])
    draw_stroke(page, first)
    page.mouse.move(*second[0])
    page.mouse.down()
    page.mouse.move(*second[1])
    with page.expect_response("**/component_server/**"):
        page.mouse.move(*second[0])
    page.wait_for_timeout(600)
    expect(page.locator(".headline")).not_to_have_text("Not a digit?")
    page.mouse.up()
    expect(page.locator(".headline")).to_have_text("Not a digit?", timeout=TIMEOUT)


def test_a_server_that_goes_away_is_asked_again(window, page_url):
    """The drawing stays. Chromium reports each request that fails, so this page isn't watched."""
    page = opened(window.context.new_page(), page_url)
    page.route("**/component_server/**", lambda route: route.abort())
    draw(page, "7")
    expect(page.locator(".words")).to_have_text(
        "The server isn't answering. Your drawing is safe; I'll keep trying.", timeout=TIMEOUT
    )
    page.unroute("**/component_server/**")
    expect_answer(page, "7")
    page.close()


def test_a_shared_link_shows_our_card(http, page_url):
    page = http.get("/?d=AAAABBBB").text
    card = dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)">', page))
    assert card["og:title"] == "LeNet reads your digits" and "Gradio" not in str(card)
    assert card["og:url"] == f"{page_url}?d=AAAABBBB" and card["og:description"]
    assert card["twitter:card"] == "summary_large_image"
    assert http.get(card["og:image"]).headers["content-type"] == "image/png"
