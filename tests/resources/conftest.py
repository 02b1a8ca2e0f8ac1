"""Servers that tests of caches and buckets share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.resources.redis_rig import a_cache
from tests.resources.rig import Rig, a_folder, run
from tests.resources.s3_rig import a_bucket


@pytest.fixture(scope="session")
def copies() -> Iterator[str]:
    """Where the programs of wheels are copied to."""
    with a_folder() as folder:
        yield str(folder / "programs")


@pytest.fixture
def cache(copies: str) -> Iterator[Rig]:
    """One that keeps nothing, and answers."""
    with a_cache(copies) as made:
        run(made.start())
        yield made


@pytest.fixture
def kept(copies: str) -> Iterator[Rig]:
    """A cache that keeps its data, and answers."""
    with a_cache(copies, persist=True) as made:
        run(made.start())
        yield made


@pytest.fixture
def bucket(copies: str) -> Iterator[Rig]:
    """One that answers."""
    with a_bucket(copies) as made:
        run(made.start())
        yield made


@pytest.fixture(scope="module")
def shared(copies: str) -> Iterator[Rig]:
    """A bucket for tests that use keys of their own and do no harm."""
    with a_bucket(copies) as made:
        run(made.start())
        yield made
