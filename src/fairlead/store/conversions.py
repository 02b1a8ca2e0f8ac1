"""SQL functions that migrations call: a stored JSON text as one schema wrote it -> as the next one reads it. Pure.

`migrations/NNNN.sql` names them as `to_NNNN`. Never edit one that was released.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any


def install(connection: sqlite3.Connection) -> None:
    """Make them known to `connection`."""
    connection.create_function("to_0003", 1, to_0003, deterministic=True)


def to_0003(stored: str) -> str:
    """Listeners with actions (before: the name of a service), rules with conditions (before: paths or hosts), and the
    attributes of a target group in one value of their own. Wherever in `stored` they are: a stack, a decision's
    snapshot, its plan."""
    return json.dumps(json.loads(stored, object_hook=_as_of_0003), separators=(",", ":"))


def _as_of_0003(fields: dict[str, Any]) -> dict[str, Any]:
    """One object, those inside it being done. Decisions may be 256 MB, so what is as it should be is not copied."""
    if {"port", "default", "rules"} <= fields.keys():
        fields["default"] = _forward(fields["default"])
        fields["rules"] = [_rule(rule) for rule in fields["rules"]]
    if {"name", "health_check", "deregistration_delay", "retry"} <= fields.keys():
        attributes = {name: fields.pop(name) for name in ("deregistration_delay", "retry")}
        fields["target_group" if "program" in fields else "attributes"] = attributes
    return fields


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    if "forward" not in rule:
        return rule
    when = {"paths": rule.get("paths", []), "hosts": rule.get("hosts", [])}
    return {"when": when, "then": _forward(rule["forward"])}


def _forward(service: Any) -> Any:
    return {"kind": "forward", "weights": [[service, 1]]} if isinstance(service, str) else service
