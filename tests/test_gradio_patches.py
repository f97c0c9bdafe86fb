"""What the page changes in Gradio: it does what it says, or the page does not start."""

import asyncio

import gradio as gr
import pytest
from gradio import http_server
from gradio.route_utils import FileUploadProgress
from gradio.state_holder import SessionState

from page import gradio_patches


@pytest.fixture
def demo():
    with gr.Blocks(analytics_enabled=False) as demo:
        (box := gr.Number()).change(lambda number: number, box)
    return demo


@pytest.mark.parametrize(
    "owner, name",
    [(gr.Image, "move_resource_to_block_cache"), (gr.Blocks, "preprocess_data"),
     (http_server, "watchfn_spaces"), (FileUploadProgress, "is_tracked")],
)  # fmt: skip
def test_another_gradio_stops_the_start_with_a_sentence(demo, monkeypatch, owner, name):
    monkeypatch.setattr(owner, name, lambda another: None)
    with pytest.raises(RuntimeError, match=rf"{name} of .*gradio==6[.]31[.]0"):
        gradio_patches.patch(demo)


def test_little_of_what_callers_send_is_remembered(demo):
    for _ in range(2):  # as when `gradio app.py` loads it anew
        gradio_patches.patch(demo)
    state = SessionState(demo)
    before = str(state.config_values)
    state._update_value_in_config(next(iter(demo.blocks)), "x" * 1000)
    assert str(state.config_values) == before

    async def track_many():
        progress = FileUploadProgress()
        for number in range(3000):
            progress.track(f"{number}")
            progress.is_tracked(f"{number}x").close()
        return len(progress._statuses), len(progress._signals)

    assert max(asyncio.run(track_many())) <= 1001
    demo.upload_file_set.update(["a"])
    assert not isinstance(demo.upload_file_set, set)
