"""Known histories of a service under a load, and the laws that hold under any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import UsageError
from fairlead.simulate.app import App
from fairlead.simulate.load import Load, Piece, Recording
from fairlead.simulate.result import REGRET
from fairlead.simulate.run import run
from fairlead.spec import parse_text

from .builders import APP, BEGAN, TRACKING, a_stack, changes, simulated

# Known histories


def test_a_constant_load_within_the_target_changes_nothing() -> None:
    result = simulated("constant:100/10m")
    assert result.decisions == ()
    assert set(result.columns["serving"]) == {2}
    assert (result.summary.requests, result.summary.served) == (60_000, 60_000)
    assert result.summary.over_target == {"requests_per_target at 70/s": 0}
    assert result.summary.instance_hours == pytest.approx(2 / 6)


def test_a_ramp_is_followed_one_instance_at_a_time() -> None:
    result = simulated("ramp:0-500/5m")
    assert [(before, desired) for _, before, desired in changes(result)] == [(n, n + 1) for n in range(2, 8)]
    # 70/s for each of two is passed at 84 s; three datapoints later it is acted on.
    assert changes(result)[0][0] == 87
    assert result.decisions[0].cause == (
        "requests_per_target was 71.2/s, above 70/s for 3 s: desired 2 -> 3 (ceil(2 x 71.2 / 70)), within 2..10"
    )
    assert result.summary.queued == 0


def test_a_step_is_answered_at_once_with_all_that_it_takes() -> None:
    result = simulated("step:50-500/10m")
    assert changes(result) == [(303, 2, 8)]
    assert list(result.columns["serving"][300:308]) == [2, 2, 2, 2, 2, 8, 8, 8]
    assert list(result.columns["existing"][300:306]) == [2, 2, 2, 8, 8, 8]
    # Two answer 200/s of 500/s until the others are up.
    assert list(result.columns["waiting"][300:305]) == [300, 600, 900, 1200, 1500]
    assert result.summary.over_target["requests_per_target at 70/s"] == 5
    assert result.summary.served == result.summary.requests


def test_the_start_time_and_the_warm_pool_show() -> None:
    pooled = a_stack("{min: 2, max: 10, warm_pool: 6, policies: [{target: {metric: requests_per_target, value: 70}}]}")
    slow, warm = simulated("step:50-500/10m", app=replace(APP, start_time=20)), simulated("step:50-500/10m", pooled)
    assert [list(one.columns["serving"]).index(8) for one in (slow, warm)] == [323, 303]
    assert warm.summary.instance_hours > simulated("step:50-500/10m").summary.instance_hours
    assert warm.summary.most_instances == 10


def test_instances_return_to_the_warm_pool_when_that_is_asked_for() -> None:
    group = (
        "{{min: 2, max: 6, warm_pool: 2, reuse_on_scale_in: {}, policies: [{{target: {{metric: cpu, value: 50%}}}}]}}"
    )
    load = "constant:50/1m,constant:300/3m,constant:50/3m,constant:300/1m"
    kept, ended = (simulated(load, a_stack(group.format(reuse))) for reuse in ("true", "false"))
    assert changes(kept)[:2] == changes(ended)[:2]
    assert kept.summary.cut == ended.summary.cut == 0
    assert kept.summary.most_instances <= 6


def test_a_spike_leads_up_and_down_again() -> None:
    result = simulated("spike:50-600/20m")
    # It is from 540 to 660; three datapoints lead up, fifteen down.
    assert changes(result) == [(543, 2, 9), (675, 9, 2)]
    assert result.summary.flaps == 0


def test_a_sine_is_followed_up_and_down_without_flapping() -> None:
    result = simulated("sine:20-600/2h+jitter:5%")
    assert result.summary.scale_outs >= 6 <= result.summary.scale_ins
    assert result.summary.flaps == 0
    assert result.summary.over_any < 300
    assert result.summary.most_instances in (9, 10)


def test_at_its_maximum_it_says_for_how_long_the_target_is_missed() -> None:
    small = a_stack("{min: 1, max: 2, policies: [{target: {metric: cpu, value: 50%}}]}")
    found = simulated("constant:150/5m", small).summary
    assert found.most_instances == 2
    assert found.at_maximum >= 290 <= found.over_any
    assert simulated("constant:400/5m", small).summary.timed_out > 0


def test_what_is_unknown_is_no_zero() -> None:
    values = (*[100.0] * 60, *[None] * 120, *[100.0] * 60)
    result = simulated(Load(pieces=(Recording(values=values),)))
    assert result.decisions == ()
    assert result.summary.unknown == 120
    assert result.summary.requests == 12_000
    assert result.notes == ("of 2 min nobody knows what came: nothing is decided by these",)
    zero = Load(pieces=(Recording(values=tuple(value or 0.0 for value in values)),))
    three = a_stack("{min: 1, desired: 3, max: 4, policies: [{target: {metric: cpu, value: 50%}}]}")
    assert changes(simulated(zero, three)) != changes(simulated(Load(pieces=(Recording(values=values),)), three))


def test_a_schedule_acts_on_the_virtual_clock() -> None:
    scaling = (
        "{min: 2, max: 10, policies: [{target: {metric: cpu, value: 60%}}],"
        " schedule: [{name: morning, cron: '0 8 * * mon-fri', timezone: Europe/Berlin, min: 4},"
        " {name: night, cron: '0 20 * * *', timezone: UTC, min: 1}]}"
    )
    morning = BEGAN + 7 * 3600 - 60
    friday = simulated("constant:100/3m", a_stack(scaling), began=morning)
    assert changes(friday) == [(60, 2, 4)]
    assert friday.decisions[0].cause == "scheduled action morning (2026-11-27T07:00:00Z): min 4: desired 2 -> 4"
    night = simulated("constant:100/3m", a_stack(scaling), began=BEGAN + 20 * 3600 - 60)
    assert [(one.second, one.before, one.desired) for one in night.decisions] == [(60, 2, 2)]
    assert night.decisions[0].cause.endswith(": min 1")
    assert simulated("constant:100/3m", a_stack(scaling), began=morning + 86400).decisions == ()
    # A time of the very second at which it begins counts.
    begins = simulated("constant:100/1m", a_stack(scaling), began=BEGAN + 7 * 3600)
    assert changes(begins)[0] == (1, 2, 4)


def test_actions_of_one_moment_come_in_the_order_of_the_file_as_in_the_daemon() -> None:
    more, fewer = ("{{name: {}, cron: '1 0 * * *', min: 5}}", "{{name: {}, cron: '1 0 * * *', min: 1, max: 3}}")

    def desired(first: str, second: str) -> list[int]:
        group = f"{{min: 1, max: 8, schedule: [{first.format('z')}, {second.format('a')}]}}"
        return [one.desired for one in simulated("constant:10/2m", a_stack(group)).decisions]

    assert desired(more, fewer) == [3]
    # This way round the second is refused: a minimum of 5 above a maximum of 3.
    assert desired(fewer, more) == [1]


def test_a_latency_policy_scales_by_the_model_of_a_queue() -> None:
    group = "{min: 1, max: 8, policies: [{target: {metric: latency_p95, value: 100ms}}]}"
    result = simulated("ramp:10-300/10m", a_stack(group))
    assert result.summary.scale_outs >= 2
    assert result.decisions[0].cause.startswith("latency_p95 was ")


def test_a_program_that_starts_too_slowly_never_serves_and_that_is_said() -> None:
    result = simulated("constant:300/3m", app=replace(APP, start_time=40))
    assert result.summary.failed_starts > 0
    assert result.summary.least_serving == 2
    assert "passed no check within the grace period of 30 s: a start takes 40 s" in result.notes[0]


def test_a_fixed_size_stays_and_says_so() -> None:
    stack = parse_text("name: shop\nservices: {web: {app: 'app:app', instances: 3}}\n", "/x/f.yaml", {})
    result = simulated("constant:500/1m", stack)
    assert (result.decisions, set(result.columns["desired"])) == ((), {3})
    assert result.notes == ("web has a fixed size of 3: without `scaling:` nothing changes it",)
    assert result.summary.queued > 0


def test_policies_on_what_is_not_simulated_are_named() -> None:
    text = (
        "{min: 1, max: 3, policies: [{target: {metric: memory, value: 50%}},"
        " {step: {metric: 'custom:queue', threshold: 3, steps: [{from: 0, by: 1}]}}]}"
    )
    more = "custom_metrics: {queue: {command: 'true'}}, target_group: {slow_start: 30s}, max_memory: 1GB"
    result = simulated("constant:500/1m", a_stack(text, more))
    assert result.decisions == ()
    assert result.notes == (
        "memory at 50% is left out, as if it were not in the file: memory is not simulated",
        "custom:queue above 3 is left out, as if it were not in the file: what a program of yours says is not simulated",
        "no policy of web is left: nothing changes its size",
        "slow_start is not simulated: a new instance gets its full share at once",
        "max_memory is not simulated",
    )
    assert result.summary.over_target == {"memory at 50%": None}


def test_a_policy_on_what_is_not_simulated_keeps_no_other_from_scaling_in() -> None:
    """Its metric is never known, and unknown is not low: in the daemon it would be, one day."""
    others = "{target: {metric: memory, value: 50%}}, {target: {metric: 'custom:queue', value: 3}}"
    metrics = "custom_metrics: {queue: {command: 'true'}}"
    stack = a_stack(f"{{min: 2, max: 10, policies: [{TRACKING[1:-1]}, {others}]}}", metrics)
    load = "step:500-100/5m"
    result, alone = simulated(load, stack), simulated(load)
    assert result.decisions == alone.decisions
    assert result.summary.scale_ins > 0
    assert set(result.summary.over_target) == {"requests_per_target at 70/s", "memory at 50%", "custom:queue at 3"}


def test_other_services_jobs_data_and_preparations_play_no_part() -> None:
    text = """
name: shop
databases: {store: {engine: postgres}}
services:
  web:
    app: "app:app"
    secrets: [KEY]
    environment: {DATABASE_URL: "${databases.store.url}"}
    before_traffic: "true"
    after: [db]
    scaling: {min: 2, max: 4, policies: [{target: {metric: cpu, value: 50%}}]}
  db: {command: "true", port: none}
  old: {targets: ["127.0.0.1:9"]}
jobs: {nightly: {service: web, command: "true", cron: "* * * * *"}}
load_balancer: {listeners: [{port: 8080, default: {forward: {web: 50, old: 50}}}]}
"""
    stack = parse_text(text, "/x/f.yaml", {})
    assert simulated("constant:10/2m", stack).summary.least_serving == 2
    for name, why in (("db", "it serves no requests"), ("old", "its targets are not started by fairlead")):
        with pytest.raises(UsageError, match=why):
            run(stack, name, Load(pieces=()), APP, began=BEGAN)


def test_without_health_checks_instances_are_admitted_after_a_second() -> None:
    result = simulated("step:50-500/2m", a_stack(more="health_check: {enabled: false}"))
    assert list(result.columns["serving"]).index(8) in (64, 65)


def test_instances_that_are_old_are_replaced_and_nothing_is_lost() -> None:
    result = simulated("constant:100/20m", a_stack(more="max_lifetime: 5m"))
    assert result.summary.served == result.summary.requests
    assert result.summary.least_serving == 2
    assert result.summary.most_instances == 3
    assert result.summary.cut == 0


def test_an_empty_load_is_an_empty_result() -> None:
    found = simulated(Load(pieces=())).summary
    assert (found.seconds, found.requests, found.p95_worst, found.cpu_mean) == (0, 0, None, None)


def test_a_timeline_is_folded_into_periods() -> None:
    result = simulated("step:50-500/10m")
    told = result.to_json(60)
    assert told["timeline"]["load"] == [50] * 5 + [500] * 5
    assert told["timeline"]["desired"] == [2] * 5 + [8] * 5
    assert told["timeline"]["waiting"][5] == 1500
    assert told["summary"]["requests"] == 165_000
    gap = simulated(Load(pieces=(Recording(values=(None, None, 5.0, None)),))).to_json(2)
    assert gap["timeline"]["load"] == [None, 5]
    assert gap["timeline"]["p95"][0] is None


# Laws

shapes = st.builds(
    Piece,
    shape=st.sampled_from(["constant", "ramp", "step", "spike", "sine"]),
    first=st.floats(0, 2000),
    last=st.floats(0, 2000),
    seconds=st.integers(1, 60),
    jitter=st.sampled_from([0.0, 0.05, 0.5]),
)
gaps = st.builds(Recording, values=st.lists(st.none() | st.floats(0, 2000), min_size=1, max_size=40).map(tuple))
loads = st.lists(shapes | gaps, min_size=1, max_size=4).map(lambda pieces: Load(pieces=tuple(pieces)))


SHARED = (("cpu", "50%"), ("requests_per_target", "60"))
"""Metrics that half as many instances have twice of."""

QUEUED = (("outstanding", "3"), ("latency_p95", "200ms"))
"""Metrics that follow from a queue: nobody can tell what fewer instances would have."""


@st.composite
def groups(draw: st.DrawFn, metrics: Sequence[tuple[str, str]] = SHARED + QUEUED) -> str:
    least = draw(st.integers(1, 4))
    most = draw(st.integers(least, 12))
    fields: dict[str, Any] = {
        "min": least, "max": most, "desired": draw(st.integers(least, most)), "warm_up": f"{draw(st.integers(0, 20))}s",
        "warm_pool": draw(st.integers(0, most - least)),
        "scale_in_cooldown": f"{draw(st.integers(0, 90))}s",
    }  # fmt: skip
    if fields["warm_pool"]:
        fields["reuse_on_scale_in"] = str(draw(st.booleans())).lower()
    metric, value = draw(st.sampled_from(metrics))
    policy = f"{{target: {{metric: {metric}, value: {value}}}, scale_in_after: {draw(st.integers(2, 20))}}}"
    return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items())}, policies: [{policy}]}}"


@settings(max_examples=30, deadline=None)
@given(loads, groups(), st.floats(0, 40), st.integers(1, 5))
def test_whatever_comes_the_bounds_hold(load: Load, group: str, start_time: float, seed: int) -> None:
    app = App(capacity=100, service_time=0.05, start_time=start_time)
    stack = a_stack(group)
    result = simulated(load, stack, app, seed=seed)
    found = result.summary
    assert found.most_instances <= result.maximum or result.maximum == 1
    assert all(result.minimum <= desired <= result.maximum for desired in result.columns["desired"])
    assert found.served <= found.requests + 1e-6
    waiting = result.columns["waiting"][-1] if len(result.columns["waiting"]) else 0.0
    if waiting == waiting:
        lost = found.timed_out + found.refused + found.cut
        assert found.served + lost + waiting == pytest.approx(found.requests, rel=1e-6, abs=1e-3)
    assert found.instance_hours >= result.minimum * found.seconds / 3600 - 1e-9
    assert found.least_serving >= min(result.minimum, found.least_serving)
    assert found.seconds == load.seconds == len(result.columns["load"])


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 900), groups(SHARED))
def test_a_constant_load_never_flaps(rate: float, group: str) -> None:
    result = simulated(constantly(rate, 400), a_stack(group))
    assert result.summary.flaps == 0
    directions = [one.desired > one.before for one in result.decisions]
    assert sum(1 for one, other in pairwise(directions) if one != other) <= 1


@settings(max_examples=12, deadline=None)
@given(st.floats(0, 900), groups(QUEUED))
def test_what_cannot_be_foreseen_flaps_ever_more_rarely(rate: float, group: str) -> None:
    """Each scale-in that had to be undone makes the next wait twice as long."""
    result = simulated(constantly(rate, 400), a_stack(group))
    assert result.summary.flaps <= 8
    undone = [one.second for one in result.decisions if one.undoes]
    assert [b - a for a, b in pairwise(undone)] == sorted(b - a for a, b in pairwise(undone))


def test_a_latency_that_jumps_with_one_instance_less_shows_as_flapping() -> None:
    group = (
        "{min: 1, max: 2, warm_up: 0s, scale_in_cooldown: 0s,"
        " policies: [{target: {metric: latency_p95, value: 200ms}, scale_in_after: 2}]}"
    )
    assert simulated(constantly(85, 400), a_stack(group)).summary.flaps >= 2


def constantly(rate: float, seconds: int) -> Load:
    return Load(pieces=(Piece(shape="constant", first=rate, last=rate, seconds=seconds),))


@settings(max_examples=6, deadline=None)
@given(loads, groups(), st.integers(1, 5))
def test_the_same_again_is_the_same(load: Load, group: str, seed: int) -> None:
    def told() -> Any:
        return simulated(load, a_stack(group), seed=seed).to_json(10)

    assert told() == told()


def test_a_scale_in_that_is_taken_back_soon_is_counted() -> None:
    """The rule by itself: a policy that is made to flap."""
    quick = a_stack(
        "{min: 1, max: 10, warm_up: 0s, scale_in_cooldown: 0s,"
        " policies: [{target: {metric: cpu, value: 50%}, scale_out_after: 1, scale_in_after: 1}]}"
    )
    low_and_high = ",".join(["constant:300/20s", "constant:40/20s"] * 4)
    result = simulated(low_and_high, quick)
    assert result.summary.flaps >= 1
    undone = next(one for one in result.decisions if one.undoes)
    earlier = [one for one in result.decisions if one.second < undone.second and one.desired < one.before]
    assert undone.desired - earlier[-1].desired >= (earlier[-1].before - earlier[-1].desired) / 2
    assert undone.second - earlier[-1].second <= REGRET
    assert result.summary.flaps <= len(earlier) + 3


def test_a_day_of_a_million_requests_a_second_is_the_work_of_its_seconds() -> None:
    """The rate does not matter: what is counted is seconds and instances."""
    thousandfold = a_stack("{min: 2, max: 10, policies: [{target: {metric: requests_per_target, value: 70000}}]}")
    few = simulated("step:50-500/10m")
    many = simulated("step:50k-500k/10m", thousandfold, replace(APP, capacity=100_000))
    assert changes(few) == changes(many)
    assert many.summary.requests == 1000 * few.summary.requests


def test_an_instance_that_leaves_finishes_what_is_inside_and_is_gone_then() -> None:
    three = a_stack("{min: 1, desired: 3, max: 4, policies: [{target: {metric: cpu, value: 50%}}]}")
    quick = simulated("constant:10/1m", three)
    out = quick.decisions[0].second
    assert list(quick.columns["existing"])[out - 1 : out + 2] == [3, 3, 1]
    slow = simulated("constant:10/1m", three, replace(APP, service_time=5))
    out = slow.decisions[0].second
    assert list(slow.columns["existing"])[out : out + 6] == [3, 3, 3, 3, 3, 1]
    assert slow.summary.cut == 0


@pytest.mark.parametrize("pool", ["", "warm_pool: 2, reuse_on_scale_in: true, "])
def test_a_backlog_that_outlasts_the_deregistration_delay_is_cut_off(pool: str) -> None:
    """A load that ends at once leaves a queue of almost a minute in each, and the delay is ten seconds: also of those
    that return to the warm pool and live on."""
    hasty = (
        f"{{min: 1, desired: 3, max: 3, {pool}policies: [{{target: {{metric: requests_per_target, value: 1000}},"
        " scale_in_after: 42}]}"
    )
    stack = a_stack(hasty, "target_group: {deregistration_delay: 10s}")
    result = simulated("constant:900/40s,constant:0/40s", stack)
    assert result.summary.cut > 0
    waiting = result.columns["waiting"][-1]
    found = result.summary
    assert found.served + found.cut + found.timed_out + waiting == pytest.approx(found.requests)


def test_a_group_that_shrank_to_nothing_comes_back_when_somebody_asks() -> None:
    nothing = a_stack("{min: 0, desired: 1, max: 4, policies: [{target: {metric: requests_per_target, value: 70}}]}")
    result = simulated("constant:0/1m,constant:60/1m", nothing)
    sizes = [(before, desired) for _, before, desired in changes(result)]
    assert sizes == [(1, 0), (0, 1)]
    assert 0 < result.summary.refused <= 60 * 7
    assert result.summary.least_serving == 0
    assert int(result.columns["serving"][-1]) == 1
