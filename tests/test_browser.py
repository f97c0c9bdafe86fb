"""A visitor at the page, in a real browser."""

import base64
import os
import re
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import draw_stroke, to_page
from conftest import serve_page
from handwriting import for_the_mouse, load_digits, place
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT
from visitor import (
    DIGITS,
    TIMEOUT,
    clear,
    draw,
    draw_strokes,
    expect_answer,
    expect_no_answer,
    touch_stroke,
    wait_for_the_pad,
)

from page.answer import BRUSH_RADIUS, PAD_SIZE

EXAMPLES = ROOT / "examples" / "digits"
SHOTS = ROOT / "screenshots"  # CI keeps it; examples/page.png is draw-1440-light.png


def test_draw_clear_draw_clear_draw(page):
    """The first stroke after every clear draws; strokes are sent, not pictures."""
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    for digit in ("7", "4", "7"):
        draw(page, digit)
        expect_answer(page, digit)
        expect(page.locator(".guesses li")).to_have_count(3)
        clear(page)
        expect_no_answer(page)
    assert not [url for url in sent if url.endswith("upload")]


def other_peoples_digits() -> dict:
    """Return two of those that the benchmarks draw, if they are there; else our own."""
    folder = Path(os.environ.get("REAL_DIGITS_DIR", ""))
    if not (folder / "pendigits-strokes.json").is_file():
        return {digit: DIGITS[digit] for digit in "30"}
    digits, labels = load_digits(folder, 2)
    middle = np.array([0.5, 0.5])
    return {
        str(label): place(for_the_mouse(strokes), side=0.7, center=middle)
        for strokes, label in zip(digits, labels, strict=True)
    }


def test_other_peoples_digits(page):
    for digit, strokes in other_peoples_digits().items():
        draw_strokes(page, strokes)
        expect_answer(page, digit)
        clear(page)
        expect_no_answer(page)


def test_the_tools_work_in_every_language(visit):
    """The pad's own tools, which pen.js clicks, are named in the visitor's."""
    page = visit(locale="de-DE")
    for button in ("Undo", "Clear", "Undo"):
        draw(page, "7")
        expect_answer(page, "7")
        page.get_by_role("button", name=button, exact=True).click()
        expect_no_answer(page)


def test_what_is_no_number_gets_words_instead_of_a_guess(page):
    draw(page, "X")
    expect(page.locator(".words")).to_contain_text("may not be a digit", timeout=TIMEOUT)


def received(page) -> str:
    return page.locator(".received").evaluate("canvas => canvas.toDataURL()")


def test_it_shows_why(page):
    """The evidence for three guesses, a comparison to choose, eight layers; they follow the pen."""
    draw(page, "7")
    expect_answer(page, "7")
    expect(page.locator(".evidence > figure")).to_have_count(3)
    expect(page.locator(".layers figure")).to_have_count(8)
    expect(page.locator(".maps > canvas")).to_have_count(6 + 6 + 16 + 16)
    expect(page.locator(".bars .best")).to_have_text("7")
    for rival in ("0", "4"):
        page.locator(".evidence label", has_text=rival).click()
        shown = page.locator(".evidence fieldset figure:visible")
        expect(shown).to_have_count(1)
        expect(shown).to_contain_text(f"7 leads {rival} by")
    for layer, pictures in ((0, 2), (1, 1)):  # a map that is pointed at, and its filter
        page.locator(".maps").nth(layer).locator("canvas").nth(2).hover()
        expect(page.locator(".large canvas")).to_have_count(pictures)
    # For screen readers, too.
    expect(page.get_by_label("Pad to draw on")).to_have_count(1)
    expect(page.locator(".words[aria-live=polite]")).to_have_text("That is a 7.")
    seven = received(page)
    clear(page)
    draw(page, "0")
    expect_answer(page, "0")
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
    """And a reload starts afresh."""
    page = visit(360, 740, has_touch=True, is_mobile=True)
    for points in to_page(page, DIGITS["7"]):
        touch_stroke(page, points)
    expect_answer(page, "7")
    assert page.evaluate("scrollY") == 0
    pad, answer = (page.locator(part).bounding_box() for part in ("#pad", ".guesses"))
    assert answer["y"] >= 0 and pad["y"] + pad["height"] <= 740, "both are seen while one draws"
    page.wait_for_load_state("networkidle")  # Gradio reports a stream that a reload cuts off
    page.reload()
    expect_no_answer(page)


COPY = """async (image) => {
  const blob = await (await fetch("data:image/png;base64," + image)).blob();
  await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
}"""


def test_each_tab_has_its_own_answer(page, tmp_path):
    """A picture is pasted, chosen among the examples, or broken."""
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.get_by_role("tab", name="Draw").click()
    expect_answer(page, "7")
    image = base64.b64encode((EXAMPLES / "4-hairline.png").read_bytes()).decode()
    page.evaluate(COPY, image)
    page.keyboard.press("Control+v")
    expect_answer(page, "4")
    page.get_by_role("button", name="Example: 3-dark").click()
    expect_answer(page, "3")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.locator("#upload .icon-button").last.click()  # its bin
    expect_no_answer(page)
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
            if page.evaluate("document.activeElement.ariaLabel ?? ''") == name:
                return
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                return
        pytest.fail(f"{name} is not reached")

    page.evaluate("document.activeElement.blur()")
    tab_to("Picture")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Example: 8-plain")).to_be_visible()
    tab_to("Example: 8-plain")
    page.keyboard.press("Enter")
    expect_answer(page, "8")


def width_of_stroke(page) -> float:
    """Measure the 7's upper bar, in the pad's side: it tells at what scale the paper is shown."""
    shot = Image.open(BytesIO(page.locator("#pad").screenshot())).convert("L")
    middle = np.asarray(shot)[: shot.height // 3, shot.width // 2]
    return (middle < 128).sum() / shot.height


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
        for width, height in ((360, 740), (768, 1024), (1440, 900)):
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.move(0, 0)
            for theme in ("light", "dark"):
                page.evaluate(
                    "dark => document.body.classList.toggle('dark', dark)", theme == "dark"
                )
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                page.screenshot(path=SHOTS / f"{tab.lower()}-{width}-{theme}.png", full_page=True)
                violations = Axe().run(page).response["violations"] if width == 360 else []
                serious = [v for v in violations if v["impact"] in ("serious", "critical")]
                found = [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]
                assert not found, found
            page.evaluate("document.body.classList.remove('light', 'dark')")
            if tab == "Draw":
                bar = pytest.approx(2 * BRUSH_RADIUS / PAD_SIZE[1], abs=0.01)
                assert width_of_stroke(page) == bar


def test_it_says_which_weights_answer(page):
    expect(page.locator("#source")).to_have_text(re.compile(r"\d\d\.\d\d% .*MNIST"))


class Proxy(BaseHTTPRequestHandler):
    """A site with our page under /lenet, which it takes from the address, and in a frame at /."""

    def do_GET(self):
        if self.path == "/":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                b"<link rel=icon href=data:,><iframe src=lenet/ width=1180 height=880></iframe>"
            )
        elif self.path.startswith("/lenet/"):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = HTTPConnection(self.server.page)
            page.request(self.command, self.path.removeprefix("/lenet"), body, self.headers)
            answer = page.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() != "transfer-encoding":
                    self.send_header(name, value)
            self.end_headers()
            with suppress(HTTPException, OSError):  # the visitor, or the page, is gone
                while part := answer.read1():
                    self.wfile.write(part)
        else:
            self.send_error(404)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def test_it_works_under_the_path_of_a_proxy_and_in_a_frame(new_page, tmp_path):
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy,
        serve_page(tmp_path / "log", GRADIO_ROOT_PATH="/lenet") as server,
    ):
        proxy.page = urlsplit(server.url).netloc
        proxy.daemon_threads = True
        Thread(target=proxy.serve_forever, daemon=True).start()
        site = f"http://127.0.0.1:{proxy.server_port}/"
        page = new_page(site)
        page.goto(site)
        frame = page.frames[1]
        wait_for_the_pad(frame)
        for points in to_page(frame, DIGITS["7"]):
            draw_stroke(page, points)
        expect_answer(frame, "7")
        expect(frame.locator(".layers figure")).to_have_count(8)
        frame.get_by_role("tab", name="Picture").click()
        frame.get_by_role("button", name="Example: 3-dark").click()
        expect_answer(frame, "3")
        page.close()
        proxy.shutdown()
