"""A full disk: the reserve goes, recording stops and says so once; room again, and both are back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.control.disk import Disk
from fairlead.control.journal import Journal
from fairlead.errors import StoreError
from fairlead.store import reserve as reserves
from fairlead.store.database import Store
from fairlead.store.reserve import SIZE, Reserve
from tests.store.builders import a_stack_record


class Clock:
    boot = "boot-1"

    def now(self) -> float:
        return 0.0

    def wall(self) -> str:
        return "2026-11-21T10:00:00Z"


class World:
    """A home whose disk has as much room as `room` says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room, self.in_place = 10 * SIZE, True
        monkeypatch.setattr(reserves, "free", lambda _: self.room)
        self.reserve = Reserve(str(folder))
        self.store = Store.open(f"{folder}/fairlead.db")
        self.journal = Journal(self.store, Clock())
        self.disk = Disk(self.reserve, self.store, self.journal, str(folder), lambda: self.in_place)
        self.store.on_failure = self.disk.failed

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.store.events(None, 100)]

    def tight(self) -> None:
        """SQLite is not allowed another page: it answers as on a full disk."""
        self.store._db.execute("PRAGMA max_page_count = 1")

    def loose(self) -> None:
        self.store._db.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World(tmp_path, monkeypatch)
    yield found
    found.store.close()


async def test_the_reserve_is_made_at_the_first_look(world: World) -> None:
    await world.disk.look()
    assert world.reserve.held
    assert world.kinds() == []


async def test_a_disk_without_room_costs_the_reserve_and_the_recording_but_nothing_else(world: World) -> None:
    await world.disk.look()
    world.room = 0
    await world.disk.look()
    assert not world.reserve.held
    for _ in range(3):
        world.journal.event("shop", "launched", "web-1 launched")
        await world.disk.look()
    assert world.kinds() == ["disk_full"]
    with pytest.raises(StoreError, match=r"an event could not be recorded: the disk of .* is full"):
        world.store.add_event("now", "", "", "", "x", "x")
    # What must be written still is.
    world.store.save_stack(a_stack_record())
    assert len(world.store.stacks()) == 1


async def test_room_again_brings_back_both_and_says_what_is_missing(world: World) -> None:
    await world.disk.look()
    world.room = 0
    await world.disk.look()
    world.journal.event("shop", "launched", "web-1 launched")
    world.journal.event("shop", "in_service", "web-1 in service")
    world.room = 10 * SIZE
    await world.disk.look()
    assert world.reserve.held
    world.journal.event("shop", "launched", "web-2 launched")
    assert world.kinds() == ["disk_full", "disk_free", "launched"]
    assert "2 were not" in world.store.events(None, 2)[0]["text"]


async def test_a_little_room_is_not_enough_to_begin_again(world: World) -> None:
    await world.disk.look()
    world.room = 0
    await world.disk.look()
    world.room = SIZE
    await world.disk.look()
    assert not world.store.recording
    assert not world.reserve.held


async def test_a_write_that_finds_no_room_gives_the_reserve_up_at_once(world: World) -> None:
    await world.disk.look()
    world.tight()
    with pytest.raises(StoreError, match="the disk is full"):
        world.store.save_stack(a_stack_record(check_token="x" * 100_000))
    assert not world.reserve.held
    assert not world.store.recording
    world.loose()
    world.store.save_stack(a_stack_record("after"))
    assert "after" in [record.name for record in world.store.stacks()]


async def test_another_error_of_the_store_costs_nothing(world: World) -> None:
    await world.disk.look()
    world.store._db.execute("DROP TABLE facts")
    with pytest.raises(StoreError):
        world.store.check_place("/home")
    assert world.reserve.held
    assert world.store.recording


async def test_a_home_that_was_moved_is_told_once_and_once_when_it_is_back(world: World) -> None:
    await world.disk.look()
    world.in_place = False
    await world.disk.look()
    await world.disk.look()
    assert world.kinds() == ["problem"]
    world.in_place = True
    await world.disk.look()
    assert world.kinds() == ["problem", "home_back"]
