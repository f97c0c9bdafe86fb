"""Middleware in front of Gradio: it limits routes, bodies, and requests of one address.

Gradio serves seventy routes and keeps what clients send. The page needs twenty of them.
Starlette's TrustedHostMiddleware checks the host, and uvicorn the headers of proxies
(page/launch.py). The log holds no text of a client.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette._utils import get_route_path
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from page.bodies import BODIES, ID, is_valid

log = logging.getLogger(__name__)
MAX_BODY, MAX_UPLOAD = 65_536, 20 * 1024**2  # bytes
BODY_SECONDS, UPLOAD_SECONDS = 10, 300  # time for a whole body to arrive
MAX_HEADERS, MAX_TARGET = 16_384, 4096  # bytes; Gradio keeps them with each waiting event
MAX_AT_ONCE = 256  # open requests of one address: forty pupils, up to six for each browser
MAX_RUNNING = 16  # requests of one address that Gradio serves at once; as many uploads

WRONG_ARGUMENTS = 'Wrong arguments. See "Use via API" at the bottom of the page.'
NOT_FOUND = HTTPException(404, "The page has no such address.")
WRONG = HTTPException(422, WRONG_ARGUMENTS)
TOO_SLOW = HTTPException(408, "The rest of this request didn't arrive in time.")
TOO_LARGE = HTTPException(413, "Too large. The limits are 64 KB, and 20 MB for an upload.")
TOO_LONG = HTTPException(431, "The address or the headers of this request are too long.")
TOO_MANY = HTTPException(429, "Too many requests at once from your address. Please wait a little.")
CROSS_SITE = HTTPException(403, "Another website may not send requests to this page.")


def routes(uploads: str | Path, mcp: bool) -> list[tuple]:
    """Return the routes that the page and clients of its API need, as (method, pattern, kind)."""
    api, call = "/gradio_api", "(sketch|upload|read)"
    upload = rf"{re.escape(str(uploads))}[/\\][0-9a-f]{{64}}[/\\][^/\\\x00-\x1f\x7f]+"
    table = [
        ("GET", "/|/config/?|/theme[.]css|/favicon[.]ico|/manifest[.]json|/robots[.]txt", "get"),
        ("GET", r"/(assets|static)/(?!.*[.][.])[\w./@+~-]+", "get"),
        ("GET", f"{api}/(info/?|openapi[.]json|app_id/?|startup-events|theme[.]css)", "get"),
        ("GET", f"{api}/file={upload}", "get"),
        ("GET", f"{api}/(queue/data|upload_progress|call/(v2/)?{call}/{ID})", "stream"),
        ("POST", f"{api}/upload", "upload"),
        ("POST", f"{api}/(queue/join|call/{call}/?)", "call"),
        ("POST", f"{api}/call/v2/{call}/?", "named"),
        ("POST", f"{api}/component_server/?", "server"),
    ]
    if mcp:
        table.append(("GET", f"{api}/mcp(/|/schema|/http/?)?", "stream"))
        table.append(("POST", f"{api}/mcp(/|/http/?)?", "rpc"))
    return [(method, re.compile(path, re.ASCII), kind) for method, path, kind in table]


@dataclass
class Client:
    requests: int = 0
    answers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_RUNNING))


@dataclass
class Gate:
    """ASGI middleware that forwards only the requests that the page needs."""

    app: ASGIApp
    uploads: str | Path  # Gradio's folder of uploads; only <sha256>/<name> in it is served
    functions: Collection[int] = ()  # Gradio's numbers (fn_index) of functions to be called
    mcp: bool = False  # whether to serve the Model Context Protocol
    drop_headers: re.Pattern[bytes] = re.compile(rb"x-gradio-.*")
    proxies: tuple = ()  # networks of the proxies that uvicorn believes; no visitor is in them
    on_upload: Callable[[int], None] = lambda size: None  # called with the bytes of an upload

    def __post_init__(self):
        self.routes = routes(self.uploads, self.mcp)
        self.clients: dict[str, Client] = {}

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
            kind = self.check_head(scope)
            address = client_key((scope.get("client") or [""])[0], self.proxies)
            scope["client"] = (address, 0)
            with self.counted(address) as client:
                await self.forward(kind, client, scope, receive, answer)
        except ClientDisconnect:
            pass
        except Exception as error:  # Gradio raises on unknown sessions and odd arguments
            if isinstance(error, TimeoutError):
                error = TOO_SLOW
            elif not isinstance(error, HTTPException):
                log.warning("Refused a request: %s", type(error).__name__)
                error = WRONG if scope["method"] == "POST" else NOT_FOUND
            if started:
                await send({"type": "http.response.body"})
            else:
                refusal = JSONResponse({"detail": error.detail}, error.status_code)
                await refusal(scope, receive, send)

    def check_head(self, scope) -> str:
        """Return a request's kind, and drop headers that aren't believed; raise HTTPException."""
        path, query = get_route_path(scope), scope["query_string"]
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > MAX_HEADERS or max(len(path), len(query)) > MAX_TARGET:
            raise TOO_LONG
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        kinds = [kind for m, route, kind in self.routes if m == method and route.fullmatch(path)]
        if not kinds:
            raise NOT_FOUND
        scope["headers"] = [h for h in scope["headers"] if not self.drop_headers.fullmatch(h[0])]
        if method == "POST" and is_cross_site(Headers(scope=scope)):
            raise CROSS_SITE
        for name, value in QueryParams(query).multi_items():
            if name in ("session_hash", "upload_id") and not re.fullmatch(ID, value):
                raise WRONG
        return kinds[0]

    @contextmanager
    def counted(self, address: str) -> Iterator[Client]:
        client = self.clients.setdefault(address, Client())
        if client.requests >= MAX_AT_ONCE:
            raise TOO_MANY
        client.requests += 1
        try:
            yield client
        finally:
            client.requests -= 1
            if not client.requests:
                del self.clients[address]

    async def forward(self, kind: str, client: Client, scope, receive, send) -> None:
        """Forward a request to Gradio: an upload while it streams in, JSON after it is checked."""
        headers = Headers(scope=scope)
        size = int(headers.get("content-length", 0))
        limit = MAX_UPLOAD if kind == "upload" else MAX_BODY if kind in BODIES else 0
        if size > limit or (limit == 0 and "transfer-encoding" in headers):
            raise TOO_LARGE  # the limit is 0 for a GET, as nobody reads its body
        if kind == "stream":
            await self.app(scope, receive, send)
        elif kind == "upload":
            try:
                async with client.uploads, asyncio.timeout(UPLOAD_SECONDS):
                    await RequestBodyLimitMiddleware(self.app, limit)(scope, receive, send)
            finally:
                self.on_upload(size or limit)
        else:
            if kind in BODIES:
                receive = await self.read_json(kind, scope, receive)
            async with client.answers:
                await self.app(scope, receive, send)

    async def read_json(self, kind: str, scope, receive) -> Callable:
        """Read a whole body and check it; return a `receive` that replays it."""
        body = bytearray()
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in Request(scope, receive).stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise TOO_LARGE
        if not is_valid(kind, bytes(body), self.functions):
            raise WRONG
        pending = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay():
            return pending.pop() if pending else await receive()

        return replay


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sends a request for another website.

    Browsers set Sec-Fetch-Site, which no script can change, and old ones Origin (OWASP,
    "Cross-Site Request Forgery Prevention"). Other programs send neither.
    """
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    hosts = [headers.get(name, "").split(",")[0] for name in ("host", "x-forwarded-host")]
    return headers.get("origin", "://" + hosts[0]).partition("://")[2] not in filter(None, hosts)


def client_key(address: str, proxies: tuple) -> str:
    """Return the client that an address counts for: itself, or the /64 network of an IPv6 address.

    Addresses of proxies count as one client. uvicorn returns them if X-Forwarded-For lists only
    proxies, and then the client may have invented the address.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if any(parsed in proxy for proxy in proxies):
        return "proxy"
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((int(parsed), 64), False))
