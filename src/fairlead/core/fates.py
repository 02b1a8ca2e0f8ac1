"""What has become of an instance's process, as one snapshot shows it."""

from __future__ import annotations

from fairlead.core.observed import Instance, Observed
from fairlead.core.processes import Outcome

LAST_BOOT = "ended with the machine's last boot"


def is_gone(instance: Instance) -> bool:
    """Its process has ended, or it should have one and the engine knows of none."""
    if not instance.record.runs:
        return False
    if instance.process is None:
        return instance.record.state != "pending"
    return not instance.process.alive


def outcome_of(instance: Instance) -> Outcome:
    """How its process ended, as far as anybody knows."""
    return (instance.process.outcome if instance.process else None) or Outcome()


def of_another_boot(instance: Instance, observed: Observed) -> bool:
    """The machine has started again since: nothing of it is left, and its seconds say nothing now."""
    return bool(observed.boot) and instance.record.boot != observed.boot


def how_it_ended(instance: Instance, observed: Observed) -> str:
    """How an instance that is gone ended, in words."""
    if of_another_boot(instance, observed):
        return LAST_BOOT
    return str(outcome_of(instance))


def failed_to_start(instance: Instance, observed: Observed) -> bool:
    """It ended before its first passed check, and by itself: a restart of the machine says nothing of the program."""
    return instance.record.state == "pending" and is_gone(instance) and not of_another_boot(instance, observed)
