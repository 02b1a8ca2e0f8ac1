"""The store: what is wanted of each stack, its releases, what was launched, and why.

In: values of core. Out: the same values after any crash. It is used synchronously, in the daemon's loop thread, which
is its one writer; other programs may read it meanwhile. The law: what a method wrote survives the death of the daemon,
and what was written before `durable` returned survives a power cut. A full disk makes a write raise StoreError and
leaves what was there; the next write tries again. `control` is the caller, and goes on healing when a write fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fairlead.core.alarms import AlarmRecord, Delivery
from fairlead.core.desired import StackRecord
from fairlead.core.model import Release
from fairlead.core.observed import InstanceRecord, StartHistory
from fairlead.core.resources.records import ResourceRecord
from fairlead.core.runs import Kind, RunRecord
from fairlead.errors import StoreError
from fairlead.store import alarms, instances, journal, place, records, resources, runs
from fairlead.store.connection import connect, explained, transaction
from fairlead.store.vault import Vault


class Store:
    """An open database. Make one with `Store.open`; every method may raise StoreError."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self._path = path
        self._db = connection
        self.vault = Vault(os.path.join(os.path.dirname(path), "secret.key"), self._reading, self._writing)
        """Secrets; its key lies beside the database (`Layout.vault_key`)."""
        self.on_failure: Callable[[StoreError], object] = lambda error: None
        """Called with each error of a write, before it is raised: whoever can make room does it now."""
        self.recording = True
        """False while the disk is full: events and decisions are then refused at once, for the room they would take."""
        self.unrecorded = 0
        """How many were refused so."""

    @classmethod
    def open(cls, path: str) -> Store:
        """The database at `path`, made if need be and brought to this version's schema. HomeTooNew, StoreError."""
        return cls(path, connect(path))

    def close(self) -> None:
        """Let go of the database. A second call does nothing."""
        self._db.close()

    async def durable(self) -> None:
        """Return when everything written so far is on the disk: called before a change is acknowledged to the user.

        Commits are in the write-ahead log; syncing that file is what `synchronous = FULL` would do at each of them.
        (A checkpoint would do more: it makes writers wait, or is skipped while another program reads.)
        """
        try:
            await asyncio.to_thread(_sync, f"{self._path}-wal")
        except OSError as error:
            raise StoreError(
                "the change could not be made safe against a power cut",
                f"{self._path}-wal: {error.strerror}",
                f"Check the disk of {os.path.dirname(self._path)}, then repeat the command.",
            ) from error

    # The home

    def check_place(self, home: str) -> None:
        """Note where a new home lies. StoreError: it was moved, and holds what knows its old path."""
        with self._writing(f"the place {home} could not be recorded") as db:
            place.check(db, home)

    def accept_place(self, home: str) -> tuple[str, ...]:
        """Stay in a home that was moved: forgets stacks, releases and live instances. The files to bring up again."""
        with self._writing(f"the place {home} could not be recorded") as db:
            return place.accept(db, home)

    # Facts about the home

    def fact(self, name: str) -> str | None:
        """What was noted under that name, or None."""
        with self._reading(f"the fact {name} cannot be read") as db:
            row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def note(self, name: str, value: str | None) -> None:
        """Note it in the place of what stood there; None: forget it."""
        with self._writing(f"the fact {name} could not be recorded") as db:
            if value is None:
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                db.execute(
                    "INSERT INTO facts (name, value) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (name, value),
                )

    # Stacks

    def stacks(self) -> tuple[StackRecord, ...]:
        """Every stack, by name."""
        with self._reading("the stacks cannot be read") as db:
            rows = db.execute("SELECT record FROM stacks ORDER BY name")
            return tuple(records.read(StackRecord, row[0]) for row in rows)

    def stack(self, name: str) -> StackRecord | None:
        with self._reading(f"stack {name} cannot be read") as db:
            row = db.execute("SELECT record FROM stacks WHERE name = ?", (name,)).fetchone()
        return records.read(StackRecord, row[0]) if row else None

    def save_stack(self, record: StackRecord, *changed: InstanceRecord) -> None:
        """Insert it, or replace the one of that name; in the same moment these instances of it."""
        with self._writing(f"what is wanted of stack {record.name} could not be recorded") as db:
            db.execute(
                "INSERT INTO stacks (name, wanted, record) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET wanted = excluded.wanted, record = excluded.record",
                (record.name, record.wanted, records.text(record)),
            )
            for instance in changed:
                instances.save(db, instance)

    def remove_stack(self, name: str) -> None:
        """Forget what was wanted, and how far the schedules of its jobs were dealt with. Its releases, counters,
        events, ended instances and runs remain, and so do its resources and secrets."""
        with self._writing(f"stack {name} could not be removed from the record") as db:
            db.execute("DELETE FROM stacks WHERE name = ?", (name,))
            runs.forget_schedule(db, name, None)

    # Releases

    def releases(self, stack: str, service: str) -> tuple[Release, ...]:
        """By number, oldest first."""
        with self._reading(f"the releases of {stack}.{service} cannot be read") as db:
            rows = db.execute(
                "SELECT record FROM releases WHERE stack = ? AND service = ? ORDER BY number", (stack, service)
            )
            return tuple(records.read(Release, row[0]) for row in rows)

    def release(self, stack: str, service: str, number: int) -> Release | None:
        with self._reading(f"release {number} of {stack}.{service} cannot be read") as db:
            row = db.execute(
                "SELECT record FROM releases WHERE stack = ? AND service = ? AND number = ?", (stack, service, number)
            ).fetchone()
        return records.read(Release, row[0]) if row else None

    def add_release(self, stack: str, release: Release) -> None:
        """Record a release whose folder is in place. The same one again changes nothing; another one under its number
        is refused: a release is immutable."""
        what = f"release {release.number} of {stack}.{release.service} could not be recorded"
        with self._writing(what) as db:
            db.execute(
                "INSERT INTO releases (stack, service, number, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (stack, release.service, release.number, records.text(release)),
            )
            instances.remember_number(db, stack, release.service, "release", release.number)
        if self.release(stack, release.service, release.number) != release:
            raise StoreError(what, "another release has that number, and releases never change", "Report this.")

    def remove_release(self, stack: str, service: str, number: int) -> None:
        """Forget it; its number is not given again."""
        with self._writing(f"release {number} of {stack}.{service} could not be removed from the record") as db:
            db.execute("DELETE FROM releases WHERE stack = ? AND service = ? AND number = ?", (stack, service, number))

    def next_release_number(self, stack: str, service: str) -> int:
        """One more than the highest number that any release of the service ever had; 1 at first."""
        with self._reading(f"the releases of {stack}.{service} cannot be counted") as db:
            return instances.next_number(db, stack, service, "release")

    def environment_folders(self) -> frozenset[str]:
        """The environments that releases of any stack point to."""
        with self._reading("the releases cannot be read") as db:
            found = (
                records.read(Release, row[0]).environment_folder for row in db.execute("SELECT record FROM releases")
            )
            return frozenset(folder for folder in found if folder is not None)

    # Instances

    def save_instance(self, record: InstanceRecord) -> None:
        """Insert it, or replace the one of that stack and id. Called before each act that the record announces."""
        with self._writing(f"instance {record.id} of {record.stack} could not be recorded") as db:
            instances.save(db, record)

    def instances(self, stack: str) -> tuple[InstanceRecord, ...]:
        """Those that are not ended, by service and number."""
        with self._reading(f"the instances of {stack} cannot be read") as db:
            return instances.live(db, stack)

    def all_live(self) -> tuple[InstanceRecord, ...]:
        """Those that are not ended, of every stack, also of one whose row is gone."""
        with self._reading("the instances cannot be read") as db:
            return instances.live(db, None)

    def next_number(self, stack: str, service: str) -> int:
        """One more than the highest number that any instance of the service ever had; 1 at first."""
        with self._reading(f"the instances of {stack}.{service} cannot be counted") as db:
            return instances.next_number(db, stack, service, "instance")

    def start_history(self, stack: str, service: str, release: int, boot: str, since: float = 0.0) -> StartHistory:
        """Failed starts of `release` in this boot, launched at `since` (monotonic seconds) or later, since the last
        instance of that release that passed a check."""
        with self._reading(f"the starts of {stack}.{service} cannot be read") as db:
            return instances.start_history(db, stack, service, release, boot, since)

    # Runs and the schedules of jobs

    def save_run(self, record: RunRecord, schedule: str | None = None) -> None:
        """Insert it, or replace the one of that stack and id. schedule: the cron line and time zone that it was started
        for; then its `scheduled_for` has been dealt with, too."""
        with self._writing(f"run {record.id} of {record.stack} could not be recorded") as db:
            runs.save(db, record)
            if schedule is not None:
                runs.handle(db, record.stack, record.name, schedule, record.scheduled_for)

    def live_runs(self, stack: str | None = None) -> tuple[RunRecord, ...]:
        """Those that have not ended, by kind, name and number; None: of every stack."""
        with self._reading("the runs cannot be read") as db:
            return runs.live(db, stack)

    def run(self, stack: str, id: str) -> RunRecord | None:
        with self._reading(f"run {id} of {stack} cannot be read") as db:
            return runs.find(db, stack, id)

    def last_run(
        self, stack: str, kind: Kind, name: str, release: int | None = None, before: int | None = None
    ) -> RunRecord | None:
        """The one with the highest number of that kind and name; of `release`, and below the number `before`, if
        given."""
        with self._reading(f"the runs of {stack}.{name} cannot be read") as db:
            return runs.last(db, stack, kind, name, release, before)

    def next_run_number(self, stack: str, kind: Kind, name: str) -> int:
        """One more than the highest number that any run of that kind and name ever had; 1 at first."""
        with self._reading(f"the runs of {stack}.{name} cannot be counted") as db:
            return instances.next_number(db, stack, name, kind)

    def schedules(self, stack: str) -> dict[str, tuple[str, str]]:
        """Job -> (its schedule, the last time of it that was dealt with, ISO 8601 UTC)."""
        with self._reading(f"the schedules of {stack} cannot be read") as db:
            return runs.schedules(db, stack)

    def handle_schedule(self, stack: str, job: str, schedule: str, handled: str) -> None:
        """The time `handled` (ISO 8601 UTC) of a job's schedule has been dealt with."""
        with self._writing(f"the schedule of {job} of {stack} could not be recorded") as db:
            runs.handle(db, stack, job, schedule, handled)

    def forget_schedule(self, stack: str, job: str) -> None:
        """Seen again, the job's schedule begins anew."""
        with self._writing(f"the schedule of {job} of {stack} could not be removed from the record") as db:
            runs.forget_schedule(db, stack, job)

    # Resources

    def resources(self, stack: str | None = None) -> tuple[ResourceRecord, ...]:
        """Those whose data are there, by stack and id; None: of every stack, also of one whose row is gone."""
        with self._reading("the resources cannot be read") as db:
            return resources.listed(db, stack)

    def resource(self, stack: str, id: str) -> ResourceRecord | None:
        with self._reading(f"{id} of {stack} cannot be read") as db:
            return resources.find(db, stack, id)

    def save_resource(self, record: ResourceRecord) -> None:
        """Insert it, or replace the one of that stack and id. Called before each act that the record announces."""
        with self._writing(f"{record.id} of {record.stack} could not be recorded") as db:
            resources.save(db, record)

    def remove_resource(self, stack: str, id: str) -> None:
        """Its data were deleted: forget it, its password in the vault, and what prepared the data."""
        with self._writing(f"{id} of {stack} could not be removed from the record") as db:
            resources.remove(db, stack, id)
            runs.forget_preparations(db, stack)

    def forget_preparations(self, stack: str, services: Iterable[str]) -> None:
        """Data that they use are others now: what before_traffic of these services made is not there."""
        with self._writing(f"what {stack} is to prepare again could not be recorded") as db:
            for service in services:
                runs.forget_preparations(db, stack, service)

    # Alarms

    def alarms(self) -> tuple[AlarmRecord, ...]:
        """What is remembered of the alarms of every stack."""
        with self._reading("the alarms cannot be read") as db:
            return alarms.all_records(db)

    def save_alarm(self, record: AlarmRecord, told: Delivery | None = None, *, forget: bool = False) -> int:
        """Insert or replace it (forget: remove it), and what it has to tell, together; the id of the delivery, or 0."""
        with self._writing(f"an alarm of {record.stack} could not be recorded") as db:
            if forget:
                alarms.forget(db, record.stack, record.key)
            else:
                alarms.save(db, record)
            return alarms.add_delivery(db, told) if told is not None else 0

    def deliveries(self) -> tuple[Delivery, ...]:
        """What is still to be told, oldest first."""
        with self._reading("what alarms have to tell cannot be read") as db:
            return alarms.deliveries(db)

    def save_delivery(self, delivery: Delivery) -> None:
        """Replace the stored one of that id."""
        with self._writing("the delivery of an alarm could not be recorded") as db:
            alarms.save_delivery(db, delivery)

    def remove_delivery(self, id: int) -> None:
        """It was delivered, or given up."""
        with self._writing("the delivery of an alarm could not be recorded") as db:
            alarms.remove_delivery(db, id)

    # What happened, and why

    def add_event(self, at: str, stack: str, service: str, instance: str, kind: str, text: str) -> int:
        """Record an event at wall clock `at` (ISO 8601 UTC); its id, which only grows."""
        self._check_recording("an event could not be recorded")
        with self._writing("an event could not be recorded") as db:
            return journal.add_event(db, at, stack, service, instance, kind, text)

    def events(self, stack: str | None, limit: int, after: int = 0) -> list[dict[str, Any]]:
        """The last `limit` events with an id above `after`, oldest first; None: of every stack.
        Keys: id, at, stack, service, instance, kind, text."""
        with self._reading("the events cannot be read") as db:
            return journal.events(db, stack, limit, after)

    def add_decision(self, at: str, stack: str, snapshot: str, plan: str) -> int:
        """Record a plan with the snapshot it judged, both as JSON; its id, which only grows."""
        self._check_recording("a decision could not be recorded")
        with self._writing("a decision could not be recorded") as db:
            return journal.add_decision(db, at, stack, snapshot, plan)

    def decisions(self, stack: str | None, limit: int, until: str | None = None) -> list[dict[str, Any]]:
        """The last `limit` decisions, oldest first; None: of every stack. Keys: id, at, stack, snapshot, plan.
        until: only those made at or before that wall clock (ISO 8601 UTC, milliseconds)."""
        with self._reading("the decisions cannot be read") as db:
            return journal.decisions(db, stack, limit, until)

    def first_decision(self, stack: str) -> str | None:
        """The wall clock of the oldest decision of `stack` that is kept; None: there is none."""
        with self._reading("the decisions cannot be read") as db:
            return journal.first_decision(db, stack)

    @contextlib.contextmanager
    def _reading(self, what: str) -> Iterator[sqlite3.Connection]:
        with explained(what, self._path):
            yield self._db

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[sqlite3.Connection]:
        try:
            with explained(what, self._path), transaction(self._db):
                yield self._db
        except StoreError as error:
            self.on_failure(error)
            raise

    def _check_recording(self, what: str) -> None:
        if not self.recording:
            self.unrecorded += 1
            raise StoreError(what, f"the disk of {os.path.dirname(self._path)} is full", "Make room on it.")


def _sync(path: str) -> None:
    """Put a file on the disk, and the folder's entry for it. One that is not there holds nothing to put."""
    for name, flags in ((path, os.O_RDWR), (os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)):
        try:
            descriptor = os.open(name, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
