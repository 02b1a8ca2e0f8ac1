"""`examples/ip-location` in a test: the app objects of several instances in this process, asked without a network."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx

EXAMPLE = Path(__file__).parents[2] / "examples" / "ip-location"
sys.path.insert(0, str(EXAMPLE))

from iplocation.app import create_app  # noqa: E402
from iplocation.lookups import Lookups  # noqa: E402
from iplocation.providers import Provider  # noqa: E402
from iplocation.settings import Settings  # noqa: E402

PUBLIC = "134.201.250.155"
"""The address of ipstack's documentation."""


class Instance:
    """One app and a client of it."""

    def __init__(self, app: Any, client: httpx.AsyncClient) -> None:
        self.app, self.client = app, client
        self.lookups: Lookups = app.state.lookups

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def api(self, ip: str) -> dict[str, Any]:
        """The JSON of an answer, whatever its status."""
        found: dict[str, Any] = (await self.get(f"/api/{ip}")).json()
        return found

    async def until(self, ip: str, source: str) -> dict[str, Any]:
        """Asked until the answer is from there."""
        return await until(lambda: self._from(ip, source), f"{ip} from {source}")

    async def _from(self, ip: str, source: str) -> dict[str, Any] | None:
        found = await self.api(ip)
        return found if found["answered_from"] == source else None


@asynccontextmanager
async def instances(
    settings: Settings, count: int = 1, provider: Provider | None = None
) -> AsyncIterator[list[Instance]]:
    """So many, named web-1, web-2 and so on."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(1, count + 1):
            app = create_app(replace(settings, instance=f"web-{number}"), provider)
            transport = httpx.ASGITransport(app=app, client=("203.0.113.9", 1234))
            client = await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://ip-location.test", timeout=60)
            )
            await stack.enter_async_context(app.router.lifespan_context(app))
            found.append(Instance(app, client))
        yield found


async def until(question: Any, what: str, timeout: float = 30.0) -> Any:
    """As `wait_until`."""
    from fairlead.aiokit.polling import wait_until

    return await wait_until(question, timeout, what)
