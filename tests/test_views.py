"""What a visitor sees: one view, one answer, and a page that keeps what was drawn."""

import re

import cv2
import httpx2 as httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import (
    DIGITS,
    TIMEOUT,
    clear,
    draw,
    draw_stroke,
    expect_answer,
    expect_no_answer,
    to_page,
    wait_for_the_pad,
)
from drawings import drawings
from PIL import Image, ImageDraw
from playwright.sync_api import expect
from serving import ROOT
from test_browser import FOUR, TWO, moved

from page.requests import with_article
from page.worker import answer_strokes, answer_upload, draw_strokes
from reading.signs import DOUBT_MESSAGE
from reading.weights import WeightsLoader

SHOTS = ROOT / "screenshots"  # CI keeps it; examples/page.png is number-1366-light.png
FORTY_TWO = FOUR + moved([TWO], 0.62)


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


SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => shifts.push(...list.getEntries().map(({value}) => value)))
    .observe({type: "layout-shift"});
}"""


SIZES = [(1366, 768, "map"), (1440, 900, "map"), (768, 1024, "heading"), (390, 844, "heading")]


@pytest.mark.parametrize("width, height, seen", SIZES)
def test_all_is_in_one_view_and_nothing_moves(visit, width, height, seen):
    """In the light and in the dark; screenshots are kept."""
    SHOTS.mkdir(exist_ok=True)
    page = visit(width, height)
    expect(page.locator("#source")).to_contain_text("MNIST", timeout=TIMEOUT)  # all has come
    page.evaluate(SHIFTS)
    draw(page, FORTY_TWO)
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
    page.add_style_tag(content="* {transition: none !important}")  # colors change at once
    for theme in ("light", "dark"):
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        page.screenshot(path=SHOTS / f"number-{width}-{theme}.png")
        violations = Axe().run(page).response["violations"]
        assert not [v["id"] for v in violations if v["impact"] in ("serious", "critical")]
    page.locator(".maps").nth(2).locator("canvas").nth(5).hover()
    assert page.locator(".large canvas").first.bounding_box()["width"] >= 240
    expect(page.locator(".large figcaption").first).to_have_text("C3, map 6 of 16")


def test_a_drawing_can_be_undone_redone_shared_and_replayed(visit):
    page = visit(440, 700, permissions=["clipboard-read", "clipboard-write"])
    undo, redo, share = (
        page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo", "Share")
    )
    expect(share).to_be_disabled()
    draw(page, FORTY_TWO)
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
    headlines = """() => {
      window.headlines = [];
      setInterval(() => headlines.push(document.querySelector(".headline")?.textContent), 10);
    }"""
    page.context.add_init_script(f"({headlines})()")
    page.reload()
    expect_answer(page, "42")
    assert set(page.evaluate("headlines")) <= {None, "", "42"}, "the answer of the whole drawing"
    expect(page.locator(".thoughts")).to_contain_text("It thought:")


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


def test_a_server_that_goes_away_is_asked_again(browser, page_url):
    """The drawing stays. Chromium reports each request that fails, so this page isn't watched."""
    page = browser.new_page(viewport={"width": 440, "height": 700})
    page.goto(page_url)
    wait_for_the_pad(page)
    page.route("**/component_server/**", lambda route: route.abort())
    draw(page, "7")
    expect(page.locator(".words")).to_have_text(
        "The server isn't answering. Your drawing is safe; I'll keep trying.", timeout=TIMEOUT
    )
    page.unroute("**/component_server/**")
    expect_answer(page, "7")
    page.close()


def test_white_ink_on_transparent_paper_is_shown_on_dark(visit, tmp_path):
    page = visit()
    page.get_by_role("tab", name="Picture").click()
    expect(page.locator(".words")).to_have_text("Drop, paste or take a picture of a number.")
    image = Image.new("RGBA", (300, 300))
    line = [(x * 300, y * 300) for x, y in DIGITS["7"][0]]
    ImageDraw.Draw(image).line(line, fill="white", width=24)
    image.save(tmp_path / "white.png")
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "white.png")
    expect_answer(page, "7")
    expect(page.locator("#upload img.light-ink")).to_have_count(1)
    page.get_by_role("button", name="Example: 7-crossed").click()
    expect(page.locator("#upload img.light-ink")).to_have_count(0)


def test_a_shared_link_shows_our_card(server):
    with httpx.Client(base_url=server.url) as http:
        page = http.get("/?d=AAAABBBB").text
        card = dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)">', page))
        assert card["og:title"] == "LeNet reads your digits" and "Gradio" not in str(card)
        assert card["og:url"] == f"{server.url}?d=AAAABBBB" and card["og:description"]
        assert card["twitter:card"] == "summary_large_image"
        assert http.get(card["og:image"]).headers["content-type"] == "image/png"
