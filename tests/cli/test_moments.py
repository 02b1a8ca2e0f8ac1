"""Moments as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fairlead.cli.moments import local, moment, shown, stamp
from fairlead.errors import UsageError

NOW = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)  # 10:30:15 in Berlin


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10:02", "2026-11-21T09:02:00.000Z"),
        ("9:02", "2026-11-21T08:02:00.000Z"),
        ("10:02:30", "2026-11-21T09:02:30.000Z"),
        ("23:50", "2026-11-20T22:50:00.000Z"),
        ("10m", "2026-11-21T09:20:15.000Z"),
        ("-10m", "2026-11-21T09:20:15.000Z"),
        ("1h30m", "2026-11-21T08:00:15.000Z"),
        ("90s", "2026-11-21T09:28:45.000Z"),
        ("1.5m", "2026-11-21T09:28:45.000Z"),
        ("1d12h", "2026-11-19T21:30:15.000Z"),
        ("2w", "2026-11-07T09:30:15.000Z"),
        ("2d", "2026-11-19T09:30:15.000Z"),
        ("0s", "2026-11-21T09:30:15.000Z"),
        ("2026-11-21T09:02:00Z", "2026-11-21T09:02:00.000Z"),
        ("2026-11-21T09:02:00.123+00:00", "2026-11-21T09:02:00.123Z"),
        ("2026-11-21 09:02", "2026-11-21T08:02:00.000Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00.000Z"),
        ("2026-11-21", "2026-11-20T23:00:00.000Z"),
    ],
)
def test_each_way_to_write_a_moment(text: str, means: str) -> None:
    assert stamp(moment(text, NOW)) == means


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "10:61", "10", "m", "10 m", "2026-13-01", "-", "9" * 30 + "d", "10x", "1.m", ".5h"]
)
def test_what_is_no_moment_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="is no moment") as caught:
        moment(text, NOW)
    assert "10:02" in caught.value.next_step


def test_a_moment_that_lies_ahead_is_refused_with_the_time_it_is() -> None:
    with pytest.raises(UsageError, match="lies ahead: it is 2026-11-21 09:30:15 UTC now"):
        moment("2026-11-22T00:00:00Z", NOW)


def test_a_stamp_is_shown_in_the_users_zone_with_its_name() -> None:
    assert local("2026-11-21T09:02:00.123Z") == "2026-11-21 10:02:00 CET"
    assert local("2026-07-01T09:02:00Z") == "2026-07-01 11:02:00 CEST"
    assert local("no time") == "no time"
    assert shown(NOW) == "2026-11-21 09:30:15 UTC"
