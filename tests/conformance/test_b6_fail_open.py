"""B6: when nobody is healthy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.conformance.facts import fact
from tests.conformance.rehearsal import Up

pytestmark = pytest.mark.live

FILE = """\
name: open
services:
  web: {targets: ["${env.a}", "${env.b}"], health_check: {interval: 200ms, timeout: 200ms}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""


@pytest.fixture
def ill(up: Up) -> object:
    """Both targets are unhealthy while the test runs."""
    targets = [up.target("web", name) for name in ("a", "b")]
    for name, target in zip(("a", "b"), targets, strict=True):
        up.servers[name].health = 503
        up.until_down(target)
    yield up
    for name, target in zip(("a", "b"), targets, strict=True):
        up.servers[name].health = 200
        up.until_up(target)


@fact("B6", "With no healthy target, requests go to all that are registered, by the normal algorithm", "real")
def test_b6_fail_open(ill: Up) -> None:
    ill.until_posts_go("a", "b")
    for method in ("GET", "POST"):
        assert Counter(ill.ask(method=method).text for _ in range(10)) == {"a": 5, "b": 5}


@fact("B6", "With a healthy target again, only that one gets requests", "real")
def test_b6_the_end_of_fail_open(ill: Up) -> None:
    ill.servers["a"].health = 200
    ill.until_up(ill.target("web", "a"))
    ill.until_posts_go("a")
    assert {ill.ask(method=method).text for method in ("GET", "POST") for _ in range(5)} == {"a"}


@fact("B6", "Under fail-open the client sees whatever the target says, or 502 and 504", "real")
def test_b6_what_the_client_sees(bring_up: Callable[..., Up]) -> None:
    up = bring_up(FILE.replace("name: open", "name: open-dead"))
    for name in ("a", "b"):
        up.rehearsal.run(up.servers[name].kill())
    for name in ("a", "b"):
        up.until_down(up.target("web", name))
    assert {up.ask(method=method).status for method in ("GET", "POST") for _ in range(3)} == {502}


@fact("B6", "An initial target gets requests under fail-open only", "approximated",
      "never: it gets its first request after its first passed check")  # fmt: skip
def test_b6_an_initial_target_under_fail_open(bring_up: Callable[..., Up]) -> None:
    up = bring_up(FILE.replace("name: open", "name: open-initial"), admit=False)
    up.servers["b"].health = 503
    first = up.register("web", "a")
    up.admit(first)
    second = up.register("web", "b")
    up.servers["a"].health = 503
    up.until_down(first)
    up.rehearsal.until(lambda: (report := up.report(second)) and report.check, "a finished check")
    assert {up.ask(method=method).text for method in ("GET", "POST") for _ in range(5)} == {"a"}


@fact("B6", "A draining target gets no new request under fail-open either", "real")
def test_b6_a_draining_target_under_fail_open(bring_up: Callable[..., Up]) -> None:
    up = bring_up(FILE.replace("name: open", "name: open-draining"))
    for name in ("a", "b"):
        up.servers[name].health = 503
        up.until_down(up.target("web", name))
    up.drain(up.target("web", "a"))
    assert {up.ask(method=method).text for method in ("GET", "POST") for _ in range(5)} == {"b"}


@fact(
    "B6", "Fail-open holds below a threshold of healthy targets, 1 unless told otherwise", "approximated", "always at 0"
)
def test_b6_one_healthy_target_is_enough(up: Up) -> None:
    up.servers["a"].health = 503
    up.until_down(up.target("web", "a"))
    assert {up.ask().text for _ in range(6)} == {"b"}
    up.servers["a"].health = 200
    up.until_up(up.target("web", "a"))
