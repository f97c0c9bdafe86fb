"""What the gate lets in and what it refuses: called with an ASGI scope, then before the page."""

import asyncio
import json
import re
from ipaddress import ip_network

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from page import gate
from page.launch import SPACE_PROXIES

KB, MB = 1024, 1024**2
HASH = "ab" * 32
A, UPLOADS, UP = "/gradio_api/", "/tmp/up loads", "/tmp/up%20loads"
JOIN, UPLOAD, SERVER = A + "queue/join", A + "upload", A + "component_server"
QUEUE, STREAM = A + "queue/data?session_hash=", A + "call/read/other"


async def gradio(scope, receive, send):
    """Stand in for Gradio: answer with what arrives."""
    body = await Request(scope, receive).body()
    await JSONResponse({"client": scope["client"][0], "size": len(body)})(scope, receive, send)


def new_gate(app=gradio, **options):
    return gate.Gate(app, uploads=UPLOADS, functions={5, 6}, **options)


GATE = new_gate()


async def ask(app, method, path, *chunks, headers=(), client="8.8.8.8", ends=True, **options):
    async def body():
        for chunk in chunks:
            yield chunk
        if not ends:
            await asyncio.Event().wait()

    transport = httpx.ASGITransport(app, client=(client, 1), **options)
    async with httpx.AsyncClient(transport=transport) as http:
        how = {"content": body() if chunks else None, "headers": dict(headers)}
        return await http.request(method, f"http://localhost{path}", **how)


def now(*request, **options) -> httpx.Response:
    return asyncio.run(ask(*request, **options))


def dumps(**fields) -> bytes:
    return json.dumps(fields).encode()


LONGEST = b'{"data": ["%s"]}' % (b"x" * (64 * KB - 14))
ANSWER = {"data": {}, "fn_name": "answer", "component_id": 5, "session_hash": "ln86iyzc3xf"}
GETS = f"""/ /?__theme=dark&view=api /?__sign={"x" * 3000} /assets/Index-Ab_1.js /robots.txt
{A}openapi.json {A}call/v2/sketch/0123abcd {A}file={UP}/{HASH}/3%20–%20drei.png"""
POSTS = [
    (JOIN, dumps(data=[None], event_data={"value": "Draw"}, fn_index=6, trigger_id=5)),
    (JOIN, dumps(data=[[[[n, n] for n in range(100)] for _ in range(25)]])),  # a long drawing
    (JOIN, LONGEST), (SERVER, dumps(**ANSWER)), (UPLOAD, *[bytes(MB)] * 20),
    (A + "call/upload/", dumps(data=[], session_hash=None, event_data=None)),
]  # fmt: skip
OWN = [{}, {"origin": "http://localhost"}, {"sec-fetch-site": "same-origin", "origin": "null"}]


def test_it_passes_on_what_the_page_and_clients_send():
    for path in GETS.split():
        for method in ("GET", "HEAD"):
            assert now(GATE, method, path).status_code == 200, path
    for path, *body in POSTS:
        for headers in OWN:
            reply = now(GATE, "POST", path, *body, headers=headers)
            assert reply.json()["size"] == sum(map(len, body)), path


API = {
    "POST": """process_recording run/upload api/upload cancel reset stream/0 vibe-edit mcp/
        call/lambda call/a%0aERROR:%20a%20line %2e%2e/login""",
    "GET": f"""stream/a/b/1/playlist.m3u8 proxy=http://127.0.0.1/ custom_component/a/client/b/c
        dev/reload deep_link?session_hash=a upload heartbeat/a token mcp/ call/nobody/0
        call/upload/{"x" * 65} file= file=app.py file=/etc/passwd file=http://127.0.0.1/
        file={UP}/{HASH} file={UP}/tmp01 file={UP}2/{HASH}/3.png file={UP}/{HASH}/..%2f..%2f3.png
        file={UP}/{HASH}/3%0a.png file={UP}/{HASH.upper()}/3.png file={UP}/deep_links/a/3.png""",
    "PUT": "upload", "OPTIONS": "upload", "DELETE": "upload",
}  # fmt: skip
OUTSIDE = "/monitoring /docs /openapi.json //gradio_api/info /static/%2e%2e/app.py"
WRONG_CALLS = [
    b"", b"[]", b'{"data": [', b"\xff{}", b"{}", b'{"data": null}', b'{"data": ' + b"[" * 60_000,
    b'{"data": [' + b"[]," * 20_000 + b"[]]}", b'{"data": [{"a": [' + b"1," * 30_000 + b"1]}]}",
    *(b'{"data": [], "session_hash": "a", %s}' % more for more in (
        b'"session_hash": 7', rb'"session_hash": "a\nERROR: a line"', b'"fn_index": "5"',
        b'"fn_index": 7', b'"oauth_token": "x"', b'"event_id": "%s"' % (b"x" * 65),
    )),
]  # fmt: skip
WRONG_ANSWERS = {"fn_name": "__class__"}, {"more": 1}, {"session_hash": "a\n"}, {"data": [0] * 9000}
OTHER_SITES = [
    {"origin": "http://localhost:3000"}, {"origin": "null"}, {"origin": "http://evil", "host": ""},
    {"sec-fetch-site": "same-site", "origin": "http://localhost"},
]  # fmt: skip
REFUSED = [  # status, method, path, headers, pieces of the body
    *((404, method, A + path, {}) for method, paths in API.items() for path in paths.split()),
    *((404, "GET", path, {}) for path in OUTSIDE.split()),
    *((403, "POST", path, site, LONGEST) for path in (JOIN, UPLOAD) for site in OTHER_SITES),
    *((422, "POST", JOIN, {}, body) for body in WRONG_CALLS),
    *((422, "POST", SERVER, {}, dumps(**{**ANSWER, **change})) for change in WRONG_ANSWERS),
    (422, "POST", A + "call/v2/upload", {}, b'{"a\\nERROR: a line": 1}'),
    *((422, "GET", QUEUE + session, {}) for session in ("x" * 65, "a%0ab", "a&upload_id=+", "")),
    (431, "GET", "/?" + "x" * 5000, {}), (431, "GET", "/", {"x-long": "x" * 17_000}),
    (413, "GET", "/", {"content-length": "1"}), (413, "GET", "/", {"transfer-encoding": "chunked"}),
    (413, "POST", JOIN, {}, LONGEST, b" "), (413, "POST", JOIN, {"content-length": "99999999999"}),
    (413, "POST", JOIN, {"content-length": "12"}, LONGEST, b" "),  # more than it says
    (413, "POST", UPLOAD, {"content-length": str(20 * MB + 1)}),
]  # fmt: skip


def test_it_refuses_with_a_sentence():
    """What reaches the stand-in for Gradio is answered with 200."""
    for status, method, path, headers, *body in REFUSED:
        reply = now(GATE, method, path, *body, headers=headers)
        case = f"{method} {path:.200} {headers!r:.200} {body!r:.200}"
        assert reply.status_code == status and len(reply.json()["detail"]) > 20, case
    assert now(GATE, "POST", UPLOAD, *[bytes(MB)] * 20, b"x").status_code == 413


@pytest.mark.parametrize("path, seconds", [(JOIN, "BODY_SECONDS"), (UPLOAD, "UPLOAD_SECONDS")])
def test_a_body_has_to_come_in_time(monkeypatch, path, seconds):
    monkeypatch.setattr(gate, seconds, 0.05)
    sizes = []
    entry, size = new_gate(on_upload=sizes.append), {"content-length": "60000"}
    assert now(entry, "POST", path, b"{", headers=size, ends=False).status_code == 408
    assert sizes == [60_000] * (path == UPLOAD), "the purge is told of it"


def test_gradios_failures_are_a_sentence(caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("forged\nERROR: a line")

    assert now(new_gate(broken), "POST", JOIN, LONGEST).status_code == 422
    assert now(new_gate(broken), "GET", "/config").status_code == 404
    assert caplog.messages == ["Refused a request: RuntimeError"] * 2


def test_in_a_space_addresses_are_the_visitors():
    networks = tuple(map(ip_network, SPACE_PROXIES.split(",")))
    entry = ProxyHeadersMiddleware(new_gate(proxies=networks), SPACE_PROXIES)
    for hops, counted in (
        ("8.8.8.8, 9.9.9.9, 172.16.3.4", "9.9.9.9"), ("9.9.9.9:4711, ::ffff:10.0.0.5", "9.9.9.9"),
        ("::ffff:9.9.9.9", "9.9.9.9"), ("[2a01:4f8:1:2::1]:80", "2a01:4f8:1:2::/64"),
        ("x" * 500, "x" * 64), (",", "proxy"), ("10.9.9.9, 10.0.0.5", "proxy"),
        ("fd00::7, 192.168.1.1", "proxy"), ("::ffff:10.1.1.1, 100.64.0.9", "proxy"),
    ):  # fmt: skip
        for peer, believed in (("10.0.0.5", counted), ("8.8.4.4", "8.8.4.4")):
            reply = now(entry, "GET", "/config", headers={"x-forwarded-for": hops}, client=peer)
            assert reply.json()["client"] == believed, hops


async def begin(number, *request, **options) -> list[asyncio.Task]:
    """Ask so often at once; all go as far as they can."""
    asking = [asyncio.create_task(ask(*request, **options)) for _ in range(number)]
    for _ in range(100):
        await asyncio.sleep(0)
    return asking


@pytest.mark.parametrize(
    "method, path, number, running",
    [("GET", QUEUE + "a", 256, 256), ("GET", A + "info", 255, 16), ("POST", UPLOAD, 40, 16)],
)
def test_an_address_has_so_many_requests_and_another_its_own(method, path, number, running):
    async def together():
        release, reached = asyncio.Event(), []

        async def held(scope, receive, send):
            if scope["path"] != STREAM:
                reached.append(scope)
                await release.wait()
            await gradio(scope, receive, send)

        entry = new_gate(held)
        asking = await begin(number, entry, method, path)
        assert len(reached) == running
        assert (await ask(entry, "GET", STREAM)).status_code == (429 if number == 256 else 200)
        assert (await ask(entry, "GET", STREAM, client="8.8.4.4")).status_code == 200
        release.set()
        assert {(await one).status_code for one in asking} == {200} and not entry.clients

    asyncio.run(asyncio.wait_for(together(), 20))


def test_half_sent_bodies_lock_nobody_out():
    async def half_sent():
        entry = new_gate()
        asking = await begin(40, entry, "POST", JOIN, b"{", ends=False)
        assert (await asyncio.wait_for(ask(entry, "GET", "/config"), 5)).status_code == 200
        assert not any(one.done() for one in asking)

    asyncio.run(half_sent())


def test_the_gate_stands_before_the_page_and_logs_no_callers_text(site):
    before, forged = len(site.log.read_bytes()), "a\nERROR: forged line"
    for status, method, path, how in (
        (404, "GET", "file=/etc/passwd", {}), (200, "GET", "call/upload/nobody", {}),
        (404, "POST", "call/a%0aERROR:%20forged%20line", {"json": {"data": []}}),
        (422, "POST", "call/v2/upload", {"json": {forged: 1}}),
        (413, "POST", "queue/join", {"content": iter([bytes(8 * KB)] * 9)}),
        (403, "POST", "queue/join", {"headers": {"Origin": "http://evil.example"}}),
        (400, "GET", "info", {"headers": {"Host": "evil.example:7860"}}),
        (200, "GET", "info", {"headers": {"Host": "[::1]:7860"}}),
    ):  # fmt: skip
        url = f"{site.server.url}gradio_api/{path}"
        assert httpx.request(method, url, **how).status_code == status, path
    written = site.log.read_bytes()[before:]
    assert b"forged" not in written and len(written) < 1000


def test_no_caller_is_told_that_the_page_is_elsewhere(page_url):
    """Nor does one tell it to the next: Gradio keeps its description of the API."""
    spoofed = {f"x-forwarded-{name}": "evil.example" for name in ("host", "proto", "prefix")}
    spoofed |= {"forwarded": "host=evil.example", "x-gradio-server": "http://evil"}
    for path in ("", "config", "gradio_api/openapi.json", "gradio_api/info"):
        for headers in (spoofed, {}):
            text = httpx.get(page_url + path, headers=headers).raise_for_status().text
            assert not re.search("evil|https://(127|localhost)", text), path
    assert page_url in text
