"""The page is the same however it is started; what a launch is told, and what the variables say."""

import asyncio
import os
from collections.abc import Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import gradio as gr
import httpx
import pytest
from conftest import serve_page
from serving import ROOT
from starlette.middleware.trustedhost import TrustedHostMiddleware

import app
from page import environment
from page.gate import Gate
from page.launch import LOCAL_HOSTS

# What `gradio app.py` tells the page it runs; watching all the folders would keep a processor busy.
WATCHED = {
    "GRADIO_WATCH_DIRS": str(ROOT / "page"),
    "GRADIO_WATCH_MODULE_NAME": "app",
    "GRADIO_WATCH_DEMO_PATH": str(ROOT / "app.py"),
}
NOBODY = "http://127.0.0.1:9"  # a proxy that does not answer
PROXIES = {"HTTP_PROXY": NOBODY, "http_proxy": NOBODY, "ALL_PROXY": "socks5://127.0.0.1:9"}
PROXIES |= {"NO_PROXY": "", "no_proxy": ""}


def test_the_page_is_whole_and_its_limits_are_in_force(tmp_path):
    """Though `gradio app.py` watches it, and proxies are named: Gradio asks itself at its start."""
    with (
        serve_page(tmp_path / "log", **WATCHED, **PROXIES) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        config = http.get("config").json()
        assert (ROOT / "page" / "style.css").read_text() in config["css"]
        assert app.THEME._get_theme_css() == http.get("theme.css").text
        assert config["run_history"] is False
        assert config["footer_links"] == ["api", "gradio", "settings"]
        assert http.post("gradio_api/process_recording", json={}).status_code == 404
        assert http.get("", headers={"Host": "evil.example"}).status_code == 400
        assert http.get("gradio_api/startup-events").json() in (True, False)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such rights")
def test_the_folder_of_uploads_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    for _ in range(2):
        folder = environment.private_folder()
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        assert environment.gradio_environment()["GRADIO_TEMP_DIR"] == str(folder)

    for link in (False, True):  # somebody else may have made it first
        if link:
            folder.rmdir()
            folder.symlink_to(tmp_path)
        else:
            folder.chmod(0o777)
        with pytest.raises(SystemExit, match="Set GRADIO_TEMP_DIR to a folder of your own"):
            environment.gradio_environment()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "other"))  # as the sentence advises
    assert environment.gradio_environment()["GRADIO_TEMP_DIR"] == str(tmp_path / "other")


def test_other_hosts_are_asked_by_the_proxy_all_the_same(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "hub.test")
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    variables = environment.gradio_environment()
    assert variables["NO_PROXY"] == "hub.test,localhost,127.0.0.1"
    assert "HTTPS_PROXY" not in variables, "it stays"


@pytest.fixture
def launched(monkeypatch) -> Callable[..., dict]:
    """Launch nothing: return what Gradio would be told."""
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **options: options)
    for name in ("SPACE_ID", "GRADIO_ROOT_PATH", "GRADIO_SHARE", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "of before")  # so that it is restored
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    return app.demo.launch


def test_a_caller_can_say_how_it_looks_and_where_it_is(launched):
    options = launched(theme="soft", server_port=7000, quiet=True)
    assert (options["theme"], options["server_port"], options["quiet"]) == ("soft", 7000, True)
    assert options["max_threads"] == app.MAX_RUNNING and options["num_workers"] == 0
    assert options["state_session_capacity"] == app.MAX_SESSIONS
    assert app.demo._queue.max_size == app.MAX_RUNNING > app.MAX_WAITING


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
    hosts, gate, more = kwargs["middleware"]
    assert (hosts.cls, gate.cls, more) == (TrustedHostMiddleware, Gate, "more")
    assert kwargs["title"] == "t"

    async def live():
        async with kwargs["lifespan"]("it"):
            pass

    asyncio.run(live())
    assert happened == ["the workers start", "it starts", "it ends", "the workers end"]


LOCAL, KAGGLE = "127.0.0.1", {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}


@pytest.mark.parametrize(
    ("options", "variables", "anywhere", "believe_host", "believe_address"),
    [
        ({}, {}, False, False, False), ({"share": True}, {}, True, False, False),
        ({}, {"GRADIO_SHARE": "True"}, True, False, False), ({}, KAGGLE, True, False, False),
        ({"share": False}, {"GRADIO_SHARE": "True"}, False, False, False),
        ({"server_name": "0.0.0.0"}, {}, True, False, False),
        ({"server_name": LOCAL}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, False, False, False),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, True, False, False),
        ({"root_path": "/lenet"}, {}, True, True, False),
        ({}, {"GRADIO_ROOT_PATH": "/lenet"}, True, True, False),
        ({}, {"GRADIO_ROOT_PATH": "/x", "FORWARDED_ALLOW_IPS": "10.0.0.7, ::1"}, True, True, True),
        ({}, {"SPACE_ID": "me/lenet"}, True, True, True),
    ],
)  # fmt: skip
def test_the_page_knows_where_it_stands(
    launched, monkeypatch, capsys, options, variables, anywhere, believe_host, believe_address
):
    """Whether an option says it or a variable; what is said at launch counts more."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    hosts, gate = (m.kwargs for m in launched(**options)["app_kwargs"]["middleware"])
    assert hosts["allowed_hosts"] == (["*"] if anywhere else LOCAL_HOSTS)
    assert ("--share" in capsys.readouterr().out) != anywhere, "the remedy is named"
    dropped = [bool(gate["drop_headers"].fullmatch(name)) for name in (
        b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"x-real-ip", b"x-gradio-server",
    )]  # fmt: skip
    assert dropped == [not believe_host] * 4 + [True]
    assert any(ip_address("10.0.0.7") in proxy for proxy in gate["proxies"]) == believe_address
    assert bool(os.environ["FORWARDED_ALLOW_IPS"]) == believe_address, "for uvicorn"


def test_a_network_that_does_not_parse_ends_the_start_with_a_sentence(launched, monkeypatch):
    for proxies in ("10.0.0.0/33", "10.0.0.5/8", "127.0.0.1,proxy.test", "*"):
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
        with pytest.raises(SystemExit, match="FORWARDED_ALLOW_IPS lists the networks of proxies"):
            launched()
