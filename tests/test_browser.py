"""A visitor at the page, in a real browser."""

import base64
import re

import pytest
from attacks import encode
from browser import TIMEOUT, clear, draw, expect_answer, expect_no_answer
from client import EXAMPLES
from conftest import opened, serve_page
from PIL import Image, ImageOps
from playwright.sync_api import expect
from space_host import proxy_to


def test_draw_clear_draw_clear_draw(page):
    """The first stroke after every clear draws; strokes are sent, not pictures."""
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    for digit in "7430":
        draw(page, digit)
        expect_answer(page, digit)
        expect(page.locator(".guesses li")).to_have_count(3)
        clear(page)
        expect_no_answer(page)
    assert not [url for url in sent if url.endswith("upload")]
    draw(page, "X")
    expect(page.locator(".words")).to_contain_text("may not be a digit", timeout=TIMEOUT)


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
    seven = page.locator(".received").evaluate("canvas => canvas.toDataURL()")
    clear(page)
    draw(page, "0")
    expect(page.locator("#why h2")).to_have_text("Why a 0?", timeout=TIMEOUT)
    assert page.locator(".received").evaluate("canvas => canvas.toDataURL()") != seven


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


COPY = """async (image) => {
  const blob = await (await fetch("data:image/png;base64," + image)).blob();
  await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
}"""


def test_each_tab_has_its_own_answer(page):
    """A picture is pasted, chosen among the examples, uploaded, or broken."""
    draw(page, "7")
    expect_answer(page, "7")
    page.get_by_role("tab", name="Picture").click()
    expect_no_answer(page)
    expect(page.locator(".words")).to_have_text("Drop, paste or take a picture of a number.")
    page.get_by_role("tab", name="Draw").click()
    expect_answer(page, "7")
    page.evaluate(COPY, base64.b64encode((EXAMPLES / "4-hairline.png").read_bytes()).decode())
    page.keyboard.press("Control+v")
    expect_answer(page, "4")
    page.get_by_role("button", name="Example: 14260-photograph").click()
    expect_answer(page, "14260")
    expect(page.locator(".boxes i")).to_have_count(5)
    expect(page.locator("#upload img.light-ink")).to_have_count(0)
    page.locator("#upload .icon-button").last.click()  # its bin
    expect_no_answer(page)
    white = Image.open(EXAMPLES / "7-crossed.png").convert("L")
    white = Image.merge("LA", (Image.new("L", white.size, 255), ImageOps.invert(white)))
    file = page.locator("#upload input[type=file]")
    file.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": encode("PNG", white)})
    expect_answer(page, "7")
    expect(page.locator("#upload img.light-ink")).to_have_count(1)  # which is shown on dark
    page.locator("#upload .icon-button").last.click()
    file.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    expect(page.locator(".words")).to_contain_text("PNG, JPEG", timeout=TIMEOUT)


def test_by_keyboard_alone(page):
    draw(page, "7")
    expect_answer(page, "7")
    page.keyboard.press("Control+z")
    expect_no_answer(page)

    def tab_to(name):
        for _ in range(60):
            page.keyboard.press("Tab")
            script = "(at => [at.ariaLabel, at.textContent.trim()])(document.activeElement)"
            if name in page.evaluate(script):
                return
        pytest.fail(f"{name} is not reached")

    page.evaluate("document.activeElement.blur()")
    for name in ("Picture", "Example: 8-plain"):
        tab_to(name)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Example: 8-plain")).to_be_visible()
    expect_answer(page, "8")


def test_it_works_under_the_path_of_a_proxy(new_page, tmp_path):
    with (
        serve_page(tmp_path / "log", GRADIO_ROOT_PATH="/lenet") as server,
        proxy_to(server.url, prefix="/lenet") as port,
    ):
        url = f"http://127.0.0.1:{port}/lenet/"
        page = opened(new_page(url), url)
        draw(page, "7")
        expect_answer(page, "7")
        expect(page.locator(".layers figure")).to_have_count(8)
        page.get_by_role("tab", name="Picture").click()
        page.get_by_role("button", name="Example: 3-dark").click()
        expect_answer(page, "3")
        page.close()
