"""fairlead's balancer alone, on targets that run already: a file, read as `up` reads it, and a HAProxy that the real
node runs for it. No daemon, which would take its share of the machine.

In: the file as a mapping, with a service of `targets:`. Out: the processes that serve it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
from collections.abc import Callable, Iterator, Mapping

from bench.machine import CannotMeasure
from fairlead import spec
from fairlead.certificates.home import HomeCertificates
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.model import Stack, Targets
from fairlead.core.routing import routing_of
from fairlead.core.traffic import Target, Traffic
from fairlead.haproxy.node import HaproxyNode

PATIENCE = 20.0
"""Seconds for all targets to pass a health check."""


@contextlib.contextmanager
def balancing(folder: str, file: Mapping[str, object]) -> Iterator[Callable[[], list[int]]]:
    """Serve what `file` says until the block ends; the HAProxy's pid, as `compare.Proxy` wants it. folder: made."""
    os.makedirs(folder)
    path = f"{folder}/fairlead.yaml"
    with open(path, "w") as opened:
        json.dump(file, opened)  # which is YAML, too
    stack = spec.read(path, env={})
    fd_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with asyncio.Runner() as runner:
        node = HaproxyNode(
            folder=f"{folder}/node", programs=f"{folder}/programs", log_path=f"{folder}/haproxy.log", home=folder,
            fd_limit=fd_limit, cpus=len(os.sched_getaffinity(0)), certificates=HomeCertificates(f"{folder}/authority"),
        )  # fmt: skip
        try:
            pids = runner.run(_serve(node, stack))
            yield lambda: pids
        finally:
            runner.run(node.stop())
            runner.run(node.close())


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
