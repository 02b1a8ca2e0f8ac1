"""E1: how an alarm is judged, which every policy waits for."""

from __future__ import annotations

import pytest

from fairlead.core.scaling.alarm import state_of
from tests.conformance.facts import fact
from tests.conformance.groups import with_policy
from tests.conformance.rehearsal import refusal_of, stack_of
from tests.core.scaling.builders import a_group_of, a_history, asked, keep

ROWS = (
    ("0 - X - X", "OK", "ALARM"),
    ("0 - - - -", "OK", "OK"),
    ("- - - - -", "INSUFFICIENT_DATA", "INSUFFICIENT_DATA"),
    ("0 X X - X", "ALARM", "ALARM"),
    ("- - X - -", "ALARM", "ALARM"),
    ("0 0 X 0 X", "OK", "ALARM"),
    ("0 - X - -", "OK", "OK"),
    ("- - - - 0", "OK", "OK"),
    ("- - - - X", "OK", "OK"),
    ("- - - X -", "OK", "ALARM"),
)
"""Points from the oldest to the newest (`0` fine, `X` in breach, `-` missing), and the state with 3 and with 2 datapoints
to alarm out of 3, missing data being `missing`."""


def state(row: str, to_alarm: int) -> str:
    points = [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in row.split()]
    return state_of(points, bool, 3, to_alarm)


@fact(
    "E1",
    "The states of CloudWatch's two tables, row by row: 3 and 2 datapoints to alarm out of 3, gaps and all",
    "real",
)
@pytest.mark.parametrize(("row", "three", "two"), ROWS)
def test_e1_tables(row: str, three: str, two: str) -> None:
    assert (state(row, 3), state(row, 2)) == (three, two)


@fact("E1", "More points are looked at than the alarm needs: 5 for 3", "real")
def test_e1_evaluation_range() -> None:
    assert state("0 X X X - -", 3) == "ALARM"
    assert state("X - - - - -", 3) == "INSUFFICIENT_DATA"


@fact("E1", "TreatMissingData: missing (the default), ignore, breaching, notBreaching", "refused",
      message="treat_missing_data: is not a key")  # fmt: skip
def test_e1_missing_is_missing(message: str) -> None:
    assert message in refusal_of(with_policy("{target: {metric: cpu, value: 60%}, treat_missing_data: breaching}"))


@fact("E1", "Period: 10, 20, 30 s or whole minutes", "beyond", "every whole number of seconds, 1 unless it is said")
def test_e1_period() -> None:
    for period, seconds in (("1s", 1), ("7s", 7), ("1m", 60)):
        policy = with_policy(f"{{target: {{metric: cpu, value: 60%}}, period: {period}}}")
        scaling = stack_of(policy).service("web").scaling
        assert scaling is not None
        assert scaling.policies[0].period == seconds
    assert "whole seconds" in refusal_of(with_policy("{target: {metric: cpu, value: 60%}, period: 1500ms}"))


@fact("E1", "DatapointsToAlarm: so many of the evaluated periods", "approximated", "all of them")
def test_e1_all_of_them() -> None:
    service = a_group_of(keep(scale_out_after=5))
    assert asked(service, a_history(service, 150, 150, 150, 90, 150)).desired == 2
    assert asked(service, a_history(service, 150, 150, 150, 150, 150)).desired == 3


@fact("E1", "Auto Scaling actions repeat once a minute while the alarm stays in that state", "approximated",
      "with each datapoint")  # fmt: skip
def test_e1_repeats() -> None:
    service = a_group_of(keep(), desired=2)
    history = a_history(service, 150, 150, 150)
    first = asked(service, history)
    assert first.group is not None
    assert first.desired == 3
    again = a_history(service, 150, 150, 150, 150, counted=3, first=1001)
    assert asked(service, again, first.group, now=5001.0).desired == 5
