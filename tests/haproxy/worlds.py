"""The two worlds that the contract runs in: the fake, and a real HAProxy with real targets. Same words for both."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fairlead.aiokit.polling import wait_until
from fairlead.core.traffic import BalancerReport, Target, TargetReport, Traffic
from fairlead.haproxy.fake import ANSWERED_503, PASSED, REFUSED, FakeBalancer
from fairlead.haproxy.files import Files
from fairlead.haproxy.node import HaproxyNode
from tests.haproxy.apps import App, ask, free_port
from tests.haproxy.builders import GROUP, TOKEN, a_target

PATIENCE = 30.0
"""Seconds until what must happen has happened, on a machine that does other things."""


class FakeWorld:
    """Targets are what the test says they are."""

    def __init__(self) -> None:
        self.fake = FakeBalancer()
        self.balancer = self.fake
        self.port = 8080

    async def open(self) -> None:
        await self.balancer.start(Traffic())

    async def target(self, number: int, *, healthy: bool = True, group: str = GROUP) -> Target:
        target = a_target(number, group=group, id=name_of(group, number))
        await self.heal(target) if healthy else await self.sicken(target)
        return target

    async def sicken(self, target: Target) -> None:
        self.fake.answer(target.group, target.id, ANSWERED_503)

    async def heal(self, target: Target) -> None:
        self.fake.answer(target.group, target.id, PASSED)

    async def kill(self, target: Target) -> None:
        self.fake.answer(target.group, target.id, REFUSED)

    async def occupy(self, port: int) -> str:
        self.fake.occupy("127.0.0.1", port, "process 4711 (nginx) listens")
        return "process 4711"

    async def send(self, count: int) -> list[str]:
        """Who answered each of `count` requests; [] when nobody could."""
        try:
            return self.fake.send(GROUP, count)
        except Exception:
            return []

    async def get(self, host: str = "test", path: str = "/") -> str:
        """Who answered, or the status of who did not."""
        return self.fake.ask(self.port, host, path)

    async def listens(self, port: int) -> bool:
        return ("127.0.0.1", port) in self.fake.ports and bool(self.fake.routings)

    async def kill_node(self) -> None:
        self.fake.die()
        self.fake.revive()

    async def restart_daemon(self, traffic: Traffic) -> None:
        await self.balancer.close()
        await self.balancer.start(traffic)

    async def until(self, holds: Callable[[BalancerReport], bool], what: str) -> BalancerReport:
        return await until(self.balancer, holds, what)

    async def close(self) -> None:
        await self.balancer.close()


class RealWorld:
    """A home of its own, apps in the test's loop, one HAProxy."""

    def __init__(self, programs: str, user: tuple[int, int] | None = None) -> None:
        self.home = tempfile.mkdtemp(prefix="fl-")
        os.chmod(self.home, 0o711)
        self.folder = f"{self.home}/run/haproxy"
        self.log = f"{self.home}/haproxy.log"
        self.files = Files(self.folder)
        self.port = free_port()
        self.apps: dict[str, App] = {}
        self._programs, self._user = programs, user
        self._squatters: list[asyncio.Server] = []
        self.balancer = self.node()

    def node(self, folder: str = "", program: str | None = None) -> HaproxyNode:
        return HaproxyNode(
            folder=folder or self.folder, binary_override=program, programs=self._programs, log_path=self.log, home=self.home,
            user=self._user, fd_limit=4096, cpus=2,
            access_logs=lambda stack: f"{self.home}/stacks/{stack}/logs/access", shared_access_logs=f"{self.home}/logs/access",
        )  # fmt: skip

    async def open(self) -> None:
        await self.balancer.start(Traffic())

    async def target(self, number: int, *, healthy: bool = True, path: str | None = None, group: str = GROUP) -> Target:
        target = a_target(number, group=group, id=name_of(group, number))
        app = App(target.id, health=200 if healthy else 503)
        self.apps[target.id] = await app.listen(path)
        return replace(target, address=app.address)

    async def sicken(self, target: Target) -> None:
        self.apps[target.id].health = 503

    async def heal(self, target: Target) -> None:
        self.apps[target.id].health = 200

    async def kill(self, target: Target) -> None:
        self.apps[target.id].kill()

    async def occupy(self, port: int) -> str:
        self._squatters.append(await asyncio.start_server(lambda *_: None, "127.0.0.1", port))
        return f"process {os.getpid()} ({Path('/proc/self/comm').read_text().strip()}"

    async def send(self, count: int) -> list[str]:
        names = []
        for _ in range(count):
            with suppress(OSError, EOFError):
                answer = await ask(self.port, headers={"X-Fairlead-Check": TOKEN})
                if answer.status == 200:
                    assert answer.headers["x-fairlead-instance"] == answer.body
                    names.append(answer.body)
        return names

    async def get(self, host: str = "test", path: str = "/", method: str = "GET") -> str:
        answer = await ask(self.port, method, path, headers={"Host": host})
        return answer.body if answer.status == 200 else str(answer.status)

    async def listens(self, port: int) -> bool:
        try:
            await ask(port)
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        """Of the HAProxy that serves."""
        (known,) = [known for known in self.files.running().values() if not known.leaving]
        return known.identity.pid

    @property
    def pids(self) -> set[int]:
        """Of every HAProxy of this home."""
        return {known.identity.pid for known in self.files.running().values()}

    async def kill_node(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    async def restart_daemon(self, traffic: Traffic, program: str | None = None) -> None:
        await self.balancer.close()
        self.balancer = self.node(program=program)
        await self.balancer.start(traffic)

    async def until(self, holds: Callable[[BalancerReport], bool], what: str) -> BalancerReport:
        return await until(self.balancer, holds, what)

    async def close(self) -> None:
        for server in self._squatters:
            server.close()
        with suppress(RuntimeError):  # closed by the test
            await self.balancer.stop()
        await self.balancer.close()
        for known in self.files.running().values():
            with suppress(ProcessLookupError):
                os.kill(known.identity.pid, signal.SIGKILL)
        for app in self.apps.values():
            app.kill()
        await asyncio.sleep(0)
        shutil.rmtree(self.home, ignore_errors=True)


World = FakeWorld | RealWorld


def name_of(group: str, number: int) -> str:
    """`web-1` in the stack that most tests are about, else `STACK-SERVICE-1`."""
    return f"web-{number}" if group == GROUP else f"{group.replace('.', '-')}-{number}"


async def until(
    balancer: FakeBalancer | HaproxyNode, holds: Callable[[BalancerReport], bool], what: str
) -> BalancerReport:
    """Observe until `holds`, and return that report."""
    last: list[BalancerReport] = []

    async def question() -> bool:
        last[:] = [await balancer.observe()]
        return holds(last[0])

    await wait_until(question, PATIENCE, what, seen=lambda: last)
    return last[0]


def report_of(report: BalancerReport, target: Target) -> TargetReport | None:
    for one in report.targets:
        if (one.group, one.id) == (target.group, target.id):
            return one
    return None


def is_up(*targets: Target) -> Callable[[BalancerReport], bool]:
    return lambda report: all((one := report_of(report, target)) is not None and one.up for target in targets)


def is_down(*targets: Target) -> Callable[[BalancerReport], bool]:
    return lambda report: all((one := report_of(report, target)) is not None and not one.up for target in targets)


def has_passed(*targets: Target) -> Callable[[BalancerReport], bool]:
    def holds(report: BalancerReport) -> bool:
        checks = [one.check for target in targets if (one := report_of(report, target))]
        return len(checks) == len(targets) and all(check is not None and check.passed for check in checks)

    return holds


def has_failed(target: Target) -> Callable[[BalancerReport], bool]:
    def holds(report: BalancerReport) -> bool:
        one = report_of(report, target)
        return one is not None and one.check is not None and not one.check.passed

    return holds


async def admit(world: World, *targets: Target) -> None:
    """Register each, wait for its first passed check, let it in."""
    for target in targets:
        await world.balancer.register(target)
    await world.until(has_passed(*targets), "the first passed checks")
    for target in targets:
        await world.balancer.admit(target.group, target.id)
    await world.until(is_up(*targets), "the targets in rotation")
