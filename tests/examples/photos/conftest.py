"""One ground for each database, for all tests of a session: starting servers takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .ground import Ground, cleared, ground_of, migrate


@pytest.fixture(scope="session")
def postgres_ground() -> Iterator[Ground]:
    with ground_of("postgres") as ground:
        yield ground


@pytest.fixture(scope="session")
def mysql_ground() -> Iterator[Ground]:
    with ground_of("mysql") as ground:
        yield ground


@pytest.fixture(params=["postgres", "mysql"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Each test twice: with PostgreSQL and with MariaDB. Servers are up, tables are there, and nothing is in them."""
    yield from _prepared(request.getfixturevalue(f"{request.param}_ground"))


@pytest.fixture
def any_ground(postgres_ground: Ground) -> Iterator[Ground]:
    """For tests to which the database does not matter."""
    yield from _prepared(postgres_ground)


def _prepared(ground: Ground) -> Iterator[Ground]:
    ground.mend()
    try:
        instance = ground.instance("preparing")
        migrate(instance.album.catalogue.engine)
        cleared(instance)
        yield ground
    finally:
        ground.tidy()
