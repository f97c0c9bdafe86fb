"""What is around a page: a proxy, or a Space's: TLS and the Hub's frame."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from serving import ROOT

SPACE_HOST, HUB_HOST = "me-lenet.hf.space", "hub.test"
VISITOR = "198.41.0.4"  # whom the proxy says it asks for; an address of the public internet
# What a Space's processes find in their environment, and what comes of it.
SPACE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "me/lenet",
    "SPACE_AUTHOR_NAME": "me",
    "SPACE_HOST": SPACE_HOST,
    "PYTHONPATH": str(ROOT),
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_THEME": "huggingface",
    "GRADIO_SSR_MODE": "true",
}
# As the Hub's page has it.
SANDBOX = "allow-downloads allow-forms allow-modals allow-popups allow-popups-to-escape-sandbox"
SANDBOX += " allow-same-origin allow-scripts"
FRAME = f"""<!doctype html><link rel=icon href=data:,><style>body {{margin: 0}}</style>
<iframe src=https://{SPACE_HOST}/ sandbox="{SANDBOX}" allow="camera; clipboard-write"
style="width: 100vw; height: 100vh; border: 0"></iframe>"""


class Handler(BaseHTTPRequestHandler):
    """Pass on what is asked of the page, as it streams; the Hub's page has it in a frame."""

    def do_GET(self):
        if self.headers["Host"].startswith(HUB_HOST):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(FRAME.encode())
            return
        if not self.path.startswith(self.server.prefix):  # a browser asks any site for its icon
            return self.send_error(204 if self.path == "/favicon.ico" else 404)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.prefix:  # a Space
            self.headers["X-Forwarded-For"] = VISITOR
            self.headers["X-Forwarded-Host"] = self.headers["Host"]
            self.headers["X-Forwarded-Proto"] = "https"
        page = HTTPConnection(self.server.page)
        with suppress(HTTPException, OSError):  # the visitor, or the page, is gone
            path = self.path.removeprefix(self.server.prefix)
            page.request(self.command, path, body, self.headers)
            answer = page.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while self.command != "HEAD" and (part := answer.read1()):
                self.wfile.write(part)
        page.close()

    do_POST = do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Proxy(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a browser looks whether it likes the certificate, and hangs up


@contextmanager
def proxy_to(page: str, folder: Path | None = None, prefix: str = "") -> Iterator[int]:
    """Serve a page as a Space is, its certificate in a folder, or without TLS; give the port."""
    with Proxy(("127.0.0.1", 0), Handler) as proxy:
        proxy.page, proxy.prefix = urlsplit(page).netloc, prefix
        if folder:
            pem = folder / "certificate-and-key.pem"
            command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            command += f" -subj /CN={SPACE_HOST} -days 2 -out {pem} -keyout {pem}.key"
            subprocess.run(command.split(), check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem, f"{pem}.key")
            # Each connection's own thread shakes hands.
            proxy.socket = context.wrap_socket(
                proxy.socket, server_side=True, do_handshake_on_connect=False
            )
        Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        yield proxy.server_port
        proxy.shutdown()
