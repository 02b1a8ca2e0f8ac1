"""Which metrics of the user's own are to be read, and how: derived from what is wanted, never stored.

A command runs once for each reading, in its service's serving release and environment, as the user that instances run
as; like a job, but nothing of it is recorded.
"""

from __future__ import annotations

from fairlead.core.desired import StackRecord
from fairlead.core.launch import Surroundings, start_once
from fairlead.core.layout import Layout
from fairlead.core.readings import Gauge
from fairlead.core.running import serving_revision


def gauges_of(
    wanted: StackRecord, layout: Layout, around: Surroundings, user: tuple[int, int] | None
) -> tuple[Gauge, ...]:
    """Of one stack; none before anything serves, and while it goes down."""
    revision = serving_revision(wanted)
    if revision is None:
        return ()
    found = []
    for service in revision.stack.services:
        for metric in service.custom_metrics:
            environment, folder = {}, "/"
            release = revision.releases.get(service.name)
            if metric.argv is not None and release is not None:
                start = start_once(release, metric.argv, wanted.name, f"{service.name}.{metric.name}", layout, around)
                environment, folder = dict(start.environment), start.working_folder
                # That name would make it a stray of the engine's, which is ended.
                environment.pop("FAIRLEAD_RUN", None)
                environment["FAIRLEAD_HOME"] = layout.home
            found.append(
                Gauge(
                    stack=wanted.name,
                    service=service.name,
                    metric=metric.name,
                    argv=metric.argv,
                    environment=environment,
                    folder=folder,
                    user=user,
                    url=metric.url,
                    field=metric.field,
                    series=metric.series,
                    every=metric.every,
                )
            )
    return tuple(found)
