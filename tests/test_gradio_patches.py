"""What the page changes in Gradio: it does what it says, or the page does not start."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

# Patches a page of its own after Gradio was changed as another version might be.
PATCH = """
import asyncio, contextvars
import gradio as gr
import gradio.http_server, gradio.queueing, gradio.route_utils, gradio.routes, gradio.state_holder
from page import gradio_patches
with gr.Blocks(analytics_enabled=False) as demo:
    (box := gr.Number()).change(lambda number: number, box)
{change}
gradio_patches.patch(demo)
{then}
"""
# Each runs in a process of its own, forked from one that has imported Gradio: that takes seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["gradio", "page.gradio_patches"])


def run(change: str = "", then: str = "") -> str:
    """Return the error that ends it, or ""."""
    with ProcessPoolExecutor(1, mp_context=FORKS) as process:
        return process.submit(execute, PATCH.format(change=change, then=then)).result()


def execute(code: str) -> str:
    try:
        exec(code, {})
    except Exception as error:
        return repr(error)
    return ""


OTHER = "lambda self, another: None"

CHANGES = f"""
del gr.blocks.Block.async_move_resource_to_block_cache
del gr.Blocks.preprocess_data
del gr.state_holder.SessionState._update_value_in_config
del gr.http_server.watchfn_spaces
del demo.app.api_info
del demo.upload_file_set
gr.Image.move_resource_to_block_cache = {OTHER}
gr.Blocks.preprocess_data = {OTHER}
gr.route_utils.FileUploadProgress.is_tracked = {OTHER}
gr.route_utils.GradioMultiPartParser.on_headers_finished = {OTHER}
"""


@pytest.mark.parametrize("change", CHANGES.strip().splitlines())
def test_another_gradio_stops_the_start_with_a_sentence(change):
    name = change.removeprefix("del ").partition(" ")[0].rpartition(".")[2]
    error = run(change)
    assert error.startswith("RuntimeError") and name in error and "gradio==6.31.0" in error


CHANGED = """
def fails(ask, *arguments):
    try:
        ask(*arguments)
    except gr.Error as error:
        return "Wrong arguments" in error.message and not error.print_exception

# No component takes what was not uploaded, whether Gradio asks it in a coroutine or not.
for component in (gr.Image(), gr.ImageEditor()):
    for path in ("http://127.0.0.1:9/a.png", "/etc/passwd", "app.py"):
        assert fails(component.move_resource_to_block_cache, path)
        assert fails(asyncio.run, component.async_move_resource_to_block_cache(path))

# Wrong arguments get the sentence; a session remembers none.
assert fails(asyncio.run, demo.preprocess_data(demo.fns[0], [], None))
state = gr.state_holder.SessionState(demo)
before = str(state.config_values)
state._update_value_in_config(next(iter(demo.blocks)), "x" * 1000)
assert str(state.config_values) == before

# The API's description is made for each request.
def request(host):
    demo.app.api_info = demo.app.api_info or host
    return demo.app.api_info
assert [contextvars.copy_context().run(request, host) for host in "ab"] == ["a", "b"]

# Few uploads are remembered.
async def many():
    progress = gr.route_utils.FileUploadProgress()
    for number in range(3000):
        progress.track(f"{number}")
        progress.is_tracked(f"{number}x").close()
    return len(progress._statuses), len(progress._signals)
assert max(asyncio.run(many())) <= 1001
demo.upload_file_set.update(["a"])
assert not isinstance(demo.upload_file_set, set)

# A Space opens no second port; every event is queued; patching twice is patching once.
assert gr.http_server.watchfn_spaces(None) is None
assert all(event.queue for event in demo.fns.values())
gradio_patches.patch(demo)
"""


def test_it_changes_what_it_says():
    assert run(then=CHANGED) == ""
