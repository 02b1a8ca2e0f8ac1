"""Fake resources: the port of resources.base without a process, in the running loop's time, virtual or real.

In: the verbs of the port; scripts of how servers behave; faults; and what a test does to servers from outside (`end`,
`silence`, `speak`). Out: sightings, and what a test asserts: how often each was launched, every call with its time, and
`violations`, the breaches of the port's law that it saw (a number used twice, the stop signal sent twice, cleared while
it lived). It outlives its users: after `crash` a new control works on the same servers, as a new daemon finds the same
processes; what was still being prepared is then lost, as it is with the daemon that did it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from fairlead.core.printable import printable
from fairlead.core.processes import Outcome, Process
from fairlead.core.resources.model import Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Program, ResourceOrder, Shell, Sighting

Key = tuple[str, str]
"""(stack, id)."""

KILLED = Outcome(signal=9)

PROGRAMS = {
    "redis": Program(name="valkey", path="/fake/valkey-server", version="9.1.2", source="wheel"),
    "postgres": Program(name="postgres", path="/fake/postgres", version="18.6", source="wheel"),
    "mysql": Program(name="mariadb", path="/fake/mariadbd", version="10.11.19", source="system"),
    "s3": Program(name="rclone", path="/fake/rclone", version="1.75.2", source="wheel"),
}
"""What is found for each engine, unless a test takes it away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerScript:
    """How one server behaves. Times are seconds after its launch, unless said otherwise."""

    prepares_in: float = 0.0
    """Seconds from `start` to its launch."""
    fails: str = ""
    """Why it cannot be launched, found at the end of its preparation; "": it can."""
    answers_after: float = 0.0
    """When it begins to answer; `math.inf`: never."""
    silent_after: float | None = None
    """When it stops answering, without being gone; None: it does not."""
    exits_after: float | None = None
    """When it ends by itself; None: it does not."""
    outcome: Outcome = Outcome(exit_status=1)  # noqa: RUF009 (frozen)
    """How it ends by itself."""
    stops_in: float | None = 0.0
    """Seconds from the stop signal to its end; None: it does not obey."""
    stop_outcome: Outcome = Outcome(exit_status=0)  # noqa: RUF009 (frozen)
    log: str = ""
    """What it writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFault:
    """What goes wrong with one call of a verb: it takes so many seconds longer, or raises ResourceError and does
    nothing (refuse), or after having done its work (lie)."""

    kind: Literal["slow", "refuse", "lie"]
    seconds: float = 0.0


@dataclass(slots=True)
class _Launch:
    """The last launch of one resource, and what became of it."""

    order: ResourceOrder
    script: ServerScript
    preparing: bool = True
    error: str = ""
    pid: int = 0
    launched_at: float | None = None
    alive: bool = False
    silent: bool = False
    hindered: str = ""
    """What it says that another start would not mend."""
    told: int = 0
    """How often it was sent its stop signal."""
    outcome: Outcome | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class FakeResources:
    """choose: gives each launch its script; a test may put another one at any time."""

    def __init__(self, choose: Callable[[ResourceOrder], ServerScript] = lambda order: ServerScript()) -> None:
        self.choose = choose
        self.programs: dict[str, Program] = dict(PROGRAMS)
        """By engine; a test takes one away to have it missing."""
        self.launches: Counter[Key] = Counter()
        """Processes started."""
        self.orders: list[ResourceOrder] = []
        """What was launched, in order."""
        self.calls: list[tuple[float, str, str, str]] = []
        """(loop time, verb, stack, id) of every call but `observe`, in order."""
        self.violations: list[str] = []
        self.contents: dict[Key, str] = {}
        """The data of each resource that was prepared: "" at first; a test writes what it likes. Absent: none."""
        self.backups: dict[str, tuple[str, str]] = {}
        """By file: (engine, data)."""
        self.sizes: dict[Key, int] = {}
        self._last: dict[Key, _Launch] = {}
        self._logs: dict[Key, str] = {}
        """What the last launch of each wrote; it stays when that is cleared."""
        self._used: dict[Key, int] = {}
        """The highest number that was launched or cleared, by resource."""
        self._faults: dict[str, deque[ResourceFault]] = defaultdict(deque)
        self._callbacks: list[Callable[[], None]] = []
        self._last_port = 17999
        self._last_pid = 5000

    # What a test does to the world.

    def fail(self, verb: str, fault: ResourceFault, times: int = 1) -> None:
        """The next `times` calls of `verb` (`reserve`, or any async one but `tend`) go wrong."""
        self._faults[verb].extend([fault] * times)

    def crash(self) -> None:
        """The daemon died: nobody is called back any more, nothing goes on being prepared; servers go on."""
        self._callbacks.clear()
        for key, launch in list(self._last.items()):
            if launch.launched_at is None:
                self._drop(key)

    def end(self, stack: str, id: str, outcome: Outcome = KILLED) -> None:
        """The server ends, from outside."""
        self._end(self._last[stack, id], outcome)

    def silence(self, stack: str, id: str) -> None:
        """It lives, and does not answer any more."""
        self._last[stack, id].silent = True

    def hinder(self, stack: str, id: str, why: str) -> None:
        """It lives, and says that it cannot do all, for a reason that another start would not mend."""
        self._last[stack, id].hindered = why

    def speak(self, stack: str, id: str) -> None:
        """It answers, whatever its script says."""
        launch = self._last[stack, id]
        launch.silent, launch.hindered, launch.launched_at = False, "", self._now()
        launch.script = ServerScript(stops_in=launch.script.stops_in, stop_outcome=launch.script.stop_outcome)
        self._changed()

    def living(self) -> tuple[Key, ...]:
        """(stack, id) of all servers that run."""
        return tuple(key for key, launch in self._last.items() if launch.alive)

    # The port.

    async def find(self, resource: Resource, stack: str = "") -> Program:
        self._note("find", "", resource.id)
        lie = await self._go_wrong("find")
        self._deny("find", lie)
        if resource.engine not in self.programs:
            raise ResourceError(f"no program serves {resource.engine} here", "scripted", "install one")
        return self.programs[resource.engine]

    def reserve(self, stack: str, id: str, taken: frozenset[int]) -> int:
        self._note("reserve", stack, id)
        if self._faults["reserve"]:
            self._faults["reserve"].popleft()
            raise ResourceError("no port is free", "scripted")
        while True:
            self._last_port += 1
            if self._last_port not in taken:
                return self._last_port

    def start(self, order: ResourceOrder) -> None:
        key = (order.stack, order.resource.id)
        self._note("start", *key)
        last = self._last.get(key)
        if last is not None and (last.alive or last.preparing):
            return
        if last is not None and last.launched_at is not None and last.order.launch >= order.launch:
            return
        launch = self._last[key] = _Launch(order, self.choose(order))
        if order.launch <= self._used.get(key, 0):
            self.violations.append(f"{key[0]}/{key[1]}: the launch {order.launch} was used before")
            launch.script = ServerScript(fails=f"the launch {order.launch} is over already")
        self._later(launch, launch.script.prepares_in, lambda: self._launch(key, launch))

    async def observe(self) -> tuple[Sighting, ...]:
        await self._go_wrong("observe")
        return tuple(self._sighting(key, launch) for key, launch in self._last.items())

    async def stop(self, stack: str, id: str) -> None:
        self._note("stop", stack, id)
        lie = await self._go_wrong("stop")
        if launch := self._last.get((stack, id)):
            self._cancel(launch)
            if launch.alive:
                launch.told += 1
                if launch.told > 1:
                    self.violations.append(f"{stack}/{id} was told to stop {launch.told} times")
                if launch.script.stops_in is not None:
                    outcome = launch.script.stop_outcome
                    self._later(launch, launch.script.stops_in, lambda: self._end(launch, outcome))
        self._deny("stop", lie)

    async def kill(self, stack: str, id: str) -> None:
        self._note("kill", stack, id)
        lie = await self._go_wrong("kill")
        if launch := self._last.get((stack, id)):
            self._cancel(launch)
            self._end(launch, KILLED)
        self._deny("kill", lie)

    async def clear(self, stack: str, id: str) -> None:
        self._note("clear", stack, id)
        lie = await self._go_wrong("clear")
        if launch := self._last.get((stack, id)):
            if launch.alive:
                self.violations.append(f"{stack}/{id} was cleared while it lived")
            self._used[stack, id] = max(self._used.get((stack, id), 0), launch.order.launch)
            self._end(launch, KILLED)
            self._drop((stack, id))
        self._deny("clear", lie)

    async def delete(self, stack: str, id: str) -> None:
        self._note("delete", stack, id)
        lie = await self._go_wrong("delete")
        launch = self._last.get((stack, id))
        if launch is not None and (launch.alive or launch.preparing):
            raise ResourceError(f"the data of {id} cannot be deleted", "its server runs")
        if launch is not None:
            self._drop((stack, id))
        for kept in (self.contents, self.sizes, self._used, self._logs):
            kept.pop((stack, id), None)
        self._deny("delete", lie)

    async def size(self, stack: str, id: str) -> int:
        lie = await self._go_wrong("size")
        self._deny("size", lie)
        return self.sizes.get((stack, id), len(self.contents.get((stack, id), "")))

    def log_tail(self, stack: str, id: str, lines: int) -> str:
        text = printable(self._logs.get((stack, id), ""))
        return "\n".join(text.rstrip("\n").split("\n")[-lines:]) if lines > 0 else ""

    async def backup(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        key = (order.stack, order.resource.id)
        self._note("backup", *key)
        lie = await self._go_wrong("backup")
        self._must_answer(key, to_read=True)
        if file in self.backups:
            raise ResourceError(f"{file} cannot be written", "it is there already", "name another file")
        self.backups[file] = (order.resource.engine, self.contents[key])
        progress(f"{len(self.contents[key])} bytes")
        self._deny("backup", lie)

    async def restore(self, order: ResourceOrder, file: str, progress: Callable[[str], None]) -> None:
        key = (order.stack, order.resource.id)
        self._note("restore", *key)
        lie = await self._go_wrong("restore")
        self._must_answer(key)
        if file not in self.backups:
            raise ResourceError(f"{file} cannot be read", "there is no such file")
        engine, data = self.backups[file]
        if engine != order.resource.engine:
            raise ResourceError(f"{file} is no backup of {order.resource.engine}", f"it is one of {engine}")
        self.contents[key] = data
        progress(f"{len(data)} bytes")
        self._deny("restore", lie)

    async def shell(self, order: ResourceOrder) -> Shell:
        self._note("shell", order.stack, order.resource.id)
        lie = await self._go_wrong("shell")
        self._deny("shell", lie)
        return Shell(argv=("fake-shell", order.resource.id), environment={"FAKE_PASSWORD": order.password})

    async def tend(self) -> None:
        await asyncio.sleep(0)

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self) -> None:
        self.crash()

    def _launch(self, key: Key, launch: _Launch) -> None:
        """Its preparation is over."""
        launch.preparing = False
        engine = launch.order.resource.engine
        launch.error = launch.script.fails or ("" if engine in self.programs else f"no program serves {engine} here")
        if launch.error:
            self._changed()
            return
        self.contents.setdefault(key, "")
        self._used[key] = launch.order.launch
        self._logs[key] = launch.script.log
        self.launches[key] += 1
        self.orders.append(launch.order)
        self._last_pid += 1
        launch.pid, launch.launched_at, launch.alive = self._last_pid, self._now(), True
        script = launch.script
        if 0 < script.answers_after < float("inf"):
            self._later(launch, script.answers_after, self._changed)
        elif script.answers_after == 0:
            self._changed()
        if script.exits_after is not None:
            self._later(launch, script.exits_after, lambda: self._end(launch, script.outcome))

    def _sighting(self, key: Key, launch: _Launch) -> Sighting:
        clause = self._clause(launch)
        program = self.programs.get(launch.order.resource.engine)
        return Sighting(
            stack=key[0],
            id=key[1],
            launch=launch.order.launch,
            preparing=launch.preparing,
            process=_process(launch),
            error=launch.error,
            answers=launch.alive and not clause,
            clause=clause,
            hindered=bool(clause) and clause == launch.hindered,
            program=program if launch.launched_at is not None else None,
        )

    def _clause(self, launch: _Launch) -> str:
        """Why it does not answer now, or ""."""
        if launch.preparing:
            return "its data folder is being made"
        if launch.launched_at is None or not launch.alive:
            return "it does not run"
        age, script = self._now() - launch.launched_at, launch.script
        if age < script.answers_after:
            return "it does not accept connections yet"
        silent = launch.silent or (script.silent_after is not None and age >= script.silent_after)
        return "it does not answer" if silent else launch.hindered

    def _must_answer(self, key: Key, *, to_read: bool = False) -> None:
        launch = self._last.get(key)
        why = "it does not run" if launch is None else self._clause(launch)
        if why and not (to_read and launch is not None and why == launch.hindered):
            raise ResourceError(f"{key[1]} cannot be worked with", why)

    def _end(self, launch: _Launch, outcome: Outcome) -> None:
        if launch.alive:
            launch.alive, launch.outcome = False, outcome
            _stop_timers(launch)
            self._changed()

    def _cancel(self, launch: _Launch) -> None:
        """It is not launched any more."""
        if launch.preparing:
            launch.preparing = False
            _stop_timers(launch)

    def _drop(self, key: Key) -> None:
        _stop_timers(self._last.pop(key))

    def _changed(self) -> None:
        for callback in tuple(self._callbacks):
            callback()

    def _later(self, launch: _Launch, delay: float, act: Callable[[], None]) -> None:
        launch.timers.append(asyncio.get_running_loop().call_later(delay, act))

    async def _go_wrong(self, verb: str) -> bool:
        """Play the next fault of `verb`, if there is one; whether the call is to lie about its success."""
        if not self._faults[verb]:
            # The real ones yield to the loop too: a caller may be cancelled in any verb.
            await asyncio.sleep(0)
            return False
        fault = self._faults[verb].popleft()
        await asyncio.sleep(fault.seconds)
        if fault.kind == "refuse":
            raise ResourceError(f"{verb} was refused", "scripted")
        return fault.kind == "lie"

    def _deny(self, verb: str, lie: bool) -> None:
        if lie:
            raise ResourceError(f"{verb} failed", "scripted, although it was done")

    def _note(self, verb: str, stack: str, id: str) -> None:
        self.calls.append((self._now(), verb, stack, id))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _process(launch: _Launch) -> Process | None:
    if launch.launched_at is None:
        return None
    if not launch.alive:
        return Process(alive=False, outcome=launch.outcome)
    return Process(alive=True, pid=launch.pid)


def _stop_timers(launch: _Launch) -> None:
    for timer in launch.timers:
        timer.cancel()
    launch.timers.clear()
