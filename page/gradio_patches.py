"""Every change to Gradio's Python internals, each checked before it is made.

Written for Gradio 6.31.0. Where another version lacks what a patch replaces, or gives it other
parameters, the page does not start: a patch that silently no longer works is a security hole.
That Gradio still calls what is replaced, the tests of the real page tell (tests/test_abuse.py).
"""

import asyncio
import inspect
import logging
from collections.abc import Callable

import gradio as gr
from fastapi import HTTPException
from gradio import http_server
from gradio.components.api_component import Api
from gradio.queueing import Event, Queue
from gradio.route_utils import FileUploadProgress
from gradio.routes import App
from gradio.state_holder import SessionState

from page.gate import TOO_MANY
from page.routes import NOT_JSON, network
from page.uploads import NotUploadedError, resolve_upload

log = logging.getLogger(__name__)
WRITTEN_FOR = "6.31.0"
MOST_UPLOADS_TRACKED = 1000


def patch(demo: gr.Blocks, wrong_arguments: str, past_events: int, events_of_one: int = 64) -> None:
    """Make every change to Gradio that the page needs.

    Parameters
    ----------
    demo : gr.Blocks
        The page, its queue as it is to be (`demo.queue` makes a new one, unpatched).
    wrong_arguments : str
        What a caller is told whose arguments no endpoint takes.
    past_events : int
        Of the events answered so far, how many Gradio keeps: it lists them all after each answer.
    events_of_one : int
        Of one address, that are in the queue or under way.

    Raises
    ------
    RuntimeError
        If an attribute that is replaced is missing, or has other parameters.
    """
    for component in (gr.Image, gr.ImageEditor, Api):
        _take_uploads_only(component, wrong_arguments)
    _refuse_wrong_arguments(demo, wrong_arguments)
    _remember_no_values()
    _forget_uploads(demo)
    _cancel_with_the_asker()
    _bound_events_of_one(events_of_one)
    _describe_the_api_anew(demo)
    _open_no_second_port()
    for event in demo.fns.values():  # else an example is asked for by a route past the queue
        event.queue = True
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


def _take_uploads_only(component: type, message: str) -> None:
    """Make a component take what was uploaded, where it lies; Gradio would copy and download.

    The class is changed: Gradio makes new components of it for a visitor, and would write a
    file app.pyi for a subclass.
    """
    parameters = "self url_or_file_path"
    names = "async_move_resource_to_block_cache", "move_resource_to_block_cache"
    asynchronous, synchronous = (_original(component, name, parameters) for name in names)

    def upload(path, folder: str) -> str | None:
        try:
            return path and str(resolve_upload(str(path), folder))
        except NotUploadedError:
            raise gr.Error(message, print_exception=False) from None

    @_replacing(asynchronous)
    async def async_move(self, url_or_file_path):
        return upload(url_or_file_path, self.GRADIO_CACHE)

    @_replacing(synchronous)
    def move(self, url_or_file_path):
        return upload(url_or_file_path, self.GRADIO_CACHE)

    component.async_move_resource_to_block_cache = async_move
    component.move_resource_to_block_cache = move


def _remember_no_values() -> None:
    """Keep no visitor's values: Gradio does for its deep links, as many bytes as were sent."""
    original = _original(SessionState, "_update_value_in_config", "self key value")

    @_replacing(original)
    def forget(self, key, value):
        pass

    SessionState._update_value_in_config = forget


def _forget_uploads(demo: gr.Blocks) -> None:
    """Keep no list of all uploads, and the progress of the last few only."""
    _original(demo, "upload_file_set")
    demo.upload_file_set = _Forgetful()
    for name, parameters in (("track", "self upload_id"), ("is_tracked", "self upload_id")):
        original = _original(FileUploadProgress, name, parameters)

        @_replacing(original)
        def bounded(self, upload_id, original=original):
            for kept in (self._statuses, self._signals):
                while len(kept) > MOST_UPLOADS_TRACKED:
                    del kept[next(iter(kept))]
            return original(self, upload_id)

        setattr(FileUploadProgress, name, bounded)


class _Forgetful(set):
    """A set that stays empty."""

    def update(self, *_):
        """Forget what is added."""


def _cancel_with_the_asker() -> None:
    """Cancel the events of a visitor who has left; Gradio would have them answered to the end."""
    original = _original(Queue, "clean_events", "self session_hash event_id")

    @_replacing(original)
    async def clean_events(self, *, session_hash=None, event_id=None):
        await original(self, session_hash=session_hash, event_id=event_id)
        # What has not begun ends by itself now, and what has ended puts its place in the queue in
        # order: cancelled then, either would keep it for ever.
        left = {
            event._id
            for event in _running(self)
            if (event._id == event_id if event_id else event.session_hash == session_hash)
        }
        for task in asyncio.all_tasks() if left else ():
            # Gradio's own name of a task: utils.set_task_name
            _, _, event = task.get_name().partition("<gradio-sep>")
            begun = inspect.getcoroutinestate(task.get_coro()) != inspect.CORO_CREATED
            if event in left and begun:
                task.cancel()

    Queue.clean_events = clean_events


def _running(queue: Queue) -> list[Event]:
    """Return the events that have a place among those that are answered."""
    return [event for job in queue.active_jobs if job for event in job]


def _bound_events_of_one(most: int) -> None:
    """Bound the events of one address: Gradio's queue has one bound for all, and one order.

    What one caller put there by the hundred, the next visitor would wait for, or be refused for.
    """
    original = _original(Queue, "push", "self body request username")

    @_replacing(original)
    async def push(self, body, request, username):
        waiting = [e for queue in self.event_queue_per_concurrency_id.values() for e in queue.queue]
        address = network(request.client.host)
        events = (*_running(self), *waiting)
        if sum(network(event.request.client.host) == address for event in events) >= most:
            raise HTTPException(*TOO_MANY)
        if not getattr(self.blocks.fns.get(body.fn_index), "fn", None):  # the page's code alone
            raise HTTPException(*NOT_JSON)
        return await original(self, body=body, request=request, username=username)

    Queue.push = push


def _open_no_second_port() -> None:
    """Start no reload server in a Space (`gradio/http_server.py:152`): it runs anyone's code."""
    original = _original(http_server, "watchfn_spaces", "reloader")

    @_replacing(original)
    def watch_nothing(reloader):
        pass

    http_server.watchfn_spaces = watch_nothing


class _FreshEachTime:
    """An attribute that is read once after it was set, and then is empty again."""

    def __get__(self, owner, _=None):
        return owner and owner.__dict__.pop("fresh_api_info", None)

    def __set__(self, owner, value):
        owner.__dict__["fresh_api_info"] = value


def _describe_the_api_anew(demo: gr.Blocks) -> None:
    """Make the API's description for each caller: it names the host that a caller claims."""
    if "api_info" not in vars(demo.app) and not isinstance(
        vars(App).get("api_info"), _FreshEachTime
    ):
        _original(App, "api_info")
    App.api_info = _FreshEachTime()


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
