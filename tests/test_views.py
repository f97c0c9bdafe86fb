"""What a visitor sees: one view, one answer, and a page that keeps what was drawn."""

import re

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DIGITS, TIMEOUT, clear, draw, expect_answer, expect_no_answer, wait_for_the_pad
from PIL import Image, ImageDraw
from playwright.sync_api import expect
from serving import ROOT
from test_browser import FOUR, PLUS, TWO, moved

from page.answer import with_article
from page.worker import answer_strokes, answer_upload, draw_strokes
from reading.signs import DOUBT_MESSAGE
from reading.weights import WeightsLoader
from training import shapes, signs

SHOTS = ROOT / "screenshots"  # CI keeps it; examples/page.png is number-1366-light.png
FORTY_TWO = FOUR + moved([TWO], 0.62)


def written(lines: list[str], random: np.random.Generator) -> list[list[int]]:
    """Return a drawing's strokes: digits as people write them, and the sign +."""
    strokes, height = [], 200 / len(lines)
    for row, line in enumerate(lines):
        left = 30.0
        for character in line:
            sign = character == "+"
            parts = PLUS if sign else shapes.DIGITS[int(character)](random.uniform)
            points = np.concatenate(parts)
            scale = (
                min(height, 560 / len(line)) * (0.4 if sign else 1) / np.ptp(points, axis=0).max()
            )
            corner = left, 140 + height * (1.6 * row + 0.3 * sign)
            strokes += [(part - points.min(axis=0)) * scale + corner for part in parts]
            left += np.ptp(points[:, 0]) * scale + 25
    return in_pixels(strokes)


def in_pixels(strokes) -> list[list[int]]:
    return [np.round(stroke).astype(int).ravel().tolist() for stroke in strokes]


TEXTS = """0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 10 42 77 123 404 860 75005 2026 31415 90210 1984
65 12 99 98765432 123456789 3+4 12+7 5+ 8+1+6 70+4 4|2 12|34 7|1 90|35"""


def drawings() -> list[list[list[int]]]:
    random = np.random.default_rng(0)
    drawn = [written(text.split("|"), random) for text in TEXTS.split()]
    for sign in signs.SIGNS[::4][:12]:
        drawn.append(in_pixels([part * 35 + (180, 100) for part in signs.parse(sign)]))
    walks = random.normal(0, 60, (4, 30, 2)).cumsum(axis=1) + (320, 240)
    return drawn + [in_pixels([walk.clip(5, 475)]) for walk in walks]


def expect_one_answer(answer) -> None:
    guesses, words, figure, boxes, headline, kind = answer
    if not kind:  # two lines, or more than eight digits
        assert not (guesses or figure or boxes or headline) and words.endswith("line.") ^ (
            "eight" in words
        )
        return
    best, named = guesses[0][0], with_article(guesses[0][0])
    digit = with_article(str(figure["answer"][0]))
    heading, sentence, digits = f"Why {digit}?", words, best
    if kind == "sure":
        assert headline == best
        sentence = f"That is {named}."
    elif kind == "two":
        second = guesses[1][0]
        assert headline == f"{best} or {second}?"
        sentence = f"It could be {named} or {with_article(second)}."
        heading = f"Why {headline}" if len(best) == 1 else heading
    elif kind == "mark":
        assert (
            headline == best
            and "?" in best
            and words.startswith(f"I read {re.findall('[0-9]+', best)[0]}")
        )
    else:
        assert headline == "Not a digit?" and kind == "none"
        sentence, digits = f"{DOUBT_MESSAGE} My best guess is {named}.", ""
        heading = f"Why it looks like {digit}"
    assert (words, figure["heading"]) == (sentence, heading)
    assert len(guesses) == 3 and len(boxes) == sum(map(str.isdigit, digits))


def test_headline_sentence_boxes_and_heading_tell_one_answer(tmp_path):
    """Of 60 drawings; and what the API says of their pictures."""
    kinds = []
    file = str(tmp_path / "drawing.png")
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


def expect_nothing_serious(page) -> None:
    violations = Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert not [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]


SIZES = [(1366, 768, "map"), (1440, 900, "map"), (768, 1024, "heading"), (390, 844, "heading")]


@pytest.mark.parametrize("width, height, seen", SIZES)
def test_all_is_in_one_view_and_nothing_moves(visit, width, height, seen):
    """In the light and in the dark; screenshots are kept."""
    SHOTS.mkdir(exist_ok=True)
    page = visit(width, height)
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
        expect_nothing_serious(page)
    page.locator(".maps").nth(2).locator("canvas").nth(5).hover()
    large = page.locator(".large canvas").first.bounding_box()
    assert large["width"] >= 240 and page.locator(".large canvas").count() == 1 + 6
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
    for ink, dark in (("white", True), ("black", False)):
        image = Image.new("RGBA", (300, 300))
        line = [(x * 300, y * 300) for x, y in DIGITS["7"][0]]
        ImageDraw.Draw(image).line(line, fill=ink, width=24)
        image.save(tmp_path / f"{ink}.png")
        page.locator("#upload input[type=file]").set_input_files(tmp_path / f"{ink}.png")
        expect_answer(page, "7")
        expect(page.locator("#upload img.light-ink")).to_have_count(int(dark))
        page.locator("#upload .icon-button").last.click()  # its bin


def test_a_shared_link_shows_our_card(server):
    with httpx.Client(base_url=server.url) as http:
        page = http.get("/?d=AAAABBBB").text
        card = dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)">', page))
        assert card["og:title"] == "LeNet reads your digits" and "Gradio" not in str(card)
        assert card["og:url"] == f"{server.url}?d=AAAABBBB" and card["og:description"]
        assert card["twitter:card"] == "summary_large_image"
        picture = http.get(card["og:image"])
        assert picture.headers["content-type"] == "image/png" and picture.status_code == 200
