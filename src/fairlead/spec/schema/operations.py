"""`alarms` and `aws`: who is told when something is wrong, and what only AWS needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.numbers import Duration
from fairlead.spec.schema.scaling import LevelValue
from fairlead.spec.schema.texts import Line, Words

_MEASURE = Line(r"[a-z][a-z0-9_]*(:[a-z][a-z0-9-]*)?", "the name of a metric such as unhealthy_targets", 64)
_WEBHOOK = Line(r"https?://\S+", "an address beginning with http:// or https://", 2048)
_AWS_WORD = Line(r"[A-Za-z0-9][A-Za-z0-9.-]*", "letters, digits, . and -", 64)
_PERMISSION = Line(r"[a-z0-9-]+:[A-Za-z0-9*_-]+", "SERVICE:WHAT, as in s3:photos", 128)


class Alarm(Part):
    """Told when a metric has been above (or below) a level for a while, and when it is well again."""

    when: Annotated[str, _MEASURE]
    above: LevelValue | None = None
    below: LevelValue | None = None
    for_: Annotated[float, Duration(0, 86400)] = Field(60.0, alias="for")
    webhook: Annotated[str, _WEBHOOK] | None = None
    command: Annotated[tuple[str, ...], Words()] | None = None

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("above", "below"), "the level that matters")
        yield from exactly_one(self, ("webhook", "command"), "who is told")


class Aws(Part):
    """What only AWS needs; used by `fairlead aws`."""

    region: Annotated[str, Line(r"[a-z]{2}(-[a-z]+)+-[0-9]", "a region such as us-west-2")] | None = None
    compute: Literal["ecs", "fargate", "ec2"] = "ecs"
    instance_type: Annotated[str, _AWS_WORD] = "t3.micro"
    key_pair: Annotated[str, Line(most=255)] | None = None
    permissions: tuple[Annotated[str, _PERMISSION], ...] = ()
    tags: dict[Annotated[str, Line(most=128)], Annotated[str, Line(most=256)]] = Field(default_factory=dict)
