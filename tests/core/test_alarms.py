"""Alarms: told once when wrong for long enough, and once when well; unknown changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.alarms import AlarmRecord, Message, judge, key_of, measure, name_of, over
from fairlead.core.desired import Revision, Scaled, StackRecord
from fairlead.core.model import Alarm
from fairlead.core.observed import Instance, Observed

from .builders import BOOT, a_deployment, a_revision, a_service, a_stack, a_wish, serving, terminating

ALARM = Alarm(
    metric="unhealthy_targets", comparison="above", level=0.0, lasting=60.0, webhook="https://h.example/s3cret"
)
LOW = Alarm(metric="healthy_targets", comparison="below", level=2.0, lasting=0.0, command=("page",))


def rest(alarm: Alarm = ALARM) -> AlarmRecord:
    return AlarmRecord(stack="shop", key=key_of(alarm), alarm=alarm)


def play(
    *steps: tuple[float, float | None], record: AlarmRecord | None = None, boot: str = BOOT
) -> tuple[AlarmRecord, list[Message]]:
    """(time, value) one after the other; the last record, and every message."""
    record = record or rest()
    told = []
    for now, value in steps:
        record, message = judge(record, value, now=now, boot=boot, wall=f"at {now:g}")
        told += [message] if message else []
    return record, told


def test_it_fires_once_after_its_time_and_clears_once_as_soon_as_it_is_well() -> None:
    record, (fired, cleared) = play((0, 0), (10, 1), (69, 2), (70, 2), (71, 3), (200, 1), (201, 0), (202, 0))
    assert fired == Message(
        state="ALARM",
        value=2,
        since="at 10",
        at="at 70",
        text="unhealthy_targets has been 2 for 60 s (above 0)",
    )
    assert cleared == Message(
        state="OK", value=0, since="at 10", at="at 201", text="unhealthy_targets above 0 is over: it is 0"
    )
    assert record == rest()


def test_a_break_begins_the_time_again() -> None:
    record, told = play((0, 1), (59, 1), (60, 0), (61, 1), (120, 1))
    assert (told, record.firing, record.wrong_at) == ([], False, 61)


@pytest.mark.parametrize("firing", [False, True])
def test_unknown_changes_nothing(firing: bool) -> None:
    record = replace(rest(), firing=firing, wrong_at=10.0, boot=BOOT, since="at 10")
    assert play((500, None), record=record) == (record, [])


def test_a_silence_in_between_is_no_break() -> None:
    _, told = play((0, 1), (30, None), (60, 1))
    assert [message.state for message in told] == ["ALARM"]


def test_without_a_time_it_fires_at_once_and_below_is_below() -> None:
    _, told = play((0, 2), (1, 1), (2, 2), record=rest(LOW))
    assert [message.state for message in told] == ["ALARM", "OK"]


def test_after_a_restart_of_the_machine_the_time_begins_again_but_what_fired_has_fired() -> None:
    waiting = replace(rest(), wrong_at=5000.0, boot="boot-0", since="before")
    record, told = play((10, 1), record=waiting)
    assert (told, record.wrong_at, record.boot) == ([], 10, BOOT)
    fired = replace(waiting, firing=True)
    assert play((10, 1), record=fired) == (fired, [])
    _, (cleared,) = play((10, 0), record=fired)
    assert (cleared.state, cleared.since) == ("OK", "before")


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from([None, 0.0, 1.0, 5.0])), max_size=60))
def test_alarm_and_ok_alternate_whatever_comes(steps: list[tuple[float, float | None]]) -> None:
    now, timed = 0.0, []
    for pause, value in steps:
        now += pause
        timed.append((now, value))
    record, told = play(*timed)
    assert [message.state for message in told] == ["ALARM", "OK"] * (len(told) // 2) + ["ALARM"] * (len(told) % 2)
    assert record.firing == bool(len(told) % 2)


def test_one_that_is_no_longer_watched_is_told_to_be_over_if_it_fired() -> None:
    assert over(rest(), "why", wall="now") is None
    message = over(replace(rest(), firing=True, since="then"), "the stack was taken down", wall="now")
    assert message is not None
    assert (message.state, message.value, message.since) == ("OK", None, "then")
    assert message.text == "unhealthy_targets above 0 is no longer watched: the stack was taken down"


def test_a_key_tells_alarms_apart_by_who_is_told_and_holds_no_secret() -> None:
    assert name_of(LOW) == "healthy_targets below 2"
    other = replace(ALARM, webhook="https://h.example/other")
    assert key_of(ALARM) != key_of(other)
    assert key_of(ALARM) == key_of(replace(ALARM, lasting=1.0)), "another `for` is the same alarm"
    assert "s3cret" not in key_of(ALARM)


class TestMeasure:
    def of(self, wanted: StackRecord, *instances: Instance, **fields: Any) -> tuple[float | None, float | None]:
        healths = fields.pop("healths", {})
        states = {one.record.id: healths.get(one.record.id, "healthy") for one in instances}
        found = measure(wanted, Observed(instances=instances, boot=BOOT, **fields), states)
        return found["unhealthy_targets"], found["healthy_targets"]

    def test_all_is_well(self) -> None:
        assert self.of(a_wish(), serving(1), serving(2)) == (0, 2)

    def test_one_that_fails_its_checks_counts_and_so_does_one_that_is_missing(self) -> None:
        assert self.of(a_wish(), serving(1), serving(2), healths={"web-2": "unhealthy"}) == (1, 1)
        assert self.of(a_wish(), serving(1)) == (1, 1)
        assert self.of(a_wish(), serving(1), serving(2), healths={"web-2": "initial"}) == (1, 1)
        assert self.of(a_wish()) == (2, 0)

    def test_more_that_fail_than_are_missing_count_all(self) -> None:
        ill = {"web-3": "unhealthy", "web-4": "unhealthy"}
        assert self.of(a_wish(), *(serving(number) for number in range(1, 5)), healths=ill) == (2, 2)

    def test_one_that_leaves_does_not_count_when_another_serves_in_its_place(self) -> None:
        assert self.of(a_wish(), serving(1), serving(2), terminating(3), healths={"web-3": "draining"}) == (0, 2)

    def test_one_that_was_drained_by_hand_does_not_count(self) -> None:
        drained = serving(2, drained=True)
        assert self.of(a_wish(), serving(1), drained, healths={"web-2": "draining"}) == (0, 1)

    def test_a_service_without_any_healthy_target_is_seen_whatever_the_others_have(self) -> None:
        stack = a_stack(a_service("web", instances=2), a_service("docs", instances=1))
        assert self.of(a_wish(a_revision(stack)), serving(1), serving(2)) == (1, 0)

    def test_workers_and_services_scaled_to_nothing_do_not_count(self) -> None:
        stack = a_stack(a_service("web", instances=1), a_service("mail", instances=3, serves=False))
        assert self.of(a_wish(a_revision(stack)), serving(1)) == (0, 1)
        none = replace(a_wish(), scaled={"web": Scaled(desired=0, declared=2)})
        assert self.of(none) == (0, None)

    def test_the_size_set_by_hand_counts(self) -> None:
        assert self.of(replace(a_wish(), scaled={"web": Scaled(desired=3, declared=2)}), serving(1)) == (2, 1)

    def test_unknown_is_not_none(self) -> None:
        assert self.of(a_wish(), balancer_known=False) == (None, None)
        assert self.of(a_wish(wanted="down")) == (None, None)

    def test_what_has_never_served_does_not_count_while_it_is_brought_up(self) -> None:
        assert self.of(a_wish(deployment=a_deployment())) == (0, None)
        before = a_revision()
        stack = a_stack(a_service("web"), a_service("docs"))
        adding = a_wish(a_revision(stack), previous=before, deployment=a_deployment())
        assert self.of(adding, serving(1), serving(2)) == (0, 2)

    def test_while_a_deployment_changes_the_size_the_smaller_counts(self) -> None:
        small, large = a_revision(a_stack(a_service(instances=2))), a_revision(a_stack(a_service(instances=6)))
        both = (serving(1), serving(2))

        def moving(old: Revision, new: Revision) -> StackRecord:
            return a_wish(new, previous=old, deployment=a_deployment())

        assert self.of(moving(small, large), *both) == (0, 2)
        assert self.of(moving(large, small), *both) == (0, 2)
