"""The shape of a fairlead.yaml: every key of the annotated file, with its meaning, unit and default.

`File` is the whole; its parts are grouped by noun in the modules beside this one. What is here is what a fairlead
file may say at all; what this version can do of it is decided by `support`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fairlead.spec.schema.base import Part
from fairlead.spec.schema.data import Bucket, Cache, Database
from fairlead.spec.schema.kinds import Holding
from fairlead.spec.schema.load_balancer import LoadBalancer
from fairlead.spec.schema.network import Network
from fairlead.spec.schema.operations import Alarm, Aws
from fairlead.spec.schema.services import Id, Job, Service
from fairlead.spec.schema.texts import Name

MOST_SERVICES = 50
MOST_JOBS = 100
MOST_ALARMS = 50


class File(Part):
    """A stack: everything that one file declares."""

    name: Annotated[str, Name()]
    """What the stack is called; unique on this machine."""
    engine: Literal["local", "vpc", "swarm"] = "local"
    """Where instances run: processes of this machine, processes in a rehearsed VPC, or Docker Swarm."""
    services: Annotated[dict[Id, Service], Holding(1, MOST_SERVICES)]
    """Programs, each with its size, health check and deployment rules."""
    jobs: Annotated[dict[Id, Job], Holding(0, MOST_JOBS)] = Field(default_factory=dict)
    """Commands that run on a schedule, never two of one job at once."""
    load_balancer: LoadBalancer | None = None
    """Where requests come in. Default: one listener on 127.0.0.1:8080 that forwards to the only service with a port."""
    caches: dict[Id, Cache] = Field(default_factory=dict)
    """Redis, each a server of its own."""
    databases: dict[Id, Database] = Field(default_factory=dict)
    """PostgreSQL or MySQL, each a server of its own with one database and its owner."""
    buckets: dict[Id, Bucket] = Field(default_factory=dict)
    """Places for objects, as in S3."""
    network: Network | None = None
    """What the engines vpc and aws build round the instances."""
    alarms: Annotated[tuple[Alarm, ...], Holding(0, MOST_ALARMS)] = ()
    """Who is told when something is wrong, and when it is well again."""
    aws: Aws | None = None
    """What only AWS needs."""
