"""The fake engine: the port of engines.base without a process, in the running loop's time, virtual or real.

In: the verbs of the port; scripts of how programs behave; faults; and what a test does to programs from outside (`end`,
`freeze`, `load`). Out: sightings, and what a test asserts: how often each instance was started, every call with its
time, and `violations`, the breaches of the port's law that it saw (two programs on one address, SIGTERM twice, a stack
forgotten while something runs). It outlives its users: after `crash` a new control works on the same engine, as a new
daemon finds the same processes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fairlead.core.printable import printable
from fairlead.core.processes import Outcome, Process
from fairlead.core.readings import Key, Usage
from fairlead.engines.about import End
from fairlead.engines.base import LaunchOrder, Sighting
from fairlead.engines.fake.script import Fault, Script
from fairlead.errors import EngineError

KILLED = Outcome(signal=9)


@dataclass(slots=True)
class _Program:
    """One launched program and what became of it."""

    order: LaunchOrder
    script: Script
    pid: int
    launched_at: float
    alive: bool = True
    frozen: bool = False
    stray: bool = False
    cleared: bool = False
    outcome: Outcome | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    held: Outcome | None = None
    """How it would have ended, had it not been frozen."""
    cores: float = 0.0
    used: float = 0.0
    """Seconds of processor time until `counted_at`; since then it has used `cores`."""
    counted_at: float = 0.0

    def count(self, now: float) -> float:
        """Its processor time until now; whatever changes how much it uses is done after this."""
        if self.alive and not self.frozen:
            self.used += self.cores * (now - self.counted_at)
        self.counted_at = now
        return self.used


class FakeEngine:
    """choose: gives each launch its script; a test may put another one at any time."""

    name = "fake"

    def __init__(self, choose: Callable[[LaunchOrder], Script] = lambda order: Script()) -> None:
        self.choose = choose
        self.starts: Counter[Key] = Counter()
        self.calls: list[tuple[float, str, str, str]] = []
        """(loop time, verb, stack, instance) of every call but `observe`, in order."""
        self.violations: list[str] = []
        self.ends: dict[Key, End] = {}
        """What control said of each that it cleared."""
        self.sizes: dict[Key, int | None] = {}
        """Bytes of memory that a test gives a program; None: nobody knows."""
        self._programs: dict[Key, _Program] = {}
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._callbacks: list[Callable[[], None]] = []
        self._terminated: Counter[Key] = Counter()
        self._last_port = 20000
        self._last_pid = 1000
        self._last_seen: tuple[Sighting, ...] = ()
        self._last_usage: Mapping[Key, Usage] = {}

    # What a test does to the world.

    def fail(self, verb: str, fault: Fault, times: int = 1) -> None:
        """The next `times` calls of `verb` (any async one but `diagnose`, `memory` and `tend`, and `reserve`) go
        wrong."""
        self._faults[verb].extend([fault] * times)

    def crash(self) -> None:
        """The daemon died: nobody is called back any more; programs go on."""
        self._callbacks.clear()

    def end(self, stack: str, instance: str, outcome: Outcome = KILLED) -> None:
        """The program ends, from outside."""
        self._end(self._programs[stack, instance], outcome)

    def freeze(self, stack: str, instance: str) -> None:
        """SIGSTOP, from outside."""
        self._freeze(self._programs[stack, instance])

    def thaw(self, stack: str, instance: str) -> None:
        """SIGCONT, from outside; what was due meanwhile happens now."""
        program = self._programs[stack, instance]
        program.count(self._now())
        program.frozen = False
        if program.held is not None:
            self._end(program, program.held)

    def load(self, stack: str, instance: str, cores: float) -> None:
        """From now on it keeps so many cores busy; 0 to begin with, or as its script says."""
        program = self._programs[stack, instance]
        program.count(self._now())
        program.cores = cores

    def answers(self, address: str) -> bool:
        """Whether a program answers at `address` now; for a fake balancer's checks."""
        return any(
            program.order.address == address
            and program.alive
            and not program.frozen
            and self._now() >= program.launched_at + program.script.answers_after
            for program in self._programs.values()
        )

    def living(self) -> tuple[Key, ...]:
        """(stack, instance) of everything that runs, what was left behind included."""
        return tuple(key for key, program in self._programs.items() if program.alive or program.stray)

    # The port.

    def reserve(self, stack: str, instance: str, kind: str, taken: frozenset[str]) -> str:
        self._note("reserve", stack, instance)
        if self._faults["reserve"]:
            self._faults["reserve"].popleft()
            raise EngineError("no port is free", "scripted")
        if kind == "unix":
            return f"unix:/run/{stack}.{instance}/http.sock"
        while True:
            self._last_port += 1
            if f"127.0.0.1:{self._last_port}" not in taken:
                return f"127.0.0.1:{self._last_port}"

    async def launch(self, order: LaunchOrder) -> None:
        key = (order.stack, order.id)
        self._note("launch", *key)
        lie = await self._go_wrong("launch")
        if key not in self._programs:
            script = self.choose(order)
            if script.refuses:
                raise EngineError(f"{order.id} cannot be started", script.refuses)
            self._start(key, order, script)
        self._deny("launch", lie)

    async def observe(self) -> tuple[Sighting, ...]:
        if not await self._go_wrong("observe"):
            self._last_seen = tuple(
                Sighting(stack=stack, id=instance, process=self._process(program))
                for (stack, instance), program in self._programs.items()
                if not program.cleared
            )
        return self._last_seen

    async def stop(self, stack: str, instance: str) -> None:
        self._note("stop", stack, instance)
        lie = await self._go_wrong("stop")
        program = self._programs.get((stack, instance))
        if program is not None and program.alive:
            self._terminated[stack, instance] += 1
            if self._terminated[stack, instance] > 1:
                self.violations.append(f"{stack}/{instance} got SIGTERM {self._terminated[stack, instance]} times")
            if program.script.stops_in is not None:
                self._later(program, program.script.stops_in, program.script.stop_outcome)
        self._deny("stop", lie)

    async def kill(self, stack: str, instance: str) -> None:
        self._note("kill", stack, instance)
        lie = await self._go_wrong("kill")
        if program := self._programs.get((stack, instance)):
            self._end(program, KILLED)
            program.stray = False
        self._deny("kill", lie)

    async def clear(self, stack: str, instance: str, *, failed_start: bool | None = None, why: str = "") -> None:
        self._note("clear", stack, instance)
        lie = await self._go_wrong("clear")
        if program := self._programs.get((stack, instance)):
            if program.alive:
                self.violations.append(f"{stack}/{instance} was cleared while it lived")
            self._end(program, KILLED)
            program.stray, program.cleared = False, True
            self.ends[stack, instance] = End(failed_start=failed_start, why=why)
        self._deny("clear", lie)

    async def forget(self, stack: str) -> None:
        self._note("forget", stack, "")
        lie = await self._go_wrong("forget")
        for key in [key for key in self._programs if key[0] == stack]:
            program = self._programs.pop(key)
            if program.alive or program.stray:
                self.violations.append(f"{stack} was forgotten while {key[1]} lived")
                self._end(program, KILLED)
        self._deny("forget", lie)

    async def diagnose(self, stack: str, instance: str, address: str) -> str:
        program = self._programs.get((stack, instance))
        if program is None:
            return ""
        return program.script.diagnosis if program.alive else f"the program {program.outcome}"

    async def memory(self, stack: str, instance: str) -> int | None:
        await asyncio.sleep(0)
        program = self._programs.get((stack, instance))
        return self.sizes.get((stack, instance), 50_000_000) if program is not None and program.alive else None

    async def usage(self) -> Mapping[Key, Usage]:
        if not await self._go_wrong("usage"):
            now = self._now()
            self._last_usage = {
                key: Usage(cpu=program.count(now), memory=self.sizes.get(key, 50_000_000), at=now)
                for key, program in self._programs.items()
                if program.alive
            }
        return self._last_usage

    async def tend(self) -> None:
        await asyncio.sleep(0)

    def log_tail(self, stack: str, instance: str, lines: int) -> str:
        program = self._programs.get((stack, instance))
        text = printable(program.script.log) if program is not None else ""
        return "\n".join(text.rstrip("\n").split("\n")[-lines:]) if lines > 0 else ""

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self) -> None:
        self.crash()

    def _start(self, key: Key, order: LaunchOrder, script: Script) -> None:
        for other in self._programs.values():
            if other.alive and order.address and other.order.address == order.address:
                self.violations.append(f"{order.id} was launched on {order.address}, where {other.order.id} lives")
        self.starts[key] += 1
        self._last_pid += 1
        now = self._now()
        program = _Program(order, script, self._last_pid, now, cores=script.cores, counted_at=now)
        self._programs[key] = program
        if script.freezes_after is not None:
            loop = asyncio.get_running_loop()
            program.timers.append(loop.call_later(script.freezes_after, self._freeze, program))
        if script.exits_after is not None:
            self._later(program, script.exits_after, script.outcome)

    def _freeze(self, program: _Program) -> None:
        program.count(self._now())
        program.frozen = True

    def _later(self, program: _Program, delay: float, outcome: Outcome) -> None:
        program.timers.append(asyncio.get_running_loop().call_later(delay, self._end, program, outcome))

    def _end(self, program: _Program, outcome: Outcome) -> None:
        """It ends, unless it is frozen and this is not SIGKILL."""
        if not program.alive:
            return
        if program.frozen and outcome != KILLED:
            program.held = outcome
            return
        program.count(self._now())
        program.alive, program.frozen, program.outcome = False, False, outcome
        program.stray = program.script.leaves_behind
        for timer in program.timers:
            timer.cancel()
        for callback in tuple(self._callbacks):
            callback()

    def _process(self, program: _Program) -> Process:
        if not program.alive:
            return Process(alive=False, outcome=program.outcome)
        return Process(alive=True, pid=program.pid, frozen=program.frozen)

    async def _go_wrong(self, verb: str) -> bool:
        """Play the next fault of `verb`, if there is one; whether the call is to lie about its success."""
        if not self._faults[verb]:
            # Real engines yield to the loop too: a caller may be cancelled in any verb.
            await asyncio.sleep(0)
            return False
        fault = self._faults[verb].popleft()
        await asyncio.sleep(fault.seconds)
        if fault.kind == "refuse":
            raise EngineError(f"{verb} was refused", "scripted")
        return fault.kind == "lie"

    def _deny(self, verb: str, lie: bool) -> None:
        if lie:
            raise EngineError(f"{verb} failed", "scripted, although it was done")

    def _note(self, verb: str, stack: str, instance: str) -> None:
        self.calls.append((self._now(), verb, stack, instance))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
