"""What a simulation cannot tell of a service, in sentences: nothing of the file is passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.core.model import Service
from fairlead.core.phrases import several, span
from fairlead.core.scaling.policies import CUSTOM
from fairlead.simulate.app import App


def is_simulated(metric: str) -> bool:
    """Whether the simulator knows what the metric of a policy would be."""
    return metric != "memory" and not metric.startswith(CUSTOM)


def notes_of(service: Service, app: App, failed_starts: int, unknown: int) -> tuple[str, ...]:
    """About this service, and how it went: failed_starts of it, unknown seconds of load."""
    return tuple(_notes(service, app, failed_starts, unknown))


def _notes(service: Service, app: App, failed_starts: int, unknown: int) -> Iterator[str]:
    scaling = service.scaling
    if scaling is None:
        yield f"{service.name} has a fixed size of {service.desired}: without `scaling:` nothing changes it"
    for policy in scaling.policies if scaling else ():
        if not is_simulated(policy.metric):
            what = "memory" if policy.metric == "memory" else "what a program of yours says"
            yield f"{policy.name} is left out, as if it were not in the file: {what} is not simulated"
    if scaling and scaling.policies and not any(is_simulated(policy.metric) for policy in scaling.policies):
        rest = "only its schedule changes its size" if scaling.schedule else "nothing changes its size"
        yield f"no policy of {service.name} is left: {rest}"
    if service.target_group.slow_start:
        yield "slow_start is not simulated: a new instance gets its full share at once"
    if service.max_memory is not None:
        yield "max_memory is not simulated"
    if failed_starts:
        grace = service.health_check.grace_period
        yield (
            f"{several(failed_starts, 'instance')} passed no check within the grace period of {span(grace)}: a start "
            f"takes {span(app.start_time)}; raise services.{service.name}.health_check.grace_period"
        )
    if unknown:
        yield f"of {span(unknown)} nobody knows what came: nothing is decided by these"
