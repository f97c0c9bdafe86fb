"""What reaches Gradio: the page's own routes, short bodies, and a few requests of each address.

Gradio serves seventy routes, of which the page needs twenty, and keeps what callers send. This
ASGI middleware stands in front of it. Starlette's TrustedHostMiddleware checks the host, uvicorn
the headers of proxies (`page/launch.py`). What is refused leaves no caller's text in the log.
"""

import asyncio
import ipaddress
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

log = logging.getLogger(__name__)
ID = r"[A-Za-z0-9_-]{1,64}"  # of sessions, events, uploads, and a field's name
MAX_BODY, MAX_UPLOAD = 65_536, 20 * 1024**2  # bytes
MAX_HEADERS, MAX_TARGET = 16_384, 4096  # bytes; Gradio keeps them with each event that waits
MAX_VALUES = 8192  # in a body: Gradio walks through all of them, several times
MAX_AT_ONCE = 256  # requests of an address: forty pupils have one, each browser with up to six
MAX_RUNNING = 16  # of these, requests that Gradio answers; uploads are as many again
BODY_SECONDS = 10  # for a body that is not an upload
BODY_KEYS = {"data", "session_hash", "fn_index", "trigger_id", "event_data", "event_id"}
SERVER_KEYS = {"data", "session_hash", "component_id", "fn_name"}
RPC_KEYS = {"jsonrpc", "id", "method", "params", "result", "error"}

WRONG_ARGUMENTS = 'Wrong arguments. See "Use via API" at the bottom of the page.'
NOT_FOUND = HTTPException(404, "The page has no such address.")
WRONG = HTTPException(422, WRONG_ARGUMENTS)
TOO_SLOW = HTTPException(408, "The rest of this request did not come in time.")
TOO_LARGE = HTTPException(413, "Too large: a request may have 64 KB, an upload 20 MB.")
TOO_LONG = HTTPException(431, "The address or the headers of this request are too long.")
TOO_MANY = HTTPException(429, "Too many requests at once from your address. Please wait a little.")
ELSEWHERE = HTTPException(403, "Another website may not send requests to this page.")


def routes(endpoints: Sequence[str], uploads: str | Path, mcp: bool) -> list[tuple]:
    """Return what the page and the API's clients ask for, as (method, pattern, kind)."""
    names = "|".join(endpoints)
    folder = re.escape(str(uploads))
    table = [
        ("GET", "/|/config/?|/theme[.]css|/favicon[.]ico|/manifest[.]json|/robots[.]txt", "get"),
        ("GET", r"/(assets|static)/(?!.*[.][.])[\w./@+~-]+", "get"),
        ("GET", "{api}/(info/?|openapi[.]json|app_id/?|startup-events|theme[.]css)", "get"),
        ("GET", rf"{{api}}/file={folder}[/\\][0-9a-f]{{64}}[/\\][^/\\\x00-\x1f\x7f]+", "get"),
        ("GET", f"{{api}}/(queue/data|upload_progress|call/(v2/)?({names})/{ID})", "stream"),
        ("POST", "{api}/upload", "upload"),
        ("POST", f"{{api}}/(queue/join|call/({names})/?)", "json"),
        ("POST", f"{{api}}/call/v2/({names})/?", "named"),
        ("POST", "{api}/component_server/?", "server"),
    ]
    if mcp:
        table.append(("GET", "{api}/mcp(/|/schema|/http/?)?", "stream"))
        table.append(("POST", "{api}/mcp(/|/http/?)?", "rpc"))
    return [(m, re.compile(p.replace("{api}", "/gradio_api"), re.ASCII), k) for m, p, k in table]


@dataclass
class Caller:
    """What is under way for one address."""

    requests: int = 0
    uploads: int = 0
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))


class Gate:
    """Let in what the page needs.

    Parameters
    ----------
    app : ASGI application
    uploads : str or Path
        Folder of uploads, as Gradio names it; of it, `<sha256>/<name>` is served.
    functions : collection of int
        Gradio's numbers of the functions that may be called (`fn_index`).
    endpoints : sequence of str
        Names of the API's endpoints.
    mcp : bool
        Whether the Model Context Protocol is spoken, too.
    drop_headers : compiled pattern of bytes
        Headers that are not believed, and go no further.
    proxies : tuple of ip_network
        Addresses of proxies that uvicorn believes: none of these is a visitor's.
    on_upload : callable, optional
        Called with an upload's bytes, at most, when it has ended.
    """

    def __init__(
        self,
        app,
        *,
        uploads: str | Path,
        functions: Collection[int] = (),
        endpoints: Sequence[str] = ("sketch", "upload", "read"),
        mcp: bool = False,
        drop_headers: re.Pattern[bytes] = re.compile(rb"x-gradio-.*"),
        proxies: tuple = (),
        on_upload: Callable[[int], None] = lambda size: None,
    ):
        self.app, self.functions, self.on_upload = app, functions, on_upload
        self.drop_headers, self.proxies = drop_headers, proxies
        self.routes = routes(endpoints, uploads, mcp)
        self.callers: dict[str, Caller] = {}

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def answer(message):
            nonlocal started
            started = True
            await send(message)

        try:
            kind = self.kind_of(scope)
            address = network((scope.get("client") or [""])[0], self.proxies)
            scope["client"] = (address, 0)
            async with self.under_way(address) as caller:
                await self.pass_on(kind, caller, scope, receive, answer)
        except ClientDisconnect:
            pass
        except Exception as error:  # Gradio raises at unknown sessions and odd arguments
            if not isinstance(error, HTTPException):
                log.warning("Refused a request: %s", type(error).__name__)
                error = WRONG if scope["method"] == "POST" else NOT_FOUND
            if started:
                await send({"type": "http.response.body"})
            else:
                refusal = JSONResponse({"detail": error.detail}, error.status_code)
                await refusal(scope, receive, send)

    def kind_of(self, scope) -> str:
        """Return the kind of a request by its head; drop the headers that are not believed."""
        path, query = get_route_path(scope), scope["query_string"]
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > MAX_HEADERS or max(len(path), len(query)) > MAX_TARGET:
            raise TOO_LONG
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        kinds = (k for m, route, k in self.routes if m == method and route.fullmatch(path))
        if (kind := next(kinds, None)) is None:
            raise NOT_FOUND
        scope["headers"] = [h for h in scope["headers"] if not self.drop_headers.fullmatch(h[0])]
        if method == "POST" and is_cross_origin(Headers(scope=scope)):
            raise ELSEWHERE
        parameters = Request(scope).query_params
        ids = (*parameters.getlist("session_hash"), *parameters.getlist("upload_id"))
        if not all(map(is_id, ids)):
            raise WRONG
        return kind

    @asynccontextmanager
    async def under_way(self, address: str) -> AsyncIterator[Caller]:
        """Count a request for its address until it has been answered."""
        caller = self.callers.setdefault(address, Caller())
        if caller.requests >= MAX_AT_ONCE:
            raise TOO_MANY
        caller.requests += 1
        try:
            yield caller
        finally:
            caller.requests -= 1
            if not caller.requests:
                del self.callers[address]

    async def pass_on(self, kind: str, caller: Caller, scope, receive, send) -> None:
        """Pass on a request: an upload as it streams in, JSON once it is read and checked."""
        limit = {"get": 0, "stream": 0, "upload": MAX_UPLOAD}.get(kind, MAX_BODY)
        headers = Headers(scope=scope)
        size = int(headers.get("content-length", 0))
        if size > limit or (limit == 0 and "transfer-encoding" in headers):
            raise TOO_LARGE  # nobody reads the body of a GET
        if kind == "stream":
            await self.app(scope, receive, send)
        elif kind == "upload":
            if caller.uploads >= MAX_RUNNING:
                raise TOO_MANY
            caller.uploads += 1
            try:
                await RequestBodyLimitMiddleware(self.app, limit)(scope, receive, send)
            finally:
                caller.uploads -= 1
                self.on_upload(size or MAX_UPLOAD)
        else:
            if kind != "get":
                receive = await self.read_json(kind, scope, receive)
            async with caller.turns:
                await self.app(scope, receive, send)

    async def read_json(self, kind: str, scope, receive) -> Callable:
        """Read a body whole and check it; return a `receive` that has it."""
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in Request(scope, receive).stream():
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise TOO_LARGE
        except TimeoutError:
            raise TOO_SLOW from None
        if not is_right(kind, bytes(body), self.functions):
            raise WRONG
        pending = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay():
            return pending.pop() if pending else await receive()

        return replay


def is_cross_origin(headers: Headers) -> bool:
    """Return whether a browser sends a request on behalf of another website.

    Browsers say so in Sec-Fetch-Site, which no page's code can set, older ones in Origin (OWASP,
    "Cross-Site Request Forgery Prevention"). Programs send neither.
    """
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    hosts = [headers.get(name, "").split(",")[0] for name in ("host", "x-forwarded-host")]
    return headers.get("origin", "://" + hosts[0]).partition("://")[2] not in filter(None, hosts)


def is_right(kind: str, body: bytes, functions: Collection[int]) -> bool:
    """Return whether a body is one that the page's code, or a client, sends to its route."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(fields, dict) or not is_short(fields):
        return False
    if kind == "named":
        return all(map(is_id, fields))
    if kind == "rpc":
        return RPC_KEYS.issuperset(fields) and fields.get("jsonrpc") == "2.0"
    session, event = fields.get("session_hash"), fields.get("event_id")
    if not (session is None or is_id(session)) or not (event is None or is_id(event)):
        return False
    if kind == "server":
        called = fields.get("fn_name") == "answer" and type(fields.get("component_id")) is int
        return called and fields.keys() == SERVER_KEYS and session is not None
    trigger, function = fields.get("trigger_id"), fields.get("fn_index")
    numbers = all(n is None or (type(n) is int and 0 <= n < 1000) for n in (trigger, function))
    known = function is None or function in functions
    return numbers and known and fields.keys() <= BODY_KEYS and isinstance(fields.get("data"), list)


def is_short(value) -> bool:
    """Return whether a value of JSON holds at most MAX_VALUES others."""
    values, number = [value], 0
    while values and number <= MAX_VALUES:
        number += 1
        value = values.pop()
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
    return number <= MAX_VALUES


def is_id(value) -> bool:
    """Return whether a value is an id of a session, an event or an upload, or a field's name."""
    return isinstance(value, str) and re.fullmatch(ID, value) is not None


@lru_cache(4096)
def network(address: str, proxies: tuple = ()) -> str:
    """Return what an address is counted as: of IPv6, the network that one client has.

    Where all are proxies' own, uvicorn takes the first address of X-Forwarded-For, which a caller
    may have put there (`_TrustedHosts.get_trusted_client_address`): all such count as one.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if any(parsed in proxy for proxy in proxies):
        return "proxy"
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
