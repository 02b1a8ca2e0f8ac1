"""Loads that once were: a CSV, and what the daemon measured."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fairlead.errors import UsageError
from fairlead.simulate.recorded import from_csv, from_metrics


@pytest.mark.parametrize(
    ("text", "values", "began"),
    [
        ("0,10\n1,20\n2,30\n", [10, 20, 30], ""),
        ("seconds,requests_per_second\n0,10\n3,20\n5,30\n", [10, 10, 10, 20, 20, 30, 30], ""),
        ("seconds,requests_per_second\r\n0, 10 \r\n1,\r\n2,null\r\n3,5", [10, None, None, 5], ""),
        ("2026-11-21T10:00:00Z,10\n2026-11-21T10:00:02Z,20", [10, 10, 20, 20], "2026-11-21T10:00:00Z"),
        ("at,rate,who\n2026-11-21 10:00:00+01:00,10,x\n", [10], "2026-11-21T09:00:00Z"),
        ("1795737600,1\n1795737601,2", [1, 2], "2026-11-27T00:00:00Z"),
        ("\n5,10\n\n6,20\n", [10, 20], ""),
        ("0,7", [7], ""),
    ],
)
def test_a_row_holds_until_the_next_one(text: str, values: list[float | None], began: str) -> None:
    load = from_csv(text, "x.csv")
    assert (list(load.rates()), load.began) == (values, began)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x.csv is no load: it has no rows"),
        ("seconds,rate\n", "x.csv is no load: it has no rows"),
        ("0,10\n1\n", "x.csv:2 is no load: there is one column, and two are needed"),
        ("0,10\n0,10\n", "x.csv:2 is no load: its time is not after that of the row before"),
        ("0,10\nsoon,10\n", "x.csv:2 is no load: 'soon' is neither a number of seconds nor a time"),
        ("O,10\n60,20\n", "x.csv:1 is no load: 'O' is neither a number of seconds nor a time"),
        ("0,many\n", "x.csv:1 is no load: 'many' is no number of requests per second"),
        ("0,-1\n", "x.csv:1 is no load: '-1' is no number of requests per second"),
        ("0,inf\n", "x.csv:1 is no load: 'inf' is no number of requests per second"),
        ("9" * 400 + ",1\n", "x.csv is no load: its times lie too far away"),
        ("99999999999,1\n", "x.csv is no load: its times lie too far away"),
        ("1960-01-01,1\n", "x.csv is no load: its times lie too far away"),
        ('0,"' + "9" * 200_000 + '"\n', "x.csv is no load: field larger than field limit"),
        ("0,1\n3000000,1\n", "x.csv is no load: it is of 69 days, and 31 are the most"),
    ],
)
def test_a_csv_that_is_none_is_told_with_its_row(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as refused:
        from_csv(text, "x.csv")
    assert "Write two columns: seconds,requests_per_second" in refused.value.next_step


def an_answer(values: list[float | None], period: int = 60, service: str = "web") -> dict[str, Any]:
    def series(name: str | None, target: str | None, counts: list[float | None]) -> dict[str, Any]:
        metrics = [{"name": "RequestCount", "unit": "Count", "statistic": "Sum", "values": counts}]
        return {"service": name, "zone": None, "target": target, "metrics": metrics, "summary": {}}

    ones = [series(None, None, [1.0]), series(service, None, values), series(service, "web-1", [5.0])]
    return {"stack": "shop", "period": period, "start": "2026-11-21T10:00:00Z", "series": ones}


def test_what_was_measured_is_a_rate_and_a_gap_stays_one() -> None:
    load = from_metrics(an_answer([600, None, 1200]), "web")
    rates = list(load.rates())
    assert (rates[0], rates[60], rates[120], len(rates)) == (10, None, 20, 180)
    assert load.began == "2026-11-21T10:00:00Z"


def test_what_is_unknown_before_and_after_is_left_out() -> None:
    load = from_metrics(an_answer([None, None, 60, None, 120, None]), "web")
    assert list(load.rates()) == [1.0] * 60 + [None] * 60 + [2.0] * 60
    assert load.began == "2026-11-21T10:02:00Z"


@pytest.mark.parametrize("answer", [an_answer([None, None]), an_answer([]), an_answer([1.0], service="other")])
def test_a_window_of_which_nothing_is_known_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="nothing is known of web in that time"):
        from_metrics(answer, "web")
