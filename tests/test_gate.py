"""What the gate lets in and what it refuses: called with an ASGI scope, then before the page."""

import asyncio
import json
import re
from functools import partial
from ipaddress import ip_network
from types import SimpleNamespace
from urllib.parse import unquote

import httpx
import pytest
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from page import gate
from page.launch import LOCAL_HOSTS, SPACE_PROXIES

KB, MB = 1024, 1024**2
HASH = "ab" * 32
A, UPLOADS, UP = "/gradio_api/", "/tmp/up loads", "/tmp/up%20loads"
FILE = f"{A}file={UP}"
JOIN, UPLOAD, SERVER = A + "queue/join", A + "upload", A + "component_server"


async def gradio(scope, receive, send):
    """Stand in for Gradio: answer with what arrives, or fail as it does."""
    if scope["type"] != "http":
        await send({"type": f"{scope['type']}.close"})
        return
    body = await Request(scope, receive).body()
    if scope["path"].endswith("/unknown") or body == b'{"data": ["fail"]}':
        raise RuntimeError("forged\nERROR: a line")
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    seen = {"client": scope["client"][0], "scheme": scope["scheme"], "headers": headers}
    await JSONResponse({**seen, "size": len(body)})(scope, receive, send)


def new_gate(app=gradio, **options):
    return gate.Gate(app, uploads=UPLOADS, functions={5, 6}, **options)


GATE = new_gate()
MCP = new_gate(mcp=True)


async def ask(app, method, target, *chunks, headers=(), client="8.8.8.8", root_path="", ends=True):
    """Send a request; return its status, its JSON, and the messages of the answer."""
    path, _, query = target.partition("?")
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        if not ends:
            await asyncio.Event().wait()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    named = {"host": "localhost", **dict(headers)}
    scope = {
        "type": "http", "method": method, "path": unquote(path), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": (client, 1), "scheme": "http", "root_path": root_path, "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    answer = json.loads(body) if body.startswith(b"{") else body
    return SimpleNamespace(status=sent[0]["status"], answer=answer, sent=sent)


def now(*request, **options):
    return asyncio.run(ask(*request, **options))


def dumps(**fields) -> bytes:
    return json.dumps(fields).encode()


def padded(size: int) -> bytes:
    return dumps(data=["x" * (size - len(dumps(data=[""])))])


PAGE_CALL = {"data": [None], "event_data": {"value": "Draw"}, "fn_index": 6, "trigger_id": 5}
ANSWER = {"data": {"strokes": [[1, 2]]}, "fn_name": "answer", "component_id": 5}
ANSWER |= {"session_hash": "ln86iyzc3xf"}
RPC = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
GETS = f"""/ /?__theme=dark&view=api /config /assets/Index-Ab_1.js /static/img/logo.svg /theme.css?v
/robots.txt /manifest.json /favicon.ico {A}info {A}openapi.json {A}app_id {A}startup-events
{A}call/upload/0123abcd {A}call/v2/sketch/0123abcd {A}call/read/0123abcd /?__sign={"x" * 3000}
{A}queue/data?session_hash=ab-1 {A}upload_progress?upload_id=x1 {FILE}/{HASH}/3%20–%20drei.png"""
POSTS = [
    (JOIN, {**PAGE_CALL, "session_hash": "ln86iyzc3xf"}),
    (JOIN, {"data": [[[[n, n] for n in range(100)] for _ in range(25)]]}),  # a long drawing
    (JOIN, {"data": [{}], "fn_index": 5, "session_hash": "8d8ac610-566d-4ef0-9c22-186b2a5e"}),
    (f"{A}call/upload/", {"data": [], "session_hash": None, "event_data": None}),
    (f"{A}call/v2/upload", {"image": {"path": "x"}}), (SERVER, ANSWER), (SERVER + "/", ANSWER),
]  # fmt: skip


OWN = [{}, {"origin": "http://localhost"}, {"sec-fetch-site": "same-origin", "origin": "null"}]


def test_it_passes_on_what_the_page_and_clients_send():
    for target in GETS.split():
        assert now(GATE, "GET", target).status == now(GATE, "HEAD", target).status == 200, target
    for target, fields in POSTS:
        body = dumps(**fields)
        for headers in OWN:
            assert now(GATE, "POST", target, body, headers=headers).answer["size"] == len(body)
        assert now(GATE, "POST", target, body[:9], body[9:]).answer["size"] == len(body)


API = {
    "POST": """process_recording run/predict run/upload/ api/upload cancel reset stream/0
        vibe-edit call/lambda queue/data mcp mcp/http/ call/a%0aERROR:%20a%20line call/v2/a%0aERROR
        ../../login ../../""",
    "GET": f"""stream/a/b/1/playlist.m3u8 proxy=http://127.0.0.1/ custom_component/a/client/b/c
        dev/reload custom_component/a%0aERROR/client/x/y vibe-code deep_link?session_hash=a upload
        heartbeat/a queue/status runs token user login_check file=/tmp/x.png file=app.py file=
        file=http://127.0.0.1/ file=https:/127.0.0.1/ file=/etc/passwd file=//host/x.png
        call/nobody/0 queue/join call/upload%0aERROR:%20a/0 ../config mcp/ mcp/schema mcp/sse
        call/upload/{"x" * 65} file={UP}/{HASH}/../{HASH}/3.png file={UP}/{HASH}/ file={UP}/{HASH}
        file={UP}/tmp01 file={UP}/deep_links/x/state.json file=/tmp/other/{HASH}/3.png
        file={UP}/{HASH}/a/3.png file={UP}/{HASH}/3%0a.png file={UP}2/{HASH}/3.png
        file=file://{UP}/{HASH}/3.png file={UP}/{HASH.upper()}/3.png file={UP[1:]}/{HASH}/3.png
        file={UP}/{HASH}/..%2f3.png file={UP}/{HASH}/..%2f..%2f3.png""",
    "HEAD": "proxy=http://127.0.0.1/", "PUT": "upload", "OPTIONS": "upload", "DELETE": "upload",
}  # fmt: skip
OUTSIDE = """/monitoring /monitoring/key /logout /pwa_icon/9 /docs /svelte/svelte.js /openapi.json
    /redoc //gradio_api/info /assets/../../app.py /static/%2e%2e/x"""
WRONG_CALLS = [
    b"", b"7", b"[]", b'{"data": [', b"\xff{}", b"{}", b'{"data": {}}', b'{"data": null}',
    b"[" * 60_000, b'{"data": ' + b"[" * 60_000, b'{"data": [' + b"9" * 60_000 + b"]}",
    b'{"data": [' + b"[]," * 20_000 + b"[]]}", b'{"data": [{"a": [' + b"1," * 30_000 + b"1]}]}",
    b'{"data": [], "session_hash": "a", "session_hash": 7}',
    *(b'{"data": [], %s}' % more for more in (
        b'"session_hash": ["a"]', b'"session_hash": ""', b'"session_hash": "%s"' % (b"x" * 65),
        rb'"session_hash": "a\nERROR: a line"', b'"event_id": 7', b'"fn_index": -1',
        b'"fn_index": 1e3', b'"fn_index": 1000', b'"fn_index": true', b'"fn_index": "5"',
        b'"fn_index": 7', b'"trigger_id": "x"', b'"batched": true', b'"oauth_token": "x"',
        rb'"a\nb": 1',
    )),
]  # fmt: skip
WRONG_ANSWERS = [
    {"fn_name": "accept_blobs"}, {"fn_name": "__class__"}, {"fn_name": None}, {"more": 1},
    {"component_id": "5"}, {"component_id": True}, {"session_hash": None}, {"data": [0] * 9000},
    {"session_hash": "a" * 65}, {"session_hash": "a\nb"},
]  # fmt: skip
QUEUE, PROGRESS = "/gradio_api/queue/data?session_hash=", "/gradio_api/upload_progress?upload_id="
REFUSED = [
    *((404, method, A + path) for method, paths in API.items() for path in paths.split()),
    *((404, "GET", path) for path in OUTSIDE.split()),
    *((403, "POST", A + route, headers, dumps(data=[]))
      for route in ("call/read", "component_server", "queue/join", "upload")
      for headers in ({"origin": "http://evil.example"}, {"origin": "http://localhost:3000"},
                      {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                      {"sec-fetch-site": "same-site", "origin": "http://localhost"},
                      {"origin": "http://evil", "host": "", "x-forwarded-host": ""})),
    *((422, "POST", JOIN, body) for body in WRONG_CALLS),
    *((422, "POST", SERVER, dumps(**{**ANSWER, **change})) for change in WRONG_ANSWERS),
    (422, "POST", SERVER, b'--b\r\nContent-Disposition: form-data; name="fn_name"\r\n\r\n'),
    (422, "POST", "/gradio_api/call/v2/upload", b'{"a\\nERROR: a line": 1}'),
    *((422, "GET", QUEUE + session) for session in ("x" * 65, "a%0ab", "a&session_hash=%0a", "")),
    (422, "GET", PROGRESS + "x" * 65),
    (431, "GET", "/?" + "x" * 5000), (431, "GET", "/" + "x" * 5000),
    (431, "GET", "/", {f"x-{n}": "x" * 500 for n in range(40)}),
    (413, "GET", "/", {"content-length": "1"}), (413, "GET", "/", {"transfer-encoding": "chunked"}),
    (413, "POST", JOIN, padded(64 * KB + 1)), (413, "POST", "/gradio_api/call/upload", padded(MB)),
    (413, "POST", JOIN, {"content-length": "99999999999"}),
    (413, "POST", JOIN, {"content-length": "12"}, padded(MB)),  # more than it says
    (413, "POST", JOIN, *[b" " * 8 * KB] * 9),
    (413, "POST", UPLOAD, {"content-length": str(20 * MB + 1)}),
]  # fmt: skip


def test_it_refuses_with_a_sentence():
    """What reaches the stand-in for Gradio is answered with 200."""
    for status, method, target, *rest in REFUSED:
        headers = next((part for part in rest if isinstance(part, dict)), {})
        chunks = [part for part in rest if isinstance(part, bytes)]
        reply = now(GATE, method, target, *chunks, headers=headers)
        case = f"{method} {target:.200} {rest!r:.200}"
        assert reply.status == status and len(reply.answer["detail"]) > 20, case


@pytest.mark.parametrize("target", ["/gradio_api/mcp", "/gradio_api/mcp/", "/gradio_api/mcp/http/"])
def test_the_model_context_protocol_is_let_in_where_it_is_spoken(target):
    assert now(MCP, "GET", "/gradio_api/mcp/schema").status == 200
    assert now(MCP, "POST", target, dumps(**RPC)).status == 200
    more = {**RPC, "more": 1}, {**RPC, "params": [0] * 9000}, {"data": []}
    for wrong in (b"[%s]" % dumps(**RPC), *(dumps(**body) for body in more)):
        assert now(MCP, "POST", target, wrong).status == 422
    assert now(MCP, "POST", target, dumps(**RPC, params="x" * 70_000)).status == 413
    assert now(MCP, "POST", "/gradio_api/mcp/messages/", dumps(**RPC)).status == 404


def test_a_root_path_is_taken_off():
    """uvicorn and FastAPI name it in the scope; the address may have it or not."""
    for path, status in (("/lenet/config", 200), ("/config", 200), ("/lenet/docs", 404)):
        assert now(GATE, "GET", path, root_path="/lenet").status == status


def test_bodies_have_a_size():
    assert now(GATE, "POST", JOIN, padded(64 * KB)).answer["size"] == 64 * KB
    assert now(GATE, "POST", UPLOAD, *[bytes(MB)] * 20).answer["size"] == 20 * MB
    assert now(GATE, "POST", UPLOAD, *[bytes(MB)] * 20, b"x").status == 413


@pytest.mark.parametrize("target, seconds", [(JOIN, "BODY_SECONDS"), (UPLOAD, "UPLOAD_SECONDS")])
def test_a_body_has_to_come_in_time(monkeypatch, target, seconds):
    monkeypatch.setattr(gate, seconds, 0.05)
    sizes = []
    entry = new_gate(on_upload=sizes.append)
    reply = now(entry, "POST", target, headers={"content-length": "60000"}, ends=False)
    assert reply.status == 408
    assert sizes == [60_000] * (target == UPLOAD), "the purge is told of it"


def test_gradios_failures_are_a_sentence(caplog):
    assert now(GATE, "POST", JOIN, b'{"data": ["fail"]}').status == 422
    assert now(GATE, "GET", "/gradio_api/call/upload/unknown").status == 404

    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("forged\nERROR: a line")

    assert now(new_gate(broken), "GET", QUEUE + "a").sent[-1] == {"type": "http.response.body"}
    assert [r.getMessage() for r in caplog.records] == ["Refused a request: RuntimeError"] * 3


def test_a_stream_arrives_as_it_is_sent_and_what_is_not_http_passes():
    sent = []

    async def streaming(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in (b"0", b"1"):
            await send({"type": "http.response.body", "body": number, "more_body": True})

    async def send(message):
        sent.append(message["type"])

    reply = now(new_gate(streaming), "GET", QUEUE + "a")
    assert [message.get("body") for message in reply.sent] == [None, b"0", b"1"]
    for kind in ("websocket", "lifespan"):
        asyncio.run(GATE({"type": kind, "path": "/anything"}, None, send))
    assert sent == ["websocket.close", "lifespan.close"]


def test_on_localhost_it_is_served_by_these_names_and_no_other():
    hosts = TrustedHostMiddleware(GATE, allowed_hosts=LOCAL_HOSTS)

    def status(host):
        return now(hosts, "GET", "/config", headers={"host": host}).status

    ours = "localhost", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST:1"
    others = (
        "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.7:7860", "",
        "localhost:7860@evil.example", "evil.example/localhost", "localhost, evil.example", "a b",
    )  # fmt: skip
    assert {*map(status, ours)} == {200} and {*map(status, others)} == {400}


def by_proxy(hops: str | None, peer: str = "10.0.0.5") -> str:
    """Ask as a Space's proxy does; return whom the page counts the request for."""
    networks = tuple(map(ip_network, SPACE_PROXIES.split(",")))
    entry = ProxyHeadersMiddleware(new_gate(proxies=networks), SPACE_PROXIES)
    headers = {} if hops is None else {"x-forwarded-for": hops}
    return now(entry, "GET", "/config", headers=headers, client=peer).answer["client"]


def test_in_a_space_addresses_are_the_visitors():
    for hops, counted in (
        ("9.9.9.9", "9.9.9.9"), ("9.9.9.9, 10.0.0.1", "9.9.9.9"), ("8.8.8.8, 9.9.9.9", "9.9.9.9"),
        ("8.8.8.8, 9.9.9.9, 172.16.3.4", "9.9.9.9"), ("9.9.9.9:4711, 10.0.0.1:80", "9.9.9.9"),
        ("::ffff:9.9.9.9", "9.9.9.9"), ("9.9.9.9, ::ffff:10.0.0.5", "9.9.9.9"),
        ("[2a01:4f8:1:2::1]:80", "2a01:4f8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("2a01:4f8:1:2:ffff::9", "2a01:4f8:1:2::/64"), ("8.8.8.8, unknown", "unknown"),
        ("x" * 500, "x" * 64), (None, "proxy"), (",", "proxy"), ("8.8.8.8, ", "proxy"),
        ("10.9.9.9, 10.0.0.5", "proxy"), ("fd00::7, 192.168.1.1", "proxy"), ("::1", "proxy"),
        ("::ffff:10.1.1.1, 100.64.0.9", "proxy"),
    ):  # fmt: skip
        assert by_proxy(hops) == counted
        assert by_proxy(hops, peer="8.8.4.4") == "8.8.4.4", "whom no proxy vouches for"


async def together(target: str, number: int, other: str) -> list[int]:
    """Ask so often at once; return how many reach Gradio, and what others are told meanwhile."""
    release, reached = asyncio.Event(), []

    async def held(scope, receive, send):
        if scope["path"] != other:
            reached.append(scope)
            await release.wait()
        await gradio(scope, receive, send)

    entry = new_gate(held, mcp=True)
    method, body = ("POST", [padded(99)]) if target in (JOIN, UPLOAD) else ("GET", [])
    half_sent = target == JOIN and other == "/config"
    one = partial(ask, entry, method, target, *body, ends=not half_sent)
    asking = [asyncio.create_task(one()) for _ in range(number)]
    for _ in range(100):  # all go as far as they can
        await asyncio.sleep(0)
    count = len(reached)
    told = [(await ask(entry, "GET", other, client=client)).status for client in (BUSY, IDLE)]
    if half_sent:
        assert not any(one.done() for one in asking), "the others waited until their time was over"
        return [count, *told]
    release.set()
    assert {(await one).status for one in asking} == {200} and not entry.callers
    return [count, *told]


BUSY, IDLE, STREAM = "8.8.8.8", "8.8.4.4", "/gradio_api/call/read/other"


@pytest.mark.parametrize(
    "target, number, other, expected",
    [
        (QUEUE + "a", 256, STREAM, [256, 429, 200]), (A + "info", 255, STREAM, [16, 200, 200]),
        (JOIN, 40, STREAM, [16, 200, 200]), (UPLOAD, 40, STREAM, [16, 200, 200]),
        (JOIN, 40, "/config", [0, 200, 200]), (A + "mcp/", 40, "/config", [40, 200, 200]),
    ],
    ids=["all", "some wait", "calls", "uploads", "half-sent bodies", "a program's streams"],
)  # fmt: skip
def test_an_address_has_so_many_requests_and_another_its_own(target, number, other, expected):
    """Beyond those that are served some wait; half-sent bodies and streams lock nobody out."""
    assert asyncio.run(asyncio.wait_for(together(target, number, other), 20)) == expected


def test_the_gate_stands_before_the_page(page_url):
    for status, method, path, how in (
        (404, "GET", A + "file=/etc/passwd", {}), (404, "POST", A + "cancel", {"json": {}}),
        (422, "POST", JOIN, {"json": {}}), (413, "POST", JOIN, {"content": padded(MB)}),
        (413, "POST", JOIN, {"content": iter([bytes(8 * KB)] * 9)}),
        (403, "POST", JOIN, {"headers": {"Origin": "http://evil.example"}}),
        (431, "GET", "/", {"headers": {"X-Long": "x" * 17_000}}),
        (400, "GET", "/config", {"headers": {"Host": "evil.example:7860"}}),
    ):  # fmt: skip
        assert httpx.request(method, page_url[:-1] + path, **how).status_code == status, path


def test_what_is_refused_leaves_no_callers_text_in_the_log(site):
    before = len(site.log.read_bytes())
    forged = "a\nERROR: forged line"
    with httpx.Client(base_url=site.server.url) as http:
        http.get("gradio_api/call/upload/nobody")
        http.post("gradio_api/call/a%0aERROR:%20forged%20line", json={"data": []})
        http.post("gradio_api/call/v2/upload", json={forged: 1})
        http.post("gradio_api/queue/join", json={"data": [], "fn_index": 5, "session_hash": forged})
        http.get("gradio_api/queue/data?session_hash=nobody")
    written = site.log.read_bytes()[before:]
    assert b"forged" not in written and len(written) < 1000


def test_no_caller_is_told_that_the_page_is_elsewhere(page_url):
    """Nor does one tell it to the next: Gradio keeps its description of the API."""
    names = "host", "proto", "for", "prefix"
    spoofed = {f"x-forwarded-{name}": "evil.example" for name in names}
    spoofed |= {"forwarded": "host=evil.example", "x-real-ip": "8.8.8.8"}
    spoofed |= {"x-gradio-server": "http://evil", "x-gradio-original-url": "http://evil"}
    for path in ("", "config", "gradio_api/info", "gradio_api/openapi.json"):
        for headers in (spoofed, {}):
            reply = httpx.get(page_url + path, headers=headers)
            assert reply.status_code == 200
            assert not re.search("evil|https://(127|localhost)", reply.text), path
    assert page_url in httpx.get(f"{page_url}gradio_api/info").text
