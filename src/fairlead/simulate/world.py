"""The instances of one service as values, and what plans do to them: the simulator's engine, balancer and store.

In: the actions of `core.reconcile`. Out: the snapshot that it judges next, and who takes requests. A program passes its
check `start_time` after its launch, and ends as soon as it is told to; nothing else befalls it. The record of an
instance moves by the same table as the daemon's (`core.lifecycle`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fairlead.core import plan as plans
from fairlead.core.desired import StackRecord
from fairlead.core.lifecycle import advance
from fairlead.core.observed import Instance, InstanceRecord, Observed, StartHistory
from fairlead.core.processes import Outcome, Process
from fairlead.core.reconcile import decide
from fairlead.core.routing import routing_of
from fairlead.core.traffic import Check, Mode, TargetReport

BOOT = "virtual"
"""The boot of the virtual clock."""

MOST_TURNS = 50
"""Plans in a row at one moment. Each leads nearer to its goal; more would mean that none is reached."""

PASSED = Check(status="L7OK", code=200)
REFUSED = Check(status="L4CON", text="Connection refused")

_ALIVE, _ENDED = Process(alive=True, pid=1), Process(alive=False, outcome=Outcome(exit_status=0))


class World:
    """The instances of one service, which serves requests. inside: how many are inside one that has got no more of them
    for so many seconds."""

    def __init__(
        self, wanted: StackRecord, service: str, *, start_time: float, inside: Callable[[str, float], int]
    ) -> None:
        self.wanted, self._service, self._start_time, self._inside = wanted, service, start_time, inside
        self._release = wanted.desired.releases[service].number
        self._routing = routing_of(wanted, (), None)
        self._records: dict[str, InstanceRecord] = {}
        self._modes: dict[str, Mode] = {}
        self._out_at: dict[str, float] = {}
        """Since when those that are let go of get no requests."""
        self._ended: set[str] = set()
        self._number = 1
        self._starts = StartHistory(service=service, release=self._release)
        self._wake: float | None = 0.0
        self._observed: Observed | None = None
        self._settled: dict[str, Instance] = {}
        """As it was seen last, of each that served: time alone changes nothing about these."""
        self.taking: tuple[str, ...] = ()
        """Who gets requests."""
        self.finishing: tuple[str, ...] = ()
        """Who gets none any more, and is still asked to finish those inside."""
        self.living = 0
        """Instances that are not terminating."""
        self._gone: list[str] = []
        self.failed_starts = 0

    def begin(self, count: int, now: float, age: float) -> None:
        """So many instances have been in service for `age` seconds."""
        zones = self.wanted.desired.stack.zones
        for step in range(count):
            launch = plans.Launch(
                service=self._service, instance=f"{self._service}-{self._number}", number=self._number,
                release=self._release, zone=zones[step % len(zones)], reason="it was there before",
            )  # fmt: skip
            self._launch(launch, now - age - self._start_time)
            self._admit(launch.instance, now - age)
        self._count()

    def want(self, wanted: StackRecord) -> None:
        """Something else is wanted from now on."""
        self.wanted, self._wake = wanted, 0.0

    def let_go(self) -> list[str]:
        """Who was let go of by the balancer since this was asked last: what was inside them is lost."""
        gone, self._gone = self._gone, []
        return gone

    @property
    def existing(self) -> int:
        """All that run, those that leave too."""
        return len(self._records)

    def turn(self, now: float) -> None:
        """Decide and apply until there is nothing to do at `now`; nothing at all, when it is too early for anything."""
        if self._wake is None or now < self._wake:
            return
        for _ in range(MOST_TURNS):
            plan = decide(self.wanted, self.observe(now), now)
            for action in plan.actions:
                self._act(action, now)
            if not plan.actions:
                break
            self._observed = None
        else:
            raise AssertionError(f"no goal is reached at {now}: {plan}")
        self._count()
        self._wake = min(self._wakes(plan, now), default=None)

    def observe(self, now: float) -> Observed:
        """The snapshot; the same one until something changes."""
        if self._observed is None or (self._wake is not None and now >= self._wake):
            self._observed = Observed(
                instances=tuple(self._instance(record, now) for record in self._records.values()),
                routing=self._routing,
                starts=(self._starts,),
                next_numbers=((self._service, self._number),),
                boot=BOOT,
            )
        return self._observed

    def _wakes(self, plan: plans.Plan, now: float) -> list[float]:
        """When to look again: what the plan says, a program that comes up, a backlog that is worked off."""
        wakes = [] if plan.wake_at is None else [plan.wake_at]
        for record in self._records.values():
            up_at = record.launched_at + self._start_time
            if up_at > now:
                wakes.append(up_at)
            if self._sessions(record.id, now):
                wakes.append(now + 1)
        return wakes

    def _instance(self, record: InstanceRecord, now: float) -> Instance:
        mode = self._modes.get(record.id)
        known = self._settled.get(record.id)
        if known is not None and known.record is record and mode == "in_service":
            return known
        target = None
        if mode is not None:
            up = now >= record.launched_at + self._start_time and record.id not in self._ended
            target = TargetReport(
                group=f"{record.stack}.{record.service}", id=record.id, mode=mode, up=up and mode == "in_service",
                check=PASSED if up else REFUSED, sessions=self._sessions(record.id, now),
            )  # fmt: skip
        instance = Instance(record=record, process=_ENDED if record.id in self._ended else _ALIVE, target=target)
        if target is not None and target.up:
            self._settled[record.id] = instance
        return instance

    def _sessions(self, one: str, now: float) -> int:
        """Requests inside one that gets no more; of others nobody asks."""
        out_at = self._out_at.get(one)
        return 0 if out_at is None else self._inside(one, now - out_at)

    def _take_out(self, one: str, now: float) -> None:
        if self._modes[one] == "in_service":
            self._out_at[one] = now
        self._modes[one] = "draining"

    def _count(self) -> None:
        modes = self._modes
        self.living = sum(1 for record in self._records.values() if record.state != "terminating")
        self.taking = tuple(one for one, mode in modes.items() if mode == "in_service")
        self.finishing = tuple(one for one, mode in modes.items() if mode == "draining")

    def _act(self, action: plans.Action, now: float) -> None:
        match action:
            case plans.Launch():
                self._launch(action, now)
            case plans.Admit(instance=one):
                self._admit(one, now)
            case plans.Warm(instance=one):
                self._records[one] = advance(self._records[one], "warm", now)
                self._starts = StartHistory(service=self._service, release=self._release)
            case plans.Pool(instance=one):
                self._records[one] = advance(self._records[one], "warm", now)
                self._take_out(one, now)
            case plans.Condemn(instance=one, reason=reason):
                self._records[one] = replace(self._records[one], condemned=reason)
            case plans.Retire(instance=one):
                self._retire(action, now)
            case plans.Drain(instance=one):
                self._take_out(one, now)
            case plans.Restore(instance=one):
                self._modes[one] = "in_service"
                self._out_at.pop(one, None)
            case plans.Sever(instance=one):
                self._gone.append(one)
                self._out_at.pop(one, None)  # from now on nobody is inside
            case plans.Deregister(instance=one):
                self._modes.pop(one, None)
                self._out_at.pop(one, None)
                self._records[one] = advance(self._records[one], "deregister", now)
                self._gone.append(one)
            case plans.Stop(instance=one):
                self._records[one] = advance(self._records[one], "stop", now)
                self._ended.add(one)
            case plans.End(instance=one):
                del self._records[one]
                self._settled.pop(one, None)
                self._ended.discard(one)
            case _:
                raise AssertionError(f"nothing in a simulation asks for {action}")

    def _launch(self, action: plans.Launch, now: float) -> None:
        self._records[action.instance] = InstanceRecord(
            stack=self.wanted.name, service=action.service, id=action.instance, number=action.number,
            release=action.release, zone=action.zone, address="virtual", state="pending",
            boot=BOOT, launched_at=now, started_at="", cause=action.reason, pooled=action.pooled,
        )  # fmt: skip
        self._number = action.number + 1
        self._modes[action.instance] = "warm" if action.pooled else "initial"

    def _admit(self, one: str, now: float) -> None:
        self._records[one] = advance(self._records[one], "admit", now)
        self._modes[one] = "in_service"
        self._out_at.pop(one, None)
        self._starts = StartHistory(service=self._service, release=self._release)

    def _retire(self, action: plans.Retire, now: float) -> None:
        record = self._records[action.instance]
        self._records[record.id] = advance(record, "retire", now, why=action.reason, failed_start=action.failed_start)
        self._take_out(record.id, now)
        if action.failed_start:
            self.failed_starts += 1
            self._starts = replace(
                self._starts, failures=self._starts.failures + 1, last_failed_at=now,
                last_outcome=action.reason, last_instance=record.id,
            )  # fmt: skip
