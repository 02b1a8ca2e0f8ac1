"""The life of an instance is one table."""

from __future__ import annotations

import pytest

from fairlead.core.lifecycle import TABLE, Event, ImpossibleEvent, advance
from fairlead.core.observed import State
from fairlead.core.processes import Outcome

from .builders import a_record

STATES: tuple[State, ...] = ("pending", "warm", "in_service", "terminating", "ended")
EVENTS: tuple[Event, ...] = ("admit", "warm", "retire", "deregister", "stop", "end")


def test_a_whole_life() -> None:
    record = a_record(state="pending")
    record = advance(record, "admit", 1.0)
    assert (record.state, record.in_service_at) == ("in_service", 1.0)
    record = advance(record, "retire", 2.0, why="scale-in")
    assert (record.state, record.terminating_at, record.why) == ("terminating", 2.0, "scale-in")
    record = advance(record, "deregister", 3.0)
    record = advance(record, "stop", 4.0)
    record = advance(record, "end", 5.0, outcome=Outcome(exit_status=0))
    assert (record.state, record.deregistered_at, record.stopping_at, record.ended_at) == ("ended", 3.0, 4.0, 5.0)


def test_a_life_in_the_warm_pool() -> None:
    record = advance(a_record(state="pending", pooled=True), "warm", 1.0)
    assert (record.state, record.pooled, record.warm_at, record.in_service_at) == ("warm", True, 1.0, None)
    record = advance(record, "admit", 2.0)
    assert (record.state, record.pooled, record.in_service_at) == ("in_service", False, 2.0)
    record = advance(record, "warm", 3.0)
    assert (record.state, record.pooled, record.warm_at, record.in_service_at) == ("warm", True, 3.0, 2.0)
    assert advance(record, "admit", 4.0).in_service_at == 4.0


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_what_the_table_lacks_is_refused_and_changes_nothing(state: State, event: Event) -> None:
    record = a_record(state=state, deregistered_at=None if event == "deregister" else 1.0)
    if (state, event) in TABLE:
        assert advance(record, event, 9.0).state == TABLE[state, event]
        return
    with pytest.raises(ImpossibleEvent, match=f"web-1 is {state}: it cannot {event}"):
        advance(record, event, 9.0)


def test_sigterm_is_recorded_once_and_only_after_the_balancer_let_go() -> None:
    record = a_record(state="terminating")
    with pytest.raises(ImpossibleEvent):
        advance(record, "stop", 1.0)
    stopping = advance(advance(record, "deregister", 1.0), "stop", 2.0)
    with pytest.raises(ImpossibleEvent):
        advance(stopping, "stop", 3.0)
    with pytest.raises(ImpossibleEvent):
        advance(stopping, "deregister", 3.0)
