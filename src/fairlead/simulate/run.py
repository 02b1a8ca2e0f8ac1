"""A service under a load, second by second on a virtual clock, decided by what decides in the daemon.

Each second, as in the daemon: the world is led to its goal (`core.reconcile`), requests pass (`flow`), what would have
been measured goes into the history, and `core.scaling.decide` says how many instances there should be. What changed is
acted on at once, before the next second; an instance that comes up in the middle of a second takes requests from the
next one on. At the beginning the group has its desired capacity, in service and past its warm-up.
"""

from __future__ import annotations

import math
from dataclasses import replace

from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Release, Service, Stack
from fairlead.core.scaling.decide import decide
from fairlead.core.scaling.history import PERCENTILES, History, Point
from fairlead.core.scaling.policies import Policy, Scaling, TargetTracking
from fairlead.core.scaling.scene import Scene, scene_of
from fairlead.core.scaling.seconds import ServiceSecond
from fairlead.errors import UsageError
from fairlead.simulate.app import App
from fairlead.simulate.flow import UNKNOWN, Flow, Passed
from fairlead.simulate.load import Load
from fairlead.simulate.notes import is_simulated, notes_of
from fairlead.simulate.result import Result
from fairlead.simulate.schedule import Timetable, iso
from fairlead.simulate.tally import Tally
from fairlead.simulate.world import BOOT, World

EPOCH = 1_000_000.0
"""Monotonic seconds at which the virtual clock begins."""


def run(stack: Stack, name: str, load: Load, app: App, *, began: int, seed: int = 1) -> Result:
    """Service `name` of `stack` under `load`. began: seconds since 1970. UsageError: it cannot be simulated."""
    service = stack.service(name)
    if not service.runs:
        raise UsageError(f"{name} cannot be simulated", "its targets are not started by fairlead")
    if not service.serves:
        raise UsageError(f"{name} cannot be simulated", "it serves no requests (`port: none`)")
    return _Run(stack, service, load, app, began).all(seed)


class _Run:
    """One simulation on its way."""

    def __init__(self, stack: Stack, service: Service, load: Load, app: App, began: int) -> None:
        self._load, self._app, self._began = load, app, began
        self._declared = service
        wanted = _alone(stack, service)
        self._service = wanted.desired.stack.services[0]
        scaling = self._service.scaling or Scaling()
        self._world = World(wanted, service.name, start_time=app.start_time, inside=self._inside)
        self._flow = Flow(
            app, reserved=service.cpu, patience=stack.attributes.idle_timeout,
            timed=any(policy.metric in PERCENTILES for policy in scaling.policies),
        )  # fmt: skip
        self._history = History(scaling)
        self._timetable = Timetable(scaling.schedule, began)
        declared = service.scaling.policies if service.scaling else ()
        self._targets = [policy for policy in declared if isinstance(policy.follows, TargetTracking)]
        self._tally = Tally(self._targets)
        self._scene: tuple[object, Scene] | None = None
        self._desired = self._service.desired
        self._maximum = self._service.maximum

    def all(self, seed: int) -> Result:
        service, world = self._service, self._world
        warm_up = service.scaling.warm_up if service.scaling else 0.0
        world.begin(service.desired, EPOCH, warm_up + 1)
        for second, load in enumerate(self._load.rates(seed)):
            self._second(second, load)
        return Result(
            service=service.name, began=self._began, minimum=service.minimum, maximum=service.maximum,
            summary=self._tally.summary(world.failed_starts), columns=self._tally.columns,
            decisions=tuple(self._tally.decisions),
            notes=notes_of(self._declared, self._app, world.failed_starts, self._tally.unknown),
        )  # fmt: skip

    def _second(self, second: int, load: float | None) -> None:
        """What happens from `now` to `now + 1`, and what is decided then."""
        now, world = EPOCH + second, self._world
        world.turn(now)
        for one in world.let_go():
            self._tally.cut += self._flow.forget(one)
        passed = None if load is None else self._flow.second(load, world.taking, world.finishing)
        self._tally.second(load, passed, world, self._desired, self._app.capacity)
        if self._service.scaling is not None:
            self._decide(second, now + 1, passed)

    def _decide(self, second: int, now: float, passed: Passed | None) -> None:
        service, world = self._service, self._world
        at = self._began + second
        scene = self._scene_at(now)
        measured = dict.fromkeys(world.taking, UNKNOWN) if passed is None else passed.instances
        refused = None if passed is None else passed.refused
        lived = ServiceSecond(at=at, instances=measured or {}, refused=refused)
        self._history.add(lived, scene.counted, empty=scene.empty, settled=not scene.warming)
        self._tally.judge([self._newest(policy) for policy in self._targets], at_maximum=self._desired >= self._maximum)
        wall = at + 1
        due = self._timetable.due(wall)
        group = world.wanted.groups.get(service.name)
        verdict = decide(service, group, self._history, scene, due, now, BOOT, iso(wall))
        if verdict.desired != verdict.before or verdict.scheduled:
            cause = verdict.cause or "; ".join(verdict.scheduled)
            self._tally.decided(second + 1, verdict.before, verdict.desired, cause)
        if verdict.group is None:
            return
        world.want(replace(world.wanted, groups={service.name: verdict.group}))
        sized = world.wanted.sized(service)
        self._desired, self._maximum = sized.desired, sized.maximum

    def _newest(self, policy: Policy) -> Point | None:
        """Its newest datapoint; None: there is none, or its metric is not simulated."""
        points = self._history.points(policy) if is_simulated(policy.metric) else ()
        return points[-1] if points else None

    def _scene_at(self, now: float) -> Scene:
        """The scene; the last one, as long as nothing has changed and time alone changes nothing in it."""
        observed = self._world.observe(now)
        if self._scene is not None and self._scene[0] is observed and not self._scene[1].warming:
            return self._scene[1]
        scene = scene_of(self._world.wanted, observed, self._service.name, now)
        self._scene = (observed, scene)
        return scene

    def _inside(self, one: str, seconds: float) -> int:
        """Requests inside an instance that has got no more for so many seconds: its backlog, and the last ones."""
        return math.ceil(self._flow.waiting(one)) + (seconds < self._app.service_time)


def _alone(stack: Stack, service: Service) -> StackRecord:
    """A stack of this service and nothing else, as if it had just been deployed, with the policies whose metrics are
    simulated: the others would never know theirs, and so keep every other target from scaling in."""
    scaling = service.scaling
    if scaling is not None:
        known = (policy for policy in scaling.policies if is_simulated(policy.metric))
        scaling = replace(scaling, policies=tuple(known))
    alone = replace(service, scaling=scaling, after=(), before_traffic=None, max_memory=None)
    release = Release(
        service=service.name, number=1, fingerprint="", source="", environment_folder=None, argv=(), address="unix"
    )
    wanted = replace(stack, services=(alone,), listeners=(), jobs=(), alarms=(), resources=())
    return StackRecord(
        name=stack.name, wanted="up", desired=Revision(stack=wanted, releases={service.name: release}),
        previous=None, deployment=None, check_token="",
    )  # fmt: skip
