"""What target groups promise, by a real HAProxy: algorithms, slow start, stickiness, one instance alone, kinds of
checks, the end of a drain (aws-semantics A7, B2 to B7)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fairlead.certificates.home import HomeCertificates
from fairlead.core import anomalies
from fairlead.core.model import HealthCheck, Listener, LoadBalancerAttributes, Opening, Stickiness, forward_to
from fairlead.core.traffic import BalancerReport, Target, Traffic
from fairlead.haproxy.node import HaproxyNode
from tests.haproxy.apps import App, ask, free_port, read_message
from tests.haproxy.builders import GROUP, a_check, a_group, a_routing, a_target
from tests.haproxy.h2apps import H2App, ask_h2
from tests.haproxy.worlds import RealWorld, admit, has_failed, is_down, is_up, report_of

pytestmark = pytest.mark.live

STICKY = Stickiness()
LONG = LoadBalancerAttributes(idle_timeout=61.0)
"""Another routing than the usual one: configuring it reloads HAProxy."""


async def serve(real: RealWorld, count: int, **changes: Any) -> list[Target]:
    """A group with `count` targets in rotation."""
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(**changes),)))
    targets = [await real.target(number) for number in range(1, count + 1)]
    await admit(real, *targets)
    return targets


async def answer(port: int, cookie: str = "", method: str = "GET") -> tuple[int, str, list[str]]:
    """Status, body and the cookies that were set, of a request with that Cookie header."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    shown = f"Cookie: {cookie}\r\n" if cookie else ""
    writer.write(f"{method} / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n{shown}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.read()
    writer.close()
    lines = head.decode().split("\r\n")
    given = [line.partition(": ")[2] for line in lines if line.lower().startswith("set-cookie:")]
    return int(lines[0].split(" ")[1]), body.decode(), given


def a_cookie(instance: str, left: float = 60.0) -> str:
    return base64.b64encode(f"{instance}|{int(time.time() + left)}".encode()).decode()


async def who(real: RealWorld, count: int, cookie: str = "", method: str = "GET") -> Counter[str]:
    return Counter([(await answer(real.port, cookie, method))[1] for _ in range(count)])


# --- algorithms -----------------------------------------------------------------------------------------------------


async def test_with_least_outstanding_requests_the_idle_target_gets_them(real: RealWorld) -> None:
    await serve(real, 2, algorithm="least_outstanding_requests")
    gate = real.apps["web-1"].gate = real.apps["web-2"].gate = asyncio.Event()
    slow = asyncio.create_task(ask(real.port), name="slow request")
    report = await real.until(lambda seen: any(one.sessions for one in seen.targets), "the request inside")
    (busy,) = [one.id for one in report.targets if one.sessions]
    for app in real.apps.values():
        app.gate = None
    assert busy not in await real.send(10)
    gate.set()
    assert (await slow).status == 200


async def test_weighted_random_is_even_in_the_long_run_and_serves_every_method(real: RealWorld) -> None:
    await serve(real, 3, algorithm="weighted_random")
    for method in ("GET", "POST"):
        shares = await who(real, 300, method=method)
        assert sum(shares.values()) == 300
        assert all(60 <= shares[f"web-{number}"] <= 140 for number in (1, 2, 3)), shares


def anomalous(*names: str) -> Callable[[BalancerReport], bool]:
    return lambda report: {one.id for one in report.targets if one.anomalous} == set(names)


async def test_a_target_that_answers_with_errors_gets_fewer_requests_until_it_does_not(
    real: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("PACE", 0.3), ("WINDOW", 0.6), ("STEP", 0.1)):
        monkeypatch.setattr(f"fairlead.haproxy.outcomes.{name}", seconds)
    targets = await serve(real, 3, algorithm="weighted_random", anomaly_mitigation=True)
    report = await real.balancer.observe()
    assert [one.anomalous for one in report.targets] == [False] * 3
    sick = real.apps["web-1"]
    sick.status = 500

    async def until(holds: Callable[[BalancerReport], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + 60
        while not holds(await real.balancer.observe()):
            assert asyncio.get_running_loop().time() < deadline, what
            await who(real, 10)

    await until(anomalous("web-1"), "web-1 anomalous")
    weights = {key: member.weight for key, member in real.balancer._wanted.members.items()}
    assert weights[GROUP, "web-1"] < anomalies.FULL
    # Nobody looks now: no decision falls between. Whatever happens to HAProxy, it stays so.
    monkeypatch.setattr("fairlead.haproxy.outcomes.PACE", 1e9)
    routing = a_routing(
        real.port, groups=(a_group(algorithm="weighted_random", anomaly_mitigation=True),), attributes=LONG
    )
    await real.balancer.configure("shop", routing)
    assert (await who(real, 200))["web-1"] < 40, "after a reload"
    before = real.pid
    await real.kill_node()
    await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")
    assert (await who(real, 200))["web-1"] < 40, "after a crash"
    traffic = Traffic(routings=(routing,), targets=tuple(replace(one, mode="in_service") for one in targets))
    await real.restart_daemon(traffic)
    assert anomalous("web-1")(await real.balancer.observe()), "after a daemon's restart"
    assert (await who(real, 200))["web-1"] < 40
    monkeypatch.setattr("fairlead.haproxy.outcomes.PACE", 0.3)
    sick.status = 200
    await until(anomalous(), "nobody anomalous")
    assert 30 <= (await who(real, 200))["web-1"] <= 110


async def test_with_two_targets_errors_change_nothing(real: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PACE", 0.2), ("WINDOW", 0.4), ("STEP", 0.1)):
        monkeypatch.setattr(f"fairlead.haproxy.outcomes.{name}", seconds)
    await serve(real, 2, algorithm="weighted_random", anomaly_mitigation=True)
    real.apps["web-1"].status = 500
    for _ in range(8):
        await who(real, 10)
        assert anomalous()(await real.balancer.observe())


# --- slow start -----------------------------------------------------------------------------------------------------


async def share_of(real: RealWorld, name: str) -> int:
    """Of 60 requests."""
    return (await who(real, 60))[name]


def at_most(seconds: float, ramp: float) -> float:
    """What `share_of` may find beside one other so many seconds after a ramp began: HAProxy's steps are of a second, and
    a request more now and one less then is no promise broken."""
    weight = min(1.0, (seconds + 1.0) / ramp)
    return 60 * weight / (1 + weight) + 2


async def test_a_new_targets_share_grows_beside_a_full_one_and_the_first_get_all_at_once(real: RealWorld) -> None:
    await serve(real, 2, slow_start=3.0)
    assert await who(real, 20) == {"web-1": 10, "web-2": 10}, "the first of a group"
    await real.balancer.drain(GROUP, "web-2")
    await real.balancer.deregister(GROUP, "web-2")
    loop = asyncio.get_running_loop()
    began, shares = loop.time(), []
    await admit(real, await real.target(3))
    while real.balancer._ledger.ramps():
        shares.append(await share_of(real, "web-3"))
        most = at_most(loop.time() - began, 3.0)
        assert shares[-1] <= most, f"{shares} after {loop.time() - began:.1f} s, and not {most:.0f}"
        await asyncio.sleep(0.4)
        await real.balancer.observe()
    # Of 60 requests taken in turn, a share is one more now and one less then.
    assert all(later >= sooner - 1 for sooner, later in pairwise(shares)), shares
    assert await who(real, 40) == {"web-1": 20, "web-3": 20}, "exact again"


def told_ramp(real: RealWorld, target: str) -> float:
    """Seconds in which the share of that target is to grow, as the present HAProxy was told."""
    newest = max(Path(real.folder).glob("haproxy.*.cfg"), key=lambda file: int(file.suffixes[0][1:]))
    (said,) = set(re.findall(rf"server {target} .* slowstart (\d+)ms", newest.read_text()))
    return int(said) / 1000


async def test_a_reload_in_the_second_half_of_a_ramp_leaves_the_rest_of_it(real: RealWorld) -> None:
    group = a_group(slow_start=6.0)
    await serve(real, 1, slow_start=6.0)
    await admit(real, await real.target(2))
    await real.until(lambda _: real.balancer._wanted.members[GROUP, "web-2"].ramped > 0.6, "most of the ramp")
    anew = asyncio.get_running_loop().time()
    await real.balancer.configure("shop", a_routing(real.port, groups=(group,), attributes=LONG))
    share = await share_of(real, "web-2")
    left = told_ramp(real, "web-2")
    assert 0 < left <= 2.4
    assert 0 < share <= at_most(asyncio.get_running_loop().time() - anew, left), "not all at once"
    await real.until(lambda _: not real.balancer._ledger.ramps(), "the ramp's end")
    assert await who(real, 20) == {"web-1": 10, "web-2": 10}


async def test_a_new_daemon_in_the_middle_of_a_ramp_goes_on_from_where_haproxy_is(real: RealWorld) -> None:
    group = a_group(slow_start=6.0)
    (one,) = await serve(real, 1, slow_start=6.0)
    two = await real.target(2)
    await admit(real, two)
    await real.until(lambda _: real.balancer._wanted.members[GROUP, "web-2"].ramped > 0.5, "half of the ramp")
    targets = tuple(replace(target, mode="in_service") for target in (one, two))
    await real.restart_daemon(Traffic(routings=(a_routing(real.port, groups=(group,)),), targets=targets))
    anew = asyncio.get_running_loop().time()
    await real.balancer.configure("shop", a_routing(real.port, groups=(group,), attributes=LONG))
    share = await share_of(real, "web-2")
    left = told_ramp(real, "web-2")
    # HAProxy tells in sixteenths, of a second or two ago.
    assert 0 < left < 5.0
    assert 0 < share <= at_most(asyncio.get_running_loop().time() - anew, left), "not all at once"
    await real.until(lambda _: not real.balancer._ledger.ramps(), "the ramp's end")
    assert await who(real, 20) == {"web-1": 10, "web-2": 10}


# --- stickiness -----------------------------------------------------------------------------------------------------


async def test_a_client_stays_with_its_target_whatever_the_method_until_the_cookie_is_no_good(real: RealWorld) -> None:
    await serve(real, 3, stickiness=Stickiness(duration=77.0))
    status, body, given = await answer(real.port)
    plain, cors = given
    assert (status, plain.split("=", 1)[0], cors.split("=", 1)[0]) == (200, "AWSALB", "AWSALBCORS")
    assert plain.split("; ")[2:] == ["Path=/"]
    assert cors.split("; ")[2:] == ["Path=/", "SameSite=None", "Secure"]
    name, expiry = base64.b64decode(plain.split(";")[0].split("=", 1)[1]).decode().split("|")
    assert name == body
    assert abs(int(expiry) - time.time() - 77) < 5
    for method in ("GET", "POST"):
        assert await who(real, 6, plain.split(";")[0], method) == {body: 6}
        assert await who(real, 6, cors.split(";")[0], method) == {body: 6}
    two, three = a_cookie("web-2"), a_cookie("web-3")
    assert await who(real, 4, f"AWSALB={two}; AWSALBCORS={three}") == {"web-3": 4}
    for useless in (
        a_cookie("web-2", left=-5), a_cookie("api-2"), a_cookie(""), "@@@", "%", "",
        base64.b64encode(b"web-2").decode(), base64.b64encode(b"web-2|soon").decode(), two[:-3],
    ):  # fmt: skip
        assert await who(real, 3, f"AWSALB={useless}") == {"web-1": 1, "web-2": 1, "web-3": 1}, useless
        assert len((await answer(real.port, f"AWSALB={useless}"))[2]) == 2, "a new one"
        await who(real, 2)  # round again


async def test_an_apps_cookie_makes_a_client_stick_only_with_the_one_beside_it(real: RealWorld) -> None:
    await serve(real, 2, stickiness=Stickiness(cookie="SESSION"))
    assert (await answer(real.port))[2] == [], "nothing without the app's cookie"
    for app in real.apps.values():
        app.says = "Set-Cookie: SESSION=abc; Path=/\r\n"
    _, body, given = await answer(real.port)
    assert given[0] == "SESSION=abc; Path=/"
    assert given[1].startswith("AWSALBAPP-0=")
    both = f"SESSION=abc; {given[1].split(';')[0]}"
    for app in real.apps.values():
        app.says = ""
    assert await who(real, 6, both) == {body: 6}
    assert (await answer(real.port, both))[2][0].startswith("AWSALBAPP-0="), "each response begins its time anew"
    for one in ("SESSION=abc", given[1].split(";")[0], f"AWSALB={a_cookie(body)}"):
        assert await who(real, 4, one) == {"web-1": 2, "web-2": 2}


async def test_a_sticky_target_that_goes_is_replaced_without_an_error(real: RealWorld) -> None:
    one, two, three = await serve(real, 3, stickiness=STICKY)
    to_one, to_two, to_three = (f"AWSALB={a_cookie(target.id)}" for target in (one, two, three))
    await real.balancer.drain(GROUP, one.id)
    assert "web-1" not in await who(real, 6, to_one)
    seen = report_of(await real.balancer.observe(), one)
    assert seen is not None
    assert (seen.mode, seen.up) == ("draining", False)
    await real.balancer.restore(GROUP, one.id)
    await real.until(is_up(one), "web-1 back in rotation")
    assert await who(real, 4, to_one) == {"web-1": 4}
    await real.balancer.drain(GROUP, one.id)
    await real.balancer.deregister(GROUP, one.id)
    assert "web-1" not in await who(real, 4, to_one)
    await real.sicken(two)
    await real.until(is_down(two), "web-2 out of rotation")
    assert await who(real, 4, to_two) == {"web-3": 4}
    await real.heal(two)
    await real.until(is_up(two), "web-2 in rotation")
    real.apps["web-3"].die_on = "GET"
    assert (await answer(real.port, to_three))[:2] == (200, "web-2"), "it died with the request inside"
    status, body, given = await answer(real.port, to_three, "POST")
    assert (status, body) == (200, "web-2"), "nobody listens there any more"
    assert base64.b64decode(given[0].split(";")[0].split("=", 1)[1]).startswith(b"web-2|")


async def test_what_runs_inside_a_sticky_target_goes_on_while_it_drains(real: RealWorld) -> None:
    await serve(real, 2, stickiness=STICKY)
    gate = real.apps["web-1"].gate = asyncio.Event()
    slow = asyncio.create_task(answer(real.port, f"AWSALB={a_cookie('web-1')}"), name="slow request")
    socket = await websocket(real.port, f"AWSALB={a_cookie('web-1')}")
    await real.until(lambda seen: seen.targets[0].sessions == 2, "both inside")
    await real.balancer.drain(GROUP, "web-1")
    gate.set()
    assert (await slow)[:2] == (200, "web-1")
    assert await echoes(socket)
    await real.balancer.deregister(GROUP, "web-1")
    assert not await echoes(socket)
    socket[1].close()


async def test_clients_whose_target_comes_and_goes_lose_no_request_whatever_the_method(real: RealWorld) -> None:
    await serve(real, 2, stickiness=STICKY)
    seen: Counter[tuple[int, str]] = Counter()
    going = True

    async def client(method: str) -> None:
        while going:
            status, body, _ = await answer(real.port, f"AWSALB={a_cookie('web-1')}", method)
            seen[status, body] += 1

    clients = [asyncio.create_task(client(method), name="client") for method in ("GET", "POST") * 4]
    one = a_target(1, address=real.apps["web-1"].address)
    for _ in range(5):
        await real.until(lambda _, before=seen[200, "web-1"]: seen[200, "web-1"] > before + 20, "requests at web-1")
        await real.balancer.drain(GROUP, one.id)
        await real.until(lambda report: report.targets[0].sessions == 0, "web-1 idle")
        await real.balancer.deregister(GROUP, one.id)
        await admit(real, one)
    going = False
    await asyncio.gather(*clients)
    assert {status for status, _ in seen} == {200}, seen


async def test_clients_stay_over_reload_crash_restart_and_fail_open(real: RealWorld) -> None:
    targets = await serve(real, 3, stickiness=STICKY)
    given = [(await answer(real.port)) for _ in range(6)]
    clients = [(body, f"AWSALB={cookies[0].split(';')[0].split('=', 1)[1]}") for _, body, cookies in given]

    async def all_stay() -> None:
        for body, cookie in clients:
            assert await who(real, 2, cookie) == {body: 2}

    routing = a_routing(real.port, groups=(a_group(stickiness=STICKY),), attributes=LONG)
    await real.balancer.configure("shop", routing)
    await all_stay()
    before = real.pid
    await real.kill_node()
    await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")
    await all_stay()
    draining = tuple(replace(one, mode="draining" if one.id == "web-1" else "in_service") for one in targets)
    await real.balancer.drain(GROUP, "web-1")
    await real.restart_daemon(Traffic(routings=(routing,), targets=draining))
    assert "web-1" not in await who(real, 4, f"AWSALB={a_cookie('web-1')}")
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(stickiness=STICKY),)))
    assert "web-1" not in await who(real, 4, f"AWSALB={a_cookie('web-1')}"), "after a reload"
    await real.kill_node()
    assert "web-1" not in await who(real, 4, f"AWSALB={a_cookie('web-1')}"), "after a crash"
    await real.until(lambda seen: seen.known and sum(one.up for one in seen.targets) == 2, "HAProxy back")
    await real.balancer.restore(GROUP, "web-1")
    await real.until(is_up(*targets), "web-1 in rotation")
    await all_stay()
    for target in targets:
        await real.sicken(target)
    await real.until(is_down(*targets), "all unhealthy")
    await all_stay()


# --- one instance alone ---------------------------------------------------------------------------------------------

SECRET = "let-me-in"


async def alone(port: int, method: str = "GET") -> tuple[int, str]:
    reply = await ask(port, method, headers={"X-Fairlead-Open": SECRET})
    return reply.status, reply.body


async def test_one_instance_alone_is_reached_whatever_its_state_and_never_another(real: RealWorld) -> None:
    group = a_group(stickiness=STICKY)
    ports = {f"web-{number}": free_port() for number in range(1, 7)}
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    openings = tuple(
        Listener(port=port, default=None, opening=Opening(service="web", instance=name, digest=digest))
        for name, port in ports.items()
    )
    plain = a_routing(real.port, groups=(group,))
    opened = replace(plain, listeners=(*plain.listeners, *openings))
    await real.balancer.configure("shop", plain)
    healthy, sick, drained, marked = [await real.target(number) for number in (1, 2, 3, 4)]
    initial = await real.target(5, healthy=False)
    await admit(real, healthy, sick, drained, marked)
    await real.balancer.register(initial)
    await real.balancer.configure("shop", opened)
    await real.sicken(sick)
    await real.until(is_down(sick), "web-2 unhealthy")
    await real.balancer.drain(GROUP, drained.id)
    await real.sicken(marked)
    await real.balancer.mark_down(GROUP, marked.id)

    async def all_open() -> None:
        for number in range(1, 6):
            for method in ("GET", "POST"):
                assert await alone(ports[f"web-{number}"], method) == (200, f"web-{number}")
        assert (await alone(ports["web-6"]))[0] == 503, "there is no such instance"
        assert await who(real, 4) == {"web-1": 4}, "the others as ever"

    await all_open()
    assert (await ask(ports["web-1"])).status == 403
    reply = await ask(ports["web-2"], headers={"X-Fairlead-Open": SECRET, "Cookie": f"AWSALB={a_cookie('web-1')}"})
    assert (reply.body, "set-cookie" in reply.headers) == ("web-2", False), "the client is not made to stay"
    await real.kill_node()
    await real.until(lambda seen: seen.known and is_up(healthy)(seen), "HAProxy back")
    await all_open()
    await real.until(is_up(healthy), "web-1 in rotation")
    real.apps["web-2"].die_on = "POST"
    assert (await alone(ports["web-2"], "POST"))[0] == 502, "it dies with the request, which goes nowhere else"
    assert (await alone(ports["web-2"]))[0] == 502, "nobody listens"
    await real.balancer.deregister(GROUP, drained.id)
    assert (await alone(ports["web-3"]))[0] == 503
    await real.balancer.configure("shop", plain)
    assert not await real.listens(ports["web-1"])


async def test_one_instance_alone_that_speaks_http2_answers_a_client_that_does_not(real: RealWorld) -> None:
    opening = Opening(service="web", instance="web-1", digest=hashlib.sha256(SECRET.encode()).hexdigest())
    port, plain = free_port(), a_routing(real.port, groups=(a_group(protocol="HTTP2"),))
    listener = Listener(port=port, default=None, opening=opening)
    await real.balancer.configure("shop", replace(plain, listeners=(*plain.listeners, listener)))
    app = await H2App("two").listen()
    await real.balancer.register(a_target(1, address=app.address))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nX-Fairlead-Open: {SECRET}\r\n\r\n".encode())
    assert b"two" in await reader.read()
    assert (await answer(real.port))[0] == 464, "anybody else"
    writer.close()
    app.kill()


# --- health checks --------------------------------------------------------------------------------------------------


async def test_without_checks_every_admitted_target_gets_requests_whatever_it_answers(real: RealWorld) -> None:
    check = a_check(enabled=False)
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(health_check=check),)))
    one, two, three = await real.target(1), await real.target(2, healthy=False), await real.target(3)
    targets = (one, two, three)
    for target in targets:
        await real.balancer.register(target)
    assert (await answer(real.port))[0] == 503, "nobody is admitted"
    for target in targets:
        await real.balancer.admit(GROUP, target.id)
    report = await real.balancer.observe()
    assert is_up(*targets)(report)
    assert [seen.check for seen in report.targets] == [None] * 3
    for method in ("GET", "POST"):
        assert await who(real, 9, method=method) == {"web-1": 3, "web-2": 3, "web-3": 3}
    assert all(app.checks == [] for app in real.apps.values())
    await real.balancer.mark_down(GROUP, one.id)
    assert is_down(one)(await real.balancer.observe())
    assert await who(real, 6) == {"web-2": 3, "web-3": 3}
    await real.balancer.drain(GROUP, two.id)
    assert await who(real, 4) == {"web-3": 4}
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(health_check=check),), attributes=LONG))
    assert await who(real, 4) == {"web-3": 4}, "after a reload"
    await real.kill_node()
    assert await who(real, 4) == {"web-3": 4}, "after a crash"
    await real.until(lambda seen: seen.known and is_up(three)(seen), "HAProxy back")
    await real.balancer.restore(GROUP, two.id)
    assert await who(real, 4) == {"web-2": 2, "web-3": 2}
    await real.balancer.drain(GROUP, two.id)
    await real.balancer.drain(GROUP, three.id)
    assert (await answer(real.port))[0] == 503, "nobody is left"


async def test_a_tcp_check_is_content_with_a_connection(real: RealWorld) -> None:
    group = a_group(health_check=a_check(protocol="TCP"))
    await real.balancer.configure("shop", a_routing(real.port, groups=(group,)))
    one = await real.target(1, healthy=False)
    await admit(real, one)
    seen = report_of(await real.balancer.observe(), one)
    assert seen is not None
    assert seen.check is not None
    assert (seen.check.status, real.apps["web-1"].checks) == ("L4OK", [])
    assert await who(real, 2) == {"web-1": 2}
    await real.kill(one)
    await real.until(is_down(one), "web-1 out of rotation")


async def test_a_check_may_ask_on_another_port_with_a_query_and_several_codes(real: RealWorld) -> None:
    doctor = await App("doctor", health=204).listen()
    check = HealthCheck(
        port=int(doctor.address.rpartition(":")[2]), path="/well?deep=1&x=%20", host="shop.test", interval=0.2,
        timeout=0.5, healthy_threshold=2, unhealthy_threshold=3, matcher="200,204-206",
    )  # fmt: skip
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(health_check=check),)))
    one = await real.target(1, healthy=False)
    await admit(real, one)
    assert {path for path, _ in doctor.checks} == {"/well?deep=1&x=%20"}
    assert {headers["host"] for _, headers in doctor.checks} == {"shop.test"}
    assert (real.apps["web-1"].checks, await who(real, 2)) == ([], {"web-1": 2})
    doctor.health = 207
    before = len(doctor.checks)
    await real.until(is_down(one), "web-1 out of rotation")
    assert len(doctor.checks) - before >= 3
    doctor.kill()


@pytest.mark.parametrize(
    ("protocol", "matcher", "well", "sick"),
    [
        ("HTTP2", "200", [H2App("web-1")], [App("web-2")]),
        ("GRPC", "12", [H2App("web-1", grpc=12)], [H2App("web-2", grpc=13), H2App("web-3"), App("web-4")]),
        # What follows a body HAProxy does not see.
        ("GRPC", "0,12", [H2App("web-1", grpc=0, body=True), H2App("web-2", grpc=12), H2App("web-3", grpc=0),
                          H2App("web-4", grpc=13, body=True)], [H2App("web-5", grpc=13), H2App("web-6")]),
        ("GRPC", "1-99", [H2App("web-1", grpc=5)], [H2App("web-2", grpc=0), H2App("web-3", grpc=5, body=True)]),
    ],
)  # fmt: skip
async def test_targets_that_speak_http2_are_checked_in_it(
    real: RealWorld, protocol: str, matcher: str, well: list[H2App], sick: list[H2App | App]
) -> None:
    check = a_check(matcher=matcher, path="/AWS.ALB/healthcheck")
    routing = a_routing(real.port, groups=(a_group(protocol=protocol, health_check=check),))
    await real.balancer.configure("shop", routing)
    apps = [replace(app) for app in (*well, *sick)]
    targets = [a_target(int(app.name[4:]), address=(await app.listen()).address) for app in apps]
    try:
        healthy, others = targets[: len(well)], targets[len(well) :]
        await admit(real, *healthy)
        for target in others:
            await real.balancer.register(target)
        for target in others:
            await real.until(has_failed(target), f"a failed check of {target.id}")
        first = apps[0]
        assert isinstance(first, H2App)
        assert first.seen[0][":path"] == "/AWS.ALB/healthcheck"
        assert first.seen[0][":method"] == ("POST" if protocol == "GRPC" else "GET")
        assert (await answer(real.port))[0] == 464, "a client that speaks HTTP/1"
    finally:
        for app in apps:
            app.kill()


class TlsWorld(RealWorld):
    """With a development CA."""

    def node(self, folder: str = "", program: str | None = None) -> HaproxyNode:
        return HaproxyNode(
            folder=folder or self.folder, programs=self._programs, log_path=self.log, home=self.home, fd_limit=4096, cpus=2,
            certificates=HomeCertificates(f"{self.home}/ca"),
        )  # fmt: skip


GRPC = {"content-type": "application/grpc", "te": "trailers"}


async def test_who_speaks_what_with_whom(programs: str) -> None:
    """Section A7, the matrix: a client's protocol, and the one of a group's targets."""
    real = TlsWorld(programs)
    await real.open()
    app, two, grpc = (
        await App("web-1").listen(),
        await H2App("two").listen(),
        await H2App("rpc", grpc=0, body=True).listen(),
    )
    try:
        for protocol, one, code in (("HTTP1", app, "200"), ("HTTP2", two, "200"), ("GRPC", grpc, "0")):
            tls = Listener(port=real.port, default=forward_to("web"), protocol="HTTPS", certificates="local")
            plain = Listener(port=free_port(), default=forward_to("web"))
            group = a_group(protocol=protocol, health_check=a_check(matcher=code))
            await real.balancer.configure("shop", a_routing(listeners=(tls, plain), groups=(group,)))
            await admit(real, a_target(1, address=one.address))
            asked = {
                "HTTP/1": (await ask(plain.port)).status,
                "HTTP/2": (await ask_h2(real.port)).status,
                "HTTP/2 POST": (await ask_h2(real.port, "POST", body=b"x")).status,
                "gRPC": (await ask_h2(real.port, "POST", GRPC, b"\0\0\0\0\0")).status,
            }
            assert (
                asked
                == {
                    "HTTP1": {"HTTP/1": 200, "HTTP/2": 200, "HTTP/2 POST": 200, "gRPC": 464},
                    "HTTP2": {"HTTP/1": 464, "HTTP/2": 200, "HTTP/2 POST": 200, "gRPC": 200},
                    "GRPC": {"HTTP/1": 464, "HTTP/2": 464, "HTTP/2 POST": 200, "gRPC": 200},
                }[protocol]
            )
            reply = await ask_h2(real.port, "POST", {} if protocol == "HTTP1" else GRPC, b"\0\0\0\0\0")
            expected = {"HTTP1": b"web-1", "HTTP2": b"two", "GRPC": b"\0\0\0\0\0"}[protocol]
            assert (reply.body, reply.headers.get("grpc-status")) == (expected, "0" if protocol == "GRPC" else None)
            await real.balancer.drain(GROUP, "web-1")
            await real.balancer.deregister(GROUP, "web-1")
            assert (await ask_h2(real.port, "POST", body=b"x")).status == 503
            await real.balancer.configure("shop", None)
    finally:
        for one in (app, two, grpc):
            one.kill()
        await real.close()


# --- requests, time-outs, the end of a drain ------------------------------------------------------------------------


async def test_a_connection_that_cannot_be_made_in_time_is_a_502_with_the_page_of_one(real: RealWorld) -> None:
    await serve(real, 1, connect_timeout=0.05)
    await real.kill(a_target(1))
    reply = await ask(real.port)
    assert (reply.status, reply.headers["content-length"]) == (502, "122")
    assert "502 Bad Gateway" in reply.body
    await real.balancer.deregister(GROUP, "web-1")
    reply = await ask(real.port)
    assert (reply.status, reply.headers["content-length"]) == (503, "162")


async def test_a_silent_target_is_a_504_after_the_idle_time(real: RealWorld) -> None:
    routing = a_routing(real.port, attributes=LoadBalancerAttributes(idle_timeout=0.5))
    await real.balancer.configure("shop", routing)
    await admit(real, await real.target(1))
    real.apps["web-1"].gate = asyncio.Event()
    reply = await ask(real.port)
    assert (reply.status, reply.headers["content-length"]) == (504, "132")


@pytest.mark.parametrize(("how", "kept"), [("pooled", True), ("fresh_connection", False)])
async def test_unsafe_methods_use_a_pooled_connection_only_where_that_is_asked_for(
    real: RealWorld, how: str, kept: bool
) -> None:
    await serve(real, 1, unsafe_methods=how)
    for _ in range(3):
        assert (await answer(real.port, method="POST"))[0] == 200
    asked = [headers for _, headers in real.apps["web-1"].requests]
    assert all(("close" not in headers.get("connection", "")) == kept for headers in asked)


async def test_at_the_end_of_a_drain_what_still_runs_is_closed_also_in_processes_that_are_leaving(
    real: RealWorld,
) -> None:
    one, _ = await serve(real, 2)
    before = [await websocket(real.port) for _ in range(2)]
    for number in range(2):  # each leaves a process with its WebSockets
        attributes = LoadBalancerAttributes(idle_timeout=50.0 + number)
        await real.balancer.configure("shop", a_routing(real.port, attributes=attributes))
        before += [await websocket(real.port) for _ in range(2)]
    assert len(real.pids) == 3
    inside = {target.id: target.sessions for target in (await real.balancer.observe()).targets}
    assert inside == {"web-1": 3, "web-2": 3}
    await real.balancer.drain(GROUP, one.id)
    assert [await echoes(one) for one in before] == [True] * 6, "they go on"
    await real.balancer.deregister(GROUP, one.id)
    assert sorted([await echoes(one) for one in before]) == [False] * 3 + [True] * 3
    report = await real.until(lambda seen: len(seen.targets) == 1, "one target")
    assert [(target.id, target.sessions) for target in report.targets] == [("web-2", 3)]
    for _, writer in before:
        writer.close()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def websocket(port: int, cookie: str = "") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Cookie: " + cookie.encode() + b"\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    first, _, _ = await read_message(reader)
    assert first.startswith("HTTP/1.1 101")
    return reader, writer


async def echoes(streams: Streams) -> bool:
    reader, writer = streams
    with suppress(OSError):
        writer.write(b"hello")
        async with asyncio.timeout(30):
            return await reader.read(5) == b"hello"
    return False


async def test_when_all_are_unhealthy_all_trusted_ones_serve_and_no_other(real: RealWorld) -> None:
    one, two = await serve(real, 2, algorithm="least_outstanding_requests")
    initial, drained = await real.target(3, healthy=False), await real.target(4)
    await admit(real, drained)
    await real.balancer.register(initial)
    await real.balancer.drain(GROUP, drained.id)
    for target in (one, two):
        await real.sicken(target)
    await real.until(is_down(one, two), "all unhealthy")
    for method in ("GET", "POST"):
        assert set(await who(real, 8, method=method)) == {"web-1", "web-2"}
    for target in (one, two):
        await real.balancer.deregister(GROUP, target.id)
    assert (await answer(real.port))[0] == 503, "those that are left are initial and draining"
