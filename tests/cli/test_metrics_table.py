"""Metrics as people see them: whole pictures, and what holds at every width."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fairlead.cli.metrics_table import PERIODS, View, is_empty, period_for, table
from fairlead.cli.sparkline import ASCII, BLOCKS, Glyphs
from tests.cli.measured import Values, a_metric, a_series, a_service, a_stack, an_answer

REQUESTS: Values = [30, 60, 90, None, None, 120, 240, 240, 180, 0]
ERRORS: Values = [0, 0, 0, None, None, 6, 0, 0, 0, 0]
TIMES: Values = [0.01, 0.012, 0.014, None, None, 0.2, 0.02, 0.02, 0.015, None]
HEALTHY: Values = [3, 3, 3, None, None, 2, 2, 3, 3, 3]

WIDE = """\
shop  2026-11-21 10:00:00 to 10:10:00 UTC (10 min), a character is 1 min
  incomplete        !

web                                                                    LAST      MIN      MAX  OVERALL
  requests/s   ▂▃▄··▅██▇▁                                                 0        0        4  960 total
  errors/s     ▁▁▁··█▁▁▁▁                                                 0        0      0.1  6 (0.6%)
  p50          ▂▂▂··█▂▂▂·                                                 -    10 ms   200 ms  20 ms
  p95          ▂▂▂··█▂▂▂·                                                 -    20 ms   400 ms  40 ms
  p99          ▂▂▂··█▂▂▂·                                                 -    30 ms   600 ms  60 ms
  outstanding  ██████████                                               1.5      1.5      1.5  mean 1.5
  healthy      ███··▆▆███                                            3 of 3        2        3
  cpu          ▄▄▄▄▄▄▄▄▄▄                                               40%      40%      40%  mean 40%
  memory       ▄▄▄▄▄▄▄▄▄▄                                               31%      31%      31%  mean 31%

         req/s to 1.3     err/s to 0.1     p95 to 400 ms    cpu to 140%      mem to 100%      outst. to 1.5
  web-1  ▃▄▅█▄   0        ▁▁▁▁▁   0        ▂▂█▂▂   -        ▂▂▂▂▂   20%      ▄▄▄▄▄   31%      █████   1.5
  web-2  ▃▄▅█▄   0        ▁▁▁▁▁   0        ▂▂█▂▂   -        ▃▃▃▃▃   40%      ▄▄▄▄▄   31%      █████   1.5
  web-3  ▃▄▅█▄   0        ▁▁█▁▁   0        ▂▂█▂▂   -        █████   140%     ▄▄▄▄▄   31%      █████   1.5

load balancer                                                          LAST      MIN      MAX  OVERALL
  elb 4xx/s    ▁▁▁▁▁▁▁▁▁▁                                                 0        0        0  0 total
  elb 5xx/s    ▁▁▁▁▁▁▁▁▁█                                              0.03        0     0.03  2 total
  connections  ██████████                                                12       12       12  mean 12
  new/s        ██████████                                              0.05     0.05     0.05  30 total
  bytes/s      ██████████                                           56.7 MB  56.7 MB  56.7 MB  34 GB total

bars: from 0 to MAX, percentages to 100% at least; · unknown
"""

ASCII_80 = """\
shop  2026-11-21 10:00:00 to 10:10:00 UTC (10 min), a character is 1 min
  incomplete        !

web                                              LAST      MAX  OVERALL
  requests/s   .:-  =##*_                           0        4  960 total
  errors/s     ___  #____                           0      0.1  6 (0.6%)
  p50          ...  #...                            -   200 ms  20 ms
  p95          ...  #...                            -   400 ms  40 ms
  p99          ...  #...                            -   600 ms  60 ms
  outstanding  ##########                         1.5      1.5  mean 1.5
  healthy      ###  ++###                      3 of 3        3
  cpu          ----------                         40%      40%  mean 40%
  memory       ----------                         31%      31%  mean 31%

         req/s to 1.3      err/s to 0.1      p95 to 400 ms     cpu to 140%
  web-1  :-=#-    0        _____    0        ..#..    -        .....    20%
  web-2  :-=#-    0        _____    0        ..#..    -        :::::    40%
  web-3  :-=#-    0        __#__    0        ..#..    -        #####    140%

load balancer                                    LAST      MAX  OVERALL
  elb 4xx/s    __________                           0        0  0 total
  elb 5xx/s    _________#                        0.03     0.03  2 total
  connections  ##########                          12       12  mean 12
  new/s        ##########                        0.05     0.05  30 total
  bytes/s      ##########                     56.7 MB  56.7 MB  34 GB total

bars: from 0 to MAX, percentages to 100% at least; a gap is unknown
"""

NARROW = """\
shop  2026-11-21 10:00:00 to 10:10:00 UTC (10 min), a character is 1 min
  incomplete        !

web                                     LAST
  requests/s   ▂▃▄··▅██▇▁                  0
  errors/s     ▁▁▁··█▁▁▁▁                  0
  p50          ▂▂▂··█▂▂▂·                  -
  p95          ▂▂▂··█▂▂▂·                  -
  p99          ▂▂▂··█▂▂▂·                  -
  outstanding  ██████████                1.5
  healthy      ███··▆▆███             3 of 3
  cpu          ▄▄▄▄▄▄▄▄▄▄                40%
  memory       ▄▄▄▄▄▄▄▄▄▄                31%

         req/s to 1.3      err/s to 0.1
  web-1  ▃▄▅█▄    0        ▁▁▁▁▁    0
  web-2  ▃▄▅█▄    0        ▁▁▁▁▁    0
  web-3  ▃▄▅█▄    0        ▁▁█▁▁    0

load balancer                           LAST
  elb 4xx/s    ▁▁▁▁▁▁▁▁▁▁                  0
  elb 5xx/s    ▁▁▁▁▁▁▁▁▁█               0.03
  connections  ██████████                 12
  new/s        ██████████               0.05
  bytes/s      ██████████            56.7 MB

bars: from 0 to MAX, percentages to 100% at least; · unknown
"""


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def shown(answer: dict[str, Any], width: int = 100, glyphs: Glyphs = BLOCKS, **how: Any) -> str:
    return "\n".join([*table(answer, View(width, glyphs, how.pop("colour", False), **how)), ""])


def a_shop(**changes: Any) -> dict[str, Any]:
    """Ten minutes of a stack with one service of three targets; for two of them nobody was there to measure."""
    whole = {"error_rate": 0.00625, "p50": 0.02, "p95": 0.04, "p99": 0.06, "cpu": 40.0, "memory": 31.0}
    web = a_service(REQUESTS, errors=ERRORS, times=TIMES, healthy=HEALTHY, **whole)
    third: Values = [None if one is None else one / 3 for one in REQUESTS]
    targets = [a_service(third, times=TIMES, used=[20.0 * n] * 10, target=f"web-{n}") for n in (1, 2)]
    targets.append(a_service(third, errors=ERRORS, times=TIMES, used=[140.0] * 10, target="web-3"))
    return an_answer(a_stack(10), web, *targets, period=60, **changes)


@pytest.mark.parametrize(
    ("width", "glyphs", "picture"),
    [(110, BLOCKS, WIDE), (79, ASCII, ASCII_80), (44, BLOCKS, NARROW)],
    ids=["wide", "ascii", "narrow"],
)
def test_a_service_is_drawn_over_time_with_its_targets_and_the_balancer_below(
    width: int, glyphs: Glyphs, picture: str
) -> None:
    assert shown(a_shop(incomplete=[5]), width, glyphs) == picture


@pytest.mark.parametrize("width", range(40, 240, 7))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in shown(a_shop(incomplete=[5]), width).splitlines():
        # The sentences above and below may be cut; figures may not.
        assert len(line) <= width or line.startswith(("shop", "bars"))


def test_ascii_is_ascii() -> None:
    assert shown(a_shop(incomplete=[5]), 200, ASCII).isascii()


def row(picture: str, label: str) -> str:
    return next(line for line in picture.splitlines() if line.strip().startswith(label))


def test_nothing_measured_yet_says_so_and_draws_nothing() -> None:
    answer = an_answer()
    assert is_empty(answer)
    assert shown(answer).splitlines()[0] == ("shop  2026-11-21 10:00:00 to 10:00:00 UTC (0 s), a character is 1 s")


def test_a_span_of_which_nothing_is_known_is_one_gap_and_no_zero() -> None:
    answer = an_answer(a_service([None] * 5, errors=[None] * 5, healthy=[None] * 5, used=[None] * 5))
    picture = shown(answer)
    for label in ("requests/s", "errors/s", "p50", "healthy", "cpu"):
        line = row(picture, label)
        assert "·····" in line
        assert not any(digit in line.replace("p50", "").replace("of 3", "") for digit in "0123456789")
    assert not is_empty(answer)  # of outstanding requests something is known
    assert is_empty(an_answer(a_series(a_metric("RequestCount", [None] * 5))))


def test_one_point_is_one_character() -> None:
    picture = shown(an_answer(a_service([7], times=[0.01])))
    assert re.fullmatch(r"  requests/s   █ +7 +7 +7  7 total", row(picture, "requests/s"))
    assert re.fullmatch(r"  errors/s     ▁ +0 +0 +0  0", row(picture, "errors/s"))


def test_huge_numbers_keep_to_their_columns() -> None:
    many = 1.2e6
    answer = an_answer(
        a_service([many] * 4), a_series(a_metric("ProcessedBytes", [3.4e9] * 4, unit="Bytes"), service=None)
    )
    picture = shown(answer)
    assert row(picture, "requests/s").split()[2:] == ["1.2M", "1.2M", "1.2M", "4.8M", "total"]
    assert row(picture, "bytes/s").split()[2:] == ["3.4", "GB"] * 3 + ["13.6", "GB", "total"]
    ends = {line.rindex("1.2M", 0, 75) for line in picture.splitlines() if "1.2M" in line}
    assert len(ends) == 1


def test_what_others_named_cannot_speak_to_the_terminal() -> None:
    evil = "x\x1b[2J\n\t\u202e"
    answer = an_answer(
        a_service([1.0], service=evil),
        a_service([1.0], service=evil, target=evil),
        a_service([1.0], service=evil, zone=evil),
    )
    answer["stack"] = evil
    assert not set(shown(answer)) & {"\x1b", "\t", "\u202e"}
    assert not set(shown(an_answer(*answer["series"][1:]))) & {"\x1b", "\t", "\u202e"}
    assert "\x1b" not in shown(answer, wanted=("RequestCount",))


def test_what_no_number_can_be_is_not_known() -> None:
    answer = an_answer(a_service([1.0, float("nan"), float("inf"), "7", True, 2.0]))  # type: ignore[list-item]
    assert "▅····█" in row(shown(answer), "requests/s")


def test_colour_marks_what_is_wrong_and_changes_nothing_else() -> None:
    colours = re.compile(r"\x1b\[[0-9;]*m")
    answer = a_shop(incomplete=[9])
    answer["series"][1]["metrics"][0]["values"][-1] = 60
    plain, coloured = shown(answer, 110), shown(answer, 110, colour=True)
    assert colours.sub("", coloured) == plain
    assert "\x1b[31m" in row(coloured, "elb 5xx/s")
    assert "\x1b[31m" not in row(coloured, "errors/s")
    short = an_answer(a_service([1.0], errors=[1.0], healthy=[2.0]))
    for label in ("errors/s", "healthy"):
        assert "\x1b[31m" in row(shown(short, colour=True), label)


def test_several_periods_make_one_character_when_they_do_not_fit() -> None:
    answer = an_answer(a_service([1.0] * 599 + [101.0], times=[0.01] * 300 + [None] * 299 + [0.9]))
    picture = shown(answer, 79)
    assert "a character is 22 s" in picture
    assert "of times the slowest period of a character" in picture
    # The mean of a rate, and the slowest of the times.
    assert re.search(r" 5\.5 +5\.5  700 total$", row(picture, "requests/s"))
    assert re.search(r"·█ +900 ms +900 ms", row(picture, "p50"))


@pytest.mark.parametrize("seconds", [1, 59, 300, 3600, 86400, 14 * 86400, 10 * 365 * 86400])
@pytest.mark.parametrize("width", [40, 79, 99, 240])
def test_the_period_that_is_asked_for_fits_the_width(seconds: int, width: int) -> None:
    period = period_for(seconds, View(width, BLOCKS, False))
    assert period in PERIODS or period % 3600 == 0
    if period < 86400:
        points = seconds // period + 1
        picture = shown(an_answer(a_service([1.0] * points), period=period), width)
        assert "▁" * points in row(picture, "errors/s"), "folded"


def test_the_metrics_that_are_named_are_drawn_beside_each_other_for_all_who_have_them() -> None:
    answer = a_shop()
    for series in answer["series"]:
        series["metrics"] = [one for one in series["metrics"] if one["name"] in ("RequestCount", "TargetResponseTime")]
    picture = shown(answer, wanted=("TargetResponseTime", "RequestCount"))
    titles = [line.split("  ")[0] for line in picture.splitlines() if "LAST" in line]
    assert titles == [
        "TargetResponseTime p50", "TargetResponseTime p95", "TargetResponseTime p99", "RequestCount/s",
    ]  # fmt: skip
    block = picture[picture.index("RequestCount/s") :].splitlines()
    assert [line.split()[0] for line in block[1:5]] == ["web", "web-1", "web-2", "web-3"]
    assert block[1].endswith("960 total")


def test_a_level_has_its_mean_and_its_bounds_by_name() -> None:
    averages, least = a_metric("HealthyHostCount", [1.5, 3], "Average"), a_metric("HealthyHostCount", [1, 3], "Minimum")
    picture = shown(an_answer(a_series(averages, least)), wanted=("HealthyHostCount",))
    lines = [line for line in picture.splitlines() if line.startswith("  web")]
    assert [line.split()[2:] for line in lines] == [["3", "1.5", "3", "mean", "2.2"], ["3", "1", "3"]]


def test_each_target_asked_for_gets_a_block_of_its_own() -> None:
    picture = shown(an_answer(a_service([60], target="web-3"), period=60))
    assert picture.splitlines()[2].startswith("web-3  ")
    assert "elb" not in picture


def test_of_many_targets_those_that_ended_first_are_left_out() -> None:
    ended = [a_series(a_metric("RequestCount", [1.0] * n + [None] * (30 - n)), target=f"web-{n}") for n in range(1, 30)]
    picture = shown(an_answer(a_service([1.0] * 30), *ended))
    assert re.findall(r"^  (web-\d+)", picture, re.MULTILINE) == [f"web-{n}" for n in range(10, 30)]
    assert "\n9 more targets that ended before; --target ID shows one\n" in picture
    there = [a_series(a_metric("RequestCount", [1.0]), target=f"web-{n}") for n in range(1, 31)]
    picture = shown(an_answer(a_service([1.0]), *there))
    assert len(re.findall(r"^  web-\d+", picture, re.MULTILINE)) == 30
    assert "ended" not in picture


def test_a_zone_asked_for_has_its_targets_below() -> None:
    picture = shown(an_answer(a_service([60], zone="b"), a_service([60], zone="b", target="web-3"), period=60))
    assert picture.splitlines()[2].startswith("web, zone b  ")
    assert row(picture, "web-3").split()[1:3] == ["█", "1"]


def test_the_scale_of_a_column_is_never_below_a_value_in_it() -> None:
    """The last value is of fewer seconds than the last character."""
    values = [0.0] * 29 + [30.0]
    picture = shown(an_answer(a_service(values), a_service(values, target="web-1")), 100)
    heading = next(line for line in picture.splitlines() if "req/s" in line)
    assert "req/s to 30" in heading
    assert "err/s  " in heading  # a scale that goes to nothing is none
    assert row(picture, "web-1").split()[2] == "30"


def test_zones_are_compared_as_targets_are() -> None:
    zones = [a_service([30], zone=zone) for zone in "ab"]
    picture = shown(an_answer(a_service([60]), *zones, period=60))
    assert row(picture, "zone a").split()[2:5] == ["█", "0.5", "▁"]


def test_a_worker_has_cpu_and_memory_and_nothing_about_requests() -> None:
    levels = [a_metric(name, [5.0], "Average", "Percent") for name in ("CPUUtilization", "MemoryUtilization")]
    never = [a_metric("RequestCount", [None]), a_metric("HealthyHostCount", [None], "Average")]
    size = [a_metric(name, [2.0], "Average") for name in ("GroupDesiredCapacity", "GroupInServiceInstances")]
    worker = a_series(*levels, *never, *size, service="worker")
    picture = shown(an_answer(worker, a_series(*levels, *never, service="worker", target="worker-1")))
    assert [line.split()[0] for line in picture.splitlines()[3:6]] == ["in", "cpu", "memory"]
    assert "2 of 2" in row(picture, "in service")
    assert row(picture, "cpu to").split() == ["cpu", "to", "100%", "mem", "to", "100%"]


def test_of_targets_of_others_nobody_knows_cpu_and_memory() -> None:
    answer = an_answer(a_service([1.0], used=[None]))
    answer["series"][0]["metrics"] = [
        one for one in answer["series"][0]["metrics"] if one["name"] != "MemoryUtilization"
    ]
    assert "cpu" not in shown(answer)


def test_while_the_balancer_does_not_answer_requests_are_a_gap_and_not_left_out() -> None:
    answer = an_answer(a_service([None] * 5, errors=[None] * 5, healthy=[0.0] * 5))
    assert "·····" in row(shown(answer), "requests/s")


def test_a_span_over_midnight_has_both_days() -> None:
    answer = an_answer(a_service([1.0] * 15), period=3600)
    assert "2026-11-21 10:00:00 UTC to 2026-11-22 01:00:00 UTC (15 h)" in shown(answer)
