"""B7: a target that leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conformance.client import request, websocket
from tests.conformance.facts import fact
from tests.conformance.rehearsal import Up
from tests.conformance.servers import Held, ok, silence

pytestmark = pytest.mark.live

FILE = """\
name: drains-NAME
services: {web: {targets: ["${env.a}", "${env.b}"], target_group: {retry: RETRY}}}
load_balancer: {listeners: [{port: "${env.PORT}", default: {forward: web}}]}
"""


def file(name: str, retry: str = "safe_methods") -> str:
    return FILE.replace("NAME", name).replace("RETRY", retry)


@fact("B7", "A draining target gets no new request, from the first moment", "real")
def test_b7_no_new_request(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("new"))
    assert {up.ask().text for _ in range(4)} == {"a", "b"}
    up.drain(up.target("web", "a"))
    before = len(up.servers["a"].heard)
    assert {up.ask(method=method).text for method in ("GET", "POST") for _ in range(8)} == {"b"}
    assert len(up.servers["a"].heard) == before


@fact("B7", "A client's kept connection goes on, with another target", "real")
def test_b7_connections_of_clients_go_on(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("kept"))
    with up.client() as client:
        assert {client.ask().text for _ in range(4)} == {"a", "b"}
        up.drain(up.target("web", "a"))
        assert {client.ask().text for _ in range(6)} == {"b"}


@fact("B7", "Requests in flight go on", "real")
def test_b7_requests_in_flight_go_on(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("flight"))
    up.drain(up.target("web", "b"))
    for method in ("GET", "POST"):
        up.restore(up.target("web", "a"))
        up.until_up(up.target("web", "a"))
        held = Held(ok(b"finished"))
        with up.servers["a"].doing(held), up.client() as client:
            before = len(up.servers["a"].heard)
            client.send(request(method=method))
            up.rehearsal.until(lambda: len(up.servers["a"].heard) > before, "the request at the target")  # noqa: B023
            up.drain(up.target("web", "a"))
            up.rehearsal.until(_sessions(up, 1), "the request being counted")
            up.rehearsal.run(held.let_go())
            assert client.answer().text == "finished"
        up.rehearsal.until(_sessions(up, 0), "the request to be gone")


def _sessions(up: Up, count: int) -> Callable[[], bool]:
    def holds() -> bool:
        report = up.report(up.target("web", "a"))
        return report is not None and report.sessions == count

    return holds


@fact("B7", "A WebSocket goes on until the delay ends, and is closed then", "real")
def test_b7_a_websocket_goes_on(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("socket"))
    up.drain(up.target("web", "b"))
    with up.client() as client:
        assert websocket(client).status == 101
        up.drain(up.target("web", "a"))
        time.sleep(0.3)
        assert client.send(b"still").read(5) == b"still"
        up.deregister(up.target("web", "a"))
        assert client.ends()


@fact("B7", "At the end of the delay a request in flight gets 502", "beyond",
      "a GET whose answer has not begun goes to another target; with `retry: off`, and of any other method, it gets 502")  # fmt: skip
def test_b7_the_end_of_the_delay(bring_up: Callable[..., Up]) -> None:
    for retry, expected in (("off", {"GET": 502, "POST": 502}), ("safe_methods", {"GET": 200, "POST": 502})):
        for method, status in expected.items():
            up = bring_up(file(f"end-{retry[:3]}-{method.lower()}", retry))
            with up.servers["a"].doing(silence()), up.servers["b"].doing(ok(b"b")), up.client() as client:
                a, b = (up.servers[name].heard for name in "ab")
                while not a:
                    others = len(b)
                    client.send(request(method=method))
                    up.rehearsal.until(lambda a=a, b=b, others=others: a or len(b) > others, "it at a target")
                    if not a:
                        client.answer()
                up.drain(up.target("web", "a"))
                up.deregister(up.target("web", "a"))
                assert client.answer().status == status


@fact("B7", "With a delay of 0 the target is cut off at once", "real")
def test_b7_no_delay(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("zero").replace("retry:", "deregistration_delay: 0s, retry:"))
    target = up.target("web", "a")
    began = time.monotonic()
    up.drain(target)
    up.deregister(target)
    assert time.monotonic() - began < 30
    assert {up.ask().text for _ in range(4)} == {"b"}


@fact("B7", "A target stays `draining` until the delay is over, even when nothing is left in it", "approximated",
      "it is let go as soon as nothing is left in it; the delay is the longest that it may take")  # fmt: skip
def test_b7_an_idle_target_is_let_go(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("idle"))
    target = up.target("web", "a")
    up.drain(target)
    up.rehearsal.until(lambda: (one := up.report(target)) and (one.mode, one.sessions) == ("draining", 0), "draining")
    up.deregister(target)
    up.rehearsal.until(lambda: up.report(target) is None, "its end")


@fact("B7", "A draining target that is registered again goes through `initial`", "approximated",
      "`instance return` gives it requests again as soon as its checks pass")  # fmt: skip
def test_b7_a_target_may_come_back(bring_up: Callable[..., Up]) -> None:
    up = bring_up(file("back"))
    target = up.target("web", "a")
    up.drain(target)
    assert {up.ask().text for _ in range(4)} == {"b"}
    up.restore(target)
    up.until_up(target)
    up.until_posts_go("a", "b")
    assert {up.ask(method=method).text for method in ("GET", "POST") for _ in range(6)} == {"a", "b"}
