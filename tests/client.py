"""What a program asks of the page over HTTP, as Gradio's protocol has it."""

import io
import re

import httpx2 as httpx  # costs the processor half of what httpx does
from PIL import Image
from serving import ROOT

EXAMPLES = ROOT / "examples" / "digits"
FILE = {"meta": {"_type": "gradio.FileData"}}


def client_from(address: str, url: str, timeout: float = 120) -> httpx.AsyncClient:
    """Return a client with an address of its own (Linux: 127.0.1.7), as each visitor has.

    The page limits the requests of one address. The client closes its connections before the
    server does, at 5 s.
    """
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=limits, verify=False)
    return httpx.AsyncClient(base_url=url, timeout=timeout, transport=transport)


async def upload(http: httpx.AsyncClient, image: Image.Image, kind: str) -> dict:
    """Upload a picture as a file of that kind; return it as an endpoint's argument."""
    out = io.BytesIO()
    image.save(out, kind)
    reply = await http.post("gradio_api/upload", files={"files": ("picture", out.getvalue())})
    return {"path": reply.json()[0], **FILE}


async def questions(http: httpx.AsyncClient) -> list[tuple[str, dict]]:
    """Upload a drawing, and a photograph of two megapixels; return each's endpoint and argument."""
    ink = Image.open(EXAMPLES / "7-crossed.png").convert("L").resize((400, 400))
    layer = Image.new("RGBA", ink.size)
    layer.putalpha(ink.point(lambda gray: 255 - gray))
    drawing = {"background": None, "layers": [await upload(http, layer, "PNG")], "composite": None}
    photograph = Image.open(EXAMPLES / "5-photograph.jpg").resize((1600, 1200))
    return [("sketch", drawing), ("upload", await upload(http, photograph, "JPEG"))]


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
