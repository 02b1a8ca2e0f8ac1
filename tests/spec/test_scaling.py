"""`scaling` and `custom_metrics`: what a group may say, what it may not, and the group that the decision gets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.scaling.policies import (
    CustomMetric,
    Policy,
    Scaling,
    ScheduledAction,
    StepAdjustment,
    StepScaling,
    TargetTracking,
)
from tests.spec.builders import a_service, problems_of, web_of


def a_group(lines: str, beside: str = "") -> str:
    return a_service(f"custom_metrics: {{q: {{command: x}}}}\nscaling: {{max: 8, {lines}}}\n{beside}")


def a_policy(text: str) -> str:
    return a_group(f"policies: [{text}]")


def a_step(text: str, metric: str = "outstanding", threshold: str = "50") -> str:
    return a_policy(f"{{step: {{metric: {metric}, threshold: {threshold}, {text}}}}}")


def steps(text: str, *others: str, **fields: str) -> str:
    return a_step(", ".join((f"steps: [{text}]", *others)), **fields)


def said(text: str) -> list[str]:
    """The problems, without their places."""
    return [problem.split(": services.web.", 1)[1] for problem in problems_of(text)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("scaling: {min: 3, max: 2}", "5:20: services.web.scaling.min: is more than `max` (2)"),
        ("scaling: {desired: 5, max: 2}", "5:24: services.web.scaling.desired: must be from `min` to `max` (1 to 2)"),
        ("scaling: {min: 1}", "5:5: services.web.scaling.max: is required"),
        (
            "scaling: {max: 2, policies: [{}]}",
            "5:34: services.web.scaling.policies.0: says nothing of what it follows; add `target` or `step`",
        ),
        (
            "scaling: {max: 2, policies: [{target: {metric: cpu, value: 60}}]}",
            "5:64: services.web.scaling.policies.0.target.value: must be a percentage, as in 60%, since the metric is cpu",
        ),
        (
            "scaling: {max: 2, policies: [{target: {metric: outstanding, value: 60%}}]}",
            "5:72: services.web.scaling.policies.0.target.value: must be a number, since the metric is outstanding",
        ),
        (
            "scaling: {max: 2, policies: [{target: {metric: latency_p95, value: 1}}]}",
            "5:72: services.web.scaling.policies.0.target.value: must be a duration, as in 200ms",
        ),
        (
            "scaling: {max: 2, policies: [{step: {metric: outstanding, threshold: 1, steps: [{by: 1}]}}]}",
            "5:85: services.web.scaling.policies.0.step.steps.0: has no bound; add `from` or `to`",
        ),
        (
            "scaling: {max: 2, policies: [{step: {metric: outstanding, threshold: 1, steps: [{from: 2, to: 1, by: 1}]}}]}",
            "5:99: services.web.scaling.policies.0.step.steps.0.to: must be more than `from`",
        ),
        (
            "scaling: {max: 2, policies: [{step: {metric: outstanding, threshold: 1, "
            "steps: [{from: 0, by: 1}, {from: 9, by: 2}]}}]}",
            "5:84: services.web.scaling.policies.0.step.steps: overlap; end each step where the next begins",
        ),
        (
            'scaling: {max: 2, schedule: [{name: a, cron: "0 8 * * *"}]}',
            "5:34: services.web.scaling.schedule.0: changes nothing; add `min`, `desired` or `max`",
        ),
        ("custom_metrics: {q: {}}", "5:22: services.web.custom_metrics.q: says nothing of where its number comes from"),
        (
            'custom_metrics: {q: {url: "http://x"}}',
            "5:22: services.web.custom_metrics.q: says nothing of what to read in the answer of `url`; add `field` or",
        ),
        (
            "custom_metrics: {q: {command: x, field: y}}",
            "5:45: services.web.custom_metrics.q.field: goes only with `url`",
        ),
        (
            "custom_metrics: {q: {url: 'http://x', field: a..b}}",
            "5:50: services.web.custom_metrics.q.field: must be a dotted path, as in queue.length or queues.0.length, not",
        ),
        (
            "custom_metrics: {q: {url: 'http://x', series: 'q{a=b}'}}",
            '5:51: services.web.custom_metrics.q.series: must be a name, or a name with labels: queue_length{name="mail"}',
        ),
    ],
)
def test_a_group_that_says_something_wrong_is_told_where_and_what(lines: str, said: str) -> None:
    (problem,) = problems_of(a_service(lines))
    assert problem.startswith(f"fairlead.yaml:{said}")


def test_the_group_that_the_decision_gets() -> None:
    web = web_of(
        a_service("""\
scaling:
  min: 2
  max: 10
  warm_up: 500ms
  warm_pool: 3
  reuse_on_scale_in: true
  scale_out_cooldown: 2s
  scale_in_cooldown: 3m
  termination_policy: oldest_release
  policies:
    - {target: {metric: cpu, value: 60%}, period: 10s, scale_out_after: 1, scale_in_after: 2, scale_in: false}
    - target: {metric: latency_p95, value: 250ms}
    - step:
        metric: custom:queue
        threshold: 300
        comparison: below
        adjustment: percent_change_in_capacity
        min_adjustment: 2
        cooldown: 5s
        steps: [{from: -10, by: 0}, {from: -20, to: -10, by: -10}, {to: -20, by: -30}]
  schedule:
    - {name: morning, cron: "0 8 * * mon-fri", timezone: Europe/Berlin, min: 4, desired: 5, max: 20}
custom_metrics:
  queue: {command: "python -c 'print(1)'", every: 2s}
  depth: {url: "https://a.test/m", series: 'depth{queue="a", kind="b"}'}
""")
    )
    step = StepScaling(
        metric="custom:queue",
        threshold=300.0,
        comparison="below",
        adjustment="percent_change_in_capacity",
        min_adjustment=2,
        cooldown=5.0,
        steps=(
            StepAdjustment(lower=-10.0, upper=None, by=0),
            StepAdjustment(lower=-20.0, upper=-10.0, by=-10),
            StepAdjustment(lower=None, upper=-20.0, by=-30),
        ),
    )
    first = Policy(
        follows=TargetTracking(metric="cpu", value=60.0), period=10, scale_out_after=1, scale_in_after=2, scale_in=False
    )
    morning = ScheduledAction(
        name="morning", cron="0 8 * * mon-fri", timezone="Europe/Berlin", minimum=4, desired=5, maximum=20
    )
    assert web.scaling == Scaling(
        warm_up=0.5,
        warm_pool=3,
        reuse_on_scale_in=True,
        scale_out_cooldown=2.0,
        scale_in_cooldown=180.0,
        termination_policy="oldest_release",
        policies=(first, Policy(follows=TargetTracking(metric="latency_p95", value=0.25)), Policy(follows=step)),
        schedule=(morning,),
    )
    assert (web.minimum, web.desired, web.maximum) == (2, 2, 10)
    assert web.custom_metrics == (
        CustomMetric(name="queue", argv=("python", "-c", "print(1)"), every=2.0),
        CustomMetric(name="depth", url="https://a.test/m", series='depth{queue="a", kind="b"}'),
    )


def test_without_a_group_the_size_is_fixed_and_desired_may_be_given() -> None:
    fixed, group = web_of(a_service("instances: 3")), web_of(a_service("scaling: {min: 0, desired: 0, max: 4}"))
    assert (fixed.minimum, fixed.desired, fixed.maximum, fixed.scaling) == (3, 3, 3, None)
    assert (group.minimum, group.desired, group.maximum, group.scaling) == (0, 0, 4, Scaling())


@pytest.mark.parametrize(
    ("period", "wrong"),
    [
        ("1s", ""),
        ("60000ms", ""),
        ("1h", ""),
        ("500ms", 'must be whole seconds from 1s, not "500ms": metrics are measured once a second'),
        ("1500ms", 'must be whole seconds from 1s, not "1500ms": metrics are measured once a second'),
        ("2h", 'must be from 1s to 1h, not "2h"'),
        ("0s", 'must be from 1s to 1h, not "0s"'),
    ],
)
def test_a_period_is_of_whole_seconds(period: str, wrong: str) -> None:
    found = said(a_policy(f"{{target: {{metric: cpu, value: 60%}}, period: {period}}}"))
    assert found == ([f"scaling.policies.0.period: {wrong}"] if wrong else [])


def test_the_datapoints_of_a_decision_span_a_day_at_most() -> None:
    rule = "{target: {metric: cpu, value: 60%}, period: 1h, scale_in_after: "
    assert said(a_policy(rule + "24}")) == []
    assert said(a_policy(rule + "25}")) == [
        "scaling.policies.0.scale_in_after: spans more than a day: 25 datapoints, one in 3600 s; "
        "write fewer, or a shorter `period`"
    ]


STEPS = "scaling.policies.0.step.steps"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (steps("{from: 0, by: 1}"), ""),
        (steps("{from: 0, to: 10, by: 0}, {from: 10, to: 20, by: 10}, {from: 20, by: 30}"), ""),
        (steps("{from: 20, by: 30}, {from: 0, to: 10, by: 0}, {from: 10, to: 20, by: 10}"), ""),
        (steps("{to: 0, by: -1}, {from: 0, by: 1}"), ""),
        (steps("{to: 5, by: -1}, {from: 5, by: 1}", "comparison: below"), ""),
        (steps("{from: -10, to: 0, by: 0}, {to: -10, by: -1}", "comparison: below"), ""),
        (steps("{from: 5, by: 1}"), ""),
        (steps("{from: 0, by: 1}, {from: 9, by: 2}"), ": overlap; end each step where the next begins"),
        (steps("{to: 5, by: 1}, {to: 9, by: 2}"), ": overlap; end each step where the next begins"),
        (
            steps("{from: 0, to: 5, by: 1}, {from: 9, by: 2}"),
            ": leave a gap between two of them; end each step where the next begins; `by: 0` changes nothing",
        ),
        (
            steps("{from: 0, to: 5, by: 1}"),
            ": say nothing of what is more than 5 above the threshold; leave out `to` in the highest step",
        ),
        (
            steps("{from: 0, to: 50ms, by: 1}", metric="latency_p95", threshold="1s"),
            ": say nothing of what is more than 50 ms above the threshold; leave out `to` in the highest step",
        ),
        (
            steps("{from: -5, by: 1}"),
            ": say nothing of what is more than 5 below the threshold; leave out `from` in the lowest step",
        ),
        (
            steps("{to: 0, by: -1}"),
            ": are never reached: above the threshold, distances from it are more than 0; "
            "write `from: 0`, or `comparison: below`",
        ),
        (
            steps("{from: 0, by: -1}", "comparison: below"),
            ": are never reached: below the threshold, distances from it are less than 0; "
            "write `to: 0`, or `comparison: above`",
        ),
        (steps("{from: 0, by: 0}", "adjustment: exact_capacity"), ""),
        (
            steps("{from: 0, by: -1}", "adjustment: exact_capacity"),
            ".0.by: must be 0 or more, since with `adjustment: exact_capacity` it is the number of instances",
        ),
        (steps("{from: 0, by: 50}", "adjustment: percent_change_in_capacity", "min_adjustment: 2"), ""),
        (steps("{from: 0, by: 1}", "min_adjustment: 1"), ""),
        (steps("{from: 0, to: 5, by: 1}, {from: 5, by: 2}", metric="cpu", threshold="50%"), ""),
        (steps("{from: 0, to: 50ms, by: 1}, {from: 50ms, by: 2}", metric="latency_p95", threshold="1s"), ""),
        (
            steps(
                "{to: -50ms, by: -2}, {from: -50ms, by: 0}", "comparison: below", metric="latency_p95", threshold="1s"
            ),
            "",
        ),
        (
            steps("{from: 5, by: 1}", metric="latency_p95", threshold="1s"),
            ".0.from: must be a duration, as in 100ms, since the metric is latency_p95",
        ),
        (steps("{from: 5s, by: 1}"), ".0.from: must be a number, since the metric is outstanding"),
        (steps("{from: many, by: 1}"), '.0.from: must be a duration such as 500ms, 30s, 5m, 1h or 7d, not "many"'),
    ],
)
def test_the_steps_of_a_policy_join_as_on_aws(text: str, wrong: str) -> None:
    assert said(text) == ([f"{STEPS}{wrong}"] if wrong else [])


BOUNDS = st.lists(st.one_of(st.none(), st.integers(-3, 3)), min_size=2, max_size=2)


@settings(max_examples=200, deadline=None)
@given(st.lists(BOUNDS, min_size=1, max_size=4), st.sampled_from(["above", "below"]), st.floats(0.01, 9))
def test_of_steps_that_are_taken_one_at_most_holds_and_none_is_missing_in_between(
    bounds: list[list[int | None]], comparison: str, distance: float
) -> None:
    given = ({"from": low, "to": high, "by": number} for number, (low, high) in enumerate(bounds))
    text = json.dumps([{key: value for key, value in one.items() if value is not None} for one in given])
    file = a_step(f"comparison: {comparison}, steps: {text}")
    if problems_of(file):
        return
    scaling = web_of(file).scaling
    assert scaling is not None
    (policy,) = scaling.policies
    assert isinstance(policy.follows, StepScaling)
    away = distance if comparison == "above" else -distance
    holding = [
        one
        for one in policy.follows.steps
        if (one.lower is None or one.lower < away) and (one.upper is None or away < one.upper)
    ]
    edges = {edge for one in policy.follows.steps for edge in (one.lower, one.upper) if edge is not None}
    assert len(holding) <= 1
    assert holding or away in edges or not min(edges) < away < max(edges)
    assert any(one.upper is None if comparison == "above" else one.lower is None for one in policy.follows.steps)


def test_a_least_adjustment_goes_only_with_percent() -> None:
    assert said(steps("{from: 0, by: 1}", "min_adjustment: 2")) == [
        "scaling.policies.0.step.min_adjustment: goes only with `adjustment: percent_change_in_capacity`; "
        "remove it, or change `adjustment`"
    ]


def test_a_target_of_nothing_is_refused() -> None:
    for metric, value in (("cpu", "0%"), ("outstanding", "0"), ("latency_p95", "0s")):
        (problem,) = said(a_policy(f"{{target: {{metric: {metric}, value: {value}}}}}"))
        assert problem.endswith("target.value: must be more than 0: the size is worked out by dividing by it")


@pytest.mark.parametrize("metric", ["requests_per_target", "outstanding", "latency_p50", "latency_p95", "latency_p99"])
def test_a_worker_can_follow_nothing_that_requests_would_tell(metric: str) -> None:
    value = "1s" if metric.startswith("latency") else "1"
    worker = "port: none\nscaling: {max: 2, policies: ["
    for kind, text in (
        ("target", f"{{target: {{metric: {metric}, value: {value}}}}}"),
        ("step", f"{{step: {{metric: {metric}, threshold: {value}, steps: [{{from: 0, by: 1}}]}}}}"),
    ):
        assert said(a_service(f"{worker}{text}]}}", program="command: x")) == [
            f"scaling.policies.0.{kind}.metric: {metric} is never known of a service with `port: none`: it gets no "
            "requests; follow cpu, memory or a custom metric, such as the length of its queue"
        ]
    followed = "custom_metrics: {q: {command: x}}\n" + worker + "{target: {metric: 'custom:q', value: 1}}]}"
    assert said(a_service(followed, program="command: x")) == []


def test_a_worker_has_no_load_balancer_that_a_warm_pool_could_be_kept_out_of() -> None:
    (problem,) = said(a_service("port: none\nscaling: {max: 3, warm_pool: 1}", program="command: x"))
    assert problem.startswith("scaling.warm_pool: says nothing of a service with `port: none`")


CPU, REQUESTS = "{target: {metric: cpu, value: 60%}}", "{target: {metric: requests_per_target, value: 9}}"


@pytest.mark.parametrize(
    ("lines", "stuck"),
    [
        (f"policies: [{CPU}]", True),
        ("policies: [{target: {metric: latency_p95, value: 1s}}, {target: {metric: memory, value: 90%}}]", True),
        ("policies: [{step: {metric: cpu, threshold: 9%, steps: [{from: 0, by: 1}]}}]", True),
        (f"desired: 2, policies: [{CPU}]", True),
        ("policies: [{step: {metric: outstanding, threshold: 9, steps: [{from: 0, by: -1}]}}]", True),
        (
            "policies: [{step: {metric: outstanding, threshold: 9, adjustment: percent_change_in_capacity, "
            "steps: [{from: 0, by: 100}]}}]",
            True,
        ),
        (
            "policies: [{step: {metric: outstanding, threshold: 9, adjustment: percent_change_in_capacity, "
            "min_adjustment: 1, steps: [{from: 0, by: 100}]}}]",
            False,
        ),
        ("policies: [{step: {metric: outstanding, threshold: 9, steps: [{from: 0, by: 1}]}}]", False),
        (f"policies: [{CPU}, {REQUESTS}]", False),
        ("policies: [{target: {metric: 'custom:q', value: 1}}]", False),
        (f"policies: [{CPU}], schedule: [{{name: a, cron: '0 8 * * *', desired: 1}}]", False),
        (f"policies: [{CPU}], schedule: [{{name: a, cron: '0 8 * * *', min: 0}}]", True),
        ("desired: 2, policies: [{target: {metric: cpu, value: 60%}, scale_in: false}]", False),
        ("desired: 0", False),
    ],
)
def test_a_group_that_could_never_start_its_first_instance_again_is_refused(lines: str, stuck: bool) -> None:
    advice = "write `min: 1`, or follow requests_per_target, outstanding or a custom metric too"
    reason = "must not be 0: no policy could ever start the first instance, since with none cpu, memory and latency are unknown"
    assert said(a_group(f"min: 0, {lines}")) == ([f"scaling.min: {reason}; {advice}"] if stuck else [])


def test_a_worker_that_could_never_start_again_is_told_what_it_can_follow() -> None:
    text = "port: none\nscaling: {min: 0, max: 2, policies: [{target: {metric: memory, value: 60%}}]}"
    (problem,) = said(a_service(text, program="command: x"))
    assert problem.endswith("cpu, memory and latency are unknown; write `min: 1`, or follow a custom metric too")


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("warm_pool: 7", ""),
        (
            "warm_pool: 8",
            "warm_pool: is more than there is ever room for: 7, which is `max` less `min` (8 - 1); "
            "write 7 or less, or write a higher `max`",
        ),
        ("warm_pool: 1, reuse_on_scale_in: true", ""),
        (
            "reuse_on_scale_in: true",
            "reuse_on_scale_in: goes only with `warm_pool`: without one there is nothing to return to; "
            "add `warm_pool: 1` or more, or remove it",
        ),
    ],
)
def test_a_warm_pool_has_room_and_only_a_pool_can_be_returned_to(lines: str, wrong: str) -> None:
    assert said(a_group(lines)) == ([f"scaling.{wrong}"] if wrong else [])


def test_a_group_of_one_size_is_not_told_to_write_a_warm_pool_of_0() -> None:
    (problem,) = said(a_service("scaling: {min: 2, max: 2, warm_pool: 1}"))
    assert problem.endswith("; remove it, or write a higher `max`")


def an_action(text: str, name: str = "a") -> str:
    return f"{{name: {name}, cron: '0 8 * * *', {text}}}"


@pytest.mark.parametrize(
    ("actions", "wrong"),
    [
        ([an_action("min: 2, desired: 3, max: 4")], ""),
        ([an_action("min: 8"), an_action("max: 2", "b")], ""),
        ([an_action("desired: 8"), an_action("min: 0", "b"), an_action("desired: 0", "c")], ""),
        ([an_action("min: 20, max: 30"), an_action("desired: 25", "b")], ""),
        ([an_action("min: 5, max: 4")], ".0.min: is more than `max` (4)"),
        ([an_action("min: 5, desired: 4")], ".0.desired: is less than `min` (5)"),
        ([an_action("max: 5, desired: 6")], ".0.desired: is more than `max` (5)"),
        ([an_action("min: 9")], ".0.min: is more than any `max` that could hold then (8); add `max` beside it"),
        ([an_action("desired: 9")], ".0.desired: is more than any `max` that could hold then (8); add `max` beside it"),
        ([an_action("max: 1")], ".0.max: is less than any `min` that could hold then (2); add `min` beside it"),
        ([an_action("desired: 1")], ".0.desired: is less than any `min` that could hold then (2); add `min` beside it"),
        (
            [an_action("min: 3"), an_action("min: 4")],
            ".1.name: is the name of schedule.0 already; give each a name of its own",
        ),
    ],
)
def test_scheduled_sizes_could_hold_and_have_names_of_their_own(actions: list[str], wrong: str) -> None:
    found = said(a_group(f"min: 2, schedule: [{', '.join(actions)}]"))
    assert found == ([f"scaling.schedule{wrong}"] if wrong else [])


def test_two_policies_of_one_name_are_refused() -> None:
    assert said(a_policy(f"{CPU}, {REQUESTS}, {CPU.replace('}}', '}, period: 9s}')}")) == [
        "scaling.policies.2: is the same as policies.0: cpu at 60%; keep one of them"
    ]
    one = "{step: {metric: outstanding, threshold: 9, steps: [{from: 0, by: 1}]}}"
    assert (
        said(a_policy(f"{one}, {one.replace('outstanding,', 'outstanding, comparison: below,').replace('from', 'to')}"))
        == []
    )


@pytest.mark.parametrize(
    ("sizes", "deploy", "stuck"),
    [
        ("min: 1, max: 4", "", 0),
        ("min: 1, max: 1", "min_healthy: 90%, max_healthy: 100%", 0),
        ("min: 0, max: 1", "min_healthy: 90%, max_healthy: 100%", 0),
        ("min: 1, max: 4", "min_healthy: 50%, max_healthy: 100%", 1),
        ("min: 2, max: 4", "min_healthy: 50%, max_healthy: 100%", 0),
        ("min: 0, max: 9", "min_healthy: 80%, max_healthy: 120%", 1),
        ("min: 5, max: 9", "min_healthy: 80%, max_healthy: 110%", 0),
    ],
)
def test_every_size_below_the_maximum_leaves_room_to_replace(sizes: str, deploy: str, stuck: int) -> None:
    """At its maximum a group takes one out before it starts the next."""
    found = said(a_service(f"scaling: {{{sizes}}}\ndeploy: {{{deploy}}}"))
    if not stuck:
        assert found == []
    else:
        (problem,) = found
        assert problem.startswith(f"deploy.max_healthy: leaves no room to replace an instance: of {stuck}, ")


def test_a_metric_s_command_may_hold_variables_but_nothing_of_one_instance() -> None:
    metric = 'custom_metrics: {q: {command: [x, "${env.A}", 5]}}'
    assert web_of(a_service(metric), {"A": "b c"}).custom_metrics[0].argv == ("x", "b c", "5")
    (problem,) = said(a_service(metric.replace("env.A", "instance.id")))
    assert problem.startswith("custom_metrics.q.command.1: ${instance.id} can stand only in a service's `command` and")
    (problem,) = said(a_service(metric.replace("env.A", "secrets.A")))
    assert problem.startswith("custom_metrics.q.command.1: ${secrets.A} cannot stand in a command, where every user")
