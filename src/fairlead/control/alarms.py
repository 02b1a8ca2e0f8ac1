"""The alarms of all stacks: looked at in every cycle, and what they have to tell brought out, whatever it takes.

`evaluate` compares and writes; it awaits nothing and never keeps a loop from healing: when the store cannot be written
an alarm still fires, from memory. What is to be told is kept in the store until it was taken, one message after the
other for each alarm, and tried again after 1 s, then ever later up to 5 min, for a day of waiting; then it is given up,
and told so. A message may arrive twice when the daemon dies in the moment between the answer and its record; `id`
tells.
"""

from __future__ import annotations

import asyncio
import logging
import os.path
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from fairlead.aiokit.tasks import Tasks
from fairlead.aiokit.web import host_of, without_host
from fairlead.control.clock import Clock
from fairlead.control.delivery import Courier
from fairlead.control.journal import Journal
from fairlead.control.references import References
from fairlead.core import alarms as core
from fairlead.core.alarms import AlarmRecord, Delivery, Message
from fairlead.core.desired import StackRecord
from fairlead.core.health import TargetHealth
from fairlead.core.interpolation import references
from fairlead.core.observed import Observed
from fairlead.errors import FairleadError, StoreError
from fairlead.store.database import Store

log = logging.getLogger("fairlead")

CLOSE_GRACE = 2.0
"""Seconds that an attempt under way gets to end when the daemon leaves: what was taken is then not sent again."""

MOST_WAITING = 100
"""Messages that wait for one who cannot be told; of more the oldest is dropped."""

Key = tuple[str, str]
"""The stack, and the alarm's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a delivery that failed is tried again, in seconds."""

    first: float = 1.0
    longest: float = 300.0
    patience: float = 86400.0
    """Of waiting, altogether; then it is given up."""


class Alarms:
    """Of one daemon. `start` first, `close` last."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        courier: Courier,
        pace: Pace = Pace(),
    ) -> None:
        self._store, self._journal, self._clock = store, journal, clock
        self._courier, self._pace = courier, pace
        self._references = References(store)
        self._records: dict[Key, AlarmRecord] = {}
        """Those that are not at rest."""
        self._queues: dict[Key, deque[Delivery]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()
        self._tasks = Tasks("alarms", lambda name, error: log.error("%s ended", name, exc_info=error))

    def start(self, stacks: Iterable[str]) -> None:
        """Read what is remembered, and go on telling. stacks: those there are; others went down unseen."""
        self._records = {(record.stack, record.key): record for record in self._store.alarms()}
        for delivery in self._store.deliveries():
            self._enqueue(delivery)
        known = set(stacks)
        for record in list(self._records.values()):
            if record.stack not in known:
                self._forget(record, core.STACK_WENT_DOWN)

    async def close(self) -> None:
        """Let what is being sent come to its end; the rest is in the store."""
        self._leaving.set()
        if self._sending:
            await asyncio.wait(self._sending, timeout=CLOSE_GRACE)
        for stuck in await self._tasks.stop(CLOSE_GRACE):
            log.error("%s did not end within %g s", stuck, CLOSE_GRACE)

    def evaluate(
        self,
        wanted: StackRecord,
        observed: Observed,
        healths: Callable[[], Mapping[str, tuple[TargetHealth, str]]],
    ) -> None:
        """Look at the alarms of one stack. healths: asks for what `Observer.health` says."""
        stack = wanted.desired.stack
        folder = os.path.dirname(stack.path) or "/"
        down = wanted.wanted == "down"
        alarms = {} if down else {core.key_of(alarm): alarm for alarm in stack.alarms}
        for record in [one for one in self._records.values() if one.stack == wanted.name]:
            if record.key not in alarms:
                self._forget(record, core.STACK_WENT_DOWN if down else core.ALARM_REMOVED)
        if not alarms:
            return
        states = {one: "healthy" if health.serves else health.state for one, (health, _) in healths().items()}
        values = core.measure(wanted, observed, states)
        for key, alarm in alarms.items():
            rest = AlarmRecord(stack=wanted.name, key=key, alarm=alarm, folder=folder)
            before = self._records.get((wanted.name, key), rest)
            after, message = core.judge(
                replace(before, alarm=alarm, folder=folder),
                values[alarm.metric],
                now=self._clock.now(),
                boot=self._clock.boot,
                wall=self._clock.wall(),
            )
            if after != before:
                self._keep(after, message, forget=after == rest)

    def shown(self, stack: str) -> list[dict[str, str]]:
        """The alarms of a stack that fire: {"alarm", "metric", "since", "text"}. Who is told is not shown."""
        return [
            {
                "alarm": core.name_of(record.alarm),
                "metric": record.alarm.metric,
                "since": record.since,
                "text": f"{core.name_of(record.alarm)}, since {record.since}",
            }
            for record in self._records.values()
            if record.stack == stack and record.firing
        ]

    def _forget(self, record: AlarmRecord, why: str) -> None:
        self._keep(record, core.over(record, why, wall=self._clock.wall()), forget=True)

    def _keep(self, record: AlarmRecord, message: Message | None, *, forget: bool) -> None:
        """Remember, and tell what there is to tell: in one write, if it can be written."""
        if forget:
            self._records.pop((record.stack, record.key), None)
        else:
            self._records[record.stack, record.key] = record
        delivery = self._delivery(record, message) if message else None
        identity = 0
        try:
            identity = self._store.save_alarm(record, delivery, forget=forget)
        except StoreError as error:
            log.error("%s: an alarm goes on from memory: %s", record.stack, error)
        if message is None or delivery is None:
            return
        if message.state == "ALARM":
            self._journal.event(record.stack, "alarm_fired", message.text)
        else:
            self._journal.event(record.stack, "alarm_cleared", message.text)
        self._enqueue(replace(delivery, id=identity))

    def _delivery(self, record: AlarmRecord, message: Message) -> Delivery:
        alarm = record.alarm
        return Delivery(
            stack=record.stack,
            key=record.key,
            name=core.name_of(alarm),
            payload={
                "id": secrets.token_hex(8),
                "stack": record.stack,
                "alarm": core.name_of(alarm),
                "state": message.state,
                "metric": alarm.metric,
                "value": message.value,
                "threshold": alarm.level,
                "since": message.since,
                "at": message.at,
                "text": f"{record.stack}: {message.text}",
            },
            webhook=alarm.webhook,
            command=alarm.command,
            folder=record.folder,
        )

    def _enqueue(self, delivery: Delivery) -> None:
        key = (delivery.stack, delivery.key)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            queue.append(delivery)
            task = self._tasks.spawn(f"{delivery.name} of {delivery.stack}", self._send_all(key, queue))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            return
        queue.append(delivery)
        if len(queue) > MOST_WAITING:
            dropped = queue[1]  # the first is being sent
            del queue[1]
            self._give_up(dropped, f"{MOST_WAITING} later ones wait too")

    async def _send_all(self, key: Key, queue: deque[Delivery]) -> None:
        while queue and not self._leaving.is_set():
            if await self._send(queue[0]):
                queue.popleft()
        del self._queues[key]

    async def _send(self, delivery: Delivery) -> bool:
        """Until it was taken or is given up; False: the daemon leaves, and it is not done."""
        pause, told = self._pace.first, delivery.attempts > 0
        while not self._leaving.is_set():
            problem = await self._carry(delivery)
            if not problem:
                self._remove(delivery)
                return True
            if delivery.waited >= self._pace.patience:
                self._give_up(delivery, problem)
                return True
            if not told:
                self._tell("problem", delivery, f"{problem}; it is tried again")
                told = True
            delivery = replace(delivery, attempts=delivery.attempts + 1, waited=delivery.waited + pause)
            if delivery.id:
                with suppress(StoreError):
                    self._store.save_delivery(delivery)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
            pause = min(2 * pause, self._pace.longest)
        return False

    async def _carry(self, delivery: Delivery) -> str:
        """Try once; "" when it was taken. Secrets are put in for this moment only."""
        if delivery.webhook is None:
            return await self._courier.carry(delivery)
        try:
            webhook = self._references.filled(delivery.stack, delivery.webhook)
        except FairleadError as error:
            # Removed, or the vault's key is not there: it is tried again.
            return str(error)
        problem = await self._courier.carry(replace(delivery, webhook=webhook))
        # What the file does not show of its host is part of a secret.
        shown = host_of(webhook) == host_of(delivery.webhook)
        return problem if shown else without_host(problem, webhook, "its webhook")

    def _give_up(self, delivery: Delivery, why: str) -> None:
        self._remove(delivery)
        self._tell("alarm_undelivered", delivery, f"{why}; it is given up")

    def _remove(self, delivery: Delivery) -> None:
        if delivery.id:
            with suppress(StoreError):
                self._store.remove_delivery(delivery.id)

    def _tell(self, kind: Literal["problem", "alarm_undelivered"], delivery: Delivery, text: str) -> None:
        who = _name_of(delivery.webhook) if delivery.webhook else (delivery.command or ("?",))[0]
        state = delivery.payload["state"]
        self._journal.event(delivery.stack, kind, f"alarm {delivery.name} ({state}) does not reach {who}: {text}")


def _name_of(webhook: str) -> str:
    """Its host, which is no secret unless the file keeps it as one."""
    return "its webhook" if references(webhook) else host_of(webhook)
