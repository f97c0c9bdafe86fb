"""How the page is launched, whoever launches it: its limits and its look go with it."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import gradio as gr
from starlette.middleware import Middleware

from page.gate import LOCAL_HOSTS, Gate
from page.pool import WorkerPool
from page.purge import Purger


def launch_of(
    demo: gr.Blocks, pool: WorkerPool, max_age_s: float, max_total_bytes: int, settings: Mapping
) -> Callable:
    """Return what is to be `demo.launch`, so that there is no other way to launch the page.

    Parameters
    ----------
    demo : gr.Blocks
    pool : WorkerPool
        It is started, and ended, with the server.
    max_age_s, max_total_bytes
        Of uploads, as `Purger` takes them.
    settings : mapping
        Options of `gr.Blocks.launch`, unless a caller says otherwise.

    Returns
    -------
    launch : callable
        It takes the options of `gr.Blocks.launch`, by name, and returns what that returns. What a
        caller's `app_kwargs` have comes beside the page's own gate and lifespan.
    """

    def launch(**options):
        _log_no_callers_text()
        theirs = options.pop("app_kwargs", None) or {}
        examples = {path for block in demo.blocks.values() for path in block.keep_in_cache}
        purger = Purger(demo.GRADIO_CACHE, max_age_s, max_total_bytes, keep=examples)

        @asynccontextmanager
        async def lifespan(server):
            async with AsyncExitStack() as stack:
                pool.start()
                stack.push_async_callback(pool.stop)
                stack.callback(asyncio.create_task(purger.run()).cancel)
                if "lifespan" in theirs:
                    await stack.enter_async_context(theirs["lifespan"](server))
                yield

        gate = _gate(demo, options, purger)
        ours = {"lifespan": lifespan, "middleware": [gate, *theirs.get("middleware", ())]}
        os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn leaves it to the gate what is believed
        # The class is asked now: on ZeroGPU, `spaces` has put its own method there by then.
        return type(demo).launch(demo, **{**settings, **options}, app_kwargs=theirs | ours)

    return launch


def _gate(demo: gr.Blocks, options: Mapping, purger: Purger) -> Middleware:
    """Return the gate, which believes what the proxy in front of it says, if there is one."""

    def option(name: str, default: str = "") -> str:
        given = options.get(name)
        return os.environ.get(f"GRADIO_{name.upper()}", default) if given is None else str(given)

    in_space = "SPACE_ID" in os.environ
    behind_proxy = in_space or option("root_path") != ""
    notebook = gr.utils.colab_check() or gr.utils.is_hosted_notebook()  # where Gradio shares
    shared = option("share", str(notebook)).lower() == "true"
    local = option("server_name", LOCAL_HOSTS[0]) in LOCAL_HOSTS
    return Middleware(
        Gate,
        files=[demo.GRADIO_CACHE],
        hosts=LOCAL_HOSTS if local and not shared and not behind_proxy else None,
        believe_address=in_space,
        believe_host=behind_proxy,
        mcp=option("mcp_server").lower() == "true",
        on_upload=purger.note,
    )


class _OwnWordsFormatter(logging.Formatter):
    """Of other packages' records, which may hold a caller's text, log only where they come from."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.startswith("page."):
            return super().format(record)
        return f"{record.levelname} in {record.module}.{record.funcName}, line {record.lineno}"


def _log_no_callers_text() -> None:
    """Log through `_OwnWordsFormatter`, unless whoever launches the page has set up a log."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OwnWordsFormatter())
    logging.basicConfig(handlers=[handler])
