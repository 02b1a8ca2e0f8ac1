"""A full disk stops the recording, never the healing: who gives up the home's reserve, and who makes it again.

In: a write that found no room (the store calls `failed`), and a look at the disk every two seconds, for the writes of
others. Out: room for what must be written, and the store's journal suspended, or it would eat that room: every event
and decision since then is lost, and counted. Once there is room for the reserve again it is made, and recording goes
on. Each of the two turns is told once. The same look finds a home that was moved or deleted under its daemon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fairlead.control.journal import Journal
from fairlead.errors import StoreError
from fairlead.store.database import Store
from fairlead.store.reserve import Reserve

log = logging.getLogger("fairlead")

PACE = 2.0
"""Seconds between two looks; each takes microseconds."""


class Disk:
    """One for the daemon. in_place: whether the home is still where this daemon opened it."""

    def __init__(
        self, reserve: Reserve, store: Store, journal: Journal, home: str, in_place: Callable[[], bool]
    ) -> None:
        self._reserve, self._store, self._journal, self._home = reserve, store, journal, home
        self._in_place = in_place
        self._was_in_place = True
        self._warned = False
        self._telling = False

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(PACE)

    async def look(self) -> None:
        """Give the reserve up before a write fails, or make it again."""
        if self._in_place() != self._was_in_place:
            self._tell_place()
        if not self._was_in_place:
            return
        if self._reserve.held:
            if self._store.recording and self._reserve.no_room():
                self.full()
            elif not self._store.recording:
                self._resume()
        elif await asyncio.to_thread(self._reserve.make):
            self._resume()
        elif self._store.recording and self._reserve.no_room():
            self.full()
        elif self._store.recording and not self._warned:
            self._warned = True
            log.warning("the disk of %s has no room for the reserve of 16 MB", self._home)

    def failed(self, error: StoreError) -> None:
        """A write of the store failed: if it was for want of room, make some."""
        if self._reserve.explains(error):
            self.full()

    def full(self) -> None:
        """There is no room: give up the reserve, tell it with the room that this makes, and record no more."""
        self._reserve.give_up()
        if self._store.recording and not self._telling:
            self._telling = True  # if there is no room even for that, it calls `failed` again
            self._journal.event(
                "",
                "disk_full",
                f"the disk of {self._home} is full: its reserve is given up; healing goes on, but events and decisions "
                "are not recorded until there is room",
            )
            self._telling = False
            self._store.recording = False

    def _resume(self) -> None:
        self._warned = False
        if self._store.recording:
            return
        lost, self._store.unrecorded = self._store.unrecorded, 0
        self._store.recording = True
        self._journal.event(
            "", "disk_free", f"the disk of {self._home} has room again: events are recorded; {lost} were not"
        )

    def _tell_place(self) -> None:
        self._was_in_place = self._in_place()
        if self._was_in_place:
            self._journal.event("", "home_back", f"the home is at {self._home} again")
        else:
            why = "what runs goes on, but nothing can be started; move it back, or run `fairlead down --all`"
            self._journal.event("", "problem", f"the home was moved away from {self._home}, or deleted: {why}")
