"""A world made of values: applies plans as the shells do, one act at a time, so that a plan may be cut anywhere.

Programs pass their check `start_time` after their launch if their release is good; those of a bad release end at once.
`watch` is asked before and after every single act: that is where laws are held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fairlead.core import plan as plans
from fairlead.core.desired import StackRecord
from fairlead.core.lifecycle import advance
from fairlead.core.observed import Instance, InstanceRecord, Observed, StartHistory
from fairlead.core.processes import Outcome, Process
from fairlead.core.reconcile import decide
from fairlead.core.traffic import Check, Mode, Routing, TargetReport

from .builders import BOOT, PASSED, REFUSED, SAYS_503


@dataclass
class Program:
    """One process of the world."""

    launched_at: float
    release: int
    outcome: Outcome | None = None
    frozen: bool = False
    ill: bool = False
    told_to_stop: int = 0


@dataclass
class World:
    """What there is, and the clock. `acts` counts what plans did; `fuse` cuts the next plan after so many acts."""

    wanted: StackRecord
    now: float = 100.0
    start_time: float = 0.5
    bad_releases: frozenset[int] = frozenset()
    records: dict[str, InstanceRecord] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    targets: dict[str, Mode] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    unhealthy_at: dict[str, float] = field(default_factory=dict)
    routing: Routing | None = None
    verdicts: list[plans.Action] = field(default_factory=list)
    launches: int = 0
    removed: bool = False
    watch: Callable[[plans.Action | None], None] = field(default=lambda action: None)
    """Called with each act that is about to be done, and with None when it is."""

    # What a snapshot shows

    def up(self, instance: str) -> bool:
        program = self.programs.get(instance)
        return bool(
            program
            and program.outcome is None
            and not program.frozen
            and not program.ill
            and self.now - program.launched_at >= self.start_time
        )

    def observe(self) -> Observed:
        instances = []
        for record in self.records.values():
            if record.state == "ended":
                continue
            instances.append(self._instance(record))
        live = {record.id for record in self.records.values() if record.state != "ended"}
        services = self.wanted.desired.stack.services
        return Observed(
            instances=tuple(instances),
            strangers=tuple(sorted(set(self.programs) - live)),
            routing=self.routing,
            starts=tuple(self._history(service.name) for service in services),
            next_numbers=tuple((service.name, self._next(service.name)) for service in services),
        )

    def _instance(self, record: InstanceRecord) -> Instance:
        program, mode = self.programs.get(record.id), self.targets.get(record.id)
        process = None
        if program is not None:
            alive = program.outcome is None
            process = Process(alive=alive, pid=1 if alive else None, frozen=program.frozen, outcome=program.outcome)
        target = None
        if mode is not None:
            up = self.up(record.id)
            check: Check = PASSED if up else SAYS_503 if program and program.ill else REFUSED
            target = TargetReport(
                group=f"shop.{record.service}",
                id=record.id,
                mode=mode,
                up=up and mode == "in_service",
                check=check,
                sessions=self.sessions.get(record.id, 0) if program and program.outcome is None else 0,
            )
        down = record.state == "warm" or (record.state == "in_service" and mode == "in_service")
        if down and not self.up(record.id):
            self.unhealthy_at.setdefault(record.id, self.now)
        else:
            self.unhealthy_at.pop(record.id, None)
        return Instance(record=record, process=process, target=target, unhealthy_at=self.unhealthy_at.get(record.id))

    def _next(self, service: str) -> int:
        return 1 + max((record.number for record in self.records.values() if record.service == service), default=0)

    def _history(self, service: str) -> StartHistory:
        release = self.wanted.desired.releases[service].number
        mine = [seen for seen in self.records.values() if seen.service == service and seen.release == release]
        passed = max((seen.number for seen in mine if seen.in_service_at is not None), default=0)
        failed = [seen for seen in mine if seen.failed_start and seen.number > passed]
        last = max((seen.terminating_at or 0.0 for seen in failed), default=None)
        return StartHistory(service=service, release=release, failures=len(failed), last_failed_at=last)

    # What a plan does

    def cycle(self, fuse: int | None = None) -> plans.Plan:
        """One turn; `fuse`: the daemon dies after so many actions."""
        plan = decide(self.wanted, self.observe(), self.now)
        for action in plan.actions[:fuse]:
            self.watch(action)
            self.act(action)
            self.watch(None)
        return plan

    def settle(self, *, most: int = 400, pace: float = 0.1) -> int:
        """Cycles until a plan is empty and no time limit runs any more; AssertionError after `most`."""
        for turn in range(most):
            plan = self.cycle()
            busy = any(record.state in ("pending", "terminating") for record in self.records.values())
            if self.removed or (not plan.actions and not busy and plan.wake_at is None):
                return turn
            if not plan.actions:
                self.now = max(self.now + pace, min(plan.wake_at or self.now, self.now + 5.0))
        raise AssertionError(f"not settled after {most} cycles: {plan}, {self.records}")

    def act(self, action: plans.Action) -> None:
        match action:
            case plans.Configure(routing=routing):
                self.routing = routing
            case plans.Launch():
                self._launch(action)
            case plans.Start(instance=instance):
                self.records[instance] = replace(self.records[instance], launched_at=self.now)
                self._run(self.records[instance])
            case plans.Register(instance=instance):
                self.targets.setdefault(instance, _first_mode(self.records[instance]))
            case plans.Admit(instance=instance):
                self.targets[instance] = "in_service"
                if self.records[instance].state != "in_service":
                    self.records[instance] = advance(self.records[instance], "admit", self.now)
            case plans.Warm(instance=instance):
                self.records[instance] = advance(self.records[instance], "warm", self.now)
            case plans.Pool(instance=instance):
                self.records[instance] = advance(self.records[instance], "warm", self.now)
                self.targets[instance] = "draining"
            case plans.Restore(instance=instance):
                self.targets[instance] = "in_service"
            case plans.Condemn(instance=instance, reason=reason):
                self.records[instance] = replace(self.records[instance], condemned=reason)
            case plans.MarkDown():
                pass
            case plans.Retire(instance=instance, reason=reason, failed_start=failed):
                self.records[instance] = advance(
                    self.records[instance], "retire", self.now, why=reason, failed_start=failed
                )
                if instance in self.targets:
                    self.targets[instance] = "draining"
            case plans.Drain(instance=instance):
                self.targets[instance] = "draining"
            case plans.Sever(instance=instance):
                self.sessions.pop(instance, None)
            case plans.Deregister(instance=instance):
                self.targets.pop(instance, None)
                self.records[instance] = advance(self.records[instance], "deregister", self.now)
            case plans.Stop(instance=instance):
                self.records[instance] = advance(self.records[instance], "stop", self.now)
                self.programs[instance].told_to_stop += 1
                self.programs[instance].outcome = Outcome(exit_status=0)
            case plans.Kill(instance=instance):
                self.programs[instance].outcome = Outcome(signal=9)
            case plans.End(instance=instance, outcome=outcome):
                self.programs.pop(instance, None)
                self.records[instance] = advance(self.records[instance], "end", self.now, outcome=outcome)
            case plans.EndStranger(instance=instance):
                self.programs.pop(instance, None)
            case plans.Succeed():
                self.verdicts.append(action)
                self.wanted = replace(self.wanted, deployment=None, previous=None)
            case plans.GiveUp():
                self.verdicts.append(action)
                back = self.wanted.previous
                self.wanted = replace(
                    self.wanted,
                    deployment=None,
                    previous=None,
                    desired=back or self.wanted.desired,
                    wanted="up" if back else "down",
                )
            case plans.Remove():
                self.removed = True

    def _launch(self, action: plans.Launch) -> None:
        record = InstanceRecord(
            stack="shop",
            service=action.service,
            id=action.instance,
            number=action.number,
            release=action.release,
            zone=action.zone,
            address=f"127.0.0.1:{20000 + action.number}",
            state="pending",
            boot=BOOT,
            launched_at=self.now,
            started_at="",
            cause=action.reason,
            pooled=action.pooled,
        )
        assert record.id not in self.records, "an instance number was used twice"
        self.records[record.id] = record
        self._run(record)

    def _run(self, record: InstanceRecord) -> None:
        self.launches += 1
        bad = record.release in self.bad_releases
        outcome = Outcome(exit_status=1) if bad else None
        self.programs[record.id] = Program(launched_at=self.now, release=record.release, outcome=outcome)
        self.targets[record.id] = _first_mode(record)

    # What befalls it

    def kill(self, instance: str) -> None:
        if instance in self.programs:
            self.programs[instance].outcome = Outcome(signal=9)

    def serving(self) -> list[str]:
        return [name for name, mode in self.targets.items() if mode == "in_service" and self.up(name)]

    def living(self) -> list[InstanceRecord]:
        """Those that are not on their way out, and whose process lives."""
        return [
            record
            for record in self.records.values()
            if record.state not in ("terminating", "ended")
            and (record.id not in self.programs or self.programs[record.id].outcome is None)
        ]


def _first_mode(record: InstanceRecord) -> Mode:
    return "warm" if record.pooled else "initial"
