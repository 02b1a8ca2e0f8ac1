"""`fairlead up` and `restart`: from what is asked to a recorded wish, and the wait until it has come true.

The steps, each of which can fail without harm to what serves: read the file; reserve its ports; build the releases;
compare with what is wanted now; configure the balancer; record the new revision as a deployment; wait for its end.
`turns` lets one of them at a time onto a stack.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal, Progress
from fairlead.control.ports import Builder
from fairlead.control.resources import StackResources
from fairlead.control.secrets import Secrets
from fairlead.control.stackloop import StackLoop, keep_way_back
from fairlead.control.turns import Turns
from fairlead.core.census import in_place
from fairlead.core.desired import Deployment, Revision, StackRecord
from fairlead.core.differences import differences
from fairlead.core.model import Release, Stack
from fairlead.core.observed import Observed
from fairlead.core.routing import openings_of, routing_of
from fairlead.errors import BalancerError, DeploymentFailed, FairleadError, NotFound, StoreError, UsageError
from fairlead.haproxy.base import Balancer
from fairlead.spec import read
from fairlead.spec.dotenv import parse_dotenv
from fairlead.store.database import Store

HEALTHY_PATIENCE = 30.0
"""Seconds, beyond the longest grace period, for which an `up` that changes nothing waits for what should run."""

RESTART_AGAIN = "Look at `fairlead logs`, then run `fairlead restart` again."


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """What `fairlead up` sends. path: the fairlead.yaml, absolute. dotenv: the text of `.env` beside it, or "".
    env: the variables of the command line's environment that the file's text names. who: the process that asks, as
    another `up` that waits for it is told: `pid 4711 on pts/3`."""

    path: str
    dotenv: str = ""
    env: Mapping[str, str]
    who: str = ""


class Ups:
    """What `up` and `restart` do; `turns` sees to it that they do it one at a time for a stack."""

    def __init__(
        self,
        store: Store,
        balancer: Balancer,
        builder: Builder,
        clock: Clock,
        journal: Journal,
        loop_for: Callable[[str], StackLoop],
        resources_of: Callable[[str], StackResources],
        vault: Secrets,
    ) -> None:
        self._store, self._balancer, self._builder = store, balancer, builder
        self._resources_of, self._secrets = resources_of, vault
        self._clock, self._journal, self._loop_for = clock, journal, loop_for
        self.turns = Turns(journal, clock)

    async def up(self, request: UpRequest, progress: Progress) -> dict[str, Any]:
        """See `Supervisor.up`."""
        stack = read(request.path, env=request.env, dotenv=request.dotenv)
        env = {**parse_dotenv(request.dotenv)[0], **request.env}
        return await self.turns.take("up", stack.name, request.who, lambda: self._up(stack, env), progress)

    async def restart(self, name: str, services: tuple[str, ...], progress: Progress) -> dict[str, Any]:
        """See `Supervisor.restart`. services: those to replace."""
        return await self.turns.take("restart", name, "", lambda: self._restart(name, services), progress)

    async def _up(self, stack: Stack, env: Mapping[str, str]) -> dict[str, Any]:
        """env: where secrets are looked for that nobody has set."""
        record = self._store.stack(stack.name)
        if record and record.wanted == "down":
            self._say(stack, "waiting: the stack is still going down")
            await self._loop_for(stack.name).gone.wait()
            record = None
        if record is not None:
            self._refuse_another_file(record, stack)
        if not self._store.recording:
            # A build would eat the room that healing needs.
            raise StoreError("the disk is full", "nothing can be recorded", "Make room, then run `fairlead up` again.")
        await self._resources_of(stack.name).vet(stack)
        stack = self._secrets.filled(stack, env, partial(self._say, stack))
        with placed(stack):
            await self._balancer.reserve(stack.name, stack.listeners)
        try:
            releases = {one.name: await self._build(stack, one.name) for one in stack.services if one.runs}
            record = self._store.stack(stack.name)
            below = record.desired.replaced_below if record else {}
            kept = {name: number for name, number in below.items() if name in releases}
            revision = Revision(stack=stack, releases=releases, replaced_below=kept)
            changed = tuple(map(str, differences(record.desired if record else None, revision)))
            if record is not None and not changed:
                if (record.desired.stack, record.desired.stack.places) != (stack, stack.places):
                    record = replace(record, desired=revision)
                    self._store.save_stack(record)
                return await self._nothing_changed(record)
            record = await self._begin(record, revision, changed)
        except BaseException:
            await self._give_back(stack)
            raise
        await self._finish(record)
        await self._prune(record)
        self._secrets.forget_earlier(stack.name)
        return _done(record, changed)

    async def _restart(self, name: str, services: tuple[str, ...]) -> dict[str, Any]:
        record = self._store.stack(name)
        if record is None or record.wanted == "down":
            raise NotFound(f"there is no stack {name!r}", "it was taken down meanwhile", "fairlead up PATH")
        if _restarts(record, services):
            # Asked again of a daemon that came back in the middle of it.
            self._journal.say(name, "the same restart is under way already: waiting for it")
            await self._finish(record, RESTART_AGAIN)
            return _done(record, ())
        below = {service: self._store.next_number(name, service) for service in services}
        revision = replace(record.desired, replaced_below={**record.desired.replaced_below, **below})
        changed = tuple(f"{service}: all instances are replaced" for service in services)
        record = await self._begin(record, revision, changed, "restart")
        await self._finish(record, RESTART_AGAIN)
        return _done(record, changed)

    def _refuse_another_file(self, record: StackRecord, stack: Stack) -> None:
        """A stack of this name from another file is another stack, unless its file has moved: then that is said."""
        before = record.desired.stack.path
        if before == stack.path:
            return
        if os.path.exists(before) and not os.path.samefile(before, stack.path):
            raise UsageError(
                f"another stack is up under the name {stack.name}",
                f"it came from {before}, and this is {stack.path}",
                f"give this one another `name:`, or run: fairlead down {stack.name} (a stack whose file moved may stay "
                "up; its old file must be gone then)",
                place=stack.place("name"),
            )
        self._say(stack, f"the file of {stack.name} has moved: it is now {stack.path}, and was {before}")

    async def _build(self, stack: Stack, name: str) -> Release:
        service = stack.service(name)
        known = self._store.releases(stack.name, name)
        number = self._store.next_release_number(stack.name, name)
        release = await self._builder.build(stack, service, known, number, lambda text: self._say(stack, text, name))
        if release.number == number:
            self._store.add_release(stack.name, release)
            self._journal.event(stack.name, "release", f"release {number} of {name} is built", service=name)
        return release

    async def _nothing_changed(self, record: StackRecord) -> dict[str, Any]:
        joined = record.under_way is not None
        if joined:
            self._say(record.desired.stack, "the same change is under way already: waiting for it")
            await self._finish(record)
        else:
            await self._until_healthy(record)
        return {**_done(record, ()), "changed": joined}

    async def _until_healthy(self, record: StackRecord) -> None:
        """Nothing is to be changed, but what should run may not yet: after a restart of the machine, for example."""
        longest = max((one.health_check.grace_period for one in record.desired.stack.services), default=0.0)
        deadline, said = self._clock.now() + longest + HEALTHY_PATIENCE, False

        def reached(wanted: StackRecord, observed: Observed) -> str:
            nonlocal said
            lacking = _lacking(wanted, observed)
            if lacking and self._clock.now() >= deadline:
                raise DeploymentFailed(
                    f"{record.name} is as the file says, and not healthy", lacking, "fairlead status"
                )
            if lacking and not said:
                said = True
                self._say(wanted.desired.stack, f"nothing to change; waiting: {lacking}")
            return "" if lacking else "healthy"

        await self._loop_for(record.name).until(reached)

    async def _begin(
        self, record: StackRecord | None, revision: Revision, changed: tuple[str, ...], what: str = "up"
    ) -> StackRecord:
        """Configure the balancer, then record the wish: from here on it survives everything."""
        stack = revision.stack
        while True:
            wish = self._wish(record, revision)
            occupied = {instance.service for instance in self._store.instances(stack.name) if instance.serves}
            configured = self._loop_for(stack.name).applier.configured if record else None
            openings = openings_of(self._store.instances(stack.name), self._clock.boot, self._clock.now())
            routing = routing_of(wish, occupied, configured, openings)
            await self._balancer.configure(stack.name, routing)
            await keep_way_back(self._balancer, wish)
            if (now := self._store.stack(stack.name)) == record:
                break
            record = now  # a size was set by hand meanwhile, or the deployment before this one ended
        self._resources_of(stack.name).forgive()
        self._store.save_stack(wish)
        loop = self._loop_for(stack.name)
        loop.applier.accepted(routing)
        if record and record.under_way:
            ended = _superseded(record.under_way, what)
            self._journal.event(stack.name, "deployment_failed", f"deployment {ended.number} failed: {ended.reason}")
            loop.finish(record, ended)
        assert wish.deployment is not None
        why = "; ".join(changed) or "first `up`"
        self._journal.event(stack.name, "deployment_started", f"deployment {wish.deployment.number}: {why}")
        loop.wake()
        await self._store.durable()
        return wish

    def _wish(self, record: StackRecord | None, revision: Revision) -> StackRecord:
        """What to record in the place of `record`. A change on top of one that is still under way goes back to the last
        revision that had succeeded, or, when none had, to nothing."""
        deployment = Deployment(
            number=(record.deployment.number + 1) if record and record.deployment else 1,
            status="in_progress",
            boot=self._clock.boot,
            began_at=self._clock.now(),
            started_at=self._clock.wall(),
        )
        goes_back = None
        if record is not None:
            goes_back = record.previous if record.under_way else record.desired
        return StackRecord(
            name=revision.stack.name,
            wanted="up",
            desired=revision,
            previous=goes_back,
            deployment=deployment,
            check_token=record.check_token if record else secrets.token_urlsafe(24),
            scaled=record.scaled if record else {},
            groups=record.groups if record else {},
            suspended=record.suspended if record else {},
        )

    async def _finish(self, record: StackRecord, todo: str = "Mend it, then run `fairlead up` again.") -> None:
        """Wait for the deployment of `record`; DeploymentFailed says what is serving instead."""
        assert record.deployment is not None
        loop = self._loop_for(record.name)
        over = await loop.deployment_over(record.deployment.number)
        if over.status == "successful":
            return
        if record.previous is None:
            await loop.gone.wait()
            left = "nothing of it is left running"
        else:
            left = "what served before serves on"
        what = f"{record.name} did not become healthy, and {left}"
        raise DeploymentFailed(what, over.reason, todo, place=over.place, detail=over.detail)

    async def _give_back(self, stack: Stack) -> None:
        """After a failure before anything was recorded: ports and routing as the recorded wish says."""
        record = self._store.stack(stack.name)
        configured = self._loop_for(stack.name).applier.configured if record else None
        try:
            await self._balancer.configure(stack.name, configured)
        except FairleadError as error:
            self._journal.event(stack.name, "problem", f"the balancer keeps a reserved port: {error}")

    async def _prune(self, record: StackRecord) -> None:
        """Old releases leave the disk, and the environments that none needs; those that instances still run stay."""
        used = {(instance.service, instance.release) for instance in self._store.instances(record.name)}
        used |= {(run.service, run.release) for run in self._store.live_runs(record.name)}
        for service in (one for one in record.desired.stack.services if one.runs):
            numbers = [release.number for release in self._store.releases(record.name, service.name)]
            keep = set(numbers[-service.keep_releases :]) | {record.desired.releases[service.name].number}
            keep |= {number for name, number in used if name == service.name}
            for number in set(numbers) - keep:
                self._store.remove_release(record.name, service.name, number)
            self._builder.prune(record.name, service.name, keep)
        await self._builder.sweep(self._store.environment_folders())

    def _say(self, stack: Stack, text: str, service: str = "") -> None:
        self._journal.say(stack.name, text, service=service)


@contextmanager
def placed(stack: Stack) -> Iterator[None]:
    """A listener that is refused inside is told with its place in the file."""
    try:
        yield
    except BalancerError as problem:
        problem.place = problem.place or _place_of_listener(stack, problem.what)
        raise


def _place_of_listener(stack: Stack, what: str) -> str:
    """Where the port stands that a refusal names; where the listeners do, when it names none."""
    numbers = re.findall(r"\d+", what)
    for index, listener in enumerate(stack.listeners):
        if str(listener.port) in numbers:
            return stack.place(f"load_balancer.listeners.{index}.port")
    return stack.place("load_balancer.listeners")


def _superseded(deployment: Deployment, what: str) -> Deployment:
    return replace(deployment, status="failed", reason=f"another `{what}` took over")


def _done(record: StackRecord, changed: tuple[str, ...]) -> dict[str, Any]:
    stack = record.desired.stack
    return {
        "stack": record.name,
        "changed": True,
        "summary": list(changed),
        "urls": [listener.url for listener in stack.listeners],
        "engine": stack.engine,
        "unenforced": list(stack.unenforced),
        "by_hand": _by_hand(record),
    }


def _lacking(wanted: StackRecord, observed: Observed) -> str:
    """Which services have fewer healthy instances than they should; "" when none has."""
    short = []
    for declared in wanted.desired.stack.services if wanted.wanted == "up" else ():
        service = wanted.sized(declared)
        mine = [one for one in observed.instances if one.record.service == service.name]
        ready = sum(1 for one in mine if one.record.state != "terminating" and in_place(one))
        # Of those that fairlead does not run, nobody here can make one healthy.
        if ready < service.desired and service.runs:
            short.append(f"{service.name} has {ready} of {service.desired} healthy")
    return "; ".join(short)


def _counted(instances: int) -> str:
    return f"{instances} instance{'s' if instances != 1 else ''}"


def _by_hand(record: StackRecord) -> list[str]:
    """The sizes that were set by hand and are not the file's, in words. What a policy or a schedule decided is no
    surprise to whoever wrote it."""
    found = []
    for service in record.desired.stack.services:
        size, group = record.sized(service).desired, record.groups.get(service.name)
        by_policy = service.scaling is not None and not (group is not None and group.by_hand)
        if size != service.desired and not by_policy:
            found.append(f"{service.name} has {_counted(size)}, set by hand; the file says {service.desired}")
    return found


def _restarts(record: StackRecord, services: tuple[str, ...]) -> bool:
    """Whether a restart of `services` is under way."""
    before = record.previous
    if record.under_way is None or before is None:
        return False
    old, new = before.replaced_below, record.desired.replaced_below
    if (before.stack, before.releases) != (record.desired.stack, record.desired.releases):
        return False  # an `up` has come on top of it
    return all(new.get(service, 0) > old.get(service, 0) for service in services)
