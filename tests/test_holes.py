"""Attacks beneath the gate: each found a hole in a page like this one, and finds none here."""

import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import serve_page
from serving import ROOT, children
from space_host import SPACE

SEVEN = (ROOT / "examples" / "digits" / "7-crossed.png").read_bytes()
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".decode()
MCP = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The page as a Space has it, with `spaces` installed: its server, and its log."""
    log = tmp_path_factory.mktemp("space") / "log"
    variables = SPACE | {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_MCP_SERVER": "True"}
    with serve_page(log, **variables, HF_HUB_OFFLINE="1") as server:
        yield server, log


@pytest.fixture(scope="module")
def url(space) -> str:
    return space[0].url


def by(address: str) -> dict[str, str]:
    """Return the header by which a Space's proxy names a caller."""
    return {"X-Forwarded-For": address}


def status(url: str, address: str, seconds: float = 10) -> int:
    return httpx.get(f"{url}config", headers=by(address), timeout=seconds).status_code


@contextmanager
def unfinished(url: str, *addresses: str, method: str = "POST", path: str = "queue/join"):
    """Hold a request open for each address: a body of which half has come, or a stream."""
    length = "Content-Length: 60000\r\n" if method == "POST" else ""
    with ExitStack() as stack:
        for address in addresses:
            place = (httpx.URL(url).host, httpx.URL(url).port)
            connection = stack.enter_context(socket.create_connection(place))
            head = f"{method} /gradio_api/{path} HTTP/1.1\r\nHost: localhost\r\n{length}"
            head += f"X-Forwarded-For: {address}\r\nAccept: {MCP['Accept']}\r\n\r\n"
            connection.sendall(head.encode() + (b'{"data":' if length else b""))
        time.sleep(0.5)
        yield connection


# A Space opens no second port


def sockets_listening(process_id: int) -> list[str]:
    """Return the addresses that a process and those that it has started listen on."""
    own = set()
    for one in (process_id, *children(process_id)):
        links = [link.readlink() for link in Path(f"/proc/{one}/fd").iterdir() if link.is_symlink()]
        own |= {str(link)[8:-1] for link in links if str(link).startswith("socket:[")}
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in own]


def test_a_space_listens_on_one_socket(space):
    server, _ = space
    # A second server would begin by this import, in a thread of the page.
    subprocess.run([sys.executable, "-c", "import gradio, spaces.reloading.server"], check=True)
    time.sleep(1)
    assert [place.partition(":")[2] for place in sockets_listening(server.process.pid)] == [
        f"{httpx.URL(server.url).port:04X}"
    ]


# Nobody locks an address out


def test_half_sent_bodies_lock_nobody_out(url):
    with unfinished(url, *["8.8.8.8"] * 20) as connection:
        assert status(url, "8.8.8.8", seconds=1) == 200
        connection.settimeout(12)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_streams_of_programs_lock_nobody_out(url):
    with unfinished(url, *["8.8.4.4"] * 20, method="GET", path="mcp/"):
        assert status(url, "8.8.4.4", seconds=1) == 200


# No caller's text reaches the log


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "method": "tools/call", "params": {"name": "a\nFORGED", "arguments": {}}},
        {"method": "notifications/x", "params": {"a": "FORGED" * 10_000}},
        {"id": 1.5, "method": "a\nFORGED"},
    ],
    ids=["a tool's name", "a long notification", "a broken id"],
)
def test_no_program_writes_in_the_log(space, url, message):
    before = len(space[1].read_bytes())
    httpx.post(f"{url}gradio_api/mcp/", json={"jsonrpc": "2.0", **message}, headers=MCP)
    time.sleep(0.3)
    written = space[1].read_bytes()[before:]
    assert b"FORGED" not in written and len(written) < 1000


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_no_picture_writes_in_the_log(space, url):
    before = len(space[1].read_bytes())
    gamma = chunk(b"gAMA", struct.pack(">I", 45455)) * 40_000
    place = 8 + 25  # after the head
    files = {"files": ("7.png", SEVEN[:place] + gamma + SEVEN[place:])}
    path = httpx.post(f"{url}gradio_api/upload", files=files).json()[0]
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    call = httpx.post(f"{url}gradio_api/call/upload", json=data).json()["event_id"]
    reply = httpx.get(f"{url}gradio_api/call/upload/{call}", timeout=20).text
    assert "event: complete" in reply
    assert len(space[1].read_bytes()) - before < 1000


# No other website asks


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
    ],
)
@pytest.mark.parametrize("route", ["upload", "call/read", "component_server", "queue/join"])
def test_another_website_is_refused(page_url, headers, route):
    body = {"files": {"files": ("7.png", SEVEN)}} if route == "upload" else {"json": {"data": []}}
    reply = httpx.post(f"{page_url}gradio_api/{route}", headers=headers, **body)
    assert reply.status_code == 403 and "website" in reply.json()["detail"]


def test_the_page_itself_is_not(page_url):
    files = {"files": ("7.png", SEVEN)}
    own = page_url.rstrip("/")
    for headers in ({}, {"Origin": own}, {"Sec-Fetch-Site": "same-origin", "Origin": own}):
        assert httpx.post(f"{page_url}gradio_api/upload", files=files, headers=headers).is_success


# Callers are told apart by what their proxy says, not by what they say


@pytest.mark.parametrize(
    "many, also, other",
    [
        (["::ffff:8.8.8.8"], ["8.8.8.8", "::ffff:8.8.8.8, ::ffff:10.0.0.5"], "::ffff:9.9.9.9"),
        ([f"10.9.9.{n}, 10.0.0.5" for n in range(9)], ["10.1.1.1, 10.0.0.6"], "9.9.9.9"),
        ([f"1.2.3.{n}, 8.8.4.4, 10.0.0.5" for n in range(9)], ["8.8.4.4"], "1.2.3.0"),
    ],
    ids=["IPv4 in IPv6", "only private addresses", "with addresses of their own choice"],
)
def test_an_address_is_counted_as_one(url, many, also, other):
    with unfinished(url, *[many[n % len(many)] for n in range(256)]):
        assert [status(url, address) for address in (*many, *also)] == [429] * len(many + also)
        assert status(url, other) == 200


# A link does not freeze the tab


def place(n: int) -> str:
    return LETTERS[n + 64 >> 6] + LETTERS[n + 64 & 63]


def to_and_fro(letters: int) -> str:
    """Return a link's drawing: one stroke, to and fro."""
    steps = [(k % 8 == 0, 31 if k % 2 else -31) for k in range((letters - 4) // 2)]
    return place(20) + place(100) + "".join(LETTERS[x + 32] + LETTERS[y + 32] for x, y in steps)


LONG_TASKS = """window.long = [];
new PerformanceObserver(list => long.push(...list.getEntries().map(entry => entry.duration)))
  .observe({entryTypes: ["longtask"]})"""


def test_a_link_does_not_freeze_the_tab(new_page, page_url):
    """While its one stroke is drawn, the page asks again and again what it is."""
    page = new_page(page_url, 440, 900)
    asked = []
    page.on("request", lambda request: "component_server" in request.url and asked.append(request))
    page.goto(f"{page_url}?d={to_and_fro(4000)}")
    page.wait_for_function("document.querySelector('.guesses b')")
    page.evaluate(LONG_TASKS)
    before = len(asked)
    deadline = time.monotonic() + 30
    while len(asked) - before < 3:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    waits = max(1, os.getloadavg()[0] / os.cpu_count())  # of each task, for a processor
    assert max(page.evaluate("long"), default=0) < 500 * waits


LINK = (ROOT / "page" / "link.js").read_text()


@pytest.mark.parametrize("strokes, points", [(1, 4000), (40, 100), (150, 2)])
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
