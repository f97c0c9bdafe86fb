"""What an attacker does to the page over HTTP, one attack to a function.

`siege.py` does all of it at random; `tests/test_siege.py` one after another. Each function tells
what came of it: a status (413), "error" (the stream's), the page's sentence, or "closed" where the
server closed the connection. Nothing goes elsewhere than to the server that `http` names.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import httpx2 as httpx

FILE = {"meta": {"_type": "gradio.FileData"}}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
MB = 1024**2
FORGED = "forged line"
EVIL = "evil.example"
UPLOAD = "gradio_api/upload"
JOIN = "gradio_api/queue/join"
SERVER_FILES = (
    "/etc/passwd", "examples/digits/7-crossed.png", "file:///etc/passwd", "/proc/self/environ",
    "/dev/stdin", "http://127.0.0.1:9/7.png", "data:image/png;base64,AAAA", "../app.py",
)  # fmt: skip
ROUTES = [("POST", f"gradio_api/{path}") for path in (
    "process_recording", "run/upload", "api/upload", "cancel", "reset",
    "stream/0", "vibe-edit/",
)] + [("GET", path) for path in (
    "gradio_api/proxy=http://127.0.0.1:9/", "gradio_api/file=http://127.0.0.1:9/",
    "gradio_api/file=/etc/passwd", "gradio_api/custom_component/a/client/b/c",
    "gradio_api/dev/reload", "gradio_api/vibe-code", "gradio_api/deep_link?session_hash=a",
    "gradio_api/heartbeat/a", "monitoring/summary",
)]  # fmt: skip


@dataclass
class Attacker:
    """Who attacks: a client, the pictures that cost much, and what it has uploaded of them."""

    http: httpx.AsyncClient
    pictures: dict[str, bytes]
    random: Random = field(default_factory=Random)
    paths: dict[str, str] = field(default_factory=dict)
    number: int | None = None

    async def path(self, name: str, again: bool = True) -> str:
        """Upload one of the pictures, unless it is there; return its path, or what came of it."""
        if again or name not in self.paths:
            reply = await self.http.post(UPLOAD, files={"files": (name, self.pictures[name])})
            if reply.status_code != 200:
                return str(reply.status_code)
            self.paths[name] = reply.json()[0]
        return self.paths[name]

    async def event(self) -> int:
        """Return the number by which the page asks for `upload`."""
        if self.number is None:
            events = (await self.http.get("config")).json()["dependencies"]
            self.number = next(event["id"] for event in events if event["api_name"] == "upload")
        return self.number

    def session(self) -> str:
        return f"{self.random.getrandbits(60):x}"


async def outcome(request: Awaitable) -> str:
    """Return what came of a request."""
    try:
        return str((await request).status_code)
    except httpx.HTTPError:
        return "closed"  # in the middle of what was sent


async def ask(http: httpx.AsyncClient, name: str, argument, seconds: float = 30) -> str:
    """Ask one of the two endpoints; return its sentence, "error", or a status."""
    reply = await http.post(f"gradio_api/call/{name}", json={"data": [argument]}, timeout=seconds)
    if reply.status_code != 200:
        return str(reply.status_code)
    event = reply.json()["event_id"]
    text = (await http.get(f"gradio_api/call/{name}/{event}", timeout=seconds)).text
    if found := re.search(r"event: complete\ndata: (.*)", text):
        return json.loads(found[1])[1]
    return "error" if "event: error" in text else "no answer"


def sketch(file: dict) -> dict:
    """Return a drawing of one layer, as an endpoint's argument."""
    return {"background": None, "layers": [file], "composite": None}


async def slow_picture(
    attacker: Attacker, name: str | None = None, endpoint: str | None = None
) -> str:
    """Have a picture read that costs much, by one of the two endpoints."""
    name = name or attacker.random.choice(list(attacker.pictures))
    file = {"path": await attacker.path(name), **FILE}
    endpoint = endpoint or attacker.random.choice(["upload", "sketch"])
    return await ask(attacker.http, endpoint, file if endpoint == "upload" else sketch(file))


async def server_file(attacker: Attacker) -> str:
    """Name a file of the server's in an argument."""
    target = attacker.random.choice(SERVER_FILES)
    file = attacker.random.choice(
        [{"path": target}, {"path": target, **FILE}, {"path": "x", "url": target}]
    )
    if attacker.random.random() < 0.5:
        return await ask(attacker.http, "upload", file)
    return await ask(attacker.http, "sketch", sketch(file))


async def large_body(attacker: Attacker, size: int = 18 * MB) -> str:
    """Send a JSON body of megabytes to an endpoint or to the queue."""
    content = json.dumps({"data": ["x" * size], "fn_index": 5, "session_hash": attacker.session()})
    route = attacker.random.choice([JOIN, "gradio_api/call/upload", "gradio_api/call/v2/sketch"])
    return await outcome(attacker.http.post(route, content=content, headers=JSON))


async def chunked_body(attacker: Attacker, size: int = 18 * MB) -> str:
    """Send the same without saying how long it is."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"data": ["'
        for _ in range(size // 65536):
            yield b"x" * 65536

    return await outcome(attacker.http.post(JOIN, content=chunks(), headers=JSON))


async def long_session(attacker: Attacker, size: int = 5 * MB) -> str:
    """Send a session hash of megabytes, or one that only just fits into a body or an address."""
    size = attacker.random.choice([size, 60_000, 3000])
    if size == 3000:
        query = {"session_hash": "x" * size}
        return await outcome(attacker.http.get("gradio_api/queue/data", params=query))
    body = {"data": [None], "fn_index": 5, "session_hash": "x" * size}
    return await outcome(attacker.http.post(JOIN, json=body))


def part(name: str, content: bytes, end: bytes = b"") -> bytes:
    """Return a part of a form: a file in a field of that name."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n" + end


async def wrong_form(attacker: Attacker, size: int = 5 * MB) -> str:
    """Upload a file in a field of another name, two files, or a file that is cut off."""
    content = attacker.random.choice(
        [
            part("other", bytes(size), b"--b--\r\n"),
            part("files", bytes(size)) + part("files", bytes(size), b"--b--\r\n"),
            part("files", bytes(size)) + part("other", bytes(size), b"--b--\r\n"),
            part("files", bytes(size)),
        ]
    )
    return await outcome(attacker.http.post(UPLOAD, content=content, headers=FORM))


async def slow_upload(attacker: Attacker, seconds: float = 10, size: int = 5 * MB) -> str:
    """Upload a file a little at a time, and leave before it ends."""

    async def chunks() -> AsyncIterator[bytes]:
        yield part("files", bytes(size))[:-2]
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            yield bytes(1000)
        raise httpx.WriteError("the attacker has left")

    return await outcome(attacker.http.post(UPLOAD, content=chunks(), headers=FORM))


async def join(attacker: Attacker, name: str) -> tuple[str, str]:
    """Queue a picture as the page does; return the session and the status."""
    session = attacker.session()
    file = {"path": await attacker.path(name, again=False), **FILE}
    body = {"data": [file], "fn_index": await attacker.event(), "session_hash": session}
    return session, await outcome(attacker.http.post(JOIN, json=body))


async def join_and_leave(attacker: Attacker, name: str | None = None) -> str:
    """Queue a picture that costs much, listen for a moment, and leave."""
    session, status = await join(attacker, name or attacker.random.choice(list(attacker.pictures)))
    stream = attacker.http.stream("GET", "gradio_api/queue/data", params={"session_hash": session})
    async with stream as reply:
        if attacker.random.random() < 0.5:
            await anext(reply.aiter_bytes(), b"")
    return status


async def join_and_cancel(attacker: Attacker, name: str | None = None) -> str:
    """Queue a picture that costs much, and cancel it by Gradio's own route."""
    session, _ = await join(attacker, name or attacker.random.choice(list(attacker.pictures)))
    body = {"session_hash": session, "fn_index": 5, "event_id": session}
    return await outcome(attacker.http.post("gradio_api/cancel", json=body))


async def flood(attacker: Attacker, calls: int = 60, name: str | None = None) -> str:
    """Queue a picture so many times, and wait for no answer."""
    name = name or attacker.random.choice(list(attacker.pictures))
    file = {"path": await attacker.path(name, again=False), **FILE}
    connections = asyncio.Semaphore(60)  # more cost the attacker himself more than the page

    async def call() -> str:
        async with connections:
            route = "gradio_api/call/upload"
            return await outcome(attacker.http.post(route, json={"data": [file]}))

    return "+".join(sorted(set(await asyncio.gather(*(call() for _ in range(calls))))))


async def refused_route(attacker: Attacker, route: tuple[str, str] | None = None) -> str:
    """Ask for a route of Gradio's that the page does not need."""
    method, path = route or attacker.random.choice(ROUTES)
    content = part("files", bytes(MB), b"--b--\r\n") if method == "POST" else b""
    request = attacker.http.request(method, path, content=content, headers=content and FORM)
    return await outcome(request)


async def other_host(attacker: Attacker) -> str:
    """Claim that the page is elsewhere, or ask for it by another name."""
    name = attacker.random.choice(
        ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Gradio-Server"]
    )
    path = attacker.random.choice(["", "config", "gradio_api/info"])
    return await outcome(attacker.http.get(path, headers={name: EVIL}))


async def fill_disk(attacker: Attacker, size: int = 19 * MB) -> str:
    """Upload a large file that was not there before."""
    content = attacker.random.randbytes(16) + bytes(size)
    return await outcome(attacker.http.post(UPLOAD, files={"files": ("a.png", content)}))


async def forge_log(attacker: Attacker) -> str:
    """Put a line into the log, by a route's, an argument's or a session's name."""
    forged = f"a\nERROR: {FORGED}"
    kind = attacker.random.randrange(3)
    if kind == 0:
        path = f"gradio_api/call/a%0aERROR:%20{FORGED.replace(' ', '%20')}"
        return await outcome(attacker.http.post(path, json={"data": []}))
    if kind == 1:
        return await outcome(attacker.http.post("gradio_api/call/v2/upload", json={forged: 1}))
    body = {"data": [None], "fn_index": 5, "session_hash": forged}
    return await outcome(attacker.http.post(JOIN, json=body))


ATTACKS: dict[str, Callable[[Attacker], Awaitable[str]]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        slow_picture, server_file, large_body, chunked_body, long_session, wrong_form, slow_upload,
        join_and_leave, join_and_cancel, flood, refused_route, other_host, fill_disk, forge_log,
    )
}  # fmt: skip
