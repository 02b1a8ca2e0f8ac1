"""What was found is said in words that a reader can act on."""

from __future__ import annotations

import pytest

from fairlead.drill.verdict import figure, sentences, span, warnings
from tests.drill.steps import a_capacity, a_step, too_much


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "0.42 ms"),
        (0.0096, "9.6 ms"),
        (0.024, "24 ms"),
        (0.0999, "100 ms"),
        (0.465, "465 ms"),
        (1.25, "1.25 s"),
    ],
)
def test_times_are_written_with_the_digits_that_mean_something(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(412.3, "412"), (33.33, "33.3"), (0.424, "0.424"), (5000.0, "5000")])
def test_rates_are_whole_where_they_are_large(rate: float, text: str) -> None:
    assert figure(rate) == text


def test_the_verdict_of_a_drill_that_found_it() -> None:
    found = a_capacity(
        [a_step(206), a_step(412, p95=0.03), too_much(430, answered=1680, errors={"status 503": 40})],
        cpu_targets=(0.8, 0.9),
    )
    assert sentences(found) == [
        "one instance of web does 412 requests/s (p95 30 ms, limit 100 ms)",
        "at 430/s: 2.3 % failed (status 503: 40); p95 above 100 ms",
        "it then works on 8.24 requests at once; one alone takes 20 ms",
        "a request costs 1 ms of a processor: at 412/s its cpu is at 82 % of what it reserves (0.5 processors)",
        "at cpu target 80 % that is 400/s",
        "cpu target 90 % would be reached at 450/s, which it does not bear: requests_per_target or outstanding would see "
        "what cpu does not",
        "it was in service 1.2 s after its launch",
    ]
    assert warnings(found) == []


def test_what_is_not_known_is_said() -> None:
    found = a_capacity([too_much(25)], cpu_per_request=None, start_time=None, others=None)
    assert sentences(found) == [
        "no rate was found that one instance of web bears, not even 25 requests/s (p95 within 100 ms, 99 % answered)",
        "what a request costs of the processor is not known",
        "how long it takes to start is not known",
    ]
    assert warnings(found) == ["it is not known whether others sent requests meanwhile"]
    assert (
        sentences(a_capacity([]))[0]
        == "no rate was found that one instance of web bears (p95 within 100 ms, 99 % answered)"
    )


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([a_step(5000)], "no higher rate was asked for: --max-rate"),
        ([a_step(100)], "time was over before it was too much: --for 2m gives it more"),
        ([a_step(100), too_much(200)], "at 200/s: p95 above 100 ms; there was no time for what is in between: --for 2m gives it more"),
        ([a_step(100), too_much(110, lag=0.05)], "at 110/s: p95 above 100 ms, but the generator was late itself: the instance may do more"),
    ],
)  # fmt: skip
def test_what_is_only_a_lower_bound_is_called_one(steps: list[object], said: str) -> None:
    first, second, *_ = sentences(a_capacity(steps))  # type: ignore[arg-type]
    assert "does at least" in first
    assert second == said


def test_others_are_told_when_they_matter() -> None:
    steps = [a_step(100), too_much(110)]
    assert warnings(a_capacity(steps, others=1.9)) == []
    assert warnings(a_capacity(steps, others=12.0)) == [
        "others sent 12 requests/s to web meanwhile: alone an instance may do more"
    ]


def test_a_machine_that_was_full_is_told_with_what_the_generator_took() -> None:
    steps = [a_step(100), too_much(110, machine=0.97, generator=0.42)]
    assert warnings(a_capacity(steps, cores=2)) == [
        "all processors were busy at 110/s, and the generator took 0.42 of 2 processors: on a machine of its own an "
        "instance may do more"
    ]
    assert warnings(a_capacity([a_step(100, generator=0.42)], cores=1)) == [
        "there is one processor only, and the generator took 0.42 of 1 processor: on a machine of its own an instance "
        "may do more"
    ]


def test_what_happened_on_the_way_comes_first() -> None:
    assert warnings(a_capacity([a_step(100)], notes=("web-1 has ended",))) == ["web-1 has ended"]
