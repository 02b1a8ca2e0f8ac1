"""What is shown of resources: the `resources` of a stack and the `needs` of a service in `status --json`
(docs/reference/status.md).

In: what is wanted and seen of a stack, and which programs serve. Out: JSON values. No password is among them: of one
that exists already only host and port are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fairlead.core.desired import StackRecord
from fairlead.core.model import Service, Stack
from fairlead.core.observed import Observed
from fairlead.core.resources.addresses import HOST, addresses_of_url
from fairlead.core.resources.decide import needs
from fairlead.core.resources.model import Resource, run_here, settings_of
from fairlead.core.resources.records import ResourceRecord, ResourceSeen, state_of
from fairlead.core.resources.words import at_rest, why_not
from fairlead.errors import UsageError
from fairlead.resources.base import Program

EXTERNAL = "external"
"""The state of one that exists already (`url:`): fairlead uses it and knows nothing of how it is."""

BY_HAND = "stopped by hand"
LEFT = "it is no longer in the file; its data are kept"


def shown_resources(record: StackRecord, observed: Observed, programs: Mapping[str, Program]) -> list[dict[str, Any]]:
    """Those of the file, in its order; then those that left it (or now have a `url:`) and keep their data. programs:
    what serves each, as far as it was seen, by id."""
    declared = declared_in(record)
    known = {seen.record.id: seen for seen in observed.resources}
    here = {one.id for one in run_here(declared.values())}
    shown = [_shown(one, known.get(one.id), record, programs.get(one.id)) for one in declared.values()]
    return shown + [_left(seen, programs.get(id)) for id, seen in known.items() if id not in here]


def shown_needs(service: Service | None, record: StackRecord, observed: Observed) -> list[dict[str, str]]:
    """The resources that a service refers to: {"id", "state", "why"}; why is "" of one that is there."""
    if service is None:
        return []
    declared = declared_in(record)
    known = {seen.record.id: seen for seen in observed.resources}
    found = []
    for id in needs(service):
        resource, seen = declared.get(id), known.get(id)
        if resource is not None and resource.url is not None:
            found.append({"id": id, "state": EXTERNAL, "why": ""})
        else:
            found.append({"id": id, "state": _state(seen, record), "why": why_not(seen)})
    return found


def shown_at_rest(record: ResourceRecord) -> dict[str, Any]:
    """One of a stack that is down: only its data are there."""
    why = BY_HAND if record.stopped_at else "its stack is down; its data are kept"
    return _of_record(record, None, state="stopped", declared=False, why=why, used_by=[])


def needed_at_rest(stack: Stack, records: Iterable[ResourceRecord]) -> list[str]:
    """Before an `up`: which services of a file would wait for a resource in vain, in words. records: the stack's."""
    resting = {one.id: one for one in records if one.stopped_at or (one.launched_at is None and one.failures)}
    here = {one.id for one in run_here(stack.resources)}
    return [
        f"{service.name} needs {id}, which {at_rest(resting[id])}; start it: fairlead data start {id}"
        for service in stack.services
        for id in needs(service)
        if id in resting and id in here
    ]


def declared_in(record: StackRecord) -> dict[str, Resource]:
    """By id: of what is wanted, and, until a deployment is over, of what it replaces."""
    revisions = (record.desired, record.previous if record.under_way else None)
    found: dict[str, Resource] = {}
    for revision in revisions:
        for one in revision.stack.resources if revision else ():
            found.setdefault(one.id, one)
    return found


def used_by(id: str, record: StackRecord) -> list[str]:
    """The services that refer to it."""
    return [service.name for service in record.desired.stack.services if id in needs(service)]


def _shown(
    resource: Resource, seen: ResourceSeen | None, record: StackRecord, program: Program | None
) -> dict[str, Any]:
    users = used_by(resource.id, record)
    if resource.url is not None:
        host, port = _told(resource, resource.url)
        return _row(resource, state=EXTERNAL, host=host, port=port, used_by=users)
    if seen is None:
        return _row(resource, state=_state(None, record), host=HOST, used_by=users, settings=settings_of(resource))
    why = BY_HAND if seen.record.stopped_at else _why(seen)
    return _of_record(seen.record, program, state=state_of(seen), declared=True, why=why, used_by=users)


def _left(seen: ResourceSeen, program: Program | None) -> dict[str, Any]:
    return _of_record(seen.record, program, state=state_of(seen), declared=False, why=LEFT, used_by=[])


def _of_record(
    record: ResourceRecord, program: Program | None, *, state: str, declared: bool, why: str, used_by: list[str]
) -> dict[str, Any]:
    return _row(
        record,
        state=state,
        declared=declared,
        host=HOST,
        port=record.port,
        program=asdict(program) if program is not None else _remembered(record),
        since=record.stopped_at or (record.started_at if record.launched_at is not None else ""),
        why=why,
        used_by=used_by,
        settings=record.settings,
    )


def _row(
    of: Resource | ResourceRecord,
    *,
    state: str,
    used_by: list[str],
    declared: bool = True,
    host: str = "",
    port: int | None = None,
    program: dict[str, str] | None = None,
    since: str = "",
    why: str = "",
    settings: str = "",
) -> dict[str, Any]:
    """The keys of docs/reference/status.md, in its order."""
    return {
        "id": of.id,
        "kind": of.kind,
        "engine": of.engine,
        "state": state,
        "declared": declared,
        "host": host,
        "port": port,
        "program": program,
        "since": since,
        "why": why,
        "used_by": used_by,
        "settings": settings,
    }


def _told(resource: Resource, url: str) -> tuple[str, int | None]:
    """Where one that exists already is. References are not filled in here: a host or port that is one is not told."""
    try:
        told = addresses_of_url(resource, url)
    except UsageError:
        return "", None
    host, port = told.get("host", ""), told.get("port", "")
    return "" if "$" in host else host, int(port) if port.isdigit() and host and "$" not in host else None


def _state(seen: ResourceSeen | None, record: StackRecord) -> str:
    if seen is not None:
        return state_of(seen)
    return "starting" if record.wanted == "up" else "stopped"


def _why(seen: ResourceSeen) -> str:
    """Why it is not available, in words; "" when it is."""
    match state_of(seen):
        case "available":
            return ""
        case "stopping" | "stopped" | "failed":
            return seen.record.why
        case _:
            return seen.error or seen.clause


def _remembered(record: ResourceRecord) -> dict[str, str] | None:
    """What served last. Where it was is not told: it may not be there any more."""
    name, _, version = record.program.rpartition(" ")
    if not name:
        return None
    told = {"source": record.source, "package": record.package, "built": record.built}
    return {"name": name, "version": version, **told, "path": ""}
