"""Small valid values for the balancer's tests; a test names only what it is about."""

from __future__ import annotations

from typing import Any

from fairlead.core.model import Conditions, HealthCheck, Listener, Rule, TargetGroupAttributes, forward_to
from fairlead.core.traffic import Routing, Target, TargetGroup

TOKEN = "token-of-the-test"
GROUP = "shop.web"


def a_check(**changes: Any) -> HealthCheck:
    return HealthCheck(**{"path": "/health", "interval": 1.0, "timeout": 1.0, **changes})


def a_group(**changes: Any) -> TargetGroup:
    """Fields of the group or of its attributes."""
    attributes = {key: changes.pop(key) for key in list(changes) if key in TargetGroupAttributes.__dataclass_fields__}
    fields = {"name": "web", "health_check": a_check(), "attributes": TargetGroupAttributes(**attributes), **changes}
    return TargetGroup(**fields)


def a_rule(service: str, **conditions: Any) -> Rule:
    return Rule(when=Conditions(**conditions), then=forward_to(service))


def a_routing(port: int = 8080, **changes: Any) -> Routing:
    fields: dict[str, Any] = {
        "stack": "shop",
        "listeners": (Listener(port=port, default=forward_to("web")),),
        "groups": (a_group(),),
        "check_token": TOKEN,
    }
    return Routing(**{**fields, **changes})


def a_guest(port: int, *hosts: str, **changes: Any) -> Routing:
    """A second stack on a port: it takes the requests for those hosts."""
    listener = Listener(port=port, default=None, rules=(a_rule("web", hosts=hosts),))
    return a_routing(**{"stack": "blog", "check_token": "token-of-blog", "listeners": (listener,), **changes})


def a_target(number: int = 1, **changes: Any) -> Target:
    fields = {"group": GROUP, "id": f"web-{number}", "number": number, "address": f"127.0.0.1:{20000 + number}"}
    return Target(**{**fields, **changes})
