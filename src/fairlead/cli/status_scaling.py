"""What the status says of an auto scaling group: bounds, policies, what holds the next change, warm pool. Pure.

In: a service of the status contract; keys that a daemon of before an upgrade lacks may be missing. Out: words and plain
lines, for `status_table` and `explain_size`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.cli.output import cell


def bounds(scaling: dict[str, Any]) -> str:
    """`2..10`, `2..10, 3 set by hand`, `2..12, the file says 2..10`."""
    by_hand = f", {cell(scaling['desired'])} set by hand" if scaling.get("by_hand") else ""
    return within(scaling) + by_hand + as_declared(scaling)


def within(scaling: dict[str, Any]) -> str:
    return f"{cell(scaling['minimum'])}..{cell(scaling['maximum'])}"


def as_declared(scaling: dict[str, Any]) -> str:
    """`, the file says 2..10`, where those are other bounds; else ""."""
    declared = scaling["declared"]
    said = within(declared)
    return f", the file says {said}" if said != within(scaling) else ""


def lines(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(label, text) of each line below the service's own; the label is "" or what the text is about."""
    scaling = service.get("scaling")
    if scaling:
        for policy in policies(scaling):
            yield "", policy
        if why := held(scaling):
            yield "held", why
        if pool := warm_pool(scaling):
            yield "warm pool", pool
    if suspended := service.get("suspended"):
        yield "suspended", processes(suspended)


def policies(scaling: dict[str, Any]) -> Iterator[str]:
    """`requests_per_target 143/s, target 100/s: wants 3 instances` of each, the wish only where it is a change."""
    for policy in scaling.get("policies") or ():
        asked = _asked(policy, scaling)
        yield cell(policy["text"]) + (
            f": wants {asked} instance{'s' if asked != 1 else ''}" if asked is not None else ""
        )


def _asked(policy: dict[str, Any], scaling: dict[str, Any]) -> int | None:
    """Another size that a policy asks for. It gets none below the minimum; what the maximum holds back is told."""
    capacity, desired = policy.get("capacity"), int(scaling["desired"])
    if not isinstance(capacity, int):
        return None
    if policy.get("wants") == "out" and capacity > desired:
        return capacity
    lower = max(capacity, int(scaling["minimum"]))
    return lower if policy.get("wants") == "in" and lower < desired else None


def held(scaling: dict[str, Any]) -> str:
    """What keeps the next change from being made; not that an idle group is at its minimum, which is no news."""
    wishes = {policy.get("wants") for policy in scaling.get("policies") or ()}
    idle = wishes and "out" not in wishes and scaling["desired"] == scaling["minimum"]
    return "" if idle else cell(scaling.get("held") or "")


def warm_pool(scaling: dict[str, Any]) -> str:
    """`2 warm`, `1 of 2 warm, 1 starting`, and when there is no room for it; "" without a pool."""
    pool = scaling.get("warm_pool") or {}
    size, ready, starting = (int(pool.get(key) or 0) for key in ("size", "ready", "starting"))
    room = max(0, int(scaling["maximum"]) - int(scaling["desired"]))
    if size and not (room or ready or starting):
        return f"empty, the group is at its maximum of {cell(scaling['maximum'])}"
    if not (size or ready or starting):
        return ""
    said = f"{ready} warm" if ready >= min(size, room) else f"{ready} of {min(size, room)} warm"
    return said + (f", {starting} starting" if starting else "")


def processes(suspended: list[Any]) -> str:
    """`Launch, Terminate`, or that all of them are."""
    from fairlead.core.suspension import PROCESSES

    return "all processes" if set(suspended) >= set(PROCESSES) else ", ".join(map(cell, suspended))
