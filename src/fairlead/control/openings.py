"""`fairlead instance open`: one instance reached alone, on a loopback port of its own, by who has the token.

A change of what is recorded, like every operation; the stack's loop then has the balancer listen there. The law: the
token is told once and never kept, only its digest; an opening ends with its time, its instance, or the machine's boot.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fairlead.control.clock import Clock
from fairlead.control.journal import Journal
from fairlead.control.stackloop import StackLoop
from fairlead.core.desired import StackRecord
from fairlead.core.observed import InstanceRecord, Observed, Opened
from fairlead.errors import BalancerError, NotFound, UsageError
from fairlead.haproxy.openings import PARAMETER
from fairlead.store.database import Store

LONGEST = 7 * 86400.0
"""Seconds."""

PATIENCE = 15.0
"""Seconds for the balancer to listen there."""


class Openings:
    """Of one daemon."""

    def __init__(self, store: Store, journal: Journal, clock: Clock, loop_for: Callable[[str], StackLoop]) -> None:
        self._store, self._journal, self._clock, self._loop_for = store, journal, clock, loop_for

    async def open(self, record: StackRecord, instance: InstanceRecord, seconds: float) -> dict[str, Any]:
        """See `Supervisor.open_instance`."""
        if not instance.serves:
            raise UsageError(f"{instance.id} takes no requests", f"{instance.service} is a worker (`port: none`)")
        if instance.state == "terminating":
            raise UsageError(f"{instance.id} cannot be opened", "it is terminating")
        if not 1 <= seconds <= LONGEST:
            raise UsageError(f"{instance.id} cannot be open for {seconds:g} s", "from a second to 7 days are possible")
        token, now = secrets.token_urlsafe(24), self._clock.now()
        before = self._present(instance)
        until = _later(self._clock.wall(), seconds)
        opened = Opened(
            port=before.port if before else _free_port(),
            digest=hashlib.sha256(token.encode()).hexdigest(),
            boot=self._clock.boot,
            until=now + seconds,
            until_at=until,
        )
        where = f"127.0.0.1:{opened.port}"
        text = f"{instance.id} can be reached alone on {where} until {until}"
        self._save(replace(instance, opened=opened), "opened", text)
        await self._store.durable()
        loop = self._loop_for(record.name)
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.until(lambda _, observed: "open" if opened.digest in _listens(observed, instance.id) else "")
        except TimeoutError:
            why = loop.applier.refused or "the balancer did not take it over in time"
            with suppress(NotFound):
                self._withdraw(self._live(record.name, instance.id))
            what = f"{instance.id} could not be opened"
            raise BalancerError(what, why, "Try again; `fairlead events` says more.") from None
        return {
            "url": f"http://{where}/?{PARAMETER}={token}",
            "port": opened.port,
            "until": until,
            "text": f"{instance.id} can be reached alone until {until}",
        }

    async def close(self, record: StackRecord, instance: InstanceRecord) -> str:
        """See `Supervisor.close_instance`."""
        if self._present(instance) is None:
            return f"{instance.id} is not open"
        self._withdraw(instance)
        loop = self._loop_for(record.name)
        with suppress(TimeoutError, NotFound):  # it is recorded, and will be done as soon as the balancer answers
            async with asyncio.timeout(PATIENCE):
                await loop.until(lambda _, observed: "closed" if not _listens(observed, instance.id) else "")
        return f"{instance.id} can be reached through its listeners only"

    def expire(self) -> None:
        """Record the end of those whose time is over, once."""
        for instance in self._store.all_live():
            if instance.opened is not None and self._present(instance) is None:
                why = f"{instance.id} can no longer be reached alone: its time is over"
                self._save(replace(instance, opened=None), "closed", why)

    def _withdraw(self, instance: InstanceRecord) -> None:
        self._save(replace(instance, opened=None), "closed", f"{instance.id} can no longer be reached alone")

    def _present(self, instance: InstanceRecord) -> Opened | None:
        """Its opening, unless that has ended."""
        opened = instance.opened
        return opened if opened is not None and opened.holds(self._clock.boot, self._clock.now()) else None

    def _live(self, stack: str, instance: str) -> InstanceRecord:
        for found in self._store.instances(stack):
            if found.id == instance:
                return found
        raise NotFound(f"{instance} has ended")

    def _save(self, changed: InstanceRecord, kind: str, text: str) -> None:
        self._store.save_instance(changed)
        self._journal.event(changed.stack, kind, text, service=changed.service, instance=changed.id)
        self._loop_for(changed.stack).wake()


def _listens(observed: Observed, instance: str) -> set[str]:
    """The digests of the tokens for which the balancer lets in; NotFound when the instance has ended instead."""
    if not any(seen.record.id == instance for seen in observed.instances):
        raise NotFound(f"{instance} has ended")
    listeners = observed.routing.listeners if observed.routing else ()
    return {one.opening.digest for one in listeners if one.opening is not None and one.opening.instance == instance}


def _free_port() -> int:
    """One of loopback that nobody listens on now; the balancer binds it in a moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _later(wall: str, seconds: float) -> str:
    """The wall clock so many seconds after `wall`, to the second."""
    moment = datetime.fromisoformat(wall) + timedelta(seconds=seconds)
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")
