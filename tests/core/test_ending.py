"""How a terminating instance leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.ending import next_step
from fairlead.core.observed import Instance
from fairlead.core.plan import Deregister, Drain, End, Kill, Stop
from fairlead.core.processes import Outcome, Process

from .builders import gone, terminating


def step(instance: Instance, now: float = 10.0, *, known: bool = True):  # type: ignore[no-untyped-def]
    return next_step(instance, now, deregistration_delay=30, stop_timeout=20, balancer_known=known)


def test_it_waits_while_requests_run_inside() -> None:
    assert step(terminating(sessions=2, terminating_at=5.0)) == (None, 35.0)


def test_it_is_deregistered_when_the_last_request_has_ended() -> None:
    assert step(terminating())[0] == Deregister(instance="web-1", reason="no request is left inside it")


def test_it_is_deregistered_when_the_delay_is_over() -> None:
    action, _ = step(terminating(sessions=2, terminating_at=5.0), now=35.0)
    assert action == Deregister(instance="web-1", reason="the deregistration delay of 30 s is over")


def test_no_sessions_in_a_snapshot_from_before_the_drain_mean_nothing() -> None:
    assert isinstance(step(terminating(mode="in_service"))[0], Drain)


def test_sigterm_comes_after_the_balancer_has_let_go() -> None:
    assert isinstance(step(terminating(deregistered_at=9.0))[0], Stop)


def test_sigkill_comes_when_the_stop_timeout_is_over() -> None:
    stopping = terminating(deregistered_at=9.0, stopping_at=10.0)
    assert step(stopping, now=29.9) == (None, 30.0)
    assert step(stopping, now=30.0)[0] == Kill(instance="web-1", reason="still there 20 s after SIGTERM (stop_timeout)")


def test_a_frozen_one_is_killed_while_still_draining_so_that_its_requests_go_elsewhere() -> None:
    frozen = replace(terminating(sessions=2), process=Process(alive=True, pid=1, frozen=True))
    assert isinstance(step(frozen)[0], Kill)
    let_go = replace(terminating(deregistered_at=1.0), process=Process(alive=True, pid=1, frozen=True))
    assert isinstance(step(let_go)[0], Kill)


def test_one_that_is_gone_is_deregistered_and_then_ended() -> None:
    assert isinstance(step(gone(terminating()))[0], Deregister)
    ended = step(gone(terminating(deregistered_at=1.0), Outcome(exit_status=0)))[0]
    assert ended == End(instance="web-1", outcome=Outcome(exit_status=0), reason="a test")


def test_one_that_was_never_launched_is_ended() -> None:
    never = replace(terminating(deregistered_at=1.0), process=None)
    assert step(never)[0] == End(instance="web-1", outcome=Outcome(), reason="a test")


def test_one_that_the_balancer_lacks_is_deregistered() -> None:
    assert isinstance(step(replace(terminating(), target=None))[0], Deregister)


@pytest.mark.parametrize(
    ("instance", "patience"), [(terminating(terminating_at=5.0), 30), (gone(terminating(terminating_at=5.0)), 5)]
)
def test_a_silent_balancer_is_waited_for_but_not_for_ever(instance: Instance, patience: float) -> None:
    assert step(instance, now=5.0 + patience - 0.1, known=False) == (None, 5.0 + patience)
    assert isinstance(step(instance, now=5.0 + patience, known=False)[0], Deregister)
