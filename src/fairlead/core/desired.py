"""What is wanted of a stack, as the store keeps it: a revision, and, while a deployment runs, the one to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from fairlead.core.interpolation import references
from fairlead.core.model import Release, Service, Stack
from fairlead.core.scaling.group import Group, kept, present


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A stack with the release that each of its services should run."""

    stack: Stack
    releases: Mapping[str, Release]
    replaced_below: Mapping[str, int] = field(default_factory=dict)
    """Service -> the number from which its instances count as wanted: `restart` replaces those below it, as if they
    were of another release."""

    def without_secrets(self) -> Revision:
        """See `StackRecord.without_secrets`."""
        stack = replace(
            self.stack,
            services=tuple(_without_values(one) for one in self.stack.services),
            alarms=tuple(replace(one, webhook=one.webhook and "") for one in self.stack.alarms),
            resources=tuple(replace(one, url=one.url and "") for one in self.stack.resources),
        )
        releases = {
            name: replace(one, environment=_named(one.environment), external=dict.fromkeys(one.external, ""))
            for name, one in self.releases.items()
        }
        return replace(self, stack=stack, releases=releases)


def _without_values(service: Service) -> Service:
    """Variables and metrics of the user's own by their names alone."""
    return replace(
        service,
        environment=_named(service.environment),
        external=dict.fromkeys(service.external, ""),
        custom_metrics=tuple(replace(one, argv=one.argv and (), url=one.url and "") for one in service.custom_metrics),
    )


def _named(variables: Mapping[str, str]) -> dict[str, str]:
    """The same names, and of each value only what it refers to, which says what the service waits for."""
    return {
        name: "".join(f"${{{'.'.join(parts)}}}" for parts in references(value)) for name, value in variables.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The act of moving a stack to a revision. It is over when `status` is not `in_progress`."""

    number: int
    status: Literal["in_progress", "successful", "failed"]
    boot: str
    began_at: float
    """Monotonic seconds of that boot."""
    started_at: str
    """Wall clock, ISO 8601 UTC; display only."""
    reason: str = ""
    """Why it failed, in words."""
    place: str = ""
    """The place in the file of the value that failed it, or ""."""
    detail: str = ""
    """The failed instance's last log lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A size set by hand. It holds until the file's own size is another than `declared`."""

    desired: int
    declared: int
    """What the file said when it was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRecord:
    """One row of the store.

    wanted: `up`, or `down` (its instances are being ended; then only releases, logs and events are left of it).
    previous: what a failed deployment goes back to; None on a first `up`, and when no deployment runs.
    """

    name: str
    wanted: Literal["up", "down"]
    desired: Revision
    previous: Revision | None
    deployment: Deployment | None
    check_token: str
    scaled: Mapping[str, Scaled] = field(default_factory=dict)
    """Service of a fixed size -> its size set by hand (`fairlead scale`)."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """Service with `scaling` -> what is kept of its group; until something changes its sizes there is nothing."""
    suspended: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Service -> its processes that are suspended (`core.suspension`)."""

    @property
    def under_way(self) -> Deployment | None:
        """The deployment that is not over yet."""
        running = self.deployment is not None and self.deployment.status == "in_progress"
        return self.deployment if running else None

    def by_hand(self) -> dict[str, Scaled]:
        """The sizes set by hand that hold: the others are of services whose size in the file has changed since, and are
        kept only for a deployment that goes back."""
        declared = {service.name: service.desired for service in self.desired.stack.services}
        return {name: size for name, size in self.scaled.items() if declared.get(name) == size.declared}

    def sized(self, service: Service) -> Service:
        """`service` as it should be now: with the sizes of its group, or the size set by hand, where there is one."""
        if service.scaling is not None:
            sizes = present(service.sizes, self.groups.get(service.name))
            if sizes == service.sizes:
                return service
            return replace(service, minimum=sizes.minimum, desired=sizes.desired, maximum=sizes.maximum)
        by_hand = self.scaled.get(service.name)
        if by_hand is None or by_hand.declared != service.desired:
            return service
        size = by_hand.desired
        return replace(service, minimum=size, desired=size, maximum=size)

    def kept_groups(self, boot: str) -> dict[str, Group]:
        """The groups of services that still have `scaling`, with what the file has changed of their sizes; the others,
        and what was before, are kept only for a deployment that goes back."""
        scaled = {service.name: service.sizes for service in self.desired.stack.services if service.scaling is not None}
        return {name: kept(scaled[name], group, boot) for name, group in self.groups.items() if name in scaled}

    def is_suspended(self, service: str, process: str) -> bool:
        """Whether a process of a service is suspended."""
        return process in self.suspended.get(service, ())

    def without_secrets(self) -> StackRecord:
        """The same for a diary: variables by their names and what they refer to, no webhook, no `url`, and not where
        custom metrics come from. No decision reads any of it."""
        return replace(
            self,
            desired=self.desired.without_secrets(),
            previous=self.previous.without_secrets() if self.previous else None,
        )
