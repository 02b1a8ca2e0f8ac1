"""The status as a table for people: the contract of `status --json`, with explanations, comes in; lines come out, and
what to do next.

Pure: the time and the use of colour are arguments. Columns are as wide as they must be; a reason gets a line of its
own, since it is a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fairlead.cli.output import cell, duration, not_enforced, paint

HEALTH = {"healthy": "green", "unhealthy": "red", "initial": "yellow", "draining": "yellow", "unused": "dim"}
HEADINGS = ("INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "PID", "ADDRESS")
HEALTH_COLUMN = HEADINGS.index("HEALTH")


def table(answer: dict[str, Any], now: datetime, *, colour: bool) -> list[str]:
    """Its lines. answer: the status contract, with explanations."""
    lines = [line for stack in answer["stacks"] for line in _stack(stack, now, colour)]
    for node in answer["balancer"]["nodes"]:
        lines.append(f"balancer: HAProxy {cell(node['version'])}, {_pid(node)}, {cell(node['state'])}")
        if node.get("problem"):
            lines.append(f"  {cell(node['problem'])}")
    daemon = answer["daemon"]
    lines.append(f"daemon: fairlead {cell(daemon['version'])}, {_pid(daemon)}" if daemon else "daemon: none")
    if daemon and not daemon.get("recording", True):
        lines.append("  the disk is full: healing goes on, events and decisions are not recorded")
    return lines


def _is_open(address: str) -> bool:
    """Whether others than this machine reach it."""
    return bool(address) and not address.startswith("127.") and address != "::1"


def next_useful(answer: dict[str, Any]) -> tuple[str, ...]:
    """Commands that are useful now."""
    if not answer["stacks"]:
        return ("fairlead up PATH",)
    if all(_healthy(stack) for stack in answer["stacks"]):
        return ("fairlead check", "fairlead logs --follow", "fairlead down")
    return ("fairlead events", "fairlead logs")


def _stack(stack: dict[str, Any], now: datetime, colour: bool) -> Iterator[str]:
    yield f"{paint(cell(stack['name']), 'bold', on=colour)}  (engine {cell(stack['engine'])})"
    for listener in stack["listeners"]:
        address = str(listener.get("address") or "")
        others = f", also for other machines ({cell(address)})" if _is_open(address) else ""
        yield f"  {cell(listener['url'])}  {cell(listener['protocol'])}{others}"
        if why := listener.get("explanation"):
            yield f"    {paint('closed', 'red', on=colour)}: {cell(why)}"
    for service in stack["services"]:
        yield from _service(service, now, colour)
    if jobs := stack.get("jobs"):
        yield f"  jobs: {cell(jobs)}  (`fairlead jobs` shows their runs)"
    for alarm in stack.get("alarms") or ():
        yield f"  {paint('alarm', 'red', on=colour)}: {cell(alarm['text'])}"
    for line in not_enforced(stack.get("unenforced") or (), stack["engine"]):
        yield f"  {line}"
    yield ""


def _service(service: dict[str, Any], now: datetime, colour: bool) -> Iterator[str]:
    instances = service["instances"]
    yield f"  {paint(cell(service['name']), 'bold', on=colour)}  {_release(service)}, {_size(service)}"
    # Why it has not as many as it should: what it waits for.
    if why := service.get("explanation"):
        yield f"    {cell(why)}"
    if not instances:
        return
    rows = [_row(instance, now) for instance in instances]
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    yield f"    {_line(HEADINGS, widths, '')}"
    for row, instance in zip(rows, instances, strict=True):
        yield f"    {_line(row, widths, HEALTH.get(instance['health'], '') if colour else '')}"
        why = ": ".join(cell(instance[key]) for key in ("reason", "description") if instance[key])
        for line in (why, cell(instance.get("explanation") or ""), _marks(instance)):
            if line:
                yield f"      {line}"


def _release(service: dict[str, Any]) -> str:
    worker = "" if service.get("serves", True) else "worker, "
    return worker + ("no release" if service["release"] is None else f"release {cell(service['release'])}")


def _size(service: dict[str, Any]) -> str:
    """`3 of 4 healthy (4, set by hand; the file says 2)`."""
    ready = sum(one["health"] == "healthy" and one["state"] == "in_service" for one in service["instances"])
    healthy = "healthy" if service.get("serves", True) else "running"
    desired, declared = service["desired"], service.get("declared")
    if declared is not None and declared != desired and service["release"] is not None:
        limits = f"{cell(desired)}, set by hand; the file says {cell(declared)}"
    else:
        limits = f"min {cell(service['min'])}, max {cell(service['max'])}"
    return f"{ready} of {cell(desired)} {healthy} ({limits})"


def _marks(instance: dict[str, Any]) -> str:
    """What was done to it by hand, and what is to come of it."""
    marks = []
    if instance.get("drained"):
        marks.append("drained by hand: it gets no new request")
    if instance.get("protected"):
        marks.append("protected from scale-in")
    if condemned := instance.get("condemned"):
        marks.append(f"to be replaced: {cell(condemned)}" if isinstance(condemned, str) else "to be replaced")
    return "; ".join(marks)


def _row(instance: dict[str, Any], now: datetime) -> tuple[str, ...]:
    def shown(key: str) -> str:
        return "-" if instance[key] in (None, "") else cell(instance[key])

    described = map(shown, ("id", "state", "health", "release", "zone"))
    return (*described, _uptime(instance["started_at"], now), shown("pid"), shown("address"))


def _line(row: tuple[str, ...], widths: list[int], health_colour: str) -> str:
    cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
    if health_colour:
        cells[HEALTH_COLUMN] = paint(cells[HEALTH_COLUMN], health_colour, on=True)
    return "  ".join(cells).rstrip()


def _uptime(started_at: str | None, now: datetime) -> str:
    try:
        return duration((now - datetime.fromisoformat(str(started_at))).total_seconds())
    except (ValueError, TypeError):
        return "-"


def _pid(of: dict[str, Any]) -> str:
    return "no process" if of["pid"] is None else f"pid {cell(of['pid'])}"


def _healthy(stack: dict[str, Any]) -> bool:
    return all(
        sum(instance["health"] == "healthy" for instance in service["instances"]) >= service["desired"]
        for service in stack["services"]
    )
