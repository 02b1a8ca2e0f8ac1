"""What a real HAProxy counts: how long targets take, and what it answers itself. One runs for all of these tests."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fairlead.core.latency import ERROR, percentile
from fairlead.core.model import Conditions as When
from fairlead.core.model import Listener, Redirect, Respond, Rule, forward_to
from fairlead.haproxy import own, timing
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_group, a_routing, a_rule
from tests.haproxy.ground import PATIENCE, Client, Mirror, serving, wire

pytestmark = pytest.mark.live

GROUPS = ("shop.web", "shop.gone", "a.web", "b.web")


@dataclass
class House:
    ports: dict[str, int]
    mirrors: dict[str, Mirror]
    runtime: str

    def asked(self, *commands: str) -> str:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(PATIENCE)
            one.connect(self.runtime)
            one.sendall(f"{';'.join(commands)}\n".encode())
            said = b""
            while more := one.recv(65536):
                said += more
        return said.decode()

    def times(self, group: str = "shop.web") -> dict[int, int]:
        return timing.parse(self.asked(*timing.questions(GROUPS))).get((group, f"{group.partition('.')[2]}-1"), {})

    def own(self, stack: str = "shop") -> dict[str, int]:
        return own.parse(self.asked(own.QUESTION)).get(stack, dict.fromkeys(own.KINDS, 0))

    def ask(self, port: str, *args: str, **fields: object) -> int:
        with Client(self.ports[port]) as client:
            return client.ask(wire(*args, **fields)).status  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def house(haproxy: str) -> Iterator[House]:
    ports = {name: free_port() for name in ("plain", "rules", "shared")}
    rules = (
        Rule(when=When(paths=("/fixed",)), then=Respond(status=418, body="short")),
        Rule(when=When(paths=("/away",)), then=Redirect(status=301, host="x.test")),
        a_rule("gone", paths=("/gone",)),
        a_rule("empty", paths=("/empty",)),
    )
    routings = [
        a_routing(
            listeners=(
                Listener(port=ports["plain"], default=forward_to("web")),
                Listener(port=ports["rules"], default=None, rules=rules),
            ),
            groups=(a_group(), a_group(name="gone"), a_group(name="empty")),
        ),
        *(
            a_routing(
                stack=name,
                listeners=(
                    Listener(port=ports["shared"], default=None, rules=(a_rule("web", hosts=(f"{name}.test",)),)),
                ),
            )
            for name in ("a", "b")
        ),
    ]
    mirrors: dict[str, Mirror] = {}
    with serving(haproxy, routings, mirrors=mirrors, without=("shop.empty",)) as text:
        mirrors["shop.gone"].close()
        runtime = re.search(r"stats socket '(.*?)'", text)
        assert runtime is not None
        yield House(ports, mirrors, runtime[1])


def more(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    return {bucket: count - before.get(bucket, 0) for bucket, count in after.items() if count > before.get(bucket, 0)}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_answer_of_a_target_counts_once(house: House, method: str) -> None:
    before = house.times()
    with Client(house.ports["plain"]) as client:
        for _ in range(25):
            client.ask(wire(method))
    assert sum(more(before, house.times()).values()) == 25


@pytest.mark.parametrize("delay", [0.003, 0.04, 0.3])
def test_a_time_is_counted_in_its_bucket(house: House, delay: float) -> None:
    before, slowest = house.times(), 0.0
    house.mirrors["shop.web"].delay = delay
    try:
        with Client(house.ports["plain"]) as client:
            for _ in range(5):
                began = time.monotonic()
                client.ask(wire())
                slowest = max(slowest, time.monotonic() - began)
    finally:
        house.mirrors["shop.web"].delay = 0.0
    counted = more(before, house.times())
    assert sum(counted.values()) == 5
    least, most = percentile(counted, 0), percentile(counted, 100)
    assert least is not None
    assert most is not None
    assert delay * (1 - ERROR) - 0.0005 <= least <= most <= slowest * (1 + ERROR) + 0.0005


def test_what_no_target_answered_has_no_time(house: House) -> None:
    before = house.asked(*timing.questions(GROUPS))
    assert house.ask("rules", target="/gone") == 502
    assert house.ask("rules", target="/fixed") == 418
    assert timing.parse(house.asked(*timing.questions(GROUPS))) == timing.parse(before)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("rules", "GET", "/fixed"), {"4XX": 1, "fixed_response": 1}),
        (("rules", "GET", "/away"), {"3XX": 1, "redirect": 1}),
        (("rules", "GET", "/gone"), {"5XX": 1, "502": 1}),
        (("rules", "GET", "/empty"), {"5XX": 1, "503": 1}),
        (("rules", "GET", "/unclaimed"), {"4XX": 1}),
        (("plain", "TRACE", "/"), {"4XX": 1}),
        (("plain", "GET", "/"), {}),
    ],
)
def test_what_the_balancer_answers_itself_is_counted_by_kind(
    house: House, asked: tuple[str, str, str], expected: dict[str, int]
) -> None:
    before = house.own()
    house.ask(*asked)
    after = house.own()
    assert {kind: after[kind] - before[kind] for kind in own.KINDS if after[kind] != before[kind]} == expected


def test_a_targets_own_error_is_not_the_balancers(house: House) -> None:
    before, mirror = house.own(), house.mirrors["shop.web"]
    mirror.answer = b"HTTP/1.1 503 Bad\r\nContent-Length: 0\r\n\r\n"
    try:
        assert house.ask("plain") == 503
    finally:
        mirror.answer = b""
    assert house.own() == before


def test_on_a_shared_port_own_answers_are_the_owners(house: House) -> None:
    house.mirrors["b.web"].answer = b"nonsense\r\n\r\n"
    try:
        with Client(house.ports["shared"]) as client:
            assert client.ask(wire("GET", headers=(("Host", "a.test"),))).status == 200
            assert client.ask(wire("POST", headers=(("Host", "b.test"),))).status == 502
    finally:
        house.mirrors["b.web"].answer = b""
    assert (house.own("a")["502"], house.own("b")["502"]) == (0, 1)
