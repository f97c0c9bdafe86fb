"""The page as a Space: on both kinds of hardware, and imported."""

import asyncio
import base64
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest
from browser import (
    TIMEOUT,
    draw,
    expect_answer,
    expect_no_answer,
    launch_browser,
    wait_for_the_pad,
)
from client import FILE, ask, client_from, questions
from conftest import HUB, watched_pages
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import expect
from serving import PAGE, ROOT, serve
from space_host import HUB_HOST, SPACE, SPACE_HOST, device_api, proxy_to

IMPORTED = (sys.executable, "-c", "import app; app.demo.launch()")


def in_a_thread(coroutine):  # since Playwright's loop has this one
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


# Gradio would start a Node server before the page, but for `ssr_mode`; this one nobody could start.
IN_SPACE = SPACE | {"HF_ENDPOINT": HUB.url, "GRADIO_NODE_PATH": shutil.which("false") or ""}
EXAMPLES = ROOT / "examples" / "digits"


@contextmanager
def hardware(name: str) -> Iterator[tuple]:
    """Give a program for a Space's hardware and what it finds; ZeroGPU is told that it started."""
    if name == "paid CPU":
        yield PAGE, {}
        return
    with device_api() as (address, asked):
        yield IMPORTED, {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": address}
        assert asked == ["POST /startup-report"]


@pytest.fixture(scope="module", params=["paid CPU", "ZeroGPU"])
def space(request, tmp_path_factory) -> Iterator[str]:
    """The address of a Space, behind what is in front of each, with its owner's weights."""
    folder = tmp_path_factory.mktemp("space")
    log, find = folder / "log", socket.getaddrinfo
    weights = {file.name: file.read_bytes() for file in (ROOT / "weights").iterdir()}
    HUB.add("me/lenet-mnist", weights)

    def find_here(host, *rest, **how):
        return find(
            "127.0.0.1" if host in (SPACE_HOST, SPACE_HOST.encode()) else host, *rest, **how
        )

    with (
        hardware(request.param) as (program, variables),
        serve(program, log, **IN_SPACE | variables) as server,
        proxy_to(server.url, folder) as port,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(socket, "getaddrinfo", find_here)
        yield f"https://{SPACE_HOST}:{port}/"
        assert server.process.poll() is None, "the Space did not survive the tests"
    HUB.clear()
    text = log.read_text()
    assert "Running on local URL" in text and "SSR" not in text and "Node" not in text
    # Gradio makes event loops that it does not close; collecting them may print this.
    unclosed = r"^Exception ignored in: <function BaseEventLoop.*\n(Trace.*\n(\s.*\n)*\S.*)"
    assert "Traceback" not in re.sub(unclosed, "", text, flags=re.M), text


@pytest.fixture(scope="module")
def chromium(browser, space):
    """A browser that finds the Space, and the Hub's page, behind the proxy, and nobody else."""
    port = space.rpartition(":")[2].strip("/")
    here = ",".join(f"MAP {host} 127.0.0.1:{port}" for host in (SPACE_HOST, HUB_HOST))
    another = SimpleNamespace(chromium=browser.browser_type)
    # A context's `ignore_https_errors` has each connection refused once before it is let be.
    trust = "--ignore-certificate-errors"
    chromium = launch_browser(another, f"--host-resolver-rules={here},MAP * ^NOTFOUND", trust)
    yield chromium
    chromium.close()


# Whom Gradio's own code asks where the page's address is a Space's: its client, whether the Space
# runs; its header, which stands outside of frames only, who likes it, and for fonts of its own.
HUB_API = "https://huggingface.co/api/"
CLIENT_ASKS = f"{HUB_API}spaces/by-subdomain/{SPACE_HOST.partition('.')[0]}"
HEADER_ASKS = (HUB_API, "https://fonts.googleapis.com/css2?")
HUB_SAYS = {"id": "me/lenet", "author": "me", "likes": 1, "runtime": {"stage": "RUNNING"}}


@pytest.fixture
def visit(chromium):
    """Return a function that opens a page at an address, which may ask others, too."""
    ours = [f"https://{host}/" for host in (SPACE_HOST, HUB_HOST)]

    with watched_pages(chromium) as new_page:

        def visit(address: str, *others: str):
            page = new_page((*ours, *others), ignore_https_errors=True)
            page.route(f"{HUB_API}**", lambda route: route.fulfill(json=HUB_SAYS))
            page.route("https://fonts.googleapis.com/**", lambda route: route.fulfill(body=""))
            page.goto(address)
            return page

        yield visit


def use(frame) -> None:
    """Draw, undo, and have a picture read, on the page in a frame."""
    wait_for_the_pad(frame)
    draw(frame, "7")
    expect_answer(frame, "7")
    expect(frame.locator(".layers figure")).to_have_count(8)
    frame.get_by_role("button", name="Undo", exact=True).click()
    expect_no_answer(frame)
    frame.get_by_role("tab", name="Picture").click()
    frame.locator("#upload input[type=file]").set_input_files(EXAMPLES / "3-dark.png")
    expect_answer(frame, "3")
    expect(frame.locator("#source")).to_contain_text("from the Hub", timeout=TIMEOUT)
    color = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    assert color == "rgb(250, 248, 244)", "not our theme"


@pytest.mark.parametrize("space", ["paid CPU"], indirect=True)
def test_a_visitor_of_the_space(visit):
    """In the Hub's page, where it stands in a frame, and by itself."""
    page = visit(f"https://{HUB_HOST}/", CLIENT_ASKS)
    frame = page.frames[1]
    use(frame)
    weights = f"{HUB.url}/me/lenet-mnist"  # in a window of its own, which the frame may open
    with page.context.expect_event("request", lambda request: request.url == weights):
        frame.locator("#source a").click()
    page = visit(f"https://{SPACE_HOST}/", CLIENT_ASKS, *HEADER_ASKS)
    wait_for_the_pad(page.main_frame)
    draw(page, "7")
    expect_answer(page, "7")


def test_programs_of_the_space(space, tmp_path):
    """By Gradio's client; and without it by the names that the page's description gives."""
    client = Client(space, ssl_verify=False, verbose=False, download_files=tmp_path)
    label, words, _ = client.predict(handle_file(EXAMPLES / "7-crossed.png"), api_name="/upload")
    assert label["label"] == "7" and words == "That is a 7."
    content = (EXAMPLES / "8-plain.png").read_bytes()
    with httpx.Client(base_url=f"{space}gradio_api/", verify=False, timeout=60) as http:
        (path,) = http.post("upload", files={"files": ("an 8-plain.png", content)}).json()
        for endpoint, argument in (("upload", "image"), ("read", "picture")):
            call = f"call/v2/{endpoint}"
            event = http.post(call, json={argument: {"path": path, **FILE}}).json()["event_id"]
            answer = http.get(f"{call}/{event}").text
            assert "That is an 8." in answer
        assert '"words": "That is an 8."' in answer and '"number": "8"' in answer
        for route, body, status in (
            ("process_recording", {}, 404),
            ("mcp/", {}, 404),
            ("component_server", {}, 422),
            ("call/sketch", {"data": ["x" * 70 * 1024]}, 413),
        ):
            assert http.post(route, json=body).status_code == status


@pytest.mark.parametrize("space", ["paid CPU"], indirect=True)
def test_sixty_calls_at_once_to_the_space_are_all_answered(space):
    async def ask_all():
        async with client_from("127.0.0.1", space) as http:
            (name, drawing), _ = await questions(http)
            return await asyncio.gather(*(ask(http, name, drawing) for _ in range(60)))

    answers = in_a_thread(ask_all())
    assert len(answers) == 60 and all('"label": "7"' in answer for answer in answers)


def test_a_program_has_a_picture_read_by_mcp(tmp_path):
    """Nothing but what it sends, or has uploaded: no address is fetched, no file is opened."""
    content = (EXAMPLES / "8-plain.png").read_bytes()
    picture = "data:image/png;base64," + base64.b64encode(content).decode()

    async def talk(url: str):
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (reads, writes, _),
            ClientSession(reads, writes) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            pictures = (picture, f"{url}robots.txt", "/etc/passwd")
            answers = [await session.call_tool("read", {"picture": p}) for p in pictures]
            return tools, answers

    with serve(log=tmp_path / "log", GRADIO_MCP_SERVER="True") as server:
        tools, (read, *refused) = in_a_thread(talk(server.url))
    assert "handwritten number" in tools["read"].description
    assert "PNG" in tools["read"].inputSchema["properties"]["picture"]["description"]
    assert not read.isError and "That is an 8." in read.content[0].text
    assert all(answer.isError for answer in refused)
