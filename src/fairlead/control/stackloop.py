"""The loop of one stack: observe, decide, apply, wait. It ends when the stack has been taken down and nothing is left.

Nothing is awaited between the snapshot and the decision. Before each action it is asked whether the stack is still
wanted as it was judged; if not, the rest of the plan is dropped and the next cycle judges anew. An error of the outside
never ends the loop: it is told, and tried again a second later. Nor does it keep the loop from the other instances: an
action that fails takes with it the later ones on the same instance, and what would end a deployment or the stack.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from fairlead.control.alarms import Alarms
from fairlead.control.applier import Applier
from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.observer import Observer
from fairlead.core import runs
from fairlead.core.desired import Deployment, StackRecord
from fairlead.core.observed import Instance, Observed
from fairlead.core.plan import (
    Action,
    Admit,
    Deregister,
    Drain,
    Enlist,
    GiveUp,
    Plan,
    Pool,
    Register,
    Remove,
    Retire,
    Succeed,
)
from fairlead.core.reconcile import decide, waiting
from fairlead.core.resources.model import key_of
from fairlead.core.resources.records import state_of
from fairlead.core.resources.words import to_be_ready
from fairlead.core.routing import way_back
from fairlead.engines.base import Engine
from fairlead.errors import BalancerError, FairleadError, NotFound
from fairlead.haproxy.base import Balancer
from fairlead.store.database import Store

log = logging.getLogger("fairlead")

PACE_IDLE = 1.0
PACE_BUSY = 0.05
"""Seconds between looks while an instance is on its way in or out: a target is admitted at its first passed check."""
PACE_WAITING = 0.25
"""The same when nothing has happened for a while: a program that takes a minute to start can wait a quarter second."""
PATIENCE = 20
"""The pace of a wait is its age divided by this."""
PACE_LEAST = 0.001
"""What is left of a wait may be less than the clock can add to itself: such a wait would never end."""
PACE_AFTER_ERROR = 1.0
RUNAWAY = 50
"""Plans in a row after which the loop slows down: no stack needs so many steps without waiting for anything."""


TOGETHER = (Enlist, Register, Admit, Pool, Retire, Drain, Deregister)
"""What the balancer carries out for many at the price of one."""

Reached = Callable[[StackRecord, Observed], str]
"""Whether a snapshot shows what is waited for: a text when it does, "" when it does not yet; FairleadError when it
never will."""


class StackLoop:
    """Owns one stack of the daemon. `wake` makes it look again now."""

    def __init__(
        self,
        name: str,
        *,
        store: Store,
        engine: Engine,
        observer: Observer,
        applier: Applier,
        journal: Journal,
        clock: Clock,
        alarms: Alarms,
    ) -> None:
        self.name = name
        self._alarms = alarms
        self.observer, self.applier = observer, applier
        self._store, self._engine, self._journal, self._clock = store, engine, journal, clock
        self._awake = asyncio.Event()
        self._over: dict[int, asyncio.Future[Deployment]] = {}
        self.gone = asyncio.Event()
        """Set when the stack has been taken down and nothing of it is left."""
        self.seen: tuple[StackRecord, Observed] | None = None
        """What was wanted and there at the last look."""
        self._last_error = ""
        self._acted_at = 0.0
        self._missing: frozenset[str] = frozenset()
        self._waiting: list[tuple[Reached, asyncio.Future[str]]] = []
        self._said_waiting: dict[str, tuple[str, ...]] = {}

    def wake(self) -> None:
        """Something happened: look now."""
        self._awake.set()

    async def observe(self, wanted: StackRecord) -> Observed:
        """The stack now, for a decision or for showing it."""
        return await self.observer.observe(wanted, self.applier.configured, self.applier.refused)

    async def deployment_over(self, number: int) -> Deployment:
        """Wait for the end of deployment `number`; returns at once when it is over."""
        record = self._store.stack(self.name)
        deployment = record.deployment if record else None
        if deployment and deployment.number == number and deployment.status != "in_progress":
            return deployment
        future = self._over.setdefault(number, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    async def until(self, reached: Reached) -> str:
        """Wait until `reached` says so of a snapshot: the text it gives then, or the error it raises. NotFound when the
        stack is gone before."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((reached, future))
        self.wake()
        return await future

    async def run(self) -> None:
        """Until the stack is removed, or the task is cancelled (the daemon leaves; everything stays as it is)."""
        in_a_row = 0
        while not self.gone.is_set():
            try:
                plan, busy = await self.cycle()
                self._last_error = ""
            except Exception as error:
                self._report(error)
                await self._wait(PACE_AFTER_ERROR)
                continue
            in_a_row = in_a_row + 1 if plan.actions else 0
            if plan.actions and in_a_row < RUNAWAY:
                await asyncio.sleep(0)
                continue
            waited = (self._clock.now() - self._acted_at) / PATIENCE
            pace = min(max(PACE_BUSY, waited), PACE_WAITING) if busy else PACE_IDLE
            if plan.wake_at is not None:
                pace = min(pace, max(PACE_LEAST, plan.wake_at - self._clock.now()))
            await self._wait(pace)

    async def cycle(self) -> tuple[Plan, bool]:
        """One turn. Returns the plan, and whether something is on its way in or out."""
        self._awake.clear()
        wanted = self._store.stack(self.name)
        if wanted is None:
            self._leave()
            return Plan(), False
        observed = await self.observe(wanted)
        if self._store.stack(self.name) != wanted:
            return Plan(), True  # it changed while we looked: judge what is wanted now
        now = self._clock.now()
        plan = decide(wanted, observed, now)
        self._tell_health(wanted, observed)
        self.seen = wanted, observed
        self._tell_missing(observed)
        self._alarms.evaluate(wanted, observed, lambda: self.observer.health(wanted, observed))
        if plan.actions:
            self._acted_at = now
            self._journal.decision(wanted, observed, plan, now)
        if wanted.under_way is not None:
            self._say_what_waits(wanted, observed, now)
        self._tell_waiting(wanted, observed)
        await self._apply(plan, wanted, observed)
        return plan, _is_busy(wanted, observed)

    def _say_what_waits(self, wanted: StackRecord, observed: Observed, now: float) -> None:
        """To who watches the deployment: which services wait to be started, when that has changed."""
        waits = waiting(wanted, observed, now)
        for service, names in waits.items():
            if self._said_waiting.get(service) != names:
                text = f"{service} waits for {to_be_ready(names, wanted)}"
                self._journal.say(self.name, text, service=service)
        self._said_waiting = waits

    def _tell_waiting(self, wanted: StackRecord, observed: Observed) -> None:
        """Let go those who waited for what this snapshot shows; who has left meanwhile is forgotten."""
        left = []
        for reached, future in self._waiting:
            if future.done():
                continue
            try:
                text = reached(wanted, observed)
            except Exception as error:
                future.set_exception(error)
                continue
            if text:
                future.set_result(text)
            else:
                left.append((reached, future))
        self._waiting = left

    def _leave(self) -> None:
        self.gone.set()
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(NotFound(f"stack {self.name} is gone", "it was taken down meanwhile"))
        self._waiting = []

    async def _apply(self, plan: Plan, wanted: StackRecord, observed: Observed) -> None:
        """One step after the other. The first error is raised in the end."""
        first: Exception | None = None
        spoilt = set()
        for actions in _steps(plan.actions):
            if self._store.stack(self.name) != wanted:
                break
            able = [
                one
                for one in actions
                if first is None or not (_about(one) in spoilt or isinstance(one, Succeed | GiveUp | Remove))
            ]
            for action, error in zip(able, await self._tried(able, wanted, observed), strict=True):
                if error is not None:
                    first = first or error
                    spoilt.add(_about(action))
        if first is not None:
            raise first

    async def _tried(self, step: Sequence[Action], wanted: StackRecord, observed: Observed) -> list[Exception | None]:
        """Do the actions of one step; for each what went wrong."""

        async def tried(action: Action) -> Exception | None:
            try:
                await self._do(action, wanted, observed)
            except Exception as error:
                return error
            return None

        # What does not come in a crowd is done in this task: who waits for its end must not run before the loop does.
        if len(step) == 1:
            return [await tried(step[0])]
        return await asyncio.gather(*(tried(action) for action in step))

    async def _do(self, action: Action, wanted: StackRecord, observed: Observed) -> None:
        match action:
            case Succeed():
                self._succeed(wanted)
                if way_back(wanted):
                    await self.applier.let_go_of_way_back()
            case GiveUp():
                await self._give_up(wanted, observed, action)
            case Remove():
                self._remove()
            case _:
                await self.applier.apply(action)

    def finish(self, wanted: StackRecord, deployment: Deployment) -> None:
        """Tell those who wait for it that the deployment is over."""
        future = self._over.pop(deployment.number, None)
        if future and not future.done():
            future.set_result(deployment)

    def fail(self, wanted: StackRecord, *, reason: str, place: str = "", detail: str = "") -> None:
        """End the running deployment without success: back to the previous revision; on a first `up`, to nothing."""
        if wanted.deployment is None:
            return
        deployment = replace(wanted.deployment, status="failed", reason=reason, place=place, detail=detail)
        if wanted.previous is None:
            record = replace(wanted, wanted="down", deployment=deployment)
        else:
            record = replace(wanted, desired=wanted.previous, previous=None, deployment=deployment)
        self._store.save_stack(record)
        self._journal.event(self.name, "deployment_failed", f"deployment {deployment.number} failed: {reason}")
        self.finish(record, deployment)
        self.wake()

    def _succeed(self, wanted: StackRecord) -> None:
        if wanted.deployment is None:
            return
        deployment = replace(wanted.deployment, status="successful")
        record = replace(
            wanted,
            previous=None,
            deployment=deployment,
            scaled=wanted.by_hand(),
            groups=wanted.kept_groups(self._clock.boot),
        )
        self._store.save_stack(record)
        took = self._clock.now() - deployment.began_at if deployment.boot == self._clock.boot else None
        after = f" after {took:.1f} s" if took is not None else ""
        self._journal.event(self.name, "deployment_succeeded", f"deployment {deployment.number} succeeded{after}")
        self.finish(record, deployment)

    async def _give_up(self, wanted: StackRecord, observed: Observed, action: GiveUp) -> None:
        """Collect what explains the failure while the instance can still be looked at, then go back."""
        stack = wanted.desired.stack
        key = "app" if _is_app(wanted, action.service) else "command"
        if action.resource:
            self._give_up_for_resource(wanted, action)
            return
        if any(run.record.id == action.instance for run in observed.runs):
            key = "before_traffic"
        place, clauses = stack.place(f"services.{action.service}.{key}"), [action.reason]
        instance = next((seen for seen in observed.instances if seen.record.id == action.instance), None)
        if instance is not None and instance.process is not None and instance.process.alive:
            clauses += await self._why_silent(wanted, observed, instance)
            answered = instance.target is not None and instance.target.check is not None
            if answered and instance.target.check.code is not None:  # type: ignore[union-attr]
                place = stack.place(f"services.{action.service}.health_check.path")
        ignored = wanted.desired.releases[action.service].ignored
        if ignored:
            clauses.append(f"(.gitignore left out of the release: {', '.join(ignored)})")
        tail = self._engine.log_tail(self.name, action.instance, 20) if action.instance else ""
        if self._store.stack(self.name) != wanted:
            return  # it was taken down, for example, while we looked: the next cycle judges anew
        self.fail(wanted, reason="; ".join(clauses), place=place, detail=tail)

    def _give_up_for_resource(self, wanted: StackRecord, action: GiveUp) -> None:
        stack = wanted.desired.stack
        key = next((key_of(one) for one in stack.resources if one.id == action.resource), "")
        tail = self.applier.resources.log_tail(action.resource)
        self.fail(wanted, reason=action.reason, place=stack.place(key), detail=tail)

    async def _why_silent(self, wanted: StackRecord, observed: Observed, instance: Instance) -> list[str]:
        _, clause = self.observer.health(wanted, observed)[instance.record.id]
        cause = await self._engine.diagnose(self.name, instance.record.id, instance.record.address)
        return [text for text in (clause, cause) if text]

    def _remove(self) -> None:
        self._store.remove_stack(self.name)
        self._journal.event(self.name, "stack_down", f"{self.name} is down")
        self._leave()

    def _tell_health(self, wanted: StackRecord, observed: Observed) -> None:
        services = {instance.record.id: instance.record.service for instance in observed.instances}
        for instance, health, clause in self.observer.changes(wanted, observed):
            text = f"{instance} {health.state}"
            if health.reason:
                text += f": {health.reason}: {clause or health.description}"
            self._journal.event(self.name, health.state, text, service=services[instance], instance=instance)

    def _tell_missing(self, observed: Observed) -> None:
        """Once when a listener cannot be had, and once when it is back."""
        missing = frozenset(f"{one.why}; it is tried again every second" for one in observed.missing)
        for text in sorted(missing - self._missing):
            self._journal.event(self.name, "problem", text)
        if self._missing and not missing:
            self._journal.event(self.name, "listening", "all listeners are open again")
        self._missing = missing

    def _report(self, error: Exception) -> None:
        """Once for each new error, not once a second."""
        text = str(error) if isinstance(error, FairleadError) else f"{type(error).__name__}: {error}"
        if text not in (self._last_error, self.applier.refused):  # a refusal is told as what is missing
            if not isinstance(error, FairleadError):
                log.exception("%s: the loop will try again", self.name)
            self._journal.event(self.name, "problem", text)
        self._last_error = text

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass


async def keep_way_back(balancer: Balancer, wanted: StackRecord) -> None:
    """The ports that a deployment goes back to stay the stack's own, closed, until it is over. One that cannot be had
    is told when it is needed."""
    if listeners := way_back(wanted):
        with suppress(BalancerError):
            await balancer.reserve(wanted.name, listeners)


def _steps(actions: Iterable[Action]) -> Iterator[list[Action]]:
    """The actions in their order; those that come in crowds and do not mind each other are one step."""
    for kind, group in itertools.groupby(actions, type):
        if kind in TOGETHER:
            yield list(group)
        else:
            yield from ([action] for action in group)


def _about(action: Action) -> str:
    """What an action is about: an instance, a run, a job; or the stack, as its kind says."""
    for name in ("instance", "run", "job"):
        if found := getattr(action, name, ""):
            return str(found)
    return type(action).__name__


def _is_app(wanted: StackRecord, service: str) -> bool:
    return wanted.desired.releases[service].interface is not None


def _is_busy(wanted: StackRecord, observed: Observed) -> bool:
    return (
        not observed.balancer_known
        or wanted.wanted == "down"
        or wanted.under_way is not None
        or any(instance.record.state not in ("in_service", "warm") for instance in observed.instances)
        or bool(runs.live(observed.runs))
        or any(seen.is_launched and state_of(seen) in ("starting", "stopping") for seen in observed.resources)
    )
