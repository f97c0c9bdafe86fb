"""The page as a Space on ZeroGPU: in the Hub's frame, for programs, by MCP, and attacked."""

import asyncio
import base64
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from browser import TIMEOUT, draw, expect_answer, launch_browser, wait_for_the_pad
from client import EXAMPLES, FILE
from conftest import HUB, watched_pages
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import expect
from serving import ROOT, children, serve
from space_host import HUB_HOST, SPACE, SPACE_HOST, proxy_to

# Gradio would start a Node server before the page, but for `ssr_mode`; this one nobody could start.
IN_SPACE = SPACE | {"HF_ENDPOINT": HUB.url, "GRADIO_NODE_PATH": shutil.which("false") or ""}
IN_SPACE |= {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": HUB.url}
IMPORTED = (sys.executable, "-c", "import app; app.demo.launch()")


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A Space's port, server and log, with its owner's weights."""
    folder, started = tmp_path_factory.mktemp("space"), []
    log = folder / "log"
    HUB.add("me/lenet-mnist", {f.name: f.read_bytes() for f in (ROOT / "weights").iterdir()})

    def note_start(request) -> bool:
        if is_start := request.path == "/startup-report":  # which is ZeroGPU's
            started.append(request.send(200))
        return is_start

    HUB.fault = note_start
    with (
        serve(IMPORTED, log, **IN_SPACE, GRADIO_MCP_SERVER="True") as server,
        proxy_to(server.url, folder) as port,
    ):
        yield SimpleNamespace(port=port, url=server.url, process=server.process, log=log)
        assert server.process.poll() is None, "the Space did not survive the tests"
    HUB.clear()
    assert len(started) == 1
    text = log.read_text()
    assert "Running on local URL" in text and "SSR" not in text and "Node" not in text
    # Gradio makes event loops that it does not close; collecting them may print this.
    unclosed = r"^Exception ignored in: <function BaseEventLoop.*\n(Trace.*\n(\s.*\n)*\S.*)"
    assert "Traceback" not in re.sub(unclosed, "", text, flags=re.M), text


# Whom Gradio's own code asks where the page's address is a Space's: its client, whether the Space
# runs; its header, which stands outside of frames only, who likes it, and for fonts of its own.
OTHERS = ("https://huggingface.co/api/", "https://fonts.googleapis.com/css2?")
HUB_SAYS = {"id": "me/lenet", "author": "me", "likes": 1, "runtime": {"stage": "RUNNING"}}


@pytest.fixture
def page(playwright, space):
    """A page in a browser that finds the Space and the Hub's page, and nobody else."""
    here = ",".join(f"MAP {host} 127.0.0.1:{space.port}" for host in (SPACE_HOST, HUB_HOST))
    # A context's `ignore_https_errors` has each connection refused once before it is let be.
    trust = "--ignore-certificate-errors"
    chromium = launch_browser(playwright, f"--host-resolver-rules={here},MAP * ^NOTFOUND", trust)
    with watched_pages(chromium) as new_page:
        page = new_page((f"https://{SPACE_HOST}/", f"https://{HUB_HOST}/", *OTHERS))
        page.route(f"{OTHERS[0]}**", lambda route: route.fulfill(json=HUB_SAYS))
        page.route("https://fonts.googleapis.com/**", lambda route: route.fulfill(body=""))
        yield page
    chromium.close()


def test_a_visitor_in_the_hubs_frame_and_without_it(page):
    page.goto(f"https://{HUB_HOST}/")
    frame = page.frames[1]
    wait_for_the_pad(frame)
    draw(frame, "7")
    expect_answer(frame, "7")
    expect(frame.locator(".layers figure")).to_have_count(8)
    frame.get_by_role("tab", name="Picture").click()
    frame.locator("#upload input[type=file]").set_input_files(EXAMPLES / "3-dark.png")
    expect_answer(frame, "3")
    color = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    assert color == "rgb(250, 248, 244)", "not our theme"
    expect(frame.locator("#source")).to_contain_text("from the Hub", timeout=TIMEOUT)
    weights = f"{HUB.url}/me/lenet-mnist"  # in a window of its own, which the frame may open
    with page.context.expect_event("request", lambda request: request.url == weights):
        frame.locator("#source a").click()
    page.goto(f"https://{SPACE_HOST}/")
    wait_for_the_pad(page)
    draw(page, "7")
    expect_answer(page, "7")


def test_programs_of_the_space(space, tmp_path):
    """By Gradio's client; and without it by the names that the page's description gives."""
    url = f"https://127.0.0.1:{space.port}/"
    client = Client(url, ssl_verify=False, verbose=False, download_files=tmp_path)
    label, words, _ = client.predict(handle_file(EXAMPLES / "7-crossed.png"), api_name="/upload")
    assert label["label"] == "7" and words == "That is a 7."
    content = (EXAMPLES / "8-plain.png").read_bytes()
    with httpx.Client(base_url=f"{url}gradio_api/", verify=False, timeout=60) as http:
        (path,) = http.post("upload", files={"files": ("an 8-plain.png", content)}).json()
        call = {"picture": {"path": path, **FILE}}
        event = http.post("call/v2/read", json=call).json()["event_id"]
        answer = http.get(f"call/v2/read/{event}").text
    assert '"words": "That is an 8."' in answer and '"number": "8"' in answer


def test_a_program_has_a_picture_read_by_mcp_but_no_address_and_no_file(space):
    content = base64.b64encode((EXAMPLES / "8-plain.png").read_bytes()).decode()
    pictures = f"data:image/png;base64,{content}", f"{space.url}robots.txt", "/etc/passwd"

    async def talk():
        async with (
            streamable_http_client(f"{space.url}gradio_api/mcp/") as (reads, writes, _),
            ClientSession(reads, writes) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            (tool,) = [tool for tool in tools if tool.name.endswith("_read")]  # the Space's name
            return tool, [await session.call_tool(tool.name, {"picture": p}) for p in pictures]

    with ThreadPoolExecutor(1) as thread:  # this one has Playwright's loop
        tool, (read, *refused) = thread.submit(asyncio.run, talk()).result()
    assert "handwritten number" in tool.description
    assert "PNG" in tool.inputSchema["properties"]["picture"]["description"]
    assert not read.isError and "That is an 8." in read.content[0].text
    assert all(answer.isError for answer in refused)


MCP = {"Accept": "application/json, text/event-stream"}


def test_no_program_writes_in_the_log(space):
    before = len(space.log.read_bytes())
    for message in (
        {"id": 1, "method": "tools/call", "params": {"name": "a\nFORGED", "arguments": {}}},
        {"method": "notifications/x", "params": {"a": "FORGED" * 10_000}},
        {"id": 1.5, "method": "a\nFORGED"},
    ):
        call = {"jsonrpc": "2.0", **message}
        httpx.post(f"{space.url}gradio_api/mcp/", json=call, headers=MCP)
    httpx.get(f"{space.url}gradio_api/call/read/nobody")  # which is logged, after those
    written = space.log.read_bytes()[before:]
    assert b"Refused" in written and b"FORGED" not in written and len(written) < 2000


def test_callers_are_told_apart_by_what_their_proxy_says(space):
    """Not by what they say: each of 256 requests claims another address before its own."""
    url = httpx.URL(space.url)
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
    assert (Path(find_spec("spaces").origin).parent / "reloading" / "server.py").exists()
    own = set()
    for process in (space.process.pid, *children(space.process.pid)):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                own.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    ports = [row[1].partition(":")[2] for row in rows if row[3] == "0A" and row[9] in own]
    assert ports == [f"{httpx.URL(space.url).port:04X}"]
