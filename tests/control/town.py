"""A daemon without an outside: real control over the fake engine, the fake balancer and a real store, in virtual time.

`Town` is the world, which outlives daemons; `Town.daemon()` is one life of a daemon in it. A daemon can be made mortal: it
dies, as by kill -9, before or after its n-th call to anything outside, and every later call dies too.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fairlead.control.supervisor import Machine, Supervisor, UpRequest
from fairlead.core.alarms import Delivery
from fairlead.core.differences import Preview
from fairlead.core.figures import UNKNOWN, Figures
from fairlead.core.fingerprint import fields_hash
from fairlead.core.launch import Surroundings
from fairlead.core.layout import layout_of
from fairlead.core.model import Command, Release, Service, Stack
from fairlead.core.readings import Sample
from fairlead.core.scaling.seconds import ServiceSecond
from fairlead.core.traffic import Check
from fairlead.engines.base import LaunchOrder
from fairlead.engines.fake.engine import FakeEngine
from fairlead.engines.fake.script import Script
from fairlead.errors import BuildError
from fairlead.haproxy.fake import PASSED, REFUSED, FakeBalancer
from fairlead.metrics.query import Query
from fairlead.resources.fake import FakeResources, ServerScript
from fairlead.store.database import Store

FILE = """\
name: shop
services:
  web:
    command: serve
    instances: {instances}
    environment: {{VERSION: "{version}"}}
    health_check: {{path: /health, grace_period: {grace}}}
    target_group: {{deregistration_delay: 30s}}
    deploy: {{stop_timeout: 10s}}
load_balancer:
  listeners: [{{port: {port}, default: {{forward: web}}}}]
"""


class LoopClock:
    """The loop's time, which is virtual. booted: its second at which this boot counted `since_boot`."""

    def __init__(self, boot: str = "boot-1", since_boot: float = 1000.0, booted: float = 0.0) -> None:
        self.boot, self._offset = boot, since_boot - booted

    def now(self) -> float:
        return self._offset + asyncio.get_running_loop().time()

    def wall(self) -> str:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now())
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class QuickStore(Store):
    """A real store, but nothing waits for the disk in a thread: a thread's time is real, and virtual time would run on
    for minutes meanwhile. Nor does anything wait for it elsewhere: no power fails in a town."""

    @classmethod
    def of(cls, folder: Path) -> QuickStore:
        """Begun from an empty database that was made once: stories of crashes make hundreds."""
        path = folder / "fairlead.db"
        path.write_bytes(_empty_database())
        store = cls.open(str(path))
        store._db.execute("PRAGMA synchronous = OFF")
        return store  # type: ignore[return-value]

    async def durable(self) -> None:
        await asyncio.sleep(0)


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/fairlead.db"
        Store.open(path).close()
        return Path(path).read_bytes()


class FakeBuilder:
    """A release differs when its environment does. `broken`: the next build fails."""

    def __init__(self) -> None:
        self.broken = ""
        self.takes = 0.5

    async def build(
        self, stack: Stack, service: Service, known: Sequence[Release], number: int, progress: Callable[[str], None]
    ) -> Release:
        progress("building")
        await asyncio.sleep(self.takes)
        if self.broken:
            raise BuildError("it cannot be built", self.broken)
        fingerprint = self._fingerprint(service)
        for release in known:
            if release.fingerprint == fingerprint:
                return release
        return Release(
            service=service.name,
            number=number,
            fingerprint=fingerprint,
            source=f"/releases/{number}",
            environment_folder=None,
            argv=service.program.argv if isinstance(service.program, Command) else ("serve",),
            address="tcp" if service.serves else "none",
            environment=dict(service.environment),
            before_traffic=service.before_traffic,
            secrets=dict(service.secrets),
        )

    async def preview(self, stack: Stack, service: Service, known: Sequence[Release]) -> Preview:
        fingerprint = self._fingerprint(service)
        same = next((release for release in known if release.fingerprint == fingerprint), None)
        return Preview(release=same, reasons=() if same else ("environment.VERSION differs",))

    async def sweep(self, keep: Collection[str]) -> None:
        pass

    def _fingerprint(self, service: Service) -> str:
        fields = (sorted(service.environment.items()), service.serves, service.before_traffic, dict(service.secrets))
        return fields_hash({"service": fields})

    def prune(self, stack: str, service: str, keep: Collection[int]) -> None:
        pass


class FakeCourier:
    """Brings everything, unless there is a `problem`: what was brought, in order."""

    def __init__(self) -> None:
        self.problem = ""
        self.brought: list[Delivery] = []
        self.tried = 0

    async def carry(self, delivery: Delivery) -> str:
        await asyncio.sleep(0)
        self.tried += 1
        if not self.problem:
            self.brought.append(delivery)
        return self.problem


class FakeMeter:
    """Remembers the samples; `did` is what it says of a service ("") or an instance, `before` the same of the past;
    `past` are the finished seconds of (stack, service)."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.did: dict[str, Figures] = {}
        self.before: dict[str, Figures] = {}
        self.past: dict[tuple[str, str], list[ServiceSecond]] = {}
        self.asked_at: list[float] = []
        self.is_open = False

    async def open(self) -> None:
        self.is_open = True

    def take(self, sample: Sample) -> None:
        assert self.is_open
        self.samples.append(sample)

    async def flush(self) -> None:
        await asyncio.sleep(0)

    def figures(self, stack: str, service: str = "", target: str = "") -> Figures:
        return self.did.get(target, UNKNOWN)

    async def figures_at(self, stack: str, service: str, wall: float) -> Mapping[str, Figures]:
        self.asked_at.append(wall)
        return self.before

    def seconds(self, stack: str, service: str, after: int) -> tuple[ServiceSecond, ...]:
        return tuple(one for one in self.past.get((stack, service), ()) if one.at > after)

    async def series(self, query: Query) -> dict[str, Any]:
        return {"stack": query.stack, "series": []}

    def prometheus(self) -> str:
        return "fairlead_requests_total 1\n"

    async def close(self) -> None:
        self.is_open = False


class Died(BaseException):
    """The daemon was killed: it does nothing any more."""


class Fuse:
    """Counts calls to the outside; the one numbered `at` is the daemon's last. Each call counts twice: dying before it
    takes effect and after are different ends."""

    def __init__(self, at: int | None) -> None:
        self.at, self.burnt = at, 0

    def burn(self) -> None:
        self.burnt += 1
        if self.at is not None and self.burnt >= self.at:
            raise Died


READS = {
    "alarms", "all_live", "deliveries", "events", "instances", "last_run", "live_runs", "log_tail", "next_number",
    "next_release_number", "next_run_number", "release", "releases", "resource", "run", "schedules", "stack", "stacks",
    "start_history",
}  # fmt: skip
"""Calls that change nothing and await nothing: to die beside one of them is to die at the next call that does."""


class Mortal:
    """`inner`, but every call of it burns the fuse, before and after."""

    def __init__(self, inner: Any, fuse: Fuse, reads: Collection[str] = READS) -> None:
        self._inner, self._fuse, self._reads = inner, fuse, reads

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in self._reads:
            return value
        if inspect.iscoroutinefunction(value):

            async def call(*words: Any, **named: Any) -> Any:
                self._fuse.burn()
                answer = await value(*words, **named)
                self._fuse.burn()
                return answer
        else:

            def call(*words: Any, **named: Any) -> Any:
                self._fuse.burn()
                answer = value(*words, **named)
                self._fuse.burn()
                return answer

        return call


class Town:
    """The world. `scripts`: for the version of the file. pace: virtual seconds between two looks of `until`; where it
    does not matter how long something took, many of them are real seconds saved."""

    def __init__(self, folder: Path, pace: float = 0.01) -> None:
        self.folder, self.pace = folder, pace
        self.store = QuickStore.of(folder)
        self.engine = FakeEngine(self._script)
        self.resources = FakeResources(lambda order: self.servers.get(order.resource.id, ServerScript()))
        self.servers: dict[str, ServerScript] = {}
        """How the server of each resource behaves."""
        self.balancer = FakeBalancer()
        self.balancer.health(self._health)
        self.builder = FakeBuilder()
        self.courier = FakeCourier()
        self.meter: FakeMeter | None = None
        """None: nothing is measured, as most stories need nothing of it."""
        self.launched: list[LaunchOrder] = []
        """Every launch order of an instance or a run, in order."""
        self.scripts: dict[str, Script] = {}
        self.ill: set[str] = set()
        self.foreign: set[str] = set()
        """Addresses that answer and that the engine knows nothing of."""
        self.daemons: list[Supervisor] = []
        self.clock = LoopClock()
        self.write()

    def reboot(self) -> None:
        """The machine starts again: nothing lives, and the monotonic clock begins anew."""
        for stack, instance in self.engine.living():
            self.engine.end(stack, instance)
        for stack, id in self.resources.living():
            self.resources.end(stack, id)
        self.clock = LoopClock("boot-2", 10.0, asyncio.get_running_loop().time())

    def write(self, instances: int = 2, version: int = 1, port: int = 8080, grace: str = "30s") -> None:
        text = FILE.format(instances=instances, version=version, port=port, grace=grace)
        (self.folder / "fairlead.yaml").write_text(text)

    def say(self, text: str) -> None:
        """Another file altogether."""
        (self.folder / "fairlead.yaml").write_text(text)

    def _script(self, order: LaunchOrder) -> Script:
        self.launched.append(order)
        if order.argv[0] in self.scripts:
            return self.scripts[order.argv[0]]
        return self.scripts.get(order.environment.get("VERSION", ""), Script(answers_after=0.5))

    def _health(self, group: str, target: str) -> Check | None:
        member = self.balancer.members[group, target]
        if target in self.ill:
            return REFUSED
        address = member.target.address
        return PASSED if address in self.foreign or self.engine.answers(address) else REFUSED

    async def daemon(self, dies_at: int | None = None) -> Supervisor:
        """A new daemon takes over (the one before must be dead or closed). dies_at: see `Fuse`."""
        self.engine.crash()
        self.resources.crash()
        self.fuse = Fuse(dies_at)
        machine = Machine(
            store=Mortal(self.store, self.fuse, READS | {"resources"}),  # type: ignore[arg-type]
            engine=Mortal(self.engine, self.fuse),  # type: ignore[arg-type]
            balancer=Mortal(self.balancer, self.fuse),  # type: ignore[arg-type]
            resources=Mortal(self.resources, self.fuse, READS | {"observe", "find"}),  # type: ignore[arg-type]
            builder=self.builder,
            clock=self.clock,
            layout=layout_of("/home", 0),
            around=Surroundings(),
            courier=self.courier,
            meter=self.meter,
            memory=8_000_000_000,
            version="test",
            pid=1,
        )
        supervisor = Supervisor(machine)
        self.daemons.append(supervisor)
        await supervisor.start()
        return supervisor

    async def bury(self, supervisor: Supervisor) -> None:
        """kill -9: what is left of it can do nothing outside any more; its tasks end."""
        self.fuse.at = 0
        with contextlib.suppress(Died):
            await supervisor.close()

    async def up(self, supervisor: Supervisor) -> dict[str, Any]:
        self.told: list[str] = []
        request = UpRequest(path=str(self.folder / "fairlead.yaml"), env={})
        return await supervisor.up(request, lambda event: self.told.append(event["text"]))

    # What there is

    def serving(self) -> list[str]:
        return sorted(self.balancer.serving("shop.web"))

    def living(self) -> list[str]:
        return sorted(instance for _, instance in self.engine.living())

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.store.events("shop", 1000)]

    async def until(self, what: str, question: Callable[[], bool], seconds: float = 300.0) -> float:
        """Let virtual time pass until it holds; how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not question():
            assert loop.time() - began < seconds, f"waited {seconds} s for {what}: {self.evidence()}"
            await asyncio.sleep(self.pace)
        return loop.time() - began

    def evidence(self) -> str:
        events = "\n".join(event["text"] for event in self.store.events(None, 30))
        return f"living {self.living()}, records {self.store.all_live()}\n{events}"

    def sound(self, *instances: str) -> None:
        """Exactly these live, are recorded, and serve; nothing was started twice, and no law was broken."""
        records = self.store.instances("shop")
        assert sorted(record.id for record in records) == sorted(instances), self.evidence()
        assert {record.state for record in records} <= {"in_service"}, self.evidence()
        assert self.living() == sorted(instances) == self.serving(), self.evidence()
        assert set(self.balancer.members) == {("shop.web", instance) for instance in instances}, self.evidence()
        assert all(count == 1 for count in self.engine.starts.values()), self.engine.starts
        assert self.engine.violations == []

    def _settled(self, instances: tuple[str, ...]) -> bool:
        states = {record.id: record.state for record in self.store.instances("shop")}
        known = {instance for _, instance in self.balancer.members}
        return states == dict.fromkeys(instances, "in_service") and known == set(instances) == set(self.living())

    async def becomes(self, *instances: str) -> float:
        """Wait until exactly these are left, then check that all is `sound`; how long it took."""
        took = await self.until(f"{instances} to be all", lambda: self._settled(instances))
        self.sound(*instances)
        return took

    async def close(self) -> None:
        for supervisor in self.daemons:
            await self.bury(supervisor)
        self.store.close()
