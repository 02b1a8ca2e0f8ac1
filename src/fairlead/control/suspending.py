"""Processes of a service, suspended and resumed by hand (`fairlead suspend`, `fairlead resume`).

A change of what is recorded, made at once; every decision from then on knows it. What was held back meanwhile is done
when it is resumed, as far as it is still wanted; times of a schedule that passed are not made up for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fairlead.control.journal import Journal
from fairlead.core.desired import StackRecord
from fairlead.core.model import Service
from fairlead.core.phrases import listed
from fairlead.core.suspension import PROCESSES, named
from fairlead.errors import UsageError
from fairlead.store.database import Store


class Suspending:
    """Of one daemon. wake: makes a stack's loop look now."""

    def __init__(self, store: Store, journal: Journal, wake: Callable[[str], None]) -> None:
        self._store, self._journal, self._wake = store, journal, wake

    def change(self, record: StackRecord, service: Service, processes: Sequence[str], *, on: bool) -> dict[str, Any]:
        """Suspend (on) or resume processes; none named means all. UsageError: one is no process."""
        try:
            meant = named(processes)
        except ValueError as error:
            known = f"the processes are {listed(tuple(PROCESSES))}"
            raise UsageError(str(error), known, f"fairlead {'suspend' if on else 'resume'} --help") from None
        before = record.suspended.get(service.name, ())
        after = tuple(name for name in PROCESSES if (on if name in meant else name in before))
        if after != before:
            suspended = {name: held for name, held in record.suspended.items() if name != service.name}
            if after:
                suspended[service.name] = after
            self._store.save_stack(replace(record, suspended=suspended))
            moved = tuple(name for name in PROCESSES if (name in before) != (name in after))
            text = f"{service.name}: {listed(moved)} {'suspended' if on else 'resumed'} by hand"
            self._journal.event(record.name, "suspended" if on else "resumed", text, service=service.name)
            self._wake(record.name)
        return {"stack": record.name, "service": service.name, "suspended": list(after), "text": _told(service, after)}


def _told(service: Service, suspended: Sequence[str]) -> str:
    if not suspended:
        return f"nothing of {service.name} is suspended"
    means = "; ".join(f"{name}: {PROCESSES[name]}" for name in suspended)
    return f"suspended for {service.name}: {means}"
