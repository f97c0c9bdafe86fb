"""What the page changes in Gradio: it does what it says, or the page does not start."""

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout

import pytest

# Patches a page of its own after Gradio was changed as another version might be.
PATCH = """
import asyncio, contextvars
import gradio as gr
import gradio.http_server, gradio.queueing, gradio.route_utils, gradio.routes, gradio.state_holder
from page import gradio_patches
with gr.Blocks(analytics_enabled=False) as demo:
    box = gr.Number()
    box.change(lambda number: number, box, api_name="double")
    gr.Image()
{change}
gradio_patches.patch(demo)
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


OTHER = "lambda self, another: None"


@pytest.mark.parametrize(
    "change",
    [
        "del gr.blocks.Block.async_move_resource_to_block_cache",
        "del gr.Blocks.preprocess_data",
        "del gr.state_holder.SessionState._update_value_in_config",
        "del gr.http_server.watchfn_spaces",
        "del demo.app.api_info",
        "del demo.upload_file_set",
        f"gr.Image.move_resource_to_block_cache = {OTHER}",
        f"gr.Blocks.preprocess_data = {OTHER}",
        f"gr.route_utils.FileUploadProgress.is_tracked = {OTHER}",
        f"gr.route_utils.GradioMultiPartParser.on_headers_finished = {OTHER}",
    ],
)
def test_another_gradio_stops_the_start_with_a_sentence(change):
    name = change.removeprefix("del ").partition(" ")[0].rpartition(".")[2]
    _, error = run(change)
    assert error.startswith("RuntimeError") and name in error and "gradio==6.31.0" in error


CHANGED = {  # code that fails unless it is so
    "no component takes what was not uploaded": """
for component in (gr.Image(), gr.ImageEditor()):
    for path in ("http://127.0.0.1:9/a.png", "/etc/passwd", "app.py"):
        for move in (lambda c, p: asyncio.run(c.async_move_resource_to_block_cache(p)),
                     lambda c, p: c.move_resource_to_block_cache(p)):
            try:
                move(component, path)
            except gr.Error as error:
                assert "Wrong arguments" in error.message
            else:
                assert False, path
""",
    "no session remembers what was sent": """
state = gr.state_holder.SessionState(demo)
before = str(state.config_values)
state._update_value_in_config(next(iter(demo.blocks)), "x" * 1000)
assert str(state.config_values) == before
""",
    "the API's description is made for each request": """
def request(host):
    demo.app.api_info = demo.app.api_info or host
    return demo.app.api_info
assert [contextvars.copy_context().run(request, host) for host in "ab"] == ["a", "b"]
assert demo.app.api_info is None
""",
    "wrong arguments get the sentence": """
try:
    asyncio.run(demo.preprocess_data(demo.fns[0], [], None))
except gr.Error as error:
    assert "Wrong arguments" in error.message and not error.print_exception
else:
    assert False
""",
    "few uploads are remembered": """
async def many():
    progress = gr.route_utils.FileUploadProgress()
    for number in range(3000):
        progress.track(f"{number}")
        progress.is_tracked(f"{number}x").close()
    return len(progress._statuses), len(progress._signals)
assert max(asyncio.run(many())) <= 1001
demo.upload_file_set.update(["a"])
assert not getattr(demo.upload_file_set, "__len__", int)()
""",
    "a Space opens no second port": "assert gr.http_server.watchfn_spaces(None) is None",
    "every event is queued": "assert all(event.queue for event in demo.fns.values())",
    "patching twice is patching once, as when Gradio loads app.py anew": """
gradio_patches.patch(demo)
""",
}


def test_it_changes_gradio_so_that():
    assert run(then="\n".join(CHANGED.values())) == ("", "")
