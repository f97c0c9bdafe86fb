"""Launch the page with its limits and theme, whichever way it is started."""

import asyncio
import ipaddress
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from page.gate import Gate
from page.pool import WorkerPool
from page.uploads import Purger

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
# Networks of a Space's proxies, each also as IPv4 mapped into IPv6.
SPACE_PROXIES = (
    "127.0.0.0/8,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,::1/128,fc00::/7,"
    "::ffff:127.0.0.0/104,::ffff:10.0.0.0/104,::ffff:172.16.0.0/108,::ffff:192.168.0.0/112,"
    "::ffff:100.64.0.0/106"
)
LOCAL_ONLY = (
    "* This page only answers requests for localhost. To share it: python app.py --share. "
    "Behind a tunnel or proxy of your own: GRADIO_ROOT_PATH=<its address> python app.py"
)


def make_launch(
    demo: gr.Blocks, pool: WorkerPool, max_age_s: float, max_total_bytes: int, settings: Mapping
) -> Callable:
    """Return a replacement of `demo.launch` that sets the page's limits and starts its workers.

    `max_age_s` and `max_total_bytes` are arguments of `purge`, `settings` options of
    `gr.Blocks.launch`. A caller's `app_kwargs` may add middlewares and a lifespan.
    """

    def launch(**options):
        _configure_log()
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

        ours = [*_middleware(demo, options, purger), *theirs.get("middleware", ())]
        app_kwargs = theirs | {"lifespan": lifespan, "middleware": ours}
        # Looked up only now, since on ZeroGPU `spaces` replaces the class's method.
        return type(demo).launch(demo, **{**settings, **options}, app_kwargs=app_kwargs)

    return launch


def _middleware(demo: gr.Blocks, options: Mapping, purger: Purger) -> list[Middleware]:
    def option(name: str, default: str = "") -> str:
        given = options.get(name)
        return os.environ.get(f"GRADIO_{name.upper()}", default) if given is None else str(given)

    in_space = "SPACE_ID" in os.environ
    behind_proxy = in_space or option("root_path") != ""
    notebook = gr.utils.colab_check() or gr.utils.is_hosted_notebook()  # Gradio shares there
    shared = option("share", str(notebook)).lower() == "true"
    local = option("server_name", LOCAL_HOSTS[0]) in LOCAL_HOSTS and not shared and not behind_proxy
    forwarded = b"" if behind_proxy else b"|forwarded|x-forwarded-.*|x-real-ip"
    gate = Middleware(
        Gate,
        uploads=demo.GRADIO_CACHE,
        functions={number for number, function in demo.fns.items() if function.fn},
        mcp=option("mcp_server").lower() == "true",
        drop_headers=re.compile(rb"x-gradio-.*" + forwarded),
        proxies=_trust_proxies(os.environ.get("FORWARDED_ALLOW_IPS", SPACE_PROXIES * in_space)),
        on_upload=purger.note,
    )
    if local and not options.get("quiet"):
        print(LOCAL_ONLY)
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_HOSTS if local else ["*"])
    return [hosts, gate]


def _trust_proxies(proxies: str) -> tuple:
    """Make uvicorn believe X-Forwarded-For from these networks; return them parsed."""
    # A network that doesn't parse must raise: uvicorn would take it for a host name.
    os.environ["FORWARDED_ALLOW_IPS"] = proxies
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in proxies.split(",") if one.strip())
    except ValueError as error:
        raise SystemExit(
            f"FORWARDED_ALLOW_IPS lists the networks of proxies, such as 10.0.0.0/8: {error}."
        ) from None


class _OriginFormatter(logging.Formatter):
    """Log only the origin of other packages' records, since they may hold a client's text."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name.startswith("page."):
            return super().format(record)
        return f"{record.levelname} in {record.module}.{record.funcName}, line {record.lineno}"


def _configure_log() -> None:
    """Log through `_OriginFormatter`, unless the launching program has configured logging."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OriginFormatter())
    logging.basicConfig(handlers=[handler])
