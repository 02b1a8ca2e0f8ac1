"""Values to store: what a test names matters to it, the rest is filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import App, Listener, Release, Service, Stack, forward_to
from fairlead.core.observed import InstanceRecord
from fairlead.core.processes import Outcome

BOOT = "boot-1"
DAY = "2026-11-21T10:00:00Z"


def an_instance(number: int = 1, **changes: Any) -> InstanceRecord:
    record = InstanceRecord(
        stack="shop",
        service="web",
        id=f"{changes.get('service', 'web')}-{number}",
        number=number,
        release=1,
        zone="a",
        address=f"unix:/run/web-{number}.sock",
        state="pending",
        boot=BOOT,
        launched_at=100.0 + number,
        started_at=DAY,
        cause="the service wants 2 instances",
    )
    return replace(record, **changes)


def a_failed_start(number: int, **changes: Any) -> InstanceRecord:
    """It ended by itself before it passed a check."""
    fields = {
        "state": "ended",
        "failed_start": True,
        "terminating_at": 200.0 + number,
        "why": f"exited with status {number}",
        "ended_at": 201.0 + number,
        "outcome": Outcome(exit_status=number),
    }
    return an_instance(number, **fields | changes)


def a_release(number: int = 1, **changes: Any) -> Release:
    release = Release(
        service="web",
        number=number,
        fingerprint=f"sha256-{number}",
        source=f"/home/stacks/shop/releases/web/{number}/source",
        environment_folder="/home/envs/abc",
        argv=("/home/envs/abc/bin/python", "runner.py", "app:app"),
        address="unix",
        environment={"COLOUR": "blue"},
        interface="wsgi",
        created_at=DAY,
    )
    return replace(release, **changes)


def a_stack_record(name: str = "shop", **changes: Any) -> StackRecord:
    stack = Stack(
        name=name,
        path=f"/code/{name}/fairlead.yaml",
        services=(Service(name="web", program=App(target="app:app"), source=f"/code/{name}"),),
        listeners=(Listener(port=8080, default=forward_to("web")),),
        places={"services.web": "fairlead.yaml:3:3"},
    )
    record = StackRecord(
        name=name,
        wanted="up",
        desired=Revision(stack=stack, releases={"web": a_release()}),
        previous=None,
        deployment=None,
        check_token="0123456789abcdef",
    )
    return replace(record, **changes)
