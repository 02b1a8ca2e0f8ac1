"""The running loops of all stacks: built from the daemon's collaborators, found by name, forgotten when their stack is
gone. One a stack, ever: whoever asks for a loop gets the one that runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.aiokit.tasks import Tasks
from fairlead.control.alarms import Alarms
from fairlead.control.applier import Applier
from fairlead.control.clock import Clock
from fairlead.control.delivery import Courier
from fairlead.control.journal import Journal
from fairlead.control.observer import Observer
from fairlead.control.ports import Builder, GaugesMaker, Meter
from fairlead.control.resources import StackResources
from fairlead.control.runs import Runs
from fairlead.control.stackloop import StackLoop
from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth
from fairlead.core.launch import Surroundings
from fairlead.core.layout import Layout
from fairlead.core.observed import Observed
from fairlead.engines.base import Engine
from fairlead.haproxy.base import Balancer
from fairlead.resources.base import Resources
from fairlead.store.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The daemon's collaborators, built by `wiring`."""

    store: Store
    engine: Engine
    balancer: Balancer
    builder: Builder
    clock: Clock
    layout: Layout
    around: Surroundings
    resources: Resources
    courier: Courier
    """Who brings what alarms have to tell."""
    version: str
    pid: int
    meter: Meter | None = None
    """None: nothing is measured."""
    gauges: GaugesMaker | None = None
    """Makes the reader of metrics of the user's own; None: they stay unknown."""
    memory: int = 1 << 30
    """Bytes that the machine has."""
    app_user: tuple[int, int] | None = None
    """(uid, gid) that instances run as when fairlead is root."""


class Loops:
    """tasks: what the loops run in; their owner ends them."""

    def __init__(self, machine: Machine, journal: Journal, alarms: Alarms, tasks: Tasks) -> None:
        self._m, self._journal, self._alarms, self._tasks = machine, journal, alarms, tasks
        self._loops: dict[str, StackLoop] = {}

    def __getitem__(self, stack: str) -> StackLoop:
        return self._loops[stack]

    def seen(self) -> list[tuple[StackRecord, Observed, Mapping[str, tuple[TargetHealth, str]]]]:
        """Of each stack what its loop saw last: what is wanted, what is there, and how healthy it is."""
        return [(*loop.seen, loop.observer.healths) for loop in self._loops.values() if loop.seen is not None]

    def wake(self) -> None:
        """Something outside changed: all look now."""
        for loop in self._loops.values():
            loop.wake()

    def run_all(self) -> None:
        """Let those go that were made so far."""
        for loop in self._loops.values():
            self._run(loop)

    def runs_of(self, stack: str) -> Runs:
        """What does and observes the runs of a stack."""
        m = self._m
        return Runs(
            stack,
            store=m.store,
            engine=m.engine,
            journal=self._journal,
            clock=m.clock,
            layout=m.layout,
            around=m.around,
        )

    def resources_of(self, stack: str) -> StackResources:
        """What does and observes the resources of a stack."""
        m = self._m
        return StackResources(stack, store=m.store, resources=m.resources, journal=self._journal, clock=m.clock)

    def add(self, stack: str) -> StackLoop:
        """The loop of a stack, made and not running yet."""
        m = self._m
        runs, resources = self.runs_of(stack), self.resources_of(stack)
        observer = Observer(stack, m.store, m.engine, m.balancer, m.clock, runs, resources)
        applier = Applier(
            stack,
            store=m.store,
            engine=m.engine,
            balancer=m.balancer,
            journal=self._journal,
            clock=m.clock,
            layout=m.layout,
            around=m.around,
            runs=runs,
            resources=resources,
        )
        loop = StackLoop(
            stack,
            store=m.store,
            engine=m.engine,
            observer=observer,
            applier=applier,
            journal=self._journal,
            clock=m.clock,
            alarms=self._alarms,
        )
        self._loops[stack] = loop
        return loop

    def of(self, stack: str) -> StackLoop:
        """The running loop of a stack that is in the store."""
        loop = self._loops.get(stack)
        if loop is None or loop.gone.is_set():
            loop = self.add(stack)
            self._run(loop)
        return loop

    def _run(self, loop: StackLoop) -> None:
        async def run() -> None:
            try:
                await loop.run()
            finally:
                if self._loops.get(loop.name) is loop and loop.gone.is_set():
                    del self._loops[loop.name]

        self._tasks.spawn(f"loop {loop.name}", run())
