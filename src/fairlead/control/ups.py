"""`fairlead up`: from a file to a recorded wish, and the wait until it has come true.

The steps, each of which can fail without harm to what serves: read the file; reserve its ports; build the releases;
compare with what is wanted now; configure the balancer; record the new revision as a deployment; wait for its end. One
`up` at a time for a stack: the second waits, saying for what.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal, Progress
from fairlead.control.ports import Builder
from fairlead.control.stackloop import StackLoop
from fairlead.core.desired import Deployment, Revision, StackRecord
from fairlead.core.differences import differences
from fairlead.core.model import Release, Stack
from fairlead.core.routing import routing_of
from fairlead.errors import BalancerError, DeploymentFailed, FairleadError, UsageError
from fairlead.haproxy.base import Balancer
from fairlead.spec import read
from fairlead.store.database import Store

KEPT_RELEASES = 5
"""Releases of a service that stay on the disk (the default of `deploy.keep_releases`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """What `fairlead up` sends. path: the fairlead.yaml, absolute. dotenv: the text of `.env` beside it, or "".
    env: the variables of the command line's environment that the file's text names."""

    path: str
    dotenv: str = ""
    env: Mapping[str, str]


class Ups:
    """The `up`s under way, at most one a stack; each is a task of its own, which outlives the client that asked."""

    def __init__(
        self,
        store: Store,
        balancer: Balancer,
        builder: Builder,
        clock: Clock,
        journal: Journal,
        loop_for: Callable[[str], StackLoop],
    ) -> None:
        self._store, self._balancer, self._builder = store, balancer, builder
        self._clock, self._journal, self._loop_for = clock, journal, loop_for
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._cancels: Counter[str] = Counter()

    @property
    def under_way(self) -> bool:
        """Whether anything is being brought up."""
        return bool(self._running)

    async def up(self, request: UpRequest, progress: Progress) -> dict[str, Any]:
        """See `Supervisor.up`."""
        stack = read(request.path, env=request.env, dotenv=request.dotenv)
        cancels = self._cancels[stack.name]
        while (before := self._running.get(stack.name)) is not None:
            progress({"text": f"waiting: another `up` of {stack.name} is under way"})
            await asyncio.wait({before})
            if self._cancels[stack.name] != cancels:
                # Whoever gave up while this one waited meant this one, too.
                raise DeploymentFailed(f"`up` of {stack.name} was cancelled", "", "")
        with self._journal.follow(stack.name, progress):
            task = asyncio.create_task(self._up(stack), name=f"up {stack.name}")
            self._running[stack.name] = task
            task.add_done_callback(lambda done: self._forget(stack.name, done))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():
                    raise DeploymentFailed(f"`up` of {stack.name} was cancelled", "", "") from None
                raise

    async def cancel(self, stack: str) -> bool:
        """End the `up` of `stack`, if one is under way, and those that wait for it; what it recorded stays recorded."""
        self._cancels[stack] += 1
        return await self._end(stack)

    async def _end(self, stack: str) -> bool:
        task = self._running.get(stack)
        if task is None:
            return False
        task.cancel()
        await asyncio.wait({task})
        return True

    async def close(self) -> None:
        """The daemon leaves: what is being built is dropped, what is recorded goes on after its return."""
        for stack in list(self._running):
            await self._end(stack)

    def _forget(self, stack: str, task: asyncio.Task[dict[str, Any]]) -> None:
        if self._running.get(stack) is task:
            del self._running[stack]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may be left to ask

    async def _up(self, stack: Stack) -> dict[str, Any]:
        record = self._store.stack(stack.name)
        if record and record.wanted == "down":
            self._say(stack, "waiting: the stack is still going down")
            await self._loop_for(stack.name).gone.wait()
            record = None
        if record is not None:
            self._refuse_another_file(record, stack)
        await self._reserve(stack)
        try:
            releases = {service.name: await self._build(stack, service.name) for service in stack.services}
            record = self._store.stack(stack.name)
            revision = Revision(stack=stack, releases=releases)
            changed = differences(record.desired if record else None, revision)
            if record is not None and not changed:
                if (record.desired.stack.path, record.desired.stack.places) != (stack.path, stack.places):
                    record = replace(record, desired=revision)
                    self._store.save_stack(record)
                return await self._nothing_changed(record)
            record = await self._begin(record, revision, changed)
        except BaseException:
            await self._give_back(stack)
            raise
        await self._finish(record)
        self._prune(record)
        urls = [listener.url for listener in stack.listeners]
        return {"stack": stack.name, "changed": True, "summary": list(changed), "urls": urls}

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

    async def _reserve(self, stack: Stack) -> None:
        try:
            await self._balancer.reserve(stack.name, stack.listeners)
        except BalancerError as problem:
            problem.place = problem.place or _place_of_listener(stack, problem.what)
            raise

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
        deployment = record.deployment
        joined = deployment is not None and deployment.status == "in_progress"
        if joined:
            self._say(record.desired.stack, "the same change is under way already: waiting for it")
            await self._finish(record)
        urls = [listener.url for listener in record.desired.stack.listeners]
        return {"stack": record.name, "changed": joined, "summary": [], "urls": urls}

    async def _begin(self, record: StackRecord | None, revision: Revision, changed: tuple[str, ...]) -> StackRecord:
        """Configure the balancer, then record the wish: from here on it survives everything."""
        stack = revision.stack
        goes_back = None
        if record is not None:
            # A change on top of one that is still under way goes back to the last revision that had succeeded, or, when
            # none had, to nothing.
            under_way = record.deployment is not None and record.deployment.status == "in_progress"
            goes_back = record.previous if under_way else record.desired
        deployment = Deployment(
            number=(record.deployment.number + 1) if record and record.deployment else 1,
            status="in_progress",
            boot=self._clock.boot,
            began_at=self._clock.now(),
            started_at=self._clock.wall(),
        )
        wish = StackRecord(
            name=stack.name,
            wanted="up",
            desired=revision,
            previous=goes_back,
            deployment=deployment,
            check_token=record.check_token if record else secrets.token_urlsafe(24),
        )
        occupied = {instance.service for instance in self._store.instances(stack.name)}
        loop = self._loop_for(stack.name) if record else None
        routing = routing_of(wish, occupied, loop.applier.configured if loop else None)
        await self._balancer.configure(stack.name, routing)
        self._store.save_stack(wish)
        loop = self._loop_for(stack.name)
        loop.applier.configured = routing
        if record and record.deployment and record.deployment.status == "in_progress":
            loop.finish(record, _superseded(record.deployment))
        why = "; ".join(changed) or "first `up`"
        self._journal.event(stack.name, "deployment_started", f"deployment {deployment.number}: {why}")
        loop.wake()
        await self._store.durable()
        return wish

    async def _finish(self, record: StackRecord) -> None:
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
        todo = "mend it and run `fairlead up` again"
        raise DeploymentFailed(what, over.reason, todo, place=over.place, detail=over.detail)

    async def _give_back(self, stack: Stack) -> None:
        """After a failure before anything was recorded: ports and routing as the recorded wish says."""
        record = self._store.stack(stack.name)
        configured = self._loop_for(stack.name).applier.configured if record else None
        try:
            await self._balancer.configure(stack.name, configured)
        except FairleadError as error:
            self._journal.event(stack.name, "problem", f"the balancer keeps a reserved port: {error}")

    def _prune(self, record: StackRecord) -> None:
        """Old releases leave the disk; those that instances still run stay."""
        used = {(instance.service, instance.release) for instance in self._store.instances(record.name)}
        for service in record.desired.stack.services:
            numbers = [release.number for release in self._store.releases(record.name, service.name)]
            keep = set(numbers[-KEPT_RELEASES:]) | {record.desired.releases[service.name].number}
            keep |= {number for name, number in used if name == service.name}
            for number in set(numbers) - keep:
                self._store.remove_release(record.name, service.name, number)
            self._builder.prune(record.name, service.name, keep)

    def _say(self, stack: Stack, text: str, service: str = "") -> None:
        self._journal.say(stack.name, text, service=service)


def _place_of_listener(stack: Stack, what: str) -> str:
    """Where the port stands that a refusal names; where the listeners do, when it names none."""
    numbers = re.findall(r"\d+", what)
    for index, listener in enumerate(stack.listeners):
        if str(listener.port) in numbers:
            return stack.place(f"load_balancer.listeners.{index}.port")
    return stack.place("load_balancer.listeners")


def _superseded(deployment: Deployment) -> Deployment:
    return replace(deployment, status="failed", reason="another `up` took over")
