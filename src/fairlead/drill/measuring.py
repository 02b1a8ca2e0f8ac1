"""Find the capacity of one instance: steps of load on it alone, as `stepping` says, judged by `capacity`.

In: an instance (`subject`), and what to send it. Out: a `Capacity`, also when it was stopped in the middle, as far as
it came. The law: `subject.opened` undoes what was changed, whatever happens; a step that is hopeless is cut short, so
that the instance is overloaded for moments only; the next begins when the last is digested. The figures come from
daemon and generator alike: `demand` puts them together. `fairlead drill capacity` calls it.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fairlead.drill import demand
from fairlead.drill.capacity import Capacity, Limits, Step, faults, late, limit_for
from fairlead.drill.load import GIVEN_UP, Load
from fairlead.drill.report import Result
from fairlead.drill.stepping import next_step, pace_of
from fairlead.drill.subject import Daemon, Door, Subject, changed, cpu_targets, opened, start_time
from fairlead.drill.verdict import span
from fairlead.errors import FairleadError, UsageError

PATIENCE = 10.0
"""Seconds in which a request is answered, or lost."""

ALONE = 0.05
"""The share of the drill's time for requests one after another."""

SLOW = 0.2
"""The same where fewer than `FEWEST` are answered in it."""

WARM = 2
"""First requests that are not counted: an app may load what it needs with them."""

FEWEST, MOST = 5, 200
"""Requests one after another."""

SETTLED = 3.0
"""Seconds in which an overloaded instance may digest what it still has."""

FINISHED = 4.0
"""Seconds in which the daemon has the last second's metrics."""

PACE = 0.05
"""Seconds between two looks at a step that runs."""

HOPELESS = 0.5
"""Seconds for which far too many requests are under way before a step is cut: a stall of moments is part of it."""


class Enough(Exception):
    """A step is ended before its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """path: what is asked for. seconds: how long the drill takes. latency: seconds that the p95 may have; None: by what
    an answer takes alone. highest: requests a second at most. connections: at once at most."""

    path: str = "/"
    seconds: float = 60.0
    latency: float | None = None
    highest: float = 20000.0
    connections: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Who is told what: `line` of what is done, `step` of each step and what is wrong with it."""

    line: Callable[[str], None]
    step: Callable[[Step, Limits], None]


async def measure(
    daemon: Daemon, subject: Subject, asked: Asked, listening: Listening, stop: asyncio.Event
) -> Capacity:
    """Do the drill. stop: set when it is to end now. UsageError: the path is not answered as it should be."""
    async with opened(daemon, subject, asked.seconds, listening.line) as door:
        return await _Drill(daemon, subject, asked, listening, stop, door).run()


@dataclass
class _Drill:
    daemon: Daemon
    subject: Subject
    asked: Asked
    listening: Listening
    stop: asyncio.Event
    door: Door
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sent: int = 0
    cpu_targets: tuple[float, ...] = ()

    async def run(self) -> Capacity:
        began, deadline = time.time(), time.monotonic() + self.asked.seconds
        alone = await self._alone()
        p50, p95 = _percentile(alone, 50), _percentile(alone, 95)
        latency = self.asked.latency or limit_for(p95)
        # By Little's law more would only wait for a connection, and the instance be blamed.
        bearable = 0.9 * self.asked.connections / (p50 or 0.001)
        limits = Limits(latency=latency, unloaded=p50, highest=min(self.asked.highest, bearable))
        self.listening.line(f"one request at a time takes {span(p50)} (p95 {span(p95)}); the limit is {span(latency)}")
        await self._climb(limits, deadline)
        return await self._found(limits, p95, began)

    async def _climb(self, limits: Limits, deadline: float) -> None:
        pace = pace_of(self.asked.seconds)
        while not self.stop.is_set():
            following = next_step(self.steps, limits, pace, deadline - time.monotonic())
            if following is None:
                return
            step = await self._step(*following, limits)
            if self.stop.is_set():
                self.notes.append("it was stopped before it was done")
                return
            # Before it is judged: what an instance does that is killed says nothing of what it bears.
            if await self._other_instance():
                return
            self.steps.append(step)
            self.listening.step(step, limits)
            if faults(step, limits):
                await self._settle(limits)

    async def _alone(self) -> list[float]:
        """What requests take, one after another, in seconds."""
        times: list[float] = []
        began = time.monotonic()
        while not self._known_alone(len(times), time.monotonic() - began):
            [result] = await self._send(1, 1.0, PATIENCE, lambda load: False)
            if not _good(result):
                got = f"answered {result.status}" if result.status else f"did not answer: {result.error}"
                raise UsageError(
                    f"{self.subject.instance} {got} to GET {self.asked.path}",
                    "what is measured has to be answered with 200 to 399",
                    "Name another path with --path.",
                )
            if result.status != 200 and not times:
                self.notes.append(f"GET {self.asked.path} is answered with {result.status}: that is what is measured")
            times.append(result.latency)
        return sorted(times[WARM:])

    def _known_alone(self, count: int, took: float) -> bool:
        """Whether that many requests one after another are enough; of a slow app there are few."""
        share = took / self.asked.seconds
        if count <= WARM:
            return False
        return self.stop.is_set() or count >= MOST or share >= SLOW or (share >= ALONE and count >= WARM + FEWEST)

    async def _step(self, rate: float, seconds: float, limits: Limits) -> Step:
        """One step of load. It is cut when so many requests are under way that they take twice the limit."""
        patience = min(PATIENCE, max(2.0, 4 * limits.latency))
        hopeless = max(20.0, 2 * rate * limits.latency)
        at, began, busy, machine = time.time(), time.monotonic(), time.process_time(), _machine()
        fine_at, cut_at = began, None

        def enough(load: Load) -> bool:
            nonlocal fine_at, cut_at
            now = time.monotonic()
            fine_at = fine_at if load.under_way > hopeless else now
            if self.stop.is_set() or (now - began > 1.0 and now - fine_at > HOPELESS):
                cut_at = now - began
            return cut_at is not None

        lags: list[float] = []
        results = await self._send(max(1, math.ceil(rate * seconds)), rate, patience, enough, lags)
        lasted = seconds if cut_at is None else min(cut_at, seconds)
        took = time.monotonic() - began
        good = sorted(result.latency for result in results if _good(result))
        errors = Counter(result.kind for result in results if not _good(result) and result.error != GIVEN_UP)
        return Step(
            rate=rate,
            seconds=lasted,
            sent=len(results),
            answered=len(good),
            in_time=sum(1 for result in results if _good(result) and result.at + result.latency <= lasted),
            errors=dict(errors),
            p50=_percentile(good, 50) if good else None,
            p95=_percentile(good, 95) if good else None,
            p99=_percentile(good, 99) if good else None,
            lag=lags[0],
            cut=cut_at is not None,
            generator=(time.process_time() - busy) / took,
            machine=_share(machine, _machine()),
            at=at,
        )

    async def _send(
        self, number: int, rate: float, patience: float, enough: Callable[[Load], bool], lags: list[float] | None = None
    ) -> list[Result]:
        """So many requests, and how they ended."""
        results: list[Result] = []
        load = Load(
            self.door.base + self.asked.path, rate=rate, headers=self.door.headers, connections="keep_alive",
            timeout=patience, on_result=results.append, max_open=self.asked.connections, limit=number,
        )  # fmt: skip
        with suppress(Enough):
            async with load:
                await _watched(load, enough)
        self.sent += len(results)
        if lags is not None:
            lags.append(load.report().lag_p95)
        return results

    async def _settle(self, limits: Limits) -> None:
        """Wait until an answer takes about what it takes alone."""
        end = time.monotonic() + SETTLED
        while time.monotonic() < end and not self.stop.is_set():
            [result] = await self._send(1, 1.0, SETTLED, lambda load: self.stop.is_set())
            if _good(result) and result.latency <= 2 * limits.unloaded + 0.005:
                return

    async def _other_instance(self) -> bool:
        """Whether the instance is not the one any more that was measured so far."""
        try:
            status = await asyncio.to_thread(self.daemon.status, self.subject.stack)
        except FairleadError:
            return False  # the daemon is away for a moment: the balancer goes on without it
        became = changed(self.subject, status["stacks"][0])
        self.cpu_targets = cpu_targets(status["stacks"][0], self.subject.service) or self.cpu_targets
        if became:
            self.notes.append(f"{became}: what was measured until then is of the one before")
        return bool(became)

    async def _found(self, limits: Limits, unloaded_p95: float, began: float) -> Capacity:
        subject, until = self.subject, time.time()
        self.listening.line("waiting for the metrics of the last second")
        requests, percents = await self._measured(began, until)
        events: list[dict[str, object]] = []
        with suppress(FairleadError):
            events = await asyncio.to_thread(self.daemon.events, subject.stack, 10_000)
        steps = demand.with_cpu(self.steps, percents, subject.cpu_reserved)
        per_request, idle = demand.cost(steps, limits)
        late_ones = sum(1 for step in steps if late(step, limits))
        if late_ones:
            self.notes.append(f"the generator was late in {late_ones} of {len(steps)} steps")
        return Capacity(
            stack=subject.stack,
            service=subject.service,
            instance=subject.instance,
            path=self.asked.path,
            limits=limits,
            unloaded_p95=unloaded_p95,
            steps=steps,
            cpu_reserved=subject.cpu_reserved,
            cpu_per_request=per_request,
            cpu_idle=idle,
            start_time=start_time(events, subject),
            others=demand.others(requests, self.sent, began, until),
            cores=len(os.sched_getaffinity(0)),
            notes=tuple(self.notes),
            cpu_targets=self.cpu_targets,
            measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    async def _measured(self, began: float, until: float) -> tuple[dict[int, float], dict[int, float]]:
        """The service's requests and the instance's cpu, each second, as soon as they reach until the end."""
        since = datetime.fromtimestamp(began - 1, UTC).isoformat()
        deadline = time.monotonic() + FINISHED
        requests: dict[int, float] = {}
        percents: dict[int, float] = {}
        while time.monotonic() < deadline and max(requests, default=0) + 1 < until:
            await asyncio.sleep(0.25)
            with suppress(FairleadError):
                stack, service = self.subject.stack, self.subject.service
                asked = partial(self.daemon.metrics, stack, service=service, since=since, period=1)
                answer = await asyncio.to_thread(asked)
                requests = demand.series(answer, "RequestCount", None)
                percents = demand.series(answer, "CPUUtilization", self.subject.instance)
        return requests, percents


async def _watched(load: Load, enough: Callable[[Load], bool]) -> None:
    """Until all of it has ended. Enough: `enough` says so before."""
    finished = asyncio.create_task(load.finished(), name="drill: a step")
    try:
        while not (await asyncio.wait({finished}, timeout=PACE))[0]:
            if enough(load):
                raise Enough
    finally:
        finished.cancel()


def _good(result: Result) -> bool:
    return not result.error and result.status is not None and 200 <= result.status < 400


def _percentile(ordered: list[float], percent: float) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _machine() -> tuple[int, int]:
    """Ticks that the machine's processors were busy since boot, and all there were."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # idle, and waiting for a disk


def _share(before: tuple[int, int], after: tuple[int, int]) -> float | None:
    return (after[0] - before[0]) / (after[1] - before[1]) if after[1] > before[1] else None
