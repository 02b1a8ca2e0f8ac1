"""Messages on their real way: to an HTTP server, and to a program."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.control.alarms import Alarms, Pace
from fairlead.control.clock import SystemClock
from fairlead.control.delivery import RealCourier
from fairlead.control.journal import Journal
from fairlead.core.alarms import AlarmRecord, Delivery, key_of
from fairlead.core.launch import Surroundings
from fairlead.core.model import Alarm
from fairlead.core.observed import Observed
from fairlead.store.database import Store
from tests.aiokit.receiver import receiving
from tests.core.builders import a_revision, a_service, a_stack, a_wish, serving

COURIER = RealCourier(Surroundings(timezone="Europe/Berlin"), None)
PAYLOAD: dict[str, str | float | None] = {
    "id": "7",
    "stack": "shop",
    "alarm": "unhealthy_targets above 0",
    "state": "ALARM",
    "metric": "unhealthy_targets",
    "value": 1.0,
    "threshold": 0.0,
    "since": "2026-01-01T12:00:00Z",
    "at": "2026-01-01T12:01:00Z",
    "text": "shop: $(touch /tmp/x) `id` 'quoted' \"twice\"",
}


def a_delivery(**fields: object) -> Delivery:
    values: dict[str, object] = {"stack": "shop", "key": "k", "name": "unhealthy_targets above 0", "payload": PAYLOAD}
    return Delivery(**(values | fields))  # type: ignore[arg-type]


class TestWebhook:
    async def test_the_payload_is_sent_as_it_is(self) -> None:
        with receiving() as receiver:
            assert await COURIER.carry(a_delivery(webhook=f"{receiver.url}/x")) == ""
        assert receiver.requests[0].json == PAYLOAD

    @pytest.mark.parametrize(
        ("status", "why"),
        [(500, "answered 500"), (404, "answered 404"), (302, "answered 302 (redirects are not followed)")],
    )
    async def test_only_2xx_takes_it(self, status: int, why: str) -> None:
        with receiving(status=status, location="http://127.0.0.1:1/") as receiver:
            problem = await COURIER.carry(a_delivery(webhook=f"{receiver.url}/T0k3n"))
        assert problem == f"127.0.0.1:{receiver.port} {why}"


class TestCommand:
    async def test_it_gets_the_payload_in_a_clean_environment_and_nothing_is_a_shells(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        script = tmp_path / "tell me"
        script.write_text(f'#!/bin/sh\n{{ env; pwd; echo "$FAIRLEAD_ALARM_TEXT"; cat; }} > "{out}"\n')
        script.chmod(0o755)
        assert await COURIER.carry(a_delivery(command=("./tell me",), folder=str(tmp_path))) == ""
        lines = out.read_text().splitlines()
        names = {line.partition("=")[0] for line in lines if "=" in line}
        assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
            *("PATH", "HOME", "LANG", "TZ"), *(f"FAIRLEAD_ALARM_{key.upper()}" for key in PAYLOAD),
        }  # fmt: skip
        assert "FAIRLEAD_ALARM_VALUE=1" in lines
        assert lines[-2:] == [str(tmp_path), PAYLOAD["text"]]

    @pytest.mark.parametrize(
        ("command", "why"),
        [
            (("sh", "-c", "echo hunter2; exit 3"), "sh exited with status 3"),
            (("sh", "-c", "kill -9 $$"), "sh was killed by signal 9"),
            (("no-such-program-here",), "no-such-program-here cannot be started"),
        ],
    )
    async def test_one_that_fails_says_how_and_nothing_of_what_it_wrote(
        self, command: tuple[str, ...], why: str
    ) -> None:
        problem = await COURIER.carry(a_delivery(command=command, folder="/no/such/folder"))
        assert problem.startswith(why)
        assert "hunter2" not in problem

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
    async def test_as_root_it_runs_as_the_user_of_the_instances(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        courier = RealCourier(Surroundings(), (65534, 65534))
        check = "import os; open('who', 'w').write(f'{os.getuid()} {os.getgid()} {os.getgroups()}')"
        out = tmp_path / "out"
        out.mkdir()
        out.chmod(0o777)
        # The folder is passable for root alone above this one; it is entered before the user changes.
        assert await courier.carry(a_delivery(command=("python3", "-c", check), folder=str(out))) == ""
        assert (out / "who").read_text() == "65534 65534 []"


class House:
    """Alarms over a real store and a real server; what is observed is a test's."""

    def __init__(self, folder: Path, url: str) -> None:
        self.path = str(folder / "fairlead.db")
        alarm = Alarm(metric="unhealthy_targets", comparison="above", level=0.0, lasting=0.0, webhook=f"{url}/T0k3n")
        self.wanted = a_wish(a_revision(a_stack(a_service(instances=1), alarms=(alarm,))))
        self.begin()

    def begin(self) -> None:
        """A daemon takes over."""
        self.store = Store.open(self.path)
        clock = SystemClock("boot-1")
        self.journal = Journal(self.store, clock)
        self.alarms = Alarms(self.store, self.journal, clock, COURIER, Pace(first=0.05, longest=0.1))
        self.alarms.start(["shop"])

    async def end(self) -> None:
        await self.alarms.close()
        self.store.close()

    def look(self, *, ill: bool) -> None:
        seen = Observed(instances=() if ill else (serving(1),), boot="boot-1")
        from fairlead.core.health import TargetHealth

        self.alarms.evaluate(self.wanted, seen, lambda: {"web-1": (TargetHealth(state="healthy"), "")})


async def test_fired_once_and_cleared_once_over_restarts_of_the_daemon(tmp_path: Path) -> None:
    with receiving() as receiver:
        house = House(tmp_path, receiver.url)
        for ill in (False, True, True):
            house.look(ill=ill)
        await wait_until(lambda: receiver.requests, 60.0, "the alarm")
        for _ in range(3):
            await house.end()
            house.begin()
            house.look(ill=True)
        house.look(ill=False)
        await wait_until(lambda: len(receiver.requests) == 2, 60.0, "its end")
        await house.end()
        house.begin()
        house.look(ill=False)
        await house.end()
    first, second = (request.json for request in receiver.requests)
    assert [first["state"], second["state"]] == ["ALARM", "OK"]
    assert first["id"] != second["id"]
    assert first["since"] == second["since"]
    assert receiver.requests[0].path == "/T0k3n"


async def test_retried_while_the_server_answers_500_and_while_it_is_down(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    house = House(tmp_path, f"http://127.0.0.1:{port}")
    house.look(ill=True)
    await wait_until(lambda: house.store.deliveries()[0].attempts >= 2, 60.0, "two attempts at a server that is down")
    with receiving(status=500, port=port) as receiver:
        await wait_until(lambda: len(receiver.requests) >= 3, 60.0, "three attempts at a server that answers 500")
        house.look(ill=False)
        await house.end()
        house.begin()
        seen = len(receiver.requests)
        await wait_until(lambda: len(receiver.requests) > seen, 60.0, "an attempt of the next daemon")
        assert {request.json["state"] for request in receiver.requests} == {"ALARM"}, "the second waits for the first"
        receiver.status = 200
        await wait_until(lambda: not house.store.deliveries(), 60.0, "both deliveries")
        assert [request.json["state"] for request in receiver.requests][-2:] == ["ALARM", "OK"]
        assert len({request.json["id"] for request in receiver.requests}) == 2, "each attempt carries the same id"
    texts = str(house.store.events(None, 1000))
    await house.end()
    assert "T0k3n" not in texts
    assert f"127.0.0.1:{port}" in texts


async def test_a_daemon_that_leaves_lets_an_attempt_end_so_that_it_is_not_made_again(tmp_path: Path) -> None:
    with receiving() as receiver:
        house = House(tmp_path, receiver.url)
        house.look(ill=True)
        await asyncio.sleep(0)
        await house.end()
        house.begin()
        assert house.store.deliveries() == ()
        await house.end()
    assert len(receiver.requests) == 1


def test_what_is_remembered_is_found_by_its_key(tmp_path: Path) -> None:
    alarm = Alarm(metric="healthy_targets", comparison="below", level=1.0, command=("page",))
    record = AlarmRecord(stack="shop", key=key_of(alarm), alarm=alarm, firing=True)
    store = Store.open(str(tmp_path / "fairlead.db"))
    store.save_alarm(record)
    store.save_alarm(record)
    assert store.alarms() == (record,)
    store.close()
