"""The page is the same however it is started: imported or watched; what a launch is told."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager

import gradio as gr
import httpx
import pytest
from conftest import serve_page
from serving import PAGE, ROOT

import app
from page.gate import LOCAL_HOSTS, Gate

# What `gradio app.py` tells the page it runs; watching all the folders would keep a processor busy.
WATCHED = {
    "GRADIO_WATCH_DIRS": str(ROOT / "page"),
    "GRADIO_WATCH_MODULE_NAME": "app",
    "GRADIO_WATCH_DEMO_PATH": str(ROOT / "app.py"),
}
IMPORTED = (sys.executable, "-c", "import app; app.demo.launch()")
WAYS = {"imported": {"command": IMPORTED}, "watched": {"command": PAGE, **WATCHED}}


@pytest.fixture(scope="module", params=WAYS)
def http(request, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of the page, started in each of the ways that the other tests do not take."""
    log = tmp_path_factory.mktemp("started") / "log"
    with (
        serve_page(log, **WAYS[request.param]) as server,
        httpx.Client(base_url=server.url, timeout=30) as http,
    ):
        yield http


def test_the_page_is_whole(http):
    config = http.get("config").json()
    assert (ROOT / "page" / "style.css").read_text() in config["css"]
    assert app.THEME._get_theme_css() == http.get("theme.css").text
    assert config["run_history"] is False
    assert config["footer_links"] == ["api", "gradio", "settings"]


def test_the_limits_are_in_force(http):
    assert http.post("gradio_api/process_recording", json={}).status_code == 404
    assert http.post("gradio_api/component_server", json={}).status_code == 422
    body = {"data": ["x" * 70 * 1024]}
    assert http.post("gradio_api/call/sketch", json=body).status_code == 413


@pytest.fixture
def launched(monkeypatch) -> Callable[..., dict]:
    """Launch nothing: return what Gradio would be told."""
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **options: options)
    for name in ("SPACE_ID", "GRADIO_ROOT_PATH", "GRADIO_SHARE", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    return app.demo.launch


def test_the_queue_is_as_long_as_it_is_to_be():
    assert app.demo._queue.max_size == app.MAX_WAITING


def test_a_caller_can_say_how_it_looks_and_where_it_is(launched):
    options = launched(theme="soft", server_port=7000, quiet=True)
    assert (options["theme"], options["server_port"], options["quiet"]) == ("soft", 7000, True)
    assert options["max_threads"] == app.MAX_RUNNING and options["num_workers"] == 0
    assert options["state_session_capacity"] == app.MAX_SESSIONS


def test_what_a_caller_has_for_the_server_comes_beside_our_own(launched, monkeypatch):
    happened = []

    @asynccontextmanager
    async def theirs(server):
        happened.append(f"{server} starts")
        yield
        happened.append(f"{server} ends")

    async def stop():
        happened.append("the workers end")

    monkeypatch.setattr(app.pool, "start", lambda: happened.append("the workers start"))
    monkeypatch.setattr(app.pool, "stop", stop)
    kwargs = launched(app_kwargs={"lifespan": theirs, "middleware": ["more"], "title": "t"})
    kwargs = kwargs["app_kwargs"]
    gate, more = kwargs["middleware"]
    assert gate.cls is Gate and more == "more" and kwargs["title"] == "t"

    async def live():
        async with kwargs["lifespan"]("it"):
            pass

    asyncio.run(live())
    assert happened == ["the workers start", "it starts", "it ends", "the workers end"]


@pytest.mark.parametrize(
    ("options", "environment", "anywhere", "believe_host", "believe_address"),
    [
        ({}, {}, False, False, False),
        ({"share": True}, {}, True, False, False),
        ({}, {"GRADIO_SHARE": "True"}, True, False, False),
        ({"share": False}, {"GRADIO_SHARE": "True"}, False, False, False),
        ({}, {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, True, False, False),
        ({"server_name": "0.0.0.0"}, {}, True, False, False),
        ({"server_name": "127.0.0.1"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, False, False, False),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, True, False, False),
        ({"root_path": "/lenet"}, {}, True, True, False),
        ({}, {"GRADIO_ROOT_PATH": "/lenet"}, True, True, False),
        ({}, {"SPACE_ID": "me/lenet"}, True, True, True),
    ],
)
def test_the_gate_knows_where_it_stands(
    launched, monkeypatch, options, environment, anywhere, believe_host, believe_address
):
    """Whether an option says it or a variable; what is said at launch counts more."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    gate = launched(**options)["app_kwargs"]["middleware"][0].kwargs
    assert gate["hosts"] == (None if anywhere else LOCAL_HOSTS)
    assert (gate["believe_host"], gate["believe_address"]) == (believe_host, believe_address)
