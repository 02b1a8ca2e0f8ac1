"""What `fairlead plan` says of auto scaling groups and of metrics of the user's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.differences import differences
from fairlead.core.scaling.policies import CustomMetric, Policy, Scaling, ScheduledAction, TargetTracking
from tests.core.builders import a_revision, a_service, a_stack

CPU = Policy(follows=TargetTracking(metric="cpu", value=60.0))
MORNING = ScheduledAction(name="morning", cron="0 8 * * *", minimum=2)
QUEUE = CustomMetric(name="queue", argv=("curl", "http://x/?token=hunter2"))


def said(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    revisions = (a_revision(a_stack(replace(a_service(instances=1), **fields))) for fields in (before, after))
    return [str(change) for change in differences(*revisions)]


def of_group(maximum: int = 4, **fields: Any) -> dict[str, Any]:
    return {"scaling": Scaling(**fields), "maximum": maximum}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({}, {"maximum": 1, "desired": 1}, []),
        ({}, of_group(), ["web: instances 1 -> scaling 1..4"]),
        (of_group(), {}, ["web: scaling 1..4 -> instances 1"]),
        (of_group(), of_group(maximum=5), ["web: scaling.max 4 -> 5"]),
        (
            of_group(),
            {**of_group(), "minimum": 2, "desired": 3},
            ["web: scaling.min 1 -> 2", "web: scaling.desired 1 -> 3"],
        ),
        (of_group(warm_up=1.0), of_group(warm_up=2.0), ["web: scaling.warm_up 1 s -> 2 s"]),
        (of_group(), of_group(policies=(CPU,)), ["web: policy cpu at 60% is new"]),
        (of_group(policies=(CPU,)), of_group(policies=(replace(CPU, period=2),)), ["web: policy cpu at 60% changed"]),
        (of_group(policies=(CPU,)), of_group(), ["web: policy cpu at 60% is gone"]),
        (of_group(), of_group(schedule=(MORNING,)), ["web: scheduled action morning is new"]),
        ({}, {"custom_metrics": (QUEUE,)}, ["web: custom metric queue is new"]),
        (
            {"custom_metrics": (QUEUE,)},
            {"custom_metrics": (replace(QUEUE, every=9.0),)},
            ["web: custom metric queue changed"],
        ),
    ],
)
def test_a_change_of_a_group_is_said_in_words(before: dict[str, Any], after: dict[str, Any], lines: list[str]) -> None:
    assert said(before, after) == lines
