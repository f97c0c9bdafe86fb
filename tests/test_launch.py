"""The page is the same however it is started; what a launch is told, and what the variables say."""

import asyncio
import os
from ipaddress import ip_address
from pathlib import Path
from unittest.mock import AsyncMock, MagicMock, Mock

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
WATCHED = {"DIRS": ROOT / "page", "MODULE_NAME": "app", "DEMO_PATH": ROOT / "app.py"}
WATCHED = {f"GRADIO_WATCH_{name}": str(value) for name, value in WATCHED.items()}
PROXIES = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy")}  # which is silent
PROXIES |= {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}


def test_the_page_is_whole_and_its_limits_are_in_force(tmp_path):
    """Though `gradio app.py` watches it, and proxies are named: Gradio asks itself at its start."""
    with (
        serve_page(tmp_path / "log", **WATCHED, **PROXIES) as server,
        httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
    ):
        config = http.get("config").json()
        assert (ROOT / "page" / "style.css").read_text() in config["css"]
        assert app.THEME._get_theme_css() == http.get("theme.css").text
        assert http.post("gradio_api/process_recording", json={}).status_code == 404
        assert http.get("", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such rights")
def test_the_folder_of_uploads_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    folder = Path(environment.gradio_environment()["GRADIO_TEMP_DIR"])
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # as somebody else may have made it
    with pytest.raises(SystemExit, match="Set GRADIO_TEMP_DIR to another folder"):
        environment.gradio_environment()


@pytest.fixture
def launched(monkeypatch):
    """Launch nothing: return what Gradio would be told."""
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **options: options)
    for name in ("SPACE_ID", "GRADIO_ROOT_PATH", "GRADIO_SHARE", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "of before")  # so that it is restored
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    return app.demo.launch


def test_what_a_caller_says_comes_beside_our_own(launched, monkeypatch):
    monkeypatch.setattr(app.pool, "start", start := Mock())
    monkeypatch.setattr(app.pool, "stop", stop := AsyncMock())
    theirs = MagicMock()  # a lifespan
    options = launched(theme="soft", app_kwargs={"lifespan": theirs, "middleware": ["more"]})
    assert options["theme"] == "soft" and options["max_threads"] == app.MAX_RUNNING
    hosts, gate, more = options["app_kwargs"]["middleware"]
    assert (hosts.cls, gate.cls, more) == (TrustedHostMiddleware, Gate, "more")

    async def live():
        async with options["app_kwargs"]["lifespan"]("server"):
            start.assert_called_once()
            theirs.assert_called_once_with("server")
            stop.assert_not_awaited()

    asyncio.run(live())
    stop.assert_awaited_once()


@pytest.mark.parametrize(
    ("options", "variables", "anywhere", "believe_host", "believe_address"),
    [
        ({}, {}, False, False, False), ({"share": True}, {}, True, False, False),
        ({}, {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, True, False, False),
        ({"share": False}, {"GRADIO_SHARE": "True"}, False, False, False),
        ({"server_name": "localhost"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, False, False, False),
        ({}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, True, False, False),
        ({}, {"GRADIO_ROOT_PATH": "/x", "FORWARDED_ALLOW_IPS": "10.0.0.7, ::1"}, True, True, True),
        ({}, {"SPACE_ID": "me/lenet"}, True, True, True),
    ],
)  # fmt: skip
def test_the_page_knows_where_it_stands(
    launched, monkeypatch, capsys, options, variables, anywhere, believe_host, believe_address
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    hosts, gate = (m.kwargs for m in launched(**options)["app_kwargs"]["middleware"])
    assert hosts["allowed_hosts"] == (["*"] if anywhere else LOCAL_HOSTS)
    assert ("--share" in capsys.readouterr().out) != anywhere, "the remedy is named"
    dropped = [bool(gate["drop_headers"].fullmatch(name)) for name in (
        b"x-forwarded-host", b"forwarded", b"x-real-ip", b"x-gradio-server",
    )]  # fmt: skip
    assert dropped == [not believe_host] * 3 + [True]
    assert any(ip_address("10.0.0.7") in proxy for proxy in gate["proxies"]) == believe_address
    assert bool(os.environ["FORWARDED_ALLOW_IPS"]) == believe_address, "for uvicorn"


def test_a_network_that_does_not_parse_ends_the_start_with_a_sentence(launched, monkeypatch):
    for proxies in ("10.0.0.5/8", "127.0.0.1,proxy.test"):
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
        with pytest.raises(SystemExit, match="FORWARDED_ALLOW_IPS lists the networks of proxies"):
            launched()
