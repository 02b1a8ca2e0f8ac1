"""Targets that fairlead routes to and does not run (`targets:`): one for each address of the file, no more and no less.

In: the service, its instances that are there, the number of the next one, and now. Out: who is enlisted and who leaves,
with reasons. The law: an address that stays in the file is never touched; nobody is replaced for being unhealthy, since
nobody here could start another.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core.census import in_place
from fairlead.core.health import first_checks
from fairlead.core.model import Service, Targets
from fairlead.core.observed import Instance
from fairlead.core.plan import Action, Enlist, Retire


def decide(
    service: Service, instances: Sequence[Instance], next_number: int, boot: str, now: float
) -> tuple[list[Action], float | None]:
    """Actions, and, while health checks have not judged every target yet, when they will have (monotonic seconds)."""
    assert isinstance(service.program, Targets)
    wanted = service.program.addresses
    staying = [one for one in instances if one.record.state != "terminating"]
    listed = {one.record.address: one for one in staying if not one.record.runs}
    missing = [address for address in wanted if address not in listed]
    actions: list[Action] = []
    actions += (
        Enlist(
            service=service.name,
            instance=f"{service.name}-{next_number + step}",
            number=next_number + step,
            address=address,
            reason=f"the file lists {address}",
        )
        for step, address in enumerate(missing)
    )
    judging = [one for address, one in listed.items() if address in wanted and not _judged(service, one, boot, now)]
    if not missing and not judging:
        # Add before remove: those that are new have been judged by now.
        actions += [_leave(one) for one in staying if one.record.runs or one.record.address not in wanted]
    due = [one.record.launched_at + first_checks(service.health_check) for one in judging]
    return actions, min(due, default=None)


def _judged(service: Service, instance: Instance, boot: str, now: float) -> bool:
    """It serves, or it has had time enough to pass a check (one of another boot has)."""
    return (
        in_place(instance)
        or instance.record.boot != boot
        or now - instance.record.launched_at >= first_checks(service.health_check)
    )


def _leave(instance: Instance) -> Retire:
    if instance.record.runs:
        return Retire(instance=instance.record.id, reason="its service lists addresses now, and runs nothing")
    return Retire(instance=instance.record.id, reason=f"{instance.record.address} is no longer in the file")
