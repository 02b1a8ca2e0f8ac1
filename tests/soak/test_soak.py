"""`make soak`: half an hour of load, in clear and over TLS, on a group with stickiness, while instances, the daemon and
HAProxy are killed at random, rules and certificates change, and instances are opened; then nothing may be left.

FAIRLEAD_SOAK_MINUTES sets how long (30), FAIRLEAD_SOAK_SEED repeats a run. The daemon is killed in the first half only,
so that in the second half its memory, descriptors and rows can be seen to stay where they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from fairlead.core.layout import layout_of
from fairlead.drill.load import Load
from fairlead.drill.tls import trusting

from ..live import apps
from ..live.house import House, group_of

MINUTES = float(os.environ.get("FAIRLEAD_SOAK_MINUTES", "30"))
SEED = int(os.environ.get("FAIRLEAD_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 10_000)

RATE = 100.0
"""Requests a second, the whole time, each over a connection of its own."""

INSIDE_A_KILLED_HAPROXY = 10
"""Requests that one kill of HAProxy may lose: those inside it."""

KILLS = ("kill_haproxy", "lists_removed")
"""What kills HAProxy."""

IDLE_CONNECTIONS = 60
"""Of the load, that may be open or not when HAProxy's descriptors are counted."""

RECOVERY = 60.0
"""Seconds in which everything is well again after a fault."""

GROWTH = 1.25
"""How much more memory the daemon may hold at the end than in the middle; beside it 8 MB."""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(MINUTES * 60 + 900)]


@dataclass
class Soak:
    """One stack under load, and what befalls it."""

    house: House
    folder: Path
    chance: random.Random
    loads: tuple[Load, ...]
    authority: trustme.CA
    told: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Requests lost while a fault or an operation was under way."""
    size: int = 4
    version: int = 1
    timeout: int = 60

    @property
    def lost_so_far(self) -> int:
        return sum(load.report().lost for load in self.loads)

    # Faults: each returns when it was noticed, so that there is one at a time.

    async def kill_instance(self) -> None:
        await self.befall(lambda pid: os.killpg(group_of(pid), signal.SIGKILL))

    async def kill_program(self) -> None:
        await self.befall(lambda pid: os.kill(pid, signal.SIGKILL))

    async def freeze_instance(self) -> None:
        await self.befall(lambda pid: os.kill(pid, signal.SIGSTOP))

    async def kill_haproxy(self) -> None:
        await self.befall_the(self.house.balancer_pid)

    async def kill_daemon(self) -> None:
        await self.befall_the(self.house.daemon_pid)

    async def befall(self, how: Callable[[int], None]) -> None:
        """One instance, until it is gone."""
        victim = self.chance.choice(self.house.healthy("soak"))
        how(int(victim["pid"]))

        def is_gone() -> bool:
            return victim["id"] not in [one["id"] for one in self.house.instances("soak")]

        await self.house.until(f"{victim['id']} to be gone", is_gone, RECOVERY)

    async def befall_the(self, pid_of: Callable[[], int | None]) -> None:
        """HAProxy or the daemon, until there is another."""
        before = pid_of()
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await self.house.until("another process", lambda: pid_of() not in (None, before), RECOVERY)

    # Operations

    async def scale(self) -> None:
        self.size = self.chance.choice((2, 3, 4, 6))
        await self.house.do("scale", "web", str(self.size), "--stack", "soak")

    async def deploy(self) -> None:
        before, self.version = self.version, self.version + 1
        self.house.edit(self.folder, f"version {before}", f"version {self.version}", "app.py")
        await self.house.do("up", str(self.folder))

    async def restart(self) -> None:
        await self.house.do("restart", "--stack", "soak")

    async def edit(self) -> None:
        """A reload."""
        before, self.timeout = self.timeout, self.timeout + 1
        self.house.edit(self.folder, f"idle_timeout: {before}s", f"idle_timeout: {self.timeout}s")
        await self.house.do("up", str(self.folder))

    async def certificate(self) -> None:
        """The certificate is renewed, as a program does that knows nothing of fairlead: first its key, then itself."""
        serial = renew(self.folder, self.authority)
        tls, port = trusting(str(self.folder / "authority.pem")), self.house.port("soak-tls")
        await self.house.until("it to be shown", lambda: serial_shown(port, tls) == serial, RECOVERY)

    async def opened(self) -> None:
        chosen = self.chance.choice(self.house.healthy("soak"))["id"]
        for verb in ("open", "close"):
            await self.house.do("instance", verb, chosen, "--stack", "soak")

    async def lists_removed(self) -> None:
        """Something tidies the folder of certificates away; HAProxy dies, and comes back all the same."""
        shutil.rmtree(Path(layout_of(str(self.house.home), os.getuid()).run) / "haproxy" / "tls")
        await self.kill_haproxy()

    async def another_stack(self) -> None:
        await self.house.do("up", str(self.folder.parent / "guest"))
        await self.house.do("down", "guest")

    def well(self) -> bool:
        shown = self.house.instances("soak")
        return len(shown) == self.size == sum(one["health"] == "healthy" for one in shown)

    async def until(self, end: float, acts: list[Callable[[], Awaitable[None]]]) -> None:
        while time.monotonic() < end:
            act = self.chance.choice(acts)
            name, before = act.__name__, self.lost_so_far
            try:
                await act()
                await self.house.until(f"everything to be well after {name} (seed {SEED})", self.well, RECOVERY)
            except AssertionError as problem:
                raise AssertionError(f"{name}, seed {SEED}, after {self.told}: {problem}") from problem
            await asyncio.sleep(self.chance.uniform(0.5, 3.0))
            self.told[name] += 1
            self.lost[name] += self.lost_so_far - before
            if sum(self.told.values()) % 20 == 0:
                left = max(0.0, end - time.monotonic())
                print(f"soak: {dict(self.told)}; {left / 60:.1f} min left of this part", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Holdings:
    """What the home holds at one moment."""

    daemon_memory: int
    daemon_files: int
    balancer_files: int
    processes: int
    sockets: tuple[str, ...]
    temporary: tuple[str, ...]
    rows: dict[str, int]


def holdings(house: House) -> Holdings:
    daemon, balancer = house.daemon_pid(), house.balancer_pid()
    assert daemon is not None
    assert balancer is not None
    with sqlite3.connect(f"file:{house.home}/fairlead.db?mode=ro", uri=True) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
        live = db.execute("SELECT count(*) FROM instances WHERE ended = 0").fetchone()[0]
    db.close()
    return Holdings(
        daemon_memory=_pss(daemon),
        daemon_files=len(os.listdir(f"/proc/{daemon}/fd")),
        balancer_files=len(os.listdir(f"/proc/{balancer}/fd")),
        processes=len(house.processes()),
        sockets=tuple(sorted(path.name for path in (house.home / "run" / "i").iterdir())),
        temporary=_temporary(house),
        rows={**rows, "live instances": live},
    )


def renew(folder: Path, authority: trustme.CA) -> int:
    """Put another certificate into the folder; its serial number."""
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "web.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "web.pem"))
    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


def serial_shown(port: int, tls: ssl.SSLContext) -> int:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert()
    assert shown
    return int(str(shown["serialNumber"]), 16)


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def _temporary(house: House) -> tuple[str, ...]:
    """What looks like a file that somebody meant to rename or remove."""
    found = [
        path for path in house.home.rglob("*") if path.name.startswith((".new-", ".fairlead")) or ".tmp" in path.name
    ]
    return tuple(str(path.relative_to(house.home)) for path in found)


async def test_half_an_hour_of_faults_loses_nothing_and_leaves_nothing() -> None:
    house = House(str(Path(sys.executable).parent / "fairlead"))
    print(f"soak: {MINUTES:g} minutes, seed {SEED}", file=sys.stderr)
    try:
        settings = """
            health_check: {interval: 1s, timeout: 1s, grace_period: 5s}
            target_group: {stickiness: {type: lb_cookie, duration: 1h}}
        """
        folder, authority = house.a_stack("soak", app=apps.WELL, instances=4, settings=settings), trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        renew(folder, authority)
        https = (
            f"    - {{port: {house.port('soak-tls')}, protocol: HTTPS, default: {{forward: web}},"
            " certificates: [{file: web.pem, key: web.key}]}\n"
        )
        house.edit(folder, "  listeners:\n", f"  idle_timeout: 60s\n  listeners:\n{https}")
        house.a_stack("guest", app=apps.WELL, instances=1)
        await house.do("up", str(folder))
        tls = trusting(str(folder / "authority.pem"))
        secure = f"https://localhost:{house.port('soak-tls')}/"
        async with (
            Load(house.url("soak"), rate=RATE, connections="new") as load,
            Load(secure, rate=RATE / 4, connections="new", tls=tls) as over_tls,
        ):
            soak = Soak(house, folder, random.Random(SEED), (load, over_tls), authority)
            acts = [soak.kill_instance, soak.kill_program, soak.freeze_instance, soak.kill_haproxy]
            acts += [soak.scale, soak.deploy, soak.restart, soak.another_stack]
            acts += [soak.edit, soak.certificate, soak.opened, soak.lists_removed]
            began = time.monotonic()
            await soak.until(began + MINUTES * 30, [*acts, soak.kill_daemon])
            await _rest(soak)
            middle = holdings(house)
            await soak.until(began + MINUTES * 60, acts)
            await _rest(soak)
            # A fault makes the load open connections by the dozen; those that it does not need are closed when idle.
            most = middle.balancer_files + IDLE_CONNECTIONS
            await house.until("idle connections to go", lambda: holdings(house).balancer_files <= most, 150.0)
        end = holdings(house)
        _judge(soak, middle, end)
    finally:
        house.close()
    assert not os.path.exists(layout_of(str(house.home), os.getuid()).run), "the run folder is left"


async def _rest(soak: Soak) -> None:
    """The same size each time it is measured, and time for what is leaving to be gone."""
    soak.size = 4
    await soak.house.do("scale", "web", "4", "--stack", "soak")
    await soak.house.until("everything to be well", soak.well, RECOVERY)

    def quiet() -> bool:
        return sum("/haproxy -D" in words for words in soak.house.processes().values()) == 1

    await soak.house.until("the old HAProxys to go", quiet, 120.0)


def _judge(soak: Soak, middle: Holdings, end: Holdings) -> None:
    reports = [load.report() for load in soak.loads]
    told = json.dumps({"faults": soak.told, "sent": [one.sent for one in reports], "lost": soak.lost})
    print(f"soak: {told}\n{reports}\nsoak: middle {middle}\nsoak: end    {end}", file=sys.stderr)
    assert not [kind for report in reports for kind in report.errors if "refused" in kind], reports
    for name in KILLS:
        assert soak.lost[name] <= INSIDE_A_KILLED_HAPROXY * soak.told[name], told
    assert not +Counter({name: count for name, count in soak.lost.items() if name not in KILLS}), told
    assert end.processes == middle.processes
    assert end.daemon_files <= middle.daemon_files + 4, "file descriptors of the daemon"
    assert end.balancer_files <= middle.balancer_files + IDLE_CONNECTIONS, "file descriptors of HAProxy"
    assert len(end.sockets) == len(middle.sockets) == 4, end.sockets
    assert end.temporary == (), end.temporary
    assert end.rows["live instances"] == 4
    assert end.daemon_memory <= middle.daemon_memory * GROWTH + 8_000_000, "memory of the daemon"
