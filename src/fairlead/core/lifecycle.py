"""The life of an instance: one table.

                  admit                  retire                end
      pending -----------> in_service -----------> terminating ----> ended
         |  |                |    ^                    ^  |
         |  |           warm |    | admit              |  | deregister, stop (each once, in this order)
         |  |                v    |                    |  |
         |  +---- warm ----> warm  ------ retire ------+--+
         +------------------- retire ------------------+

pending: launched; the balancer gives it no request yet. warm: it passed its first check, and waits in the warm pool
without requests, until it is needed. in_service: it passed its first check. terminating: it gets no new request; first
the balancer lets go of it, then its program is told to stop, then it is gone. ended: nothing of it is left but its log.
An event that the table lacks raises and changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fairlead.core.observed import InstanceRecord, State
from fairlead.core.processes import Outcome

Event = Literal["admit", "warm", "retire", "deregister", "stop", "end"]

TABLE: dict[tuple[State, Event], State] = {
    ("pending", "admit"): "in_service",
    ("pending", "warm"): "warm",
    ("pending", "retire"): "terminating",
    ("warm", "admit"): "in_service",
    ("warm", "retire"): "terminating",
    ("in_service", "warm"): "warm",
    ("in_service", "retire"): "terminating",
    ("terminating", "deregister"): "terminating",
    ("terminating", "stop"): "terminating",
    ("terminating", "end"): "ended",
}


class ImpossibleEvent(ValueError):
    """The table has no such step: a defect of the caller, never of the world."""


def advance(
    record: InstanceRecord,
    event: Event,
    now: float,
    *,
    why: str = "",
    outcome: Outcome | None = None,
    failed_start: bool = False,
) -> InstanceRecord:
    """`record` after `event` at `now` (monotonic seconds). ImpossibleEvent when the table lacks the step, or when a
    step that happens once would happen again."""
    state = TABLE.get((record.state, event))
    if state is None:
        raise ImpossibleEvent(f"{record.id} is {record.state}: it cannot {event}")
    match event:
        case "admit":
            return replace(record, state=state, in_service_at=now, pooled=False)
        case "warm":
            return replace(record, state=state, pooled=True, warm_at=now)
        case "retire":
            return replace(record, state=state, terminating_at=now, why=why, failed_start=failed_start)
        case "deregister" if record.deregistered_at is None:
            return replace(record, state=state, deregistered_at=now)
        case "stop" if record.stopping_at is None and record.deregistered_at is not None:
            return replace(record, state=state, stopping_at=now)
        case "end":
            return replace(record, state=state, ended_at=now, outcome=outcome)
    raise ImpossibleEvent(f"{record.id} cannot {event} now: it happens once, and after the balancer let go of it")
