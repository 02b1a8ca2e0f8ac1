"""The instance that a drill is about: chosen, opened alone, and left in peace by the scaling policies meanwhile.

In: the daemon's status and what the user asked for. Out: a `Subject`, and while the `opened` block lasts a URL with the
header that opens it. The law: however the block ends, the instance is closed again and the policies act again, unless
they had been suspended before; what cannot be undone is told. The token is in no text and in no file.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from fairlead.core.suspension import ALARM_NOTIFICATION
from fairlead.errors import FairleadError, NotFound, UsageError

HEADER = "X-Fairlead-Open"

LONGER = 120.0
"""Seconds that the instance is open beyond the drill's own, in case nobody closes it."""

_TOOK = re.compile(r"in service after (\d+(?:\.\d+)?) s")


class Daemon(Protocol):
    """What a drill asks of the daemon: `api.client.Client`."""

    def status(self, stack: str | None = None) -> dict[str, Any]: ...
    def open_instance(self, stack: str, instance: str, seconds: float) -> dict[str, Any]: ...
    def close_instance(self, stack: str, instance: str) -> dict[str, Any]: ...
    def suspend(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]: ...
    def resume(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]: ...
    def events(self, stack: str | None = None, limit: int = 100) -> list[dict[str, Any]]: ...
    def metrics(
        self, stack: str, *, service: str | None = None, since: str | None = None, period: int | None = None
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One instance as the status showed it. cpu_reserved: processors. suspends: whether
    its policies are to be suspended. was_open: whether somebody had opened it."""

    stack: str
    service: str
    instance: str
    pid: int | None
    cpu_reserved: float | None
    suspends: bool
    was_open: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """Where the instance is reached alone, and with which headers."""

    base: str
    headers: Mapping[str, str]


def chosen(stack: Mapping[str, Any], service: str | None, instance: str | None) -> Subject:
    """The instance that is meant: the one named, else a healthy one of the service, else of the only one that serves.

    NotFound: there is none of that name. UsageError: several services could be meant, or it takes no requests now."""
    services = [one for one in stack["services"] if service is None or one["name"] == service]
    if service and not services:
        listed = ", ".join(one["name"] for one in stack["services"])
        raise NotFound(f"there is no service '{service}'", f"stack '{stack['name']}' has {listed}", "fairlead status")
    if instance:
        services = [one for one in services if any(each["id"] == instance for each in one["instances"])]
        if not services:
            whose = f"service '{service}'" if service else f"stack '{stack['name']}'"
            raise NotFound(f"there is no instance '{instance}'", f"{whose} has none of that name", "fairlead status")
    serving = [one for one in services if one.get("serves", True)]
    if not serving:
        why = "it is a worker (`port: none`)" if services else "no service of the stack serves"
        raise UsageError(f"no requests can be sent to {service or instance or stack['name']}", why)
    if len(serving) > 1:
        names = ", ".join(one["name"] for one in serving)
        raise UsageError("it is not clear which service is meant", f"there are {names}", "Name one of them.")
    return _subject(stack["name"], serving[0], instance)


def _subject(stack: str, service: Mapping[str, Any], instance: str | None) -> Subject:
    name = service["name"]
    for one in service["instances"]:
        if instance and one["id"] == instance and one["state"] != "in_service":
            raise UsageError(f"{instance} takes no requests now", f"it is {one['state']}", "fairlead status")
    fit = [
        one for one in service["instances"] if one["id"] == instance or (not instance and one["health"] == "healthy")
    ]
    if not fit:
        raise UsageError(f"no instance of {name} is healthy", "", "fairlead explain")
    reserved = (service.get("resources") or {}).get("cpu")
    return Subject(
        stack=stack,
        service=name,
        instance=fit[0]["id"],
        pid=fit[0]["pid"],
        cpu_reserved=float(reserved) if reserved else None,
        was_open=bool(fit[0].get("opened")),
        suspends=service.get("scaling") is not None and ALARM_NOTIFICATION not in service.get("suspended", ()),
    )


def changed(subject: Subject, stack: Mapping[str, Any]) -> str:
    """What became of the instance since it was chosen, or "" when it is the same one."""
    for service in stack["services"]:
        for one in service["instances"]:
            if (service["name"], one["id"]) == (subject.service, subject.instance):
                if one["pid"] != subject.pid:
                    return f"{subject.instance} was started anew"
                return "" if one["state"] == "in_service" else f"{subject.instance} is {one['state']} now"
    return f"{subject.instance} has ended"


def cpu_targets(stack: Mapping[str, Any], service: str) -> tuple[float, ...]:
    """The cpu that the policies of a service keep, as shares of what is reserved."""
    groups = [one.get("scaling") or {} for one in stack["services"] if one["name"] == service]
    policies = [policy for group in groups for policy in group.get("policies", ())]
    return tuple(one["level"] / 100 for one in policies if (one["metric"], one["kind"]) == ("cpu", "target"))


def start_time(events: Sequence[Mapping[str, Any]], subject: Subject) -> float | None:
    """Seconds from its launch until it was in service; those of the newest other instance of its service, when its own
    are not kept any more."""
    took = {}
    for event in events:
        if (
            event["kind"] == "in_service"
            and event["service"] == subject.service
            and (found := _TOOK.search(event["text"]))
        ):
            took[event["instance"]] = float(found[1])
    return took.get(subject.instance, next(reversed(took.values()), None))


@asynccontextmanager
async def opened(daemon: Daemon, subject: Subject, seconds: float, tell: Callable[[str], None]) -> AsyncIterator[Door]:
    """Open the instance, and suspend its service's policies, while the block lasts."""
    stack, service, processes = subject.stack, subject.service, [ALARM_NOTIFICATION]
    undo: list[tuple[str, Callable[[], object]]] = []
    try:
        if subject.suspends:
            undo.append(
                (f"fairlead resume {service} {ALARM_NOTIFICATION}", lambda: daemon.resume(stack, service, processes))
            )
            await _ask(lambda: daemon.suspend(stack, service, processes))
            tell(f"the scaling policies of {service} are suspended meanwhile")
        undo.append(
            (f"fairlead instance close {subject.instance}", lambda: daemon.close_instance(stack, subject.instance))
        )
        answer = await _ask(lambda: daemon.open_instance(stack, subject.instance, seconds + LONGER))
        if subject.was_open:
            tell(f"{subject.instance} was open already: its URL of before works no longer")
        url = urlsplit(str(answer["url"]))
        yield Door(f"http://{url.netloc}", {HEADER: url.query.partition("=")[2]})
    finally:
        for by_hand, act in reversed(undo):
            try:
                await _ask(act)
            except NotFound:
                continue  # it has ended, and its opening with it
            except FairleadError as error:
                tell(f"left undone ({error.sentence}); do it by hand: {by_hand} --stack {stack}")


async def _ask(question: Callable[[], Any]) -> Any:
    """One request to the daemon, beside the event loop."""
    return await asyncio.to_thread(question)
