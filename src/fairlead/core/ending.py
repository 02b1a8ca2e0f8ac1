"""How a terminating instance leaves: drained, let go by the balancer, told to stop, killed if it will not, cleared.

One that fairlead does not run has left when the balancer has let go.

In: one terminating instance, its service's delays, and now. Out: the next step, if it is time for one. The law: SIGTERM
is sent only after the balancer has let go (a server cuts connections it has not answered when it stops), and only once.
"""

from __future__ import annotations

from fairlead.core.observed import Instance
from fairlead.core.plan import Action, Deregister, Drain, End, Kill, Stop
from fairlead.core.processes import Outcome

UNKNOWN_PATIENCE = 5.0
"""Seconds to wait for a silent balancer before an instance whose process is gone is taken out all the same."""


def next_step(
    instance: Instance, now: float, *, deregistration_delay: float, stop_timeout: float, balancer_known: bool
) -> tuple[Action | None, float | None]:
    """The action that is due, and the time (monotonic seconds) at which another will be, if time alone brings it."""
    record = instance.record
    gone = record.runs and (instance.process is None or not instance.process.alive)
    if record.deregistered_at is None:
        return _leave(instance, now, deregistration_delay, gone=gone, balancer_known=balancer_known)
    if not record.runs:
        return End(instance=record.id, outcome=Outcome(), reason=record.why), None
    if gone:
        outcome = (instance.process.outcome if instance.process else None) or Outcome()
        return End(instance=record.id, outcome=outcome, reason=record.why), None
    if record.stopping_at is None:
        if instance.process and instance.process.frozen:
            return Kill(instance=record.id, reason="it is frozen and cannot obey SIGTERM"), None
        return Stop(instance=record.id, reason=record.why), None
    deadline = record.stopping_at + stop_timeout
    if now >= deadline:
        return Kill(instance=record.id, reason=f"still there {stop_timeout:g} s after SIGTERM (stop_timeout)"), None
    return None, deadline


def _leave(
    instance: Instance, now: float, delay: float, *, gone: bool, balancer_known: bool
) -> tuple[Action | None, float | None]:
    """Still registered: wait for its requests to finish, but no longer than the deregistration delay."""
    record, target = instance.record, instance.target
    if not record.serves:
        return Deregister(instance=record.id, reason="it serves no requests"), None
    if not balancer_known:
        return _leave_unseen(instance, now, min(delay, UNKNOWN_PATIENCE) if gone else delay)
    if not gone and instance.process and instance.process.frozen:
        # The kernel then resets its connections, and the balancer sends the GETs inside to others (haproxy.md 5.4).
        return Kill(instance=record.id, reason="it is frozen: requests inside it cannot finish"), None
    if gone:
        return Deregister(instance=record.id, reason="its process is gone"), None
    if target is None:
        return Deregister(instance=record.id, reason="the balancer does not have it"), None
    if target.mode != "draining":
        return Drain(instance=record.id, reason="it is terminating, and still gets requests"), None
    if target.sessions == 0:
        return Deregister(instance=record.id, reason="no request is left inside it"), None
    deadline = (record.terminating_at or now) + delay
    if now >= deadline:
        return Deregister(instance=record.id, reason=f"the deregistration delay of {delay:g} s is over"), None
    return None, deadline


def _leave_unseen(instance: Instance, now: float, delay: float) -> tuple[Action | None, float | None]:
    """The balancer is silent: what is inside is unknown, but nobody gets longer than the delay."""
    deadline = (instance.record.terminating_at or now) + delay
    if now >= deadline:
        why = f"the balancer has been silent for its deregistration delay of {delay:g} s"
        return Deregister(instance=instance.record.id, reason=why), None
    return None, deadline
