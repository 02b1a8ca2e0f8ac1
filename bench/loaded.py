"""What the daemon costs at full load: fairlead as users run it, with 2 and 10 instances, while wrk asks for as much as
the machine can do. The daemon reads all counts each second, compresses the access log, and writes metrics meanwhile.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass

from bench.asked import AGENT, PATH
from bench.compare import CONNECTIONS, Sample, wrk
from bench.fairlead import Fairlead, a_home
from bench.machine import (
    CannotMeasure,
    Memory,
    cpu_seconds,
    folder,
    free_port,
    loop_seconds,
    memory_of,
    note,
    program,
    programs,
)
from bench.proxies import STACK
from fairlead.core.layout import layout_of

SIZES = (2, 10)

LENGTH = 5
"""Times as long as one measurement of another kind: the log has to be put away several times meanwhile."""


@dataclass(frozen=True)
class Load:
    """How it was: seconds, and CPU seconds of the daemon (and, of these, of its event loop) and of HAProxy."""

    instances: int
    sample: Sample
    took: float
    daemon: float
    loop: float
    haproxy: float
    memory: Memory


def measure(seconds: float) -> None:
    """Print the table; there are no bars."""
    programs("nginx", "wrk")
    with folder() as base, a_home() as fairlead:
        source = shutil.copytree(STACK, f"{base}/source")
        port = free_port()
        note("seeing: fairlead up")
        fairlead.up(source, {"PORT": str(port), "NGINX": program("nginx")})
        loads = [_loaded(fairlead, port, size, LENGTH * seconds) for size in SIZES]
    print(
        f"the daemon at full load (access log, metrics): wrk, {CONNECTIONS} kept connections, {os.cpu_count()} cores "
        f"shared by all,\n{LENGTH * seconds:g} s each; CPU of one core"
    )
    print(
        f"  {'instances':>9} {'requests/s':>11} {'daemon':>9} {'its loop':>9} {'its threads':>11} {'HAProxy':>9}"
        f" {'RSS':>9} {'PSS':>9}"
    )
    for load in loads:
        shares = (load.daemon, load.loop, load.daemon - load.loop, load.haproxy)
        daemon, loop, threads, haproxy = (100 * used / load.took for used in shares)
        print(
            f"  {load.instances:9} {load.sample.rate:11,.0f} {daemon:7.1f} % {loop:7.1f} % {threads:9.1f} %"
            f" {haproxy:7.1f} % {load.memory.rss:6.1f} MB {load.memory.pss:6.1f} MB"
        )
    print()


def _loaded(fairlead: Fairlead, port: int, size: int, seconds: float) -> Load:
    note(f"seeing: full load on {size} instances")
    fairlead.scale("web", size)
    status = fairlead.status()
    daemon, haproxy = int(status["daemon"]["pid"]), [int(node["pid"]) for node in status["balancer"]["nodes"]]
    url, header = f"http://127.0.0.1:{port}{PATH}", f"User-Agent: {AGENT}"
    wrk("fairlead", url, 1.0, header)
    before, began = (cpu_seconds([daemon]), loop_seconds(daemon), cpu_seconds(haproxy)), time.monotonic()
    sample = wrk("fairlead", url, seconds, header)
    took = time.monotonic() - began
    after = cpu_seconds([daemon]), loop_seconds(daemon), cpu_seconds(haproxy)
    _see(fairlead)
    used, loop, balancer = (now - then for now, then in zip(after, before, strict=True))
    return Load(size, sample, took, used, loop, balancer, memory_of(daemon))


def _see(fairlead: Fairlead) -> None:
    """CannotMeasure: the daemon did not do what it is measured at."""
    [stack] = fairlead.status()["stacks"]
    if not all(service["figures"]["requests_per_second"] for service in stack["services"]):
        raise CannotMeasure(f"the daemon has counted no requests: {stack['services']}"[:500])
    folder = layout_of(fairlead.home, os.getuid()).access_logs(stack["name"])
    if not any(entry.stat().st_size for entry in os.scandir(folder)):
        raise CannotMeasure(f"no request was logged in {folder}")
