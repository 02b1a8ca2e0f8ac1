"""How soon a load step is answered by more instances, cold and from the warm pool, and what a scale-in loses: fairlead
as users run it, under an open loop that is another process's.

The policy's numbers are the defaults: a datapoint a second, three of them above the target. The app's own start is its
own: the time from the beginning of its process until it listens is told apart.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.group import SERVICE, Group, a_group, moment
from bench.machine import CannotMeasure, note, wait_until
from bench.openloop import Asked, Load, Told

TRIALS = 5

FEW, MANY = 10.0, 60.0
"""Requests a second before and after the step; each is 2 ms of a core, so many are 120% of what is reserved."""

TARGETS = {"requests_per_target": 30, "cpu": "60%"}

LEAST, HALF_RATE = 4, 100.0
"""A scale-in of half: from twice as many under so many requests a second."""

BAR, POOL_GOAL = 5.0, 1.0
"""Seconds from the step (of the warm pool: from the decision) to the first request that a new instance answers, the
app's own start apart; and what is aimed at with the warm pool."""

DEADLINE = 60.0

LISTENS = re.compile(r"began ([\d.]+) listening ([\d.]+)")


@dataclass(frozen=True)
class Reaction:
    """Moments, seconds since 1970, in their order. began, listening: of the first new instance's program."""

    step: float
    decided: float
    began: float
    listening: float
    in_service: float
    answered: float

    @property
    def start(self) -> float:
        """What the app takes by itself."""
        return self.listening - self.began

    @property
    def ours(self) -> float:
        return self.answered - self.step - self.start

    @property
    def after_decision(self) -> float:
        return self.answered - self.decided


def measure() -> bool:
    """Print the tables; whether the bars were held."""
    cold = {metric: _reactions(f"cold, {metric}", metric, pool=0) for metric in TARGETS}
    warm = _reactions("warm pool", "requests_per_target", pool=1)
    told = _halved()
    print(
        f"a load step, {FEW:g} -> {MANY:g} requests/s of an open loop, target {TARGETS['requests_per_target']}/s or "
        f"{TARGETS['cpu']} of cpu, policies' defaults (1 s, 3 datapoints):\nseconds, medians of {TRIALS} and in "
        f"brackets the least and the most"
    )
    held = [_cold_table(cold), _warm_table(warm), _half_table(told)]
    return all(held)


def _cold_table(cold: Mapping[str, Sequence[Reaction]]) -> bool:
    print(f"  {'':34} " + " ".join(f"{metric:>20}" for metric in cold))
    phases: Mapping[str, Callable[[Reaction], float]] = {
        "step -> decided": lambda one: one.decided - one.step,
        "-> its process begins": lambda one: one.began - one.decided,
        "-> it listens (the app's own start)": lambda one: one.start,
        "-> in service": lambda one: one.in_service - one.listening,
        "-> first request answered by it": lambda one: one.answered - one.in_service,
        "all": lambda one: one.answered - one.step,
        "all without the app's own start": lambda one: one.ours,
    }
    for name, phase in phases.items():
        print(f"  {name:35}" + " ".join(f"{_spread([phase(one) for one in ones]):>20}" for ones in cold.values()))
    held = all(one.ours < BAR for ones in cold.values() for one in ones)
    print(f"  bar: each under {BAR:g} s and the app's own start: {'held' if held else 'MISSED'}\n")
    return held


def _warm_table(warm: Sequence[Reaction]) -> bool:
    print("the same step with an instance in the warm pool")
    print(f"  step -> decided                     {_spread([one.decided - one.step for one in warm]):>20}")
    print(f"  decided -> in service               {_spread([one.in_service - one.decided for one in warm]):>20}")
    print(f"  decided -> first request answered   {_spread([one.after_decision for one in warm]):>20}")
    worst = max(one.after_decision for one in warm)
    held = worst < BAR
    print(f"  bar: each under {BAR:g} s: {'held' if held else 'MISSED'}")
    print(f"  goal: each under {POOL_GOAL:g} s: {'reached' if worst < POOL_GOAL else 'not reached'}\n")
    return held


def _half_table(told: Told) -> bool:
    print(
        f"scale-in of half by a policy ({2 * LEAST} -> {LEAST}), {HALF_RATE:g} requests/s that take 200 ms,\n"
        f"each on a connection of its own\n  {told.sent:,} requests, lost {told.lost}"
    )
    print(f"  bar: none lost: {'held' if not told.lost else f'MISSED: {told.said}'}\n")
    return not told.lost


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def _reactions(what: str, metric: str, *, pool: int) -> list[Reaction]:
    policy = {"target": {"metric": metric, "value": TARGETS[metric]}}
    scaling = {"min": 1, "max": 4, "warm_pool": pool, "policies": [policy]}
    with a_group(scaling=scaling) as group:
        found = []
        for number in range(TRIALS):
            note(f"scaling: {what}, load step {number + 1} of {TRIALS}")
            wait_until(lambda: _is_ready(group, pool), "one serves, and the pool is full", DEADLINE)
            # Each in another part of the second: whole seconds are what is counted.
            found.append(_reaction(group, part=(number + 0.5) / TRIALS))
            _calm(group)
        return found


def _reaction(group: Group, part: float) -> Reaction:
    step = int(time.time()) + 5 + part
    last = group.last_event()
    asked = Asked(f"{group.url}/work", group.token(), FEW, MANY, step)
    with Load(asked) as load:
        wait_until(lambda: group.first("in_service", last) is not None, "another instance serves", DEADLINE)
        time.sleep(0.5)
        told = load.end()
    decided, served = group.first("scaled", last), group.first("in_service", last)
    assert served is not None
    if decided is None or decided["id"] > served["id"] or served["instance"] not in told.answered:
        raise CannotMeasure(f"this is no reaction to a step: {decided}, {served}, {told}")
    if moment(decided) < step or told.lost:
        raise CannotMeasure(f"something was decided before the step, or lost: {decided}, step {step:.3f}, {told}")
    began, listening = _listening(group, served["instance"])
    return Reaction(step, moment(decided), began, listening, moment(served), told.answered[served["instance"]])


def _calm(group: Group) -> None:
    """Back to one, by hand: the policy would wait for a minute. The last datapoints have to be low by then."""
    time.sleep(3)
    group.fairlead.scale(SERVICE, 1)


def _is_ready(group: Group, pool: int) -> bool:
    """One serves, past its warm-up; without requests its policy would have fewer."""
    service = group.service()
    states = sorted(one["state"] for one in service["instances"])
    policies = [policy["state"] for policy in service["scaling"]["policies"]]
    return states == ["in_service", *["warm"] * pool] and policies in (["OK"], ["ALARM"])


def _halved() -> Told:
    note(f"scaling: in, from {2 * LEAST} to {LEAST}")
    policy = {"target": {"metric": "requests_per_target", "value": HALF_RATE}}
    scaling = {"min": LEAST, "desired": 2 * LEAST, "max": 2 * LEAST, "policies": [policy]}
    with a_group(scaling=scaling) as group:
        asked = Asked(f"{group.url}/slow", group.token(), HALF_RATE, connections="new")
        with Load(asked) as load:
            wait_until(lambda: len(group.service()["instances"]) == LEAST, "half of them are gone", DEADLINE)
            if group.first("scaled", 0) is None:
                raise CannotMeasure("half of the instances are gone, and no policy said so")
            return load.end()


def _listening(group: Group, instance: str) -> tuple[float, float]:
    found = LISTENS.search(group.fairlead.log(instance))
    if found is None:
        raise CannotMeasure(f"{instance} did not say when it listened")
    return float(found[1]), float(found[2])
