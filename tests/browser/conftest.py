"""The browser of a session, and visits of it; see `visit.py`.

Fixtures are imported here and used by name: `visit` in a test, `chromium` where more is wanted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from ..needs import need
from .chromium import Chromium, program
from .visit import Visit, visits


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One process a worker."""
    path = program()
    need(path, "Chromium is not installed: apt install chromium")
    with Chromium(str(path)) as running:
        yield running


@pytest.fixture
async def visit(chromium: Chromium) -> AsyncIterator[Visit]:
    """`page = await visit(url, width=390, dark=True)`; at the end of the test the browser must have complained of
    nothing."""
    async with visits(chromium.endpoint) as visit:
        yield visit
