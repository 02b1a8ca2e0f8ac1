"""`services.ID.scaling`: an auto scaling group and its schedule; and the metrics of the user's own.

Words and rules are those of AWS Auto Scaling, the defaults those of the annotated file. Policies are in `policies`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fairlead.core.scaling import policies as core
from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import Holding
from fairlead.spec.schema.numbers import Duration, Whole
from fairlead.spec.schema.policies import MOST_INSTANCES, Policy
from fairlead.spec.schema.texts import Line, Name, Url, Words
from fairlead.spec.schema.times import Cron, Zone

_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*"'
SERIES = rf"[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{{{_LABEL}(?:, ?{_LABEL})*\}})?"
"""A metric of a Prometheus text, with those of its labels that tell it from others."""


class Schedule(Part):
    """Sizes that hold from a time on."""

    name: Annotated[str, Name()]
    """Named in the scaling activity."""
    cron: Annotated[str, Cron()]
    """When the sizes begin to hold."""
    timezone: Annotated[str, Zone()] = "UTC"
    """The zone in which `cron` is read; summer time is followed."""
    min: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The least instances from then on."""
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The instances to have then."""
    max: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """The most instances from then on."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.min is self.desired is self.max is None:
            yield Conflict(("", "min", "desired", "max"), "changes nothing", "add `min`, `desired` or `max`")
        elif self.min is not None and self.max is not None and self.min > self.max:
            yield Conflict(("min", "max"), f"is more than `max` ({self.max})")
        elif self.desired is not None and self.min is not None and self.desired < self.min:
            yield Conflict(("desired", "min"), f"is less than `min` ({self.min})")
        elif self.desired is not None and self.max is not None and self.desired > self.max:
            yield Conflict(("desired", "max"), f"is more than `max` ({self.max})")


class Scaling(Part):
    """An auto scaling group."""

    min: Annotated[int, Whole(0, MOST_INSTANCES)] = 1
    """The least instances."""
    desired: Annotated[int, Whole(0, MOST_INSTANCES)] | None = None
    """Instances at the first launch; later the policies decide. Default: `min`."""
    max: Annotated[int, Whole(1, MOST_INSTANCES)]
    """The most instances, never exceeded: at it one is taken out before another is started in its place."""
    warm_up: Annotated[float, Duration(0, 86400)] = 10.0
    """How long a new instance's metrics do not count."""
    warm_pool: Annotated[int, Whole(0, MOST_INSTANCES)] = 0
    """Instances kept started and healthy but out of the load balancer; with the others never more than `max`."""
    reuse_on_scale_in: bool = False
    """A scale-in returns instances to the warm pool while it has room, instead of ending them. AWS: ReuseOnScaleIn."""
    scale_out_cooldown: Annotated[float, Duration(0, 86400)] = 0.0
    """How long after a scale-out there is no other."""
    scale_in_cooldown: Annotated[float, Duration(0, 86400)] = 60.0
    """How long after a scale-in there is no other."""
    termination_policy: Literal["default", "oldest_instance", "newest_instance", "oldest_release"] = "default"
    """Which instance a scale-in ends; always one of the zone that has the most."""
    policies: Annotated[tuple[Policy, ...], Holding(0, 20)] = ()
    """What changes the size, and when."""
    schedule: Annotated[tuple[Schedule, ...], Holding(0, 50)] = ()
    """Sizes by the clock."""

    @property
    def initial(self) -> int:
        """Instances at the first launch."""
        return self.min if self.desired is None else self.desired

    def conflicts(self) -> Iterator[Conflict]:
        if self.min > self.max:
            yield Conflict(("min", "max"), f"is more than `max` ({self.max})")
        elif not self.min <= self.initial <= self.max:
            yield Conflict(("desired", "min", "max"), f"must be from `min` to `max` ({self.min} to {self.max})")
        else:
            yield from self._pool()
            yield from self._scheduled_sizes()
        yield from self._names()

    def _pool(self) -> Iterator[Conflict]:
        room = self.max - self.min
        if self.warm_pool > room:
            reason = f"is more than there is ever room for: {room}, which is `max` less `min` ({self.max} - {self.min})"
            fits = f"write {room} or less" if room else "remove it"
            yield Conflict(("warm_pool", "max", "min"), reason, f"{fits}, or write a higher `max`")
        if self.reuse_on_scale_in and not self.warm_pool:
            reason = "goes only with `warm_pool`: without one there is nothing to return to"
            yield Conflict(("reuse_on_scale_in", "warm_pool"), reason, "add `warm_pool: 1` or more, or remove it")

    def _scheduled_sizes(self) -> Iterator[Conflict]:
        """A scheduled size beyond every bound that could hold then, the group's own or a scheduled one: it would be
        refused each time (aws-semantics D1)."""
        lowest = min([self.min, *(one.min for one in self.schedule if one.min is not None)])
        highest = max([self.max, *(one.max for one in self.schedule if one.max is not None)])
        for number, action in enumerate(self.schedule):
            for key, size in (("min", action.min), ("desired", action.desired)):
                if size is not None and size > highest:
                    reason = f"is more than any `max` that could hold then ({highest})"
                    yield Conflict((f"schedule.{number}.{key}", "max"), reason, "add `max` beside it")
            for key, size in (("max", action.max), ("desired", action.desired)):
                if size is not None and size < lowest:
                    reason = f"is less than any `min` that could hold then ({lowest})"
                    yield Conflict((f"schedule.{number}.{key}", "min"), reason, "add `min` beside it")

    def _names(self) -> Iterator[Conflict]:
        """Policies and scheduled actions are told apart by their names."""
        seen: dict[str, int] = {}
        for number, name in enumerate(policy.wanted().name for policy in self.policies):
            if name in seen:
                reason = f"is the same as policies.{seen[name]}: {name}"
                yield Conflict((f"policies.{number}", f"policies.{seen[name]}"), reason, "keep one of them")
            seen.setdefault(name, number)
        seen = {}
        for number, action in enumerate(self.schedule):
            if action.name in seen:
                reason = f"is the name of schedule.{seen[action.name]} already"
                yield Conflict((f"schedule.{number}.name", "schedule"), reason, "give each a name of its own")
            seen.setdefault(action.name, number)

    @property
    def never_wakes(self) -> bool:
        """Whether it may come to have no instance, and no policy could ever start one again: some metrics are unknown
        then. A group without policies is its owner's."""
        ends = self.initial == 0 or any(policy.scale_in for policy in self.policies)
        wakes = any(policy.wakes for policy in self.policies) or any(one.min or one.desired for one in self.schedule)
        return self.min == 0 and bool(self.policies) and ends and not wakes

    def wanted(self) -> core.Scaling:
        """As the decision knows it."""
        return core.Scaling(
            warm_up=self.warm_up,
            warm_pool=self.warm_pool,
            reuse_on_scale_in=self.reuse_on_scale_in,
            scale_out_cooldown=self.scale_out_cooldown,
            scale_in_cooldown=self.scale_in_cooldown,
            termination_policy=self.termination_policy,
            policies=tuple(policy.wanted() for policy in self.policies),
            schedule=tuple(
                core.ScheduledAction(
                    name=one.name,
                    cron=one.cron,
                    timezone=one.timezone,
                    minimum=one.min,
                    desired=one.desired,
                    maximum=one.max,
                )
                for one in self.schedule
            ),
        )


@dataclass(frozen=True)
class JsonField(Line):
    """The way to a value of a JSON answer."""

    pattern: str = r"[^.]+(\.[^.]+)*"
    wanted: str = "a dotted path, as in queue.length or queues.0.length"


@dataclass(frozen=True)
class Series(Line):
    """One series of a Prometheus text."""

    pattern: str = SERIES
    wanted: str = 'a name, or a name with labels: queue_length{name="mail"}'


class CustomMetric(Part):
    """A number of the user's own: printed by a command, or read from a URL."""

    command: Annotated[tuple[str, ...], Words()] | None = None
    """A program that prints the number; it is run in the service's current release and environment, without a shell."""
    url: Annotated[str, Url()] | None = None
    """An address that answers JSON (with `field`) or Prometheus text (with `series`)."""
    field: Annotated[str, JsonField()] | None = None
    """The field of a JSON answer."""
    series: Annotated[str, Series()] | None = None
    """The series of a Prometheus text."""
    every: Annotated[float, Duration(0.5, 3600)] = 5.0
    """Time between two readings."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("command", "url"), "where its number comes from")
        if self.url is not None:
            yield from exactly_one(self, ("field", "series"), "what to read in the answer of `url`")
        elif self.field is not None or self.series is not None:
            name = "field" if self.field is not None else "series"
            yield Conflict((name, "url"), "goes only with `url`")

    def wanted(self, name: str) -> core.CustomMetric:
        """As the daemon reads it."""
        return core.CustomMetric(
            name=name, argv=self.command, url=self.url, field=self.field, series=self.series, every=self.every
        )
