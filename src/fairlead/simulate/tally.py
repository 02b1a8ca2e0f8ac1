"""What is noted while a simulation runs: a line of numbers a second, the decisions, and their sums."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from fairlead.core.scaling.history import Point
from fairlead.core.scaling.policies import Policy, TargetTracking
from fairlead.simulate.flow import Passed
from fairlead.simulate.result import COLUMNS, Decision, Summary, undoing
from fairlead.simulate.world import World

NOTHING = Passed(served=math.nan, waiting=math.nan)
"""Of a second of which nobody knows what came."""


class Tally:
    """targets: the policies that track one."""

    def __init__(self, targets: Sequence[Policy]) -> None:
        self._targets = [(one.name, one.follows.value) for one in targets if isinstance(one.follows, TargetTracking)]
        self.columns = {name: array("d") for name in COLUMNS}
        self._append = tuple(column.append for column in self.columns.values())
        self.decisions: list[Decision] = []
        self.cut = 0.0
        self.unknown = 0
        self._queued = self._timed_out = self._refused = 0.0
        self._over: dict[str, int | None] = {name: None for name, _ in self._targets}
        self._over_any = self._at_maximum = 0
        self._most = 0

    def second(self, load: float | None, passed: Passed | None, world: World, desired: int, capacity: float) -> None:
        """One second has passed; None: nobody knows how."""
        known = passed or NOTHING
        self.unknown += load is None
        self._queued += known.queued
        self._timed_out += known.timed_out
        self._refused += known.refused
        self._most = max(self._most, world.living)
        serving = len(world.taking)
        line = (
            load, known.served, known.timed_out + known.refused, serving * capacity, desired, serving, world.existing,
            known.cpu, known.waiting, known.p95,
        )  # fmt: skip
        for append, value in zip(self._append, line, strict=True):
            append(math.nan if value is None else value)

    def judge(self, newest: Sequence[Point | None], *, at_maximum: bool) -> None:
        """The newest datapoint of each target, if there is one."""
        over = False
        for (name, target), point in zip(self._targets, newest, strict=True):
            if point is None or point.value is None:
                continue
            above = point.value > target
            over |= above
            self._over[name] = (self._over[name] or 0) + above
        self._over_any += over
        self._at_maximum += over and at_maximum

    def decided(self, second: int, before: int, desired: int, cause: str) -> None:
        undoes = desired > before and undoing(self.decisions, second, desired)
        self.decisions.append(Decision(second=second, before=before, desired=desired, cause=cause, undoes=undoes))

    def summary(self, failed_starts: int) -> Summary:
        columns = self.columns

        def known(name: str) -> list[float]:
            return [value for value in columns[name] if value == value]

        cpu, p95 = known("cpu"), known("p95")
        return Summary(
            seconds=len(columns["load"]),
            requests=math.fsum(known("load")),
            served=math.fsum(known("served")),
            queued=self._queued,
            timed_out=self._timed_out,
            refused=self._refused,
            cut=self.cut,
            over_target=self._over,
            over_any=self._over_any,
            at_maximum=self._at_maximum,
            instance_hours=math.fsum(columns["existing"]) / 3600,
            least_serving=int(min(columns["serving"], default=0)),
            most_instances=self._most,
            scale_outs=sum(1 for one in self.decisions if one.desired > one.before),
            scale_ins=sum(1 for one in self.decisions if one.desired < one.before),
            flaps=sum(1 for one in self.decisions if one.undoes),
            cpu_mean=math.fsum(cpu) / len(cpu) if cpu else None,
            p95_worst=max(p95, default=None),
            failed_starts=failed_starts,
            unknown=self.unknown,
        )
