"""What is kept of an auto scaling group: its sizes of now, and what the last changes were.

The file's sizes hold until a policy, a schedule or a hand changes them; they hold again, as far as they are new, when
the file's own change. Pure: `now` is monotonic seconds of `boot`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    minimum: int
    desired: int
    maximum: int

    def holds(self) -> bool:
        """Whether desired is within minimum and maximum."""
        return 0 <= self.minimum <= self.desired <= self.maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """sizes: of now. declared: what the file said when they were set. reason, at (wall clock): why and when desired
    last changed, for people."""

    sizes: Sizes
    declared: Sizes
    by_hand: bool = False
    """Desired was last set by hand; the next policy or schedule that changes it takes over."""
    reason: str = ""
    at: str = ""
    boot: str = ""
    """The boot of the seconds below; in another one they are over."""
    out_at: float | None = None
    """When a policy last scaled out, and by how many."""
    out_by: int = 0
    in_at: float | None = None
    """When a policy last scaled in; None, too, when a scale-out has ended what waits for it."""
    undone: int = 0
    """How many scale-ins in a row had to be undone: each makes the next wait twice as long."""
    stepped: Mapping[str, float] = field(default_factory=dict)
    """When each step policy (by name) last changed the size."""
    handled: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Scheduled action -> its schedule, and the last time of it that was dealt with (ISO 8601 UTC)."""


def present(declared: Sizes, group: Group | None) -> Sizes:
    """The sizes that hold. What the file has changed since they were set is the file's again; desired, which the
    policies decide, is kept within the bounds (UpdateAutoScalingGroup, aws-semantics D1)."""
    if group is None:
        return declared
    before, now = group.declared, group.sizes
    minimum = declared.minimum if declared.minimum != before.minimum else now.minimum
    maximum = declared.maximum if declared.maximum != before.maximum else now.maximum
    # Where the file says no desired capacity of its own it is its minimum: that is no wish for so few.
    follows = declared.desired == declared.minimum and before.desired == before.minimum
    desired = now.desired if declared.desired == before.desired or follows else declared.desired
    if minimum > maximum:  # one of them is the file's, the other was set by hand or by a schedule: the file's holds
        minimum, maximum = declared.minimum, declared.maximum
    return Sizes(minimum=minimum, desired=min(max(desired, minimum), maximum), maximum=maximum)


def kept(declared: Sizes, group: Group | None, boot: str) -> Group:
    """The group to change: as it is kept, with the sizes of now, and without seconds of another boot."""
    sizes = present(declared, group)
    if group is None:
        return Group(sizes=sizes, declared=declared, boot=boot)
    if group.sizes != sizes or group.declared != declared:
        group = replace(group, sizes=sizes, declared=declared)
    if group.boot == boot:
        return group
    return replace(group, boot=boot, out_at=None, in_at=None, undone=0, stepped={})


def edited(
    declared: Sizes,
    group: Group | None,
    boot: str,
    *,
    minimum: int | None = None,
    desired: int | None = None,
    maximum: int | None = None,
) -> Group:
    """The group with sizes set by hand. A desired capacity that is not given is kept within the bounds
    (UpdateAutoScalingGroup); one that is given must lie within them. ValueError says what does not fit."""
    group = kept(declared, group, boot)
    low = group.sizes.minimum if minimum is None else minimum
    high = group.sizes.maximum if maximum is None else maximum
    if low > high:
        raise ValueError(f"min would be {low}, and max {high}")
    if desired is not None and not low <= desired <= high:
        bound = f"its max is {high}" if desired > high else f"its min is {low}"
        raise ValueError(bound)
    wanted = group.sizes.desired if desired is None else desired
    return replace(group, sizes=Sizes(minimum=low, desired=min(max(wanted, low), high), maximum=high))
