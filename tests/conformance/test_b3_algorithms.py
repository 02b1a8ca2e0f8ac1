"""B3: which target of a group gets a request."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conformance.client import request
from tests.conformance.facts import fact
from tests.conformance.files import with_group
from tests.conformance.rehearsal import Up, refusal_of
from tests.conformance.servers import Held, ok

pytestmark = pytest.mark.live

FILE = """\
name: algorithms
services:
  turns: {targets: ["${env.a}", "${env.b}", "${env.c}"]}
  idlest: {targets: ["${env.d}", "${env.e}"], target_group: {algorithm: least_outstanding_requests}}
  dice: {targets: ["${env.f}", "${env.g}"], target_group: {algorithm: weighted_random}}
load_balancer:
  listeners:
    - port: ${env.PORT}
      rules:
        - {when: {path: /idlest}, forward: idlest}
        - {when: {path: /dice}, forward: dice}
      default: {forward: turns}
"""

SLOW_START = """\
name: slow-NAME
services: {web: {targets: ["${env.old}", "${env.new}"], target_group: {slow_start: 4s}}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""


@fact("B3", "round_robin: each target in its turn", "real")
def test_b3_round_robin(up: Up) -> None:
    answers = [up.ask().text for _ in range(30)]
    assert Counter(answers) == {"a": 10, "b": 10, "c": 10}
    assert all(set(answers[n : n + 3]) == {"a", "b", "c"} for n in range(0, 30, 3))


@fact("B3", "round_robin: one ring for all methods", "approximated",
      "GET, HEAD and OPTIONS have a ring, all other methods another: either is exact")  # fmt: skip
def test_b3_two_rings(up: Up) -> None:
    answers = [(up.ask().text, up.ask(method="POST").text) for _ in range(9)]
    assert Counter(first for first, _ in answers) == {"a": 3, "b": 3, "c": 3}
    assert Counter(second for _, second in answers) == {"a": 3, "b": 3, "c": 3}


@fact("B3", "least_outstanding_requests: the target with the fewest requests in flight", "approximated",
      "GET, HEAD and OPTIONS are counted by themselves, all other methods by themselves")  # fmt: skip
def test_b3_least_outstanding_requests(up: Up) -> None:
    slow, quick, held = up.servers["d"], up.servers["e"], Held(ok(b"late"))
    with slow.doing(held), up.client() as client:
        before = len(slow.heard)
        # Of two idle ones either may be first; the next request is the other's.
        for answered in itertools.count(len(quick.heard)):
            client.send(request("/idlest"))
            up.rehearsal.until(
                lambda least=answered: len(slow.heard) > before or len(quick.heard) > least, "a target to be asked"
            )
            if len(slow.heard) > before:
                break
            assert client.answer().text == "e"
        assert [up.ask("/idlest").text for _ in range(8)] == ["e"] * 8
        up.rehearsal.run(held.let_go())
        assert client.answer().text == "late"


@fact("B3", "weighted_random: at random, with equal weights in equal shares", "real")
def test_b3_weighted_random(up: Up) -> None:
    with up.client() as client:
        answers = [client.ask("/dice").text for _ in range(400)]
    # 200 expected, with a standard deviation of 10: six of them.
    assert 140 <= answers.count("f") <= 260
    repeats = sum(one == two for one, two in itertools.pairwise(answers))
    assert 140 <= repeats <= 260


@fact("B3", "Anomaly mitigation: of three targets and more, one that answers with errors gets fewer requests", "real")
def test_b3_anomaly_mitigation(bring_up: Callable[..., Up]) -> None:
    up = bring_up("""\
name: anomalies
services:
  web:
    targets: ["${env.well}", "${env.fine}", "${env.ill}"]
    target_group: {algorithm: weighted_random, anomaly_mitigation: true}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
""")  # fmt: skip
    ill = up.target("web", "ill")
    with up.servers["ill"].doing(ok(b"ill", status=500)), up.client() as client:

        def anomalous() -> bool:
            for _ in range(20):
                client.ask()
            report = up.report(ill)
            return report is not None and report.anomalous is True

        up.rehearsal.until(anomalous, "the anomaly", patience=40)
        shares = Counter(client.ask().text for _ in range(300))
    assert shares["ill"] < 0.6 * min(shares["well"], shares["fine"])
    others = [up.report(up.target("web", name)) for name in ("well", "fine")]
    assert [report.anomalous for report in others if report] == [False, False]


@fact("B3", "weighted_random goes with neither slow start nor stickiness", "real",
      message="does not go with `algorithm: weighted_random`, on an ALB neither")  # fmt: skip
def test_b3_weighted_random_with_others(message: str) -> None:
    for other in ("slow_start: 30s", "stickiness: {type: lb_cookie}"):
        assert message in refusal_of(with_group(f"algorithm: weighted_random, {other}"))


@fact("B3", "least_outstanding_requests does not go with slow start", "real",
      message="does not go with `algorithm: least_outstanding_requests`, on an ALB neither")  # fmt: skip
def test_b3_least_outstanding_requests_with_slow_start(message: str) -> None:
    assert message in refusal_of(with_group("algorithm: least_outstanding_requests, slow_start: 30s"))


def at_most(seconds: float) -> float:
    """Of 30 requests, what a target may get beside another so many seconds after its slow start of 4 s began: HAProxy's
    steps are of a second, and a request more now and one less then is no promise broken."""
    weight = min(1.0, (seconds + 1.0) / 4.0)
    return 30 * weight / (1 + weight) + 1


@fact("B3", "Slow start: the share of a new target grows over the period", "real")
def test_b3_slow_start(bring_up: Callable[..., Up]) -> None:
    up = bring_up(SLOW_START.replace("NAME", "ramp"), admit=False)
    up.admit(up.register("web", "old"))
    began = time.monotonic()
    up.admit(up.register("web", "new"))
    shares = [0]
    with up.client() as client:
        while shares[-1] < 14:
            assert time.monotonic() - began < 60, shares
            shares.append(Counter(client.ask().text for _ in range(30))["new"])
            assert shares[-1] <= at_most(time.monotonic() - began), shares
            time.sleep(0.2)
    assert time.monotonic() - began > 2.5, shares
    assert all(later >= sooner - 1 for sooner, later in itertools.pairwise(shares)), shares


@fact("B3", "Slow start: the first targets of an empty group have their full share at once", "real")
def test_b3_no_slow_start_for_the_first(bring_up: Callable[..., Up]) -> None:
    up = bring_up(SLOW_START.replace("NAME", "first"))
    assert Counter(up.ask().text for _ in range(40)) == {"old": 20, "new": 20}


@fact("B3", "Slow start begins anew when an unhealthy target is healthy again", "real")
def test_b3_slow_start_after_recovery(bring_up: Callable[..., Up]) -> None:
    text = SLOW_START.replace("NAME", "again").replace("target_group", "health_check: {interval: 200ms}, target_group")
    up = bring_up(text, admit=False)
    up.admit(up.register("web", "old"))
    new = up.register("web", "new")
    up.admit(new)
    up.servers["new"].health = 503
    up.until_down(new)
    began = time.monotonic()
    up.servers["new"].health = 200
    up.until_up(new)
    with up.client() as client:
        share = Counter(client.ask().text for _ in range(30))["new"]
    assert share <= at_most(time.monotonic() - began)
