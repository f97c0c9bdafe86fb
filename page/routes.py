"""What a request to the page looks like: its address, the ids in it, its JSON."""

import asyncio
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from starlette.formparsers import MultiPartException

MB = 1024**2
IDENTIFIER = r"[A-Za-z0-9_-]{1,64}"
ID = re.compile(IDENTIFIER).fullmatch  # session hashes, event and upload ids
HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII | re.IGNORECASE)

BODY_KEYS = {"data", "session_hash", "fn_index", "trigger_id", "event_data", "event_id"}
SERVER_KEYS = {"data", "session_hash", "component_id", "fn_name"}
RPC_KEYS = {"jsonrpc", "id", "method", "params", "result", "error"}
MOST_VALUES = 8192  # in a body: Gradio walks through all of them, again and again, and keeps them
WRONG_ARGUMENTS = (
    "That is not what this endpoint takes: “Use via API”, below the page, says what is."
)
NOT_JSON = (422, WRONG_ARGUMENTS)
BAD_ID = (422, "A session hash, or an id, has up to 64 letters, digits, hyphens and underscores.")

# Gradio takes the page's address from these; its Node server says it as it asks for /config.
FORWARDED = re.compile(rb"forwarded|x-forwarded-(?!for$).*")
FORWARDED_FOR = re.compile(rb"x-forwarded-for|x-real-ip")
FROM_NODE = re.compile(rb"x-gradio-.*")
FORWARDED_HOST = re.compile(rb"x-forwarded-host")


class Refusal(MultiPartException):
    """A request is refused, with a status and a sentence.

    It is one of the form parser's exceptions, since that is what makes Gradio delete the temporary
    file of an upload that ends badly.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def routes(endpoints: Sequence[str], files: Sequence[str | Path], mcp: bool = False) -> list[tuple]:
    """Return what the page and the API's clients ask for.

    Found by watching the page in a browser, and the Python client, do all they can.

    Parameters
    ----------
    endpoints : sequence of str
        Names of the API's endpoints.
    files : sequence of str or Path
        Folders of uploads.
    mcp : bool
        Whether the Model Context Protocol is spoken, over HTTP; its older way, /sse, is not.

    Returns
    -------
    routes : list of (methods, match of the path, kind)
        Kind is "get", "stream", "json", "named", "server", "rpc" or "upload".
    """
    names = "|".join(map(re.escape, endpoints))
    folders = "|".join(re.escape(str(folder)) for folder in files)
    get, post = ("GET", "HEAD"), ("POST",)
    api = "/gradio_api"
    table = [
        (get, "/|/config/?", "get"),
        (get, r"/(assets|static)/(?!.*[.][.])[\w./@+~-]+", "get"),
        (get, "/(theme[.]css|favicon[.]ico|manifest[.]json|robots[.]txt)", "get"),
        (get, f"{api}/(info/?|openapi[.]json|app_id/?|startup-events|theme[.]css)", "get"),
        (get, f"{api}/(queue/data|upload_progress)", "stream"),
        (get, f"{api}/call/(v2/)?({names})/{IDENTIFIER}", "stream"),
        (post, f"{api}/queue/join", "json"),
        (post, f"{api}/call/({names})/?", "json"),
        (post, f"{api}/call/v2/({names})/?", "named"),
        (post, f"{api}/component_server/?", "server"),
        (post, f"{api}/upload", "upload"),
    ]
    if mcp:
        table.append((get, f"{api}/mcp(/|/schema|/http/?)?", "stream"))
        table.append((post, f"{api}/mcp(/|/http/?)?", "rpc"))
    if files:
        name = r"[^/\\\x00-\x1f\x7f]{1,255}"
        table.append((get, rf"{api}/file=({folders})[/\\][0-9a-f]{{64}}[/\\]{name}", "get"))
    return [(methods, re.compile(path, re.ASCII).fullmatch, kind) for methods, path, kind in table]


def path_of(scope) -> str:
    """Return the path without the root path, as Starlette matches it."""
    path, root = scope["path"], scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def header(scope, name: bytes) -> str:
    """Return a header's first value, the one that Starlette takes, or ""."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def is_cross_origin(scope, believe_host: bool) -> bool:
    """Return whether a browser sends a request on behalf of another website.

    Browsers say so in Sec-Fetch-Site, which no page's code can set, older ones in Origin (OWASP,
    "Cross-Site Request Forgery Prevention"). Programs send neither.
    """
    if site := header(scope, b"sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = header(scope, b"origin")
    hosts = [header(scope, b"host")]
    if believe_host:
        hosts += header(scope, b"x-forwarded-host").partition(",")[:1]
    return origin != "" and origin.partition("://")[2] not in hosts


def check_json(body: bytes, named: bool) -> None:
    """Raise Refusal if a body is none that the page's code, or a client of its API, sends.

    Parameters
    ----------
    body : bytes
    named : bool
        Whether the endpoint takes its arguments by their names, and no session.
    """
    fields = parse(body)
    if not all(map(ID, fields)):
        raise Refusal(*NOT_JSON)
    if named:
        return
    numbers = [fields.get(name) for name in ("fn_index", "trigger_id")]
    numbered = all(n is None or (type(n) is int and 0 <= n < 1000) for n in numbers)
    if not (numbered and BODY_KEYS.issuperset(fields) and isinstance(fields.get("data"), list)):
        raise Refusal(*NOT_JSON)
    check_id(fields.get("session_hash"), fields.get("event_id"))


def check_server(body: bytes) -> None:
    """Raise Refusal if a body is none by which the page calls its own function, `answer`."""
    fields = parse(body)
    if fields.keys() != SERVER_KEYS or fields["fn_name"] != "answer":
        raise Refusal(*NOT_JSON)
    if type(fields["component_id"]) is not int or not isinstance(fields["session_hash"], str):
        raise Refusal(*NOT_JSON)
    check_id(fields["session_hash"])


def check_rpc(body: bytes) -> None:
    """Raise Refusal if a body is none that a client of the Model Context Protocol sends."""
    fields = parse(body)
    if not RPC_KEYS.issuperset(fields) or fields.get("jsonrpc") != "2.0":
        raise Refusal(*NOT_JSON)


def parse(body: bytes) -> dict:
    """Return a body's JSON, or raise Refusal if it is no short object."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(*NOT_JSON) from None
    if not isinstance(fields, dict) or not is_short(fields):
        raise Refusal(*NOT_JSON)
    return fields


def is_short(value) -> bool:
    """Return whether a value of JSON holds no more than so many others."""
    values, number = [value], 0
    while values and number <= MOST_VALUES:
        number += 1
        value = values.pop()
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
    return number <= MOST_VALUES


def check_id(*values) -> None:
    """Raise Refusal if a value is no session hash, event id or upload id; None is left out."""
    for value in values:
        if value is not None and not (isinstance(value, str) and ID(value)):
            raise Refusal(*BAD_ID)


def believe(scope, believe_address: bool, believe_host: bool) -> str:
    """Return the address that a request counts for; drop the headers that are not believed.

    Parameters
    ----------
    scope : dict
        ASGI's, of HTTP; changed in place.
    believe_address, believe_host : bool
        As `page.gate.Gate` takes them.

    Returns
    -------
    address : str
        Of IPv6, the network.
    """
    headers = scope["headers"]
    client = scope["client"][0] if scope.get("client") else ""
    unbelieved = [] if path_of(scope) == "/config" else [FROM_NODE]
    if believe_address:
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        hops = [without_port(hop.strip()) for hop in forwarded.decode("latin-1").split(",")]
        # Proxies append: what stands before the last public address, a caller may have put.
        client = next((hop for hop in reversed(hops) if is_public(hop)), client)
        scope["client"] = (client, 0)
    else:
        unbelieved.append(FORWARDED_FOR)
    if believe_host:
        if header(scope, b"x-forwarded-proto") == "https":
            scope["scheme"] = "https"
        if not HOST.fullmatch(header(scope, b"x-forwarded-host").partition(",")[0].strip()):
            unbelieved.append(FORWARDED_HOST)
    else:
        unbelieved.append(FORWARDED)
    kept = (pair for pair in headers if not any(u.fullmatch(pair[0]) for u in unbelieved))
    scope["headers"] = list(kept)
    return network(client)


def without_port(hop: str) -> str:
    """Return an address of `X-Forwarded-For` without the port that some proxies append.

    IPv4 in IPv6 is returned as IPv4.
    """
    match = HOST.fullmatch(hop)
    return unmapped(match[1].strip("[]") if match else hop)


def unmapped(address: str) -> str:
    """Return an IPv4 address that stands in IPv6 (::ffff:8.8.8.8) as IPv4, others as they are."""
    try:
        return str(ipaddress.IPv6Address(address).ipv4_mapped or address)
    except ValueError:
        return address


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet's."""
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


@lru_cache(4096)
def network(address: str) -> str:
    """Return an IPv4 address as it is, of an IPv6 address the network that one client has."""
    address = unmapped(address)
    try:
        if (parsed := ipaddress.ip_address(address)).version == 6:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
    except ValueError:
        pass
    return address[:64]


class ClientGone(Exception):
    """The caller has closed the connection."""


class Body:
    """A request's `receive` that knows whether more is to come."""

    def __init__(self, receive):
        self.receive = receive
        self.more = True

    async def __call__(self) -> dict:
        message = await self.receive()
        self.more = message.get("more_body", False)
        return message

    async def drain(self, most: int = MB, seconds: float = 1) -> None:
        """Read on a little, so that a caller who is still sending gets to read the refusal."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.more and most > 0:
                    most -= len((await self()).get("body", b""))


def subtract(counter: Counter, key: str, number: int) -> None:
    """Lower a count, and forget it at 0."""
    counter[key] -= number
    if counter[key] <= 0:
        del counter[key]
