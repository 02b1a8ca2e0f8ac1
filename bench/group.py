"""A stack of one service that may scale, as its users write it: `scaled/serve.py` behind fairlead's balancer."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.fairlead import Fairlead, a_home
from bench.machine import folder, free_port

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scaled", "serve.py")

STACK, SERVICE = "scaled", "web"

RESOURCES = {"cpu": 0.1, "memory": "64MB"}
"""What 100% is."""


@dataclass(frozen=True)
class Group:
    fairlead: Fairlead
    source: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self, **sizes: object) -> None:
        """`fairlead up` with `instances` or `scaling`, as in the file."""
        web: dict[str, object] = {
            "command": "python3 serve.py ${instance.port}",
            "resources": RESOURCES,
            "health_check": {"path": "/health"},
        }
        file = {
            "name": STACK,
            "services": {SERVICE: web | sizes},
            "load_balancer": {"listeners": [{"port": self.port, "default": {"forward": SERVICE}}]},
        }
        with open(f"{self.source}/fairlead.yaml", "w") as opened:
            json.dump(file, opened)
        self.fairlead.up(self.source)

    def service(self) -> dict[str, Any]:
        """As in `fairlead status --json`."""
        service: dict[str, Any] = self.fairlead.client.status(STACK)["stacks"][0]["services"][0]
        return service

    def token(self) -> str:
        """What makes the balancer say which instance answered."""
        return str(self.fairlead.client.check(STACK)["token"])

    def last_event(self) -> int:
        """Its number."""
        return int(self.fairlead.client.events(STACK, limit=1)[-1]["id"])

    def first(self, kind: str, after: int) -> dict[str, Any] | None:
        """The first event of a kind behind that number."""
        return next((one for one in self.fairlead.client.events(STACK, after=after) if one["kind"] == kind), None)


def moment(event: Mapping[str, Any]) -> float:
    """When it was, seconds since 1970."""
    return datetime.fromisoformat(event["at"]).timestamp()


@contextlib.contextmanager
def a_group(**sizes: object) -> Iterator[Group]:
    """One that is up, in a home of its own."""
    with folder() as base, a_home() as fairlead:
        source = f"{base}/source"
        os.mkdir(source)
        shutil.copy(APP, source)
        group = Group(fairlead, source, free_port())
        group.up(**sizes)
        yield group
