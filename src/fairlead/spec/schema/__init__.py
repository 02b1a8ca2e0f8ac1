"""The shape of a fairlead.yaml: every key of the annotated file, with its meaning, unit and default.

`File` is the whole; its parts are grouped by noun in the modules beside this one. What is here is what a fairlead
file may say at all; what this version can do of it is decided by `support`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fairlead.spec.schema.base import Part
from fairlead.spec.schema.data import Bucket, Cache, Database
from fairlead.spec.schema.kinds import holding
from fairlead.spec.schema.load_balancer import LoadBalancer
from fairlead.spec.schema.network import Network
from fairlead.spec.schema.operations import Alarm, Aws
from fairlead.spec.schema.services import Id, Job, Service
from fairlead.spec.schema.texts import Name

MOST_SERVICES = 50


class File(Part):
    """A stack: everything that one file declares."""

    name: Annotated[str, Name()]
    """Unique on this machine."""
    engine: Literal["local", "vpc", "swarm"] = "local"
    """Where instances run."""
    services: Annotated[dict[Id, Service], holding(1, MOST_SERVICES)]
    jobs: dict[Id, Job] = Field(default_factory=dict)
    load_balancer: LoadBalancer | None = None
    """Default: one HTTP listener on 127.0.0.1:8080 that forwards to the only service with a port."""
    caches: dict[Id, Cache] = Field(default_factory=dict)
    databases: dict[Id, Database] = Field(default_factory=dict)
    buckets: dict[Id, Bucket] = Field(default_factory=dict)
    network: Network | None = None
    alarms: tuple[Alarm, ...] = ()
    aws: Aws | None = None
