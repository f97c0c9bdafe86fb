"""What a program asks of the page over HTTP, as Gradio's protocol has it."""

import io
import json
import re

import httpx2 as httpx  # costs the processor half of what httpx does
from PIL import Image
from serving import ROOT

EXAMPLES = ROOT / "examples" / "digits"
SEVEN = EXAMPLES / "7-crossed.png"
FILE = {"meta": {"_type": "gradio.FileData"}}
UPLOAD = "gradio_api/upload"


def client_from(address: str, url: str, timeout: float = 120) -> httpx.AsyncClient:
    """Return a client with an address of its own (Linux: 127.0.1.7), as each visitor has.

    It closes its connections before the server does, at 5 s.
    """
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits, verify=False)
    return httpx.AsyncClient(base_url=url, timeout=timeout, transport=transport)


async def questions(http: httpx.AsyncClient) -> list[tuple[str, dict]]:
    """Upload a drawing, and a photograph of two megapixels; return each's endpoint and argument."""
    ink = Image.open(SEVEN).convert("L").resize((400, 400))
    layer = Image.new("RGBA", ink.size)
    layer.putalpha(ink.point(lambda gray: 255 - gray))
    photograph = Image.open(EXAMPLES / "5-photograph.jpg").resize((1600, 1200))
    uploads = []
    for image, kind in ((layer, "PNG"), (photograph, "JPEG")):
        image.save(out := io.BytesIO(), kind)
        reply = await http.post(UPLOAD, files={"files": ("picture", out.getvalue())})
        uploads.append({"path": reply.json()[0], **FILE})
    return [("sketch", {"layers": uploads[:1]}), ("upload", uploads[1])]


async def ask(http: httpx.AsyncClient, endpoint: str, argument) -> str:
    """Return the data of an answer; raise RuntimeError if there is none."""
    call = f"gradio_api/call/{endpoint}"
    reply = await http.post(call, json={"data": [argument]})
    if reply.status_code != 200:
        raise RuntimeError(str(reply.status_code))
    text = (await http.get(f"{call}/{reply.json()['event_id']}")).text
    if found := re.search(r"event: complete\ndata: (.*)", text):
        return found[1]
    raise RuntimeError("error" if "event: error" in text else "no answer")


def upload(http: httpx.Client, content: bytes) -> dict:
    """Upload a file; return it as an endpoint's argument."""
    reply = http.post(UPLOAD, files={"files": ("7.png", content)}).raise_for_status()
    return {"path": reply.json()[0], **FILE}


def call(http: httpx.Client, route: str, body: dict) -> str:
    """Return what a call by one of the page's routes comes to: status and text."""
    # json=body would fail at a string that holds what no file name can.
    headers = {"Content-Type": "application/json"}
    reply = http.post(f"gradio_api/{route}", content=json.dumps(body), headers=headers)
    if reply.is_success and route != "component_server":
        reply = http.get(f"gradio_api/{route}/{reply.json()['event_id']}")
    return f"{reply.status_code} {reply.text}"


def sentence(http: httpx.Client, endpoint: str, argument) -> str:
    """Return the sentence of /upload or /sketch, or the whole of what came if there is none."""
    text = call(http, f"call/{endpoint}", {"data": [argument]})
    found = re.search(r"event: complete\ndata: (.*)", text)
    return json.loads(found[1])[1] if found else text
