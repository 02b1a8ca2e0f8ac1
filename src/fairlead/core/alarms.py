"""Alarms: a metric has been on the wrong side of its level for long enough, and later it is back.

In: an alarm, the metric's value now, what was remembered, and now. Out: what is remembered next, and a message when
there is something to tell. The laws: an alarm is told once when it fires, after its value was wrong for `lasting`
seconds without a break, and once when it clears, which is as soon as the value is right again (AWS clears after one
good period too). A value that is unknown changes nothing. The memory is kept by the store, so that neither a restart of
the daemon nor one of the machine tells a thing twice.

The metrics, over all services that take requests:

- `unhealthy_targets`: for each service how many of its desired instances lack a healthy target (one that is missing, or
  still starting, counts), or how many targets fail their checks if those are more; all services together. An instance
  that was drained by hand does not count.
- `healthy_targets`: healthy targets of the service that has the fewest, so that one service without any is 0, whatever
  the others have.

A service that has never served yet, because the deployment that brings it is still under way, does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from fairlead.core.desired import StackRecord
from fairlead.core.fingerprint import fields_hash
from fairlead.core.model import Alarm, Service
from fairlead.core.observed import Observed

STACK_WENT_DOWN = "the stack was taken down"
ALARM_REMOVED = "the alarm was removed from the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    """What is remembered of an alarm."""

    stack: str
    key: str
    """See `key_of`."""
    alarm: Alarm
    """As it was when it was last looked at: who is told that it is over when it has left the file."""
    firing: bool = False
    wrong_at: float | None = None
    """Since when the value has been wrong without a break, in monotonic seconds of `boot`; None while it is right."""
    boot: str = ""
    since: str = ""
    """The same by the wall clock, ISO 8601 UTC; "" while it is right."""
    folder: str = "/"
    """Of the stack's file: where the alarm's command runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to tell. `since`: when the value turned wrong. `value` is None when it is not known."""

    state: Literal["ALARM", "OK"]
    value: float | None
    since: str
    at: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message on its way. `payload` is what is sent."""

    stack: str
    key: str
    name: str
    payload: Mapping[str, str | float | None]
    webhook: str | None = None
    command: tuple[str, ...] | None = None
    folder: str = "/"
    """Where `command` runs."""
    attempts: int = 0
    waited: float = 0.0
    """Seconds that were waited between attempts, over all lives of the daemon."""
    id: int = field(default=0, compare=False)
    """Its row in the store; 0: it could not be stored."""


def name_of(alarm: Alarm) -> str:
    """What an alarm is called: `unhealthy_targets above 0`."""
    return f"{alarm.metric} {alarm.comparison} {alarm.level:g}"


def key_of(alarm: Alarm) -> str:
    """What makes it the same alarm in an edited file: its name and who is told. Nothing secret can be read in it."""
    told = fields_hash({"webhook": alarm.webhook, "command": list(alarm.command or ())})
    return f"{name_of(alarm)} {told[:16]}"


def judge(
    record: AlarmRecord, value: float | None, *, now: float, boot: str, wall: str
) -> tuple[AlarmRecord, Message | None]:
    """What to remember, and what to tell, now that the metric has `value` (None: unknown)."""
    if value is None:
        return record, None
    alarm = record.alarm
    wrong = value > alarm.level if alarm.comparison == "above" else value < alarm.level
    if not wrong:
        well = replace(record, firing=False, wrong_at=None, boot="", since="")
        text = f"{name_of(alarm)} is over: it is {value:g}"
        return well, Message(state="OK", value=value, since=record.since, at=wall, text=text) if record.firing else None
    if record.firing:
        return record, None
    if record.wrong_at is None or record.boot != boot:
        # The seconds of another boot cannot be compared with these.
        record = replace(record, wrong_at=now, boot=boot, since=wall)
    assert record.wrong_at is not None
    if now - record.wrong_at < alarm.lasting:
        return record, None
    text = f"{alarm.metric} has been {value:g} for {now - record.wrong_at:.0f} s ({alarm.comparison} {alarm.level:g})"
    return replace(record, firing=True), Message(state="ALARM", value=value, since=record.since, at=wall, text=text)


def over(record: AlarmRecord, why: str, *, wall: str) -> Message | None:
    """What to tell when an alarm is no longer looked at."""
    if not record.firing:
        return None
    text = f"{name_of(record.alarm)} is no longer watched: {why}"
    return Message(state="OK", value=None, since=record.since, at=wall, text=text)


def measure(wanted: StackRecord, observed: Observed, healths: Mapping[str, str]) -> dict[str, float | None]:
    """Each metric's value; None: unknown. healths: instance -> the state of its target health,
    `healthy` also when nothing checks it."""
    if wanted.wanted == "down" or not observed.balancer_known:
        return {"unhealthy_targets": None, "healthy_targets": None}
    lacking = 0
    healthy: list[int] = []
    for service, desired in _counted(wanted):
        mine = [one.record for one in observed.instances if one.record.service == service.name]
        states = [healths.get(record.id, "") for record in mine if not record.drained]
        healthy.append(states.count("healthy"))
        away = (record for record in mine if record.drained and not record.standby)
        drained = sum(1 for record in away if record.state != "terminating")
        lacking += max(desired - drained - healthy[-1], states.count("unhealthy"), 0)
    return {"unhealthy_targets": float(lacking), "healthy_targets": float(min(healthy)) if healthy else None}


def _counted(wanted: StackRecord) -> list[tuple[Service, int]]:
    """The services that count, each with the size that it must have now: while a deployment changes it, the smaller."""
    deploying = wanted.under_way is not None
    before = {service.name: service for service in wanted.previous.stack.services} if wanted.previous else {}
    found = []
    for declared in wanted.desired.stack.services:
        service = wanted.sized(declared)
        if not service.serves or (deploying and declared.name not in before):
            continue
        sizes = [service.desired]
        if deploying:
            sizes.append(wanted.sized(before[declared.name]).desired)
        # One that was scaled to nothing has no target to be healthy.
        if min(sizes):
            found.append((service, min(sizes)))
    return found
