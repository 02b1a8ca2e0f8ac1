"""The decision of an auto scaling group: policies, schedule and what is kept of it -> desired capacity, with reasons.

In: the service as the file declares it, its group, the datapoints, the scene, the scheduled actions that are due, and
now. Out: a `Verdict`: the capacity, why, and the group to keep. A chain of steps, each adding a line to the reasons:
schedule, proposals of the policies, the largest of them, what holds a change back, bounds. The laws:

- desired is within minimum and maximum, always;
- unknown is not low: a policy without a metric asks for nothing, and where it may scale in itself keeps the other
  targets from it;
- scale-out if any policy wants it, scale-in only if all that track a target agree; the largest capacity wins;
- nothing is taken away while instances warm up, are ill or are deployed, nor within the cool-down;
- a constant load changes the size at most once in either direction: what is left after a scale-in has room to spare
  (`proposals.LOW`), and a scale-in that had to be undone makes the next one wait twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairlead.core.model import Service
from fairlead.core.phrases import span
from fairlead.core.scaling.group import Group, Sizes, kept
from fairlead.core.scaling.history import History
from fairlead.core.scaling.policies import CUSTOM, Policy, Scaling, StepScaling, TargetTracking, level
from fairlead.core.scaling.proposals import Proposal, count_of, propose
from fairlead.core.scaling.scene import Scene
from fairlead.core.scaling.scheduled import DueAction, applied
from fairlead.core.suspension import ALARM_NOTIFICATION, SCHEDULED_ACTIONS

LONGEST_WAIT = 3600.0
"""Seconds that a scale-in waits at most after those before it had to be undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """group: what is to be kept; None: nothing has changed. cause: the activity's, with the numbers; "" when desired
    stays. reasons: a line for each step of the chain that had something to say. proposals: of every policy, in the
    order of the file."""

    before: int
    desired: int
    group: Group | None = None
    cause: str = ""
    reasons: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    scheduled: tuple[str, ...] = ()
    """What became of each scheduled action that was due, in words."""


def decide(
    service: Service,
    group: Group | None,
    history: History,
    scene: Scene,
    due: Sequence[DueAction],
    now: float,
    boot: str,
    wall: str,
) -> Verdict:
    """The verdict for `service` at `now` (monotonic seconds of `boot`; wall: ISO 8601 UTC, display only)."""
    scaling = service.scaling
    if scaling is None:
        raise ValueError(f"{service.name} has a fixed size")
    kept_group = kept(service.sizes, group, boot)
    before = kept_group.sizes
    if due:
        return _by_schedule(kept_group, scene, due, wall)
    base = _base(scaling, kept_group, scene, now)
    proposals = tuple(propose(policy, history.points(policy), before.desired, base) for policy in scaling.policies)
    chosen, reasons = _chosen(proposals, before.desired)
    if ALARM_NOTIFICATION in scene.suspended:
        # Watched all the same: what they would ask for is what whoever resumes wants to know.
        chosen, reasons = None, ("AlarmNotification is suspended: policies are ignored",) if proposals else ()
    if chosen is None:
        return Verdict(before=before.desired, desired=before.desired, reasons=reasons, proposals=proposals)
    asked = chosen.capacity or 0
    desired = min(max(asked, before.minimum), before.maximum)
    at_bound = desired == before.desired
    held = _at_bound(asked, before) if at_bound else _held(service, scaling, kept_group, scene, chosen, desired, now)
    if at_bound or held:
        reasons = (*reasons, held) if held else reasons
        return Verdict(before=before.desired, desired=before.desired, reasons=reasons, proposals=proposals)
    cause = cause_of(chosen, before, desired)
    changed = replace(kept_group, sizes=replace(before, desired=desired), by_hand=False, reason=cause, at=wall)
    changed = _remembered(scaling, changed, chosen, base, before.desired, now)
    return Verdict(
        before=before.desired, desired=desired, group=changed, cause=cause, reasons=(*reasons, cause),
        proposals=proposals,
    )  # fmt: skip


def _by_schedule(group: Group, scene: Scene, due: Sequence[DueAction], wall: str) -> Verdict:
    """One after the other, in the order of their times. Policies are asked again a second later."""
    sizes, told, cause = group.sizes, [], ""
    for one in due:
        name = f"scheduled action {one.action.name} ({one.scheduled_for})"
        if SCHEDULED_ACTIONS in scene.suspended:
            told.append(f"{name} skipped: ScheduledActions is suspended")
            continue
        after, words = applied(sizes, one.action)
        late = f", {span(one.late)} late" if one.late >= 60 else ""
        told.append(f"{name}{late}: {words}" + _difference(sizes, after))
        cause = told[-1] if after.desired != sizes.desired else cause
        sizes = after
    before = group.sizes
    if sizes == before:
        return Verdict(before=before.desired, desired=before.desired, reasons=tuple(told), scheduled=tuple(told))
    moved = sizes.desired != before.desired
    changed = replace(group, sizes=sizes)
    if moved:
        changed = replace(changed, by_hand=False, reason=cause, at=wall)
    return Verdict(
        before=before.desired, desired=sizes.desired, group=changed, cause=cause if moved else "",
        reasons=tuple(told), scheduled=tuple(told),
    )  # fmt: skip


def _base(scaling: Scaling, group: Group, scene: Scene, now: float) -> int:
    """What steps count from: those that are there, past their warm-up. What is on its way counts as added already, and
    so does what was added within the cool-down: of a larger step only the difference is added (E3, E5)."""
    there = min(group.sizes.desired, len(scene.counted) + scene.ailing + scene.drained)
    if _out_left(scaling, group, now) > 0:
        there = min(there, group.sizes.desired - group.out_by)
    return max(0, there)


def _out_left(scaling: Scaling, group: Group, now: float) -> float:
    """Seconds that are left of the scale-out cool-down."""
    return 0.0 if group.out_at is None else group.out_at + scaling.scale_out_cooldown - now


def _difference(before: Sizes, after: Sizes) -> str:
    return f": desired {before.desired} -> {after.desired}" if before.desired != after.desired else ""


def _chosen(proposals: Sequence[Proposal], desired: int) -> tuple[Proposal | None, tuple[str, ...]]:
    """The proposal that wins, if any wants a change, and what was said against others."""
    out = [one for one in proposals if one.wants == "out" and (one.capacity or 0) > desired]
    if out:
        return max(out, key=lambda one: one.capacity or 0), ()
    lower = [one for one in proposals if one.wants == "in" and one.capacity is not None and one.capacity < desired]
    if not lower:
        return None, ()
    against = [one for one in proposals if _tracks(one) and one.policy.scale_in and one not in lower]
    agreed = [one for one in lower if not (_tracks(one) and against)]
    said = tuple(f"{one.policy.name} does not agree to scale in{_why_not(one)}" for one in against)
    if not agreed:
        return None, said
    # Not below what any target needs, whoever asked for it: it would be scaled out again.
    floor = max((one.capacity or 0 for one in proposals if _tracks(one) and one.wants != "unknown"), default=0)
    winner = max(agreed, key=lambda one: one.capacity or 0)
    if floor >= desired:
        return None, (*said, f"anticipated flapping: targets need {floor}")
    if floor > (winner.capacity or 0):
        winner = replace(winner, capacity=floor, formula=f"{winner.formula}, at least {floor} for the other policies")
    return winner, said


def _why_not(proposal: Proposal) -> str:
    return ": its metric is unknown" if proposal.wants == "unknown" else ""


def _tracks(proposal: Proposal) -> bool:
    return isinstance(proposal.policy.follows, TargetTracking)


def _at_bound(asked: int, sizes: Sizes) -> str:
    """Why nothing changes although a policy asks for more (AlreadyAtMaxCapacity); "" at the minimum, where a group that
    has little to do is meant to be."""
    return f"it would be {count_of(asked)}, and max is {sizes.maximum}" if asked > sizes.desired else ""


def _held(
    service: Service, scaling: Scaling, group: Group, scene: Scene, chosen: Proposal, desired: int, now: float
) -> str:
    """What keeps a change from being made now, or ""."""
    follows, sizes = chosen.policy.follows, group.sizes
    if isinstance(follows, StepScaling) and chosen.policy.name in group.stepped:
        pause = _pause(service, chosen.policy, follows)
        left = group.stepped[chosen.policy.name] + pause - now
        if left > 0:
            what = "its cool-down" if follows.cooldown >= pause else "something new to be measured"
            return f"{chosen.policy.name} waits for {what}, {span(left)} more"
    if chosen.wants == "out":
        left = 0.0 if isinstance(follows, StepScaling) else _out_left(scaling, group, now)
        if left > 0 and desired - sizes.desired <= group.out_by:
            return f"the scale-out cool-down has {span(left)} left, and this is no larger than the one before"
        return ""
    return held_in(scaling, group, scene, now)


def _pause(service: Service, policy: Policy, step: StepScaling) -> float:
    """Seconds between two steps of a policy: its cool-down, but no datapoint and no reading twice."""
    readings = (one.every for one in service.custom_metrics if f"{CUSTOM}{one.name}" == policy.metric)
    again = max(policy.period, next(readings, 0.0))
    return max(step.cooldown, again if again > 1 else 0.0)


def held_in(scaling: Scaling, group: Group, scene: Scene, now: float) -> str:
    """What keeps any scale-in from being made now, or ""."""
    if scene.deploying:
        return "no scale-in while a deployment is under way"
    if not scene.known:
        return "no scale-in while the balancer does not answer"
    if scene.warming or scene.coming:
        until = f" for {span(scene.ready_at - now)} more" if scene.ready_at is not None else ""
        return f"no scale-in while instances start or warm up{until}"
    if scene.ailing:
        return "no scale-in while instances are unhealthy"
    left = group.in_at + wait_of(scaling, group) - now if group.in_at is not None else 0.0
    if left <= 0:
        return ""
    last = "the last one" if group.undone == 1 else f"the last {group.undone}"
    again = f", longer than usual: {last} had to be undone" if group.undone else ""
    return f"the scale-in cool-down has {span(left)} left{again}"


def wait_of(scaling: Scaling, group: Group) -> float:
    """Seconds from a scale-in to the next: the cool-down, twice as long for each that had to be undone."""
    if not group.undone:
        return scaling.scale_in_cooldown
    longest = max(policy.scale_in_after * policy.period for policy in scaling.policies)
    return min(max(scaling.scale_in_cooldown, longest, LEAST_REGRET) * 2.0 ** min(group.undone, 20), LONGEST_WAIT)


def _remembered(scaling: Scaling, group: Group, chosen: Proposal, base: int, before: int, now: float) -> Group:
    desired, steps = group.sizes.desired, isinstance(chosen.policy.follows, StepScaling)
    if steps:
        group = replace(group, stepped={**group.stepped, chosen.policy.name: now})
    if desired < before:
        return replace(group, in_at=now)
    undone, in_at = group.undone, None
    if group.in_at is not None and (group.out_at is None or group.out_at < group.in_at):
        # Not within a multiple of how long it waits meanwhile: a load that comes and goes would count as a mistake.
        soon = now - group.in_at <= max(scaling.scale_in_cooldown, LEAST_REGRET, 2 * chosen.seconds)
        undone = undone + 1 if soon else 0
    if undone:
        in_at = group.in_at  # else a scale-out ends the cool-down of scale-ins (E5)
    return replace(group, in_at=in_at, out_at=now, out_by=desired - (base if steps else before), undone=undone)


LEAST_REGRET = 30.0
"""A scale-out within so many seconds after a scale-in undoes it, and the next waits for longer, however short the
cool-down is."""


def cause_of(proposal: Proposal, sizes: Sizes, desired: int) -> str:
    """`requests_per_target was 143/s, above 100/s for 3 s: desired 2 -> 3 (ceil(2 x 143 / 100)), within 2..10`."""
    policy, follows = proposal.policy, proposal.policy.follows
    side = "above" if proposal.wants == "out" else "below"
    if isinstance(follows, StepScaling):
        side = f"at or {follows.comparison}"
    asked = proposal.capacity or 0
    clamped = "" if asked == desired else f" = {count_of(asked)}, {'max' if asked > desired else 'min'} is {desired}"
    most = "at most " if proposal.wants == "in" and not isinstance(follows, StepScaling) else ""
    return (
        f"{policy.metric} was {most}{proposal.told}, {side} {level(policy.metric, proposal.level)} "
        f"for {span(proposal.seconds)}: desired {sizes.desired} -> {desired} ({proposal.formula}{clamped}), "
        f"within {sizes.minimum}..{sizes.maximum}"
    )
