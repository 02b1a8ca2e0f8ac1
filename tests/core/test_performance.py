"""How a service does, in words."""

from __future__ import annotations

import pytest

from fairlead.core.figures import UNKNOWN, Figures
from fairlead.core.performance import failing, told, troubles


def busy(rate: float | None = 0.0, p95: float | None = 0.02, per_second: float = 30.0, **more: float) -> Figures:
    return Figures(requests_per_second=per_second, error_rate=rate, p95=p95, **more)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (UNKNOWN, ""),
        (busy(0.0081, 0.0384, 34.2, cpu=40.4, memory=12.0), "34 requests/s, 0.8% errors, p95 38 ms, cpu 40%, memory 12%"),
        (busy(0.0002, 1.25, 0.34), "0.3 requests/s, under 0.1% errors, p95 1.2 s"),
        (busy(1.0, 0.0005, 1250.0), "1250 requests/s, 100% errors, p95 0.5 ms"),
        (Figures(requests_per_second=0.0, cpu=1.0), "0 requests/s, cpu 1%"),
        (busy(0.0, 0.9999, 5.0), "5 requests/s, 0% errors, p95 1 s"),
    ],
)  # fmt: skip
def test_figures_in_words(figures: Figures, said: str) -> None:
    assert told(figures) == said


def test_a_few_errors_may_be_chance_and_few_of_many_are_no_news() -> None:
    assert failing(busy(0.5, per_second=0.4)) == ""
    assert failing(busy(0.5, per_second=0.6)) == "50% of its requests fail"
    assert failing(busy(0.009, per_second=1000)) == ""
    assert failing(UNKNOWN) == ""


def test_errors_that_are_everywhere_are_nobodys() -> None:
    assert troubles(busy(0.3), [busy(0.3), busy(0.29)]) == []
    assert troubles(busy(0.3), [busy(0.0), busy(0.1)]) == ["30% of its requests fail, 5% of those of the 2 others"]


def test_who_has_nobody_beside_it_is_compared_with_nobody() -> None:
    assert troubles(busy(0.3, 5.0), []) == []


def test_errors_that_were_told_are_not_told_again() -> None:
    assert told(busy(0.3), errors=False) == "30 requests/s, p95 20 ms"


def test_slow_is_who_is_slower_than_the_others_and_noticeably_so() -> None:
    assert troubles(busy(p95=0.5), [busy(p95=0.1), busy(p95=0.2), busy(p95=0.1)]) == [
        "its p95 is 500 ms, that of the 3 others 100 ms"
    ]
    assert troubles(busy(p95=0.04), [busy(p95=0.001)]) == []
    assert troubles(busy(p95=0.5), [busy(p95=None)]) == []


def test_who_uses_nearly_all_that_it_reserves_is_told() -> None:
    assert troubles(busy(cpu=89.0, memory=120.0), []) == ["it uses 120% of the memory that it reserves"]
