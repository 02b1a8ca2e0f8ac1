"""`alarms` and `aws`: who is told when something is wrong, and what only AWS needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.measures import MEASURES, LevelValue, Metric, unit_conflict
from fairlead.spec.schema.numbers import Duration
from fairlead.spec.schema.texts import Line, Url, Words

TARGET_COUNTS = ("unhealthy_targets", "healthy_targets")
"""What an alarm may watch beside the metrics of scaling."""

_AWS_WORD = Line(r"[A-Za-z0-9][A-Za-z0-9.-]*", "letters, digits, . and -", 64)
_PERMISSION = Line(r"[a-z0-9-]+:[A-Za-z0-9*_-]+", "SERVICE:WHAT, as in s3:photos", 128)


class Alarm(Part):
    """Told when a metric has been above (or below) a level for a while, and when it is well again."""

    when: Annotated[str, Metric((*TARGET_COUNTS, *MEASURES))]
    """What is watched: how many targets are unhealthy, how many healthy (in the service with fewest), or a metric."""
    above: LevelValue | None = None
    """It is wrong above this level. Exactly one of `above` and `below` is given."""
    below: LevelValue | None = None
    """It is wrong below this level."""
    for_: Annotated[float, Duration(0, 86400)] = Field(60.0, alias="for")
    """How long it has to be wrong before somebody is told."""
    webhook: Annotated[str, Url()] | None = None
    """Gets a POST with JSON, once when it is wrong and once when it is well again. Exactly one of `webhook` and
    `command` is given."""
    command: Annotated[tuple[str, ...], Words()] | None = None
    """A program that is run instead; it finds what happened in variables named FAIRLEAD_ALARM_..."""

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("above", "below"), "the level that matters")
        yield from exactly_one(self, ("webhook", "command"), "who is told")
        for key, level in (("above", self.above), ("below", self.below)):
            if level is not None:
                yield from unit_conflict(self.when, key, level)


class Aws(Part):
    """What only AWS needs; used by `fairlead aws`."""

    region: Annotated[str, Line(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region such as us-west-2")] | None = None
    """Where everything is made."""
    compute: Literal["ecs", "fargate", "ec2"] = "ecs"
    """Containers on an auto-scaled EC2 cluster, on Fargate, or plain instances with user data."""
    instance_type: Annotated[str, _AWS_WORD] = "t3.micro"
    """Of the EC2 instances."""
    key_pair: Annotated[str, Line(most=255)] | None = None
    """The name of the key pair that opens them by SSH."""
    permissions: tuple[Annotated[str, _PERMISSION], ...] = ()
    """What the instances' role may do: least privilege, spelt out in the output."""
    tags: dict[Annotated[str, Line(most=128)], Annotated[str, Line(most=256)]] = Field(default_factory=dict)
    """Tags of everything that is made."""
