"""For the tests of ip-location: a Valkey, a server that plays ipstack, and settings that name both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from .ipstack import KEY
from .ipstack import Ipstack as Server
from .site import Settings
from .valkey import Valkey

PATIENT = 10.0
"""Seconds that Redis is given where it is well: a busy machine must not make it look dead."""


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path, password="of-the-cache")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


@pytest.fixture
def settings(valkey: Valkey, server: Server) -> Settings:
    return Settings(cache_url=valkey.url, cache_timeout=PATIENT, key=KEY, url=server.url, timeout=30.0, budget=10_000)
