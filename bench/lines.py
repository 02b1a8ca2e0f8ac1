"""What the access log takes: bytes on the disk by a million requests, as written and put away, and the time of putting
away. A real HAProxy writes the lines of requests as people make them. All of them come from 127.0.0.1 within seconds,
and the answers have one length: logs of a whole day become less small, by a quarter or so.
"""

from __future__ import annotations

import gzip
import os
import time
from dataclasses import dataclass

from bench import asked
from bench.balancer import balancing
from bench.compare import wrk
from bench.machine import CannotMeasure, cpu_seconds, free_port, note
from bench.rules import a_file, some_targets
from fairlead.core.accesslog import generation_of, segment_of
from fairlead.haproxy.sealing import Limits, look

MILLION = 1e6

LENGTH = 4
"""Times as long as one measurement of another kind: some 100,000 lines are needed."""


@dataclass(frozen=True)
class Written:
    """What HAProxy wrote: lines, bytes, and its CPU seconds meanwhile."""

    lines: int
    size: int
    cpu: float


@dataclass(frozen=True)
class Sealed:
    """What became of it: bytes, and seconds of the clock and of CPU."""

    size: int
    took: float
    cpu: float


def measure(base: str, seconds: float) -> None:
    """Print the table. base: a folder, made; there are no bars."""
    os.makedirs(base)
    note("seeing: lines of the access log")
    with some_targets(f"{base}/targets", 2) as targets:
        port = free_port()
        file = a_file(targets, {"port": port, "default": {"forward": "web"}})
        with balancing(f"{base}/f{port}", file, log=True) as balanced:
            url = f"http://127.0.0.1:{port}/"
            script = asked.script(f"{base}/asked.lua", asked.requests())
            before = cpu_seconds(balanced.pids())
            count = wrk("fairlead", url, LENGTH * seconds, script=script).count
            written = _written(balanced.log_folder, cpu_seconds(balanced.pids()) - before)
    # Those that were under way when wrk ended are there, too.
    if written.lines < count:
        raise CannotMeasure(f"{count} requests left {written.lines} lines")
    _table(written, _sealed(balanced.log_folder, written.lines))


def _written(folder: str, cpu: float) -> Written:
    [name] = [name for name in os.listdir(folder) if generation_of(name)]
    lines = size = 0
    with open(f"{folder}/{name}", "rb") as log:
        while block := log.read(1 << 20):
            lines, size = lines + block.count(b"\n"), size + len(block)
    return Written(lines, size, cpu)


def _sealed(folder: str, lines: int) -> Sealed:
    """Put away what a generation that has ended left. CannotMeasure: a line is missing."""
    began, cpu = time.perf_counter(), time.process_time()
    look(folder, living=(), newest=max(filter(None, map(generation_of, os.listdir(folder)))), now=time.time())
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = there = 0
    for name in os.listdir(folder):
        if segment_of(name) is None:
            raise CannotMeasure(f"{name} was not put away")
        size += os.stat(f"{folder}/{name}").st_size
        with gzip.open(f"{folder}/{name}") as segment:
            while block := segment.read(1 << 20):
                there += block.count(b"\n")
    if there != lines:
        raise CannotMeasure(f"of {lines} lines {there} were put away")
    return Sealed(size, took, cpu)


def _table(written: Written, sealed: Sealed) -> None:
    lines, limits = written.lines, Limits()
    segment, million = limits.live / written.size, MILLION / lines
    print(f"the access log on disk: {lines:,} requests, {asked.KINDS:,} of them different, of one client address")
    print(f"  {'':20} {'bytes a line':>12} {'a million requests':>19}")
    for name, size in (("as written", written.size), ("put away, compressed", sealed.size)):
        print(f"  {name:20} {size / lines:12.0f} {size * million / 1e6:16.0f} MB")
    print(
        f"  {written.size / sealed.size:.1f} times smaller; {limits.total / 2**30:g} GiB, the most that a stack's log "
        f"takes, hold {limits.total / (sealed.size * million):.1f} million requests"
    )
    took, cpu = sealed.took * segment, sealed.cpu * segment
    print(
        f"  putting {limits.live >> 20} MiB away: {took:.2f} s, {cpu:.2f} s of CPU; "
        f"a million requests: {sealed.cpu * million:.1f} s of CPU, where HAProxy takes {written.cpu * million:.0f}\n"
    )
