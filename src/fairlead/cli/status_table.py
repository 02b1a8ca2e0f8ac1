"""The status as a table for people: the contract of `status --json`, with explanations, comes in; lines go to stdout,
hints to stderr.

Columns are as wide as they must be; a reason gets a line of its own, since it is a sentence.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from fairlead.cli.output import cell, coloured, data, duration, next_commands, note, paint

HEALTH = {"healthy": "green", "unhealthy": "red", "initial": "yellow", "draining": "yellow", "unused": "dim"}
HEADINGS = ("INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "PID", "ADDRESS")
HEALTH_COLUMN = HEADINGS.index("HEALTH")


def draw(answer: dict[str, Any], home: str) -> None:
    """Print it. `answer` is the status contract."""
    colour, now = coloured(sys.stdout), datetime.now(UTC)
    for stack in answer["stacks"]:
        _draw_stack(stack, now, colour)
    for node in answer["balancer"]["nodes"]:
        data(f"balancer: HAProxy {cell(node['version'])}, {_pid(node)}, {cell(node['state'])}")
    daemon = answer["daemon"]
    data(f"daemon: fairlead {cell(daemon['version'])}, {_pid(daemon)}" if daemon else "daemon: none")
    if not answer["stacks"]:
        note(f"no stack is up in {cell(home)}")
        next_commands("fairlead up PATH")
    elif all(_healthy(stack) for stack in answer["stacks"]):
        next_commands("fairlead check", "fairlead logs --follow", "fairlead down")
    else:
        next_commands("fairlead events", "fairlead logs")


def _draw_stack(stack: dict[str, Any], now: datetime, colour: bool) -> None:
    data(f"{paint(cell(stack['name']), 'bold', on=colour)}  (engine {cell(stack['engine'])})")
    for listener in stack["listeners"]:
        data(f"  {cell(listener['url'])}  {cell(listener['protocol'])}")
        if why := listener.get("explanation"):
            data(f"    {paint('closed', 'red', on=colour)}: {cell(why)}")
    for service in stack["services"]:
        _draw_service(service, now, colour)
    data("")


def _draw_service(service: dict[str, Any], now: datetime, colour: bool) -> None:
    instances = service["instances"]
    serving = sum(instance["health"] == "healthy" and instance["state"] == "in_service" for instance in instances)
    release = "no release" if service["release"] is None else f"release {cell(service['release'])}"
    size = f"{serving} of {cell(service['desired'])} healthy"
    limits = f"min {cell(service['min'])}, max {cell(service['max'])}"
    data(f"  {paint(cell(service['name']), 'bold', on=colour)}  {release}, {size} ({limits})")
    if not instances:
        return
    rows = [_row(instance, now) for instance in instances]
    widths = [max(len(row[column]) for row in (HEADINGS, *rows)) for column in range(len(HEADINGS))]
    data(f"    {_line(HEADINGS, widths, '')}")
    for row, instance in zip(rows, instances, strict=True):
        data(f"    {_line(row, widths, HEALTH.get(instance['health'], '') if colour else '')}")
        why = ": ".join(cell(instance[key]) for key in ("reason", "description") if instance[key])
        for line in (why, cell(instance.get("explanation") or "")):
            if line:
                data(f"      {line}")


def _row(instance: dict[str, Any], now: datetime) -> tuple[str, ...]:
    def shown(key: str) -> str:
        return "-" if instance[key] is None else cell(instance[key])

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
