"""The home in trouble, and one daemon after another, with everything real: nothing that runs is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fairlead.drill.load import Load
from fairlead.haproxy.program import wheel_binary
from fairlead.store.reserve import SIZE

from ..needs import need
from . import apps
from .house import House
from .pace import settle

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

WELL = apps.SERVER + "\nserve()\n"


@pytest.fixture
def house() -> Iterator[House]:
    """One of its own, whose stack needs no environment and whose HAProxy is not copied: it has room on a small disk."""
    found = House(str(Path(sys.executable).parent / "fairlead"))
    haproxy = wheel_binary()
    assert haproxy
    found.environment["FAIRLEAD_HAPROXY"] = haproxy
    yield found
    found.close()


@contextmanager
def a_small_disk(house: House, options: str = "") -> Iterator[Path]:
    """The house's folder on a file system of 40 MB."""
    need(os.getuid() == 0, "only root can mount")
    mount = ["mount", "-t", "tmpfs", "-o", f"size=40m,mode=711{options}", "tmpfs", str(house.folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    need(done.returncode == 0, f"mounting is not possible here: {done.stderr.strip()}")
    try:
        yield house.folder / "fill"
    finally:
        house.run("down", "--all", check=False)
        subprocess.run(["umount", str(house.folder)], check=True)


def fill(file: Path) -> None:
    """Until there is no room at all."""
    with suppress(OSError), file.open("ab", buffering=0) as opened:
        while True:
            opened.write(bytes(65536))
    with suppress(OSError), file.open("ab", buffering=0) as opened:
        while True:
            opened.write(b"x")
    assert os.statvfs(file.parent).f_bfree == 0


def up(house: House, name: str = "shop") -> Path:
    folder = house.a_stack(
        name, app=WELL, command="python3 app.py", settings="health_check: {interval: 1s, timeout: 1s}"
    )
    house.run("up", str(folder))
    return folder


def answers(house: House, name: str = "shop") -> bool:
    with suppress(OSError), urllib.request.urlopen(house.url(name), timeout=30) as reply:
        return bool(reply.status == 200)
    return False


def kinds(house: House) -> list[str]:
    told = json.loads(house.run("events", "--json", "--limit", "200").stdout)
    return [event["kind"] for event in told["events"]]


async def test_a_full_disk_stops_the_recording_and_never_the_healing(house: House) -> None:
    with a_small_disk(house) as filler:
        up(house)
        reserve = house.home / "reserve"
        await house.until("the reserve is there", reserve.exists)
        assert reserve.stat().st_blocks * 512 >= SIZE
        fill(filler)
        victim = house.healthy("shop")[0]
        async with Load(house.url("shop"), rate=50, connections="new") as load:
            os.kill(victim["pid"], signal.SIGKILL)
            await house.until(
                "it is replaced",
                lambda: len(house.healthy("shop")) == 2 and victim["id"] not in str(house.instances("shop")),
            )
        assert load.report().lost == 0, load.report()
        assert not reserve.exists()
        assert kinds(house)[-1] == "disk_full"
        before = kinds(house)
        # Again, now with the reserve gone: the room it made is not eaten by events.
        again = house.healthy("shop")[0]
        os.kill(again["pid"], signal.SIGKILL)
        await house.until(
            "that one is replaced too",
            lambda: len(house.healthy("shop")) == 2 and again["id"] not in str(house.instances("shop")),
        )
        assert kinds(house) == before
        filler.unlink()
        await house.until("the reserve is back", reserve.exists)
        await house.until("that is told", lambda: "disk_free" in kinds(house)[len(before) :])
        os.kill(house.healthy("shop")[0]["pid"], signal.SIGKILL)
        await house.until("events are recorded again", lambda: "launched" in kinds(house)[len(before) :])


async def test_a_daemon_that_dies_on_a_full_disk_comes_back_and_heals(house: House) -> None:
    with a_small_disk(house) as filler:
        up(house)
        await house.until("the reserve is there", (house.home / "reserve").exists)
        daemon, victim = house.daemon_pid(), house.healthy("shop")[0]
        assert daemon
        # Frozen, so that it is the next daemon that finds the disk full.
        os.kill(daemon, signal.SIGSTOP)
        fill(filler)
        os.kill(victim["pid"], signal.SIGKILL)
        os.kill(daemon, signal.SIGKILL)
        await house.until("another daemon is there", lambda: house.daemon_pid() not in (None, daemon))
        await house.until(
            "the instance is replaced",
            lambda: len(house.healthy("shop")) == 2 and victim["id"] not in str(house.instances("shop")),
        )
        filler.unlink()
        await house.until("recording goes on", lambda: "disk_free" in kinds(house))


async def test_a_home_is_brought_up_on_a_disk_that_is_full_but_for_its_reserve(house: House) -> None:
    with a_small_disk(house) as filler:
        up(house)
        await house.until("the reserve is there", (house.home / "reserve").exists)
        daemon = house.daemon_pid()
        assert daemon
        # In order, as when a machine is switched off: SQLite closes its log, and makes it anew at the next start.
        os.kill(daemon, signal.SIGTERM)
        await house.until("the daemon has left", lambda: daemon not in house.processes())
        assert not (house.home / "fairlead.db-wal").exists()
        house.kill_all()
        fill(filler)
        await house.until("both are back", lambda: len(house.healthy("shop")) == 2)
        assert answers(house)
        filler.unlink()


async def test_an_upgrade_loses_no_request_and_restarts_nothing(house: House) -> None:
    up(house)
    before = {one["id"]: one["pid"] for one in house.instances("shop")}
    haproxy, daemon = house.balancer_pid(), house.daemon_pid()
    async with Load(house.url("shop"), rate=200, connections="new") as load:
        await settle(load)
        done = await house.do("daemon", "upgrade", "--force", "--json")
        await settle(load)
    told = json.loads(done.stdout)
    assert load.report().lost == 0, load.report()
    assert {one["id"]: one["pid"] for one in house.instances("shop")} == before
    assert house.balancer_pid() == haproxy
    assert house.daemon_pid() == told["pid"] != daemon
    assert told["told"][0] == "2 of 2 instances adopted, none restarted"
    assert 0 <= told["seconds_without_daemon"] < 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_the_end_of_the_daemons_process_alone_leaves_all_that_runs(house: House, number: signal.Signals) -> None:
    """What systemd does with KillMode=process; the keeper is ended first, so that nobody brings the daemon back."""
    up(house)
    before = {one["id"]: one["pid"] for one in house.instances("shop")}
    haproxy, daemon = house.balancer_pid(), house.daemon_pid()
    assert haproxy
    assert daemon
    for pid, line in house.processes().items():
        if "fairlead-keeper" in line:
            os.kill(pid, signal.SIGKILL)
    os.kill(daemon, number)
    await house.until("the daemon is gone", lambda: daemon not in house.processes())
    assert answers(house)
    assert haproxy in house.processes()
    assert set(before.values()) <= set(house.processes())
    # The next command starts a daemon, which adopts them.
    assert {one["id"]: one["pid"] for one in house.instances("shop")} == before
    assert house.balancer_pid() == haproxy


async def test_a_home_that_was_moved_while_nothing_ran_is_refused_and_nothing_is_lost(house: House) -> None:
    folder = up(house)
    house.kill_all()
    other = house.folder / "elsewhere"
    house.home.rename(other)
    for words in (["status"], ["up", str(folder)]):
        refused = house.run("--home", str(other), *words, check=False)
        assert refused.returncode == 1
        assert f"the home was moved from {house.home} to {other}" in refused.stderr
        assert f"mv {other} {house.home}" in refused.stderr
    other.rename(house.home)
    await house.until("moved back, all is as it was", lambda: len(house.healthy("shop")) == 2)
    assert answers(house)


async def test_a_moved_home_can_be_stayed_in(house: House) -> None:
    folder = up(house)
    house.kill_all()
    other = house.folder / "elsewhere"
    house.home.rename(other)
    house.home, house.environment["FAIRLEAD_HOME"] = other, str(other)
    told = house.run("daemon", "relocate")
    assert f"fairlead up {folder}" in told.stderr
    assert house.status()["stacks"] == []
    house.run("up", str(folder))
    assert answers(house)
    # Numbers go on: nobody mistakes the new ones for the old.
    assert {one["id"] for one in house.instances("shop")} == {"web-3", "web-4"}


async def test_a_home_that_is_moved_under_its_daemon_goes_on_serving_and_is_named(house: House) -> None:
    up(house)
    before = {one["id"]: one["pid"] for one in house.instances("shop")}
    daemon = house.daemon_pid()
    other = house.folder / "elsewhere"
    house.home.rename(other)
    refused = house.run("status", check=False)
    assert refused.returncode == 1
    assert f"the home {house.home} was moved while its daemon runs" in refused.stderr
    assert f"mv {other} {house.home}" in refused.stderr
    assert not house.home.exists()
    assert answers(house)
    other.rename(house.home)
    assert house.daemon_pid() == daemon
    assert {one["id"]: one["pid"] for one in house.instances("shop")} == before


async def test_a_keeper_makes_no_new_home_where_one_was_moved_away(house: House) -> None:
    up(house)
    before = {one["id"]: one["pid"] for one in house.instances("shop")}
    daemon = house.daemon_pid()
    assert daemon
    other = house.folder / "elsewhere"
    house.home.rename(other)
    os.kill(daemon, signal.SIGKILL)
    await house.until(
        "the keeper has given up", lambda: not any("fairlead-keeper" in line for line in house.processes().values())
    )
    assert not house.home.exists()
    assert answers(house)
    other.rename(house.home)
    assert {one["id"]: one["pid"] for one in house.instances("shop")} == before


async def test_a_home_on_a_read_only_file_system_is_named(house: House) -> None:
    with a_small_disk(house):
        folder = up(house)
        house.kill_all()
        remount = ["mount", "-o", "remount,ro", str(house.folder)]
        # Busy for as long as a process that ends still has a file open.
        done = await house.until("a mount that is not busy", lambda: _unless_busy(remount))
        need(done.returncode == 0, f"it cannot be mounted read-only here: {done.stderr}")
        try:
            refused = house.run("up", str(folder), check=False)
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(house.folder)], check=True)
        assert refused.returncode == 1
        assert "Read-only file system" in refused.stderr
        assert "Mount its file system writable again" in refused.stderr
        await house.until("writable again, all is back", lambda: len(house.healthy("shop")) == 2)


def _unless_busy(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    done = subprocess.run(command, capture_output=True, text=True)
    return None if "busy" in done.stderr else done


async def test_what_a_power_cut_leaves_lying_about_is_in_nobodys_way(house: House) -> None:
    """Stale sockets, a lock file with a number that somebody else may have now, a run folder that /tmp lost."""
    up(house)
    lock = (house.home / "daemon.lock").read_text()
    house.kill_all()
    assert (house.home / "daemon.lock").read_text() == lock
    assert (house.home / "run/daemon/api.sock").exists()
    await house.until("all is back", lambda: len(house.healthy("shop")) == 2)
    house.kill_all()
    shutil.rmtree(house.home / "run")
    (house.home / "daemon.lock").unlink()
    await house.until("all is back once more", lambda: len(house.healthy("shop")) == 2)
    assert answers(house)


@pytest.mark.parametrize("name", ["a,b", "my $HOME", "100% 'real' \"home\"", "new\nline", "größe"])
async def test_a_home_of_any_name_serves(house: House, name: str) -> None:
    house.home = house.folder / name
    house.environment["FAIRLEAD_HOME"] = str(house.home)
    up(house)
    assert answers(house)
    before = {one["id"]: one["pid"] for one in house.instances("shop")}
    await house.do("daemon", "upgrade", "--force")
    assert {one["id"]: one["pid"] for one in house.instances("shop")} == before
