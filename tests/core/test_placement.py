"""Zones stay balanced; who carries no traffic goes first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.placement import choose_to_terminate, choose_zone
from fairlead.core.scaling.policies import TerminationPolicy

from .builders import a_target, serving, starting, unhealthy


def test_the_emptiest_zone_is_chosen_and_ties_go_by_name() -> None:
    assert choose_zone(("a", "b", "c"), ["a", "b", "b"]) == "c"
    assert choose_zone(("b", "a"), []) == "a"


def test_the_fullest_zone_gives_first() -> None:
    instances = [serving(1, zone="a"), serving(2, zone="b"), serving(3, zone="b")]
    assert [chosen.record.id for chosen in choose_to_terminate(instances, 1)] == ["web-3"]


def test_without_traffic_first_then_the_oldest_release_then_the_newest_instance() -> None:
    instances = [serving(1, release=2), serving(2, release=1), serving(3, release=1), unhealthy(4), starting(5)]
    assert [chosen.record.number for chosen in choose_to_terminate(instances, 5)] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("default", [3, 2, 4, 1]),
        ("oldest_release", [2, 3, 1, 4]),
        ("oldest_instance", [1, 2, 3, 4]),
        ("newest_instance", [4, 3, 2, 1]),
    ],
)
def test_the_termination_policy_decides_within_a_zone(policy: TerminationPolicy, expected: list[int]) -> None:
    instances = [serving(1, release=2), serving(2), serving(3), serving(4, release=2)]
    assert [chosen.record.number for chosen in choose_to_terminate(instances, 4, policy)] == expected


def test_zones_outrank_the_policy_and_even_ones_do_not() -> None:
    uneven = [serving(1, zone="a"), serving(2, zone="b"), serving(3, zone="b")]
    assert [chosen.record.number for chosen in choose_to_terminate(uneven, 1, "oldest_instance")] == [2]
    even = [serving(1, zone="b"), serving(2, zone="a")]
    assert [chosen.record.number for chosen in choose_to_terminate(even, 1, "oldest_instance")] == [1]


def test_those_that_stay_fill_their_zones_too() -> None:
    kept = serving(1, zone="b", protected=True), serving(2, zone="b", protected=True)
    candidates = [serving(3, zone="a"), serving(4, zone="b")]
    assert [chosen.record.number for chosen in choose_to_terminate(candidates, 1, "default", kept)] == [4]


def test_one_that_was_given_back_a_moment_ago_is_not_taken_for_one_without_traffic() -> None:
    back = replace(serving(1), target=a_target(1, mode="draining", up=False))
    aside = replace(back, record=replace(back.record, id="web-2", number=2, drained=True))
    assert [chosen.record.number for chosen in choose_to_terminate([back, serving(3)], 1)] == [3]
    assert [chosen.record.number for chosen in choose_to_terminate([aside, serving(3)], 1)] == [2]


def test_more_than_there_are_or_less_than_none_are_bounded() -> None:
    assert len(choose_to_terminate([serving(1)], 5)) == 1
    assert choose_to_terminate([serving(1)], -1) == ()


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(0, 12))
def test_zones_never_drift_apart(zones: list[str], count: int) -> None:
    occupied: list[str] = []
    for _ in zones:
        occupied.append(choose_zone(("a", "b", "c"), occupied))
    instances = [serving(number, zone=zone) for number, zone in enumerate(occupied, 1)]
    left = set(instances) - set(choose_to_terminate(instances, count))
    sizes = Counter(instance.record.zone for instance in left)
    assert max(sizes.values(), default=0) - min((sizes[zone] for zone in "abc"), default=0) <= 1
