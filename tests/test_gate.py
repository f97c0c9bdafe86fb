"""What the gate lets in and what it refuses: before a small application, and before the page."""

import asyncio
import json
import re
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from conftest import serve_page
from serving import ROOT, free_port
from starlette.responses import JSONResponse, StreamingResponse
from test_uploads import META, call

from page.gate import LOCAL_HOSTS, MB, Gate

KB = 1024

HASH = "ab" * 32
SEVEN = (ROOT / "examples" / "digits" / "7-crossed.png").read_bytes()
JSON = {"Content-Type": "application/json"}


# Before a small application


async def small_app(scope, receive, send):
    """Answer with what arrives; stream where the page does; fail where it is asked to."""
    if scope["type"] != "http":
        await receive()
        await send({"type": f"{scope['type']}.close"})
        return
    if scope["path"].endswith("/queue/data"):

        async def events():
            for number in range(3):
                yield f"data: {number}\n\n"
                await asyncio.sleep(float(scope["query_string"].partition(b"wait=")[2] or 0.1))

        await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"].endswith("/call/sketch"):
        raise RuntimeError("forged\nERROR: a line")
    seen = {"path": scope["path"], "scheme": scope["scheme"], "client": scope["client"][0]}
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    await JSONResponse({**seen, "headers": headers, "size": size})(scope, receive, send)


@contextmanager
def serve(**options):
    """Serve the small application behind a gate; give its address."""
    port = free_port()
    gate = Gate(small_app, files=["/tmp/up loads"], **options)
    server = uvicorn.Server(
        uvicorn.Config(gate, port=port, log_level="critical", forwarded_allow_ips="")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(5)


@pytest.fixture(scope="module")
def url():
    with serve(hosts=LOCAL_HOSTS) as url:
        yield url


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url, timeout=10) as http:
        yield http


def sentence(reply: httpx.Response, status: int) -> str:
    assert reply.status_code == status, reply.text
    return reply.json()["detail"]


def raw(url: str, *parts: bytes, seconds: float = 5) -> bytes:
    """Send bytes as they are; give what comes until the server closes."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), timeout=seconds) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
            while more := connection.recv(65536):
                answer += more
        except (TimeoutError, ConnectionError):
            pass
    return answer


def head(method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/"), ("HEAD", "/"), ("GET", "/?__theme=dark&view=api"), ("GET", "/config"),
        ("GET", "/assets/Index-Ab_1.js"), ("GET", "/static/img/logo.svg"), ("GET", "/theme.css?v"),
        ("GET", "/gradio_api/info"), ("GET", "/gradio_api/openapi.json"), ("GET", "/robots.txt"),
        ("GET", "/gradio_api/app_id"), ("GET", "/gradio_api/startup-events"),
        ("GET", "/gradio_api/call/upload/0123abcd"), ("GET", "/gradio_api/call/v2/sketch/0123abcd"),
        ("GET", "/gradio_api/call/read/0123abcd"),
        ("GET", "/gradio_api/queue/data?session_hash=ab-1"), ("GET", "/manifest.json"),
        ("GET", "/gradio_api/upload_progress?upload_id=x1"), ("GET", "/favicon.ico"),
        ("GET", f"/gradio_api/file=/tmp/up%20loads/{HASH}/3 – drei.png"),
    ],
)  # fmt: skip
def test_it_lets_in_what_the_page_asks(http, method, path):
    assert http.request(method, path).status_code == 200


MCP = [
    ("GET", "/gradio_api/mcp/"), ("GET", "/gradio_api/mcp/schema"), ("POST", "/gradio_api/mcp"),
    ("POST", "/gradio_api/mcp/"), ("POST", "/gradio_api/mcp/http/"),
]  # fmt: skip


@pytest.mark.parametrize("method, path", MCP)
def test_programs_model_context_protocol_is_let_in_where_it_is_spoken(http, method, path):
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    body = {"json": call} if method == "POST" else {}
    assert http.request(method, path, **body).status_code == 404
    with serve(mcp=True) as url:
        assert httpx.request(method, url[:-1] + path, **body).status_code == 200
        older = httpx.post(f"{url}gradio_api/mcp/messages/", json=call)
        assert older.status_code == httpx.get(f"{url}gradio_api/mcp/sse").status_code == 404
        if method == "POST":
            for wrong in (
                [call],
                {"data": []},
                {**call, "more": 1},
                {**call, "params": [0] * 9000},
            ):
                assert httpx.post(url[:-1] + path, json=wrong).status_code == 422
            long = {**call, "params": "x" * 70_000}
            assert httpx.post(url[:-1] + path, json=long).status_code == 413


REFUSED = {
    "POST": [
        "/gradio_api/process_recording", "/gradio_api/run/predict", "/gradio_api/run/upload/",
        "/gradio_api/api/upload", "/gradio_api/cancel", "/gradio_api/reset",
        "/gradio_api/stream/0", "/gradio_api/stream/0/close", "/gradio_api/vibe-edit",
        "/gradio_api/vibe-code/", "/gradio_api/undo-vibe-edit",
        "/gradio_api/vibe-starter-queries", "/login", "/gradio_api/call/lambda",
        "/gradio_api/queue/data", "/",
    ],
    "GET": [
        "/gradio_api/stream/a/b/1/playlist.m3u8", "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/custom_component/a/client/b/c", "/gradio_api/dev/reload",
        "/gradio_api/vibe-code", "/gradio_api/deep_link?session_hash=a", "/monitoring",
        "/monitoring/summary", "/monitoring/key", "/gradio_api/heartbeat/a",
        "/gradio_api/queue/status", "/gradio_api/runs", "/gradio_api/token", "/gradio_api/user",
        "/gradio_api/login_check", "/logout", "/pwa_icon", "/pwa_icon/99999999",
        "/svelte/svelte.js", "/gradio_api/file/tmp/x.png", "/docs", "/openapi.json", "/redoc",
        "/gradio_api/file=http://127.0.0.1/", "/gradio_api/file=https:/127.0.0.1/",
        "/gradio_api/file=/etc/passwd", "/gradio_api/file=app.py",
        "/gradio_api/file=//host/x.png", "/gradio_api/file=", "/gradio_api/call/nobody/0",
        "/gradio_api/queue/join", "/assets/../../app.py", "/static/%2e%2e/x",
        "/gradio_api/call/upload%0aERROR:%20a%20line/0", "//gradio_api/info",
        "/gradio_api/../config",
    ],
    "HEAD": [
        "/gradio_api/proxy=http://127.0.0.1/",
    ],
    "DELETE": [
        "/",
    ],
    "PUT": [
        "/gradio_api/upload",
    ],
    "OPTIONS": [
        "/gradio_api/upload",
    ],
}  # fmt: skip
TABLE = [(method, path) for method, paths in REFUSED.items() for path in paths]


@pytest.mark.parametrize("method, path", TABLE)
def test_it_refuses_every_other_route(url, method, path):
    answer = raw(url, head(method, path, "Content-Length: 2"), b"{}")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert method == "HEAD" or json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]


@pytest.mark.parametrize(
    "place",
    [
        f"/tmp/up loads/{HASH}/../{HASH}/3.png", f"/tmp/up loads/{HASH}/", f"/tmp/up loads/{HASH}",
        "/tmp/up loads/deep_links/x/state.json", "/tmp/up loads/tmp01", f"/tmp/other/{HASH}/3.png",
        f"/tmp/up loads/{HASH}/a/3.png", f"/tmp/up loads/{HASH}/3%0a.png",
        f"/tmp/up loads2/{HASH}/3.png",
        f"file:///tmp/up loads/{HASH}/3.png", f"/tmp/up loads/{HASH.upper()}/3.png",
        f"tmp/up loads/{HASH}/3.png", f"/tmp/up loads/{HASH}/..%2f..%2f3.png",
    ],
)  # fmt: skip
def test_it_serves_no_file_but_uploads(url, place):
    path = f"/gradio_api/file={place}".replace(" ", "%20")
    assert raw(url, head("GET", path)).startswith(b"HTTP/1.1 404 ")


def test_a_root_path_is_taken_off():
    """uvicorn and FastAPI name it in the scope; the address may have it or not."""

    async def at(path, root_path):
        scope = asgi_scope("GET", path, root_path=root_path)
        return await through(Gate(small_app), scope, [])

    assert asyncio.run(at("/lenet/config", "/lenet")) == 200
    assert asyncio.run(at("/config", "/lenet")) == 200
    assert asyncio.run(at("/lenet/monitoring", "/lenet")) == 404
    assert asyncio.run(at("/lenet/config", "")) == 404


# Sizes

QUEUE = "/gradio_api/queue/join"


def body(size: int, **fields) -> bytes:
    empty = json.dumps({"data": [""], **fields})
    return json.dumps({"data": ["x" * (size - len(empty))], **fields}).encode()


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def test_a_body_has_at_most_64_kb(http):
    assert http.post(QUEUE, content=body(64 * KB)).json()["size"] == 64 * KB
    assert "64 KB" in sentence(http.post(QUEUE, content=body(64 * KB + 1)), 413)
    assert "64 KB" in sentence(http.post("gradio_api/call/upload", content=body(MB)), 413)


def test_a_chunked_body_is_counted(url):
    start = head("POST", QUEUE, "Transfer-Encoding: chunked")
    whole = body(64 * KB)
    answer = raw(url, start, chunked(whole[:9], whole[9:], b""))
    assert answer.startswith(b"HTTP/1.1 200") and b'"size":65536' in answer
    # It never ends, and is refused all the same.
    answer = raw(url, start, *[chunked(b" " * 8 * KB)] * 9)
    assert answer.startswith(b"HTTP/1.1 413") and b"64 KB" in answer


def test_lying_about_the_length_does_not_help(url):
    for headers in (["Content-Length: 99999999999"], ["Content-Length: 18000000"]):
        assert raw(url, head("POST", QUEUE, *headers), body(9)).startswith(b"HTTP/1.1 413")
    for headers in (["Content-Length: -1"], ["Content-Length: 9", "Content-Length: 99"]):
        assert raw(url, head("POST", QUEUE, *headers), body(9)).startswith(b"HTTP/1.1 400")
    # Less than comes: the rest is not part of the request.
    answer = raw(url, head("POST", QUEUE, "Content-Length: 12"), b'{"data": []}' + body(MB))
    assert answer.startswith(b"HTTP/1.1 200") and b'"size":12' in answer

    async def unchecked():  # by a server that does not check
        scope = asgi_scope("POST", QUEUE, content_length="12")
        return await through(Gate(small_app), scope, [body(MB)[:MB]])

    assert asyncio.run(unchecked()) == 413


def test_a_get_has_no_body(url):
    assert raw(url, head("GET", "/", "Content-Length: 1"), b"x").startswith(b"HTTP/1.1 413")
    start = head("GET", "/", "Transfer-Encoding: chunked")
    assert raw(url, start, chunked(b"x", b"")).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "path, headers, status",
    [
        ("/?" + "x" * 5000, {}, 431), ("/" + "x" * 5000, {}, 431),
        ("/", {"X-Long": "x" * 20_000}, 431), ("/", {f"X-{n}": "x" * 500 for n in range(40)}, 431),
        ("/?__sign=" + "x" * 3000, {"Cookie": "x" * 6000}, 200),
        ("/gradio_api/queue/data?session_hash=" + "x" * 65, {}, 422),
        ("/gradio_api/queue/data?session_hash=a%0ab", {}, 422),
        ("/gradio_api/queue/data?session_hash=a&session_hash=" + "x" * 99, {}, 422),
        ("/gradio_api/upload_progress?upload_id=" + "x" * 65, {}, 422),
        ("/gradio_api/call/upload/" + "x" * 65, {}, 404),
    ],
)  # fmt: skip
def test_addresses_headers_and_ids_have_a_length(http, path, headers, status):
    reply = http.get(path, headers=headers)
    assert reply.status_code == status and (status == 200 or reply.json()["detail"])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"7", b"[]", b'{"data": [', b"\xff{}", b"{}", b'{"data": {}}', b'{"data": null}',
        b"[" * 60_000, b'{"data": ' + b"[" * 60_000, b'{"data": [' + b"9" * 60_000 + b"]}",
        b'{"data": [' + b"[]," * 20_000 + b"[]]}", b'{"data": [{"a": [' + b"1," * 30_000 + b"1]}]}",
        b'{"data": [], "session_hash": 7}', b'{"data": [], "session_hash": ["a"]}',
        b'{"data": [], "session_hash": {"a": 1}}', b'{"data": [], "session_hash": ""}',
        b'{"data": [], "session_hash": "%s"}' % (b"x" * 65),
        rb'{"data": [], "session_hash": "a\nERROR: a line"}', b'{"data": [], "event_id": 7}',
        b'{"data": [], "fn_index": -1}', b'{"data": [], "fn_index": 1e3}',
        b'{"data": [], "fn_index": 1000}', b'{"data": [], "fn_index": true}',
        b'{"data": [], "fn_index": "1"}', b'{"data": [], "trigger_id": "x"}',
        b'{"data": [], "batched": true}', b'{"data": [], "simple_format": true}',
        b'{"data": [], "oauth_token": "x"}', b'{"data": [], "a\\nb": 1}',
        b'{"data": [], "session_hash": "a", "session_hash": 7}',
    ],
)  # fmt: skip
def test_json_that_no_client_sends_is_refused(http, content):
    assert sentence(http.post(QUEUE, content=content, headers=JSON), 422)


SERVER = {"data": {"strokes": [[1, 2]]}, "fn_name": "answer", "component_id": 5}
SERVER |= {"session_hash": "ln86iyzc3xf"}


def test_the_page_calls_its_own_function(http):
    for path in ("gradio_api/component_server", "gradio_api/component_server/"):
        assert http.post(path, json=SERVER).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"fn_name": "accept_blobs"}, {"fn_name": "__class__"}, {"fn_name": None},
        {"component_id": "5"}, {"component_id": True}, {"session_hash": None},
        {"session_hash": "a" * 65}, {"session_hash": "a\nb"}, {"more": 1}, {"data": [0] * 9000},
    ],
)  # fmt: skip
def test_no_other_function_is_called(http, change):
    """Gradio's pad has one that takes files."""
    assert sentence(http.post("gradio_api/component_server", json={**SERVER, **change}), 422)
    files = {"file": ("a", b"x"), "fn_name": (None, "accept_blobs")}
    assert http.post("gradio_api/component_server", files=files).status_code == 422


def test_json_that_clients_send_is_passed_on(http):
    page = {"data": [None], "event_data": {"value": "Draw", "index": 0}, "fn_index": 6}
    page |= {"trigger_id": 5, "session_hash": "ln86iyzc3xf"}
    python = {"data": [{}], "fn_index": 5, "session_hash": "8d8ac610-566d-4ef0-9c22-186b2a5ed793"}
    strokes = {"data": [[[[n, n] for n in range(100)] for _ in range(25)]]}  # a long drawing
    for fields in (page, python, strokes, {"data": [], "session_hash": None, "event_data": None}):
        content = json.dumps(fields).encode()
        assert http.post(QUEUE, content=content, headers=JSON).json()["size"] == len(content)
    named = http.post("gradio_api/call/v2/upload", json={"image": {"path": "x", **META}})
    assert named.status_code == 200


def test_what_a_call_makes_fail_is_a_sentence(http, caplog):
    assert sentence(http.post("gradio_api/call/sketch", json={"data": []}), 422)
    assert [record.getMessage() for record in caplog.records if "page.gate" in record.name] == [
        "Refused a call: RuntimeError"
    ]


# Uploads


def form(*parts: tuple[str, bytes], end: bytes = b"--\r\n", boundary: str = "b") -> bytes:
    """A multipart form of parts: each one's headers' end, and its content."""
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {text}\r\n\r\n".encode() + data + b"\r\n"
        for text, data in parts
    ]
    return b"".join(lines) + f"--{boundary}".encode() + end


FILE = 'name="files"; filename="7.png"'
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FORMS = {
    "another field": [form(('name="other"; filename="7.png"', SEVEN))],
    "another after it": [form((FILE, SEVEN), ('name="x"; filename="7.png"', SEVEN))],
    "two files": [form((FILE, SEVEN), (FILE, SEVEN))],
    "a field without a file": [form(('name="files"', SEVEN))],
    "a text beside the file": [form(('name="session_hash"', b"x"), (FILE, SEVEN))],
    "no name": [form(('filename="7.png"', SEVEN))],
    "no file": [form()],
    "an empty body": [b""],
    "no form": [b"x" * 1000],
    "a long name": [form((f'name="files"; filename="{"x" * 2000}"', SEVEN))],
    "many headers": [form((FILE + "\r\nX: y" * 300, SEVEN))],
    "half of a file": [form((FILE, SEVEN))[:500]],
    "no end": [form((FILE, SEVEN), end=b"")],
}
TYPES = {
    "no type": {},
    "another type": {"Content-Type": "application/json"},
    "no boundary": {"Content-Type": "multipart/form-data"},
    "a long boundary": {"Content-Type": "multipart/form-data; boundary=" + "b" * 300},
    "names in another alphabet": {"Content-Type": "multipart/form-data; boundary=b; charset=cp500"},
}


def post_form(http, parts: list[bytes], headers: dict) -> httpx.Response:
    return http.post("gradio_api/upload", content=iter(parts), headers=headers)


@pytest.mark.parametrize("kind", [*FORMS, *TYPES])
def test_an_upload_is_one_file_named_files(http, kind):
    parts = FORMS.get(kind, [form((FILE, SEVEN))])
    assert sentence(post_form(http, parts, TYPES.get(kind, FORM)), 400)
    # However it is cut into pieces.
    content = b"".join(parts)
    pieces = [content[n : n + 97] for n in range(0, len(content), 97)]
    assert sentence(post_form(http, pieces, TYPES.get(kind, FORM)), 400)


def test_an_upload_has_at_most_20_mb_in_all(http):
    most = 20 * MB - len(form((FILE, b"")))
    assert post_form(http, [form((FILE, bytes(most)))], FORM).json()["size"] == 20 * MB
    files = {"files": ("7.png", bytes(20 * MB))}
    assert "20 MB" in sentence(http.post("gradio_api/upload", files=files), 413)
    content = form((FILE, bytes(most + 1)))
    assert "20 MB" in sentence(post_form(http, [content[: 9 * MB], content[9 * MB :]], FORM), 413)


def test_uploads_under_way_have_a_sum_and_are_told_of():
    told = []
    with serve(max_upload_in_flight=MB, on_upload=told.append) as url, httpx.Client() as http:
        start = head(
            "POST", "/gradio_api/upload", "Content-Length: 900000", *map(": ".join, FORM.items())
        )
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port)) as slow:
            slow.sendall(start + form((FILE, bytes(800_000)), end=b"")[:-3])
            time.sleep(0.2)
            reply = http.post(f"{url}gradio_api/upload", files={"files": ("7.png", bytes(MB // 2))})
            assert "at once" in sentence(reply, 429)
            small = http.post(f"{url}gradio_api/upload", files={"files": ("7.png", SEVEN)})
            assert small.status_code == 200
        time.sleep(0.2)  # it has gone, and its place with it
        reply = http.post(f"{url}gradio_api/upload", files={"files": ("7.png", bytes(MB // 2))})
        assert reply.status_code == 200
    assert len(told) == 4 and any(800_000 < size < 801_000 for size in told)


# Callers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7860", "[::1]:7860", "LOCALHOST:1"])
def test_on_localhost_it_is_served_by_these_names(http, host):
    assert http.get("config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.7:7860", "",
             "localhost:7860@evil.example", "evil.example/localhost", "localhost, evil.example"]
)  # fmt: skip
def test_and_by_no_other(http, host):
    assert "this machine" in sentence(http.get("config", headers={"Host": host}), 421)


def test_in_public_any_name_will_do():
    with serve() as url:
        assert httpx.get(f"{url}config", headers={"Host": "lab.example:80"}).status_code == 200
        assert httpx.get(f"{url}config", headers={"Host": "a b"}).status_code == 421


SPOOFED = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "8.8.8.8",
    "X-Gradio-Server": "http://evil.example", "Forwarded": "host=evil.example",
    "X-Forwarded-Prefix": "/evil", "X-Real-IP": "8.8.8.8", "X-Gradio-Original-Url": "http://evil",
}  # fmt: skip


def test_without_a_proxy_a_caller_does_not_say_where_the_page_is(http):
    seen = http.get("", headers=SPOOFED | {"Accept-Language": "fr"}).json()
    assert seen["headers"]["accept-language"] == "fr" and seen["scheme"] == "http"
    assert not re.search("evil|8.8.8.8", json.dumps(seen["headers"]))


def test_behind_a_proxy_the_proxy_does():
    with serve(believe_address=True, believe_host=True) as url:
        seen = httpx.get(url, headers=SPOOFED).json()
        assert seen["headers"]["x-forwarded-host"] == "evil.example"
        assert seen["scheme"] == "https" and seen["client"] == "8.8.8.8"
        assert "x-gradio-server" not in seen["headers"]
        seen = httpx.get(f"{url}config", headers=SPOOFED).json()  # of Gradio's own Node server
        assert seen["headers"]["x-gradio-server"] == "http://evil.example"
        broken = httpx.get(f"{url}config", headers={"X-Forwarded-Host": "a b/c"}).json()
        assert "x-forwarded-host" not in broken["headers"]


@contextmanager
def waiting(url: str, number: int, **headers: str):
    """Hold so many streams open."""
    with ExitStack() as stack, httpx.Client(limits=httpx.Limits(max_connections=None)) as client:
        for _ in range(number):
            stream = client.stream("GET", f"{url}gradio_api/queue/data?wait=2", headers=headers)
            stack.enter_context(stream)
        yield


def status(url: str, **headers: str) -> int:
    return httpx.get(f"{url}config", headers=headers).status_code


def test_one_address_has_so_many_requests_at_once():
    with serve(max_in_flight=5) as url:
        for _ in range(2):  # the places are free again afterwards
            with waiting(url, 5):
                assert "at once" in sentence(httpx.get(f"{url}config"), 429)
            time.sleep(0.2)
            assert status(url) == 200
        with waiting(url, 5, **{"X-Forwarded-For": "9.9.9.9"}):
            # Without a proxy, a header does not make it another address.
            assert status(url, **{"X-Forwarded-For": "8.8.4.4"}) == 429


def test_behind_a_proxy_addresses_are_the_visitors():
    def by(hops):
        return {"X-Forwarded-For": hops}

    with (
        serve(max_in_flight=3, believe_address=True) as url,
        waiting(url, 3, **by("9.9.9.9, 10.0.0.1")),
    ):
        assert status(url, **by("9.9.9.9, 10.0.0.2")) == 429
        assert status(url, **by("8.8.8.8, 9.9.9.9")) == 429, "a hop that the caller has put there"
        assert status(url, **by("9.9.9.9:4711, 10.0.0.1:80")) == 429, "with ports"
        assert status(url, **by("8.8.4.4, 10.0.0.1")) == 200
        assert status(url, **by("")) == status(url, **by(",")) == 200
        with waiting(url, 3, **by("2a01:4f8:1:2::1")):
            assert status(url, **by("2a01:4f8:1:2:ffff::9")) == 429, "the same network"
            assert status(url, **by("2a01:4f8:1:3::1")) == 200


# What passes untouched


def test_a_stream_arrives_as_it_is_sent(url):
    came = []
    with httpx.stream("GET", f"{url}gradio_api/queue/data?session_hash=a") as stream:
        for chunk in stream.iter_raw():
            came.append((chunk, time.monotonic()))
    assert [chunk for chunk, _ in came] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert came[2][1] - came[0][1] > 0.15


def asgi_scope(method, path, root_path="", content_length=None, kind="http") -> dict:
    headers = [(b"host", b"localhost")]
    if content_length:
        headers.append((b"content-length", content_length.encode()))
    address = {"path": path, "root_path": root_path, "query_string": b"", "scheme": "http"}
    caller = {"headers": headers, "client": ("127.0.0.1", 1)}
    return {"type": kind, "method": method, **address, **caller}


async def through(gate, scope, chunks: list[bytes]) -> int | str:
    """Send a request through a gate without a server; give the status, or what else it sends."""
    messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    sent = []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await gate(scope, receive, send)
    return sent[0].get("status", sent[0]["type"])


def test_what_is_not_http_passes():
    for kind in ("websocket", "lifespan"):
        scope = asgi_scope("GET", "/anything", kind=kind)
        assert asyncio.run(through(Gate(small_app, hosts=["x"]), scope, [])) == f"{kind}.close"


# Before the page

ELSEWHERE = "evil|https://(127|localhost)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page, with a folder of its own: its address, the folder, its log."""
    folder = tmp_path_factory.mktemp("site") / "uploads"
    log = folder.parent / "log"
    with serve_page(log, GRADIO_TEMP_DIR=str(folder)) as server:
        httpx.get(f"{server.url}gradio_api/info", headers=SPOOFED)  # its first call: it may be kept
        yield server.url, folder, log


@pytest.fixture(scope="module")
def page(site):
    with httpx.Client(base_url=site[0], timeout=30) as page:
        good_picture(page)  # the first waits for the weights to load
        yield page


def good_picture(page) -> str:
    path = page.post("gradio_api/upload", files={"files": ("7.png", SEVEN)}).json()[0]
    return call(page, "call/upload", {"data": [{"path": path, **META}]})


@pytest.fixture(autouse=True)
def next_visitor(request):
    """After each attack on the page, the next visitor's good picture is answered."""
    yield
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        text = good_picture(page)
        assert "event: complete" in text and "That is a 7" in text


@pytest.mark.parametrize("method, path", TABLE)
def test_the_page_has_no_such_route(site, method, path):
    answer = raw(site[0], head(method, path, "Content-Length: 2"), b"{}")
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("route", ["queue/data?session_hash=nobody", "call/upload/nobody"])
def test_a_stream_of_nobody_is_refused_without_a_word_in_the_log(site, page, route):
    """Gradio would write five kilobytes there, each time."""
    before = site[2].stat().st_size
    reply = page.get(f"gradio_api/{route}")
    assert re.search("event: error|404: Not Found", reply.text), reply.text
    assert site[2].stat().st_size - before < 200


@pytest.mark.parametrize(
    "route", ["call/upload", "call/sketch", "call/v2/upload", "queue/join", "call/upload/"]
)
def test_the_page_takes_no_large_body(site, page, route):
    fields = {"fn_index": 5, "session_hash": "a"} if route == "queue/join" else {}
    assert sentence(page.post(f"gradio_api/{route}", content=body(18 * MB, **fields)), 413)
    start = head("POST", f"/gradio_api/{route}", "Transfer-Encoding: chunked")
    # No more than the gate reads before it closes: what is sent later may cost us the answer.
    assert raw(site[0], start, chunked(b" " * (MB // 2))).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("session", ["x" * 60_000, 7, ["a"], "a\nb"])
def test_the_page_keeps_no_odd_session(page, session):
    for route, fields in (("queue/join", {"fn_index": 5}), ("call/upload", {})):
        content = {"data": [None], "session_hash": session, **fields}
        assert sentence(page.post(f"gradio_api/{route}", json=content), 422)
    if isinstance(session, str):
        query = {"session_hash": session[:1000], "upload_id": session[:1000]}
        for route in ("queue/data", "upload_progress"):
            assert sentence(page.get(f"gradio_api/{route}", params=query), 422)


@pytest.mark.parametrize(
    "route, fields",
    [("queue/join", {"data": [], "fn_index": 999, "session_hash": "a"}),
     ("call/v2/upload", {"nobody": 1}), ("call/v2/sketch", {})],
)  # fmt: skip
def test_calls_that_gradio_fails_at_are_refused(site, page, route, fields):
    assert sentence(page.post(f"gradio_api/{route}", json=fields), 422)
    assert "Traceback" not in site[2].read_text()


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", [*FORMS, *TYPES])
def test_no_upload_that_is_refused_leaves_a_file(site, page, kind):
    before = files(site[1])
    content = b"".join(FORMS.get(kind, [form((FILE, SEVEN))]))
    pieces = [content[n : n + 300] for n in range(0, len(content), 300)]
    assert sentence(post_form(page, pieces, TYPES.get(kind, FORM)), 400)
    assert files(site[1]) == before


def test_no_upload_that_breaks_off_leaves_a_file(site, page):
    before = files(site[1])
    address = httpx.URL(site[0])
    headers = ["Content-Length: 5000000", *map(": ".join, FORM.items())]
    with socket.create_connection((address.host, address.port)) as connection:
        connection.sendall(head("POST", "/gradio_api/upload", *headers))
        connection.sendall(form((FILE, bytes(2_000_000)), end=b"")[:-3])
        deadline = time.monotonic() + 5
        while files(site[1]) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert files(site[1]) != before, "it was on its way"
    while files(site[1]) != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert files(site[1]) == before


def test_no_upload_that_is_too_large_leaves_a_file(site, page):
    before = files(site[1])
    assert sentence(post_form(page, [form((FILE, bytes(20 * MB)))], FORM), 413)
    content = form((FILE, bytes(19 * MB)), (FILE, bytes(19 * MB)))
    reply = post_form(page, [content[n : n + MB] for n in range(0, len(content), MB)], FORM)
    assert reply.status_code in (400, 413)
    assert files(site[1]) == before


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Proto", "X-Gradio-Server"])
def test_no_caller_is_told_that_the_page_is_elsewhere(page, name):
    for path in ("config", "") if name != "X-Gradio-Server" else ("",):  # see `FROM_NODE`
        reply = page.get(path, headers={name: SPOOFED[name]})
        assert reply.status_code == 200 and page.base_url.host in reply.text
        assert not re.search(ELSEWHERE, reply.text), path


def test_the_first_caller_does_not_tell_it_to_all(page):
    """Gradio keeps what the first call of /info makes of its headers; see `site`."""
    for path in ("gradio_api/info", "gradio_api/openapi.json"):
        reply = page.get(path)
        assert reply.status_code == 200
        assert not re.search(ELSEWHERE, reply.text), path
    assert str(page.base_url) in page.get("gradio_api/info").text


def test_the_page_on_localhost_is_served_by_no_other_name(page):
    for path in ("", "config", "gradio_api/info", f"gradio_api/file=/tmp/{HASH}/x.png"):
        assert sentence(page.get(path, headers={"Host": "evil.example:7860"}), 421)
    content = {"data": [None], "fn_index": 5, "session_hash": "a"}
    reply = page.post(QUEUE, json=content, headers={"Host": "evil.example"})
    assert sentence(reply, 421)


def test_no_caller_writes_a_line_of_the_log(site, page):
    line = "a%0aERROR:%20forged%20line"
    for path in (f"call/{line}", f"call/v2/{line}", f"run/{line}", f"queue/{line}"):
        assert sentence(page.post(f"gradio_api/{path}", json={"data": []}), 404)
    for path in (f"custom_component/{line}/client/x/y", f"file={line}", f"call/upload/{line}"):
        assert sentence(page.get(f"gradio_api/{path}"), 404)
    forged = "a\nERROR: forged line"
    reply = page.post("gradio_api/call/v2/upload", json={forged: 1})
    assert sentence(reply, 422)
    reply = page.post(QUEUE, json={"data": [None], "fn_index": 5, "session_hash": forged})
    assert sentence(reply, 422)
    assert not re.search("^ERROR: forged", site[2].read_text(), re.M)
