"""Short ways to say what a test of resources is about."""

from __future__ import annotations

from typing import Any

from fairlead.core import plan as plans
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Command, Service
from fairlead.core.observed import Observed
from fairlead.core.processes import Outcome, Process
from fairlead.core.resources.decide import decide
from fairlead.core.resources.model import Bucket, Cache, Database, Resource, identity_of, settings_of
from fairlead.core.resources.records import ResourceRecord, ResourceSeen
from tests.core.builders import BOOT, a_release, a_service, a_stack, a_wish

NOW = 1000.0

STORE = Database(id="store", engine="postgres", name="store", user="store")
SESSIONS = Cache(id="sessions", memory=64_000_000)
PHOTOS = Bucket(id="photos", name="photos")

SECTION = {"cache": "caches", "database": "databases", "bucket": "buckets"}


def a_user(name: str = "web", *uses: Resource, **fields: Any) -> Service:
    """A service whose environment refers to `uses`."""
    environment = {one.id.upper(): f"${{{SECTION[one.kind]}.{one.id}.url}}" for one in uses}
    return a_service(name, program=Command(argv=("serve",)), environment=environment, **fields)


def a_wish_for(*resources: Resource, services: tuple[Service, ...] = (), number: int = 1, **fields: Any) -> StackRecord:
    """A stack that declares `resources`; without `services` one that refers to none of them."""
    return a_wish(a_revision_with(*resources, services=services, number=number), **fields)


def a_revision_with(*resources: Resource, services: tuple[Service, ...] = (), number: int = 1) -> Revision:
    stack = a_stack(*services, resources=resources)
    return Revision(stack=stack, releases={one.name: a_release(one.name, number) for one in stack.services})


def a_resource_record(resource: Resource = STORE, **fields: Any) -> ResourceRecord:
    """Launched and available for long, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "stack": "shop",
        "id": resource.id,
        "kind": resource.kind,
        "engine": resource.engine,
        "identity": identity_of(resource),
        "port": 18000,
        "created_at": "2026-01-01T00:00:00+00:00",
        "launch": 1,
        "boot": BOOT,
        "launched_at": NOW - 600,
        "available_at": NOW - 599,
        "settings": settings_of(resource),
    }
    return ResourceRecord(**(values | fields))


def available(resource: Resource = STORE, **fields: Any) -> ResourceSeen:
    return ResourceSeen(record=a_resource_record(resource, **fields), process=Process(alive=True, pid=7), answers=True)


def beginning(resource: Resource = STORE, *, clause: str = "it recovers", **fields: Any) -> ResourceSeen:
    """Launched a moment ago; it does not answer yet."""
    record = a_resource_record(resource, **({"launched_at": NOW - 1, "available_at": None} | fields))
    return ResourceSeen(record=record, process=Process(alive=True, pid=7), clause=clause)


def silent(resource: Resource = STORE, *, since: float, **fields: Any) -> ResourceSeen:
    record = a_resource_record(resource, **fields)
    clause = "it does not answer"
    return ResourceSeen(record=record, process=Process(alive=True, pid=7), clause=clause, silent_at=since)


def hindered(resource: Resource = STORE, **fields: Any) -> ResourceSeen:
    """It answers that it cannot do all, and another start would not mend that."""
    record = a_resource_record(resource, **fields)
    return ResourceSeen(record=record, process=Process(alive=True, pid=7), clause="its disk is full", hindered=True)


def ended(resource: Resource = STORE, outcome: Outcome | None = None, **fields: Any) -> ResourceSeen:
    """Its process is gone, and that is not recorded yet."""
    process = Process(alive=False, outcome=outcome or Outcome(signal=9))
    return ResourceSeen(record=a_resource_record(resource, **fields), process=process)


def at_rest(resource: Resource = STORE, **fields: Any) -> ResourceSeen:
    """Nothing of it runs, and that is recorded."""
    return ResourceSeen(record=a_resource_record(resource, **({"launched_at": None, "available_at": None} | fields)))


def seeing(*resources: ResourceSeen, **fields: Any) -> Observed:
    return Observed(**({"boot": BOOT, "resources": resources} | fields))


def told(wanted: StackRecord, observed: Observed, now: float = NOW) -> list[str]:
    """Each action as `StartResource store`, with `(failed)` where it counts."""
    return [line(action) for action in decide(wanted, observed, now)[0]]


def line(action: plans.Action) -> str:
    name = action.resource.id if isinstance(action, plans.StartResource) else str(getattr(action, "resource", ""))
    failed = " (failed)" if isinstance(action, plans.EndResource) and action.failed else ""
    return f"{type(action).__name__} {name}{failed}".strip()


def reason(wanted: StackRecord, observed: Observed, now: float = NOW) -> str:
    """Of the only action."""
    (action,) = decide(wanted, observed, now)[0]
    return str(getattr(action, "reason", ""))


def wakes(wanted: StackRecord, observed: Observed, now: float = NOW) -> list[float]:
    return decide(wanted, observed, now)[1]
