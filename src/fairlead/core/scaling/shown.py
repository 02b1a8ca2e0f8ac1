"""An auto scaling group as people see it: its sizes, why they are what they are, and what would change them.

In: the service as declared, its group, and what the last decision found. Out: a `ScalingShown`, whose fields `status`
and `explain` print. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.core.model import Service
from fairlead.core.phrases import span
from fairlead.core.scaling.alarm import AlarmState
from fairlead.core.scaling.group import Group, Sizes, present
from fairlead.core.scaling.policies import Policy, Scaling, StepScaling, TargetTracking, amount, level
from fairlead.core.scaling.proposals import LOW, Proposal, Wants


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyShown:
    """kind: `target` or `step`. level: the target, or the threshold. state: of its alarms, CloudWatch's word. capacity:
    what it asks for, or would not go below; None: unknown."""

    name: str
    metric: str
    kind: str
    level: float
    value: float | None
    state: AlarmState
    wants: Wants
    capacity: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleShown:
    """next: ISO 8601 UTC; None: it never comes."""

    name: str
    next: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShown:
    size: int
    ready: int
    starting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingShown:
    """reason, at: why and since when desired is what it is; "" while it is as the file says. held: what keeps the next
    change from being made, or "". would: sentences on what would change it."""

    minimum: int
    desired: int
    maximum: int
    declared: Sizes
    by_hand: bool
    reason: str
    at: str
    held: str
    policies: tuple[PolicyShown, ...]
    schedule: tuple[ScheduleShown, ...]
    warm_pool: PoolShown
    would: tuple[str, ...]


def shown(
    service: Service,
    group: Group | None,
    *,
    proposals: Sequence[Proposal] = (),
    held: str = "",
    schedule: Sequence[ScheduleShown] = (),
    warm: tuple[int, int] = (0, 0),
) -> ScalingShown:
    """proposals, held: of the last decision. schedule: when each action comes next. warm: how many instances of the
    warm pool are ready, and how many start."""
    sizes = present(service.sizes, group)
    scaling = service.scaling
    policies = tuple(_policy(one) for one in proposals)
    return ScalingShown(
        minimum=sizes.minimum,
        desired=sizes.desired,
        maximum=sizes.maximum,
        declared=service.sizes,
        by_hand=group is not None and group.by_hand,
        reason=group.reason if group is not None else "",
        at=group.at if group is not None else "",
        held=held,
        policies=policies,
        schedule=tuple(schedule),
        warm_pool=PoolShown(size=_pool_size(scaling, sizes), ready=warm[0], starting=warm[1]),
        would=(*(_would(one, sizes) for one in proposals), *(_coming(one) for one in schedule if one.next)),
    )


def _pool_size(scaling: Scaling | None, sizes: Sizes) -> int:
    """How many the warm pool has room for: with the others never more than the maximum."""
    return min(scaling.warm_pool, sizes.maximum - sizes.desired) if scaling else 0


def _coming(action: ScheduleShown) -> str:
    return f"the scheduled action {action.name} sets {action.text} at {action.next}"


def _policy(proposal: Proposal) -> PolicyShown:
    policy = proposal.policy
    state: AlarmState = {"unknown": "INSUFFICIENT_DATA", "hold": "OK"}.get(proposal.wants, "ALARM")  # type: ignore[assignment]
    return PolicyShown(
        name=policy.name,
        metric=policy.metric,
        kind=policy.follows.kind,
        level=policy.follows.value if isinstance(policy.follows, TargetTracking) else policy.follows.threshold,
        value=proposal.value,
        state=state,
        wants=proposal.wants,
        capacity=proposal.capacity,
        text=_text(proposal),
    )


def _text(proposal: Proposal) -> str:
    """`requests_per_target 87/s, target 100/s`."""
    policy, follows = proposal.policy, proposal.policy.follows
    now = _now(proposal)
    if isinstance(follows, TargetTracking):
        return f"{policy.metric} {now}, target {level(policy.metric, follows.value)}"
    return f"{policy.metric} {now}, steps {follows.comparison} {level(policy.metric, follows.threshold)}"


def _now(proposal: Proposal) -> str:
    """What the metric is, in as many digits as its cause would have."""
    if proposal.value is None:
        return "unknown"
    return proposal.told or amount(proposal.policy.metric, proposal.value)


def _would(proposal: Proposal, sizes: Sizes) -> str:
    policy = proposal.policy
    if proposal.value is None:
        votes = isinstance(policy.follows, TargetTracking) and policy.scale_in
        also = ", and no target lets the group scale in" if votes else ""
        return f"{policy.metric} is unknown: {policy.name} asks for nothing{also}"
    return f"{policy.metric} is {_now(proposal)}: {_limits(policy, sizes)}"


def _limits(policy: Policy, sizes: Sizes) -> str:
    follows = policy.follows
    if isinstance(follows, StepScaling):
        return f"at or {follows.comparison} {level(policy.metric, follows.threshold)} {_steps(policy, follows, sizes)}"
    out = f"above {level(policy.metric, follows.value)} for {span(policy.scale_out_after * policy.period)} scales out"
    if sizes.desired >= sizes.maximum:
        out = f"it is at its maximum, {sizes.maximum}"
    low = level(policy.metric, LOW * follows.value)
    if not policy.scale_in:
        return f"{out}; it never scales in"
    if sizes.desired <= sizes.minimum:
        return f"{out}; it is at its minimum, {sizes.minimum}"
    return f"{out}, below {low} for {span(policy.scale_in_after * policy.period)} scales in"


def _steps(policy: Policy, follows: StepScaling, sizes: Sizes) -> str:
    """`for 3 s scales out by its steps`, `for 15 s scales in by its steps`, or both: taking away asks for other
    datapoints than adding."""
    now = sizes.desired if follows.adjustment == "exact_capacity" else 0
    ways = []
    if any(step.by > now for step in follows.steps):
        ways.append(f"for {span(policy.scale_out_after * policy.period)} scales out")
    if policy.scale_in and any(step.by < now for step in follows.steps):
        ways.append(f"for {span(policy.scale_in_after * policy.period)} scales in")
    return f"{', '.join(ways)} by its steps" if ways else "changes nothing"
