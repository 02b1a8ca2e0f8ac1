"""A daemon as a drill sees it: it remembers what it was asked, and fails as told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fairlead.errors import FairleadError, NotFound

TOKEN = "a-secret-token"


def a_service(name: str = "web", instances: Sequence[dict[str, Any]] = (), **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "serves": True, "resources": {"cpu": 0.5, "memory": None}, "scaling": None, "suspended": [],
        "instances": list(instances) or [an_instance(f"{name}-1")], **changes,
    }  # fmt: skip


def an_instance(id: str = "web-1", **changes: Any) -> dict[str, Any]:
    return {"id": id, "pid": 4711, "state": "in_service", "health": "healthy", **changes}


def a_stack(*services: dict[str, Any]) -> dict[str, Any]:
    return {"name": "shop", "services": list(services) or [a_service()]}


@dataclass
class FakeDaemon:
    """url: where the instance is reached. refuses: names of methods that fail. gone: the instance has ended."""

    url: str = "http://127.0.0.1:1"
    stack: dict[str, Any] = field(default_factory=a_stack)
    refuses: set[str] = field(default_factory=set)
    gone: bool = False
    asked: list[str] = field(default_factory=list)

    def _note(self, name: str, *words: str) -> None:
        self.asked.append(" ".join([name, *words]))
        if name in self.refuses:
            raise FairleadError(f"{name} failed", "told to")

    def status(self, stack: str | None = None) -> dict[str, Any]:
        self._note("status")
        return {"stacks": [self.stack]}

    def open_instance(self, stack: str, instance: str, seconds: float) -> dict[str, Any]:
        self._note("open", stack, instance)
        return {"url": f"{self.url}/?fairlead-open={TOKEN}"}

    def close_instance(self, stack: str, instance: str) -> dict[str, Any]:
        self._note("close", stack, instance)
        if self.gone:
            raise NotFound(f"there is no instance '{instance}'")
        return {}

    def suspend(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]:
        self._note("suspend", stack, service, *processes)
        return {}

    def resume(self, stack: str, service: str, processes: Sequence[str]) -> dict[str, Any]:
        self._note("resume", stack, service, *processes)
        return {}

    def events(self, stack: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        self._note("events")
        return [in_service("web-1", 1.2)]

    def metrics(
        self, stack: str, *, service: str | None = None, since: str | None = None, period: int | None = None
    ) -> dict[str, Any]:
        """The seconds from two before until the next, in each of which the instance used a tenth of what it reserves."""
        self._note("metrics")
        start = int(datetime.now(UTC).timestamp()) - 2
        return {
            "start": datetime.fromtimestamp(start, UTC).isoformat(), "period": 1,
            "series": [
                {"service": "web", "zone": None, "target": None,
                 "metrics": [{"name": "RequestCount", "statistic": "Sum", "values": [0, 0, 0, 0]}]},
                {"service": "web", "zone": "a", "target": "web-1",
                 "metrics": [{"name": "CPUUtilization", "statistic": "Average", "values": [10, 10, 10, 10]}]},
            ],
        }  # fmt: skip

    def changes(self) -> list[str]:
        """What was asked of it that changes something."""
        return [line for line in self.asked if line.split()[0] in ("open", "close", "suspend", "resume")]


def in_service(instance: str, took: float, service: str = "web") -> dict[str, Any]:
    text = f"{instance} in service after {took} s: it passed its first health check"
    return {"kind": "in_service", "service": service, "instance": instance, "text": text}
