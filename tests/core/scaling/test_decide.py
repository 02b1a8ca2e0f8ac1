"""The decision: which policy wins, what holds a change back, bounds, schedules, and the cause in words."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.scaling.decide import LEAST_REGRET, LONGEST_WAIT, Verdict, held_in, wait_of
from fairlead.core.scaling.group import Group, Sizes
from fairlead.core.scaling.history import History
from fairlead.core.scaling.policies import CustomMetric, Scaling

from ..builders import a_service
from .builders import (
    BOOT,
    WALL,
    a_group_of,
    a_history,
    a_scene,
    a_second,
    an_action,
    asked,
    keep,
    kept_at,
    names,
    steps,
)

HIGH, LOW = [150.0] * 3, [20.0] * 15
STEP_OUT = steps((0, None, 2), metric="requests_per_target", threshold=100.0)
STEP_IN = steps((None, 0, -1), metric="requests_per_target", threshold=50.0, comparison="below")


def held(verdict: Verdict) -> str:
    assert verdict.group is None
    assert verdict.desired == verdict.before
    assert verdict.cause == ""
    return verdict.reasons[-1]


def mixed(service: Any, *, counted: int = 4, **each: float) -> History:
    """Twenty seconds in which every metric stood still; custom metrics by their names."""
    assert service.scaling is not None
    fields = ("cpu", "memory", "requests", "outstanding")
    custom = {name: value for name, value in each.items() if name not in fields}
    history = History(service.scaling)
    for at in range(20):
        known = {name: value for name, value in each.items() if name in fields}
        history.add(a_second(at, counted, custom=custom, **known), names(counted))
    return history


def test_scale_out_says_why_with_the_numbers() -> None:
    service = a_group_of(keep(), minimum=2, maximum=10)
    verdict = asked(service, a_history(service, 120, 143, 160))
    assert (verdict.before, verdict.desired) == (2, 3)
    assert verdict.cause == (
        "requests_per_target was 143/s, above 100/s for 3 s: desired 2 -> 3 (ceil(2 x 143 / 100)), within 2..10"
    )
    sizes = Sizes(minimum=2, desired=3, maximum=10)
    assert verdict.group == Group(
        sizes=sizes, declared=service.sizes, reason=verdict.cause, at=WALL, boot=BOOT, out_at=5000.0, out_by=1
    )
    assert verdict.reasons == (verdict.cause,)


@pytest.mark.parametrize(
    ("policy", "values", "desired", "cause"),
    [
        (
            keep("cpu", 60.0), [20.0] * 15, 4,
            "cpu was at most 20%, below 54% for 15 s: desired 4 -> 2 (ceil(4 x 20 / 54)), within 1..10",
        ),
        (
            keep("cpu", 60.0), [900.0] * 15, 4,
            "cpu was 900%, above 60% for 3 s: desired 4 -> 10 (ceil(4 x 900 / 60) = 60, max is 10), within 1..10",
        ),
        (
            keep("outstanding", 5.0), [0.0] * 15, 4,
            "outstanding was at most 0, below 4.5 for 15 s: desired 4 -> 1 (ceil(4 x 0 / 4.5) = 0, min is 1), within 1..10",
        ),
        (
            STEP_OUT, [150.0] * 3, 4,
            "requests_per_target was 150/s, at or above 100/s for 3 s: desired 4 -> 6 (4 +2), within 1..10",
        ),
        (
            STEP_IN, [20.0] * 15, 4,
            "requests_per_target was 20/s, at or below 50/s for 15 s: desired 4 -> 3 (4 -1), within 1..10",
        ),
    ],
)  # fmt: skip
def test_causes(policy: Any, values: list[float], desired: int, cause: str) -> None:
    service = a_group_of(policy, desired=desired)
    assert asked(service, a_history(service, *values, counted=desired)).cause == cause


@pytest.mark.parametrize(
    ("policy", "values", "says"),
    [
        (keep("cpu", 80.0), [80.04] * 3, "cpu was 80.04%, above 80% for 3 s: desired 4 -> 5 (ceil(4 x 80.04 / 80))"),
        (keep(value=100.0), [100.3] * 3, "was 100.3/s, above 100/s for 3 s: desired 4 -> 5 (ceil(4 x 100.3 / 100))"),
        (keep(value=112.5), [140.0] * 3, "was 140/s, above 112.5/s for 3 s: desired 4 -> 5 (ceil(4 x 140 / 112.5))"),
        # Not 90: four would do for that.
        (keep(value=200.0), [90.04] * 15, "was at most 90.04/s, below 180/s for 15 s: desired 8 -> 5"),
        (keep("custom:queue", 0.0001), [0.0004] * 3, "was 0.0004, above 0.0001 for 3 s: desired 4 -> 10"),
        (steps((0, None, 1), threshold=5.001), [5.004] * 3, "was 5.004, at or above 5.001 for 3 s: desired 4 -> 5"),
        (steps((0, 10, 1), (10, None, 2), threshold=90.0), [99.96] * 3, "was 99.96, at or above 90 for 3 s: desired 4 -> 5"),
        (keep(value=0.001), [1e9] * 3, "above 0.001/s for 3 s: desired 4 -> 10 (ceil(4 x 1000000000 / 0.001) = 1000000 or more, max is 10)"),
    ],
)  # fmt: skip
def test_no_cause_contradicts_itself(policy: Any, values: list[float], says: str) -> None:
    desired = int(says.split("desired ")[1].split(" ")[0])
    service = a_group_of(policy, desired=desired)
    assert says in asked(service, a_history(service, *values, counted=desired)).cause


CAUSE = re.compile(
    r"requests_per_target was (at most )?(?P<value>[\d.]+)/s, (?P<side>above|below) (?P<level>[\d.]+)/s for .*: "
    r"desired \d+ -> (?P<desired>\d+) \(ceil\((?P<counted>\d+) x (?P<each>[\d.]+) / (?P<target>[\d.]+)\)"
    r"( = (?P<asked>\d+)(?P<more> or more)?, (max|min) is \d+)?\), within 1\.\.60"
)


@given(target=st.floats(0.01, 1e4), off=st.floats(-1e-3, 1e-3) | st.floats(-0.9, 5), counted=st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_who_checks_the_numbers_of_a_cause_finds_them_right(target: float, off: float, counted: int) -> None:
    service = a_group_of(keep(value=target), desired=counted, maximum=60)
    cause = asked(service, a_history(service, *[target * (1 + off)] * 15, counted=counted)).cause
    if not cause:
        return
    told = CAUSE.fullmatch(cause)
    assert told, cause
    value, level = float(told["value"]), float(told["level"])
    assert value > level if told["side"] == "above" else value < level, cause
    need = math.ceil(int(told["counted"]) * float(told["each"]) / float(told["target"]) - 1e-9)
    assert need == int(told["asked"] or told["desired"]), cause


def test_at_most_is_of_all_points_though_the_heaviest_was_of_more_instances() -> None:
    service = a_group_of(keep(), desired=2)
    history = History(service.scaling)
    for at in range(15):
        many = at < 5
        history.add(a_second(at, 4 if many else 2, requests=15.0 if many else 25.0), names(4 if many else 2))
    cause = asked(service, history).cause
    assert cause.startswith("requests_per_target was at most 25/s, below 90/s for 15 s: desired 2 -> 1")
    assert "(ceil(4 x 15 / 90))" in cause


def test_of_points_that_are_equal_the_newest_is_told() -> None:
    service = a_group_of(keep(), desired=3)
    history = History(service.scaling)
    for at in range(15):
        history.add(a_second(at, 1 if at < 5 else 3, requests=0.0), names(1 if at < 5 else 3))
    assert "(ceil(3 x 0 / 90) = 0, min is 1)" in asked(service, history).cause


def test_a_cause_is_for_what_woke_the_first() -> None:
    service = a_group_of(keep(), desired=0, minimum=0)
    history = History(service.scaling or Scaling())
    for at in range(3):
        history.add(replace(a_second(at), refused=5.0), (), empty=True)
    assert asked(service, history).cause == (
        "requests_per_target was 5/s, above 0/s for 3 s: desired 0 -> 1 (ceil(1 x 5 / 100)), within 0..10"
    )


def test_a_fixed_size_is_never_decided() -> None:
    service = a_group_of(keep())
    with pytest.raises(ValueError, match="fixed size"):
        asked(a_service(), a_history(service, 1.0))


@pytest.mark.parametrize("values", [[], [None] * 20, [150.0, 150.0, 150.0, None], [20.0] * 15 + [None]])
def test_unknown_changes_nothing(values: list[float | None]) -> None:
    service = a_group_of(keep(), desired=4)
    verdict = asked(service, a_history(service, *values, counted=4))
    assert (verdict.desired, verdict.group, verdict.proposals[0].wants) == (4, None, "unknown")


@pytest.mark.parametrize(
    ("policies", "metrics", "expected"),
    [
        # out: any; the largest wins
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 60, "memory": 20}, 5),
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 60, "memory": 80}, 7),
        ((keep("cpu", 50.0), STEP_OUT), {"cpu": 55, "requests": 150}, 6),
        ((keep("cpu", 50.0), STEP_OUT), {"cpu": 99, "requests": 150}, 8),
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 60}, 5),  # unknown holds nobody back
        # in: all that track; the largest wins
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 10, "memory": 20}, 2),
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 10, "memory": 46}, 4),
        ((keep("cpu", 50.0), keep("memory", 50.0)), {"cpu": 10}, 4),  # unknown is not low
        ((keep("cpu", 50.0), keep("memory", 50.0, scale_in=False)), {"cpu": 10, "memory": 46}, 4),  # it would need 5
        ((keep("cpu", 50.0), keep("memory", 50.0, scale_in=False)), {"cpu": 10, "memory": 30}, 3),
        ((keep("cpu", 50.0), keep("memory", 50.0, scale_in=False)), {"cpu": 10}, 1),
        ((keep("cpu", 50.0, scale_in=False), keep("memory", 50.0, scale_in=False)), {"cpu": 1, "memory": 1}, 4),
        # a step scales in whatever a target that is not ready says, but not below what a known one needs
        ((keep("cpu", 50.0), STEP_IN), {"requests": 20}, 3),
        ((keep("cpu", 50.0), STEP_IN), {"cpu": 10, "requests": 20}, 3),
        ((keep("cpu", 50.0), STEP_IN), {"cpu": 40, "requests": 20}, 4),
        ((keep("cpu", 50.0), STEP_IN), {"cpu": 10, "requests": 80}, 1),
        ((keep("cpu", 50.0, scale_in=False), steps((None, 0, -3), metric="custom:queue", comparison="below")),
         {"cpu": 20, "queue": 1}, 2),
    ],
)  # fmt: skip
def test_several_policies(policies: tuple[Any, ...], metrics: dict[str, float], expected: int) -> None:
    service = a_group_of(*policies, desired=4)
    assert asked(service, mixed(service, **metrics)).desired == expected


def test_who_disagrees_is_named() -> None:
    service = a_group_of(keep("cpu", 50.0), keep("memory", 50.0), desired=4)
    assert held(asked(service, mixed(service, cpu=10, memory=46))) == "memory at 50% does not agree to scale in"
    assert held(asked(service, mixed(service, cpu=10))) == (
        "memory at 50% does not agree to scale in: its metric is unknown"
    )
    service = a_group_of(keep("cpu", 50.0, scale_in=False), STEP_IN, desired=4)
    assert held(asked(service, mixed(service, cpu=40, requests=20))) == "anticipated flapping: targets need 4"
    service = a_group_of(keep("cpu", 50.0, scale_in=False), steps((None, 0, -3), comparison="below"), desired=4)
    assert "(4 -3, at least 2 for the other policies)" in asked(service, mixed(service, cpu=20, queue=1)).cause


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (a_scene(4, deploying=True), "no scale-in while a deployment is under way"),
        (a_scene(4, known=False), "no scale-in while the balancer does not answer"),
        (a_scene(3, warming=1), "no scale-in while instances start or warm up"),
        (a_scene(3, warming=1, ready_at=5007.0), "no scale-in while instances start or warm up for 7 s more"),
        (a_scene(3, ailing=1), "no scale-in while instances are unhealthy"),
    ],
)
def test_nothing_is_taken_away_meanwhile_but_added_it_is(scene: Any, why: str) -> None:
    for policy in (keep(), STEP_IN):
        service = a_group_of(policy, desired=4)
        assert held(asked(service, a_history(service, *LOW, counted=4), scene=scene)) == why
    service = a_group_of(keep(), desired=4)
    assert asked(service, a_history(service, *HIGH, counted=4), scene=scene).desired == 6


def test_at_its_bounds_it_says_so() -> None:
    service = a_group_of(keep(), desired=4, minimum=4, maximum=4)
    assert held(asked(service, a_history(service, *HIGH, counted=4))) == "it would be 6, and max is 4"
    assert asked(service, a_history(service, *LOW, counted=4)).reasons == ()  # where it is meant to be


def test_while_instances_warm_up_what_they_will_do_is_counted_already() -> None:
    service = a_group_of(keep(), desired=3)
    scene = a_scene(2, warming=1)
    assert asked(service, a_history(service, *[140.0] * 3), scene=scene).desired == 3  # ceil(2.8) are on their way
    assert asked(service, a_history(service, *[190.0] * 3), scene=scene).desired == 4


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (a_scene(4), 6),
        (a_scene(3, ailing=1), 6),
        (a_scene(3, drained=1), 6),
        (a_scene(6), 6),  # a deployment has more of them than desired
        (a_scene(3, warming=1), 5),
        (a_scene(2, warming=2), 4),
        (a_scene(2), 4),  # asked for, and not launched yet
    ],
)
def test_what_steps_count_from(scene: Any, expected: int) -> None:
    service = a_group_of(STEP_OUT, desired=4)
    history = a_history(service, *HIGH, counted=4)
    assert asked(service, history, scene=scene).desired == expected


def test_a_step_that_repeats_adds_nothing_until_what_it_added_counts() -> None:
    service = a_group_of(STEP_OUT, desired=4)
    history = a_history(service, *HIGH, counted=4)
    first = asked(service, history)
    assert first.desired == 6
    again = asked(service, history, first.group, scene=a_scene(4), now=5001.0)
    assert again.desired == 6
    assert asked(service, history, first.group, scene=a_scene(6), now=5020.0).desired == 8


def test_a_step_policy_has_a_cool_down_of_its_own() -> None:
    policy = steps((0, None, 2), metric="requests_per_target", threshold=100.0, cooldown=30.0)
    service = a_group_of(policy, desired=4)
    history = a_history(service, *HIGH, counted=4)
    first = asked(service, history).group
    assert first is not None
    assert first.stepped == {"requests_per_target above 100/s": 5000.0}
    why = held(asked(service, history, first, now=5020.0))
    assert why == "requests_per_target above 100/s waits for its cool-down, 10 s more"
    assert asked(service, history, first, now=5030.0).desired == 8


@pytest.mark.parametrize("now", [0.1, 0.3, 1e6 + 0.1, 123456.789])
def test_a_policy_that_made_no_step_waits_for_none(now: float) -> None:
    policy = steps((0, None, 2), metric="requests_per_target", threshold=100.0, cooldown=0.7)
    service = a_group_of(policy, desired=4)
    assert asked(service, a_history(service, *HIGH, counted=4), now=now).desired == 6


@pytest.mark.parametrize(("every", "now", "expected"), [(60.0, 5059.0, 3), (60.0, 5061.0, 4), (0.5, 5001.0, 4)])
def test_a_step_is_made_once_for_a_reading(every: float, now: float, expected: int) -> None:
    queue, other = CustomMetric(name="queue", url="/q", every=every), CustomMetric(name="other", url="/o", every=900)
    service = replace(a_group_of(steps((0, None, 1)), desired=2), custom_metrics=(other, queue))
    first = asked(service, a_history(service, *HIGH)).group
    verdict = asked(service, a_history(service, *HIGH), first, now=now)
    assert verdict.desired == expected
    if expected == 3:
        assert held(verdict) == "custom:queue above 50 waits for something new to be measured, 1 s more"


def test_a_step_is_made_once_for_a_datapoint() -> None:
    policy = steps((0, None, 1), period=60, scale_out_after=1)
    service = a_group_of(policy, desired=4)
    history = History(service.scaling or Scaling())
    for at in range(60):
        history.add(a_second(at, 4, custom={"queue": 70.0}), names(4))
    first = asked(service, history, scene=a_scene(4)).group
    assert first is not None
    assert first.sizes.desired == 5
    waits = held(asked(service, history, first, scene=a_scene(5), now=5030.0))
    assert waits == "custom:queue above 50 waits for something new to be measured, 30 s more"
    assert asked(service, history, first, scene=a_scene(5), now=5060.0).desired == 6


@pytest.mark.parametrize(
    ("load", "now", "expected"),
    [
        (210, 5010.0, 6),  # 7 would be 1 more, and the last was 2 more
        (235, 5010.0, 6),
        (270, 5010.0, 9),  # 3 more is larger
        (210, 5030.0, 7),  # over
    ],
)
def test_in_the_scale_out_cool_down_only_a_larger_one_is_made(load: float, now: float, expected: int) -> None:
    service = a_group_of(keep(), desired=4, maximum=20, scale_out_cooldown=30.0)
    group = kept_at(service, 6, out_at=5000.0, out_by=2)
    history = a_history(service, *[load / 2] * 3, counted=6)
    verdict = asked(service, history, group, now=now, scene=a_scene(6))
    assert verdict.desired == expected
    if expected == 6:
        assert held(verdict) == "the scale-out cool-down has 20 s left, and this is no larger than the one before"


def test_of_a_larger_step_only_the_difference_is_added() -> None:
    policy = steps((0, 50, 2), (50, None, 3), metric="requests_per_target", threshold=100.0)
    service = a_group_of(policy, desired=4, scale_out_cooldown=300.0)
    first = asked(service, a_history(service, *[120.0] * 3, counted=4)).group
    assert first is not None
    assert (first.sizes.desired, first.out_by) == (6, 2)
    same = asked(service, a_history(service, *[120.0] * 3, counted=6), first, now=5060.0)
    assert same.desired == 6
    larger = asked(service, a_history(service, *[170.0] * 3, counted=6), first, now=5060.0).group
    assert larger is not None
    assert (larger.sizes.desired, larger.out_by) == (7, 3)
    assert asked(service, a_history(service, *[170.0] * 3, counted=7), larger, now=5120.0).desired == 7
    assert asked(service, a_history(service, *[170.0] * 3, counted=7), larger, now=5360.0).desired == 10


def test_a_scale_in_waits_for_the_one_before() -> None:
    service = a_group_of(keep(), desired=4)
    history = a_history(service, *[60.0] * 15, counted=4)
    first = asked(service, history).group
    assert first is not None
    assert (first.sizes.desired, first.in_at) == (3, 5000.0)
    lower = a_history(service, *LOW, counted=3)
    assert held(asked(service, lower, first, now=5050.0)) == "the scale-in cool-down has 10 s left"
    assert asked(service, lower, first, now=5060.0).desired == 1


def test_a_scale_out_in_the_scale_in_cool_down_is_made_at_once() -> None:
    service = a_group_of(keep(), desired=4)
    group = kept_at(service, 3, in_at=5000.0)
    verdict = asked(service, a_history(service, *HIGH, counted=3), group, now=5001.0)
    assert verdict.desired == 5


def test_a_scale_in_that_had_to_be_undone_makes_the_next_wait_twice_as_long() -> None:
    service = a_group_of(keep(), desired=4)
    assert service.scaling is not None
    group = kept_at(service, 3, in_at=5000.0)
    undone = asked(service, a_history(service, *HIGH, counted=3), group, now=5060.0).group
    assert undone is not None
    assert undone.undone == 1
    assert wait_of(service.scaling, undone) == 120.0
    more = asked(service, a_history(service, *HIGH, counted=5), undone, now=5070.0).group
    assert more is not None
    assert (more.sizes.desired, more.undone) == (8, 1)  # it was undone once
    why = held_in(service.scaling, more, a_scene(8), 5100.0)
    assert why == "the scale-in cool-down has 20 s left, longer than usual: the last one had to be undone"
    assert held_in(service.scaling, more, a_scene(8), 5120.0) == ""


def test_a_scale_out_long_after_a_scale_in_undoes_nothing() -> None:
    service = a_group_of(keep(), desired=4)
    group = kept_at(service, 3, in_at=5000.0, undone=3)
    later = asked(service, a_history(service, *HIGH, counted=3), group, now=5061.0).group
    assert later is not None
    assert later.undone == 0


@pytest.mark.parametrize(
    ("undone", "cooldown", "expected"),
    [(0, 0.0, 0.0), (0, 60.0, 60.0), (1, 60.0, 120.0), (3, 60.0, 480.0), (9, 60.0, LONGEST_WAIT), (10_000, 60.0, LONGEST_WAIT),
     (1, 0.0, 60.0), (2, 1.0, 120.0)],
)  # fmt: skip
def test_how_long_a_scale_in_waits(undone: int, cooldown: float, expected: float) -> None:
    service = a_group_of(keep(), scale_in_cooldown=cooldown)
    assert service.scaling is not None
    assert wait_of(service.scaling, kept_at(service, 2, undone=undone)) == expected


def test_without_a_cool_down_what_is_undone_at_once_is_noticed() -> None:
    service = a_group_of(keep(), desired=4, scale_in_cooldown=0.0)
    group = kept_at(service, 3, in_at=5000.0)
    history = a_history(service, *HIGH, counted=3)
    soon = asked(service, history, group, now=5000.0 + LEAST_REGRET).group
    late = asked(service, history, group, now=5001.0 + LEAST_REGRET).group
    assert soon is not None
    assert late is not None
    assert (soon.undone, late.undone) == (1, 0)


def test_another_boot_forgets_cool_downs() -> None:
    service = a_group_of(keep(), desired=4)
    group = kept_at(service, 4, in_at=5000.0, boot="before", undone=3)
    assert asked(service, a_history(service, *LOW, counted=4), group, now=5001.0).desired == 1


def test_alarm_notification_suspended_ignores_policies() -> None:
    service = a_group_of(keep(), desired=2)
    scene = a_scene(suspended=frozenset({"AlarmNotification"}))
    verdict = asked(service, a_history(service, *HIGH), scene=scene)
    assert held(verdict) == "AlarmNotification is suspended: policies are ignored"
    assert verdict.desired == 2
    assert [one.wants for one in verdict.proposals] == ["out"]  # watched all the same
    assert asked(service, a_history(service, *HIGH)).desired == 3  # resumed: the breach of now counts


def test_without_policies_nothing_changes() -> None:
    service = a_group_of()
    assert asked(service, a_history(service)) == Verdict(before=2, desired=2)


@pytest.mark.parametrize(
    ("action", "expected", "told"),
    [
        ({"minimum": 4}, (4, 4, 10), "min 4: desired 2 -> 4"),
        ({"desired": 7}, (1, 7, 10), "desired 7: desired 2 -> 7"),
        ({"maximum": 1}, (1, 1, 1), "max 1: desired 2 -> 1"),
        ({"minimum": 0, "desired": 0, "maximum": 0}, (0, 0, 0), "min 0, desired 0, max 0: desired 2 -> 0"),
        ({"minimum": 2, "maximum": 5}, (2, 2, 5), "min 2, max 5"),
        ({"desired": 11}, None, "desired 11: not done, since desired must be within 1..10"),
        ({"desired": 0}, None, "desired 0: not done, since desired must be within 1..10"),
        ({"minimum": 11}, None, "min 11: not done, since min would be 11 and max 10"),
        ({"desired": 2}, None, "desired 2"),
    ],
)
def test_scheduled_actions(action: dict[str, int], expected: tuple[int, int, int] | None, told: str) -> None:
    service = a_group_of(keep())
    verdict = asked(service, a_history(service, *HIGH), due=[an_action(**action)])
    line = f"scheduled action morning (2026-01-01T08:00:00Z): {told}"
    assert verdict.scheduled == verdict.reasons == (line,)
    if expected is None:
        assert (verdict.group, verdict.cause) == (None, "")
        return
    minimum, desired, maximum = expected
    assert verdict.group is not None
    assert verdict.group.sizes == Sizes(minimum=minimum, desired=desired, maximum=maximum)
    assert verdict.cause == verdict.group.reason == (line if desired != 2 else "")
    assert verdict.group.declared == service.sizes


def test_a_schedule_ignores_cool_downs_and_takes_over_from_a_hand() -> None:
    service = a_group_of(keep(), scale_out_cooldown=600.0, scale_in_cooldown=600.0)
    group = kept_at(service, 5, by_hand=True, in_at=4999.0, out_at=4999.0, out_by=9)
    found = asked(service, a_history(service), group, due=[an_action(desired=2)]).group
    assert found is not None
    assert (found.sizes.desired, found.by_hand) == (2, False)
    kept = asked(service, a_history(service), group, due=[an_action(maximum=9)]).group
    assert kept is not None
    assert kept.by_hand


def test_scheduled_actions_run_one_after_the_other() -> None:
    service = a_group_of(keep())
    due = [an_action("first", desired=5), an_action("second", maximum=20, late=120.0)]
    verdict = asked(service, a_history(service), due=due)
    assert verdict.cause == "scheduled action first (2026-01-01T08:00:00Z): desired 5: desired 2 -> 5"
    assert verdict.scheduled[1] == "scheduled action second (2026-01-01T08:00:00Z), 2 min late: max 20"
    there_and_back = [an_action("first", desired=5), an_action("second", desired=2)]
    verdict = asked(service, a_history(service), due=there_and_back)
    assert (verdict.group, verdict.cause, len(verdict.scheduled)) == (None, "", 2)


def test_scheduled_actions_that_are_suspended_are_skipped() -> None:
    service = a_group_of(keep())
    scene = a_scene(suspended=frozenset({"ScheduledActions"}))
    verdict = asked(service, a_history(service), due=[an_action(desired=5)], scene=scene)
    told = "scheduled action morning (2026-01-01T08:00:00Z) skipped: ScheduledActions is suspended"
    assert (verdict.group, verdict.scheduled) == (None, (told,))
    only = a_scene(suspended=frozenset({"AlarmNotification"}))
    assert asked(service, a_history(service), due=[an_action(desired=5)], scene=only).desired == 5


def test_a_policy_takes_over_from_a_hand() -> None:
    service = a_group_of(keep())
    found = asked(service, a_history(service, *HIGH), kept_at(service, 2, by_hand=True)).group
    assert found is not None
    assert not found.by_hand
