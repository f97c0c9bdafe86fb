"""An attacker and a visitor of the page, over HTTP, and what the page holds meanwhile.

An attack returns what came of it: a status (413), "error" (the stream's), the page's sentence, or
"closed" where the server closed the connection. benchmarks/siege.py does all of them at random,
tests/test_siege.py all at once.
"""

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import client
import httpx2 as httpx
from attacks import jpeg_of_scans
from client import EXAMPLES, FILE, UPLOAD
from serving import Server, pss_memory

VISITOR, ATTACKER = "127.0.0.2", "127.0.0.3"
GOOD = ("7-crossed.png", "3-dark.png")  # named after the digit in it
READ = re.compile(r"That is an? \d|may not be")  # the page's sentence, where it has read a picture
MAX_GROWTH = MAX_DISK = 1000  # MB

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
MB = 1024**2
FORGED, EVIL = "forged line", "evil.example"
JOIN = "gradio_api/queue/join"
SERVER_FILES = (
    "/etc/passwd", "examples/digits/7-crossed.png", "file:///etc/passwd", "/proc/self/environ",
    "/dev/stdin", "http://127.0.0.1:9/7.png", "data:image/png;base64,AAAA", "../app.py",
)  # fmt: skip
ROUTES = [("POST", f"gradio_api/{path}") for path in (
    "process_recording", "run/upload", "api/upload", "cancel", "reset", "stream/0", "vibe-edit/",
)] + [("GET", path) for path in (
    "gradio_api/proxy=http://127.0.0.1:9/", "gradio_api/file=/etc/passwd", "gradio_api/dev/reload",
    "gradio_api/custom_component/a/client/b/c", "gradio_api/heartbeat/a", "monitoring/summary",
)]  # fmt: skip


def costliest() -> bytes:
    """Return a picture that costs nearly as much as one may: 1.5 s of a core."""
    return jpeg_of_scans(14)


def held(server: Server, folder: Path) -> tuple[float, float]:
    """Return what all processes of the page hold in memory, and the folder on disk (MB)."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # deleted meanwhile
                size += Path(where, name).lstat().st_size
    return pss_memory(server.process.pid), size / 1e6


async def ask(http: httpx.AsyncClient, endpoint: str, argument) -> str:
    """Ask one of the two endpoints; return its sentence, "error", or a status."""
    if endpoint == "sketch":
        argument = {"background": None, "layers": [argument], "composite": None}
    try:
        return json.loads(await client.ask(http, endpoint, argument))[1]
    except RuntimeError as failure:
        return str(failure)


@dataclass
class Visitor:
    """What a visitor got: seconds of each answer, and what was wrong with the others."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)

    async def ask(self, http: httpx.AsyncClient, name: str) -> None:
        """Have one picture read, from its upload on."""
        started = time.monotonic()
        try:
            reply = await http.post(UPLOAD, files={"files": (name, (EXAMPLES / name).read_bytes())})
            reply.raise_for_status()
            said = await ask(http, "upload", {"path": reply.json()[0], **FILE})
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        self.seconds.append(time.monotonic() - started)
        if not READ.search(said):
            self.errors[said] += 1
        elif said != f"That is a {name[0]}.":
            self.wrong[said] += 1


@dataclass
class Attacker:
    """Who attacks: a client, the pictures that cost much, and what it has uploaded of them."""

    http: httpx.AsyncClient
    pictures: dict[str, bytes]
    random: Random = field(default_factory=Random)
    paths: dict[str, str] = field(default_factory=dict)
    number: int | None = None  # by which the page asks for `upload`

    async def file(self, name: str | None, again: bool = False) -> dict:
        """Return one of the pictures, uploaded unless it is there, as an endpoint's argument."""
        name = name or self.pick(*self.pictures)
        if again or name not in self.paths:
            reply = await self.http.post(UPLOAD, files={"files": (name, self.pictures[name])})
            if reply.status_code != 200:
                return {"path": str(reply.status_code), **FILE}
            self.paths[name] = reply.json()[0]
        return {"path": self.paths[name], **FILE}

    async def join(self, name: str | None) -> tuple[str, str]:
        """Queue a picture as the page does; return the session and the status."""
        if self.number is None:
            events = (await self.http.get("config")).json()["dependencies"]
            self.number = next(event["id"] for event in events if event["api_name"] == "upload")
        session, file = f"{self.random.getrandbits(60):x}", await self.file(name)
        body = {"data": [file], "fn_index": self.number, "session_hash": session}
        return session, await self.post(JOIN, json=body)

    def pick(self, *choices):
        return self.random.choice(choices)

    async def post(self, path: str, **what) -> str:
        return await self.request("POST", path, **what)

    async def request(self, method: str, path: str, **what) -> str:
        """Return a request's status, or "closed" if the server stopped reading it."""
        try:
            return str((await self.http.request(method, path, **what)).status_code)
        except httpx.HTTPError:
            return "closed"


async def slow_picture(attacker: Attacker, name: str | None = None) -> str:
    endpoint = attacker.pick("upload", "sketch")
    return await ask(attacker.http, endpoint, await attacker.file(name, again=True))


async def server_file(attacker: Attacker) -> str:
    target = attacker.pick(*SERVER_FILES)
    file = attacker.pick({"path": target}, {"path": target, **FILE}, {"path": "x", "url": target})
    return await ask(attacker.http, attacker.pick("upload", "sketch"), file)


async def large_body(attacker: Attacker) -> str:
    route = attacker.pick(JOIN, "gradio_api/call/upload", "gradio_api/call/v2/sketch")
    return await attacker.post(route, json={"data": ["x" * 18 * MB], "fn_index": 5})


async def chunked_body(attacker: Attacker) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(18 * MB // 65536):
            yield b'{"data": ["' + b"x" * 65536

    return await attacker.post(JOIN, content=chunks(), headers={"Content-Type": "application/json"})


async def long_session(attacker: Attacker) -> str:
    size = attacker.pick(5 * MB, 60_000, 3000)  # the last fits into an address
    query = {"session_hash": "x" * size}
    if size == 3000:
        return await attacker.request("GET", "gradio_api/queue/data", params=query)
    return await attacker.post(JOIN, json={"data": [None], "fn_index": 5} | query)


def part(name: str, content: bytes, end: bytes = b"") -> bytes:
    """Return a part of a form: a file in a field of that name."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n" + end


async def wrong_form(attacker: Attacker) -> str:
    file, end = bytes(5 * MB), b"--b--\r\n"
    other, cut_off = part("other", file, end), part("files", file)
    form = attacker.pick(other, cut_off, cut_off + part("files", file, end), cut_off + other)
    return await attacker.post(UPLOAD, content=form, headers=FORM)


async def slow_upload(attacker: Attacker, seconds: float = 10) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield part("files", bytes(5 * MB))[:-2]
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            yield bytes(1000)
        raise httpx.WriteError("the attacker has left")

    return await attacker.post(UPLOAD, content=chunks(), headers=FORM)


async def join_and_leave(attacker: Attacker, name: str | None = None) -> str:
    session, status = await attacker.join(name)
    stream = attacker.http.stream("GET", "gradio_api/queue/data", params={"session_hash": session})
    async with stream as reply:
        if attacker.pick(True, False):
            await anext(reply.aiter_bytes(), b"")
    return status


async def join_and_cancel(attacker: Attacker, name: str | None = None) -> str:
    session, _ = await attacker.join(name)
    return await attacker.post("gradio_api/cancel", json={"session_hash": session, "fn_index": 5})


async def flood(attacker: Attacker, calls: int = 60, name: str | None = None) -> str:
    body = {"data": [await attacker.file(name)]}
    connections = asyncio.Semaphore(60)  # more cost the attacker himself more than the page

    async def call() -> str:
        async with connections:
            return await attacker.post("gradio_api/call/upload", json=body)

    return "+".join(sorted(set(await asyncio.gather(*(call() for _ in range(calls))))))


async def refused_route(attacker: Attacker) -> str:
    method, path = attacker.pick(*ROUTES)
    content = part("files", bytes(MB), b"--b--\r\n") if method == "POST" else b""
    return await attacker.request(method, path, content=content, headers=content and FORM)


async def other_host(attacker: Attacker) -> str:
    name = attacker.pick("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Gradio-Server")
    path = attacker.pick("", "config", "gradio_api/info")
    return await attacker.request("GET", path, headers={name: EVIL})


async def fill_disk(attacker: Attacker) -> str:
    file = "a.png", attacker.random.randbytes(16) + bytes(19 * MB)
    return await attacker.post(UPLOAD, files={"files": file})


async def forge_log(attacker: Attacker) -> str:
    forged = f"a\nERROR: {FORGED}"
    session = {"data": [None], "fn_index": 5, "session_hash": forged}
    path = f"gradio_api/call/a%0aERROR:%20{FORGED.replace(' ', '%20')}"
    way = attacker.pick((path, {"data": []}), ("gradio_api/call/v2/upload", {forged: 1}))
    route, body = attacker.pick(way, (JOIN, session))
    return await attacker.post(route, json=body)


ATTACKS: dict[str, Callable[[Attacker], Awaitable[str]]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (
        slow_picture, server_file, large_body, chunked_body, long_session, wrong_form, slow_upload,
        join_and_leave, join_and_cancel, flood, refused_route, other_host, fill_disk, forge_log,
    )
}  # fmt: skip
