"""Stories that only a real HAProxy can prove: under load, killed, restarted, with real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.aiokit.listeners import tcp_listeners
from fairlead.aiokit.polling import wait_until
from fairlead.core.model import Listener, Rule, forward_to
from fairlead.core.traffic import Traffic
from fairlead.errors import BalancerError, PortInUse
from fairlead.haproxy import diary, keeper
from fairlead.haproxy.node import HaproxyNode
from tests.haproxy.apps import WEBSOCKET_KEY, App, Load, ask, free_port
from tests.haproxy.builders import GROUP, TOKEN, a_check, a_group, a_guest, a_routing, a_rule, a_target
from tests.haproxy.worlds import PATIENCE, RealWorld, admit, is_down, is_up, report_of, until
from tests.needs import need

pytestmark = pytest.mark.live


async def two_targets(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    await admit(real, await real.target(1), await real.target(2))


async def test_a_joining_target_sees_checks_first_and_requests_after(real: RealWorld) -> None:
    await two_targets(real)
    async with Load(real.port) as load:
        three = await real.target(3, healthy=False)
        app = real.apps["web-3"]
        await real.balancer.register(three)
        await real.until(lambda _: len(app.checks) >= 4, "some failed checks")
        assert app.seen.total() == 0
        app.health = 200
        await admit(real, three)
        await real.until(lambda _: app.seen.total() > 5, "requests at the third target")
    assert load.lost == {}
    assert {path for path, _ in app.checks} == {"/health"}


async def test_a_reload_under_load_loses_nothing(real: RealWorld) -> None:
    await two_targets(real)
    async with Load(real.port) as load:
        for delay in (1.0, 2.0, 3.0):
            await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=delay),)))
            await asyncio.sleep(0.1)  # some load on each generation
    assert load.lost == {}
    assert load.outcomes["200"] > 50
    assert len({known.generation for known in real.files.running().values() if not known.leaving}) == 1


async def test_haproxy_killed_refuses_nobody_and_is_back(real: RealWorld) -> None:
    await two_targets(real)
    inside = 0
    async with Load(real.port) as load:
        for _ in range(3):
            await asyncio.sleep(0.2)
            before = real.pid
            await real.kill_node()
            inside += load.under_way
            await real.until(
                lambda report, before=before: report.known and report.nodes[0].pid != before, "a new HAProxy"
            )
    assert "ConnectionRefusedError" not in load.lost
    assert sum(load.lost.values()) <= max(3 * 3, inside), "only those inside it when it died"
    assert Counter(await real.send(20)) == {"web-1": 10, "web-2": 10}


async def test_a_restarted_daemon_keeps_the_same_haproxy_and_loses_nothing(real: RealWorld) -> None:
    await two_targets(real)
    targets = tuple(
        a_target(number, address=real.apps[f"web-{number}"].address, mode="in_service") for number in (1, 2)
    )
    before = real.pid
    async with Load(real.port) as load:
        for _ in range(3):
            await real.restart_daemon(Traffic(routings=(a_routing(real.port),), targets=targets))
            await asyncio.sleep(0.05)
    assert load.lost == {}
    assert real.pids == {before}
    await real.kill_node()
    await real.until(lambda report: report.known and report.nodes[0].pid != before, "a new HAProxy")
    assert len(await real.send(4)) == 4, "the new daemon holds the sockets, too"


@pytest.mark.parametrize("early", [0, 1, 2, 3])
async def test_round_robin_is_exact_after_a_kill_however_many_requests_came_early(real: RealWorld, early: int) -> None:
    await two_targets(real)
    await real.kill_node()
    assert len(await real.send(early)) == early, "they wait for the next HAProxy, and are served before anybody looks"
    await real.until(lambda seen: sum(target.up for target in seen.targets) == 2, "both targets")
    answers = await real.send(20)
    assert {answers.count("web-1"), answers.count("web-2")} == {10}


async def test_both_killed_at_once_everything_comes_back_and_who_was_down_stays_down(real: RealWorld) -> None:
    await two_targets(real)
    one = a_target(1, address=real.apps["web-1"].address, mode="in_service")
    two = a_target(2, address=real.apps["web-2"].address, mode="in_service")
    await real.sicken(one)
    await real.until(is_down(one), "web-1 out of rotation")
    await real.balancer.close()
    os.kill(real.pid, signal.SIGKILL)
    real.balancer = real.node()
    await real.balancer.start(Traffic(routings=(a_routing(real.port),), targets=(one, two)))
    assert await real.send(6) == ["web-2"] * 6


async def test_who_has_passed_no_check_gets_nothing_after_any_number_of_reloads_and_crashes(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    await admit(real, await real.target(1))
    await real.balancer.register(await real.target(2, healthy=False))
    for number in range(3):
        routing = a_routing(real.port, groups=(a_group(deregistration_delay=3.0 + number),))
        await real.balancer.configure("shop", routing)
        assert await real.send(4) == ["web-1"] * 4
        before = real.pid
        await real.kill_node()
        assert await real.send(4) == ["web-1"] * 4
        await real.until(lambda seen, before=before: seen.known and seen.nodes[0].pid != before, "another HAProxy")
    assert real.apps["web-2"].seen.total() == 0


async def test_a_hundred_requests_are_fifty_and_fifty_after_every_change(real: RealWorld) -> None:
    await two_targets(real)
    assert Counter(await real.send(100)) == {"web-1": 50, "web-2": 50}
    await admit(real, await real.target(3), await real.target(4))
    await real.send(7)
    for number in (1, 2):
        await real.balancer.drain(GROUP, f"web-{number}")
        await real.balancer.deregister(GROUP, f"web-{number}")
    assert Counter(await real.send(100)) == {"web-3": 50, "web-4": 50}
    both = [a_target(number) for number in (3, 4)]
    for target in both:
        await real.sicken(target)
    await real.until(is_down(*both), "all targets down")
    await real.send(3)
    for target in both:
        await real.heal(target)
    await real.until(is_up(*both), "all targets up")
    assert Counter(await real.send(100)) == {"web-3": 50, "web-4": 50}


async def test_a_post_is_never_sent_to_a_second_target(real: RealWorld) -> None:
    await two_targets(real)
    for app in real.apps.values():
        app.die_on = "POST"
    answers = [(await ask(real.port, "POST", body=b"pay")).status for _ in range(2)]
    assert answers == [502, 502]
    assert [app.seen["POST"] for app in real.apps.values()] == [1, 1]


async def test_a_get_whose_target_dies_is_answered_by_another(real: RealWorld) -> None:
    await two_targets(real)
    real.apps["web-1"].die_on = "GET"
    assert [(await ask(real.port)).body for _ in range(2)] == ["web-2", "web-2"]
    assert real.apps["web-1"].seen["GET"] == 1


async def test_with_retry_off_a_request_is_sent_once_whatever_its_method(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(retry="off"),)))
    await admit(real, await real.target(1), await real.target(2))
    await ask(real.port)  # a connection that could be reused
    for app in real.apps.values():
        app.die_on = "GET"
    assert [(await ask(real.port)).status for _ in range(2)] == [502, 502]


async def test_statuses_are_those_of_an_alb(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    assert (await ask(real.port)).status == 503, "nothing registered"
    one = await real.target(1)
    await admit(real, one)
    real.apps["web-1"].status = 503
    assert (await ask(real.port)).status == 503, "the app's own"
    assert (await ask(real.port, "TRACE")).status == 405
    real.apps["web-1"].kill()
    assert (await ask(real.port)).status == 502, "every connection refused"


async def test_only_the_token_tells_who_answered_and_no_target_sees_it(real: RealWorld) -> None:
    await two_targets(real)
    told = await ask(real.port, headers={"X-Fairlead-Check": TOKEN})
    assert told.headers["x-fairlead-instance"] == told.body
    for headers in ({}, {"X-Fairlead-Check": "wrong"}, {"X-Fairlead-Check": TOKEN + ","}):
        assert "x-fairlead-instance" not in (await ask(real.port, headers=headers)).headers
    seen = [headers for app in real.apps.values() for _, headers in app.requests]
    assert len(seen) == 4
    assert not any("x-fairlead-check" in headers for headers in seen)
    assert all(headers["x-forwarded-proto"] == "http" and "x-amzn-trace-id" in headers for headers in seen)


async def test_a_check_asks_exactly_for_what_was_written(real: RealWorld) -> None:
    path = "/he'al\"th\\?a=%[env(HOME)]&b=$HOME${HOME}#{};x"
    group = a_group(health_check=a_check(path=path, host="shop.test:81"))
    await real.balancer.configure("shop", a_routing(real.port, groups=(group,)))
    one = await real.target(1)
    await real.balancer.register(one)
    app = real.apps["web-1"]
    await real.until(lambda _: bool(app.checks), "a check")
    asked, headers = app.checks[0]
    assert (asked, headers["host"]) == (path, "shop.test:81")


async def test_a_target_on_a_unix_socket_in_a_strange_folder_serves_as_dynamic_and_as_static_server(
    real: RealWorld,
) -> None:
    folder = Path(real.home, "a b'c\"d\\e;f#g{h}%[x]é")
    folder.mkdir()
    await real.balancer.configure("shop", a_routing(real.port))
    one = await real.target(1, path=str(folder / "http.sock"))
    await admit(real, one)
    assert await real.send(2) == ["web-1"] * 2
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=3.0),)))
    assert await real.send(2) == ["web-1"] * 2


async def test_a_request_that_outlives_a_reload_still_counts_in_its_draining_target(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    one = await real.target(1)
    await admit(real, one)
    gate = real.apps["web-1"].gate = asyncio.Event()
    slow = asyncio.create_task(ask(real.port), name="slow request")
    await real.until(lambda report: report.targets[0].sessions == 1, "the request inside")
    await real.balancer.drain(GROUP, one.id)
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=10.0),)))
    seen = report_of(await real.balancer.observe(), one)
    assert seen is not None
    assert (seen.mode, seen.sessions) == ("draining", 1)
    assert len(real.pids) == 2
    # A daemon that comes now cannot ask the old process: it does not take the target for idle.
    draining = replace(one, mode="draining")
    routing = a_routing(real.port, groups=(a_group(deregistration_delay=10.0),))
    await real.restart_daemon(Traffic(routings=(routing,), targets=(draining,)))
    seen = report_of(await real.balancer.observe(), one)
    assert seen is not None
    assert seen.sessions == 1
    gate.set()
    assert (await slow).status == 200
    await real.until(lambda report: report.targets[0].sessions == 0, "the target idle")
    await real.until(lambda _: len(real.pids) == 1, "the old HAProxy gone")


async def test_a_request_that_outlives_the_last_listener_still_counts_in_its_target(real: RealWorld) -> None:
    await two_targets(real)
    gate = asyncio.Event()
    for app in real.apps.values():
        app.gate = gate
    slow = asyncio.create_task(ask(real.port), name="slow request")
    await real.until(lambda report: any(target.sessions for target in report.targets), "the request inside")
    await real.balancer.configure("shop", a_routing(listeners=()))
    report = await real.balancer.observe()
    assert [node.state for node in report.nodes] == ["stopped"]
    assert sum(target.sessions for target in report.targets) == 1
    assert not any(target.up for target in report.targets)
    gate.set()
    assert (await slow).status == 200
    await real.until(lambda seen: not any(target.sessions for target in seen.targets), "idle targets")


async def test_deregistering_ends_what_runs_inside(real: RealWorld) -> None:
    await two_targets(real)
    for app in real.apps.values():
        app.gate = asyncio.Event()
    waiting = asyncio.create_task(ask(real.port, "POST"), name="endless request")
    report = await real.until(lambda seen: any(target.sessions for target in seen.targets), "the request inside")
    (busy,) = [target for target in report.targets if target.sessions]
    await real.balancer.drain(GROUP, busy.id)
    await real.balancer.deregister(GROUP, busy.id)
    assert (await waiting).status == 502
    assert len((await real.balancer.observe()).targets) == 1


async def test_stop_ends_processes_that_are_still_leaving(real: RealWorld) -> None:
    await two_targets(real)
    for app in real.apps.values():
        app.gate = asyncio.Event()
    waiting = asyncio.create_task(ask(real.port), name="endless request")
    await real.until(lambda seen: any(target.sessions for target in seen.targets), "the request inside")
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=3.0),)))
    await real.restart_daemon(Traffic(routings=(a_routing(real.port),)))
    assert len(real.pids) >= 2
    await real.balancer.stop()
    assert real.pids == set()
    assert {path.name for path in Path(real.folder).iterdir()} == {"maps", "relay", "state"}
    assert list(Path(real.folder, "maps").iterdir()) == []
    with pytest.raises((OSError, EOFError)):
        await waiting


async def test_a_haproxy_that_does_not_answer_is_ended_before_another_one_starts(real: RealWorld) -> None:
    await two_targets(real)
    await real.balancer.close()
    frozen = real.pid
    os.kill(frozen, signal.SIGSTOP)
    targets = (a_target(1, address=real.apps["web-1"].address, mode="in_service"),)
    real.balancer = real.node()
    await real.balancer.start(Traffic(routings=(a_routing(real.port),), targets=targets))
    assert frozen not in real.pids
    assert await real.send(2) == ["web-1"] * 2


async def test_a_daemon_killed_before_it_recorded_a_start_finds_the_haproxy_all_the_same(real: RealWorld) -> None:
    await two_targets(real)
    before = real.pid
    for record in Path(real.folder).glob("*.json"):
        record.unlink()
    targets = (a_target(1, address=real.apps["web-1"].address, mode="in_service"),)
    async with Load(real.port) as load:
        await real.restart_daemon(Traffic(routings=(a_routing(real.port),), targets=targets))
    assert load.lost == {}
    assert before not in {known.identity.pid for known in real.files.running().values() if not known.leaving}
    assert await real.send(2) == ["web-1"] * 2


async def test_a_port_that_is_taken_names_the_process(real: RealWorld) -> None:
    port = free_port()
    script = f"import socket,time; s=socket.create_server(('127.0.0.1',{port})); print(flush=True); time.sleep(60)"
    other = await asyncio.create_subprocess_exec("python3", "-c", script, stdout=asyncio.subprocess.PIPE)
    try:
        assert other.stdout is not None
        await other.stdout.readline()
        with pytest.raises(PortInUse) as refusal:
            await real.balancer.reserve("shop", (Listener(port=port, default=forward_to("web")),))
        assert refusal.value.what == f"port {port} on 127.0.0.1 is taken"
        assert f"process {other.pid} (python3" in refusal.value.why
        assert "load_balancer.listeners" in refusal.value.next_step
    finally:
        other.kill()
        await other.wait()


async def test_a_port_of_another_home_names_that_home(real: RealWorld, programs: str) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    other = RealWorld(programs)
    await other.open()
    try:
        with pytest.raises(PortInUse) as refusal:
            await other.balancer.configure("shop", a_routing(real.port))
        # This test's own process holds the socket, too, and may be the one that is named.
        assert f"fairlead home {real.home}" in refusal.value.why or f"process {os.getpid()}" in refusal.value.why
        assert "shop" not in str(other.pids)
    finally:
        await other.close()


async def test_a_listener_that_is_removed_refuses_and_the_others_go_on(real: RealWorld) -> None:
    second = free_port()
    listeners = tuple(Listener(port=port, default=forward_to("web")) for port in (real.port, second))
    await real.balancer.configure("shop", a_routing(listeners=listeners))
    await admit(real, await real.target(1))
    async with Load(real.port) as load:
        assert await real.listens(second)
        await real.balancer.configure("shop", a_routing(real.port))
        assert not await real.listens(second)
        await real.balancer.configure("shop", a_routing(listeners=listeners))
        assert (await ask(second)).status == 200
    assert load.lost == {}


async def test_ipv6_and_wildcard_listeners_work_and_survive_a_kill(real: RealWorld) -> None:
    need(Path("/proc/net/if_inet6").read_text(), "this machine has no IPv6")
    ports = [free_port() for _ in range(3)]
    addresses = ("::1", "::", "0.0.0.0")
    listeners = tuple(
        Listener(port=port, default=forward_to("web"), address=address)
        for port, address in zip(ports, addresses, strict=True)
    )
    await real.balancer.configure("shop", a_routing(listeners=listeners))
    await admit(real, await real.target(1))
    before = real.pid
    await real.kill_node()
    await real.until(lambda report: report.known and report.nodes[0].pid != before, "a new HAProxy")
    reached = [await ask(port, host=host) for port, host in
               ((ports[0], "::1"), (ports[1], "::1"), (ports[1], "127.0.0.1"), (ports[2], "127.0.0.1"))]  # fmt: skip
    assert [answer.status for answer in reached] == [200] * 4


async def test_a_cancelled_change_is_finished_all_the_same(real: RealWorld) -> None:
    changing = asyncio.create_task(real.balancer.configure("shop", a_routing(real.port)), name="configure")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    assert (await real.balancer.observe()).nodes[0].state == "running"
    assert len(real.pids) == 1


async def test_haproxy_has_a_clean_environment_with_the_home(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    variables = [one for one in Path(f"/proc/{real.pid}/environ").read_bytes().split(b"\0") if one]
    ours = [one for one in variables if not one.startswith(b"HAPROXY_")]
    names = sorted(one.split(b"=")[0] for one in ours)
    assert names == [b"FAIRLEAD_ACCESS_shop", b"FAIRLEAD_HOME", b"FAIRLEAD_LOG"]
    assert f"FAIRLEAD_HOME={real.home}".encode() in ours
    assert Path(real.folder).stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in Path(real.folder).iterdir())


async def test_as_root_haproxy_gives_up_its_rights_and_still_comes_back(programs: str) -> None:
    need(os.geteuid() == 0, "only root can start HAProxy as another user")
    world = RealWorld(programs, user=(65534, 65534))
    await world.open()
    try:
        await world.balancer.configure("shop", a_routing(world.port))
        await admit(world, await world.target(1))
        before = world.pid
        assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{before}/status").read_text()
        await world.kill_node()
        await world.until(lambda report: report.known and report.nodes[0].pid != before, "a new HAProxy")
        target = a_target(1, address=world.apps["web-1"].address, mode="in_service")
        after = world.pid
        await world.restart_daemon(Traffic(routings=(a_routing(world.port),), targets=(target,)))
        assert world.pid == after
        assert await world.send(2) == ["web-1"] * 2
    finally:
        await world.close()


def fill_up(folder: Path) -> None:
    with suppress(OSError), (folder / "fill").open("ab", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


async def test_on_a_full_disk_targets_still_change_and_haproxy_still_comes_back(real: RealWorld) -> None:
    folder = Path(real.home, "small")
    folder.mkdir()
    mounted = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(folder), stderr=asyncio.subprocess.DEVNULL
    )
    need(await mounted.wait() == 0, "only root with mount rights can make a small disk")
    small = HaproxyNode(
        folder=str(folder),
        programs=str(Path(real.home, "p")),
        log_path=f"{real.home}/haproxy.log",
        home=real.home,
        fd_limit=4096,
        cpus=2,
    )
    try:
        await small.start(Traffic())
        port = free_port()
        await small.configure("other", a_routing(port, stack="other"))
        fill_up(folder)
        app = await App("web-9").listen()
        await small.register(a_target(9, group="other.web", address=app.address, mode="in_service"))
        assert (await ask(port)).status == 200
        before = (await small.observe()).nodes[0].pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        assert (await ask(port)).status == 200
        after = (await small.observe()).nodes[0].pid
        assert after != before
        app.kill()
    finally:
        await small.stop()
        await small.close()
        unmounted = await asyncio.create_subprocess_exec("umount", str(folder))
        assert await unmounted.wait() == 0


async def test_a_target_marked_down_by_mistake_is_back_with_its_fail_open_server_after_a_check(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    one = await real.target(1)
    await admit(real, one)
    await real.balancer.mark_down(GROUP, one.id)
    assert (await ask(real.port)).status in (502, 503)
    await real.until(is_up(one), "the target back in rotation")
    await real.sicken(one)
    await real.until(is_down(one), "the target out of rotation")
    assert await real.send(2) == ["web-1"] * 2, "fail-open"


async def test_a_frozen_haproxy_is_replaced_and_the_change_that_found_it_is_carried_out(real: RealWorld) -> None:
    await two_targets(real)
    frozen = real.pid
    os.kill(frozen, signal.SIGSTOP)
    waiting = asyncio.create_task(ask(real.port), name="request while HAProxy is frozen")
    await real.balancer.drain(GROUP, "web-1")
    assert await real.send(4) == ["web-2"] * 4
    assert frozen not in real.pids
    with suppress(OSError, EOFError):  # it may have been inside the frozen one
        await waiting


async def test_a_frozen_haproxy_does_not_outlive_a_reload(real: RealWorld) -> None:
    await two_targets(real)
    frozen = real.pid
    os.kill(frozen, signal.SIGSTOP)
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=7.0),)))
    assert frozen not in real.pids
    assert sorted(await real.send(2)) == ["web-1", "web-2"]


async def test_a_copy_of_haproxy_that_was_deleted_is_made_again(real: RealWorld) -> None:
    copies = f"{real.home}/copies"
    node = HaproxyNode(
        folder=f"{real.home}/run/other",
        programs=copies,
        log_path=f"{real.home}/haproxy.log",
        home=real.home,
        fd_limit=4096,
        cpus=1,
    )
    await node.start(Traffic())
    await node.configure("shop", a_routing(real.port))
    (before,) = (await node.observe()).nodes
    need(any(Path(copies).glob("haproxy-*")), "the packaged HAProxy is not installed")
    shutil.rmtree(copies)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(node, lambda report: report.known and report.nodes[0].pid != before.pid, "a new HAProxy")
    await node.stop()
    await node.close()


async def test_a_look_alone_finds_a_frozen_haproxy_out(real: RealWorld) -> None:
    await two_targets(real)
    frozen = real.pid
    os.kill(frozen, signal.SIGSTOP)
    assert not (await real.balancer.observe()).known
    await real.until(lambda seen: seen.known, "another HAProxy")
    assert frozen not in real.pids
    assert sorted(await real.send(2)) == ["web-1", "web-2"]


async def test_a_port_that_was_taken_while_nobody_held_it_is_told_and_had_again_when_it_is_free(
    real: RealWorld, programs: str
) -> None:
    target = await real.target(1)
    second = free_port()
    listeners = tuple(Listener(port=port, default=forward_to("web")) for port in (real.port, second))
    traffic = Traffic(routings=(a_routing(listeners=listeners),), targets=(replace(target, mode="in_service"),))
    squatter = await asyncio.start_server(lambda *_: None, "127.0.0.1", second)
    await real.balancer.close()
    real.balancer = real.node()
    await real.balancer.start(traffic)
    report = await real.balancer.observe()
    assert [(one.stack, one.port) for one in report.missing] == [("shop", second)]
    assert f"process {os.getpid()}" in report.missing[0].why
    assert await real.send(2) == ["web-1"] * 2, "the other listener serves"
    squatter.close()
    await real.until(lambda seen: not seen.missing, "the port")
    assert await real.listens(second)
    assert await real.send(2) == ["web-1"] * 2


async def test_with_every_port_taken_the_targets_are_still_checked(real: RealWorld) -> None:
    one, two = await real.target(1), await real.target(2, healthy=False)
    await real.occupy(real.port)
    await real.balancer.close()
    real.balancer = real.node()
    await real.balancer.start(Traffic(routings=(a_routing(real.port),), targets=(replace(one, mode="in_service"), two)))
    report = await real.balancer.observe()
    assert report.known
    assert [listener.port for listener in report.missing] == [real.port]
    await real.until(is_up(one), "web-1 up by its checks")
    await real.balancer.configure("shop", None)
    assert (await real.balancer.observe()).missing == ()


async def test_a_haproxy_that_cannot_be_started_is_tried_again_until_it_can(real: RealWorld, haproxy: str) -> None:
    sick, wrapper = Path(real.home, "sick"), Path(real.home, "haproxy")
    wrapper.write_text(
        f'#!/bin/sh\n[ -e {sick} ] && [ "$1" = -D ] && echo "[ALERT] no" >&2 && exit 1\nexec {haproxy} "$@"\n'
    )
    wrapper.chmod(0o755)
    node = HaproxyNode(
        folder=f"{real.home}/run/other", programs=real.home, log_path=f"{real.home}/haproxy.log", home=real.home, fd_limit=4096, cpus=1,
        binary_override=str(wrapper),
    )  # fmt: skip
    await node.start(Traffic())
    await node.configure("shop", a_routing(real.port))
    app = await App("web-1").listen()
    await node.register(a_target(1, address=app.address, mode="in_service"))
    (before,) = (await node.observe()).nodes
    assert before.pid is not None
    sick.touch()
    os.kill(before.pid, signal.SIGKILL)
    await until(node, lambda report: not report.known and report.nodes[0].state == "starting", "the node's death")
    with pytest.raises(BalancerError, match="did not start"):
        await node.register(a_target(2))
    await node.deregister(GROUP, "web-2")  # who gets nothing any more needs no HAProxy for it
    waiting = asyncio.create_task(ask(real.port), name="request while HAProxy is away")
    sick.unlink()
    await until(node, lambda report: report.known and report.nodes[0].pid != before.pid, "a new HAProxy")
    await until(node, lambda report: report.targets[0].up, "the target in rotation")
    assert (await waiting).status in (200, 502, 503), "held in the queue, not refused"
    app.kill()
    await node.stop()
    await node.close()


async def test_what_haproxy_refuses_is_told_in_its_words(real: RealWorld) -> None:
    await two_targets(real)
    broken = Path(real.home, "haproxy-that-refuses")
    broken.write_text(
        "#!/bin/sh\n[ \"$1\" = -v ] && echo 'HAProxy version 2.9.1 2024' && exit 0\n"
        "echo '[ALERT]    (1) : config : parsing: no such thing' >&2; exit 1\n"
    )
    broken.chmod(0o755)
    node = HaproxyNode(
        folder=f"{real.home}/run/other", programs=real.home, log_path=f"{real.home}/haproxy.log", home=real.home, fd_limit=4096, cpus=1,
        binary_override=str(broken),
    )  # fmt: skip
    await node.start(Traffic())
    with pytest.raises(BalancerError, match="no such thing"):
        await node.configure("shop", a_routing(port := free_port()))
    assert not await real.listens(port)
    await node.stop()
    await node.close()


class WebSocket:
    """A connection that was upgraded and stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> WebSocket:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + WEBSOCKET_KEY + b"\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        return cls(reader, writer)

    async def echo(self) -> bool:
        self._writer.write(b"hello")
        return await self._reader.read(5) == b"hello"

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def test_a_second_stack_comes_and_goes_while_requests_and_websockets_of_the_first_go_on(real: RealWorld) -> None:
    await two_targets(real)
    guest = await real.target(1, group="blog.web")
    open_ones = [await WebSocket.connect(real.port) for _ in range(10)]
    try:
        async with Load(real.port) as load:
            for _ in range(5):
                await real.balancer.reserve("blog", a_guest(real.port, "blog.test").listeners)
                await real.balancer.configure("blog", a_guest(real.port, "blog.test"))
                await admit(real, guest)
                assert await real.get("blog.test") == "blog-web-1"
                await real.balancer.configure("blog", None)
                assert all([await one.echo() for one in open_ones])
        assert load.lost == {}
        # One that nobody is connected to any more goes when it has been looked at.
        await real.until(lambda _: len(real.pids) == 2, "the one that serves, and the one with the WebSockets")
    finally:
        for one in open_ones:
            await one.close()
    await real.until(lambda _: len(real.pids) == 1, "the old HAProxy gone")


async def test_when_too_many_old_processes_have_not_left_the_one_with_the_fewest_websockets_ends(
    real: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "MOST_LEAVING", 2)
    await two_targets(real)
    many, few = [await WebSocket.connect(real.port) for _ in range(5)], []
    try:
        for number in range(4):
            await real.balancer.configure("blog", None if number % 2 else a_guest(real.port, "blog.test"))
            few.append(await WebSocket.connect(real.port))
            await real.balancer.observe()
        assert all([await one.echo() for one in many])
        await real.until(lambda _: len(real.pids) == 3, "one that serves, and two that leave")
        assert [await one.echo() for one in few] == [False, False, True, True]
    finally:
        for one in (*many, *few):
            await one.close()
    await real.until(lambda _: len(real.pids) == 1, "the old HAProxy gone")


async def test_after_a_rule_the_method_and_the_health_decide_as_without(real: RealWorld) -> None:
    rules = (a_rule("api", paths=("/api/*",)),)
    listeners = (Listener(port=real.port, default=forward_to("web"), rules=rules),)
    await real.balancer.configure(
        "shop", a_routing(real.port, listeners=listeners, groups=(a_group(), a_group(name="api")))
    )
    one, two = [await real.target(number, group="shop.api") for number in (1, 2)]
    await admit(real, await real.target(1), one, two)
    apps = [real.apps[target.id] for target in (one, two)]
    assert await real.get(path="/api/x", method="POST") in (one.id, two.id)
    for app in apps:
        app.die_on = "POST"
    assert await real.get(path="/api/x", method="POST") == "502", "sent once"
    assert sum(app.seen["POST"] for app in apps) == 2
    (left,) = [app for app in apps if app.checks and app._server is not None and app._server.is_serving()]
    assert await real.get(path="/api/x") == left.name, "a GET is answered by the other"
    left.health = 503
    await real.until(is_down(one, two), "both out of rotation")
    assert left.name in [await real.get(path="/api/x") for _ in range(4)], "fail-open"
    assert await real.get() == "web-1"


async def test_each_stack_of_a_port_has_its_own_token(real: RealWorld) -> None:
    await real.balancer.configure("shop", a_routing(real.port))
    await real.balancer.configure("blog", a_guest(real.port, "blog.test"))
    await admit(real, await real.target(1), await real.target(1, group="blog.web"))
    told = {}
    for host in ("shop.test", "blog.test"):
        for token in (TOKEN, "token-of-blog"):
            answer = await ask(real.port, headers={"Host": host, "X-Fairlead-Check": token})
            told[host, token] = answer.headers.get("x-fairlead-instance")
    assert told == {
        ("shop.test", TOKEN): "web-1", ("shop.test", "token-of-blog"): None,
        ("blog.test", TOKEN): None, ("blog.test", "token-of-blog"): "blog-web-1",
    }  # fmt: skip


async def test_what_no_host_claims_gets_a_plain_404(real: RealWorld) -> None:
    await real.balancer.configure("blog", a_guest(real.port, "blog.test"))
    answer = await ask(real.port)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/plain")
    assert (await ask(real.port, headers={"Host": "BLOG.test:8080"})).status == 503, "claimed, and nobody is there"


@pytest.mark.parametrize("stars", ["/*a*a*a*a*a*a*a*b", "/" + "*a" * 30 + "?"])
async def test_a_pattern_of_many_stars_does_not_keep_haproxy_busy(real: RealWorld, stars: str) -> None:
    listeners = (Listener(port=real.port, default=forward_to("web"), rules=(a_rule("web", paths=(stars,)),)),)
    await real.balancer.configure("shop", a_routing(real.port, listeners=listeners))
    await admit(real, await real.target(1))
    async with asyncio.timeout(30):  # tried in every way there is, one of these takes for ever
        for _ in range(20):
            assert await real.get(path="/" + "a" * 8000) == "web-1"


async def test_twenty_changes_of_listeners_under_load_leave_nothing_behind(real: RealWorld) -> None:
    await two_targets(real)
    second = free_port()
    await real.balancer.configure("shop", a_routing(listeners=on(real.port, second)))
    await real.balancer.configure("shop", a_routing(real.port))

    def files() -> list[str]:
        return sorted(path.suffix for path in Path(real.folder).iterdir())

    def held() -> tuple[object, ...]:
        """What the daemon and HAProxy have open, and the files. Connections to targets come and go, and do not count:
        the targets live in this process, too."""
        return kept_open("self"), kept_open(str(real.pid)), files()

    # An old HAProxy's process goes first; its files, and the log that the daemon has open, follow.
    await wait_until(
        lambda: len(real.pids) == 1 and files().count(".cfg") == 1, 60.0, "the old HAProxy gone", seen=files
    )
    before = held()
    async with Load(real.port, rate=100.0) as load:
        for turn in range(20):
            rules = (a_rule("web", paths=(f"/{turn}/*",)),)
            await real.balancer.configure("shop", a_routing(listeners=on(real.port, second)))
            await real.balancer.configure("shop", a_routing(listeners=on(real.port, second, rules=rules)))
            assert await real.listens(second)
            await real.balancer.configure("shop", a_routing(real.port))
            assert not await real.listens(second)
    assert load.lost == {}
    await wait_until(lambda: len(real.pids) == 1 and held() == before, 60.0, f"as before: {before}", seen=held)


def kept_open(pid: str) -> Counter[str]:
    """Its descriptors by kind: all but TCP connections."""
    local = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    listening = {str(one.inode) for one in tcp_listeners()}
    kinds: Counter[str] = Counter()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            kind, _, inode = os.readlink(path).partition(":")
            inode = inode.strip("[]")
            if kind != "socket":
                kinds[kind if kind == "pipe" else "file"] += 1
            elif inode in local or inode in listening:
                kinds["unix" if inode in local else "listening"] += 1
    return kinds


def on(*ports: int, rules: tuple[Rule, ...] = ()) -> tuple[Listener, ...]:
    return tuple(Listener(port=port, default=forward_to("web"), rules=rules) for port in ports)


def a_copy(real: RealWorld, haproxy: str) -> str:
    """The same HAProxy in another folder: a new binary."""
    folder = Path(real.home, "copy")
    shutil.copytree(Path(haproxy).parent, folder)
    return str(folder / "haproxy")


async def test_a_new_binary_is_taken_over_without_losing_a_request(real: RealWorld, haproxy: str) -> None:
    await two_targets(real)
    traffic = serving_both(real)
    program = a_copy(real, haproxy)
    before = real.pid
    async with Load(real.port) as load:
        await real.restart_daemon(traffic, program)
        await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "the new HAProxy")
        await asyncio.sleep(0.1)  # some load on it
    assert load.lost == {}
    assert os.path.realpath(f"/proc/{real.pid}/exe") == program
    await real.until(lambda _: before not in real.pids, "the old HAProxy gone")
    assert Counter(await real.send(20)) == {"web-1": 10, "web-2": 10}
    after = real.pid
    await real.restart_daemon(traffic, program)
    assert real.pid == after, "the same binary is kept"


SICK_IN = {
    "it is no HAProxy": "echo no; exit 1",
    "it refuses the configuration": "[ $1 = -c ] && echo '[ALERT] (1) : config : unknown keyword' >&2 && exit 1",
    "it does not start": "[ $1 = -D ] && echo '[ALERT] (1) : cannot bind' >&2 && exit 1",
}


@pytest.mark.parametrize("illness", SICK_IN)
async def test_a_new_binary_that_does_not_serve_leaves_the_old_one_until_it_does(
    real: RealWorld, haproxy: str, illness: str
) -> None:
    await two_targets(real)
    program = Path(real.home, "new-haproxy")
    program.write_text(f'#!/bin/sh\n[ -e {program}.sick ] && {{ {SICK_IN[illness]}; }}\nexec {haproxy} "$@"\n')
    program.chmod(0o755)
    sick = Path(f"{program}.sick")
    sick.touch()
    before = real.pid
    third = await real.target(3)
    async with Load(real.port) as load:
        await real.restart_daemon(serving_both(real), str(program))
        await admit(real, third)
        report = await real.balancer.observe()
        assert (real.pid, report.nodes[0].state) == (before, "running")
        assert report.nodes[0].problem
        assert set(await real.send(30)) == {"web-1", "web-2", "web-3"}  # the load has its turns in between
        sick.unlink()
        report = await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "the new HAProxy")
    assert load.lost == {}
    assert report.nodes[0].problem == ""


async def test_with_a_new_binary_that_does_not_start_the_one_before_comes_back_after_a_kill(
    real: RealWorld, haproxy: str
) -> None:
    await two_targets(real)
    program = Path(real.home, "new-haproxy")
    program.write_text(f'#!/bin/sh\n[ $1 = -D ] && exit 1\nexec {haproxy} "$@"\n')
    program.chmod(0o755)
    await real.restart_daemon(serving_both(real), str(program))
    before = real.pid
    await real.kill_node()
    report = await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "HAProxy again")
    assert report.nodes[0].problem
    assert set(await real.send(4)) == {"web-1", "web-2"}


def serving_both(real: RealWorld) -> Traffic:
    targets = tuple(
        a_target(number, address=real.apps[f"web-{number}"].address, mode="in_service") for number in (1, 2)
    )
    return Traffic(routings=(a_routing(real.port),), targets=targets)


async def test_haproxy_writes_what_happens_to_its_servers_and_what_it_complains_of(
    real: RealWorld, haproxy: str
) -> None:
    await two_targets(real)
    one = a_target(1)
    await real.sicken(one)
    await real.until(is_down(one), "web-1 out of rotation")
    written = Path(real.log)
    await real.until(lambda _: "web-1 is DOWN, reason: Layer7 wrong status" in written.read_text(), "the line")
    assert written.stat().st_mode & 0o777 == 0o600
    assert all(line[:4].isdigit() and "T" in line[:20] for line in written.read_text().splitlines()), (
        "each has its time"
    )
    program = Path(real.home, "warns")
    program.write_text(
        f"#!/bin/sh\n[ $1 = -D ] && echo '[WARNING] (1) : a deprecated keyword' >&2\nexec {haproxy} \"$@\"\n"
    )
    program.chmod(0o755)
    await real.restart_daemon(serving_both(real), str(program))
    assert "a deprecated keyword" in written.read_text()


async def test_a_line_comes_once_over_reloads_crashes_and_daemons_and_when_the_log_is_moved_away(
    real: RealWorld,
) -> None:
    await two_targets(real)
    one, told = a_target(1), 0

    async def goes_down() -> None:
        nonlocal told
        await real.sicken(one)
        await real.until(is_down(one), "web-1 out of rotation")
        told += 1
        await real.heal(one)
        await real.until(is_up(one), "web-1 in rotation")

    await goes_down()
    await real.balancer.configure("shop", a_routing(real.port, groups=(a_group(deregistration_delay=3.0),)))
    await goes_down()
    Path(real.log).rename(real.log + ".1")
    await goes_down()
    await real.balancer.close()
    (said,) = Path(real.folder).glob("*.log")
    before = said.read_text().count("wrong status")
    await real.sicken(one)
    await wait_until(lambda: said.read_text().count("wrong status") > before, PATIENCE, "another line")
    told += 1
    os.kill(real.pid, signal.SIGKILL)
    real.balancer = real.node()
    await real.balancer.start(replace(serving_both(real), routings=(a_routing(real.port),)))
    await real.balancer.observe()
    lines = [line for end in (".1", "") for line in Path(real.log + end).read_text().splitlines()]
    assert len([line for line in lines if "shop.web/web-1 is DOWN, reason: Layer7 wrong status" in line]) == told
    assert len(list(Path(real.folder).glob("*.log"))) == 1, "what is in the log is removed with its process"


async def test_a_haproxy_that_has_said_much_is_followed_by_one_with_an_empty_file(
    real: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two_targets(real)
    before = real.pid
    async with Load(real.port) as load:
        monkeypatch.setattr(diary, "LONGEST", 10)
        await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")
        monkeypatch.undo()
    assert load.lost == {}


async def test_a_log_that_cannot_be_opened_keeps_nobody_from_serving(real: RealWorld) -> None:
    Path(real.log).mkdir()
    await two_targets(real)
    await real.balancer.observe()
    assert set(await real.send(2)) == {"web-1", "web-2"}


async def test_an_old_haproxy_that_cannot_be_asked_keeps_only_its_own_targets_busy(real: RealWorld) -> None:
    await two_targets(real)
    socket = await WebSocket.connect(real.port)
    routing = a_routing(real.port, groups=(a_group(deregistration_delay=3.0),))
    await real.balancer.configure("shop", routing)
    traffic = serving_both(real)
    await real.restart_daemon(Traffic(routings=(routing,), targets=traffic.targets))
    three = await real.target(3)
    await admit(real, three)
    for number in (1, 3):
        await real.balancer.drain(GROUP, f"web-{number}")
    sessions = {target.id: target.sessions for target in (await real.balancer.observe()).targets}
    assert sessions == {"web-1": 1, "web-2": 0, "web-3": 0}
    await socket.close()
    await real.until(lambda seen: not any(target.sessions for target in seen.targets), "idle targets")
