"""What only real processes can prove: each story runs as root and as a plain user, under constant open-loop load."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from fairlead.drill.load import Load

from . import apps
from .house import House, a_free_port, group_of
from .pace import RATE, at_risk, nothing_lost, settle

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

PYTHON = "/usr/bin/python3 app.py"


def load_on(house: House, stack: str) -> Load:
    return Load(house.url(stack), rate=RATE, connections="keep_alive")


async def replaced(house: House, stack: str, gone: str, instances: int) -> None:
    def question() -> bool:
        healthy = {one["id"] for one in house.healthy(stack)}
        return len(healthy) == instances and gone not in healthy

    await house.until(f"{gone} to be replaced", question)


@pytest.mark.parametrize("whom", ["group", "leader", "program"])
async def test_an_instance_killed_five_times_in_a_row_loses_nothing(house: House, whom: str) -> None:
    folder = house.a_stack(f"kill-{whom}", app=apps.WELL)
    stack = folder.name
    await house.do("up", str(folder))
    async with load_on(house, stack) as load:
        await settle(load)
        for _ in range(5):
            victim = house.healthy(stack)[0]
            group = group_of(victim["pid"])
            assert group != victim["pid"], "the launcher leads the program's group"
            if whom == "group":
                os.killpg(group, signal.SIGKILL)
            else:
                os.kill(group if whom == "leader" else victim["pid"], signal.SIGKILL)
            await replaced(house, stack, victim["id"], 2)
        await settle(load)
    nothing_lost(load, house)
    events = house.run("events", "--stack", stack).stdout
    assert events.count(" launched: replaces: ") == 5, events
    expected = "killed by SIGKILL" if whom == "program" else "nobody could record how"
    assert expected in events
    house.run("down", stack)


async def test_scale_in_and_out_by_an_edit_lose_nothing(house: House) -> None:
    folder = house.a_stack("size", app=apps.WELL, instances=4)
    await house.do("up", str(folder))
    assert len(house.healthy("size")) == 4
    async with load_on(house, "size") as load:
        await settle(load)
        house.edit(folder, "instances: 4", "instances: 2")
        await house.do("up", str(folder))
        assert [one["id"] for one in house.healthy("size")] == ["web-1", "web-2"]
        house.edit(folder, "instances: 2", "instances: 4")
        await house.do("up", str(folder))
        assert {one["id"] for one in house.healthy("size")} == {"web-1", "web-2", "web-5", "web-6"}
        await settle(load)
    nothing_lost(load, house)
    house.run("down", "size")


async def test_a_new_release_by_an_edit_loses_nothing(house: House) -> None:
    folder = house.a_stack("release", app=apps.WELL)
    await house.do("up", str(folder))
    async with load_on(house, "release") as load:
        await settle(load)
        house.edit(folder, "version 1", "version 2", "app.py")
        await house.do("up", str(folder))
        await settle(load)
    nothing_lost(load, house)
    assert {one["release"] for one in house.healthy("release")} == {2}
    said = await asyncio.to_thread(lambda: _get(house.port("release"), "/"))
    assert b"version 2" in said
    again = house.run("up", str(folder))
    assert "nothing to change" in (again.stdout + again.stderr).lower()
    house.run("down", "release")


async def test_the_daemon_killed_loses_nothing_and_adopts_all(house: House) -> None:
    folder = house.a_stack("daemon", app=apps.WELL)
    await house.do("up", str(folder))
    before, balancer = house.healthy("daemon"), house.balancer_pid()
    async with load_on(house, "daemon") as load:
        await settle(load)
        for _ in range(2):
            old = house.daemon_pid()
            assert old is not None
            os.kill(old, signal.SIGKILL)
            await house.until("another daemon", lambda old=old: house.daemon_pid() not in (None, old))
        await settle(load)
    nothing_lost(load, house)
    assert [(one["id"], one["pid"]) for one in house.healthy("daemon")] == [(one["id"], one["pid"]) for one in before]
    assert house.balancer_pid() == balancer
    house.run("down", "daemon")


async def test_an_instance_that_died_while_no_daemon_lived_is_replaced(house: House) -> None:
    folder = house.a_stack("meanwhile", app=apps.WELL)
    await house.do("up", str(folder))
    victim, daemon = house.healthy("meanwhile")[0], house.daemon_pid()
    assert daemon is not None
    async with load_on(house, "meanwhile") as load:
        await settle(load)
        os.kill(daemon, signal.SIGKILL)
        os.killpg(group_of(victim["pid"]), signal.SIGKILL)
        await replaced(house, "meanwhile", victim["id"], 2)
        await settle(load)
    nothing_lost(load, house)
    house.run("down", "meanwhile")


async def test_haproxy_killed_refuses_nothing(house: House) -> None:
    folder = house.a_stack("balancer", app=apps.WELL)
    await house.do("up", str(folder))
    before = house.healthy("balancer")
    async with load_on(house, "balancer") as load:
        await settle(load)
        old = await asyncio.to_thread(house.balancer_pid)
        assert old is not None
        os.kill(old, signal.SIGKILL)
        inside = at_risk(load)
        await house.until("another HAProxy", lambda: house.balancer_pid() not in (None, old))
        await settle(load)
    report = load.report()
    refused = {kind: count for kind, count in report.errors.items() if "refused" in kind.lower()}
    assert not refused, f"{report}\n{house.evidence()}"
    # Only what was inside it may be lost: at 200/s and some milliseconds a request, a handful.
    assert report.lost <= max(10, inside), f"{report}\n{house.evidence()}"
    print(f"requests inside the killed HAProxy: {report.lost}")
    assert [one["pid"] for one in house.healthy("balancer")] == [one["pid"] for one in before]
    house.run("down", "balancer")


async def test_daemon_and_haproxy_killed_at_once_serve_again(house: House) -> None:
    folder = house.a_stack("both", app=apps.WELL)
    await house.do("up", str(folder))
    before = house.healthy("both")
    daemon, balancer = house.daemon_pid(), house.balancer_pid()
    assert daemon is not None
    assert balancer is not None
    os.kill(daemon, signal.SIGKILL)
    os.kill(balancer, signal.SIGKILL)
    killed = time.monotonic()
    await house.until("an answer", lambda: _get(house.port("both"), "/"))
    print(f"daemon and HAProxy killed: serving again after {time.monotonic() - killed:.2f} s")
    assert [one["pid"] for one in house.healthy("both")] == [one["pid"] for one in before]
    house.run("down", "both")


async def test_an_app_that_never_starts_is_given_up_and_leaves_nothing(house: House) -> None:
    folder = house.a_stack("never", app=apps.NEVER_STARTS, command=PYTHON)
    done = await house.do("up", str(folder), check=False)
    assert done.returncode == 1
    assert "ended before their first passed health check" in done.stderr
    assert "exited with status 7" in done.stderr
    assert "I cannot find my database" in done.stderr, "the last log lines are shown"
    assert "fairlead.yaml:4:" in done.stderr
    assert house.instances("never") == []
    assert not [words for words in house.processes().values() if "app.py" in words]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", house.port("never")), timeout=2)


async def test_a_first_up_that_fails_in_an_empty_home_leaves_no_process_at_all(house: House) -> None:
    empty = House(house.program, prefix=house.prefix, owner=house.owner)
    try:
        folder = empty.a_stack("never", app=apps.NEVER_STARTS, command=PYTHON)
        done = await empty.do("up", str(folder), check=False)
        assert done.returncode == 1
        assert "exited with status 7" in done.stderr
        assert empty.processes() == {}
    finally:
        empty.close()


async def test_a_later_release_that_never_starts_leaves_the_old_one_serving(house: House) -> None:
    folder = house.a_stack("later", app=apps.SERVER + "\nserve()\n", command=PYTHON)
    await house.do("up", str(folder))
    before = house.healthy("later")
    async with load_on(house, "later") as load:
        await settle(load)
        house.edit(folder, "\nserve()\n", "\nsys.exit(7)\n", "app.py")
        done = await house.do("up", str(folder), check=False)
        await settle(load)
    assert done.returncode == 1
    assert "what served before serves on" in done.stderr
    nothing_lost(load, house)
    assert [one["pid"] for one in house.healthy("later")] == [one["pid"] for one in before]
    house.run("down", "later")


async def test_one_that_dies_after_two_seconds_is_replaced_without_back_off(house: House) -> None:
    folder = house.a_stack("mortal", app=apps.DIES_AFTER_2_S, command=PYTHON)
    await house.do("up", str(folder))
    ids = {one["id"] for one in house.healthy("mortal")}

    def three_generations() -> bool:
        ids.update(one["id"] for one in house.healthy("mortal"))
        return len(ids) >= 6

    await house.until("three generations of two", three_generations)
    assert "exited with status 9" in house.run("events", "--stack", "mortal").stdout
    house.run("down", "mortal")


async def test_one_that_ignores_its_port_is_told_so(house: House) -> None:
    elsewhere = a_free_port()
    app = apps.IGNORES_PORT.replace("serve(9)", f"serve({elsewhere})")
    settings = "health_check: {interval: 1s, timeout: 1s, grace_period: 3s}"
    folder = house.a_stack("elsewhere", app=app, command=PYTHON, instances=1, settings=settings)
    done = await house.do("up", str(folder), check=False)
    assert done.returncode == 1
    assert "passed no health check within its grace period of 3 s" in done.stderr
    assert f"listens on 127.0.0.1:{elsewhere}, not on $PORT" in done.stderr
    assert house.instances("elsewhere") == []


async def test_one_that_answers_503_is_told_so(house: House) -> None:
    settings = "health_check: {path: /, interval: 1s, timeout: 1s, grace_period: 3s}"
    folder = house.a_stack("sick", app=apps.ANSWERS_503, command=PYTHON, settings=settings)
    done = await house.do("up", str(folder), check=False)
    assert done.returncode == 1
    assert "GET / answered 503" in done.stderr
    assert "the database is not there yet" in done.stderr


async def test_one_that_ignores_sigterm_is_killed_after_its_stop_timeout(house: House) -> None:
    folder = house.a_stack("stubborn", app=apps.IGNORES_SIGTERM, command=PYTHON, settings="deploy: {stop_timeout: 1s}")
    await house.do("up", str(folder))
    pids = [one["pid"] for one in house.healthy("stubborn")]
    began = time.monotonic()
    await house.do("down", "stubborn")
    assert time.monotonic() - began >= 1.0
    assert not [pid for pid in pids if pid in house.processes()]
    assert "still there 1 s after SIGTERM" in house.run("events", "--stack", "stubborn").stdout


async def test_one_that_forks_leaves_nobody_behind(house: House) -> None:
    folder = house.a_stack("forks", app=apps.FORKS, command=PYTHON)
    await house.do("up", str(folder))

    def sleepers() -> list[int]:
        return [pid for pid, words in house.processes().items() if "time.sleep(3600)" in words]

    assert len(sleepers()) == 4
    victim = house.healthy("forks")[0]
    os.kill(victim["pid"], signal.SIGKILL)
    await replaced(house, "forks", victim["id"], 2)
    await house.until("its children to go", lambda: len(sleepers()) == 4)
    await house.do("down", "forks")
    assert sleepers() == []


async def test_check_counts_fifty_and_fifty(house: House) -> None:
    folder = house.a_stack("check", app=apps.WELL)
    await house.do("up", str(folder))
    done = await house.do("check", "--stack", "check", "--json", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"web-1": 50' in done.stdout
    assert '"web-2": 50' in done.stdout
    async with load_on(house, "check") as load:
        await settle(load)
        busy = await house.do("check", "--stack", "check")
    assert "requests of others came meanwhile" in busy.stderr
    house.run("down", "check")


async def test_as_root_instances_are_nobody_special(house: House) -> None:
    folder = house.a_stack("whoami", app=apps.WELL)
    await house.do("up", str(folder))
    pid = house.healthy("whoami")[0]["pid"]
    uid = int(
        next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid")).split()[1]
    )
    assert uid != 0
    house.run("down", "whoami")


def _get(port: int, path: str) -> bytes:
    """The body of a 200, or b"" for anything else."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except OSError:
        return b""
    return answer if b" 200 " in answer.split(b"\r\n", 1)[0] else b""
