"""The world of `tests.core.world` with servers of data beside the instances: each act is done as the shells do it, and a
plan may be cut anywhere.

A server answers `start_time` after its launch, ends when it is told to after `stop_time`, and may be made to die, hang,
refuse to start, or not obey. The laws are held at every act: never two processes of one resource, told to end once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fairlead.core import plan as plans
from fairlead.core.observed import Observed
from fairlead.core.processes import Outcome, Process
from fairlead.core.resources.model import Resource, identity_of, settings_of
from fairlead.core.resources.records import ResourceRecord, ResourceSeen
from tests.core.builders import BOOT
from tests.core.world import World


@dataclass
class Server:
    """The process of one launch, or what is to become one: `preparing` until then."""

    resource: Resource
    launch: int
    begun_at: float
    preparing_until: float
    outcome: Outcome | None = None
    error: str = ""
    hung: bool = False
    told_at: float | None = None


@dataclass
class DataWorld(World):
    """kept: the records of resources; servers: their processes."""

    boot: str = BOOT
    data_start: float = 0.5
    data_stop: float = 0.5
    kept: dict[str, ResourceRecord] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    silent_at: dict[str, float] = field(default_factory=dict)
    cannot_start: set[str] = field(default_factory=set)
    cannot_stop: set[str] = field(default_factory=set)
    data_starts: list[str] = field(default_factory=list)
    judged: Observed = field(default_factory=Observed)
    """The snapshot of the plan that is being done."""

    # What a snapshot shows

    def alive(self, id: str) -> bool:
        server = self.servers.get(id)
        if server is None or server.outcome is not None or server.error or self.now < server.preparing_until:
            return False
        if server.told_at is not None and id not in self.cannot_stop and self.now >= server.told_at + self.data_stop:
            server.outcome = Outcome(exit_status=0)
        return server.outcome is None

    def answers(self, id: str) -> bool:
        server = self.servers.get(id)
        return (
            server is not None
            and self.alive(id)
            and not server.hung
            and server.told_at is None
            and self.now >= server.begun_at + self.data_start
        )

    def observe(self) -> Observed:
        seen = tuple(self._seen(record) for record in self.kept.values())
        observed = super().observe()
        # As control observes it: of another boot nothing lives, not even what was only about to be started.
        gone = Process(alive=False)
        instances = tuple(
            one if one.record.boot == self.boot else replace(one, process=gone) for one in observed.instances
        )
        self.judged = replace(observed, instances=instances, boot=self.boot, resources=seen)
        return self.judged

    def _seen(self, record: ResourceRecord) -> ResourceSeen:
        id, server = record.id, self.servers.get(record.id)
        if server is None or server.launch != record.launch or record.boot != self.boot:
            return ResourceSeen(record=record)
        if server.error:
            return ResourceSeen(record=record, error=server.error)
        if self.now < server.preparing_until:
            return ResourceSeen(record=record, preparing=True)
        alive, answers = self.alive(id), self.answers(id)
        if record.available_at is None or answers or record.launched_at is None:
            self.silent_at.pop(id, None)
        else:
            self.silent_at.setdefault(id, self.now)
        process = Process(alive=alive, pid=7 if alive else None, outcome=server.outcome)
        return ResourceSeen(
            record=record, process=process, answers=answers, clause="" if answers else "it is silent",
            silent_at=self.silent_at.get(id),
        )  # fmt: skip

    # What a plan does

    def act(self, action: plans.Action) -> None:
        match action:
            case plans.StartResource(resource=resource):
                self._start(resource)
            case plans.MarkAvailable(resource=id):
                self.kept[id] = replace(self.kept[id], available_at=self.now)
            case plans.StopResource(resource=id, reason=reason):
                record, server = self.kept[id], self.servers.get(id)
                assert record.stopping_at is None, f"{id} is told to end twice"
                self.kept[id] = replace(record, stopping_at=self.now, why=reason)
                if server is not None and self.now < server.preparing_until:
                    del self.servers[id]
                elif server is not None:
                    assert server.told_at is None, f"{id} is told to end twice"
                    server.told_at = self.now
            case plans.KillResource(resource=id):
                self.servers[id].outcome = Outcome(signal=9)
            case plans.EndResource(resource=id, failed=failed, reason=reason):
                assert not self.alive(id), f"{id} lives, and its end is recorded"
                self.servers.pop(id, None)
                record = self.kept[id]
                self.kept[id] = replace(
                    record,
                    launched_at=None,
                    available_at=None,
                    stopping_at=None,
                    boot=self.boot,
                    why=reason,
                    failures=record.failures + 1 if failed else 0,
                    failed_at=self.now if failed else None,
                )
            case plans.Launch() | plans.Start():
                super().act(action)
                id = action.instance
                self.records[id] = replace(self.records[id], boot=self.boot)
            case _:
                super().act(action)

    def _start(self, resource: Resource) -> None:
        id = resource.id
        assert not self.alive(id), f"{id} lives, and is started again"
        before = self.kept.get(id) or ResourceRecord(
            stack="shop", id=id, kind=resource.kind, engine=resource.engine, identity=identity_of(resource), port=18000,
            created_at="",
        )  # fmt: skip
        self.kept[id] = record = replace(
            before,
            launch=before.launch + 1,
            boot=self.boot,
            launched_at=self.now,
            settings=settings_of(resource),
            available_at=None,
            stopping_at=None,
        )
        # Between the record and the launch the daemon may die: `lose_launch` is that moment.
        self.servers[id] = Server(resource, record.launch, self.now, self.now + 0.1)
        if id in self.cannot_start:
            self.servers[id].error = "no such program"
        self.data_starts.append(id)

    def settled(self) -> bool:
        """Whether only time, if anything, will change what is to be done about data."""
        return all(one.launched_at is None or one.available_at is not None for one in self.kept.values())

    # What befalls it

    def lose_launch(self, id: str) -> None:
        """The daemon dies between the record of a launch and the launch, or while it is prepared."""
        server = self.servers.get(id)
        if server is not None and self.now < server.preparing_until:
            del self.servers[id]

    def kill_data(self, id: str) -> None:
        server = self.servers.get(id)
        if server is not None and self.alive(id):
            server.outcome = Outcome(signal=9)

    def hang(self, id: str) -> None:
        if id in self.servers:
            self.servers[id].hung = True

    def reboot(self) -> None:
        """Everything ends, and the clock begins anew."""
        self.boot, self.now = f"{self.boot}+", 10.0
        self.servers, self.programs, self.silent_at, self.unhealthy_at = {}, {}, {}, {}

    def stop_by_hand(self, id: str) -> None:
        if id in self.kept:
            self.kept[id] = replace(self.kept[id], stopped_at="2026-01-02")

    def start_by_hand(self, id: str) -> None:
        if id in self.kept:
            self.kept[id] = replace(self.kept[id], stopped_at="", failures=0, failed_at=None)
