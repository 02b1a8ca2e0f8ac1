"""What came of requests over the last seconds."""

from __future__ import annotations

from fairlead.core.anomalies import PACE, WINDOW, Tally
from fairlead.haproxy.outcomes import Outcomes
from tests.haproxy.builders import GROUP

KEY = (GROUP, "web-1")


def so_far(requests: int, errors: int = 0) -> dict[tuple[str, str], Tally]:
    return {KEY: Tally(requests=requests, errors=errors)}


def test_only_the_window_counts_and_it_is_judged_at_its_pace() -> None:
    outcomes = Outcomes()
    outcomes.begin(0.0)
    judged = [now for now in range(31) if outcomes.note(float(now), so_far(10 * now, now))]
    assert judged == [PACE * turn for turn in range(1, 7)]
    assert outcomes.recent([KEY]) == {KEY: Tally(requests=10 * int(WINDOW), errors=int(WINDOW))}


def test_a_new_process_has_no_past() -> None:
    outcomes = Outcomes()
    outcomes.begin(0.0)
    for now in range(10):
        outcomes.note(float(now), so_far(100))
    outcomes.begin(10.0)
    assert outcomes.recent([KEY]) == {}
    assert not any(outcomes.note(10.0 + now, so_far(now)) for now in range(5))
    assert outcomes.note(15.0, so_far(7, 1))
    assert outcomes.recent([KEY]) == {KEY: Tally(requests=7, errors=1)}


def test_a_target_that_came_within_the_window_counts_from_its_beginning() -> None:
    outcomes = Outcomes()
    outcomes.begin(0.0)
    outcomes.note(0.0, {})
    outcomes.note(5.0, so_far(3, 1))
    assert outcomes.recent([KEY, (GROUP, "web-2")]) == {KEY: Tally(requests=3, errors=1), (GROUP, "web-2"): Tally()}


def test_a_target_whose_server_was_added_anew_counts_from_there() -> None:
    outcomes = Outcomes()
    outcomes.begin(0.0)
    outcomes.note(0.0, so_far(100, 9))
    outcomes.note(5.0, so_far(3, 1))
    assert outcomes.recent([KEY]) == {KEY: Tally(requests=3, errors=1)}
