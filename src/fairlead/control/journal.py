"""What happened and why, kept and told: events for people, decisions with what they saw.

Keeping them must never stop healing: when the disk is full, the journal says so once on stderr and goes on telling the
ones who listen.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter

from fairlead.control.clock import Clock
from fairlead.core.desired import StackRecord
from fairlead.core.observed import Observed
from fairlead.core.plan import Plan
from fairlead.errors import StoreError
from fairlead.store.database import Store

log = logging.getLogger("fairlead")

Progress = Callable[[dict[str, Any]], None]
"""Takes {"text": one line for people, "stack": name, "service": name or "", "instance": id or "", "kind": the event's
kind}."""

_STACK_RECORD: TypeAdapter[StackRecord] = TypeAdapter(StackRecord)
_OBSERVED: TypeAdapter[Observed] = TypeAdapter(Observed)
_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


class Journal:
    """One for the daemon. `follow` lets a running command see the events of its stack."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._followers: dict[str, list[Progress]] = {}
        self._recording = True

    def event(self, stack: str, kind: str, text: str, *, service: str = "", instance: str = "") -> None:
        """Keep one event and tell those who follow the stack. `kind` is one of docs/reference/events.md."""
        log.info("%s: %s: %s", stack or "daemon", kind, text)
        self._keep(lambda: self._store.add_event(self._clock.wall(), stack, service, instance, kind, text))
        self._tell(stack, kind, text, service, instance)

    def say(self, stack: str, text: str, *, service: str = "") -> None:
        """Tell those who follow the stack, and keep nothing: a step of work under way."""
        self._tell(stack, "step", text, service, "")

    def decision(
        self, wanted: StackRecord, observed: Observed, plan: Plan, now: float, *, scaling: object = None
    ) -> None:
        """Keep a plan that is not empty, with the snapshot it judged; scaling: what else a scaling decision saw.
        Thousands are kept, of stacks that are gone too, and copied when the schema changes: nothing secret is in
        them."""
        more = f',"scaling":{json.dumps(scaling)}' if scaling is not None else ""
        snapshot = (
            f'{{"now":{now!r},"wanted":{_STACK_RECORD.dump_json(wanted.without_secrets()).decode()},'
            f'"observed":{_OBSERVED.dump_json(observed).decode()}{more}}}'
        )
        chosen = [{"action": type(action).__name__, **_fields(action)} for action in plan.actions]
        text = _ACTIONS.dump_json(chosen).decode()
        self._keep(lambda: self._store.add_decision(self._clock.wall(), wanted.name, snapshot, text))

    @contextmanager
    def follow(self, stack: str, progress: Progress) -> Iterator[None]:
        """`progress` gets each event of `stack` until the block ends."""
        self._followers.setdefault(stack, []).append(progress)
        try:
            yield
        finally:
            self._followers[stack].remove(progress)
            if not self._followers[stack]:
                del self._followers[stack]

    def _tell(self, stack: str, kind: str, text: str, service: str, instance: str) -> None:
        for tell in self._followers.get(stack, ()):
            tell({"stack": stack, "text": text, "service": service, "instance": instance, "kind": kind})

    def _keep(self, write: Callable[[], object]) -> None:
        try:
            write()
        except StoreError as error:
            if self._recording:
                log.error("events are no longer recorded: %s", error)
            self._recording = False
        else:
            self._recording = True


_ACTIONS: TypeAdapter[list[dict[str, Any]]] = TypeAdapter(list[dict[str, Any]])


def _fields(action: object) -> dict[str, Any]:
    return {name: getattr(action, name) for name in action.__slots__}  # type: ignore[attr-defined]
