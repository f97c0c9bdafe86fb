"""A gate in front of Gradio: the routes that the page needs, small bodies, few requests at once.

Gradio serves many more routes than one page needs, keeps what callers send for as long as they
stay, and believes their headers. This plain ASGI middleware answers what the page does not need
itself, with a sentence, before Gradio has seen it. What is refused leaves no caller's text in the
log, which could forge its lines.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl

from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse

from page.multipart import OneFile
from page.routes import (
    HOST,
    MB,
    NOT_JSON,
    Body,
    ClientGone,
    Refusal,
    believe,
    check_id,
    check_json,
    check_rpc,
    check_server,
    header,
    is_cross_origin,
    path_of,
    routes,
    subtract,
)

log = logging.getLogger(__name__)
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
BODY_SECONDS = 10  # in which a body, other than an upload, has to come
LONGEST_TARGET = 4096  # bytes of a path, and of a query: in a Space a token is among it
LONGEST_HEADERS = 16_384  # bytes of all headers: Gradio keeps them with every event that waits
MOST_IN_FLIGHT = 256  # requests: forty pupils behind one address, each browser with up to six
MOST_RUNNING = 16  # of these at once; those that only stream, or send a file, are not counted
MOST_UPLOAD_BYTES_IN_FLIGHT = 200 * MB  # for one address: on the disk, where no purge frees them

NOT_FOUND = (404, "The page has no such address.")
WRONG_HOST = (421, "The page is served to this machine only, as http://localhost.")
LONG_HEADERS = (431, "The address or the headers of this request are too long.")
TOO_SLOW = (408, "The rest of this request did not come in time.")
ELSEWHERE = (403, "Another website may not send requests to this page.")
TOO_MANY = (429, "Too many requests at once from your address: wait for answers, then ask again.")


class Gate:
    """Let in what the page needs.

    Parameters
    ----------
    app : ASGI application
        What is behind the gate.
    endpoints : sequence of str
        Names of the API's endpoints; no other is called.
    mcp : bool
        Whether they are called by the Model Context Protocol, too.
    files : sequence of str or Path
        Folders of uploads, as Gradio names them; of each, `<sha256>/<name>` is served.
    hosts : sequence of str or None
        Names in `Host` that are served, whatever the port; None for any. On localhost, name
        `LOCAL_HOSTS`, or any website can have its visitors' browsers ask this page.
    believe_address, believe_host : bool
        Whether a proxy sets `X-Forwarded-For`, as a Space's does, and `X-Forwarded-Host` and the
        like. If none does, they are a caller's own, and are removed.
    max_in_flight : int
        Requests under way for one address; of IPv6, for one /64 network.
    max_running : int
        Of these, other than streams and uploads, that run at once; the others wait.
    max_body, max_upload : int
        Bytes of a request, and of an upload.
    max_upload_in_flight : int
        Bytes of the uploads under way for one address.
    on_upload : callable, optional
        Called with the number of bytes when an upload has ended, however it has.
    """

    def __init__(
        self,
        app,
        *,
        endpoints: Sequence[str] = ("sketch", "upload", "read"),
        mcp: bool = False,
        files: Sequence[str | Path] = (),
        hosts: Sequence[str] | None = None,
        believe_address: bool = False,
        believe_host: bool = False,
        max_in_flight: int = MOST_IN_FLIGHT,
        max_running: int = MOST_RUNNING,
        max_body: int = 65_536,
        max_upload: int = 20 * MB,
        max_upload_in_flight: int = MOST_UPLOAD_BYTES_IN_FLIGHT,
        on_upload: Callable[[int], None] | None = None,
    ):
        self.app = app
        self.routes = routes(endpoints, files, mcp)
        self.hosts = hosts and {host.lower() for host in hosts}
        self.believe_address, self.believe_host = believe_address, believe_host
        self.max_in_flight = max_in_flight
        self.max_running = max_running
        self.max_body = max_body
        self.max_upload = max_upload
        self.max_upload_in_flight = max_upload_in_flight
        self.on_upload = on_upload
        sizes = f"a request may have {max_body // 1024} KB, an upload {max_upload // MB} MB."
        self.too_large = (413, f"Too large: {sizes}")
        self.in_flight: Counter[str] = Counter()
        self.turns: dict[str, asyncio.Semaphore] = {}
        self.upload_bytes: Counter[str] = Counter()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        receive = body = Body(receive)
        try:
            kind = self.check_head(scope)
            address = believe(scope, self.believe_address, self.believe_host)
            async with self.under_way(address) as turn:
                if kind == "upload":
                    await self.pass_upload(address, scope, receive, send)
                elif kind == "stream":
                    await self.pass_get(scope, receive, send)
                elif kind == "get":
                    async with turn:
                        await self.pass_get(scope, receive, send)
                else:
                    checked = await self.read_json(kind, receive)
                    async with turn:
                        await self.pass_json(scope, checked, send)
        except Refusal as refusal:
            await body.drain()
            await JSONResponse({"detail": refusal.message}, refusal.status)(scope, receive, send)
        except ClientGone:
            pass

    def check_head(self, scope) -> str:
        """Return the kind of a request.

        Parameters
        ----------
        scope : dict
            ASGI's, of HTTP.

        Returns
        -------
        kind : "get", "stream", "json", "server", "rpc" or "upload"

        Raises
        ------
        Refusal
            If the page does not need it, or something in its head is too long or malformed.
        """
        query = scope["query_string"]
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        path = path_of(scope)
        if len(path) > LONGEST_TARGET or len(query) > LONGEST_TARGET or size > LONGEST_HEADERS:
            raise Refusal(*LONG_HEADERS)
        host = HOST.fullmatch(header(scope, b"host"))
        if not host or (self.hosts is not None and host[1].lower() not in self.hosts):
            raise Refusal(*WRONG_HOST)
        method = scope["method"]
        kinds = (k for methods, route, k in self.routes if method in methods and route(path))
        if (kind := next(kinds, None)) is None:
            raise Refusal(*NOT_FOUND)
        if method == "POST" and is_cross_origin(scope, self.believe_host):
            raise Refusal(*ELSEWHERE)
        length = header(scope, b"content-length") or "0"
        limits = {"get": 0, "stream": 0, "upload": self.max_upload}
        limit = limits.get(kind, self.max_body)
        chunked = header(scope, b"transfer-encoding") != ""
        if not length.isdecimal() or int(length) > limit or (not limit and chunked):
            raise Refusal(*self.too_large)  # nobody reads the body of a GET
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in ("session_hash", "upload_id"):
                check_id(value)
        return kind

    @asynccontextmanager
    async def under_way(self, address: str) -> AsyncIterator[asyncio.Semaphore]:
        """Count a request for its address until it has been answered; yield the address's turns."""
        if self.in_flight[address] >= self.max_in_flight:
            raise Refusal(*TOO_MANY)
        self.in_flight[address] += 1
        try:
            yield self.turns.setdefault(address, asyncio.Semaphore(self.max_running))
        finally:
            subtract(self.in_flight, address, 1)
            if address not in self.in_flight:
                del self.turns[address]

    async def pass_get(self, scope, receive, send) -> None:
        """Pass on what has no body. Gradio fails at sessions and events that it does not know."""
        started = False

        async def answer(message):
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:
            if not started:
                raise Refusal(*NOT_FOUND) from None
            log.warning("A stream has ended: %s", type(error).__name__)
            await send({"type": "http.response.body"})

    async def read_json(self, kind: str, receive) -> Callable:
        """Read a JSON body whole; return a `receive` that has it, once it is found harmless."""
        body = bytearray()
        more = True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.max_body:
                        raise Refusal(*self.too_large)
        except TimeoutError:
            raise Refusal(*TOO_SLOW) from None
        if kind == "rpc":
            check_rpc(bytes(body))
        elif kind == "server":
            check_server(bytes(body))
        else:
            check_json(bytes(body), named=kind == "named")
        pending = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay():
            return pending.pop() if pending else await receive()

        return replay

    async def pass_json(self, scope, receive, send) -> None:
        """Pass on a JSON body that is harmless."""
        try:
            await self.app(scope, receive, send)
        except Exception as error:  # these routes only queue a call: what fails is what it asks for
            log.warning("Refused a call: %s", type(error).__name__)
            raise Refusal(*NOT_JSON) from None

    async def pass_upload(self, address: str, scope, receive, send) -> None:
        """Pass on an upload as it streams in, until something in it is refused."""
        try:
            form = OneFile(header(scope, b"content-type"))
        except MultiPartException as error:
            raise Refusal(400, error.message) from None
        received, refusal, started = 0, None, False

        async def checked():
            nonlocal received, refusal
            message = await receive()
            chunk = message.get("body", b"")
            received += len(chunk)
            self.upload_bytes[address] += len(chunk)
            try:
                if received > self.max_upload:
                    raise Refusal(*self.too_large)
                if self.upload_bytes[address] > self.max_upload_in_flight:
                    raise Refusal(*TOO_MANY)
                if not form.complete or message["type"] == "http.request":
                    form.write(chunk, last=not message.get("more_body", False))
            except MultiPartException as error:  # Gradio deletes the file, and does not answer
                refusal = error if isinstance(error, Refusal) else Refusal(400, error.message)
                raise refusal from None
            return message

        async def answer(message):
            nonlocal started
            if refusal is None:
                started = True
                await send(message)

        try:
            await self.app(scope, checked, answer)
        except Refusal:
            pass
        finally:
            subtract(self.upload_bytes, address, received)
            if self.on_upload:
                self.on_upload(received)
        if refusal and not started:
            raise refusal
