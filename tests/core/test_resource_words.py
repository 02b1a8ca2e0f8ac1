"""Why a resource is not there, in words; and what a service that waits for it is told to wait for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.desired import StackRecord
from fairlead.core.explain import explain
from fairlead.core.observed import Observed
from fairlead.core.processes import Process
from fairlead.core.resources.model import Database
from fairlead.core.resources.records import ResourceRecord, ResourceSeen
from fairlead.core.resources.words import needed_in_vain, to_be_ready, why_not

from .builders import BOOT, a_deployment, a_revision, a_service, a_stack, a_wish

NOW = 1000.0
STORE = ResourceRecord(
    stack="shop", id="store", kind="database", engine="postgres", identity="", port=18001, created_at="", launch=1,
    boot=BOOT, launched_at=990.0, available_at=991.0,
)  # fmt: skip


def a_sighting(answers: bool = False, clause: str = "", error: str = "", **record: Any) -> ResourceSeen:
    process = Process(alive=True, pid=7)
    return ResourceSeen(record=replace(STORE, **record), process=process, answers=answers, clause=clause, error=error)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (None, "is not started yet"),
        (a_sighting(answers=True), ""),
        (a_sighting(clause="it refuses connections"), "does not answer: it refuses connections"),
        (a_sighting(available_at=None), "is starting"),
        (a_sighting(available_at=None, clause="it recovers"), "is starting: it recovers"),
        (a_sighting(available_at=None, error="there is no program"), "is starting: there is no program"),
        (a_sighting(stopping_at=999.0, why="it was stopped by hand"), "is being stopped: it was stopped by hand"),
        (a_sighting(launched_at=None, stopped_at="2026"), "was stopped by hand"),
        (a_sighting(launched_at=None, failures=2, why="exited with status 1"), "does not start: exited with status 1"),
        (a_sighting(launched_at=None, why="killed by SIGKILL"), "does not run: killed by SIGKILL"),
        (a_sighting(launched_at=None), "is not started yet"),
    ],
)
def test_why_it_is_not_there(seen: ResourceSeen | None, why: str) -> None:
    assert why_not(seen) == why


def a_wish_for_store(**deployment: Any) -> StackRecord:
    web = a_service("web", environment={"URL": "${databases.store.url}"})
    stack = replace(a_stack(web), resources=(Database(id="store", engine="postgres"),))
    return a_wish(a_revision(stack), **deployment)


def test_a_service_that_needs_it_says_so_and_waits_for_it() -> None:
    wanted = a_wish_for_store(deployment=a_deployment())
    service = wanted.desired.stack.service("web")
    observed = Observed(boot=BOOT, resources=(a_sighting(available_at=None, clause="it recovers"),))
    assert needed_in_vain(service, wanted, observed) == ("store, which is starting: it recovers",)
    told = explain(wanted, observed, NOW, "web")
    assert "it needs store, which is starting: it recovers" in told.answer
    assert told.waits == ("store, which is starting: it recovers; web is started when it answers",)
    answering = Observed(boot=BOOT, resources=(a_sighting(answers=True),))
    assert needed_in_vain(service, wanted, answering) == ()
    assert "store" not in explain(wanted, answering, NOW, "web").answer


def test_resources_are_available_and_services_healthy() -> None:
    wanted = a_wish_for_store()
    assert to_be_ready(("store",), wanted) == "store to be available"
    assert to_be_ready(("api", "db"), wanted) == "api and db to be healthy"
    assert to_be_ready(("store", "api"), wanted) == "store to be available and api to be healthy"
