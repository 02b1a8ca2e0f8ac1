"""An ASGI app on a port of loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from fairlead.aiokit.polling import wait_until

from ..live.house import a_free_port


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Its URL, without a slash at the end."""
    port = a_free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on", ws="none"))
    task = asyncio.create_task(server.serve())
    try:
        await wait_until(lambda: server.started or task.done(), 30, "the app listens")
        if task.done():
            task.result()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
