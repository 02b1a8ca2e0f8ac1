"""The file keeps seconds for an hour and minutes for two weeks, whatever happens to the daemon, in bounded space."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from fairlead.metrics import history
from fairlead.metrics.columns import COUNTS, LEVELS
from fairlead.metrics.entities import Entity
from fairlead.metrics.history import BLOCK, EncodedSecond, History, Unusable
from fairlead.metrics.rows import second

from .builders import EPOCH

START = int(EPOCH)
SHOP, WEB = Entity("shop"), Entity("shop", "web")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metrics.db")


@pytest.fixture
def opened(path: str) -> Iterator[Callable[[], History]]:
    """Opens the file anew; at the end all are closed."""
    ones: list[History] = []

    def open_it() -> History:
        ones.append(History.open(path))
        return ones[-1]

    yield open_it
    for one in ones:
        one.close()


def target(number: int) -> Entity:
    return Entity("shop", "web", "a", f"web-{number}")


def a_second(at: int, entities: Iterable[Entity] = (SHOP, WEB, target(1)), value: float = 1.0) -> EncodedSecond:
    """Every count and level of each is `value`, and one response time of bucket 9."""
    return EncodedSecond(
        at,
        {one: second([value] * (len(COUNTS[one.level]) + len(LEVELS[one.level])), {9: 1}, False) for one in entities},
    )


def passes(past: History, start: int, end: int, value: float = 1.0) -> None:
    """Time, as the meter lets it."""
    for begin in range(start, end, 10):
        past.write([a_second(at, value=value) for at in range(begin, min(begin + 10, end))])
        while past.make_minute():
            pass


def everyone(entity: Entity) -> bool:
    return True


def minutes(past: History, entity: Entity = WEB, start: int = START, end: int = START + 30 * 86400) -> dict[int, float]:
    """Beginning -> requests."""
    found = past.minutes("shop", start, end, lambda one: one == entity).get(entity, {})
    return {at: row.counts[0] for at, row in sorted(found.items())}


def test_seconds_are_there_as_soon_as_they_are_written(opened: Callable[[], History]) -> None:
    past = opened()
    past.write([a_second(START, value=3), a_second(START + 1, value=4)])
    found = past.seconds("shop", START, START + 10, everyone)
    assert set(found) == {SHOP, WEB, target(1)}
    assert {at: row.counts[0] for at, row in found[target(1)].items()} == {START: 3, START + 1: 4}
    assert found[WEB][START].times == {9: 1}
    assert past.seconds("bank", START, START + 10, everyone) == {}
    assert set(past.seconds("shop", START, START + 1, lambda one: one == WEB)) == {WEB}


def test_minutes_are_made_of_whole_minutes(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START, START + 150)
    assert minutes(past) == {START: 60, START + 60: 60}
    assert past.minutes_until == START + 120
    row = past.minutes("shop", START, START + 60, everyone)[target(1)][START]
    assert (row.times, row.seconds, row.incomplete, row.average[0]) == ({9: 60}, 60, False, 1)


def test_minutes_stay_when_their_block_was_written_and_the_file_is_opened_again(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START, START + 2 * BLOCK + 130)
    before = minutes(past)
    assert len(before) == 22
    past.close()
    past = opened()
    assert len(minutes(past)) == 20
    passes(past, START + 2 * BLOCK + 130, START + 2 * BLOCK + 200)
    assert minutes(past) == before | {START + 2 * BLOCK + 120: 60}


def test_a_minute_of_which_seconds_are_missing_is_incomplete(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START, START + 30)
    passes(past, START + 31, START + 125)
    found = past.minutes("shop", START, START + 120, everyone)[WEB]
    assert [(row.counts[0], row.seconds, row.incomplete) for _, row in sorted(found.items())] == [
        (59, 59, True),
        (60, 60, False),
    ]


def test_a_daemon_that_was_away_leaves_a_hole_between_whole_minutes(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START, START + 90)
    past.close()
    past = opened()
    passes(past, START + 5 * 86400, START + 5 * 86400 + 130)
    assert minutes(past) == {START: 60, START + 60: 30, START + 5 * 86400: 60, START + 5 * 86400 + 60: 60}


def test_seconds_go_after_an_hour_and_minutes_after_two_weeks(opened: Callable[[], History], path: str) -> None:
    past = opened()
    passes(past, START, START + 2 * 3600)
    rows = sqlite3.connect(path)
    oldest, many = rows.execute("SELECT min(at), count(*) FROM seconds").fetchone()
    assert oldest >= START + 3590
    assert many <= 3610
    # Two weeks later, from three minutes of every block on.
    for block in range(START + 2 * 3600, START + 14 * 86400 + 3 * 3600, 3 * BLOCK):
        past.write([a_second(block), a_second(block + 70)])
        while past.make_minute():
            pass
    assert min(minutes(past)) >= START + 2 * 3600
    assert rows.execute("SELECT count(*) FROM seconds").fetchone()[0] <= 30
    rows.close()


def test_three_weeks_of_instances_that_come_and_go_take_bounded_space(opened: Callable[[], History], path: str) -> None:
    past = opened()
    step = 3 * BLOCK
    for block in range(START, START + 21 * 86400, step):
        number = (block - START) // step
        entities = [SHOP, WEB, target(number), target(number + 1)]
        past.write([a_second(block, entities), a_second(block + 70, entities)])
        while past.make_minute():
            pass
    rows = sqlite3.connect(path)
    blocks = 14 * 86400 // step
    assert rows.execute("SELECT count(*) FROM blocks").fetchone()[0] <= 4 * (blocks + 2)
    assert rows.execute("SELECT count(*) FROM entities").fetchone()[0] <= blocks + 20
    assert rows.execute("SELECT count(*) FROM columns").fetchone()[0] == 1
    pages, free = (rows.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    assert free < pages / 10
    assert os.path.getsize(f"{path}-wal") < 3 * 1024 * 1024
    assert len(past._ids) < 10
    rows.close()
    found = past.minutes("shop", START, START + 22 * 86400, lambda one: bool(one.target))
    assert len(found) == history.MOST_TARGETS
    assert target(21 * 86400 // step - 1) in found


def test_above_its_size_the_oldest_goes_sooner(
    opened: Callable[[], History], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_BYTES", 200_000)
    past = opened()
    for block in range(START, START + 7 * 86400, BLOCK):
        past.write([a_second(block), a_second(block + 70)])
        while past.make_minute():
            pass
    assert os.path.getsize(path) < 400_000
    kept = minutes(past)
    assert START < min(kept) < max(kept)
    assert max(kept) >= START + 7 * 86400 - 2 * BLOCK


def test_a_clock_that_is_set_back_is_followed(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START, START + 1500)
    passes(past, START + 300, START + 700, value=2.0)
    found = minutes(past)
    assert found[START] == 60
    assert found[START + 300] == found[START + 600] == 120
    assert past.minutes_until >= START + 660


def test_a_clock_that_was_in_the_future_does_not_stop_minutes(opened: Callable[[], History]) -> None:
    past = opened()
    passes(past, START + 10 * 86400, START + 10 * 86400 + 700)
    past.close()
    past = opened()
    passes(past, START, START + 130)
    assert minutes(past, end=START + 200) == {START: 60, START + 60: 60}


def test_only_its_owner_may_read_it(opened: Callable[[], History], path: str) -> None:
    opened().write([a_second(START)])
    for end in ("", "-wal"):
        assert stat.S_IMODE(os.stat(path + end).st_mode) == 0o600


def test_a_file_of_another_schema_or_of_nonsense_is_unusable(opened: Callable[[], History], path: str) -> None:
    opened().close()
    with sqlite3.connect(path) as rows:
        rows.execute("PRAGMA user_version = 99")
    rows.close()
    with pytest.raises(Unusable, match="schema 99"):
        opened()
    for end in ("-wal", "-shm"):
        Path(path + end).unlink(missing_ok=True)
    Path(path).write_bytes(b"nothing that SQLite ever wrote, again and again " * 100)
    with pytest.raises(sqlite3.DatabaseError):
        opened()


def test_a_blob_that_is_none_is_unusable(opened: Callable[[], History], path: str) -> None:
    past = opened()
    passes(past, START, START + 700)
    for table, read in (
        ("seconds", lambda: past.seconds("shop", START, START + 700, everyone)),
        ("blocks", lambda: past.minutes("shop", START, START + 700, everyone)),
    ):
        with sqlite3.connect(path) as rows:
            rows.execute(f"UPDATE {table} SET data = ?", (b"what is this",))
        rows.close()
        with pytest.raises(Unusable, match="blob"):
            read()


class Killed(Exception):
    """The daemon is gone."""


class Mortal:
    """A connection whose daemon dies at its n-th statement; what was committed stays."""

    def __init__(self, connection: sqlite3.Connection, statements: int) -> None:
        self._connection, self._left = connection, statements

    def execute(self, sql: str, *given: object) -> sqlite3.Cursor:
        self._live()
        return self._connection.execute(sql, *given)  # type: ignore[arg-type]

    def executemany(self, sql: str, *given: object) -> sqlite3.Cursor:
        self._live()
        return self._connection.executemany(sql, *given)  # type: ignore[arg-type]

    @property
    def in_transaction(self) -> bool:
        return False  # the dead roll nothing back

    def _live(self) -> None:
        if self._left <= 0:
            raise Killed
        self._left -= 1

    def close(self) -> None:
        self._connection.close()


def goes_on(past: History, times: Sequence[int], written: list[int]) -> None:
    """What is measured at these times is written, three at once; `written` gets what was committed."""
    for first in range(0, len(times), 3):
        past.write([a_second(at) for at in times[first : first + 3]])
        written += times[first : first + 3]
        while past.make_minute():
            pass


def test_a_daemon_killed_between_any_two_writes_loses_no_minute_and_counts_none_twice(tmp_path: Path) -> None:
    before = str(tmp_path / "before.db")
    past = History.open(before)
    passes(past, START + BLOCK - 130, START + BLOCK - 20)
    past.close()
    times = range(START + BLOCK - 20, START + BLOCK + 130, 10)
    expected: dict[int, float] = {}
    died = 0
    for statements in (10_000, *range(10_000)):
        path = str(tmp_path / f"{statements}.db")
        shutil.copy(before, path)
        past = History.open(path)
        past._db = Mortal(past._db, statements)  # type: ignore[assignment]
        written: list[int] = []
        try:
            goes_on(past, times, written)
        except Killed:
            died += 1
        past.close()
        # The next daemon measures from where the last one had written.
        past = History.open(path)
        goes_on(past, times[len(written) :], written)
        while past.make_minute():
            pass
        expected = expected or minutes(past)
        assert minutes(past) == expected, statements
        assert written == list(times)
        past.close()
        if statements != 10_000 and died <= statements:
            break
    assert died > 30
    assert len(expected) >= 4
