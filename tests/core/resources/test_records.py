"""How a resource is called in each of its states, and what its values say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.resources.model import Bucket, Cache, Database, identity_of, key_of, run_here, settings_of
from fairlead.core.resources.records import ResourceSeen, state_of

from .builders import NOW, PHOTOS, SESSIONS, STORE, at_rest, available, beginning, ended, silent


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (available(), "available"),
        (silent(since=NOW), "unavailable"),
        (ended(), "unavailable"),
        (beginning(), "starting"),
        (replace(beginning(), answers=True), "starting"),
        (replace(beginning(), process=None, preparing=True), "starting"),
        (available(stopping_at=NOW), "stopping"),
        (beginning(stopping_at=NOW), "stopping"),
        (at_rest(), "stopped"),
        (at_rest(stopped_at="2026-01-02"), "stopped"),
        (at_rest(failures=1), "failed"),
        (at_rest(failures=3, stopped_at="2026-01-02"), "stopped"),
    ],
)
def test_how_it_is_called(seen: ResourceSeen, state: str) -> None:
    assert state_of(seen) == state


def test_its_place_in_the_file() -> None:
    assert [key_of(one) for one in (SESSIONS, STORE, PHOTOS)] == [
        "caches.sessions",
        "databases.store",
        "buckets.photos",
    ]


def test_only_those_without_a_url_run_here() -> None:
    assert run_here([STORE, replace(SESSIONS, url="redis://c"), PHOTOS]) == (STORE, PHOTOS)


def test_settings_differ_where_a_server_would_have_to_be_started_again() -> None:
    changed = [
        SESSIONS,
        replace(SESSIONS, memory=None),
        replace(SESSIONS, eviction="noeviction"),
        replace(SESSIONS, persist=True),
    ]
    assert len({settings_of(one) for one in changed}) == len(changed)
    assert settings_of(STORE) == settings_of(replace(STORE, version="16")) == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (STORE, replace(STORE, name="shop"), False),
        (STORE, replace(STORE, user="web"), False),
        (STORE, replace(STORE, engine="mysql"), False),
        (STORE, replace(STORE, version="16"), True),
        (SESSIONS, replace(SESSIONS, memory=1, persist=True), True),
        (Cache(id="a"), Bucket(id="a", name="a"), False),
        (Database(id="a", engine="postgres", name="a", user="a"), Cache(id="a"), False),
    ],
)  # fmt: skip
def test_other_data_have_another_identity(one: Cache | Database, other: Cache | Database | Bucket, same: bool) -> None:
    assert (identity_of(one) == identity_of(other)) == same
