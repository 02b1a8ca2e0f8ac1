"""Why an auto scaling group has the size it has, as `fairlead explain` prints it below the size. Pure.

In: the answer of `explain`; one of before an upgrade, or of a service of a fixed size, has no `scaling`. Out: lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.cli.output import cell
from fairlead.cli.status_scaling import as_declared, held, policies, processes, warm_pool, within


def size_of(answer: dict[str, Any]) -> str:
    """`3, within 2..10`, with who set it; the reason has a line of its own."""
    scaling = answer.get("scaling")
    if not scaling:
        return str(answer["size"]["text"])
    by_whom = ", set by hand" if scaling.get("by_hand") else "" if scaling.get("reason") else ", as the file says"
    return f"{scaling['desired']}{by_whom}, within {within(scaling)}{as_declared(scaling)}"


def size_lines(answer: dict[str, Any]) -> Iterator[str]:
    """Reason and since when, policies, what holds a change back, schedule, pool, suspended processes."""
    scaling = answer.get("scaling")
    if scaling:
        yield from _since(scaling)
        yield from policies(scaling)
        if why := held(scaling):
            yield f"held: {why}"
        for action in scaling.get("schedule") or ():
            comes = f"next at {cell(action['next'])}" if action.get("next") else "it never comes"
            yield f"scheduled action {cell(action['name'])}: {cell(action['text'])}, {comes}"
        # Of a moment of the past only the sizes are kept; who was warm then stands among the instances.
        if answer.get("decision") is None and (pool := warm_pool(scaling)):
            yield f"warm pool: {pool}"
    if suspended := answer.get("suspended"):
        yield f"suspended: {processes(suspended)}"


def _since(scaling: dict[str, Any]) -> Iterator[str]:
    if reason := scaling.get("reason"):
        yield f"since {cell(scaling.get('at'))}: {cell(reason)}"
