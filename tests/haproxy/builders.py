"""Small valid values for the balancer's tests; a test names only what it is about."""

from __future__ import annotations

from typing import Any

from fairlead.core.model import HealthCheck, Listener, Rule
from fairlead.core.traffic import Routing, Target, TargetGroup

TOKEN = "token-of-the-test"
GROUP = "shop.web"


def a_check(**changes: Any) -> HealthCheck:
    return HealthCheck(**{"path": "/health", "interval": 1.0, "timeout": 1.0, **changes})


def a_group(**changes: Any) -> TargetGroup:
    return TargetGroup(**{"name": "web", "health_check": a_check(), **changes})


def a_routing(port: int = 8080, **changes: Any) -> Routing:
    fields: dict[str, Any] = {
        "stack": "shop",
        "listeners": (Listener(port=port, default="web"),),
        "groups": (a_group(),),
        "check_token": TOKEN,
    }
    return Routing(**{**fields, **changes})


def a_guest(port: int, *hosts: str, **changes: Any) -> Routing:
    """A second stack on a port: it takes the requests for those hosts."""
    listener = Listener(port=port, default=None, rules=(Rule(forward="web", hosts=hosts),))
    return a_routing(**{"stack": "blog", "check_token": "token-of-blog", "listeners": (listener,), **changes})


def a_target(number: int = 1, **changes: Any) -> Target:
    fields = {"group": GROUP, "id": f"web-{number}", "number": number, "address": f"127.0.0.1:{20000 + number}"}
    return Target(**{**fields, **changes})
