"""A group in words: for `status` and `explain`."""

from __future__ import annotations

import pytest

from fairlead.core.scaling.group import Sizes
from fairlead.core.scaling.policies import Policy
from fairlead.core.scaling.shown import PoolShown, ScheduleShown, shown

from ..builders import a_service
from .builders import a_group_of, a_history, asked, keep, kept_at, steps


def sentence(policy: Policy, *values: float | None, desired: int = 4, **sizes: int) -> str:
    service = a_group_of(policy, desired=desired, **sizes)
    verdict = asked(service, a_history(service, *values, counted=desired))
    found = shown(service, None, proposals=verdict.proposals)
    return found.would[0]


def test_before_anything_has_changed_it_is_as_the_file_says() -> None:
    service = a_group_of(keep(), warm_pool=2)
    found = shown(
        service, None, held="why not", schedule=[ScheduleShown(name="m", next=None, text="min 4")], warm=(1, 1)
    )
    assert (found.minimum, found.desired, found.maximum, found.declared) == (1, 2, 10, service.sizes)
    assert (found.by_hand, found.reason, found.at, found.held) == (False, "", "", "why not")
    assert found.warm_pool == PoolShown(size=2, ready=1, starting=1)
    assert found.schedule[0].name == "m"


def test_what_changed_it_last() -> None:
    service = a_group_of(keep())
    found = shown(service, kept_at(service, 5, by_hand=True, reason="a hand", at="then"))
    assert (found.desired, found.by_hand, found.reason, found.at) == (5, True, "a hand", "then")
    assert found.declared == Sizes(minimum=1, desired=2, maximum=10)


def test_a_fixed_size_has_no_warm_pool() -> None:
    assert shown(a_service(), None).warm_pool.size == 0


@pytest.mark.parametrize(
    ("values", "state", "wants", "capacity", "text"),
    [
        ([150.0] * 3, "ALARM", "out", 6, "requests_per_target 150/s, target 100/s"),
        ([20.0] * 15, "ALARM", "in", 1, "requests_per_target 20/s, target 100/s"),
        ([95.0] * 3, "OK", "hold", 5, "requests_per_target 95/s, target 100/s"),
        ([None], "INSUFFICIENT_DATA", "unknown", None, "requests_per_target unknown, target 100/s"),
    ],
)
def test_policies(values: list[float | None], state: str, wants: str, capacity: int | None, text: str) -> None:
    service = a_group_of(keep(), desired=4)
    verdict = asked(service, a_history(service, *values, counted=4))
    found = shown(service, None, proposals=verdict.proposals).policies[0]
    assert (found.name, found.metric) == ("requests_per_target at 100/s", "requests_per_target")
    assert (found.state, found.wants, found.capacity, found.text) == (state, wants, capacity, text)


def test_a_step_policy_in_words() -> None:
    service = a_group_of(steps((0, None, 1)))
    verdict = asked(service, a_history(service, 20.0))
    assert shown(service, None, proposals=verdict.proposals).policies[0].text == "custom:queue 20, steps above 50"


def test_what_would_change_it() -> None:
    both = "requests_per_target is 95/s: above 100/s for 3 s scales out, below 90/s for 15 s scales in"
    assert sentence(keep(), 95.0) == both
    assert sentence(keep(), 95.0, desired=10).startswith("requests_per_target is 95/s: it is at its maximum, 10")
    assert sentence(keep(), 95.0, desired=1).endswith("; it is at its minimum, 1")
    assert sentence(keep(scale_in=False), 95.0).endswith("; it never scales in")
    assert sentence(steps((0, None, 1)), 20.0) == "custom:queue is 20: at or above 50 for 3 s scales out by its steps"
    unknown = "requests_per_target is unknown: requests_per_target at 100/s asks for nothing, and no target lets the group scale in"
    assert sentence(keep(), None) == unknown
    # Neither of these has a say in a scale-in.
    assert sentence(keep(scale_in=False), None).endswith(" asks for nothing")
    assert sentence(steps((0, None, 1)), None) == "custom:queue is unknown: custom:queue above 50 asks for nothing"


@pytest.mark.parametrize(
    ("policy", "would"),
    [
        (steps((None, 0, -1), comparison="below"), "at or below 50 for 15 s scales in by its steps"),
        (steps((None, 0, -1), comparison="below", scale_in=False), "at or below 50 changes nothing"),
        (steps((0, 10, 0), (10, None, 2), scale_out_after=2), "at or above 50 for 2 s scales out by its steps"),
        (
            steps((0, 10, -1), (10, None, 2), scale_out_after=30, scale_in_after=150),
            "at or above 50 for 30 s scales out, for 2 min 30 s scales in by its steps",
        ),
        (steps((None, 0, 1), comparison="below"), "at or below 50 for 3 s scales out by its steps"),
        (steps((0, None, 6), adjustment="exact_capacity"), "at or above 50 for 3 s scales out by its steps"),
        (steps((0, None, 4), adjustment="exact_capacity"), "at or above 50 changes nothing"),
        (steps((0, None, 0), adjustment="exact_capacity"), "at or above 50 for 15 s scales in by its steps"),
    ],
)
def test_what_a_step_policy_would_do_and_after_how_long(policy: Policy, would: str) -> None:
    assert sentence(policy, 20.0) == f"custom:queue is 20: {would}"


def test_the_schedule_would_change_it_too() -> None:
    coming = ScheduleShown(name="morning", next="2026-01-02T08:00:00Z", text="min 4")
    never = ScheduleShown(name="never", next=None, text="min 4")
    found = shown(a_group_of(), None, schedule=[coming, never])
    assert found.would == ("the scheduled action morning sets min 4 at 2026-01-02T08:00:00Z",)


def test_the_warm_pool_has_the_room_that_is_left() -> None:
    service = a_group_of(keep(), warm_pool=3, maximum=4)
    assert shown(service, kept_at(service, 2)).warm_pool.size == 2
    assert shown(service, kept_at(service, 4)).warm_pool.size == 0
