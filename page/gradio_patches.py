"""Every change to Gradio's Python internals, each checked before it is made.

Written for Gradio 6.31.0. Where another version lacks what a patch replaces, or gives it other
parameters, the page does not start: a patch that silently no longer works is a security hole.
That Gradio still calls what is replaced, the tests of the real page tell.
"""

import inspect
import logging

import gradio as gr
from gradio import http_server
from gradio.components.api_component import Api
from gradio.route_utils import FileUploadProgress
from gradio.routes import App
from gradio.state_holder import SessionState

from page.uploads import NotUploadedError, resolve_upload

log = logging.getLogger(__name__)
WRITTEN_FOR = "6.31.0"
MAX_UPLOADS_TRACKED = 1000


def patch(demo: gr.Blocks, wrong_arguments: str) -> None:
    """Make every change to Gradio that the page needs.

    Parameters
    ----------
    demo : gr.Blocks
    wrong_arguments : str
        What a caller is told whose arguments no endpoint takes.

    Raises
    ------
    RuntimeError
        If an attribute that is replaced is missing, or has other parameters.
    """
    for component in (gr.Image, gr.ImageEditor, Api):
        _take_uploads_only(component, wrong_arguments)
    _refuse_wrong_arguments(demo, wrong_arguments)
    # Gradio keeps a session's values for deep links, as many bytes as were sent.
    _replace(
        SessionState, "_update_value_in_config", "self key value", lambda self, key, value: None
    )
    _forget_uploads(demo)
    if not isinstance(vars(App).get("api_info"), _FreshEachTime) and "api_info" not in vars(
        demo.app
    ):
        _original(App, "api_info")
    App.api_info = _FreshEachTime()
    # A Space would open a second port, at which anyone may run code (gradio/http_server.py:152).
    _replace(http_server, "watchfn_spaces", "reloader", lambda reloader: None)
    for event in demo.fns.values():  # else an example is asked for by a route past the queue
        event.queue = True


def _original(owner, name: str, parameters: str | None = None):
    """Return an attribute that is to be replaced, or raise RuntimeError if it is not as expected.

    Asked for twice, as when Gradio reloads app.py, it returns what the first patch replaced.
    """
    value = getattr(owner, name, None)
    value = getattr(value, "replaces", value)
    found = value is not None
    if found and parameters is not None:
        found = callable(value) and " ".join(inspect.signature(value).parameters) == parameters
    if not found:
        name = f"{getattr(owner, '__name__', type(owner).__name__)}.{name}"
        raise RuntimeError(
            f"page/gradio_patches.py is written for Gradio {WRITTEN_FOR}, whose {name} it "
            f"replaces. Gradio {gr.__version__} has no such one. Install Gradio {WRITTEN_FOR}, or "
            "see what took its place."
        )
    return value


def _replace(owner, name: str, parameters: str, function) -> None:
    """Replace a function of Gradio's, if it is as expected, by one of ours."""
    function.replaces = _original(owner, name, parameters)
    setattr(owner, name, function)


def _take_uploads_only(component: type, message: str) -> None:
    """Make a component take what was uploaded, where it lies; Gradio would copy and download.

    The class is changed: Gradio makes new components of it for a visitor.
    """

    def move(self, url_or_file_path):
        try:
            return url_or_file_path and str(
                resolve_upload(str(url_or_file_path), self.GRADIO_CACHE)
            )
        except NotUploadedError:
            raise gr.Error(message, print_exception=False) from None

    async def async_move(self, url_or_file_path):
        return move(self, url_or_file_path)

    _replace(component, "move_resource_to_block_cache", "self url_or_file_path", move)
    _replace(component, "async_move_resource_to_block_cache", "self url_or_file_path", async_move)


def _forget_uploads(demo: gr.Blocks) -> None:
    """Keep no list of all uploads, and the progress of the last few only."""
    _original(demo, "upload_file_set")
    demo.upload_file_set = type("Forgetful", (set,), {"update": lambda self, *files: None})()
    for name in ("track", "is_tracked"):
        original = _original(FileUploadProgress, name, "self upload_id")

        def bounded(self, upload_id, original=original):
            for kept in (self._statuses, self._signals):
                while len(kept) > MAX_UPLOADS_TRACKED:
                    del kept[next(iter(kept))]
            return original(self, upload_id)

        _replace(FileUploadProgress, name, "self upload_id", bounded)


class _FreshEachTime:
    """App.api_info, made for each caller, since it names the host that a caller claims."""

    def __get__(self, owner, _=None):
        return owner and owner.__dict__.pop("fresh_api_info", None)

    def __set__(self, owner, value):
        owner.__dict__["fresh_api_info"] = value


def _refuse_wrong_arguments(demo: gr.Blocks, message: str) -> None:
    """Refuse arguments that no endpoint takes with a sentence, and one line in the log.

    They come from scripts. Gradio's own answer is empty, and its log a traceback for each.
    """
    parameters = "block_fn inputs state explicit_call"
    original = _original(demo, "preprocess_data", parameters)

    async def preprocess_data(*args, **kwargs):
        try:
            return await original(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.warning("Refused a call: %s", type(error).__name__)
            raise gr.Error(message, print_exception=False) from None

    _replace(demo, "preprocess_data", parameters, preprocess_data)
