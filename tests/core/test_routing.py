"""What the balancer is told of a stack: its groups, the way to each, and the openings of its instances."""

from __future__ import annotations

import pytest

from fairlead.core.model import Conditions, Forward, Listener, Redirect, Respond, Rule, forward_to
from fairlead.core.observed import Opened
from fairlead.core.routing import openings_of, way_to
from tests.core.builders import BOOT, a_record, a_service

WEB = a_service(path="/health?deep=1", host="localhost")
EVEN = Forward(weights=(("web", 1), ("api", 1)))


def a_rule(then: Forward | Redirect | Respond = forward_to("web"), **when: tuple[str, ...]) -> Rule:  # noqa: B008
    return Rule(when=Conditions(**when), then=then)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listener", "way"),
    [
        (Listener(port=1, default=forward_to("web")), ("localhost", "/health", "deep=1")),
        (Listener(port=1, default=None, rules=(a_rule(hosts=("*.a", "b.test")),)), ("b.test", "/health", "deep=1")),
        (Listener(port=1, default=Respond(status=404), rules=(a_rule(paths=("/health",)),)), ("localhost", "/health", "deep=1")),
        (Listener(port=1, default=None, rules=(a_rule(hosts=("*.a",)),)), None),
        (Listener(port=1, default=forward_to("web"), rules=(a_rule(Redirect(status=301)),)), None),
        (Listener(port=1, default=EVEN), None),
        (Listener(port=1, default=Forward(weights=(("web", 1), ("api", 0)))), ("localhost", "/health", "deep=1")),
        (Listener(port=1, default=forward_to("api")), None),
    ],
    ids=[
        "the default", "a host that a rule names", "a path that a rule names", "a host that only wildcards name",
        "a rule before it", "half of the requests", "all the weight", "another service",
    ],
)  # fmt: skip
def test_the_way_to_a_service_is_one_that_its_own_rules_leave_open(
    listener: Listener, way: tuple[str, str, str] | None
) -> None:
    found = way_to(listener, WEB)
    assert (found and (found.host, found.path, found.query)) == way


OPENED = Opened(port=9001, digest="d" * 64, boot=BOOT, until=60.0)


@pytest.mark.parametrize(
    ("opened", "state", "now", "open_"),
    [
        (OPENED, "in_service", 59.9, True),
        (OPENED, "pending", 0.0, True),
        (OPENED, "terminating", 0.0, True),
        (OPENED, "in_service", 60.0, False),
        (OPENED, "ended", 0.0, False),
        (None, "in_service", 0.0, False),
        (Opened(port=9001, digest="d" * 64, boot="another", until=60.0), "in_service", 0.0, False),
    ],
)
def test_an_opening_ends_with_its_time_its_instance_or_the_boot(
    opened: Opened | None, state: str, now: float, open_: bool
) -> None:
    found = openings_of([a_record(opened=opened, state=state)], BOOT, now)
    assert [(one.port, one.services, one.default) for one in found] == ([(9001, ("web",), None)] if open_ else [])
