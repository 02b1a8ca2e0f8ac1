"""What a backend's counters say of its targets: on counters that HAProxy 2.8.25 really showed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.haproxy.counts import Counts
from fairlead.haproxy.ring import Done, Judged, Ring, done_by, judged
from tests.haproxy.counters import Backend, counts

GET, POST, OPEN = "", ".w", ".o"


def ring(role: str, backend: Counts, *servers: Counts) -> Ring:
    return Ring(role=role, backend=backend, servers={f"web-{number}": one for number, one in enumerate(servers, 1)})


def told(one: Done) -> dict[str, int]:
    """What went wrong."""
    names = ("requests", "connection_errors", "broken", "retried")
    return {name: getattr(one, name) for name in names if getattr(one, name)}


# fmt: off
SEEN = {
    "a silent end, the only target, three more attempts": (
        ring(GET, counts(taken=1, server_errors=1), counts(taken=4, failed=5, again=6, connects=4)),
        [{"requests": 4, "broken": 4, "retried": 3}], Judged(1, 1)),
    "a silent end at one of two": (
        ring(GET, counts(taken=2, successes=2),
             counts(taken=1, failed=1, again=1, elsewhere=1), counts(taken=2, successes=2)),
        [{"requests": 1, "broken": 1, "retried": 1}, {"requests": 2}], Judged(2, 0)),
    "a silent end at both": (
        ring(GET, counts(taken=1, server_errors=1),
             counts(taken=2, failed=2, again=2, elsewhere=2), counts(taken=2, failed=3, again=1, elsewhere=1)),
        [{"requests": 2, "broken": 2, "retried": 2}, {"requests": 2, "broken": 2, "retried": 1}], Judged(1, 1)),
    "one dies, the next request finds its port closed": (
        ring(GET, counts(taken=6, successes=6),
             counts(taken=4, successes=2, failed=1, again=1, elsewhere=2), counts(taken=4, successes=4)),
        [{"requests": 4, "connection_errors": 1, "broken": 1, "retried": 2}, {"requests": 4}], Judged(6, 0)),
    "a POST whose target closes": (
        ring(POST, counts(taken=2, successes=1, server_errors=1),
             counts(taken=1, failed=2), counts(taken=1, successes=1)),
        [{"requests": 1, "broken": 1}, {"requests": 1}], Judged(2, 1)),
    "nonsense, and none in time": (
        ring(GET, counts(taken=2, server_errors=2), counts(taken=1, failed=1), counts(taken=1, failed=1)),
        [{"requests": 1, "broken": 1}] * 2, Judged(2, 2)),
    "half an answer is an answer": (
        ring(GET, counts(taken=1, successes=1), counts(taken=1, successes=1, failed=1, cut=1)),
        [{"requests": 1}], Judged(1, 0)),
    "an answer that is none is replaced": (
        ring(POST, counts(taken=1, server_errors=1, replaced=1), counts(taken=1, replaced=1)),
        [{"requests": 1}], Judged(1, 1)),
    "no port is open": (
        ring(POST, counts(taken=1, server_errors=1, unreachable=1), counts(taken=4, unreachable=1, again=3, connects=4)),
        [{"requests": 4, "connection_errors": 4, "retried": 3}], Judged(1, 1)),
    "no port is open, of two": (
        ring(OPEN, counts(taken=2, server_errors=2, unreachable=1),
             counts(taken=4, elsewhere=4, connects=4), counts(taken=4, unreachable=2, elsewhere=2, connects=4)),
        [{"requests": 4, "connection_errors": 4, "retried": 4}, {"requests": 4, "connection_errors": 4, "retried": 2}],
        Judged(2, 2)),
    "nobody is there": (ring(OPEN, counts(taken=3, server_errors=3, denied=3)), [], Judged(0, 3)),
}
# fmt: on


@pytest.mark.parametrize("what", SEEN)
def test_what_haproxy_counted_is_read_as_what_happened(what: str) -> None:
    seen, told_of, judgement = SEEN[what]
    done = done_by(seen)
    assert [told(done[name]) for name in sorted(done)] == told_of
    assert judged(seen) == judgement


def test_attempts_to_connect_that_failed_opened_nothing() -> None:
    seen = ring(POST, counts(taken=2, successes=1), counts(taken=5, successes=1, unreachable=1, again=3, connects=5))
    assert done_by(seen)["web-1"].connections == 1


@given(st.lists(st.sampled_from(("ok", "nonsense", "cut", "silent")), max_size=30), st.sampled_from((GET, POST)))
def test_the_only_target_of_a_backend_is_read_exactly(outcomes: list[str], role: str) -> None:
    backend = Backend(role)
    for outcome in outcomes:
        backend.request("web-1", outcome)
    one = done_by(backend.ring()).get("web-1", Done())
    assert one == backend.did.get("web-1", Done())
    assert judged(backend.ring()) == Judged(backend.requests, backend.own)


@given(
    st.lists(st.tuples(st.sampled_from(("web-1", "web-2")), st.sampled_from(("ok", "silent", "refused"))), max_size=40)
)
def test_a_backend_with_two_is_read_exactly_when_what_fails_is_tried_at_the_other(seen: list[tuple[str, str]]) -> None:
    backend = Backend(GET)
    for name, outcome in seen:
        backend.request(name, outcome, other="web-2" if name == "web-1" else "web-1")
    assert done_by(backend.ring()) == backend.did


@given(
    st.lists(
        st.tuples(st.sampled_from(("web-1", "web-2", "web-3")), st.sampled_from(("ok", "nonsense", "silent", "cut", "refused"))),
        max_size=40,
    )
)  # fmt: skip
def test_however_targets_fail_the_sum_of_a_backend_is_exact(seen: list[tuple[str, str]]) -> None:
    backend = Backend(POST)
    for name, outcome in seen:
        backend.request(name, outcome)
    done = done_by(backend.ring())
    real = [sum(one.broken for one in several.values()) for several in (done, backend.did)]
    assert 0 <= real[0] - real[1] <= 3, "but for what sharing out rounds down"
    assert all(done[name].connection_errors == backend.did[name].connection_errors for name in done)
    assert all(done[name].retried == backend.did[name].retried for name in done)
