"""The first reference system, as its author checked it: two equal Flask apps, a hundred requests, counted by hand.

The counting is this test's own, on the bodies, so that it proves the balancer and not `fairlead check`.
"""

from __future__ import annotations

import http.client
import os
import socket
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "host-date"


def test_host_date_shares_a_hundred_requests_evenly_through_its_one_way_in(house: House) -> None:
    folder, port = a_copy_of_the_example(house), str(house.port("host-date"))
    house.run("up", str(folder), PORT=port)
    instances = house.healthy("host-date")
    ids = [one["id"] for one in instances]
    assert len(ids) == 2

    hosts = Counter(body_of(house, "/host") for _ in range(100))
    assert hosts == dict.fromkeys(ids, 50)

    before = datetime.now(UTC) - timedelta(seconds=1)  # it tells whole seconds
    told = datetime.strptime(body_of(house, "/date"), "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert before < told <= datetime.now(UTC)

    for one in instances:
        only_the_balancer_reaches(one, house)

    again = house.run("up", str(folder), PORT=port)
    assert "nothing to change" in again.stderr
    assert house.healthy("host-date") == instances

    house.run("down", "host-date")
    assert house.instances("host-date") == []
    assert not {one["pid"] for one in instances} & set(house.processes())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port)), timeout=2)


def a_copy_of_the_example(house: House) -> Path:
    """In the house's folder: `up` must need nothing of the clone."""
    folder = house.folder / "host-date"
    folder.mkdir(exist_ok=True)
    for source in EXAMPLE.iterdir():
        if source.is_file():
            house.write(folder / source.name, source.read_text())
    return folder


def body_of(house: House, path: str) -> str:
    """The answer's text, on a connection of its own; AssertionError when it is no 200."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port("host-date"), timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, f"{path} answered {response.status}"
        return response.read().decode().strip()
    finally:
        connection.close()


def only_the_balancer_reaches(instance: dict[str, Any], house: House) -> None:
    """Its socket is the one thing it listens on, and nobody but HAProxy's user (as root: group) may open it."""
    path = Path(instance["address"].removeprefix("unix:"))
    found, around = path.stat(), path.parent.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert not stat.S_IMODE(found.st_mode) & 0o007, "others may not connect"
    assert not stat.S_IMODE(around.st_mode) & 0o007, "others cannot even pass its folder"
    balancer = house.balancer_pid()
    assert balancer is not None
    if house.owner is None and os.getuid() == 0:
        assert found.st_uid == uid_of(instance["pid"]) != 0, "the program's own user made it"
        assert found.st_gid == gid_of(balancer), "its group is HAProxy's"
    else:
        assert stat.S_IMODE(found.st_mode) & 0o077 == 0
        assert found.st_uid == uid_of(instance["pid"]) == uid_of(balancer)
    assert not tcp_listeners_of(instance["pid"]), "it has no port"


def uid_of(pid: int) -> int:
    return _number(pid, "Uid")


def gid_of(pid: int) -> int:
    return _number(pid, "Gid")


def tcp_listeners_of(pid: int) -> set[str]:
    """The inodes of the listening TCP sockets that the process holds."""
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                listening.add(words[9])
    held = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return {inode for inode in listening if f"socket:[{inode}]" in held}


def _number(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1])
