"""What `fairlead plan` says of two revisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.desired import Revision
from fairlead.core.differences import differences
from fairlead.core.model import (
    Certificate,
    Conditions,
    Listener,
    LoadBalancerAttributes,
    Respond,
    Rule,
    Stickiness,
    Targets,
    forward_to,
)
from tests.core.builders import a_revision, a_service, a_stack

TEA = Rule(when=Conditions(paths=("/tea",)), then=Respond(status=418))
MANY = tuple(Rule(when=Conditions(paths=(f"/{number}",)), then=forward_to("web")) for number in range(8))


def with_listener(**fields: Any) -> Revision:
    listener: dict[str, Any] = {"port": 8080, "default": forward_to("web"), **fields}
    return a_revision(a_stack(a_service(), listeners=(Listener(**listener),)))


def with_service(**fields: Any) -> Revision:
    return a_revision(a_stack(a_service(**fields)))


def external(*addresses: str) -> Revision:
    made = with_service(program=Targets(addresses=addresses), instances=len(addresses))
    return replace(made, releases={})


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (with_listener(), with_listener(rules=(TEA,)), ["listener http://127.0.0.1:8080: 0 rules -> 1"]),
        (
            with_listener(rules=(TEA,)),
            with_listener(rules=(replace(TEA, then=Respond(status=200)),), default=Respond(status=404)),
            ["listener http://127.0.0.1:8080: rule 1 differs, its default differs"],
        ),
        (
            with_listener(rules=MANY),
            with_listener(rules=MANY[::-1]),
            ["listener http://127.0.0.1:8080: " + "".join(f"rule {n} differs, " for n in range(1, 6)) + "3 more rules differ"],
        ),
        (
            with_listener(protocol="HTTPS", certificates="local"),
            with_listener(protocol="HTTPS", certificates=(Certificate(file="/c", key="/k"),)),
            ["listener https://127.0.0.1:8080: its certificates differ"],
        ),
        (with_listener(), with_listener(port=8081), ["listeners: http://127.0.0.1:8080 -> http://127.0.0.1:8081"]),
        (
            with_listener(),
            replace(with_listener(), stack=replace(with_listener().stack, attributes=LoadBalancerAttributes(idle_timeout=5.0))),
            ["load_balancer.idle_timeout 60 s -> 5 s"],
        ),
        (
            with_service(),
            with_service(stickiness=Stickiness(duration=60.0)),
            ["target_group.stickiness none -> duration 60 s"],
        ),
        (with_service(instances=1), external("10.0.0.7:9000"), ["instances -> targets 10.0.0.7:9000"]),
        (
            external("10.0.0.7:9000"),
            external("10.0.0.7:9000", "10.0.0.8:9000"),
            ["targets 10.0.0.7:9000 -> targets 10.0.0.7:9000, 10.0.0.8:9000"],
        ),
        (external("10.0.0.7:9000"), external("10.0.0.7:9000"), []),
    ],
    ids=[
        "a rule more", "other answers", "many rules", "certificates", "another port", "an attribute of the balancer",
        "stickiness", "targets instead of instances", "a target more", "nothing",
    ],
)  # fmt: skip
def test_it_says_what_the_balancer_will_do_otherwise(before: Revision, after: Revision, said: list[str]) -> None:
    assert [change.what for change in differences(before, after)] == said
