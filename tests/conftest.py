"""What the tests share: a Hub on this machine, a small MNIST, the page's server, a browser."""

import json
import os
import re
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import numpy as np
import pytest
from browser import PAINT_LITTLE, TIMEOUT, clear, expect_no_answer, launch_browser, wait_for_the_pad
from loopback_hub import WRITE_TOKEN, Hub
from playwright.sync_api import expect, sync_playwright
from serving import ROOT, Server, serve

HUB = Hub()

# The Hub's client, PyTorch and OpenCV read these when they are imported.
os.environ.update(
    OMP_NUM_THREADS="1",  # the tests run in several processes, whose threads would wait in turn
    HF_ENDPOINT=HUB.url,
    HF_HOME=tempfile.mkdtemp(prefix="hf-home-"),
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_XET="1",  # Xet's storage is not part of the loopback Hub
    OPENCV_IO_MAX_IMAGE_PIXELS="16000000",  # as app.py has it for the page's worker
    OPENCV_LOG_LEVEL="SILENT",
)
for name in ("HF_TOKEN", "LENET_REPO", "LENET_REVISION", "SPACE_AUTHOR_NAME"):
    os.environ.pop(name, None)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    yield HUB
    HUB.clear()


def pytest_collection_modifyitems(items):
    # The files that take longest begin first, so that none is left to one process at last.
    longest = [f"test_{name}" for name in ("browser", "pen", "space", "train", "views")]
    items.sort(key=lambda item: item.path.stem not in longest)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory) -> Path:
    """A data folder of 1,797 real digits in MNIST's form: 1,500 to train on, 297 to test on."""
    from sklearn.datasets import load_digits

    from reading.preprocess import to_mnist

    digits = load_digits()
    images = np.stack([to_mnist(image / 16) for image in digits.images]) * 255
    raw = tmp_path_factory.mktemp("small-mnist") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        write_idx(raw / f"{name}-images-idx3-ubyte", images[part])
        write_idx(raw / f"{name}-labels-idx1-ubyte", digits.target[part])
    return raw.parent.parent


@pytest.fixture(scope="session")
def model():
    """The network with the weights that come with it."""
    from lenet import LeNet

    return LeNet.from_pretrained(ROOT / "weights")


@pytest.fixture(scope="session")
def mnist_test():
    """MNIST's 10,000 test pictures and labels: from the folder MNIST_DIR or data, else fetched."""
    from training.data import load_mnist

    folder = Path(os.environ.get("MNIST_DIR", ROOT / "data"))
    if not (folder / "MNIST" / "raw").is_dir() and not os.environ.get("CI"):
        pytest.skip(f"needs MNIST in {folder} (train.py fetches it)")
    return load_mnist(folder, train=False)


@contextmanager
def serve_page(log: Path, **environment: str) -> Iterator[Server]:
    """Serve the page by `python app.py`. At the end it still runs, and its log tells no failure."""
    with serve(log=log, **environment) as server:
        yield server
        assert server.process.poll() is None, "the page's server did not survive the tests"
        # A visitor who closes the page in the middle of an upload is no fault of the server's.
        failures = re.findall(r"^Traceback.*\n(?:\s.*\n)*(\S.*)", log.read_text(), re.M)
        assert not [f for f in failures if "ClientDisconnect" not in f], log.read_text()


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The page, served as a visitor finds it: its server, uploads and log."""
    folder = tmp_path_factory.mktemp("page")
    uploads, log = folder / "uploads", folder / "log"
    with serve_page(log, GRADIO_TEMP_DIR=str(uploads)) as server:
        yield SimpleNamespace(server=server, uploads=uploads, log=log)


@pytest.fixture(scope="session")
def page_url(site) -> str:  # with a slash at its end
    return site.server.url


@pytest.fixture(scope="module")
def http(page_url) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page_url, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")  # while Playwright is there, other modules can't run asyncio
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright):
    """Chromium: the system's, else Playwright's own. Where there is none, the tests fail."""
    browser = launch_browser(playwright)
    yield browser
    browser.close()


@contextmanager
def watched_pages(browser):
    """Give a function that makes a page, which may ask `site`; at the end, no page has failed."""
    contexts, wrong = [], []

    def new_page(site, width=440, height=700, **how):
        def on_request(request):
            if not request.url.startswith(("data:", "blob:")) and not request.url.startswith(site):
                wrong.append(f"asked of another host: {request.url}")
            if "component_server" in request.url:
                page.asked.append(json.loads(request.post_data)["data"])

        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **how))
        contexts[-1].add_init_script(PAINT_LITTLE % 250)
        page = contexts[-1].new_page()
        page.asked = []  # the questions of page/pen.js
        page.on("console", lambda told: told.type == "error" and wrong.append(str(told)))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", on_request)
        return page

    yield new_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def new_page(browser):
    with watched_pages(browser) as new_page:
        yield new_page


def opened(page, address: str):
    """Open the page; wait until all has come: Gradio reports a stream that the next visit ends."""
    page.goto(address)
    wait_for_the_pad(page)
    expect(page.locator("#source")).to_contain_text("MNIST", timeout=TIMEOUT)
    return page


@pytest.fixture(scope="module")
def window(browser, page_url):
    """The page, opened once for the tests of a module."""
    with watched_pages(browser) as new_page:
        clipboard = ["clipboard-read", "clipboard-write"]
        yield opened(new_page(page_url, permissions=clipboard), page_url)


@pytest.fixture
def page(window):
    """The page that is open, with an empty pad."""
    window.set_viewport_size({"width": 440, "height": 700})
    window.get_by_role("tab", name="Draw").click()
    clear(window)
    expect_no_answer(window)
    return window
