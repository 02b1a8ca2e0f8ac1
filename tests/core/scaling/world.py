"""A small closed loop in virtual seconds: a load, instances that take a while to start, their metrics, `decide`.

Each second the load is spread over whoever is in service, the second is added to the history, and the decision is
carried out at once: launches come up after `start_time`, the newest instances go first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fairlead.core.latency import bucket_of
from fairlead.core.model import Service
from fairlead.core.scaling.decide import Verdict, decide
from fairlead.core.scaling.group import Group, present
from fairlead.core.scaling.history import History
from fairlead.core.scaling.scene import Scene
from fairlead.core.scaling.scheduled import DueAction
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond

from .builders import WALL

LONG_AGO = -1e6


def proportional(load: float, serving: int) -> InstanceSecond:
    """Each instance has its share; a request per second costs one percent of a core, and there is one core."""
    share = load / serving
    return InstanceSecond(requests=share, cpu=min(100.0, share), outstanding=share / 10)


def collapsing(load: float, serving: int, *, capacity: float = 100.0) -> InstanceSecond:
    """20 ms while it copes, two seconds once it does not."""
    share = load / serving
    microseconds = 20_000 if share <= capacity else 2_000_000
    return InstanceSecond(requests=share, times={bucket_of(microseconds): round(share)})


@dataclass
class World:
    service: Service
    load: Callable[[int], float | None]
    """Requests per second at a second of the story; None: nothing was measured."""
    behaves: Callable[[float, int], InstanceSecond] = proportional
    custom: Callable[[int, int], Mapping[str, float]] = lambda second, serving: {}
    """Of a second and how many serve."""
    read_every: int = 1
    """Seconds from one reading of these to the next."""
    start_time: float = 2.0
    began: int = 1_000_000
    boot: str = "boot-1"
    group: Group | None = None
    second: int = 0
    clock: int = 0
    """By how much the wall clock is off."""
    in_service_at: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Desired after each second."""

    def __post_init__(self) -> None:
        assert self.service.scaling is not None
        self.history = History(self.service.scaling)
        self._number = 0
        self._reading: tuple[int, Mapping[str, float]] = (-1, {})
        self._follow(LONG_AGO)

    @property
    def desired(self) -> int:
        return present(self.service.sizes, self.group).desired

    @property
    def changes(self) -> list[tuple[int, int, int]]:
        """(second, before, after) of each change."""
        return [(at, one.before, one.desired) for at, one in enumerate(self.verdicts) if one.before != one.desired]

    def run(self, seconds: int, due: Mapping[int, DueAction] | None = None) -> World:
        for _ in range(seconds):
            coming = (due or {}).get(self.second)
            self._pass([coming] if coming else [])
        return self

    def restart(self, *, rebooted: bool = False) -> None:
        """The daemon's memory is gone; after a reboot its monotonic seconds begin anew, and so do its instances."""
        assert self.service.scaling is not None
        self.history = History(self.service.scaling)
        if rebooted:
            self.boot += "+"
            self.in_service_at = {}
            self._follow(self.second)

    def edit(self, **sizes: int) -> None:
        """Another size in the file."""
        self.service = replace(self.service, **sizes)

    def _pass(self, due: list[DueAction]) -> None:
        now = self.second + 1.0
        serving = [name for name, at in self.in_service_at.items() if at <= self.second]
        scene = self._scene(now)
        self.history.add(self._measured(serving), scene.counted, empty=scene.empty, settled=not scene.warming)
        verdict = decide(self.service, self.group, self.history, self._scene(now), due, now, self.boot, WALL)
        self.group = verdict.group or self.group
        sizes = present(self.service.sizes, self.group)
        assert sizes.holds()
        assert verdict.desired == sizes.desired
        self.verdicts.append(verdict)
        self.sizes.append(sizes.desired)
        self.second += 1
        self._follow(now + self.start_time)

    def _measured(self, serving: list[str]) -> ServiceSecond:
        at, load = self.began + self.second + self.clock, self.load(self.second)
        if self.second % self.read_every == 0:
            self._reading = (self.second, self.custom(self.second, len(serving)))
        custom, read = self._reading[1], dict.fromkeys(self._reading[1], float(self._reading[0]))
        if load is None:
            return ServiceSecond(at=at, custom=custom, read=read)
        if not serving:
            return ServiceSecond(at=at, refused=load, custom=custom, read=read)
        each = self.behaves(load, len(serving))
        return ServiceSecond(at=at, instances=dict.fromkeys(serving, each), refused=0.0, custom=custom, read=read)

    def _scene(self, now: float) -> Scene:
        assert self.service.scaling is not None
        warm_up = max(self.service.scaling.warm_up, 1.0)
        counted = frozenset(name for name, at in self.in_service_at.items() if now - at >= warm_up)
        return Scene(counted=counted, warming=len(self.in_service_at) - len(counted))

    def _follow(self, ready_at: float) -> None:
        while len(self.in_service_at) < self.desired:
            self._number += 1
            self.in_service_at[f"web-{self._number}"] = ready_at
        while len(self.in_service_at) > self.desired:
            self.in_service_at.popitem()


def turns(changes: list[tuple[int, int, int]]) -> int:
    """How often the size went one way and then the other."""
    ways = [after > before for _, before, after in changes]
    return sum(one != other for one, other in pairwise(ways))
