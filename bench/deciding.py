"""What decisions on sizes take: 1,000 groups of four instances with two policies each, once a second, by what decides
in the daemon; and the daemon's own turn over a hundred groups, with its real store and meter.

Policies hold: that is what they do nearly always, and it takes as long as anything else. A second of 1,000 groups that
is made up is not timed; what is measured of 100 groups is.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from bench.machine import CannotMeasure, note
from bench.town import RATE, STACK, Town
from fairlead.control.journal import Journal
from fairlead.control.scaling import Autoscaler
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Command, Listener, Service, Stack, forward_to
from fairlead.core.observed import Instance, InstanceRecord, Observed
from fairlead.core.processes import Process
from fairlead.core.scaling.decide import decide
from fairlead.core.scaling.history import History
from fairlead.core.scaling.policies import Policy, Scaling, TargetTracking
from fairlead.core.scaling.scene import scene_of
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond
from fairlead.core.traffic import Check, TargetReport
from fairlead.metrics.meter import Meter
from fairlead.store.database import Store

GROUPS, SIZE, TOGETHER = 1000, 4, 10
"""Groups, instances of each, and how many are in one stack."""

WATCHED = 100
"""Groups of the daemon's turn, all in one stack."""

BEFORE, SECONDS = 30, 60
"""Seconds until every window is full, and seconds that are measured then."""

BEGAN = 1_700_000_000

SCALING = Scaling(
    policies=(
        Policy(follows=TargetTracking(metric="requests_per_target", value=1.05 * RATE)),
        Policy(follows=TargetTracking(metric="cpu", value=5.3)),
    )
)
"""A little above what `town` does."""

PASSED = Check(status="L7OK", code=200)


def measure() -> bool:
    """Print the table; there are no bars."""
    note(f"scaling: decisions on {GROUPS:,} groups")
    decided = _decided()
    note(f"scaling: the daemon's turn over {WATCHED} groups")
    taken, considered = _considered()
    print(f"deciding once a second, groups of {SIZE} instances with 2 policies: CPU time of a second, milliseconds")
    print(f"  {'':52} {'median':>7} {'worst':>7} {'of a core':>10}")
    _row(f"{GROUPS:,} groups: add the second, scene, decide", decided)
    _row(f"{WATCHED} groups in the daemon: store, meter, all of it", considered)
    _row(f"  beside it, the meter takes their {WATCHED * SIZE} targets", taken)
    print()
    return True


def _row(name: str, times: list[float]) -> None:
    median, worst, share = statistics.median(times), max(times), statistics.fmean(times)
    print(f"  {name:52} {1000 * median:7.1f} {1000 * worst:7.1f} {100 * share:8.2f} %")


def _decided() -> list[float]:
    """CPU seconds of each second."""
    stacks = [_a_stack(f"stack{number}", TOGETHER) for number in range(GROUPS // TOGETHER)]
    groups = [
        (wanted, observed, service, History(SCALING))
        for wanted, observed in stacks
        for service in wanted.desired.stack.services
    ]
    found: list[float] = []
    for at in range(BEGAN, BEGAN + BEFORE + SECONDS):
        seconds = [_a_second(at, service.name) for _, _, service, _ in groups]
        now, wall = float(at - BEGAN), _iso(at + 1)
        changed = []
        with _timed(found):
            for (wanted, observed, service, history), second in zip(groups, seconds, strict=True):
                scene = scene_of(wanted, observed, service.name, now)
                history.add(second, scene.counted, empty=scene.empty, settled=not scene.warming)
                verdict = decide(service, None, history, scene, (), now, "boot", wall)
                changed.append(verdict.group)
        if any(changed):
            raise CannotMeasure("policies should hold")
    return found[BEFORE:]


def _considered() -> tuple[list[float], list[float]]:
    """CPU seconds of each second: of the meter that takes the sample, and of the decisions."""
    town, clock = Town(WATCHED * SIZE, WATCHED), _Clock()
    wanted, observed = _a_stack(STACK, WATCHED)
    taken: list[float] = []
    considered: list[float] = []
    with tempfile.TemporaryDirectory(prefix="flb-") as base:
        store, meter = Store.open(f"{base}/fairlead.db"), Meter(f"{base}/metrics.db")
        store.save_stack(wanted)
        scaler = Autoscaler(store, Journal(store, clock), clock, meter, _never)
        for _ in range(BEFORE + SECONDS):
            sample = town.sample()
            clock.set(sample.now, sample.wall)
            with _timed(taken):
                meter.take(sample)
            with _timed(considered):
                scaler.consider([(wanted, observed)])
        shown = [scaler.shown(wanted, observed, one.name) for one in wanted.desired.stack.services]
        if any(one is None or [policy.state for policy in one.policies] != ["OK", "OK"] for one in shown):
            raise CannotMeasure(f"policies should hold: {shown[0]}")
        store.close()
    return taken[BEFORE:], considered[BEFORE:]


class _Clock:
    """It stands still until it is set."""

    boot = "boot"

    def __init__(self) -> None:
        self._now, self._wall = 0.0, _iso(BEGAN)

    def set(self, now: float, wall: float) -> None:
        self._now, self._wall = now, _iso(wall)

    def now(self) -> float:
        return self._now

    def wall(self) -> str:
        return self._wall


def _never(stack: str) -> None:
    raise CannotMeasure("policies should hold, and no loop has to look")


@contextmanager
def _timed(found: list[float]) -> Iterator[None]:
    gc.collect()  # what was left by whoever is not timed
    began = time.process_time()
    yield
    found.append(time.process_time() - began)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _a_second(at: int, service: str) -> ServiceSecond:
    instances = {
        f"{service}-{number}": InstanceSecond(requests=RATE, outstanding=1.0, cpu=5.0, memory=40.0)
        for number in range(1, SIZE + 1)
    }
    return ServiceSecond(at=at, instances=instances, refused=0.0)


TOKEN = "t"  # noqa: S105 (no secret)


def _a_stack(name: str, services: int) -> tuple[StackRecord, Observed]:
    """A stack of so many groups, each of them whole and in service for long, and what its loop saw."""
    declared = tuple(_a_group(f"s{number}") for number in range(1, services + 1))
    stack = Stack(name=name, path="/x", services=declared, listeners=(Listener(port=8080, default=forward_to("s1")),))
    wanted = StackRecord(
        name=name, wanted="up", desired=Revision(stack=stack, releases={}), previous=None, deployment=None,
        check_token=TOKEN,
    )  # fmt: skip
    instances = tuple(_an_instance(name, service.name, number) for service in declared for number in range(1, SIZE + 1))
    return wanted, Observed(instances=instances, boot="boot")


def _a_group(name: str) -> Service:
    return Service(
        name=name, program=Command(argv=("serve",)), source="/", minimum=1, desired=SIZE, maximum=10, scaling=SCALING
    )


def _an_instance(stack: str, service: str, number: int) -> Instance:
    record = InstanceRecord(
        stack=stack, service=service, id=f"{service}-{number}", number=number, release=1, zone="a",
        address="unix:/x", state="in_service", boot="boot", launched_at=-101.0, started_at="2026-01-01T00:00:00Z",
        cause="a benchmark", in_service_at=-100.0,
    )  # fmt: skip
    target = TargetReport(
        group=f"{stack}.{service}", id=record.id, mode="in_service", up=True, check=PASSED, sessions=0
    )
    return Instance(record=record, process=Process(alive=True, pid=1), target=target)
