"""The size of a service, set by hand: what `fairlead scale` and `instance terminate --decrement` change.

A service of a fixed size has its number changed until the file's own changes. An auto scaling group gets another
desired capacity, minimum or maximum, as by UpdateAutoScalingGroup; its policies go on from there. The stack's loop then
leads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.core.census import serving
from fairlead.core.desired import Scaled, StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import InstanceRecord, Observed
from fairlead.core.phrases import several
from fairlead.core.rollout import FAILED_STARTS
from fairlead.core.scaling.group import Sizes, edited
from fairlead.core.suspension import LAUNCH, TERMINATE
from fairlead.errors import DeploymentFailed, NotFound, UsageError
from fairlead.store.database import Store

MOST_INSTANCES = 100
"""Instances of one service, as in the file."""


def resized(
    record: StackRecord,
    service: Service,
    clock: Clock,
    *,
    minimum: int | None = None,
    desired: int | None = None,
    maximum: int | None = None,
) -> StackRecord:
    """The record with other sizes of `service` (as declared). UsageError: they are not possible."""
    for value in (minimum, desired, maximum):
        if value is not None and not 0 <= value <= MOST_INSTANCES:
            raise UsageError(
                f"{service.name} cannot have {value} instances", f"from 0 to {MOST_INSTANCES} are possible"
            )
    if service.scaling is None:
        return _fixed(record, service, minimum, desired, maximum)
    group = record.groups.get(service.name)
    try:
        changed = edited(service.sizes, group, clock.boot, minimum=minimum, desired=desired, maximum=maximum)
    except ValueError as error:
        raise _outside(record.sized(service), minimum, desired, maximum, str(error)) from None
    before = record.sized(service).desired
    if desired is not None or changed.sizes.desired != before:
        how = f"desired {before} -> {changed.sizes.desired}" if changed.sizes.desired != before else f"desired {before}"
        changed = replace(changed, by_hand=True, reason=f"set by hand: {how}", at=clock.wall())
    return replace(record, groups={**record.groups, service.name: changed})


def _fixed(
    record: StackRecord, service: Service, minimum: int | None, desired: int | None, maximum: int | None
) -> StackRecord:
    """As the file says: then nothing is set by hand any more."""
    if minimum is not None or maximum is not None or desired is None:
        raise UsageError(
            f"{service.name} has no minimum and no maximum",
            f"the file gives it a fixed size (`instances: {service.desired}`)",
            f"Write `scaling: {{min: 1, max: {max(2, service.desired)}}}` instead of `instances`, or: "
            f"fairlead scale {service.name} N",
        )
    scaled = {name: size for name, size in record.scaled.items() if name != service.name}
    if desired != service.desired:
        scaled[service.name] = Scaled(desired=desired, declared=service.desired)
    return replace(record, scaled=scaled)


def _outside(now: Service, minimum: int | None, desired: int | None, maximum: int | None, why: str) -> UsageError:
    name = now.name
    if desired is None:
        low = now.minimum if minimum is None else minimum
        high = now.maximum if maximum is None else maximum
        both = f"--min {low} --max {low}" if minimum is not None else f"--min {high} --max {high}"
        return UsageError(f"{name} cannot have these bounds", why, f"fairlead scale {name} {both}")
    bound = "max" if desired > (now.maximum if maximum is None else maximum) else "min"
    return UsageError(
        f"{name} cannot have {several(desired, 'instance')}",
        why,
        f"fairlead scale {name} {desired} --{bound} {desired}",
    )


class Sizing:
    """Of one daemon."""

    def __init__(self, store: Store, journal: Journal, clock: Clock) -> None:
        self._store, self._journal, self._clock = store, journal, clock

    def set(
        self,
        record: StackRecord,
        service: Service,
        *,
        minimum: int | None = None,
        desired: int | None = None,
        maximum: int | None = None,
        marked: Sequence[InstanceRecord] = (),
    ) -> Service:
        """Keep other sizes of `service` (as declared), and tell of it; the service as it is to be. marked: instances
        that are recorded in the same moment, so that asked again of another daemon it finds its work done.
        UsageError."""
        before = record.sized(service)
        changed = resized(record, service, self._clock, minimum=minimum, desired=desired, maximum=maximum)
        after = changed.sized(service)
        self._store.save_stack(changed, *marked)
        if text := _difference(before.sizes, after.sizes):
            as_declared = after.sizes == service.sizes
            said = "as the file says" if as_declared else f"by hand (the file says {_declared(service)})"
            self._journal.event(record.name, "scaled", f"{service.name}: {text}, {said}", service=service.name)
        return after


def _difference(before: Sizes, after: Sizes) -> str:
    names = (("min", "minimum"), ("max", "maximum"), ("desired", "desired"))
    moved = [
        f"{word} {getattr(before, name)} -> {getattr(after, name)}"
        for word, name in names
        if getattr(before, name) != getattr(after, name)
    ]
    if before.minimum == before.desired == before.maximum and after.minimum == after.desired == after.maximum:
        return moved[-1] if moved else ""  # a fixed size is one number
    return ", ".join(moved)


def _declared(service: Service) -> str:
    if service.scaling is None:
        return str(service.desired)
    return f"min {service.minimum}, desired {service.desired}, max {service.maximum}"


def answer(record: StackRecord, service: Service, text: str) -> dict[str, Any]:
    """What `POST /stacks/NAME/scale` ends with. service: as declared."""
    now = record.sized(service)
    return {
        "stack": record.name,
        "service": service.name,
        "desired": now.desired,
        "declared": service.desired,
        "minimum": now.minimum,
        "maximum": now.maximum,
        "text": text,
    }


def reached(wanted: StackRecord, observed: Observed, name: str) -> str:
    """Whether as many serve as are wanted; DeploymentFailed when new ones cannot start."""
    service = next((one for one in wanted.desired.stack.services if one.name == name), None)
    if service is None or wanted.wanted == "down":
        raise NotFound(f"{name} is no longer in {wanted.name}", "it was taken down meanwhile")
    desired = wanted.sized(service).desired
    mine = [
        one.record
        for one in observed.instances
        if one.record.service == name and one.record.state in ("pending", "in_service")
        if not (one.record.pooled or one.record.standby)
    ]
    serve = {one.record.id for one in observed.instances if serving(one)}
    ready = sum(1 for one in mine if one.id in serve or one.drained)
    if ready == desired == len(mine):
        return f"{name} has {several(desired, 'instance')}"
    if len(mine) > desired and wanted.is_suspended(name, TERMINATE):
        return f"{name} keeps {several(len(mine), 'instance')}: Terminate is suspended"
    if len(mine) < desired and wanted.is_suspended(name, LAUNCH):
        return f"{name} stays at {several(len(mine), 'instance')}: Launch is suspended"
    protected = sum(1 for one in mine if one.protected)
    if len(mine) > desired and ready == len(mine) == protected:
        return f"{name} keeps {len(mine)} instances: they are protected from scale-in"
    refuse_failures(observed, name, f"{name} does not reach {several(desired, 'instance')}")
    return ""


def refuse_failures(observed: Observed, service: str, what: str) -> None:
    """DeploymentFailed when new instances of the service cannot start."""
    failing = [one for one in observed.starts if one.service == service and one.failures >= FAILED_STARTS]
    if failing:
        history = failing[0]
        raise DeploymentFailed(
            what,
            f"{history.failures} ended before their first passed health check; the last one {history.last_outcome}",
            f"fairlead logs --instance {history.last_instance}" if history.last_instance else "fairlead logs",
        )
