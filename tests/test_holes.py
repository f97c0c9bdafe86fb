"""Attacks beneath the gate: each found a hole in a page like this one, and finds none here."""

import socket
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import serve_page
from serving import ROOT, children
from space_host import SPACE

MCP = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The page as a Space has it, with `spaces` installed: its server, and its log."""
    log = tmp_path_factory.mktemp("space") / "log"
    variables = SPACE | {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_MCP_SERVER": "True"}
    with serve_page(log, **variables, HF_HUB_OFFLINE="1") as server:
        yield server, log


def test_no_program_writes_in_the_log(space):
    (url, _), log = space
    before = len(log.read_bytes())
    for message in (
        {"id": 1, "method": "tools/call", "params": {"name": "a\nFORGED", "arguments": {}}},
        {"method": "notifications/x", "params": {"a": "FORGED" * 10_000}},
        {"id": 1.5, "method": "a\nFORGED"},
    ):
        httpx.post(f"{url}gradio_api/mcp/", json={"jsonrpc": "2.0", **message}, headers=MCP)
    httpx.get(f"{url}gradio_api/call/read/nobody")  # which is logged, after those
    written = log.read_bytes()[before:]
    assert b"Refused" in written and b"FORGED" not in written and len(written) < 2000


def test_callers_are_told_apart_by_what_their_proxy_says(space):
    """Not by what they say: each of 256 requests claims another address before its own."""
    url = httpx.URL(space[0].url)
    head = "POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n"

    def status(hops: str) -> int:
        return httpx.get(f"{url}config", headers={"X-Forwarded-For": hops}).status_code

    with ExitStack() as stack:
        for n in range(256):
            connection = stack.enter_context(socket.create_connection((url.host, url.port)))
            hops = f"X-Forwarded-For: 1.2.3.{n}, 8.8.4.4, 10.0.0.5"
            connection.sendall(f"{head}{hops}\r\n\r\n{{".encode())
        ends = time.monotonic() + 30
        while (seen := [status(hops) for hops in ("8.8.4.4", "9.9.9.9", "1.2.3.0")])[0] != 429:
            assert time.monotonic() < ends
        assert seen == [429, 200, 200]


def test_a_space_listens_on_one_socket(space):
    """Gradio would serve anyone's code at a second one, by a module that is there."""
    server, _ = space
    assert (Path(find_spec("spaces").origin).parent / "reloading" / "server.py").exists()
    own = set()
    for process in (server.process.pid, *children(server.process.pid)):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                own.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    ports = [row[1].partition(":")[2] for row in rows if row[3] == "0A" and row[9] in own]
    assert ports == [f"{httpx.URL(server.url).port:04X}"]


LINK = (ROOT / "page" / "link.js").read_text()
COUNT = """
let moves = 0;
window.all = window.most = 0;
const frame = () => { moves = 0; requestAnimationFrame(frame); };
frame();
addEventListener("pointermove", () => { all++; most = Math.max(most, ++moves); }, true);
"""


def test_a_link_does_not_freeze_the_tab(new_page, page_url):
    """Between two frames the pad gets a piece of its one long stroke."""
    code = "".join(("g" if k % 8 else "h") + ("_" if k % 2 else "B") for k in range(200))
    page = new_page(page_url, 440, 900)
    page.add_init_script(COUNT)
    page.goto(f"{page_url}?d=BUCk{code}")
    page.wait_for_function("all >= 75", timeout=60_000)
    assert page.evaluate("most") <= 30


@pytest.mark.parametrize("strokes, points", [(1, 4000), (150, 2)])
def test_every_link_that_is_made_opens(browser, strokes, points):
    """What is drawn comes back, as finely as the longest address that the page serves allows."""
    walk = np.random.default_rng(0).normal(0, 30, (strokes, points, 2)).cumsum(1)
    drawn = (np.abs(walk + (320, 240)) % (640, 480)).round().astype(int).reshape(strokes, -1)
    page = browser.new_page()
    page.evaluate(f"window.link = (() => {{{LINK}; return {{encode, decode}}}})()")
    code = page.evaluate("drawn => link.encode(drawn)", drawn.tolist())
    again = page.evaluate("code => link.decode(code, 640, 480)", code)
    page.close()
    assert len(code) <= 4000 and len(again) == strokes
    for old, new in zip(drawn, again, strict=True):
        assert np.abs(old[:2] - new[:2]).max() <= 1 and np.abs(old[-2:] - new[-2:]).max() <= 1
