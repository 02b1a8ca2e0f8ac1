"""What an `up` would change, in words: empty when it would change nothing.

Places in the file and its path do not count: moving a line is not a change.
"""

from __future__ import annotations

from dataclasses import fields

from fairlead.core.desired import Revision
from fairlead.core.model import Service

_IN_THE_RELEASE = {"name", "program", "source", "python", "environment"}
"""Fields of a service that show as a new release; differences of the others are named one by one."""


def differences(before: Revision | None, after: Revision) -> tuple[str, ...]:
    """One line for each thing that differs, in the order of the file."""
    if before is None:
        return (f"stack {after.stack.name} is new",)
    lines: list[str] = []
    old = {service.name: service for service in before.stack.services}
    for service in after.stack.services:
        if service.name not in old:
            lines.append(f"service {service.name} is new, {service.desired} instances")
            continue
        was, becomes = before.releases[service.name].number, after.releases[service.name].number
        if was != becomes:
            lines.append(f"{service.name}: release {was} -> {becomes}")
        lines += _settings(old[service.name], service)
    kept = {service.name for service in after.stack.services}
    lines += [f"service {name} is gone" for name in old if name not in kept]
    if before.stack.listeners != after.stack.listeners:
        was_at = ", ".join(listener.url for listener in before.stack.listeners) or "none"
        now_at = ", ".join(listener.url for listener in after.stack.listeners) or "none"
        if was_at == now_at:
            lines.append("listeners forward elsewhere")
        else:
            lines.append(f"listeners: {was_at} -> {now_at}")
    if before.stack.zones != after.stack.zones:
        lines.append(f"zones: {len(before.stack.zones)} -> {len(after.stack.zones)}")
    return tuple(lines)


def _settings(before: Service, after: Service) -> list[str]:
    lines = []
    if before.desired != after.desired:
        lines.append(f"{after.name}: instances {before.desired} -> {after.desired}")
    for field in fields(Service):
        if field.name in _IN_THE_RELEASE | {"desired", "minimum", "maximum"}:
            continue
        if getattr(before, field.name) != getattr(after, field.name):
            lines.append(f"{after.name}: {field.name} changed")
    return lines
