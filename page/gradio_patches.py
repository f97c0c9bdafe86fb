"""All changes to Gradio's Python internals. Each checks that Gradio has what it replaces."""

import inspect
import logging
import re
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
from gradio import http_server, routes
from gradio.components.api_component import Api
from gradio.route_utils import FileUploadProgress, GradioMultiPartParser
from gradio.routes import App
from gradio.state_holder import SessionState
from jinja2 import ChoiceLoader, DictLoader

from page.gate import WRONG_ARGUMENTS
from page.uploads import NotUploadedError, resolve_upload

log = logging.getLogger(__name__)
WRITTEN_FOR = "6.31.0"
MAX_UPLOADS_TRACKED = 1000


def patch(demo: gr.Blocks) -> None:
    """Change what Gradio has no option for; raise RuntimeError if this version doesn't fit."""
    for component in (gr.Image, gr.ImageEditor, Api):
        _take_uploads_only(component)
    _refuse_wrong_arguments(demo)
    # Gradio's deep links aren't used here. For them it keeps all values that a session sends, and
    # describes all components for each session, which takes a third of an answer's time.
    _replace(SessionState, "_update_value_in_config", "self key value", lambda *_: None)
    begin = _original(SessionState, "__init__", "self blocks")
    bare = SimpleNamespace(default_config=demo.default_config, blocks={})
    _replace(SessionState, "__init__", "self blocks", lambda self, _: begin(self, bare))
    _track_few_uploads()
    _original(demo, "upload_file_set")
    demo.upload_file_set = SimpleNamespace(update=lambda paths: None)  # it would only grow
    # Gradio would accept a thousand files and a thousand fields in one upload.
    _original(GradioMultiPartParser, "on_headers_finished", "self")
    GradioMultiPartParser.max_files = property(lambda parser: 1, lambda parser, most: None)
    GradioMultiPartParser.max_fields = property(lambda parser: 0, lambda parser, most: None)
    # Gradio caches the API's description with the host name that its first client sent.
    _original(demo.app, "api_info")
    info = ContextVar("info", default=None)  # of one request
    App.api_info = property(lambda app: info.get(), lambda app, value: info.set(value))
    # In a Space, Gradio would open a port where anyone can run code (gradio/http_server.py:152).
    _replace(http_server, "watchfn_spaces", "reloader", lambda reloader: None)
    for event in demo.fns.values():  # or examples would use a route that bypasses the queue
        event.queue = True


def replace_card(description: str, picture: str) -> None:
    """Replace the meta tags that other sites make previews of (frontend/index.html:19).

    `description` is a sentence, `picture` the path of an upload.
    """
    environment = routes.templates.env
    card, templates = (Path(__file__).parent / "card.html").read_text(), {}
    for name in ("frontend/index.html", "frontend/share.html"):
        source, *_ = environment.loader.get_source(environment, name)
        source = re.sub(r'<meta\s+(property="og:|name="(twitter:|desc))[^>]*>', "", source)
        templates[name] = source.replace("</head>", card, 1)
    environment.loader = ChoiceLoader([DictLoader(templates), environment.loader])
    environment.globals.update(description=description, picture=picture)


def _original(owner, name: str, parameters: str | bool = False):
    """Return Gradio's own function, even if it is already replaced (Gradio reloads app.py)."""
    value = getattr(owner, name, None)
    value = getattr(value, "replaces", value)
    found = callable(value) and " ".join(inspect.signature(value).parameters)
    if found != parameters or not hasattr(owner, name):
        name = f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
        raise RuntimeError(
            f"The page replaces {name} of Gradio {WRITTEN_FOR}, but Gradio {gr.__version__} lacks "
            f'or changed it. Install the version that fits: pip install "gradio=={WRITTEN_FOR}"'
        )
    return value


def _replace(owner, name: str, parameters: str, function) -> None:
    function.replaces = _original(owner, name, parameters)
    setattr(owner, name, function)


def _take_uploads_only(component: type) -> None:
    """Let components of a class accept uploads only; Gradio would copy files and fetch URLs."""

    def move(self, path):
        try:
            return path and str(resolve_upload(str(path), self.GRADIO_CACHE))
        except NotUploadedError:
            raise gr.Error(WRONG_ARGUMENTS, print_exception=False) from None

    async def async_move(self, path):
        return move(self, path)

    parameters = "self url_or_file_path"
    _replace(component, "move_resource_to_block_cache", parameters, move)
    _replace(component, "async_move_resource_to_block_cache", parameters, async_move)


def _track_few_uploads() -> None:
    """Keep the progress of the latest uploads only; Gradio would keep all."""
    for name in ("track", "is_tracked"):
        original = _original(FileUploadProgress, name, "self upload_id")

        def bounded(self, upload_id, original=original):
            for kept in (self._statuses, self._signals):
                for oldest in list(kept)[:-MAX_UPLOADS_TRACKED]:
                    del kept[oldest]
            return original(self, upload_id)

        _replace(FileUploadProgress, name, "self upload_id", bounded)


def _refuse_wrong_arguments(demo: gr.Blocks) -> None:
    """Answer wrong arguments with a sentence; Gradio would answer nothing and log a traceback."""
    parameters = "block_fn inputs state explicit_call"
    original = _original(demo, "preprocess_data", parameters)

    async def preprocess_data(*args, **kwargs):
        try:
            return await original(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.warning("Refused a call: %s", type(error).__name__)
            raise gr.Error(WRONG_ARGUMENTS, print_exception=False) from None

    _replace(demo, "preprocess_data", parameters, preprocess_data)
