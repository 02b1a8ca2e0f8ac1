"""The instance is chosen as meant, and everything is put back as it was, whatever happens."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.drill.subject import Subject, changed, chosen, cpu_targets, opened, start_time
from fairlead.errors import FairleadError, NotFound, UsageError
from tests.drill.daemons import TOKEN, FakeDaemon, a_service, a_stack, an_instance, in_service

GROUP = {
    "policies": [
        {"metric": "cpu", "kind": "target", "level": 80.0},
        {"metric": "requests_per_target", "kind": "target", "level": 100.0},
        {"metric": "cpu", "kind": "step", "level": 90.0},
    ]
}


def test_the_only_service_and_its_first_healthy_instance_are_meant() -> None:
    sick, well = an_instance("web-1", health="unhealthy"), an_instance("web-2", pid=12)
    stack = a_stack(a_service(instances=[sick, well]), a_service("worker", serves=False))
    assert chosen(stack, None, None) == Subject(
        stack="shop", service="web", instance="web-2", pid=12, cpu_reserved=0.5, suspends=False
    )


def test_a_service_and_an_instance_can_be_named() -> None:
    stack = a_stack(a_service(), a_service("api", [an_instance("api-1"), an_instance("api-2", health="unused")]))
    assert chosen(stack, "api", None).instance == "api-1"
    # Drained by hand, so that it has no other requests.
    assert chosen(stack, None, "api-2").service == "api"
    assert chosen(stack, "api", "api-2").instance == "api-2"


@pytest.mark.parametrize(
    ("stack", "service", "instance", "kind", "said"),
    [
        (a_stack(), "nosuch", None, NotFound, "there is no service 'nosuch': stack 'shop' has web"),
        (a_stack(), None, "web-9", NotFound, "there is no instance 'web-9': stack 'shop' has none of that name"),
        (a_stack(a_service(), a_service("api")), "api", "web-1", NotFound, "service 'api' has none of that name"),
        (a_stack(a_service(), a_service("api")), None, None, UsageError, "which service is meant: there are web, api"),
        (a_stack(a_service(serves=False)), "web", None, UsageError, "it is a worker"),
        (a_stack(a_service(instances=[an_instance(health="initial")])), None, None, UsageError, "no instance of web is healthy"),
        (a_stack(a_service(instances=[an_instance(state="pending")])), None, "web-1", UsageError, "it is pending"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    stack: dict[str, Any], service: str | None, instance: str | None, kind: type[FairleadError], said: str
) -> None:
    with pytest.raises(kind) as refused:
        chosen(stack, service, instance)
    assert said in refused.value.sentence


def test_the_cpu_targets_of_a_group_are_known_once_it_was_judged() -> None:
    stack = a_stack(a_service(scaling=GROUP), a_service("api"), a_service("new", scaling={"policies": []}))
    assert [cpu_targets(stack, name) for name in ("web", "api", "new")] == [(0.8,), (), ()]


def test_a_group_is_suspended_unless_it_is_already() -> None:
    assert chosen(a_stack(a_service(scaling=GROUP)), None, None).suspends
    assert not chosen(a_stack(a_service(scaling=GROUP, suspended=["AlarmNotification"])), None, None).suspends


def test_a_daemon_of_another_version_may_say_less() -> None:
    service = a_service()
    for key in ("resources", "scaling", "suspended", "serves"):
        del service[key]
    found = chosen(a_stack(service), None, None)
    assert (found.cpu_reserved, found.suspends) == (None, False)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (an_instance(), ""),
        (an_instance(health="unhealthy"), ""),
        (an_instance(pid=1), "web-1 was started anew"),
        (an_instance(state="terminating"), "web-1 is terminating now"),
        (an_instance("web-2"), "web-1 has ended"),
    ],
)
def test_an_instance_that_is_another_one_now_is_noticed(now: dict[str, Any], said: str) -> None:
    subject = chosen(a_stack(), None, None)
    assert changed(subject, a_stack(a_service(instances=[now]))) == said


def test_the_time_to_start_is_its_own_or_that_of_the_newest_other_one() -> None:
    subject = chosen(a_stack(), None, None)
    events = [
        in_service("web-1", 3.5),
        in_service("web-1", 1.2),
        in_service("web-2", 9.0),
        in_service("api-1", 7.0, "api"),
    ]
    assert start_time(events, subject) == 1.2
    assert start_time([in_service("web-2", 9.0), in_service("web-3", 8.0)], subject) == 8.0
    assert (
        start_time([in_service("api-1", 7.0, "api"), {**in_service("web-1", 1.0), "kind": "launched"}], subject) is None
    )
    assert start_time([{**in_service("web-1", 1.0), "text": "web-1 in service"}], subject) is None


async def drilled(daemon: FakeDaemon, fault: Exception | None = None) -> list[str]:
    """What was told while the instance was open."""
    told: list[str] = []
    try:
        async with opened(daemon, chosen(daemon.stack, None, None), 60, told.append) as door:
            daemon.asked.append(f"load to {door.base} with {', '.join(door.headers)}")
            assert door.headers == {"X-Fairlead-Open": TOKEN}
            if fault:
                raise fault
    except FairleadError as error:
        told.append(error.sentence)
    assert TOKEN not in " ".join([*told, *daemon.asked])
    return told


GROUPED = a_stack(a_service(scaling=GROUP))
PUT_BACK = [
    "suspend shop web AlarmNotification", "open shop web-1", "load to http://127.0.0.1:1 with X-Fairlead-Open",
    "close shop web-1", "resume shop web AlarmNotification",
]  # fmt: skip


@pytest.mark.parametrize("fault", [None, FairleadError("it broke")], ids=["as planned", "after a fault"])
async def test_what_was_opened_is_closed_and_what_was_suspended_resumed(fault: Exception | None) -> None:
    daemon = FakeDaemon(stack=GROUPED)
    await drilled(daemon, fault)
    assert daemon.asked == PUT_BACK


async def test_a_service_of_a_fixed_size_has_nothing_to_suspend() -> None:
    daemon = FakeDaemon()
    await drilled(daemon)
    assert daemon.changes() == ["open shop web-1", "close shop web-1"]


@pytest.mark.parametrize(
    ("refused", "asked"),
    [
        ("suspend", ["suspend shop web AlarmNotification", "resume shop web AlarmNotification"]),
        ("open", [*PUT_BACK[:2], *PUT_BACK[3:]]),
    ],
)
async def test_what_may_have_been_done_before_it_failed_is_undone_too(refused: str, asked: list[str]) -> None:
    daemon = FakeDaemon(stack=GROUPED, refuses={refused})
    assert f"{refused} failed: told to" in await drilled(daemon)
    assert daemon.asked == asked


async def test_an_opening_of_somebody_else_ends_and_that_is_told() -> None:
    opening = {"port": 40001, "until": "2026-11-21T11:00:00Z"}
    told = await drilled(FakeDaemon(stack=a_stack(a_service(instances=[an_instance(opened=opening)]))))
    assert told == ["web-1 was open already: its URL of before works no longer"]


async def test_an_instance_that_has_ended_needs_no_closing() -> None:
    assert await drilled(FakeDaemon(gone=True)) == []


async def test_what_cannot_be_undone_is_told_with_what_to_do_and_the_rest_is_undone() -> None:
    daemon = FakeDaemon(stack=GROUPED, refuses={"close"})
    told = await drilled(daemon)
    assert daemon.asked == PUT_BACK
    assert told[-1] == "left undone (close failed: told to); do it by hand: fairlead instance close web-1 --stack shop"
