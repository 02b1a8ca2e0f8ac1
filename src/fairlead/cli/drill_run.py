"""How a drill looks while it runs and after it: a line for each step on stderr, and a table.

In: what `drill.measuring` tells. Ctrl-C ends the present step, as do SIGTERM and a terminal that is closed (SIGHUP);
what was changed is undone as always, or the policies would stay suspended with nobody to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from fairlead.cli import output
from fairlead.cli.amounts import UNKNOWN, percent, span
from fairlead.drill.capacity import Capacity, Limits, Step, faults, late
from fairlead.drill.measuring import Asked, Listening, measure
from fairlead.drill.subject import Daemon, Subject
from fairlead.drill.verdict import figure
from fairlead.errors import FairleadError

HEADINGS = ("OFFERED", "ANSWERED", "SECONDS", "P50", "P95", "P99", "FAILED", "CPU", "")


def run(client: Daemon, subject: Subject, asked: Asked) -> tuple[Capacity, bool]:
    """Do the drill; what was found, and whether it was stopped."""
    return asyncio.run(_run(client, subject, asked))


async def _run(client: Daemon, subject: Subject, asked: Asked) -> tuple[Capacity, bool]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        ending.append(signal.SIGHUP)
    for number in ending:
        loop.add_signal_handler(number, _stop, stop)
    try:
        return await measure(client, subject, asked, Listening(line=_line, step=_step), stop), stop.is_set()
    except FairleadError:
        if stop.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in ending:
            loop.remove_signal_handler(number)


def _stop(stop: asyncio.Event) -> None:
    again = stop.is_set()
    stop.set()
    if not again:
        _line("stopping; what was changed is put back")


def _line(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal is closed: there is more to do than to say
        output.note(output.cell(text))


def _step(step: Step, limits: Limits) -> None:
    _line(
        f"  {figure(step.rate):>6}/s for {step.seconds:4.1f} s: p50 {span(step.p50)}, p95 {span(step.p95)}, "
        f"p99 {span(step.p99)}, {verdict(step, limits)}"
    )


def verdict(step: Step, limits: Limits) -> str:
    """What is wrong with a step, in a few words."""
    wrong = "; ".join(faults(step, limits)) or "good"
    return f"{wrong} (the generator was {span(step.lag)} late)" if late(step, limits) else wrong


def table(found: Capacity) -> list[str]:
    """Every step in the order of the rates."""
    steps = sorted(found.steps, key=lambda step: (step.rate, step.at))
    rows = [HEADINGS, *(_row(step, found) for step in steps)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def _row(step: Step, found: Capacity) -> tuple[str, ...]:
    reserved = found.cpu_reserved
    cpu = UNKNOWN if step.cpu is None or not reserved else percent(100 * step.cpu / reserved)
    return (
        f"{figure(step.rate)}/s",
        f"{figure(step.achieved(found.limits))}/s",
        f"{step.seconds:.1f}",
        span(step.p50),
        span(step.p95),
        span(step.p99),
        percent(100 * step.failed),
        cpu,
        verdict(step, found.limits),
    )
