"""Services and the resources that they need: who waits, until when, and what a deployment does about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core import plan as plans
from fairlead.core.desired import StackRecord
from fairlead.core.model import App, Command, Service, Targets
from fairlead.core.observed import Observed
from fairlead.core.reconcile import decide, waiting
from fairlead.core.resources.decide import lacking, needs
from fairlead.core.resources.records import ResourceSeen
from tests.core.builders import BOOT, a_deployment, a_service, gone, seen, serving, terminating

from .builders import (
    NOW,
    PHOTOS,
    SESSIONS,
    STORE,
    a_revision_with,
    a_user,
    a_wish_for,
    at_rest,
    available,
    beginning,
    hindered,
    silent,
)

WEB = a_user("web", STORE, instances=1)


def deploying(*services: Service, previous: bool = False) -> StackRecord:
    before = a_revision_with(services=(a_service(instances=1),)) if previous else None
    number = 2 if previous else 1
    deployment = a_deployment(began_at=NOW - 200)
    return a_wish_for(
        STORE, SESSIONS, services=services or (WEB,), number=number, previous=before, deployment=deployment
    )


def steady(*services: Service) -> StackRecord:
    return a_wish_for(STORE, SESSIONS, services=services or (WEB,))


def looking(wanted: StackRecord, *instances: Any, data: tuple[ResourceSeen, ...] = (), **fields: Any) -> Observed:
    return seen(wanted, *instances, boot=BOOT, resources=data, **fields)


def actions(wanted: StackRecord, observed: Observed) -> list[str]:
    return [type(action).__name__ for action in decide(wanted, observed, NOW).actions]


def verdict(wanted: StackRecord, observed: Observed) -> plans.GiveUp | None:
    return next((one for one in decide(wanted, observed, NOW).actions if isinstance(one, plans.GiveUp)), None)


def test_what_a_service_needs_is_what_it_refers_to() -> None:
    service = a_service(
        program=Command(argv=("x", "${caches.sessions.host}:${caches.sessions.port}", "${instance.port}")),
        environment={
            "A": "${databases.store.url} ${secrets.KEY}",
            "B": "${caches.sessions.url}",
            "C": "databases.b.url",
        },
    )
    assert needs(service) == ("sessions", "store")
    assert needs(replace(service, program=App(target="a:b"))) == ("store", "sessions")
    assert needs(replace(service, program=Targets(addresses=("127.0.0.1:1",)))) == ()


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ((), ("store",)),
        ((beginning(),), ("store",)),
        ((available(),), ()),
        ((silent(since=NOW),), ("store",)),
        ((at_rest(),), ("store",)),
        ((replace(at_rest(), answers=True),), ("store",)),
        # It answers still, and will not in a moment.
        ((available(stopping_at=NOW),), ("store",)),
        ((available(SESSIONS),), ("store",)),
    ],
)
def test_what_it_lacks_is_what_does_not_answer(data: tuple[ResourceSeen, ...], missing: tuple[str, ...]) -> None:
    wanted = steady()
    assert lacking(WEB, wanted, looking(wanted, data=data)) == missing


def test_what_exists_already_is_not_waited_for() -> None:
    wanted = a_wish_for(replace(STORE, url="postgres://db/shop"), services=(WEB,))
    assert lacking(WEB, wanted, looking(wanted)) == ()
    assert actions(wanted, looking(wanted)) == ["Launch"]


def test_data_are_started_before_those_who_need_them_and_beside_those_who_do_not() -> None:
    other = a_service("docs", instances=1)
    wanted = deploying(WEB, other)
    first = decide(wanted, looking(wanted), NOW).actions
    assert [type(one).__name__ for one in first] == ["StartResource", "StartResource", "Launch"]
    assert [one.service for one in first if isinstance(one, plans.Launch)] == ["docs"]
    assert waiting(wanted, looking(wanted), NOW) == {"web": ("store",)}
    coming = looking(wanted, data=(beginning(), available(SESSIONS)))
    assert [one.service for one in decide(wanted, coming, NOW).actions if isinstance(one, plans.Launch)] == ["docs"]
    there = looking(wanted, data=(available(), available(SESSIONS)))
    assert [one.service for one in decide(wanted, there, NOW).actions if isinstance(one, plans.Launch)] == [
        "web",
        "docs",
    ]
    assert waiting(wanted, there, NOW) == {}


def test_what_a_release_needs_before_its_first_instance_waits_for_data_too() -> None:
    service = replace(WEB, before_traffic=("migrate",))
    wanted = deploying(service)
    release = replace(wanted.desired.releases["web"], before_traffic=("migrate",))
    wanted = replace(wanted, desired=replace(wanted.desired, releases={"web": release}))
    assert "StartRun" not in actions(wanted, looking(wanted, data=(beginning(), available(SESSIONS))))
    assert "StartRun" in actions(wanted, looking(wanted, data=(available(), available(SESSIONS))))


def test_a_lost_instance_is_replaced_whatever_the_data_do() -> None:
    wanted = steady(a_user("web", STORE, instances=2))
    observed = looking(wanted, serving(1), gone(serving(2)), data=(silent(since=NOW - 1), available(SESSIONS)))
    assert "Launch" in actions(wanted, observed)


def test_when_all_are_lost_data_come_first() -> None:
    """As after a restart of the machine."""
    wanted = steady()
    observed = looking(wanted, gone(serving(1)), data=(beginning(), available(SESSIONS)))
    assert "Launch" not in actions(wanted, observed)
    assert waiting(wanted, observed, NOW) == {"web": ("store",)}


HOPELESS = [
    (at_rest(failures=3, why="exited with status 1"), "web needs store: it failed to start 3 times: exited with status 1"),
    (at_rest(stopped_at="x"), "web needs store: it was stopped by hand; start it: fairlead data start store"),
    (beginning(launched_at=NOW - 121), "web needs store: it has been starting for 2 min 1 s: it recovers"),
    (hindered(), "web needs store: its disk is full"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "why"), HOPELESS)
@pytest.mark.parametrize("previous", [False, True])
def test_a_deployment_does_not_wait_in_vain(seen: ResourceSeen, why: str, previous: bool) -> None:
    wanted = deploying(previous=previous)
    old = (serving(1, release=1),) if previous else ()
    said = verdict(wanted, looking(wanted, *old, data=(seen, available(SESSIONS))))
    assert said is not None
    assert (said.service, said.resource, said.instance, said.reason) == ("web", "store", "", why)


@pytest.mark.parametrize("seen", [beginning(), at_rest(failures=2, failed_at=NOW), silent(since=NOW - 999)])
def test_it_waits_as_long_as_there_is_hope_and_what_serves_goes_on(seen: ResourceSeen) -> None:
    wanted = deploying(previous=True)
    observed = looking(wanted, serving(1, release=1), data=(seen, available(SESSIONS)))
    assert not {"Launch", "Retire", "GiveUp", "Succeed"} & set(actions(wanted, observed))


def test_a_resource_that_nobody_of_the_file_needs_ends_no_deployment() -> None:
    wanted = deploying(a_service(instances=1))
    observed = looking(wanted, serving(1), data=(HOPELESS[0][0], available(SESSIONS)))
    assert actions(wanted, observed)[-1] == "Succeed"


def test_a_service_is_not_taken_for_a_resource_of_its_name_that_left_the_file() -> None:
    """`store` was a database, whose data stay; now a service is called so."""
    store, web = a_service("store", instances=1), a_service("web", instances=1, after=("store",))
    wanted = a_wish_for(services=(store, web), deployment=a_deployment(began_at=NOW))
    assert verdict(wanted, looking(wanted, data=(at_rest(failures=9),))) is None


@pytest.mark.parametrize(("seen", "why"), HOPELESS)
def test_without_a_deployment_what_can_do_without_it_is_started(seen: ResourceSeen, why: str) -> None:
    """A cache that does not come back must not keep a site down for ever."""
    wanted = steady()
    observed = looking(wanted, gone(serving(1)), data=(seen, available(SESSIONS)))
    assert "Launch" in actions(wanted, observed)
    assert waiting(wanted, observed, NOW) == {}


def test_patience_ends_by_itself() -> None:
    """Nothing happens in the outside when it ends, so somebody must look again."""
    wanted = steady()
    observed = looking(wanted, data=(beginning(launched_at=NOW - 20), available(SESSIONS)))
    plan = decide(wanted, observed, NOW)
    assert plan.wake_at == NOW + 100
    assert "Launch" in [type(one).__name__ for one in decide(wanted, observed, NOW + 100).actions]


def test_on_the_way_down_data_are_last() -> None:
    wanted = a_wish_for(STORE, PHOTOS, services=(WEB,), wanted="down")
    data = (available(), available(PHOTOS))
    ending = looking(wanted, terminating(1), data=data)
    assert "StopResource" not in actions(wanted, ending)
    empty = looking(wanted, data=data, routing=None)
    assert actions(wanted, empty) == ["StopResource", "StopResource"]
    half = looking(wanted, data=(at_rest(), available(PHOTOS, stopping_at=NOW)), routing=None)
    assert actions(wanted, half) == []
    over = looking(wanted, data=(at_rest(), at_rest(PHOTOS)), routing=None)
    assert actions(wanted, over) == ["Remove"]
