"""Why a resource is not there for those that need it, in words: for `status`, `explain`, `plan` and progress.

In: what is wanted and seen of a stack. Out: clauses without a full stop. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.observed import Observed
from fairlead.core.phrases import listed
from fairlead.core.resources.decide import lacking
from fairlead.core.resources.model import run_here
from fairlead.core.resources.records import ResourceRecord, ResourceSeen, state_of


def why_not(seen: ResourceSeen | None) -> str:
    """What follows `store, which ...`: `was stopped by hand`; "" of one that is available. None: it has no record."""
    if seen is None:
        return "is not started yet"
    record = seen.record
    match state_of(seen):
        case "available":
            return ""
        case "starting":
            return f"is starting{_because(seen.error or seen.clause)}"
        case "unavailable":
            return f"does not answer{_because(seen.clause)}"
        case "stopping":
            return f"is being stopped{_because(record.why)}"
        case _:
            return at_rest(record)


def at_rest(record: ResourceRecord) -> str:
    """The same of one of which nothing runs."""
    if record.stopped_at:
        return "was stopped by hand"
    if record.failures:
        return f"does not start{_because(record.why)}"
    return f"does not run{_because(record.why)}" if record.why else "is not started yet"


def needed_in_vain(service: Service, wanted: StackRecord, observed: Observed) -> tuple[str, ...]:
    """`store, which was stopped by hand`, for each resource that the service needs and that does not answer."""
    known = {seen.record.id: seen for seen in observed.resources}
    return tuple(f"{id}, which {why_not(known.get(id))}" for id in lacking(service, wanted, observed))


def to_be_ready(names: Sequence[str], wanted: StackRecord) -> str:
    """What `waits for` is followed by: `store to be available and api to be healthy`. names: resources and services,
    as from `reconcile.waiting`."""
    here = {one.id for one in run_here(wanted.desired.stack.resources)}
    resources = [name for name in names if name in here]
    services = [name for name in names if name not in here]
    parts = [f"{listed(resources)} to be available"] if resources else []
    parts += [f"{listed(services)} to be healthy"] if services else []
    return listed(parts)


def _because(why: str) -> str:
    return f": {why}" if why else ""
