"""A balancer that plays: the port's promises without HAProxy, in virtual time, with faults that a test scripts.

It keeps the same law as the real one: an `initial` target gets nothing before `admit` or its own passed checks, a warm
one nothing before `admit`, a draining one nothing, a change that raises after it was remembered is carried out when the
node is back. Its world outlives the daemon: `start` by a second daemon finds what is there.

What a test sets: `answer` and `health` (what checks find), `sessions`, `requests`, `serve` (what a target did),
`occupy` (foreign ports), `ports_lost`, `fail` (the next call of a verb), `die` and `revive`. What it reads: `serving`,
`send`, `ask`, `calls`, `members`, `ports`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from fairlead.core.model import Forward, Listener, Redirect, Respond
from fairlead.core.readings import Reading
from fairlead.core.rules import Request, action_for
from fairlead.core.traffic import BalancerReport, Check, NodeReport, Routing, Target, TargetReport, Traffic
from fairlead.errors import BalancerError, PortInUse
from fairlead.haproxy.base import Balancer
from fairlead.haproxy.claims import Claims, Endpoint, claims_of, endpoint_of, hosts_of
from fairlead.haproxy.fake_counts import FakeCounts
from fairlead.haproxy.owners import Part
from fairlead.haproxy.patterns import is_exact, matches
from fairlead.haproxy.redirects import location_of
from fairlead.haproxy.servers import Key, Member
from fairlead.haproxy.wanted import Wanted

PASSED = Check(status="L7OK", code=200, duration=0.001)
REFUSED = Check(status="L4CON", duration=0.0, text="Connection refused")
ANSWERED_503 = Check(status="L7STS", code=503, duration=0.001, text="Service Unavailable")

VERSION = "2.8.0"

NEED_NO_NODE = {"reserve", "mark_down", "drain", "deregister", "stop", "close"}
"""Verbs that a dead node does not fail: who gets less needs nobody for it."""


class FakeBalancer(Balancer):
    """See the module. Every verb yields to the loop before and after its effect, so that a crash can fall between."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        """Every verb with its stack or (group, target), in order; `observe`, `measure` and `tend` are left out."""
        self.requests: int | None = 0
        self.counts = FakeCounts()
        self.pid = 4000
        self._wanted = Wanted()
        self._claims = Claims()
        self._foreign: dict[Endpoint, str] = {}
        self._answers: dict[Key, Check] = {}
        self._health: Callable[[str, str], Check | None] | None = None
        self._sessions: dict[Key, int] = {}
        self._faults: dict[str, deque[tuple[BaseException, bool]]] = defaultdict(deque)
        self._callbacks: list[Callable[[], None]] = []
        self._dead = False
        self._turn = 0

    # --- what a test says -------------------------------------------------------------------------------------------

    def answer(self, group: str, target: str, check: Check) -> None:
        """What the target's checks find from now on."""
        self._answers[group, target] = check

    def health(self, find: Callable[[str, str], Check | None]) -> None:
        """Ask `find(group, target)` for each check instead; None from it: no check has finished."""
        self._health = find

    def sessions(self, group: str, target: str, count: int) -> None:
        """Requests that run inside it."""
        self._sessions[group, target] = count

    def serve(self, group: str, target: str, count: int = 1, status: int | None = 200, seconds: float = 0.001) -> None:
        """It took `count` requests, and began to answer each with `status` after `seconds`; None: it did not answer."""
        self.requests = (self.requests or 0) + count
        self.counts.connected(group.split(".")[0], count)
        self.counts.served((group, target), count, status, seconds)

    def occupy(self, address: str, port: int, holder: str) -> None:
        """A foreign process has the port; "" as holder: it has given it back."""
        self._foreign.pop((address, port), None)
        if holder:
            self._foreign[address, port] = holder

    def ports_lost(self) -> None:
        """Daemon and node are both dead: nobody holds the ports any more."""
        self._claims = Claims()

    def fail(self, verb: str, problem: BaseException | None = None, *, after: bool = False) -> None:
        """The next call of `verb` raises `problem` (default: a BalancerError); after: when its effect has happened."""
        problem = problem or BalancerError("HAProxy refuses the configuration", "scripted by the test")
        self._faults[verb].append((problem, after))

    def die(self) -> None:
        """The node dies and stays dead. What was asked of it stays remembered."""
        self._dead = True
        self._notify()

    def revive(self) -> None:
        """It is back, as another process, with everything that was asked of it."""
        self._dead = False
        self.pid += 1
        self._sessions.clear()
        self.counts.losses += 1
        self._notify()

    # --- what a test reads ------------------------------------------------------------------------------------------

    @property
    def members(self) -> dict[Key, Member]:
        return dict(self._wanted.members)

    @property
    def routings(self) -> dict[str, Routing]:
        return dict(self._wanted.routings)

    @property
    def ports(self) -> dict[Endpoint, tuple[str, ...]]:
        """What is bound, reserved or open, and by which stacks."""
        return {endpoint: tuple(self._claims.stacks(endpoint)) for endpoint in self._claims.endpoints}

    def serving(self, group: str) -> list[str]:
        """The targets that a request to the group may reach now; fail-open among the admitted when none is up."""
        mine = [member for member in self._wanted.members.values() if member.target.group == group]
        up = [member.target.id for member in mine if self._up(member)]
        return up or [member.target.id for member in mine if member.trusted]

    def send(self, group: str, count: int = 1) -> list[str]:
        """Send `count` requests in turn; who answered each. BalancerError when nobody could."""
        able = self.serving(group)
        if self._dead or not self._wanted.endpoints or not able:
            raise BalancerError(f"no target of {group} answered")
        first, self._turn = self._turn, self._turn + count
        chosen = [able[(first + number) % len(able)] for number in range(count)]
        for target in chosen:
            self.serve(group, target)
        return chosen

    def ask(
        self, port: int, host: str = "test", path: str = "/", address: str = "127.0.0.1", request: Request | None = None
    ) -> str:
        """Who answers that request (`request`: another than a GET for that host and path); "404" when nobody claims it,
        "503" when nobody could; "301 LOCATION" of a redirect, "418 BODY" of a fixed answer. Of several groups the first
        with a weight is taken. Of an opening: as whoever shows its token. BalancerError: refused."""
        heard = [
            (routing, listener)
            for routing in self._wanted.routings.values()
            for listener in routing.listeners
            if endpoint_of(listener) == (address, port) and (routing.stack, (address, port)) not in self._wanted.absent
        ]
        if self._dead or not heard:
            raise BalancerError(f"nobody listens on {address}:{port}")
        asked = request or Request(host=host, path=path)
        owner = _owner_of(heard, asked.host)
        stack = owner[0].stack if owner else _host_of(heard)
        for routing, listener in heard:
            # What a target answers, `send` counts.
            if listener.opening is None and routing.stack != stack:
                self.counts.connected(routing.stack)
        return self._nobody(stack) if owner is None else self._answer(*owner, asked)

    def _nobody(self, stack: str) -> str:
        self.counts.connected(stack)
        self.counts.answered(stack, 404)
        return "404"

    def _answer(self, routing: Routing, listener: Listener, asked: Request) -> str:
        stack = routing.stack
        if (opening := listener.opening) is not None:
            key = f"{stack}.{opening.service}", opening.instance
            if key not in self._wanted.members:
                return "503"
            self.counts.served(key, 1, 200, 0.001)
            return opening.instance
        match action_for(listener, asked):
            case None:
                return self._nobody(stack)
            case Respond() as respond:
                self.counts.connected(stack)
                self.counts.answered(stack, respond.status, "fixed_response")
                return f"{respond.status} {respond.body}".rstrip()
            case Redirect() as redirect:
                self.counts.connected(stack)
                self.counts.answered(stack, redirect.status, "redirect")
                scheme = "https" if listener.protocol == "HTTPS" else "http"
                return f"{redirect.status} {location_of(redirect, scheme, listener.port, asked)}"
            case Forward() as forward:
                chosen = next((service for service, weight in forward.weights if weight), None)
                group = f"{stack}.{chosen}"
                if chosen and self.serving(group):
                    return self.send(group)[0]
                self.counts.connected(stack)
                self.counts.without_target(group)
                return "503"

    # --- the port ---------------------------------------------------------------------------------------------------

    async def start(self, traffic: Traffic) -> None:
        def effect() -> None:
            self._dead = False
            self._wanted.routings = {routing.stack: routing for routing in traffic.routings}
            was_down = {key for key, member in self._wanted.members.items() if member.down}
            self._wanted.keep(
                Member(target=target, down=(target.group, target.id) in was_down) for target in traffic.targets
            )
            # The daemon that reserved more has gone, and its reservations with it; the node has the others.
            held, self._claims = self._claims.endpoints, Claims()
            self._bind_what_can_be(held)

        await self._do("start", (), effect)

    async def reserve(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        await self._do("reserve", (stack,), lambda: self._bind(stack, listeners))

    async def vet(self, stack: str, listeners: tuple[Listener, ...]) -> None:
        self._claims.vet(stack, listeners)

    async def configure(self, stack: str, routing: Routing | None) -> None:
        def effect() -> None:
            if routing:
                self._bind(stack, routing.listeners)
                self._wanted.routings[stack] = routing
            else:
                self._wanted.routings.pop(stack, None)
            self._claims.put(stack, claims_of(routing.listeners if routing else ()))
            self._bind_what_can_be()
            self._wanted.keep(self._wanted.members.values())

        await self._do("configure", (stack,), effect)

    async def register(self, target: Target) -> None:
        def effect() -> None:
            if target.group not in self._wanted.groups:
                raise BalancerError(f"target {target.id} cannot be registered", f"there is no group {target.group}")
            self._wanted.members.setdefault((target.group, target.id), Member(target=target))

        await self._do("register", (target.group, target.id), effect)

    async def admit(self, group: str, target: str) -> None:
        def effect() -> None:
            member = self._wanted.members.get((group, target))
            if member is None:
                raise BalancerError(f"target {target} cannot be admitted", f"group {group} has no such target")
            if member.target.mode in ("initial", "warm"):
                self._wanted.members[group, target] = Member(target=replace(member.target, mode="in_service"))

        await self._do("admit", (group, target), effect)

    async def mark_down(self, group: str, target: str) -> None:
        await self._do("mark_down", (group, target), lambda: self._change(group, target, down=True))

    async def drain(self, group: str, target: str) -> None:
        await self._do("drain", (group, target), lambda: self._change(group, target, draining=True))

    async def restore(self, group: str, target: str) -> None:
        def effect() -> None:
            member = self._wanted.members.get((group, target))
            if member is not None and member.target.mode == "draining":
                down = member.down or not self._checked(member.key, passed=True)
                self._wanted.members[group, target] = Member(
                    target=replace(member.target, mode="in_service"), down=down
                )

        await self._do("restore", (group, target), effect)

    async def sever(self, group: str, target: str) -> None:
        await self._do("sever", (group, target), lambda: self.sessions(group, target, 0))

    async def deregister(self, group: str, target: str) -> None:
        def effect() -> None:
            self._wanted.members.pop((group, target), None)
            self._sessions.pop((group, target), None)
            self._answers.pop((group, target), None)

        await self._do("deregister", (group, target), effect)

    async def observe(self) -> BalancerReport:
        await asyncio.sleep(0)
        self._raise("observe", after=False)
        self._bind_what_can_be()
        missing = self._wanted.missing
        if not self._wanted.endpoints:
            node = NodeReport(pid=None, version=VERSION, state="stopped")
        elif self._dead:
            node = NodeReport(pid=self.pid, version=VERSION, state="starting")
            return BalancerReport(known=False, nodes=(node,), missing=missing)
        else:
            node = NodeReport(pid=self.pid, version=VERSION, state="running")
            # A passed check brings back what was marked down, as HAProxy does.
            for key, member in self._wanted.members.items():
                if member.down and self._checked(key, passed=True):
                    self._wanted.members[key] = replace(member, down=False)
        targets = tuple(self._report(member) for member in self._wanted.members.values())
        return BalancerReport(known=True, nodes=(node,), targets=targets, requests=self.requests, missing=missing)

    async def measure(self) -> Reading | None:
        await asyncio.sleep(0)
        if self._dead and self._wanted.endpoints:
            return None
        wanted = self._wanted
        return self.counts.reading(wanted.members.keys(), wanted.groups, wanted.routings, self._sessions)

    async def tend(self) -> None:
        await asyncio.sleep(0)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def stop(self) -> None:
        def effect() -> None:
            self._wanted, self._claims = Wanted(), Claims()

        await self._do("stop", (), effect)

    async def close(self) -> None:
        """The daemon leaves: its callbacks go, the world stays."""
        await asyncio.sleep(0)
        self._callbacks.clear()

    # --- how it plays -----------------------------------------------------------------------------------------------

    async def _do(self, verb: str, names: tuple[str, ...], effect: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        self._raise(verb, after=False)
        self.calls.append((verb, *names))
        effect()
        await asyncio.sleep(0)
        self._raise(verb, after=True)
        if self._dead and self._wanted.endpoints and verb not in NEED_NO_NODE:
            raise BalancerError("HAProxy does not answer", "the test has killed it", "fairlead goes on trying")

    def _raise(self, verb: str, *, after: bool) -> None:
        faults = self._faults[verb]
        if faults and faults[0][1] == after:
            raise faults.popleft()[0]

    def _bind(self, stack: str, listeners: Iterable[Listener], held: Iterable[Endpoint] = ()) -> None:
        before, bound = self._claims.of(stack), {*self._claims.endpoints, *held}
        try:
            for listener in listeners:
                self._claims.add(stack, listener)
                endpoint = endpoint_of(listener)
                if endpoint in self._foreign and endpoint not in bound:
                    what = f"port {endpoint[1]} on {endpoint[0]} is taken"
                    raise PortInUse(what, self._foreign[endpoint], "choose another port")
        except BaseException:
            self._claims.put(stack, before)
            raise

    def _bind_what_can_be(self, held: Iterable[Endpoint] = ()) -> None:
        """A port that somebody else has is missing, until it is given back."""
        self._wanted.absent = {}
        for routing in self._wanted.routings.values():
            for listener in routing.listeners:
                try:
                    self._bind(routing.stack, (listener,), held)
                except PortInUse as problem:
                    self._wanted.absent[routing.stack, endpoint_of(listener)] = f"{problem.what}: {problem.why}"

    def _change(self, group: str, target: str, *, down: bool = False, draining: bool = False) -> None:
        member = self._wanted.members.get((group, target))
        if member is not None:
            mode = "draining" if draining else member.target.mode
            self._wanted.members[group, target] = Member(
                target=replace(member.target, mode=mode), down=down or member.down
            )

    def _found(self, key: Key) -> Check | None:
        return self._health(*key) if self._health else self._answers.get(key)

    def _checked(self, key: Key, *, passed: bool) -> bool:
        check = self._found(key)
        return check is not None and check.passed == passed

    def _up(self, member: Member) -> bool:
        """In rotation: an admitted target until a check fails, an initial one from its first passed check on."""
        if member.target.mode in ("warm", "draining") or member.down:
            return False
        if not self._wanted.groups[member.target.group].health_check.enabled:
            return member.target.mode == "in_service"
        if member.target.mode == "initial":
            return self._checked(member.key, passed=True)
        return not self._checked(member.key, passed=False)

    def _report(self, member: Member) -> TargetReport:
        runs = bool(self._wanted.endpoints)
        return TargetReport(
            group=member.target.group,
            id=member.target.id,
            mode=member.target.mode,
            up=runs and self._up(member),
            check=self._found(member.key) if runs else None,
            sessions=self._sessions.get(member.key, 0),
        )

    def _notify(self) -> None:
        for callback in self._callbacks:
            callback()


def _host_of(heard: list[Part]) -> str:
    """The stack to which belongs what is nobody's on a port: that with the default, else the first."""
    ordered = sorted(heard, key=lambda part: part[0].stack)
    return next((routing.stack for routing, listener in ordered if listener.default is not None), ordered[0][0].stack)


def _owner_of(heard: list[Part], host: str) -> Part | None:
    """Whose a request for that host is: the law of `owners`."""
    claims = [(pattern, part) for part in heard for pattern in hosts_of(part[1]) if matches(pattern, host.lower())]
    # Exact ones first, then the longest.
    claims.sort(key=lambda claim: (not is_exact(claim[0]), -len(claim[0]), claim[0]))
    defaults = [part for part in heard if part[1].default is not None]
    owners = heard if len(heard) == 1 else [part for _, part in claims] + defaults
    return owners[0] if owners else None
