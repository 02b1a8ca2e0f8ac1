"""The number of a metric of the user's own in what a program printed or a server answered. Pure.

The law: one finite number comes out; where an answer has none, or several, a ValueError says in words what was there.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

SHOWN = 120
"""Characters of what was there that a message repeats."""

MOST = 1e30
"""What is larger, on either side of zero, is not kept: the sum of an hour of it would not fit into a row."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def printed(text: str) -> float | None:
    """The last line that is a finite number; None: there is no such line."""
    for line in reversed(text.splitlines()):
        if _NUMBER.fullmatch(line.strip()) and is_fit(value := float(line)):
            return value
    return None


def is_fit(value: float) -> bool:
    """Whether it is finite, and not beyond what can be kept."""
    return abs(value) <= MOST


def in_json(body: bytes, path: str) -> float:
    """The number at the dotted `path`: keys, and places in lists from 0."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"the answer is no JSON: {shown(body.decode(errors='replace'))}") from problem
    way: list[str] = []
    for step in path.split("."):
        found = _below(found, step, ".".join(way) or "the answer")
        way.append(step)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{path} is no number: {shown(json.dumps(found))}")
    try:
        value = float(found)
    except OverflowError:
        value = math.inf
    if not is_fit(value):
        raise ValueError(f"{path} is no finite number up to {MOST:g}")
    return value


def _below(found: Any, step: str, where: str) -> Any:
    if isinstance(found, dict):
        if step in found:
            return found[step]
        raise ValueError(f"{where} has no {step}: it has {shown(', '.join(map(str, found))) or 'nothing'}")
    if isinstance(found, list):
        if step.isascii() and step.isdigit() and int(step[:9]) < len(found):
            return found[int(step)]
        raise ValueError(f"{where} has no {step}: it is a list of {len(found)}")
    raise ValueError(f"{where} has no {step}: it is {shown(json.dumps(found))}")


def in_prometheus(body: bytes, series: str) -> float:
    """The value of `series`, a name with perhaps some labels, in a Prometheus text."""
    # The library is imported with the first answer that needs it.
    from prometheus_client.parser import text_string_to_metric_families

    def samples(text: str) -> list[Any]:
        try:
            return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        except (ValueError, KeyError, IndexError, AttributeError) as problem:
            raise ValueError(f"the answer is no Prometheus text: {shown(text)}") from problem

    (asked,) = samples(f"{series} 0\n")
    text = body.decode(errors="replace")
    # Only its own lines are read: an answer may hold thousands of others.
    own = re.compile(rf"{re.escape(asked.name)}[{{ \t]")
    lines = [line for line in text.splitlines() if own.match(line)]
    found = [one for one in samples("\n".join(lines) + "\n") if asked.labels.items() <= one.labels.items()]
    if len(found) > 1:
        few = "; ".join(_series(one.name, one.labels) for one in found[:5])
        raise ValueError(f"{series} is {len(found)} series, name the labels of one: {few}")
    if not found:
        others = f": there is {shown('; '.join(lines))}" if lines else ""
        raise ValueError(f"there is no series {series}{others}")
    if not is_fit(found[0].value):
        raise ValueError(f"{series} is {found[0].value}, which is no finite number up to {MOST:g}")
    return float(found[0].value)


def _series(name: str, labels: dict[str, str]) -> str:
    inside = ", ".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name


def shown(text: str) -> str:
    """The end of it, printable and on one line."""
    words = " ".join("".join(each if each.isprintable() else " " for each in text[-4 * SHOWN :]).split())
    return words if len(words) <= SHOWN else f"...{words[-SHOWN:]}"
