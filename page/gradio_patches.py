"""Every change to Gradio's Python internals, each checked before it is made.

Written for Gradio 6.31.0. Where another version lacks what a patch replaces, or gives it other
parameters, the page does not start: a patch that silently no longer works is a security hole.
That Gradio still calls what is replaced, the tests of the real page tell (tests/test_abuse.py).
"""

import inspect
import logging
from collections.abc import Callable

import gradio as gr

log = logging.getLogger(__name__)
WRITTEN_FOR = "6.31.0"


def patch(demo: gr.Blocks, wrong_arguments: str, past_events: int) -> None:
    """Make every change to Gradio that the page needs.

    Parameters
    ----------
    demo : gr.Blocks
        The page, its queue as it is to be (`demo.queue` makes a new one, unpatched).
    wrong_arguments : str
        What a caller is told whose arguments no endpoint takes.
    past_events : int
        Of the events answered so far, how many Gradio keeps: it lists them all after each answer.

    Raises
    ------
    RuntimeError
        If an attribute that is replaced is missing, or has other parameters.
    """
    _fetch_nothing(gr.Image)
    _fetch_nothing(gr.ImageEditor)
    _keep_no_blobs()
    _refuse_wrong_arguments(demo, wrong_arguments)
    _original(demo._queue, "ANALYTICS_MAX_EVENTS")
    demo._queue.ANALYTICS_MAX_EVENTS = past_events


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


def _replacing(original: Callable) -> Callable:
    """Return a decorator that marks a function as one of ours, in the place of `original`."""

    def mark(function: Callable) -> Callable:
        function.replaces = original
        return function

    return mark


def _fetch_nothing(component: type) -> None:
    """Make a component take files that were uploaded, and fetch none from an address.

    The class is changed: Gradio makes new components of it for a visitor, and would write a
    file app.pyi for a subclass.
    """
    parameters = "self url_or_file_path"
    asynchronous = _original(component, "async_move_resource_to_block_cache", parameters)
    synchronous = _original(component, "move_resource_to_block_cache", parameters)

    def refuse_address(path) -> None:
        if path and "://" in str(path):
            raise gr.Error("Send the picture itself, not its address.", print_exception=False)

    @_replacing(asynchronous)
    async def async_move(self, url_or_file_path):
        refuse_address(url_or_file_path)
        return await asynchronous(self, url_or_file_path)

    @_replacing(synchronous)
    def move(self, url_or_file_path):
        refuse_address(url_or_file_path)
        return synchronous(self, url_or_file_path)

    component.async_move_resource_to_block_cache = async_move
    component.move_resource_to_block_cache = move


def _keep_no_blobs() -> None:
    """Take away the pad's own store, which keeps in memory whatever is sent; ours sends files."""
    if getattr(gr.ImageEditor, "accept_blobs", None) is not _no_server_function:
        _original(gr.ImageEditor, "accept_blobs", "self data")
        gr.ImageEditor.accept_blobs = _no_server_function


def _no_server_function(self, data) -> None:
    """Take the place of a function that the browser may call: without Gradio's mark, it is 404."""


def _refuse_wrong_arguments(demo: gr.Blocks, message: str) -> None:
    """Refuse arguments that no endpoint takes with a sentence, and one line in the log.

    They come from scripts. Gradio's own answer is empty, and its log a traceback for each.
    """
    original = _original(demo, "preprocess_data", "block_fn inputs state explicit_call")

    @_replacing(original)
    async def preprocess_data(*args, **kwargs):
        try:
            return await original(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.warning("Refused a call: %s", type(error).__name__)
            raise gr.Error(message, print_exception=False) from None

    demo.preprocess_data = preprocess_data
