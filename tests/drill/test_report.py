"""A report says what was lost, when, and how long the rest took."""

from __future__ import annotations

import pytest

from fairlead.drill.report import Report, Result


def test_it_reads_as_a_few_lines() -> None:
    failures = (
        Result(40, 0.2, 0.01, None, "refused"),
        Result(80, 0.4, 0.01, 502),
        Result(120, 0.6, 0.01, None, "refused"),
    )
    report = Report(
        sent=1000, seconds=5.0, statuses={200: 997, 502: 1}, errors={"refused": 2}, instances={"web-2": 498, "web-1": 499},
        p50=0.0012, p99=0.0034, max=0.104, lag=0.08, failures=failures,
    )  # fmt: skip
    assert str(report).splitlines() == [
        "1000 requests in 5.0 s (200/s): 997 answered 200, 3 lost",
        "  latency p50 1.2 ms, p99 3.4 ms, max 104.0 ms",
        "  refused: 2 (from 0.20 s to 0.60 s)",
        "  status 502: 1 (at 0.40 s)",
        "  web-1 499, web-2 498",
        "  the generator itself was up to 80 ms late",
    ]


def test_one_of_nothing_reads_too() -> None:
    assert str(Report(sent=0, seconds=0.0)) == "0 requests in 0.0 s (0/s): 0 answered 200, 0 lost"


@pytest.mark.parametrize(
    ("status", "error", "ok", "kind"),
    [(200, "", True, "status 200"), (404, "", False, "status 404"), (None, "refused", False, "refused")],
)
def test_only_200_is_well(status: int | None, error: str, ok: bool, kind: str) -> None:
    result = Result(1, 0.0, 0.1, status, error)
    assert (result.ok, result.kind) == (ok, kind)
