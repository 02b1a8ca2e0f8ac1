"""How a test's own server stops listening."""

from __future__ import annotations

import asyncio


async def stop_listening(server: asyncio.Server) -> None:
    """Close it when what it has accepted is a connection. Closed in between, asyncio (3.11) fails to make one of it and
    never closes it: a ResourceWarning in whichever test runs when it is collected."""
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    await asyncio.sleep(0)
    server.close()
