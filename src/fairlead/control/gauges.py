"""Which metrics of the user's own are to be read, and how: derived from what is wanted, never stored.

A command runs once for each reading, in its service's serving release and environment, as the user that instances run
as; like a job, but nothing of it is recorded.
"""

from __future__ import annotations

from contextlib import suppress

from fairlead.aiokit.web import host_of
from fairlead.control.references import References
from fairlead.core.desired import StackRecord
from fairlead.core.launch import Surroundings, start_once
from fairlead.core.layout import Layout
from fairlead.core.model import Release
from fairlead.core.readings import Gauge
from fairlead.core.running import serving_revision
from fairlead.core.scaling.policies import CustomMetric
from fairlead.errors import FairleadError


def gauges_of(
    wanted: StackRecord,
    layout: Layout,
    around: Surroundings,
    user: tuple[int, int] | None,
    references: References,
) -> tuple[Gauge, ...]:
    """Of one stack; none before anything serves, and while it goes down. One that refers to what is not there is left
    out: it is unknown until it is."""
    revision = serving_revision(wanted)
    if revision is None:
        return ()
    found = []
    for service in revision.stack.services:
        release = revision.releases.get(service.name)
        for metric in service.custom_metrics:
            # Whatever is wrong with one, the others are read.
            with suppress(FairleadError):
                environment, folder = _surroundings(
                    wanted.name, service.name, metric, release, layout, around, references
                )
                url = references.filled(wanted.name, metric.url) if metric.url else None
                gauge = Gauge(
                    stack=wanted.name,
                    service=service.name,
                    metric=metric.name,
                    argv=metric.argv,
                    environment=environment,
                    folder=folder,
                    user=user,
                    url=url,
                    hides_host=host_of(url or "") != host_of(metric.url or ""),
                    field=metric.field,
                    series=metric.series,
                    every=metric.every,
                )
                found.append(gauge)
    return tuple(found)


def _surroundings(
    stack: str,
    service: str,
    metric: CustomMetric,
    release: Release | None,
    layout: Layout,
    around: Surroundings,
    references: References,
) -> tuple[dict[str, str], str]:
    """The environment and working folder of a metric's command; nothing for one that is read from a URL."""
    if metric.argv is None or release is None:
        return {}, "/"
    values = references.of_release(stack, release)
    start = start_once(release, metric.argv, stack, f"{service}.{metric.name}", layout, around, values)
    environment = dict(start.environment)
    # That name would make it a stray of the engine's, which is ended.
    environment.pop("FAIRLEAD_RUN", None)
    environment["FAIRLEAD_HOME"] = layout.home
    return environment, start.working_folder
