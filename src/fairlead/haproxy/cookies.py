"""The cookies by which clients stay, as an Application Load Balancer writes them (aws-semantics A4, B4). Pure.

In: a name and a format for its value. Out: rules without their condition. Of most there are two, alike but for the
second's `SameSite=None; Secure`: that one wins when both come, since it is sent across sites, too.
"""

from __future__ import annotations

LASTING = 604_800
"""Seconds for which a browser keeps one; what a value says of its own end is its writer's affair."""

TWIN = "CORS"
"""Behind the name of the one that crosses sites."""


def written(name: str, value: str) -> list[str]:
    """`http-response` rules that give the client both."""
    return [written_alone(name, value), written_alone(f"{name}{TWIN}", value, "; SameSite=None; Secure")]


def written_alone(name: str, value: str, more: str = "") -> str:
    """The same without the twin."""
    return f'add-header Set-Cookie "{name}={value}; Expires=%[date({LASTING}),http_date]; Path=/{more}"'


def read(name: str, variable: str) -> list[tuple[str, str]]:
    """(rule, condition) for each of the two: `variable` is what the client's says, decoded."""
    twin = f"{name}{TWIN}"
    return [
        (f"set-var({variable}) req.cook({twin}),b64dec", ""),
        (f"set-var({variable}) req.cook({name}),b64dec", f"!{{ req.cook({twin}) -m found }}"),
    ]
