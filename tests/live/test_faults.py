"""Faults beyond a plain death: frozen, taken away, rebooted, in the middle of something. As root and as a plain user."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
from contextlib import suppress
from typing import Any

import pytest

from fairlead.drill.load import Load

from . import apps
from .house import House
from .pace import RATE, at_risk, settle

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

SLOW = """
import os, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["FAIRLEAD_INSTANCE"].encode()]
"""

LACKS_THE_PATH = """
def app(environ, start_response):
    lacks = environ["PATH_INFO"] == "/new"
    start_response("404 Not Found" if lacks else "200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""

QUICK_CHECKS = "health_check: {interval: 1s, timeout: 1s, grace_period: 3s}"

ANOTHER_BOOT = "11111111-2222-3333-4444-555555555555"


def load_on(house: House, stack: str, path: str = "/", rate: float = RATE) -> Load:
    """With a new connection for each request, so that one refused connection is one lost request."""
    return Load(house.url(stack, path), rate=rate, connections="new")


def lost_at_most(load: Load, most: int, house: House) -> None:
    """Nothing was refused, and no more was lost than may have been inside what was killed."""
    report = load.report()
    assert not [kind for kind in report.errors if "refused" in kind], f"{report}\n{house.evidence()}"
    assert report.lost <= most, f"{report}\n{house.evidence()}"
    assert report.sent > RATE / 2, f"the load was not there: {report}"


def pids_of(house: House, *kinds: str) -> list[int]:
    """Of the daemon (`fairlead daemon`), its keeper (`fairlead-keeper`) and HAProxy (`/haproxy -D`)."""
    return [pid for pid, words in house.processes().items() if any(kind in words for kind in kinds)]


def kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def texts(house: House, stack: str) -> str:
    return house.run("events", "--stack", stack).stdout


async def test_a_port_that_a_stranger_took_is_told_and_had_again_when_he_leaves(house: House) -> None:
    folder = house.a_stack("taken", app=apps.WELL)
    other = house.a_stack("free", app=apps.WELL, instances=1)
    for one in (folder, other):
        await house.do("up", str(one))
    before = house.healthy("taken")
    kill(*pids_of(house, "fairlead-keeper", "fairlead daemon", "/haproxy -D"))
    with await house.until("the port", lambda: a_stranger_on(house.port("taken"))):
        assert len((await house.do("status")).stdout) > 0, "the daemon comes up, and can tell"
        await house.until("the other stack", lambda: answers(house, "free"))
        told = f"port {house.port('taken')} on 127.0.0.1 is taken: process {os.getpid()} "
        if house.owner:
            told = f"port {house.port('taken')} on 127.0.0.1 is taken: a process of user root"
        await house.until("to be told", lambda: told in texts(house, "taken"))
        assert len(house.healthy("taken")) == 2, "its instances are checked as ever"
    await house.until("an answer", lambda: answers(house, "taken"))
    assert [one["pid"] for one in house.healthy("taken")] == [one["pid"] for one in before]
    for one in ("taken", "free"):
        house.run("down", one)


async def test_a_frozen_haproxy_is_replaced(house: House) -> None:
    folder = house.a_stack("frozen", app=apps.WELL)
    await house.do("up", str(folder))
    before = house.healthy("frozen")
    async with load_on(house, "frozen") as load:
        await settle(load)
        old = await asyncio.to_thread(house.balancer_pid)
        assert old is not None
        os.kill(old, signal.SIGSTOP)
        inside = at_risk(load)
        await house.until("another HAProxy", lambda: house.balancer_pid() not in (None, old))
        await settle(load)
    # The frozen one holds what it had accepted; all others have waited in the queue.
    lost_at_most(load, max(10, inside), house)
    assert [one["pid"] for one in house.healthy("frozen")] == [one["pid"] for one in before]
    house.run("down", "frozen")


async def test_haproxy_killed_again_and_again_while_instances_die_refuses_nobody(house: House) -> None:
    folder = house.a_stack("again", app=apps.WELL, instances=3)
    await house.do("up", str(folder))
    victims = house.healthy("again")[:2]
    inside = 0
    async with load_on(house, "again") as load:

        def kill_haproxy() -> None:
            nonlocal inside
            kill(*pids_of(house, "/haproxy -D"))
            inside += at_risk(load)

        await settle(load)
        for victim in victims:
            kill_haproxy()
            kill(victim["pid"])
            await asyncio.sleep(0.1)
            kill_haproxy()
        gone = {victim["id"] for victim in victims}
        await house.until("three others", lambda: len({one["id"] for one in house.healthy("again")} - gone) == 3)
        await settle(load)
    lost_at_most(load, max(15, inside), house)
    house.run("down", "again")


async def test_a_frozen_instance_is_replaced_and_loses_nothing(house: House) -> None:
    folder = house.a_stack("ice", app=apps.WELL, settings=QUICK_CHECKS)
    await house.do("up", str(folder))
    victim = house.healthy("ice")[0]
    async with load_on(house, "ice") as load:
        await settle(load)
        os.kill(victim["pid"], signal.SIGSTOP)
        await house.until(
            "a replacement",
            lambda: len(found := house.healthy("ice")) == 2 and victim["id"] not in {one["id"] for one in found},
        )
        await settle(load)
    lost_at_most(load, 0, house)
    house.run("down", "ice")


async def test_slow_requests_survive_a_scale_in_during_which_the_daemon_dies(house: House) -> None:
    folder = house.a_stack("slow", app=SLOW, instances=3)
    await house.do("up", str(folder))
    async with load_on(house, "slow") as load, load_on(house, "slow", "/slow", rate=5) as slow:
        await settle(load, 1.0)
        house.edit(folder, "instances: 3", "instances: 1")
        scaling = asyncio.create_task(house.do("up", str(folder)))
        await house.until("two to be drained", lambda: len(leaving(house, "slow")) == 2)
        kill(*pids_of(house, "fairlead daemon"))
        await scaling
        await house.until("their end", lambda: len(house.instances("slow")) == 1)
    lost_at_most(load, 0, house)
    assert slow.report().lost == 0, f"{slow.report()}\n{house.evidence()}"
    assert slow.report().sent >= 15
    house.run("down", "slow")


async def test_a_failed_release_with_a_new_health_check_path_takes_nobody_with_it(house: House) -> None:
    folder = house.a_stack("path", app=LACKS_THE_PATH, settings=QUICK_CHECKS)
    await house.do("up", str(folder))
    before = house.healthy("path")
    async with load_on(house, "path") as load:
        await settle(load)
        house.edit(folder, "{interval", "{path: /new, interval")
        house.edit(folder, '"404 Not Found" if lacks else "200 OK"', '"503 Sick"', "app.py")
        done = await house.do("up", str(folder), check=False)
        assert done.returncode == 1
        now = {one["pid"] for one in house.instances("path") if one["state"] == "in_service"}
        assert {one["pid"] for one in before} <= now, house.evidence()
        await settle(load)
    lost_at_most(load, 0, house)
    house.run("down", "path")


async def test_after_a_reboot_everything_comes_back(house: House) -> None:
    folder = house.a_stack("reboot", app=apps.WELL)
    await house.do("up", str(folder))
    house.kill_all()
    forget_this_boot(house)
    await house.until("others", lambda: {one["id"] for one in house.healthy("reboot")} == {"web-3", "web-4"})
    assert answers(house, "reboot")
    assert "replaces: web-1 ended with the machine's last boot" in texts(house, "reboot")
    house.run("down", "reboot")


def a_stranger_on(port: int) -> socket.socket | None:
    """A foreign listener; None while the port is still held by who is just being killed."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def leaving(house: House, stack: str) -> list[dict[str, Any]]:
    return [one for one in house.instances(stack) if one["state"] == "terminating"]


def answers(house: House, stack: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", house.port(stack)), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in connection.recv(65536)
    except OSError:
        return False


def forget_this_boot(house: House) -> None:
    """What was recorded looks as if it had been recorded under another boot."""
    with sqlite3.connect(house.home / "fairlead.db") as database:
        for row, text in database.execute("SELECT rowid, record FROM instances").fetchall():
            record = json.dumps({**json.loads(text), "boot": ANOTHER_BOOT})
            database.execute("UPDATE instances SET boot = ?, record = ? WHERE rowid = ?", (ANOTHER_BOOT, record, row))
        for row, text in database.execute("SELECT rowid, record FROM stacks").fetchall():
            fields = json.loads(text)
            fields["deployment"]["boot"] = ANOTHER_BOOT
            database.execute("UPDATE stacks SET record = ? WHERE rowid = ?", (json.dumps(fields), row))
    database.close()
    for shim in (house.home / "stacks").glob("*/instances/*/shim"):
        shim.write_text(shim.read_text().rpartition(" ")[0] + f" {ANOTHER_BOOT}\n")
