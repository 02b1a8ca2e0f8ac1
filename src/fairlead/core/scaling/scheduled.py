"""Scheduled actions: sizes that hold from a time on (aws-semantics E4). Pure: whose time has come is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.core.scaling.group import Sizes
from fairlead.core.scaling.policies import ScheduledAction


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAction:
    """A scheduled action whose time has come. late: seconds that it is late, by the wall clock."""

    action: ScheduledAction
    scheduled_for: str
    """ISO 8601 UTC."""
    late: float = 0.0


def applied(sizes: Sizes, action: ScheduledAction) -> tuple[Sizes, str]:
    """The sizes after `action`, and what it asks for in words; unchanged, with the reason, when it cannot be done:
    a minimum above the maximum, or a desired capacity outside them. Without a desired capacity of its own, it is kept
    within the bounds."""
    minimum = sizes.minimum if action.minimum is None else action.minimum
    maximum = sizes.maximum if action.maximum is None else action.maximum
    asks = ", ".join(
        f"{name} {value}"
        for name, value in (("min", action.minimum), ("desired", action.desired), ("max", action.maximum))
        if value is not None
    )
    if minimum > maximum:
        return sizes, f"{asks}: not done, since min would be {minimum} and max {maximum}"
    if action.desired is not None and not minimum <= action.desired <= maximum:
        return sizes, f"{asks}: not done, since desired must be within {minimum}..{maximum}"
    desired = sizes.desired if action.desired is None else action.desired
    return Sizes(minimum=minimum, desired=min(max(desired, minimum), maximum), maximum=maximum), asks
