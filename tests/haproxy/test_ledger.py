"""What is remembered between two looks."""

from __future__ import annotations

from dataclasses import replace

from fairlead.core.anomalies import Tally
from fairlead.core.traffic import Check
from fairlead.haproxy.commands import Row
from fairlead.haproxy.ledger import Ledger, sessions_in
from fairlead.haproxy.servers import Member
from tests.haproxy.builders import GROUP, a_target

PASSED = Check(status="L7OK", code=200, duration=0.001)


def server(
    name: str = "web-1", role: str = "", status: str = "UP", sessions: int = 0, check: Check | None = None
) -> Row:
    return Row(GROUP + role, name, status, sessions, 0, check, False)


def listener(requests: int, sessions: int = 0) -> Row:
    return Row("_l.127.0.0.1:8080", "FRONTEND", "OPEN", sessions, requests, None, False)


def members(mode: str = "in_service") -> dict[tuple[str, str], Member]:
    return {(GROUP, "web-1"): Member(target=a_target(1, mode=mode))}


def test_sessions_count_over_all_methods_and_over_processes_that_are_leaving() -> None:
    ledger = Ledger()
    ledger.look(2, (server(sessions=1), server(role=".w", sessions=2), server(role=".o", sessions=4)))
    ledger.look_back(1, (server(sessions=8),))
    assert ledger.reports(members())[0].sessions == 15
    ledger.gone(1)
    assert ledger.reports(members())[0].sessions == 7


def test_a_leaving_process_that_cannot_be_asked_may_still_be_inside_a_draining_target() -> None:
    ledger = Ledger()
    ledger.look(2, (server(status="DRAIN"),))
    ledger.look_back(1, (server(sessions=3),))
    ledger.cannot_ask(1, {(GROUP, "web-1")})
    assert ledger.reports(members("draining"))[0].sessions == 1
    assert ledger.reports(members("in_service"))[0].sessions == 0
    ledger.cannot_ask(1, {(GROUP, "web-9")})
    assert ledger.reports(members("draining"))[0].sessions == 0, "it came after that process was told to leave"
    ledger.cannot_ask(1, {(GROUP, "web-1")})
    ledger.gone(1)
    assert ledger.reports(members("draining"))[0].sessions == 0


def test_requests_never_fall() -> None:
    ledger = Ledger()
    ledger.look(1, (listener(10),))
    ledger.look(2, (listener(0),))
    assert ledger.requests == 10
    ledger.look_back(1, (listener(12),))
    ledger.gone(1)
    ledger.look(2, (listener(3),))
    assert ledger.requests == 15


def test_only_the_safe_ring_tells_the_check_and_whether_it_is_up() -> None:
    ledger = Ledger()
    ledger.look(1, (server(status="DOWN"), server(role=".w", status="UP", check=PASSED)))
    (report,) = ledger.reports(members())
    assert (report.up, report.check) == (False, None)


def test_a_check_is_forgotten_with_its_target() -> None:
    ledger = Ledger()
    ledger.look(1, (server(check=PASSED),))
    ledger.forget([])
    ledger.look(1, ())
    assert ledger.reports(members())[0].check is None


def test_a_change_of_who_is_usable_is_told_once_for_each_backend() -> None:
    ledger = Ledger()
    ledger.look(1, (server(), server(role=".w"), server(role=".o", status="no check")))
    assert ledger.changed() == {GROUP + role: frozenset({"web-1"}) for role in ("", ".w", ".o")}
    assert ledger.changed() == {}
    ledger.look(1, (server(status="DOWN"), server(role=".w"), server(role=".o", status="no check")))
    assert ledger.changed() == {GROUP: frozenset()}


def ramping(throttle: int | None) -> Row:
    return Row(GROUP, "web-1", "UP", 0, 0, None, False, throttle=throttle)


def test_a_backend_in_which_one_ramps_is_told_when_the_ramp_has_ended() -> None:
    ledger = Ledger()
    ledger.look(1, (ramping(7), server("web-2")))
    assert ledger.changed() == {}
    assert ledger.ramps() == {(GROUP, "web-1"): 7}
    ledger.look(1, (ramping(None), server("web-2")))
    assert ledger.changed() == {GROUP: frozenset({"web-1", "web-2"})}
    assert ledger.changed() == {}


def test_how_far_a_ramp_is_belongs_to_the_state_that_is_kept() -> None:
    ledger = Ledger()
    ledger.look(1, (ramping(7),))
    ledger.states_changed()
    ledger.look(1, (ramping(12),))
    assert ledger.states_changed()


def test_without_checks_up_means_in_rotation() -> None:
    ledger = Ledger()
    ledger.look(1, (server(status="no check"), server("web-2", status="DRAIN"), server("web-3", role=".w")))
    assert ledger.in_rotation() == {(GROUP, "web-1")}
    assert ledger.reports(members())[0].up


def test_what_came_of_requests_counts_over_all_methods() -> None:
    ledger = Ledger()
    rows = [
        Row(GROUP + role, "web-1", "UP", 0, 0, None, False, tally=Tally(requests=4, errors=1)) for role in ("", ".w")
    ]
    ledger.look(1, tuple(rows))
    assert ledger.tallies() == {(GROUP, "web-1"): Tally(requests=8, errors=2)}


def test_only_where_somebody_looks_a_target_is_anomalous_or_not() -> None:
    ledger = Ledger()
    ledger.look(1, (server(),))
    ((key, member),) = members().items()
    assert ledger.reports({key: member})[0].anomalous is None
    assert ledger.reports({key: member}, [GROUP])[0].anomalous is False
    assert ledger.reports({key: replace(member, weight=5)}, [GROUP])[0].anomalous is True


def test_only_a_change_of_state_makes_the_state_file_old() -> None:
    ledger = Ledger()
    ledger.look(1, (server(),))
    assert ledger.states_changed()
    ledger.look(1, (server(status="UP 1/2", sessions=3),))
    assert not ledger.states_changed()
    ledger.look(1, (server(status="DOWN"),))
    assert ledger.states_changed()


def test_a_new_process_is_looked_at_afresh() -> None:
    ledger = Ledger()
    ledger.look(1, (server(),))
    ledger.changed()
    ledger.states_changed()
    ledger.new_process()
    ledger.look(2, (server(),))
    assert ledger.changed()
    assert ledger.states_changed()


def test_what_is_open_in_a_process_counts_to_clients_and_to_targets() -> None:
    assert sessions_in((listener(5), server())) == 0
    assert sessions_in((listener(5, sessions=2), server(sessions=1))) == 3
