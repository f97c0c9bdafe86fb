"""A visitor at the page, in a real browser."""

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
from browser import TEN_FRAMES_A_SECOND, draw_stroke, to_page
from conftest import serve_page
from handwriting import for_the_mouse, load_digits, place
from PIL import Image
from playwright.sync_api import expect
from serving import ROOT

from app import BRUSH_RADIUS, CANVAS

# Pen paths in the unit square, x to the right, y down.
DIGITS = {
    "3": [[(0.3, 0.25), (0.45, 0.15), (0.65, 0.2), (0.7, 0.33), (0.6, 0.45), (0.45, 0.5)]
          + [(0.62, 0.53), (0.72, 0.65), (0.65, 0.82), (0.48, 0.87), (0.28, 0.78)]],
    "7": [[(0.25, 0.2), (0.75, 0.2), (0.6, 0.45), (0.5, 0.65), (0.42, 0.85)]],
    "0": [[(0.5, 0.15), (0.33, 0.25), (0.27, 0.5), (0.33, 0.75), (0.5, 0.85), (0.67, 0.75)]
          + [(0.73, 0.5), (0.67, 0.25), (0.5, 0.15)]],
    "4": [[(0.38, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.62, 0.3), (0.6, 0.85)]],
    "star": [[(0.5, 0.1), (0.25, 0.9), (0.9, 0.4), (0.1, 0.4), (0.75, 0.9), (0.5, 0.1)]],
    "X": [[(0.2, 0.15), (0.8, 0.85)], [(0.8, 0.15), (0.2, 0.85)]],
    "11": [[(0.2, 0.2), (0.2, 0.8)], [(0.8, 0.2), (0.8, 0.8)]],
}  # fmt: skip


TIMEOUT = 20_000  # milliseconds for an answer: other tests use the machine, too
SHOTS = ROOT / "screenshots"  # CI keeps it; examples/page.png is draw-1440-light.png


@pytest.fixture
def new_page(browser):
    """Return a function that makes an empty page; at the end, nothing has gone wrong on any."""
    contexts, wrong = [], []

    def new_page(site, width=1200, height=900, **context):
        def on_console(message):
            if message.type == "error":
                wrong.append(f"{message.text} {message.location['url']}")

        def on_request(request):
            if not request.url.startswith((site, "data:", "blob:")):
                wrong.append(f"asked of another host: {request.url}")

        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, **context))
        contexts[-1].add_init_script(TEN_FRAMES_A_SECOND)
        page = contexts[-1].new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", on_request)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def visit(new_page, page_url):
    """Return a function that opens the page."""

    def visit(width=1200, height=900, query="", **context):
        page = new_page(page_url, width, height, **context)
        page.goto(page_url + query)
        wait_for_the_pad(page)
        return page

    return visit


def wait_for_the_pad(page) -> None:
    # The pad is armed when its notice that a tool is to be chosen has gone.
    page.locator("#pad .toolbar-wrap").wait_for(state="attached", timeout=30_000)
    expect(page.locator("#pad .empty")).to_have_count(0)
    # And its paper lies still: Gradio fits it into the frame a few times.
    page.evaluate("""async () => {
      const place = () => JSON.stringify([...document.querySelectorAll("#pad canvas, #pad")]
        .map(e => e.getBoundingClientRect()));
      for (let still = 0, before; still < 5; before = place()) {
        await new Promise(done => setTimeout(done, 60));
        still = place() === before ? still + 1 : 0;
      }
    }""")


@pytest.fixture
def page(visit):
    return visit()


def draw(page, digit: str) -> None:
    draw_strokes(page, DIGITS[digit])


def draw_strokes(page, strokes) -> None:
    """Draw with the mouse on the pad, once it takes it: soon after it was cleared."""
    expect(page.locator("#pad .empty")).to_have_count(0)
    for points in to_page(page, strokes):
        draw_stroke(page, points)


def draw_with_a_finger(page, digit: str) -> None:
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x, "y": y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for points in to_page(page, DIGITS[digit]):
        touch("touchStart", points[0])
        for point in points[1:]:
            touch("touchMove", point)
        touch("touchEnd")


def expect_answer(page, digit: str) -> None:
    expect(page.get_by_test_id("label-output-value")).to_have_text(digit, timeout=TIMEOUT)


def expect_no_answer(page) -> None:
    expect(page.get_by_test_id("label-output-value")).to_have_count(0, timeout=TIMEOUT)
    expect(page.locator("#words")).to_contain_text(re.compile("draw", re.IGNORECASE))
    expect(page.locator("#why img")).to_have_count(0)


def test_draw_clear_draw_clear_draw(page):
    """The first stroke on a fresh page draws, and so does the first after every clear."""
    sent = []
    page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
    expect_no_answer(page)
    for digit in ("7", "4", "7"):
        draw(page, digit)
        expect_answer(page, digit)
        guesses = page.locator("#answer").get_by_test_id(re.compile("-confidence-set$"))
        expect(guesses).to_have_count(3)
        page.get_by_role("button", name="Clear", exact=True).click()
        expect_no_answer(page)
    # Gradio by itself sends a drawing many times, each as three files.
    assert sent.count("upload") <= 3 * 4, "for four strokes"


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
        page.get_by_role("button", name="Clear", exact=True).click()
        expect_no_answer(page)


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_undoing_every_stroke_empties_the_answer(visit, locale):
    """In every language: the pad's own tools, which pen.js clicks, are named in the visitor's."""
    page = visit(locale=locale)
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("button", name="Undo").click()
    expect_no_answer(page)
    draw(page, "3")
    expect_answer(page, "3")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect_no_answer(page)
    draw(page, "7")
    expect_answer(page, "7")


def test_what_is_no_digit_gets_words_instead_of_a_guess(page):
    draw(page, "11")
    expect(page.locator("#words")).to_contain_text("One at a time", timeout=TIMEOUT)
    expect(page.locator("#why img")).to_have_count(0)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect_no_answer(page)
    draw(page, "X")
    expect(page.locator("#words")).to_contain_text("not sure", timeout=TIMEOUT)


def received(page) -> str:
    return page.get_by_alt_text("What the network received").get_attribute("src")


def test_it_shows_why(page):
    """The network's picture, its six layers and ten outputs follow the drawing."""
    draw(page, "7")
    expect_answer(page, "7")
    pictures = page.locator("#why img")
    expect(pictures).to_have_count(7)
    sizes = pictures.evaluate_all("images => images.map(i => [i.naturalWidth, i.naturalHeight])")
    assert sizes[0] == [28, 28] and all(width > 0 for width, _ in sizes)
    expect(page.locator("#why .bars li")).to_have_count(10)
    expect(page.locator("#why .best")).to_have_text("7")
    seven = received(page)
    expect(page.locator("#words")).to_contain_text("That is a 7.")
    draw(page, "0")
    expect(page.get_by_alt_text("What the network received")).not_to_have_attribute(
        "src", seven, timeout=TIMEOUT
    )


def test_fast_scribbling_ends_with_the_answer_to_what_is_there(page):
    draw(page, "11")
    draw(page, "X")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator("#pad .empty")).to_have_count(0)
    draw(page, "4")
    expect_answer(page, "4")
    page.wait_for_timeout(2000)  # both strokes are answered
    last = received(page)
    page.wait_for_timeout(1500)  # for a late answer to come, if there were one
    assert received(page) == last
    expect_answer(page, "4")


def test_clearing_overtakes_the_answers_that_are_still_to_come(page):
    for _ in range(2):
        draw(page, "4")
        expect_answer(page, "4")  # it may be that to the first stroke; the second's follows
        page.get_by_role("button", name="Clear", exact=True).click()
        expect_no_answer(page)
        page.wait_for_timeout(2500)
        expect_no_answer(page)


def test_a_finger_draws_and_the_page_stays_where_it_is(visit):
    page = visit(360, 740, has_touch=True, is_mobile=True)
    draw_with_a_finger(page, "7")
    expect_answer(page, "7")
    assert page.evaluate("scrollY") == 0
    answer = page.get_by_test_id("label-output-value").bounding_box()
    assert answer["y"] + answer["height"] <= 740, "the answer is below the fold"


def test_each_tab_has_its_own_answer(page, tmp_path):
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    page.get_by_role("button", name="Example: 3-dark").click()
    expect_answer(page, "3")
    page.get_by_role("tab", name="Draw").click()
    expect_answer(page, "7")
    page.get_by_role("tab", name="Picture").click()
    expect_answer(page, "3")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.locator("#upload .icon-button").last.click()  # its bin
    expect_no_answer(page)
    page.locator("#upload input[type=file]").set_input_files(broken)
    expect(page.locator("#words")).to_contain_text("damaged", timeout=TIMEOUT)


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


def test_a_screen_reader_has_what_it_needs(page):
    expect(page.get_by_label("Pad to draw on")).to_have_count(1)
    live = page.locator("#words [aria-live=polite]")
    expect(live).to_contain_text("Draw")
    draw(page, "7")
    expect(live).to_have_text("That is a 7.", timeout=TIMEOUT)


def width_of_stroke(page) -> float:
    """Measure the 7's upper bar, in the pad's side: it tells at what scale the paper is shown."""
    shot = Image.open(BytesIO(page.locator("#pad").screenshot())).convert("L")
    middle = np.asarray(shot)[: shot.height // 3, shot.width // 2]
    return (middle < 128).sum() / shot.height


@pytest.mark.parametrize("width, height", [(360, 740), (768, 1024), (1440, 900)])
def test_it_fits_and_anyone_can_use_it(visit, width, height):
    """Nothing is cut off; axe-core finds nothing serious. Screenshots are kept."""
    page = visit(width, height, "?__theme=light")
    SHOTS.mkdir(exist_ok=True)
    page.add_style_tag(content="* {transition: none !important}")  # colours change at once
    for tab, answer in (("Draw", "7"), ("Picture", "5")):
        if tab == "Draw":
            draw(page, "7")
            assert width_of_stroke(page) == pytest.approx(2 * BRUSH_RADIUS / CANVAS, abs=0.01)
        else:
            page.get_by_role("tab", name=tab).click()
            page.get_by_role("button", name="Example: 5-photograph").click()
        expect_answer(page, answer)
        page.mouse.move(0, 0)
        for theme in ("light", "dark"):
            page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=SHOTS / f"{tab.lower()}-{width}-{theme}.png", full_page=True)
            violations = Axe().run(page).response["violations"]
            serious = [v for v in violations if v["impact"] in ("serious", "critical")]
            found = [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]
            assert not found, found


def test_a_reload_starts_afresh(page):
    draw(page, "7")
    expect_answer(page, "7")
    # Gradio reports a stream that a reload cuts off: of an answer, which is shown before it ends.
    expect(page.locator("#source")).to_contain_text("MNIST", timeout=TIMEOUT)
    page.wait_for_timeout(1000)
    page.reload()
    wait_for_the_pad(page)
    expect_no_answer(page)
    draw(page, "3")
    expect_answer(page, "3")


def test_says_which_weights_answer(page):
    expect(page.locator("#source")).to_contain_text(re.compile(r"weights.* \d\d\.\d\d% of MNIST"))


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
        expect(frame.locator("#why img")).to_have_count(7)
        frame.get_by_role("tab", name="Picture").click()
        frame.get_by_role("button", name="Example: 3-dark").click()
        expect_answer(frame, "3")
        page.close()
        proxy.shutdown()
