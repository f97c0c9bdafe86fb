"""What the page changes in Gradio: it does what it says, or the page does not start."""

import asyncio
import subprocess
import sys

import gradio as gr
import pytest
from serving import ROOT

# Patches a page of its own after Gradio was changed as another version might be.
PATCH = """
import gradio as gr
from page import gradio_patches
with gr.Blocks(analytics_enabled=False) as demo:
    gr.Image()
{change}
gradio_patches.patch(demo, "wrong", 100)
{then}
"""


def run(change: str = "", then: str = "") -> subprocess.CompletedProcess:
    code = PATCH.format(change=change, then=then)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (f"del gr.{owner}.{name}", name)
        for owner, name in (
            ("blocks.Block", "async_move_resource_to_block_cache"),
            ("blocks.Block", "move_resource_to_block_cache"),
            ("ImageEditor", "accept_blobs"),
            ("Blocks", "preprocess_data"),
        )
    ]
    + [
        (f"gr.Image.{name} = lambda self, resource, options: None", name)
        for name in ("async_move_resource_to_block_cache", "move_resource_to_block_cache")
    ]
    + [
        ("gr.ImageEditor.accept_blobs = lambda self: None", "accept_blobs"),
        ("gr.Blocks.preprocess_data = lambda self, everything: None", "preprocess_data"),
        ("del demo._queue.ANALYTICS_MAX_EVENTS", "ANALYTICS_MAX_EVENTS"),
    ],
)
def test_another_gradio_stops_the_start_with_a_sentence(change, missing):
    failed = run(change)
    assert failed.returncode != 0
    (sentence,) = failed.stderr.splitlines()[-1:]
    assert missing in sentence and "Gradio 6.31.0" in sentence and "RuntimeError" in sentence


def test_patching_twice_is_patching_once():
    """As when Gradio loads app.py anew."""
    assert run(then='gradio_patches.patch(demo, "wrong", 100)').returncode == 0


@pytest.mark.parametrize("component", ["Image", "ImageEditor"])
def test_no_component_fetches_an_address(component):
    """Whether Gradio asks it in a coroutine or not."""
    then = f"""
import asyncio
for move in (lambda c: asyncio.run(c.async_move_resource_to_block_cache("http://127.0.0.1:9/a")),
             lambda c: c.move_resource_to_block_cache("http://127.0.0.1:9/a")):
    try:
        move(gr.{component}())
    except gr.Error as error:
        print(error.message)
"""
    assert run(then=then).stdout.splitlines() == ["Send the picture itself, not its address."] * 2


def test_the_page_keeps_few_past_events():
    assert run(then="print(demo._queue.ANALYTICS_MAX_EVENTS)").stdout == "100\n"


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
