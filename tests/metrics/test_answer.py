"""What was measured is answered in points of a period, at the levels that the catalogue says, with nulls for what
nobody knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import bucket_of
from fairlead.metrics.answer import MOST_POINTS, MOST_POINTS_ASKED, Plan, answer, plan, wanted
from fairlead.metrics.catalogue import METRICS, Level
from fairlead.metrics.columns import COUNT_AT, COUNTS, LEVELS
from fairlead.metrics.entities import Entity
from fairlead.metrics.history import Found
from fairlead.metrics.query import Query
from fairlead.metrics.rows import NAN, Row

from .builders import EPOCH

START = int(EPOCH)
SHOP, WEB, MAIL = Entity("shop"), Entity("shop", "web"), Entity("shop", "mail")
ZONE_A, ZONE_B = Entity("shop", "web", "a"), Entity("shop", "web", "b")
TEN, TWO = Entity("shop", "web", "a", "web-10"), Entity("shop", "web", "b", "web-2")
ALL = (TEN, TWO, ZONE_B, ZONE_A, WEB, MAIL, SHOP)


def a_row(entity: Entity, value: float = 1.0, times: dict[int, int] | None = None, **counts: float) -> Row:
    levels = [value] * len(LEVELS[entity.level])
    row = Row([value] * len(COUNTS[entity.level]), levels, levels, levels, times or {})
    for name, count in counts.items():
        row.counts[COUNT_AT[entity.level][name]] = count  # type: ignore[index]
    return row


def asked(found: Found, period: int = 1, seconds: int = 3, step: int | None = None, **query: str) -> dict[str, Any]:
    one = Query(stack="shop", **query)  # type: ignore[arg-type]
    mine = {entity: rows for entity, rows in found.items() if wanted(one)(entity)}
    text = json.dumps(answer(one, Plan(period, step or period, START, START + seconds), mine), allow_nan=False)
    found_again: dict[str, Any] = json.loads(text)
    return found_again


def everyone(value: float = 1.0) -> Found:
    return {entity: {START + at: a_row(entity, value) for at in range(3)} for entity in ALL}


def who(found: dict[str, Any]) -> list[tuple[str | None, str | None, str | None]]:
    return [(one["service"], one["zone"], one["target"]) for one in found["series"]]


def values(found: dict[str, Any], name: str, statistic: str, place: int = 0) -> list[float | None]:
    (one,) = [m for m in found["series"][place]["metrics"] if (m["name"], m["statistic"]) == (name, statistic)]
    series: list[float | None] = one["values"]
    return series


def test_without_a_service_the_stack_and_its_services_are_answered() -> None:
    assert who(asked(everyone())) == [(None, None, None), ("mail", None, None), ("web", None, None)]


def test_with_a_service_its_zones_and_its_targets_too() -> None:
    assert who(asked(everyone(), service="web")) == [
        ("web", None, None), ("web", "a", None), ("web", "b", None), ("web", "b", "web-2"), ("web", "a", "web-10"),
    ]  # fmt: skip


def test_one_zone_alone_is_the_service_and_not_shown_unless_it_is_asked_for() -> None:
    found = {entity: rows for entity, rows in everyone().items() if entity not in (ZONE_B, TWO)}
    assert who(asked(found, service="web")) == [("web", None, None), ("web", "a", "web-10")]
    assert who(asked(found, service="web", zone="a")) == [("web", "a", None), ("web", "a", "web-10")]


def test_a_zone_or_a_target_narrows_it_down() -> None:
    assert who(asked(everyone(), service="web", zone="b")) == [("web", "b", None), ("web", "b", "web-2")]
    assert who(asked(everyone(), service="web", target="web-10")) == [("web", "a", "web-10")]


def test_every_metric_is_there_at_exactly_its_levels() -> None:
    for period in (1, 60):
        found = (
            asked(everyone(), period, 60, step=1)["series"]
            + asked(everyone(), period, 60, step=1, service="web")["series"]
        )
        for one in found:
            level: Level = (
                "target" if one["target"] else "zone" if one["zone"] else "service" if one["service"] else "stack"
            )
            by_kind = {
                "count": {"Sum"},
                "level": {"Average"} if period == 1 else {"Average", "Minimum", "Maximum"},
                "time": {"Average", "p50", "p90", "p95", "p99"},
            }
            expected = {
                (metric.name, metric.unit, statistic)
                for metric in METRICS if level in metric.levels for statistic in by_kind[metric.kind]
            }  # fmt: skip
            shown = [(metric["name"], metric["unit"], metric["statistic"]) for metric in one["metrics"]]
            assert len(shown) == len(expected)
            assert set(shown) == expected, level
            assert all(len(metric["values"]) == 60 // period for metric in one["metrics"])


def test_what_is_unknown_is_null_and_zero_is_zero() -> None:
    rows = {START: a_row(SHOP, 0.0), START + 2: a_row(SHOP, NAN)}
    found = asked({SHOP: rows})
    assert values(found, "RequestCount", "Sum") == [0, None, None]
    assert values(found, "ActiveConnectionCount", "Average") == [0, None, None]
    assert values(found, "TargetResponseTime", "p95") == [None, None, None]


def test_points_of_several_seconds_are_sums_means_and_percentiles_of_all() -> None:
    slow, fast = bucket_of(900_000), bucket_of(10_000)
    rows = {START + at: a_row(SHOP, float(at), {fast: 9} if at else {slow: 1}) for at in range(4)}
    found = asked({SHOP: rows}, 2, 4, step=1)
    assert values(found, "RequestCount", "Sum") == [1, 5]
    assert values(found, "ActiveConnectionCount", "Average") == [0.5, 2.5]
    assert values(found, "ActiveConnectionCount", "Maximum") == [1, 3]
    assert values(found, "TargetResponseTime", "p50") == [pytest.approx(0.01, rel=0.1), pytest.approx(0.01, rel=0.1)]
    assert values(found, "TargetResponseTime", "p99") == [pytest.approx(0.9, rel=0.1), pytest.approx(0.01, rel=0.1)]
    assert found["incomplete"] == []


def test_points_in_which_counts_may_be_missing_are_named() -> None:
    rows = {START + at: a_row(SHOP) for at in range(10)}
    rows[START + 3].incomplete = True
    del rows[START + 8]
    assert asked({SHOP: rows}, 2, 12, step=1)["incomplete"] == ["2026-11-18T11:10:02Z", "2026-11-18T11:10:08Z"]


def test_the_answer_says_of_which_time_it_is() -> None:
    found = asked(everyone())
    assert (found["stack"], found["period"]) == ("shop", 1)
    assert (found["start"], found["end"]) == ("2026-11-18T11:10:00Z", "2026-11-18T11:10:03Z")


def test_the_summary_says_it_in_a_few_figures() -> None:
    times = {bucket_of(20_000): 19, bucket_of(600_000): 1}
    counts = {
        "RequestCount": 40,
        "HTTPCode_Target_2XX_Count": 35,
        "HTTPCode_Target_5XX_Count": 4,
        "HTTPCode_ELB_5XX_Count": 1,
    }
    rows = {START + at: a_row(WEB, 0.0, times, **counts) for at in range(3)}
    for row in rows.values():
        row.average = row.minimum = row.maximum = [12.5] * len(LEVELS["service"])
    summary = asked({WEB: rows}, service="web")["series"][0]["summary"]
    assert summary == {
        "requests": 120, "requests_per_second": 40, "error_rate": 0.125, "average": pytest.approx(0.049, rel=0.1),
        "p50": pytest.approx(0.02, rel=0.1), "p90": pytest.approx(0.02, rel=0.1), "p95": pytest.approx(0.02, rel=0.1),
        "p99": pytest.approx(0.6, rel=0.1), "cpu": 12.5, "memory": 12.5,
    }  # fmt: skip


def test_a_target_that_breaks_requests_has_errors_and_one_that_had_none_has_no_rate() -> None:
    broken = a_row(TEN, 0.0, HTTPCode_Target_2XX_Count=3, BrokenRequestCount=1)
    found = asked({TEN: {START: broken}, TWO: {START: a_row(TWO, 0.0)}}, service="web")
    assert [one["summary"]["error_rate"] for one in found["series"]] == [None, 0.25]
    assert [one["summary"]["p95"] for one in found["series"]] == [None, None]


def test_a_summary_of_what_is_unknown_is_unknown() -> None:
    (one,) = asked({WEB: {START: a_row(WEB, NAN)}}, service="web")["series"]
    assert set(one["summary"].values()) == {None}


class TestPlans:
    NOW = START + 7.0

    def plan(self, **query: Any) -> Plan:
        return plan(Query(stack="shop", **query), START + 7, START, lambda start, end: True)

    def plan_of_a_new_stack(self, began: int, **query: Any) -> Plan:
        """began: its first second."""
        return plan(
            Query(stack="shop", **query), START + 7, START, lambda start, end: max(start, began) < min(end, START + 7)
        )

    def test_ten_minutes_are_shown_second_by_second_and_more_by_the_minute(self) -> None:
        assert self.plan() == Plan(1, 1, START + 7 - 600, START + 7)
        assert self.plan(since=self.NOW - 600) == Plan(1, 1, START + 7 - 600, START + 7)
        hour = self.plan(since=self.NOW - 3600)
        assert (hour.period, hour.step, hour.end) == (60, 60, START)

    def test_two_weeks_are_at_most_a_thousand_points(self) -> None:
        weeks = self.plan(since=self.NOW - 14 * 86400)
        assert (weeks.period, weeks.step) == (1800, 60)
        assert (weeks.end - weeks.start) // weeks.period <= MOST_POINTS

    def test_a_period_that_was_asked_for_is_given_as_far_as_it_is_kept(self) -> None:
        assert self.plan(since=self.NOW - 3600, period=1).period == 1
        assert self.plan(since=self.NOW - 7200, period=1).period == 60
        assert self.plan(period=90).period == 120
        assert self.plan(period=10) == Plan(10, 1, START + 7 - 600, START + 7)
        assert self.plan(until=self.NOW - 86400, period=5).period == 60

    def test_of_a_new_stack_long_points_are_made_of_seconds_too(self) -> None:
        end = START + 7
        for began in (end - 1, end - 600):
            hour = self.plan_of_a_new_stack(began, since=self.NOW - 3600)
            assert hour == Plan(60, 1, end - 3600, end)
            assert self.plan_of_a_new_stack(began, since=self.NOW - 86400).step == 1
            assert self.plan_of_a_new_stack(began, period=60).step == 1
        older = self.plan_of_a_new_stack(end - 601, since=self.NOW - 3600)
        assert (older.step, older.end) == (60, START)
        # It does not look newer because it is asked for less.
        assert self.plan_of_a_new_stack(end - 601, period=60).step == 60

    def test_of_a_time_whose_seconds_are_gone_minutes_are_left(self) -> None:
        long_ago = self.plan_of_a_new_stack(START - 9000, since=START - 9000, until=START - 7000)
        assert long_ago.step == 60

    def test_what_is_not_finished_is_not_answered(self) -> None:
        assert self.plan(since=START, until=START + 99999).end == START + 7
        hour = plan(Query(stack="shop", since=self.NOW - 3600), START + 7, 0, lambda start, end: True)
        assert hour == Plan(60, 60, START - 3600, START - 3600)
        future = self.plan(since=START + 500, until=START + 600)
        assert future.start == future.end

    @given(
        since=st.none() | st.floats(-30 * 86400, 86400), until=st.none() | st.floats(-30 * 86400, 86400),
        period=st.none() | st.integers(1, 10**6),
    )  # fmt: skip
    def test_a_plan_is_whole_points_of_whole_steps(
        self, since: float | None, until: float | None, period: int | None
    ) -> None:
        found = self.plan(
            since=None if since is None else START + since,
            until=None if until is None else START + until,
            period=period,
        )
        assert found.period % found.step == 0
        assert (found.end - found.start) % found.period == 0
        assert 0 <= (found.end - found.start) // found.period <= (MOST_POINTS_ASKED if period else MOST_POINTS) + 1
        assert found.start % found.step == found.end % found.step == 0
        if period is not None:
            assert found.period >= period
