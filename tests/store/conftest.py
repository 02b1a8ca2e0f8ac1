"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.store.database import Store


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "fairlead.db")


@pytest.fixture
def store(path: str) -> Iterator[Store]:
    opened = Store.open(path)
    yield opened
    opened.close()
