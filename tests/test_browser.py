"""A visitor at the page, in a real browser."""

import base64
import os
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import (
    DIGITS,
    TIMEOUT,
    Fingers,
    clear,
    draw,
    expect_answer,
    expect_no_answer,
    to_page,
    wait_for_the_pad,
)
from conftest import serve_page
from handwriting import along, load_digits, place
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT
from space_host import proxy_to

from page.requests import BRUSH_RADIUS, PAD_SIZE

EXAMPLES = ROOT / "examples" / "digits"
SHOTS = ROOT / "screenshots"  # CI keeps it


def other_peoples_digits() -> dict:
    """Return two of those that the benchmarks draw, if they are there; else our own."""
    folder = Path(os.environ.get("REAL_DIGITS_DIR", ""))
    if not (folder / "pendigits-strokes.json").is_file():
        return {digit: DIGITS[digit] for digit in "30"}
    return {
        str(label): place([along(stroke, 12) for stroke in strokes], 0.7, np.array([0.5, 0.5]))
        for strokes, label in zip(*load_digits(folder, 2), strict=True)
    }


def test_draw_clear_draw_clear_draw(page):
    """The first stroke after every clear draws; strokes are sent, not pictures."""
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    for digit, strokes in {"7": "7", "4": "4", **other_peoples_digits()}.items():
        draw(page, strokes)
        expect_answer(page, digit)
        expect(page.locator(".guesses li")).to_have_count(3)
        clear(page)
        expect_no_answer(page)
    assert not [url for url in sent if url.endswith("upload")]
    draw(page, "X")
    expect(page.locator(".words")).to_contain_text("may not be a digit", timeout=TIMEOUT)


def received(page) -> str:
    return page.locator(".received").evaluate("canvas => canvas.toDataURL()")


def test_it_shows_why(page):
    """The evidence for the answer and against a rival to choose, and eight layers."""
    draw(page, "7")
    expect_answer(page, "7")
    expect(page.locator(".layers figure")).to_have_count(8)
    expect(page.locator(".maps > canvas")).to_have_count(6 + 6 + 16 + 16)
    expect(page.locator(".bars .best")).to_have_text("7")
    for rival in ("0", "4"):
        page.locator(".rivals label", has_text=rival).click()
        expect(page.locator(".evidence figcaption").last).to_contain_text(f"7, not {rival}")
        expect(page.locator(".sum").last).to_contain_text(f"for {rival}")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".evidence figcaption").last).to_contain_text("7, not 5")
    for layer, pictures in ((0, 2), (1, 1)):  # a map that is pointed at, and its filter
        page.locator(".maps").nth(layer).locator("canvas").nth(2).hover()
        expect(page.locator(".large canvas")).to_have_count(pictures)
    # For screen readers, too.
    expect(page.get_by_label("Pad to draw on")).to_have_count(1)
    expect(page.locator(".words[aria-live=polite]")).to_have_text("That is a 7.")
    expect(page.locator("#source")).to_have_text(re.compile(r"\d\d\.\d\d% .*MNIST"))
    seven = received(page)
    clear(page)
    draw(page, "0")
    expect(page.locator("#why h2")).to_have_text("Why a 0?", timeout=TIMEOUT)
    assert received(page) != seven


def test_an_answer_that_comes_after_a_clear_is_not_shown(page):
    held, answers = [], "**/component_server/**"
    page.route(answers, lambda route: held.append(route), times=1)
    draw(page, "7")
    while not held:
        page.wait_for_timeout(20)
    clear(page)
    with page.expect_response(answers):
        held[0].continue_()
    page.evaluate("new Promise(requestAnimationFrame)")  # it would be shown by now
    expect_no_answer(page)
    draw(page, "4")
    expect_answer(page, "4")


def test_a_finger_draws_and_the_page_stays_where_it_is(visit):
    """In every language, whose names the pad's tools have; and the drawing outlives a reload."""
    page = visit(360, 740, has_touch=True, is_mobile=True, locale="de-DE")
    fingers = Fingers(page)
    for button in ("Undo", "Clear", None):
        fingers.touch(0, *to_page(page, DIGITS["7"])[0])
        fingers.lift(0)
        expect_answer(page, "7")
        if button:
            page.get_by_role("button", name=button, exact=True).click()
            expect_no_answer(page)
    assert page.evaluate("scrollY") == 0
    pad, answer = (page.locator(part).bounding_box() for part in ("#pad", ".guesses"))
    assert answer["y"] >= 0 and pad["y"] + pad["height"] <= 740, "both are seen while one draws"
    page.wait_for_load_state("networkidle")  # Gradio reports a stream that a reload cuts off
    page.reload()
    expect_answer(page, "7")


COPY = """async (image) => {
  const blob = await (await fetch("data:image/png;base64," + image)).blob();
  await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
}"""


def test_each_tab_has_its_own_answer(page):
    """A picture is pasted, chosen among the examples, or broken."""
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.get_by_role("tab", name="Draw").click()
    expect_answer(page, "7")
    page.evaluate(COPY, base64.b64encode((EXAMPLES / "4-hairline.png").read_bytes()).decode())
    page.keyboard.press("Control+v")
    expect_answer(page, "4")
    page.get_by_role("button", name="Example: 3-dark").click()
    expect_answer(page, "3")
    page.locator("#upload .icon-button").last.click()  # its bin
    expect_no_answer(page)
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("#upload input[type=file]").set_input_files(broken)
    expect(page.locator(".words")).to_contain_text("PNG, JPEG", timeout=TIMEOUT)


def test_by_keyboard_alone(page):
    draw(page, "7")
    expect_answer(page, "7")
    page.keyboard.press("Control+z")
    expect_no_answer(page)

    def tab_to(name):
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(({ariaLabel, textContent}) => [ariaLabel, textContent.trim()])"
                "(document.activeElement)"
            )
            if name in focused:
                return
        pytest.fail(f"{name} is not reached")

    page.evaluate("document.activeElement.blur()")
    for name in ("Picture", "Example: 8-plain"):
        tab_to(name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Example: 8-plain")).to_be_visible()
    expect_answer(page, "8")


TWO = [(0.02, 0.34), (0.1, 0.26), (0.22, 0.26), (0.28, 0.36), (0.2, 0.54), (0, 0.78), (0.32, 0.78)]
FOUR = [[(0.2, 0.2), (0.05, 0.6), (0.45, 0.6)], [(0.35, 0.35), (0.34, 0.9)]]
PLUS = [[(0.42, 0.5), (0.62, 0.5)], [(0.52, 0.4), (0.52, 0.6)]]


def moved(strokes, right: float) -> list:
    return [[(x + right, y) for x, y in stroke] for stroke in strokes]


def test_of_a_number_each_digit_is_framed_and_the_chosen_one_explained(page):
    draw(page, moved(DIGITS["3"], -0.3) + PLUS + moved(DIGITS["4"], 0.45))
    words = re.compile(r"I read 3 and 4\. The mark between them isn.t a digit\.")
    expect(page.locator(".words")).to_have_text(words, timeout=TIMEOUT)
    for width in (440, 1440):
        clear(page)
        expect_no_answer(page)
        expect(page.locator(".boxes")).to_have_count(0)
        page.set_viewport_size({"width": width, "height": 600})
        draw(page, FOUR + moved([TWO], 0.62))
        expect_answer(page, "42")
        expect(page.locator(".boxes i")).to_have_count(2)
    for digit in "42":
        page.locator(".digits label", has_text=digit).click()
        expect(page.locator("h2").first).to_have_text(f"Why a {digit}?", timeout=TIMEOUT)
    page.get_by_role("tab", name="Picture").click()
    page.get_by_role("button", name="Example: 14260-photograph").click()
    expect_answer(page, "14260")
    expect(page.locator(".boxes i")).to_have_count(5)


def width_of_stroke(page) -> float:
    """Measure the 7's upper bar, in the pad's side: it tells at what scale the paper is shown."""
    shot = Image.open(BytesIO(page.locator("#pad").screenshot())).convert("L")
    return (np.asarray(shot)[: shot.height // 3, shot.width // 2] < 128).sum() / shot.height


def test_it_fits_and_anyone_can_use_it(page):
    """Nothing is cut off at any width; axe-core finds nothing serious. Screenshots are kept."""
    SHOTS.mkdir(exist_ok=True)
    page.add_style_tag(content="* {transition: none !important}")  # colours change at once
    draw(page, "7")
    for tab, answer in (("Draw", "7"), ("Picture", "5")):
        page.get_by_role("tab", name=tab).click()
        if tab == "Picture":
            page.get_by_role("button", name="Example: 5-photograph").click()
        expect_answer(page, answer)
        for width, height, theme in (
            *((1440, 900, "light"), (768, 1024, "light")),
            *((360, 740, "light"), (360, 740, "dark")),
        ):
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.move(0, 0)
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=SHOTS / f"{tab.lower()}-{width}-{theme}.png", full_page=True)
            violations = Axe().run(page).response["violations"] if width == 360 else []
            serious = [v for v in violations if v["impact"] in ("serious", "critical")]
            assert not [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]
            if tab == "Draw" and theme == "light":
                bar = pytest.approx(2 * BRUSH_RADIUS / PAD_SIZE[1], abs=0.01)
                assert width_of_stroke(page) == bar
        page.evaluate("document.body.classList.remove('light', 'dark')")


def test_it_works_under_the_path_of_a_proxy(new_page, tmp_path):
    with (
        serve_page(tmp_path / "log", GRADIO_ROOT_PATH="/lenet") as server,
        proxy_to(server.url, prefix="/lenet") as port,
    ):
        page = new_page(f"http://127.0.0.1:{port}/lenet/")
        page.goto(f"http://127.0.0.1:{port}/lenet/")
        wait_for_the_pad(page)
        draw(page, "7")
        expect_answer(page, "7")
        expect(page.locator(".layers figure")).to_have_count(8)
        page.get_by_role("tab", name="Picture").click()
        page.get_by_role("button", name="Example: 3-dark").click()
        expect_answer(page, "3")
        page.close()
