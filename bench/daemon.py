"""What fairlead costs while nothing happens, and while little does: the daemon idle with 10 and 100 instances, a
turn of its loop with 1,000 targets, the start of a command, ten deployments of changed source."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

from bench.fairlead import Fairlead, a_home
from bench.machine import CannotMeasure, Memory, cpu_seconds, free_port, memory_of, note, wait_until
from bench.ups import EXAMPLE

IDLE = 20.0
"""Seconds for which an idle daemon is watched."""

SETTLED = 12.0
"""Seconds before that: the memory of young processes is looked at more often."""

IDLE_BAR = (1.0, 80.0)
"""Percent of a core and MB that a daemon idle with ten instances may use."""

RECONCILE_BAR = 50.0
"""Milliseconds that a turn of the loop with 1,000 targets may take."""

COMMAND_BAR = 60.0
"""Milliseconds that a command may take to start."""

DEPLOYMENTS = 10


def measure() -> bool:
    """Print the tables; whether the bars were held."""
    held = [_idle_and_commands(), _reconcile()]
    return all(held)


def _idle_and_commands() -> bool:
    if not os.path.isfile(f"{EXAMPLE}/fairlead.yaml"):
        raise CannotMeasure(f"there is no {EXAMPLE}/fairlead.yaml")
    with a_home() as fairlead, tempfile.TemporaryDirectory(prefix="flb-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 (a root's builds read it as another user)
        source = shutil.copytree(EXAMPLE, f"{folder}/host-date")
        port = {"PORT": str(free_port())}
        note("daemon: bringing up the example")
        fairlead.up(source, port)
        commands = _commands(fairlead)
        deployments = _deployments(fairlead, source, port)
        idle = {size: _idle(fairlead, size) for size in (10, 100)}
    print("daemon idle, metrics read each second: CPU of one core, memory")
    for size, (percent, memory) in idle.items():
        print(f"  {size:4} instances {percent:9.2f} % {memory.pss:9.1f} MB PSS {memory.rss:9.1f} MB RSS")
    quiet = idle[10][0] < IDLE_BAR[0] and idle[10][1].pss < IDLE_BAR[1]
    print(f"  bar: ten instances under {IDLE_BAR[0]:g} % and {IDLE_BAR[1]:g} MB PSS: {_verdict(quiet)}\n")
    print("a command from its start to its end, milliseconds")
    for name, times in commands.items():
        print(f"  {name:24} median {statistics.median(times):6.0f}   worst {max(times):6.0f}")
    quick = statistics.median(commands["fairlead --version"]) < COMMAND_BAR
    print(f"  bar: start under {COMMAND_BAR:g} ms: {_verdict(quick)}\n")
    print(f"{DEPLOYMENTS} deployments, only the source changed, seconds from `up` to its end")
    print(
        f"  median {statistics.median(deployments):.2f}   best {min(deployments):.2f}   worst {max(deployments):.2f}\n"
    )
    return quiet and quick


def _idle(fairlead: Fairlead, size: int) -> tuple[float, Memory]:
    note(f"daemon: idle with {size} instances")
    fairlead.scale("web", size)
    return idle(fairlead)


def idle(fairlead: Fairlead) -> tuple[float, Memory]:
    """Percent of a core that its daemon takes, and memory, while nothing happens."""
    pid = int(fairlead.status()["daemon"]["pid"])
    time.sleep(SETTLED)
    before, began = cpu_seconds([pid]), time.monotonic()
    time.sleep(IDLE)
    return 100 * (cpu_seconds([pid]) - before) / (time.monotonic() - began), memory_of(pid)


def _commands(fairlead: Fairlead) -> dict[str, list[float]]:
    note("daemon: commands")
    program = os.path.join(os.path.dirname(sys.executable), "fairlead")
    environment = {**os.environ, "FAIRLEAD_HOME": fairlead.home}
    bare = [sys.executable, "-c", "pass"]
    asked = {
        "python -c pass": bare,
        "fairlead --version": [program, "--version"],
        "fairlead --help": [program, "--help"],
        "fairlead status": [program, "status"],
        "fairlead metrics": [program, "metrics"],
        "fairlead metrics web": [program, "metrics", "web"],
        "fairlead metrics --json": [program, "metrics", "--json"],
    }
    times: dict[str, list[float]] = {name: [] for name in asked}

    def measured() -> bool:
        words = asked["fairlead metrics web"]
        return subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    wait_until(measured, "something is measured")
    # In turn, so that what the machine does besides falls on all of them.
    for _ in range(15):
        for name, words in asked.items():
            began = time.perf_counter()
            subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            times[name].append(1000 * (time.perf_counter() - began))
    return times


def _deployments(fairlead: Fairlead, source: str, port: dict[str, str]) -> list[float]:
    times = []
    for number in range(DEPLOYMENTS):
        note(f"daemon: deployment {number + 1} of {DEPLOYMENTS}")
        with open(f"{source}/app.py", "a") as file:
            file.write(f"\n# change {number}\n")
        times.append(fairlead.up(source, port))
    return times


def _reconcile() -> bool:
    note("daemon: a turn of the loop with 1,000 targets")
    turns, decisions = asyncio.run(_turns())
    turn, decision = (1000 * statistics.median(times) for times in (turns, decisions))
    print("a turn of the loop with 1,000 targets in 10 services, on a real store and fakes, milliseconds")
    print(f"  observe, decide, apply {turn:7.1f}")
    print(f"  of this, the decision  {decision:7.1f}")
    held = turn < RECONCILE_BAR
    print(f"  bar: under {RECONCILE_BAR:g} ms: {_verdict(held)}\n")
    return held


async def _turns() -> tuple[list[float], list[float]]:
    from fairlead.control.clock import SystemClock
    from fairlead.control.supervisor import Machine, Supervisor
    from fairlead.core.launch import Surroundings
    from fairlead.core.layout import layout_of
    from fairlead.core.reconcile import decide
    from fairlead.core.routing import routing_of
    from fairlead.engines.base import LaunchOrder
    from fairlead.engines.fake.engine import FakeEngine
    from fairlead.haproxy.fake import PASSED, FakeBalancer
    from fairlead.resources.fake import FakeResources
    from fairlead.store.database import Store

    with tempfile.TemporaryDirectory(prefix="flb-") as folder:
        store, engine, balancer = Store.open(f"{folder}/fairlead.db"), FakeEngine(), FakeBalancer()
        clock = SystemClock("boot")
        wanted, records = _a_thousand(clock.now())
        store.save_stack(wanted)
        for record in records:
            store.save_instance(record)
            order = LaunchOrder(
                stack="big", id=record.id, argv=("serve",), environment={}, working_folder="/", address=record.address
            )
            await engine.launch(order)
        balancer.health(lambda group, target: PASSED)
        machine = Machine(
            store=store,
            engine=engine,
            balancer=balancer,
            resources=FakeResources(),
            builder=None,  # type: ignore[arg-type]  # nothing is built, and no alarm is told
            clock=clock,
            layout=layout_of(folder, 0),
            around=Surroundings(),
            courier=None,  # type: ignore[arg-type]
            version="bench",
            pid=os.getpid(),
        )
        supervisor = Supervisor(machine)
        await supervisor.start()
        loop = supervisor.loop("big")
        turns, decisions = [], []
        for _ in range(15):
            began = time.perf_counter()
            plan, _ = await loop.cycle()
            turns.append(time.perf_counter() - began)
            if plan.actions:
                raise CannotMeasure(f"1,000 targets should need nothing: {plan.actions[:3]}")
            observed = await loop.observer.observe(wanted, routing_of(wanted, {one.service for one in records}, None))
            began = time.perf_counter()
            decide(wanted, observed, clock.now())
            decisions.append(time.perf_counter() - began)
        await supervisor.close()
        store.close()
    return turns[3:], decisions[3:]


def _a_thousand(now: float):  # type: ignore[no-untyped-def]
    """Ten services of a hundred instances each, all in service."""
    from fairlead.core.desired import Revision, StackRecord
    from fairlead.core.model import Command, Listener, Release, Service, Stack, forward_to
    from fairlead.core.observed import InstanceRecord

    services = [
        Service(name=f"s{number}", program=Command(argv=("serve",)), source="/", minimum=100, desired=100, maximum=100)
        for number in range(10)
    ]
    stack = Stack(
        name="big", path="/x", services=tuple(services), listeners=(Listener(port=8080, default=forward_to("s0")),)
    )
    release = Release(
        service="s0", number=1, fingerprint="x", source="/", environment_folder=None, argv=("serve",), address="tcp"
    )
    revision = Revision(stack=stack, releases={one.name: replace(release, service=one.name) for one in services})
    mark = "t"
    wanted = StackRecord(name="big", wanted="up", desired=revision, previous=None, deployment=None, check_token=mark)
    records = [
        InstanceRecord(
            stack="big",
            service=service.name,
            id=f"{service.name}-{number}",
            number=number,
            release=1,
            zone="a",
            address=f"127.0.0.1:{10_000 + 100 * index + number}",
            state="in_service",
            boot="boot",
            launched_at=now,
            started_at="2026-01-01T00:00:00Z",
            cause="a benchmark",
            in_service_at=now,
        )
        for index, service in enumerate(services)
        for number in range(1, 101)
    ]
    return wanted, records


def _verdict(held: bool) -> str:
    return "held" if held else "MISSED"
