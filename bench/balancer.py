"""fairlead's balancer alone, on targets that run already: a file, read as `up` reads it, and a HAProxy that the real
node runs for it. No daemon, which would take its share of the machine.

In: the file as a mapping, with a service of `targets:`; whether requests are logged and response times counted. Out: a
`Balanced`, which serves until the block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bench.machine import CannotMeasure
from fairlead import spec
from fairlead.certificates.home import HomeCertificates
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Stack, Targets
from fairlead.core.readings import Reading
from fairlead.core.routing import routing_of
from fairlead.core.traffic import Target, Traffic
from fairlead.haproxy.node import HaproxyNode

PATIENCE = 20.0
"""Seconds for all targets to pass a health check."""

PACE = 1.0
"""Seconds between two readings, as the daemon makes them."""

Result = TypeVar("Result")


class Balanced:
    """One that serves. log_folder: where its access log is, if it has one."""

    def __init__(self, runner: asyncio.Runner, node: HaproxyNode, pids: list[int], log_folder: str) -> None:
        self._runner, self._node, self._pids = runner, node, pids
        self.log_folder = log_folder

    def pids(self) -> list[int]:
        """Its HAProxy, as `compare.Proxy` wants it."""
        return self._pids

    def measure(self) -> Reading:
        """One reading for metrics. CannotMeasure: HAProxy does not answer."""
        reading = self._runner.run(self._node.measure())
        if reading is None:
            raise CannotMeasure("HAProxy does not answer")
        return reading

    def tend(self) -> None:
        """Put away what is due of the access log."""
        self._runner.run(self._node.tend())

    def during(self, work: Callable[[], Result]) -> Result:
        """What `work` comes to, in a thread, while metrics are read as often as the daemon reads them."""
        return self._runner.run(self._read_during(work))

    async def _read_during(self, work: Callable[[], Result]) -> Result:
        working = asyncio.get_running_loop().run_in_executor(None, work)
        while not (await asyncio.wait({working}, timeout=PACE))[0]:
            await self._node.measure()
        return working.result()


@contextlib.contextmanager
def balancing(folder: str, file: Mapping[str, Any], *, log: bool = False, measured: bool = True) -> Iterator[Balanced]:
    """Serve what `file` says until the block ends. folder: made. log: whether requests are logged, whatever the file
    says; measured: whether response times are counted, which only a benchmark can leave out."""
    os.makedirs(folder)
    path = f"{folder}/fairlead.yaml"
    with open(path, "w") as opened:
        # JSON is YAML, too.
        json.dump({**file, "load_balancer": {**file["load_balancer"], "access_log": log}}, opened)
    stack = spec.read(path, env={})
    fd_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    log_folder = f"{folder}/access" if log else ""
    with asyncio.Runner() as runner:
        node = HaproxyNode(
            folder=f"{folder}/node", programs=f"{folder}/programs", log_path=f"{folder}/haproxy.log", home=folder,
            fd_limit=fd_limit, cpus=len(os.sched_getaffinity(0)), certificates=HomeCertificates(f"{folder}/authority"),
            access_logs=lambda stack: log_folder and f"{log_folder}/{stack}",
        )  # fmt: skip
        if not measured:
            _leave_metrics_out(node)
        try:
            pids = runner.run(_serve(node, stack))
            yield Balanced(runner, node, pids, log_folder and f"{log_folder}/{stack.name}")
        finally:
            runner.run(node.stop())
            runner.run(node.close())


def _leave_metrics_out(node: HaproxyNode) -> None:
    """No user can: it is measured here what they cost."""
    keeper = node._keeper
    place = keeper.place
    keeper.place = lambda generation: replace(place(generation), measured=False)  # type: ignore[method-assign]


async def _serve(node: HaproxyNode, stack: Stack) -> list[int]:
    """Have all targets in service; HAProxy's pid."""
    revision = Revision(stack=stack, releases={})
    mark = "bench"
    record = StackRecord(
        name=stack.name, wanted="up", desired=revision, previous=None, deployment=None, check_token=mark
    )
    routing = routing_of(record, (), None)
    assert routing is not None
    await node.start(Traffic(routings=(routing,), targets=tuple(_targets(stack))))
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        seen = await node.observe()
        if seen.targets and all(target.up for target in seen.targets):
            return [one.pid for one in seen.nodes if one.pid]
        if asyncio.get_running_loop().time() > deadline:
            raise CannotMeasure(f"the targets are not in service after {PATIENCE:.0f} s: {seen}"[:500])
        await asyncio.sleep(0.1)


def _targets(stack: Stack) -> Iterator[Target]:
    for service in stack.services:
        assert isinstance(service.program, Targets)
        for number, address in enumerate(service.program.addresses, 1):
            name = f"{service.name}-{number}"
            group = f"{stack.name}.{service.name}"
            yield Target(group=group, id=name, number=number, address=address, mode="in_service")
