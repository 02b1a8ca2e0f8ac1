"""A stack that is lived with, for real and under load: sized, restarted, upgraded, joined by others, rebooted."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from fairlead.drill.load import Load

from . import apps
from .house import House
from .pace import RATE, nothing_lost, settle
from .websockets import ECHO, open_many

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

ANOTHER_BOOT = "11111111-2222-3333-4444-555555555555"

WHOLE = """\
name: whole
services:
  web:
    app: app:app
    instances: 2
    after: [api]
    build: python3 -c "open('built.txt', 'w').write('made once')"
    environment: {{COLOUR: "${{env.COLOUR}}"}}
  api:
    command: python3 api.py
    before_traffic: python3 -c "print('migrated', flush=True)"
  queue: {{command: python3 queue.py, port: none}}
jobs:
  tick: {{service: api, command: "python3 -c 'print(42)'", cron: "0 3 * * *", timezone: Europe/Berlin}}
load_balancer:
  listeners:
    - port: {port}
      rules: [{{when: {{path: "/api/*"}}, forward: api}}]
      default: {{forward: web}}
"""

WEB = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"web {os.environ['COLOUR']} {open('built.txt').read()}".encode()]
"""

QUEUE = "import time\nwhile True: time.sleep(60)\n"


def load_on(house: House, stack: str, *, connections: str = "keep_alive") -> Load:
    return Load(house.url(stack), rate=RATE, connections=connections)  # type: ignore[arg-type]


async def test_scaling_two_to_six_and_back_loses_nothing(house: House) -> None:
    folder = house.a_stack("scaling", app=apps.WELL)
    await house.do("up", str(folder))
    async with load_on(house, "scaling") as load:
        await settle(load)
        await house.do("scale", "web", "6", "--stack", "scaling")
        assert len(house.healthy("scaling")) == 6
        await settle(load)
        await house.do("scale", "web", "2", "--stack", "scaling")
        await house.until("the others to go", lambda: len(house.instances("scaling")) == 2)
        await settle(load)
    nothing_lost(load, house)
    house.run("down", "scaling")


async def test_a_restart_replaces_every_instance_and_loses_nothing(house: House) -> None:
    folder = house.a_stack("again", app=apps.WELL)
    await house.do("up", str(folder))
    before = {one["id"] for one in house.healthy("again")}
    async with load_on(house, "again") as load:
        await settle(load)
        await house.do("restart", "--stack", "again")
        await settle(load)
    nothing_lost(load, house)
    assert len(after := {one["id"] for one in house.healthy("again")}) == 2
    assert not before & after
    house.run("down", "again")


async def test_an_upgrade_of_the_daemon_loses_nothing_and_restarts_nothing(house: House) -> None:
    folder = house.a_stack("upgrade", app=apps.WELL)
    await house.do("up", str(folder))
    before = [(one["id"], one["pid"]) for one in house.healthy("upgrade")]
    daemon, balancer = house.daemon_pid(), house.balancer_pid()
    async with load_on(house, "upgrade", connections="new") as load:
        await settle(load)
        await house.do("daemon", "upgrade", "--force")
        await settle(load)
    nothing_lost(load, house)
    assert house.daemon_pid() not in (None, daemon)
    assert house.balancer_pid() == balancer
    assert [(one["id"], one["pid"]) for one in house.healthy("upgrade")] == before
    house.run("down", "upgrade")


async def test_a_listener_added_changed_and_removed_twenty_times_loses_nothing(plain_house: House) -> None:
    house = plain_house  # long, and nothing in it depends on who runs it
    folder = house.a_stack("doors", app=apps.WELL)
    plain = (folder / "fairlead.yaml").read_text()
    extra = [f"    - {{port: {house.port(name)}, default: {{forward: web}}}}\n" for name in ("side", "back")]
    await house.do("up", str(folder))
    async with load_on(house, "doors") as load:
        await settle(load)
        for turn in range(20):
            for text in (plain + extra[turn % 2], plain + extra[(turn + 1) % 2], plain):
                house.write(folder / "fairlead.yaml", text)
                await house.do("up", str(folder))
        await settle(load)
    nothing_lost(load, house)
    await house.until("the old HAProxys to go", lambda: _haproxies(house) == 1)
    house.run("down", "doors")


async def test_a_second_stack_comes_and_goes_while_websockets_of_the_first_stay_open(plain_house: House) -> None:
    house = plain_house  # long, and nothing in it depends on who runs it
    first, second = house.a_stack("first", app=ECHO), house.a_stack("second", app=apps.WELL)
    await house.do("up", str(first))
    sockets = await open_many(house.port("first"), 200)
    try:
        async with load_on(house, "first") as load:
            for turn in range(10):
                await house.do("up", str(second))
                await house.do("down", "second")
                kept = await asyncio.gather(*(one.echoes(f"turn {turn}") for one in sockets))
                assert all(kept), f"turn {turn}: {kept.count(False)} of 200 were cut\n{house.evidence()}"
        nothing_lost(load, house)
    finally:
        for one in sockets:
            one.close()
    house.run("down", "first")


async def test_two_stacks_share_a_port_by_host_and_a_real_conflict_names_both(plain_house: House) -> None:
    house = plain_house  # long, and nothing in it depends on who runs it
    folders = {name: house.a_stack(name, app=apps.WELL) for name in ("blue", "green", "loud")}
    shared = house.port("blue")
    for name in ("blue", "green"):
        rule = f"{{port: {shared}, rules: [{{when: {{host: {name}.example.com}}, forward: web}}]}}"
        house.edit(folders[name], f"{{port: {house.port(name)}, default: {{forward: web}}}}", rule)
    house.edit(folders["loud"], f"port: {house.port('loud')}", f"port: {shared}")
    house.edit(folders["green"], "app: ", "environment: {}\n    app: ")
    house.edit(folders["green"], "version 1", "green", "app.py")
    for name in ("blue", "green", "loud"):
        await house.do("up", str(folders[name]))
    assert b"version 1" in await _asks(shared, "blue.example.com")
    assert b"green" in await _asks(shared, "GREEN.example.com:80")
    assert b"version 1" in await _asks(shared, "elsewhere.example.com"), "who names no host is loud's"
    other = house.a_stack("rival", app=apps.WELL)
    house.edit(other, f"port: {house.port('rival')}", f"port: {shared}")
    refused = await house.do("up", str(other), check=False)
    assert refused.returncode == 1
    assert "loud" in refused.stderr
    assert "rival" in refused.stderr
    async with Load(f"http://127.0.0.1:{shared}/", rate=RATE, connections="keep_alive") as load:
        await settle(load)
        await house.do("down", "green")
        await settle(load)
    nothing_lost(load, house)
    for name in ("blue", "loud"):
        house.run("down", name)


async def test_a_whole_application_builds_prepares_starts_in_order_and_comes_back_after_a_reboot(house: House) -> None:
    folder = house.folder / "whole"
    folder.mkdir(exist_ok=True)
    for name, text in (("app.py", WEB), ("api.py", apps.SERVER + "\nserve()\n"), ("queue.py", QUEUE)):
        house.write(folder / name, text)
    house.write(folder / "fairlead.yaml", WHOLE.format(port=house.port("whole")))
    done = await asyncio.to_thread(house.run, "up", str(folder), COLOUR="teal")
    assert "queue" in done.stderr
    assert b"web teal made once" in await _asks(house.port("whole"), "localhost")
    assert b"ok" in await _asks(house.port("whole"), "localhost", "/api/x")
    jobs = json.loads(house.run("jobs", "--stack", "whole", "--json").stdout)["jobs"]
    assert [job["job"] for job in jobs] == ["tick"]
    ran = await house.do("jobs", "run", "tick", "--stack", "whole")
    assert ran.returncode == 0
    assert "42" in house.run("logs", "--stack", "whole", "--job", "tick").stdout
    _reboot(house)
    assert (await house.do("status", "--stack", "whole")).returncode == 0
    await house.until(
        "everything to be back", lambda: _healthy_services(house, "whole") == {"web": 2, "api": 1, "queue": 1}
    )
    assert b"web teal made once" in await _asks(house.port("whole"), "localhost")
    events = [event["text"] for event in json.loads(house.run("events", "--stack", "whole", "--json").stdout)["events"]]
    started = [text.split()[0] for text in events if " launched: " in text]
    assert started.index("api-2") < started.index("web-3"), started
    assert sum("before-" in text and "started" in text for text in events) == 1, "prepared once per release"
    house.run("down", "whole")


async def test_exec_and_run_are_in_the_places_they_say(house: House) -> None:
    folder = house.a_stack("inside", app=apps.WELL, settings="environment: {COLOUR: teal}")
    await house.do("up", str(folder))
    inside = await house.do(
        "exec", "--stack", "inside", "web-1", "--", "sh", "-c", "echo $FAIRLEAD_INSTANCE $COLOUR; ls"
    )
    assert inside.stdout.split()[:2] == ["web-1", "teal"]
    assert "app.py" in inside.stdout
    once = await house.do(
        "run", "--stack", "inside", "web", "--", "python", "-c", "import os; print(os.environ['COLOUR'])"
    )
    assert once.stdout.strip() == "teal"
    failed = await house.do("run", "--stack", "inside", "web", "--", "sh", "-c", "exit 7", check=False)
    assert failed.returncode == 7
    house.run("down", "inside")


async def test_a_drained_instance_gets_no_request_and_keeps_its_running_ones(house: House) -> None:
    folder = house.a_stack("drain", app=apps.WELL)
    await house.do("up", str(folder))
    async with load_on(house, "drain") as load:
        await settle(load)
        await house.do("instance", "drain", "web-1", "--stack", "drain")
        await house.until("it to be out", lambda: house.instances("drain")[0]["health"] in ("draining", "unused"))
        said = {await _asks(house.port("drain"), "localhost") for _ in range(10)}
        assert said == {b"web-2 says version 1\n"}
        await house.do("instance", "return", "web-1", "--stack", "drain")
        await house.until("it to be back", lambda: len(house.healthy("drain")) == 2)
        await settle(load)
    nothing_lost(load, house)
    house.run("down", "drain")


async def test_ctrl_c_at_any_moment_of_an_up_leaves_what_was(plain_house: House) -> None:
    house = plain_house  # long, and nothing in it depends on who runs it
    folder = house.a_stack("ctrlc", app=apps.WELL)
    await house.do("up", str(folder))
    async with load_on(house, "ctrlc") as load:
        await settle(load)
        for turn, moment in enumerate((0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.9)):
            house.edit(folder, f"version {turn + 1}", f"version {turn + 2}", "app.py")
            status = await asyncio.to_thread(_interrupted, house, folder, moment)
            # Before the command has begun, the signal ends Python quietly: a shell shows 130 for that, too.
            assert status in (0, 130, -signal.SIGINT), f"interrupted after {moment} s: status {status}"
            await house.until("two to serve", lambda: len(house.healthy("ctrlc")) == 2)
        await settle(load)
    nothing_lost(load, house)
    house.run("down", "ctrlc")


def _interrupted(house: House, folder: Path, moment: float) -> int:
    import subprocess

    process = subprocess.Popen(
        house.command("up", str(folder)),
        env=house.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(moment)
    process.send_signal(signal.SIGINT)
    return process.wait(60)


def _haproxies(house: House) -> int:
    return sum("/haproxy -D" in words for words in house.processes().values())


def _healthy_services(house: House, stack: str) -> dict[str, int]:
    for found in house.status()["stacks"]:
        if found["name"] == stack:
            return {
                service["name"]: sum(one["health"] == "healthy" for one in service["instances"])
                for service in found["services"]
            }
    return {}


def _reboot(house: House) -> None:
    """Every process is gone at once, and what is recorded is of another boot."""
    house.kill_all()
    with sqlite3.connect(house.home / "fairlead.db") as db:
        for table in ("instances", "runs", "stacks"):
            for rowid, record in db.execute(f"SELECT rowid, record FROM {table}").fetchall():
                values = json.loads(record)
                for holder in (values, values.get("deployment") or {}):
                    if "boot" in holder:
                        holder["boot"] = ANOTHER_BOOT
                db.execute(f"UPDATE {table} SET record = ? WHERE rowid = ?", (json.dumps(values), rowid))
        db.execute("UPDATE instances SET boot = ?", (ANOTHER_BOOT,))
    db.close()


async def _asks(port: int, host: str, path: str = "/") -> bytes:
    """The body of the answer to a GET; b"" when there was none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    except (OSError, TimeoutError):
        return b""
    return answer.partition(b"\r\n\r\n")[2]
