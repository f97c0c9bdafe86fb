"""An attacker and a visitor of the page, over HTTP, and what the page holds meanwhile.

An attack returns what came of it: a status (413), "error" (the stream's), the page's sentence, or
"closed". benchmarks/siege.py does all of them at random, tests/test_siege.py all at once.
"""

import asyncio
import json
import os
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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
MB = 1024**2
FORGED, EVIL = "forged line", "evil.example"
JOIN, CALL = "gradio_api/queue/join", "gradio_api/call/upload"
costliest = partial(jpeg_of_scans, 14)  # makes a picture that costs what one may: 1.5 s of a core


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
    argument = {"layers": [argument]} if endpoint == "sketch" else argument
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
    """Who attacks: a client, and the pictures that cost much."""

    http: httpx.AsyncClient
    pictures: dict[str, bytes]
    random: Random = field(default_factory=Random)

    async def upload(self, name: str | None) -> dict:
        """Upload one of the pictures; return it as an endpoint's argument."""
        content = self.pictures[name or self.random.choice([*self.pictures])]
        reply = await self.http.post(UPLOAD, files={"files": ("a.png", content)})
        return {"path": reply.json()[0] if reply.is_success else str(reply.status_code), **FILE}

    async def send(self, method: str, path: str, **what) -> str:
        """Return a request's status, or "closed" if the server stopped reading it."""
        try:
            return str((await self.http.request(method, path, **what)).status_code)
        except httpx.HTTPError:
            return "closed"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FILE_HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
FORGERY = f"a\nERROR: {FORGED}"
REQUESTS = {  # of each attack, those of which one is sent
    "large body": [("POST", path, {"content": bytes(18 * MB)}) for path in (JOIN, CALL)],
    "long session": [("POST", JOIN, {"json": {"data": [], "session_hash": "x" * 60_000}})],
    "wrong form": [("POST", UPLOAD, {"content": FILE_HEAD * n, "headers": FORM}) for n in (1, 2)],
    "refused route": [
        *(("POST", f"gradio_api/{path}", {}) for path in ("run/upload", "cancel", "reset")),
        *(("GET", f"gradio_api/{path}", {}) for path in ("proxy=http://127.0.0.1:9/", "file=/etc")),
    ],
    "other host": [
        ("GET", path, {"headers": {name: EVIL}}) for path in ("", "config", "gradio_api/info")
        for name in ("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Gradio-Server")
    ],
    "forge log": [
        ("POST", "gradio_api/call/a%0aERROR:%20forged%20line", {"json": {"data": []}}),
        ("POST", "gradio_api/call/v2/upload", {"json": {FORGERY: 1}}),
        ("POST", JOIN, {"json": {"data": [None], "session_hash": FORGERY}}),
    ],
}  # fmt: skip
SERVER_FILES = "/etc/passwd", "examples/digits/7-crossed.png", "http://127.0.0.1:9/7.png"


async def send_one_of(requests: list[tuple], attacker: Attacker) -> str:
    method, path, what = attacker.random.choice(requests)
    return await attacker.send(method, path, **what)


async def slow_picture(attacker: Attacker, name: str | None = None) -> str:
    endpoint = attacker.random.choice(["upload", "sketch"])
    return await ask(attacker.http, endpoint, await attacker.upload(name))


async def server_file(attacker: Attacker) -> str:
    target = attacker.random.choice(SERVER_FILES)
    file = attacker.random.choice([{"path": target, **FILE}, {"path": "x", "url": target}])
    return await ask(attacker.http, attacker.random.choice(["upload", "sketch"]), file)


async def slow_upload(attacker: Attacker, seconds: float = 10) -> str:
    async def chunks():
        yield FILE_HEAD + bytes(5 * MB)
        for _ in range(10):
            await asyncio.sleep(seconds / 10)
            yield bytes(1000)
        raise httpx.WriteError("the attacker has left")

    return await attacker.send("POST", UPLOAD, content=chunks(), headers=FORM)


async def join_and_leave(attacker: Attacker, name: str | None = None) -> str:
    reply = await attacker.http.post(CALL, json={"data": [await attacker.upload(name)]})
    if reply.status_code == 200:
        async with attacker.http.stream("GET", f"{CALL}/{reply.json()['event_id']}"):
            pass
    return str(reply.status_code)


async def flood(attacker: Attacker, calls: int = 60, name: str | None = None) -> str:
    body = {"data": [await attacker.upload(name)]}
    sent = [attacker.send("POST", CALL, json=body) for _ in range(calls)]
    return "+".join(sorted({*await asyncio.gather(*sent)}))


async def fill_disk(attacker: Attacker) -> str:
    file = "a.png", attacker.random.randbytes(16) + bytes(19 * MB)
    return await attacker.send("POST", UPLOAD, files={"files": file})


ATTACKS = {name: partial(send_one_of, requests) for name, requests in REQUESTS.items()} | {
    attack.__name__.replace("_", " "): attack
    for attack in (slow_picture, server_file, slow_upload, join_and_leave, flood, fill_disk)
}
