"""The real balancer for all facts: one HAProxy, configured from the text of fairlead.yaml files, with servers of ours.

A `Rehearsal` has a loop of its own in a thread, in which the balancer's node and the servers live; tests are plain
functions with blocking clients. What control does for targets (register, wait for the first passed check, admit, drain,
deregister) is done here in the same order with the same verbs.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import trustme

from fairlead.core.model import Certificate, Listener, Service, Stack, Targets
from fairlead.core.routing import group_of
from fairlead.core.traffic import BalancerReport, Routing, Target, TargetReport
from fairlead.errors import SpecError
from fairlead.haproxy.base import Certificates, Pem
from fairlead.haproxy.node import HaproxyNode
from fairlead.spec import parse_text
from tests.conformance.client import Answer, Client, ask
from tests.conformance.servers import Server
from tests.haproxy.apps import free_port
from tests.haproxy.worlds import RealWorld

Result = TypeVar("Result")
Change = Callable[[Routing], Routing]

PATIENCE = 30.0
PACE = 0.05
"""Seconds between looks; control looks once a second and at every change."""

TOKEN = "token-of-the-rehearsal"
NAMES = re.compile(r"\$\{env\.(\w+)\}")


class Authority:
    """Where the balancer's certificates come from here: `of` is what it asks. They need no test of their own."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self._issued: dict[tuple[str, ...], Pem] = {}

    def of(self, listener: Listener) -> tuple[Pem, ...]:
        if isinstance(listener.certificates, tuple):
            return tuple(self._read(one) for one in listener.certificates)
        hosts = {host for rule in listener.rules for host in rule.when.hosts if host[:1] not in "*?"}
        return (self.issue("localhost", *sorted(hosts)),)

    def issue(self, *names: str) -> Pem:
        """A certificate for those names; the same one for the same names."""
        if names not in self._issued:
            leaf = self.ca.issue_cert(*names)
            text = b"".join(one.bytes() for one in (*leaf.cert_chain_pems, leaf.private_key_pem)).decode()
            self._issued[names] = Pem(text=text, names=names, expires_at="2999-01-01T00:00:00Z", file="")
        return self._issued[names]

    def _read(self, certificate: Certificate) -> Pem:
        text = Path(certificate.file).read_text() + Path(certificate.key).read_text()
        return Pem(text=text, names=(), expires_at="2999-01-01T00:00:00Z", file=certificate.file)


class _World(RealWorld):
    """With certificates."""

    def __init__(self, programs: str, certificates: Certificates) -> None:
        self._certificates = certificates
        super().__init__(programs)

    def node(self, folder: str = "", program: str | None = None) -> HaproxyNode:
        return HaproxyNode(
            folder=folder or self.folder, binary_override=program, programs=self._programs, log_path=self.log, home=self.home,
            fd_limit=4096, cpus=2, certificates=self._certificates,
            access_logs=lambda stack: f"{self.home}/stacks/{stack}/logs/access", shared_access_logs=f"{self.home}/logs/access",
        )  # fmt: skip


class Rehearsal:
    """One balancer. `run` does something in its loop; `up` brings the stack of a file into it."""

    def __init__(self, programs: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rehearsal", daemon=True)
        self._thread.start()
        self.folder = Path(tempfile.mkdtemp(prefix="fl-conformance-"))
        self.authority = Authority()
        self.report: BalancerReport | None = None
        self.world = self.run(self._open(programs))
        self._watch = asyncio.run_coroutine_threadsafe(self._look(), self._loop)

    async def _open(self, programs: str) -> RealWorld:
        world = _World(programs, self.authority)
        await world.open()
        return world

    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts the certificates of HTTPS listeners here."""
        context = ssl.create_default_context()
        self.authority.ca.configure_trust(context)
        return context

    async def _look(self) -> None:
        while True:
            self.report = await self.world.balancer.observe()
            await asyncio.sleep(PACE)

    def run(self, work: Coroutine[Any, Any, Result], patience: float = 2 * PATIENCE) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)

    def server(self, name: str, host: str = "127.0.0.1") -> Server:
        return self.run(Server(name).listen(host))

    def up(
        self, text: str, *, admit: bool = True, change: Change | None = None, env: dict[str, str] | None = None
    ) -> Up:
        """Configure the stack of a file. In it `${env.PORT...}` is a free port, any other `${env.name}` the address of
        a server of that name (but for what `env` says). admit: have its `targets:` registered, checked and let in.
        change: what no file can say, such as a duration below the least that is allowed."""
        known, servers = dict(env or {}), {}
        for name in NAMES.findall(text):
            if name.startswith("PORT"):
                known.setdefault(name, str(free_port()))
            elif name not in known:
                servers[name] = self.server(name)
                known[name] = servers[name].address
        up = Up(rehearsal=self, env=known, servers=servers)
        try:
            up.configure(text, change)
            if admit:
                up.admit_all()
        except BaseException:
            up.down()
            raise
        return up

    def until(self, holds: Callable[[], Result | None], what: str, patience: float = PATIENCE) -> Result:
        """What `holds` gives, as soon as it is true."""
        deadline = time.monotonic() + patience
        while True:
            result = holds()
            if result:
                return result
            assert time.monotonic() < deadline, f"{patience:g} s passed without {what}; last seen: {self.report}"
            time.sleep(0.02)

    def close(self) -> None:
        self._watch.cancel()
        self.run(self.world.close())
        self.run(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)


async def _settle() -> None:
    """Let what was cancelled or closed end."""
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0.05)


@dataclass
class Up:
    """A stack in the balancer, by the names that its file uses."""

    rehearsal: Rehearsal
    env: dict[str, str]
    servers: dict[str, Server]
    routing: Routing = field(init=False)
    stack: Stack = field(init=False)
    registered: dict[tuple[str, str], Target] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def configure(self, text: str, change: Change | None = None) -> None:
        """Take the file, perhaps in place of another of this stack."""
        self.stack = parse_text(text, str(self.rehearsal.folder / "fairlead.yaml"), self.env)
        routing = Routing(
            stack=self.stack.name,
            listeners=self.stack.listeners,
            groups=tuple(group_of(service) for service in self.stack.services if service.serves),
            check_token=TOKEN,
            attributes=self.stack.attributes,
        )
        self.routing = change(routing) if change else routing
        balancer = self.rehearsal.world.balancer
        self.rehearsal.run(balancer.reserve(self.stack.name, self.routing.listeners))
        self.rehearsal.run(balancer.configure(self.stack.name, self.routing))

    def port(self, name: str = "PORT") -> int:
        return int(self.env[name])

    def ask(
        self, target: str = "/", headers: Iterable[tuple[str, str]] = (), *, port: str = "PORT", **more: Any
    ) -> Answer:
        return ask(self.port(port), target, headers, **more)

    def client(self, port: str = "PORT", **more: Any) -> Client:
        return Client(self.port(port), **more)

    def admit_all(self) -> None:
        """Every address of `targets:`, as control does it."""
        mine = [
            self.register(service.name, address)
            for service in self.stack.services
            if isinstance(service.program, Targets)
            for address in service.program.addresses
        ]
        self.admit(*mine)

    def register(self, service: str, address: str) -> Target:
        """A server's name or its address. It becomes the next instance of the service."""
        number = self._numbers[service] = self._numbers.get(service, 0) + 1
        where = self.servers[address].address if address in self.servers else address
        target = Target(group=f"{self.stack.name}.{service}", id=f"{service}-{number}", number=number, address=where)
        self.registered[service, where] = target
        self.rehearsal.run(self.rehearsal.world.balancer.register(target))
        return target

    def admit(self, *targets: Target) -> None:
        """Each after its first passed check; where nothing checks, at once."""
        checked = [target for target in targets if self._service(target).health_check.enabled]
        self.rehearsal.until(lambda: all(map(self._passed, checked)), f"a passed check of {checked}")
        for target in targets:
            self.rehearsal.run(self.rehearsal.world.balancer.admit(target.group, target.id))
        self.rehearsal.until(lambda: all(map(self._is_up, targets)), f"{targets} in service")

    def target(self, service: str, name: str) -> Target:
        return self.registered[service, self.servers[name].address]

    def drain(self, target: Target) -> None:
        self.rehearsal.run(self.rehearsal.world.balancer.drain(target.group, target.id))

    def restore(self, target: Target) -> None:
        self.rehearsal.run(self.rehearsal.world.balancer.restore(target.group, target.id))

    def deregister(self, target: Target) -> None:
        self.rehearsal.run(self.rehearsal.world.balancer.deregister(target.group, target.id))

    def report(self, target: Target) -> TargetReport | None:
        for one in self.rehearsal.report.targets if self.rehearsal.report else ():
            if (one.group, one.id) == (target.group, target.id):
                return one
        return None

    def until_up(self, target: Target) -> None:
        self.rehearsal.until(lambda: self._is_up(target), f"{target.id} in service")

    def until_down(self, target: Target) -> TargetReport:
        def down() -> TargetReport | None:
            one = self.report(target)
            return one if one is not None and not one.up else None

        return self.rehearsal.until(down, f"{target.id} out of service")

    def until_posts_go(self, *names: str) -> None:
        """Until requests of other methods than GET, HEAD and OPTIONS go to each of these servers and to no other: their
        ring is checked by itself, so that it follows the report a check later or earlier."""

        def holds() -> bool:
            return {self.ask(method="POST").text for _ in range(4 * len(names))} == set(names)

        self.rehearsal.until(holds, f"POSTs to {', '.join(names)} alone")

    def down(self) -> None:
        """Take the stack out of the balancer, and end its servers."""
        if hasattr(self, "stack"):
            self.rehearsal.run(self.rehearsal.world.balancer.configure(self.stack.name, None))
        for server in self.servers.values():
            self.rehearsal.run(server.kill())

    def _service(self, target: Target) -> Service:
        return self.stack.service(target.group.partition(".")[2])

    def _passed(self, target: Target) -> bool:
        one = self.report(target)
        return one is not None and one.check is not None and one.check.passed

    def _is_up(self, target: Target) -> bool:
        one = self.report(target)
        return one is not None and one.up and one.mode == "in_service"


def refusal_of(text: str, **env: str) -> str:
    """What the reader says of a file; it must refuse it."""
    try:
        stack = stack_of(text, **env)
    except SpecError as error:
        return "\n".join(error.problems)
    raise AssertionError(f"the file is taken: {stack.name}")


def stack_of(text: str, **env: str) -> Stack:
    """The stack of a file that is taken."""
    names = dict.fromkeys(NAMES.findall(text))
    values = {
        name: str(8080 + n) if name.startswith("PORT") else f"127.0.0.1:{9000 + n}" for n, name in enumerate(names)
    }
    return parse_text(text, "/srv/shop/fairlead.yaml", {**values, **env})


def with_attributes(**changes: Any) -> Change:
    """A routing whose attributes are changed to what no file may say (shorter times)."""
    return lambda routing: replace(routing, attributes=replace(routing.attributes, **changes))
