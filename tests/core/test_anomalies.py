"""Who answers with more errors than the others gets fewer requests, and is given another chance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.anomalies import FEWEST, FULL, LEAST, Tally, judge

STEPS = math.ceil(math.log2(FULL / LEAST))


def a_tally(requests: int, errors: int = 0) -> Tally:
    return Tally(requests=requests, errors=errors)


def weights_of(tallies: dict[str, Tally], weights: dict[str, int] | None = None) -> dict[str, int]:
    return {name: verdict.weight for name, verdict in judge(tallies, weights or {}).items()}


@pytest.mark.parametrize(
    ("tallies", "held_back"),
    [
        ({"a": (100, 30), "b": (100, 0), "c": (100, 0)}, "a"),
        ({"a": (100, 100), "b": (100, 0), "c": (100, 2)}, "a"),
        ({"a": (20, 5), "b": (20, 0), "c": (20, 0)}, "a"),
        ({"a": (100, 60), "b": (100, 55), "c": (100, 0), "d": (100, 0)}, "ab"),
        ({"a": (100, 60), "b": (100, 30), "c": (100, 0)}, "a"),  # never more than half
        ({"a": (100, 50), "b": (100, 50), "c": (100, 50)}, ""),
        ({"a": (100, 12), "b": (100, 10), "c": (100, 8)}, ""),
        ({"a": (1000, 40), "b": (1000, 0), "c": (1000, 0)}, ""),  # within the margin
        ({"a": (2, 2), "b": (100, 0), "c": (100, 0)}, ""),  # too few to tell
        ({"a": (100, 100), "b": (0, 0), "c": (0, 0)}, ""),  # nobody to compare with
        ({"a": (0, 0), "b": (0, 0), "c": (0, 0)}, ""),
        ({"a": (100, 100), "b": (100, 0)}, ""),  # too few targets
    ],
)
def test_who_is_held_back(tallies: dict[str, tuple[int, int]], held_back: str) -> None:
    weights = weights_of({name: a_tally(*numbers) for name, numbers in tallies.items()})
    assert {name for name, weight in weights.items() if weight < FULL} == set(held_back)


def test_the_reason_names_both_shares() -> None:
    verdict = judge({"a": a_tally(50, 20), "b": a_tally(50), "c": a_tally(50, 1)}, {})["a"]
    assert verdict.anomalous
    assert verdict.reason == "40% of its 50 requests failed, 1% of the others'"


def test_one_that_goes_on_failing_falls_to_the_least_and_stays_there() -> None:
    weights: dict[str, int] = {}
    for _ in range(4):
        weights = weights_of({"a": a_tally(10, 4), "b": a_tally(100), "c": a_tally(100)}, weights)
    assert weights == {"a": LEAST, "b": FULL, "c": FULL}
    weights = weights_of({"a": a_tally(3, 1), "b": a_tally(100), "c": a_tally(100)}, weights)
    assert weights["a"] == LEAST, "held back, it needs fewer errors to be told"


def test_with_too_few_targets_everybody_is_back_at_once() -> None:
    assert weights_of({"a": a_tally(9, 9), "b": a_tally(9)}, {"a": LEAST}) == {"a": FULL, "b": FULL}


TALLIES = st.integers(0, 500).flatmap(lambda n: st.builds(a_tally, st.just(n), st.integers(0, n)))
GROUPS = st.dictionaries(st.sampled_from([f"web-{number}" for number in range(1, 9)]), TALLIES)
WEIGHTS = st.dictionaries(st.sampled_from([f"web-{number}" for number in range(1, 9)]), st.integers(LEAST, FULL))


@given(tallies=GROUPS, weights=WEIGHTS)
def test_nobody_is_taken_to_nothing_and_most_keep_their_part(
    tallies: dict[str, Tally], weights: dict[str, int]
) -> None:
    after = judge(tallies, weights)
    assert after.keys() == tallies.keys()
    assert all(LEAST <= verdict.weight <= FULL and verdict.reason for verdict in after.values())
    fell = [name for name, verdict in after.items() if verdict.weight < weights.get(name, FULL)]
    assert len(fell) <= len(tallies) // 2


@given(tallies=GROUPS, weights=WEIGHTS)
def test_with_fewer_than_three_healthy_targets_nobody_is_held_back(
    tallies: dict[str, Tally], weights: dict[str, int]
) -> None:
    few = dict(list(tallies.items())[: FEWEST - 1])
    assert all(verdict.weight == FULL for verdict in judge(few, weights).values())


@given(
    share=st.tuples(st.integers(0, 20), st.integers(1, 20)).filter(lambda pair: pair[0] <= pair[1]),
    sizes=st.lists(st.integers(0, 50), min_size=3, max_size=8),
)
def test_errors_that_are_as_frequent_everywhere_are_nobodys(share: tuple[int, int], sizes: list[int]) -> None:
    errors, requests = share
    tallies = {f"web-{n}": a_tally(requests * size, errors * size) for n, size in enumerate(sizes, 1)}
    assert not any(verdict.anomalous for verdict in judge(tallies, {}).values())


@given(weights=WEIGHTS, sizes=st.lists(st.integers(0, 200), min_size=3, max_size=8))
def test_without_errors_everybody_has_its_full_weight_again_after_a_few_steps(
    weights: dict[str, int], sizes: list[int]
) -> None:
    tallies = {f"web-{n}": a_tally(size) for n, size in enumerate(sizes, 1)}
    for _ in range(STEPS):
        weights = weights_of(tallies, weights)
    assert set(weights.values()) == {FULL}


@given(tallies=GROUPS, weights=WEIGHTS)
def test_the_order_of_the_targets_does_not_matter(tallies: dict[str, Tally], weights: dict[str, int]) -> None:
    assert judge(tallies, weights) == judge(dict(reversed(tallies.items())), weights)
