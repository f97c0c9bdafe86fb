"""What the page changes in Gradio: it does what it says, or the page does not start."""

import asyncio
import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout

import gradio as gr
import pytest
from fastapi import HTTPException, Request
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event
from gradio.utils import set_task_name

from page import gradio_patches

# Patches a page of its own after Gradio was changed as another version might be.
PATCH = """
import gradio as gr
import gradio.queueing, gradio.routes, gradio.state_holder
from page import gradio_patches
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Image()
{change}
gradio_patches.patch(demo, "wrong", 100)
{then}
"""


# Each runs in a process of its own, forked from one that has imported Gradio: that takes seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["gradio", "page.gradio_patches"])


def run(change: str = "", then: str = "") -> tuple[str, str]:
    """Return what is printed, and the error that ends it, or ""."""
    with ProcessPoolExecutor(1, mp_context=FORKS) as process:
        return process.submit(execute, PATCH.format(change=change, then=then)).result()


def execute(code: str) -> tuple[str, str]:
    with redirect_stdout(io.StringIO()) as printed:
        try:
            exec(code, {})
        except Exception as error:
            return printed.getvalue(), repr(error)
    return printed.getvalue(), ""


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (f"del gr.{owner}.{name}", name)
        for owner, name in (
            ("blocks.Block", "async_move_resource_to_block_cache"),
            ("blocks.Block", "move_resource_to_block_cache"),
            ("Blocks", "preprocess_data"),
            ("queueing.Queue", "clean_events"),
            ("state_holder.SessionState", "_update_value_in_config"),
        )
    ]
    + [
        (f"gr.Image.{name} = lambda self, resource, options: None", name)
        for name in ("async_move_resource_to_block_cache", "move_resource_to_block_cache")
    ]
    + [
        ("gr.queueing.Queue.clean_events = lambda self, everything: None", "clean_events"),
        ("gr.queueing.Queue.push = lambda self, everything: None", "Queue.push"),
        ("del demo.app.api_info", "api_info"),
        ("gr.Blocks.preprocess_data = lambda self, everything: None", "preprocess_data"),
        ("del demo._queue.ANALYTICS_MAX_EVENTS", "ANALYTICS_MAX_EVENTS"),
    ],
)
def test_another_gradio_stops_the_start_with_a_sentence(change, missing):
    _, error = run(change)
    assert error.startswith("RuntimeError") and missing in error and "Gradio 6.31.0" in error


def test_patching_twice_is_patching_once():
    """As when Gradio loads app.py anew."""
    assert run(then='gradio_patches.patch(demo, "wrong", 100)') == ("", "")


@pytest.mark.parametrize("component", ["Image", "ImageEditor"])
@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.png", "/etc/passwd", "app.py"])
def test_no_component_takes_what_was_not_uploaded(component, path):
    """Whether Gradio asks it in a coroutine or not."""
    then = f"""
import asyncio
for move in (lambda c: asyncio.run(c.async_move_resource_to_block_cache({path!r})),
             lambda c: c.move_resource_to_block_cache({path!r})):
    try:
        print("taken", move(gr.{component}()))
    except gr.Error as error:
        print(error.message)
"""
    assert run(then=then) == ("wrong\nwrong\n", "")


def test_no_session_remembers_what_was_sent():
    then = """
import gradio.state_holder
state = gradio.state_holder.SessionState(demo)
before = str(state.config_values)
state._update_value_in_config(next(iter(demo.blocks)), "x" * 1000)
print(str(state.config_values) == before)
"""
    assert run(then=then) == ("True\n", "")


def test_the_apis_description_is_made_for_each_caller():
    then = """
app = demo.app
app.api_info = {"host": "one"}
print(app.api_info, app.api_info)
"""
    assert run(then=then) == ("{'host': 'one'} None\n", "")


def test_the_page_keeps_few_past_events():
    assert run(then="print(demo._queue.ANALYTICS_MAX_EVENTS)") == ("100\n", "")


def test_wrong_arguments_get_the_sentence():
    async def ask():
        from page.gradio_patches import patch

        with gr.Blocks(analytics_enabled=False) as demo:
            box = gr.Number()
            box.change(lambda number: number, box, api_name="double")
        patch(demo, "That is no number.", 100)
        return await demo.preprocess_data(demo.fns[0], [], None)

    with pytest.raises(gr.Error, match="That is no number"):
        asyncio.run(ask())


@pytest.mark.parametrize("begun", [False, True])
def test_who_leaves_takes_no_place_in_the_queue_along(begun):
    """A place that is not given back is lost until the restart, and there are a hundred."""
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Button().click(lambda: None)
    gradio_patches.patch(demo, "wrong", 100)
    queue, (function,) = demo._queue, demo.fns.values()

    async def leave():
        events = [Event("visitor", function, None, None)]
        queue.create_event_queue_for_fn(function)
        queue.active_jobs = [events]
        task = asyncio.create_task(queue.process_events(events, False, 0.0, function))
        set_task_name(task, "visitor", function._id, events[0]._id, False)
        if begun:
            queue.pending_messages_per_session["visitor"] = asyncio.Queue()
            await asyncio.sleep(0)
        await queue.clean_events(session_hash="visitor")
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave())
    assert queue.active_jobs == [None]


def test_one_address_has_so_many_events():
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Button().click(lambda: None)
    gradio_patches.patch(demo, "wrong", 100, events_of_one=3)
    queue, (function,) = demo._queue, demo.fns.values()
    here, there = ("2001:db8::1", "2001:db8::2"), "192.0.2.1"  # the same network, another

    def event(address):
        return Event(None, function, Request({"type": "http", "client": (address, 1)}), None)

    async def push(address):
        request = event(address).request
        body = PredictBodyInternal(data=[], fn_index=function._id, request=request)
        return (await queue.push(body=body, request=request, username=None))[2]

    async def ask():
        queue.active_jobs = [[event(here[0])], None]
        assert [await push(address) for address in here] == ["success"] * 2
        for address in here:
            with pytest.raises(HTTPException, match="Too many requests"):
                await push(address)
        assert await push(there) == "success"
        queue.active_jobs = [None, None]  # one has been answered
        assert await push(here[1]) == "success"

    asyncio.run(ask())
