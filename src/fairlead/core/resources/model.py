"""What the user asked for beside the services: caches, databases and buckets, as values.

One that has a `url` exists already: it is used, and never started, stopped or deleted. The others are servers that
fairlead runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Engine = Literal["redis", "postgres", "mysql", "s3"]
"""What is spoken: whichever program serves it."""

ATTRIBUTES = ("url", "host", "port", "user", "password", "name", "endpoint", "region")
"""What `${databases.ID.…}` may ask for; `addresses` says what each means."""

ATTRIBUTES_OF = {"caches": ATTRIBUTES[:6], "databases": ATTRIBUTES[:6], "buckets": ATTRIBUTES}
"""Those of each section of the file."""

SECRET_ATTRIBUTES = ("url", "password")
"""Those of them that hold a password, and may not be seen in `ps`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A Redis."""

    id: str
    url: str | None = None
    """Of one that exists already; may hold `${secrets.NAME}`."""
    memory: int | None = None
    """Bytes for its data. None: as much as there is."""
    eviction: str = "allkeys-lru"
    """What goes when the memory is full: Redis' own words (`maxmemory-policy`)."""
    persist: bool = False
    """Whether its data outlives its process."""
    kind: Literal["cache"] = "cache"
    engine: Literal["redis"] = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A PostgreSQL or MySQL, with one database and its owner."""

    id: str
    engine: Literal["postgres", "mysql"]
    url: str | None = None
    name: str = ""
    """Of the database."""
    user: str = ""
    """Its owner."""
    version: str | None = None
    """A major version to insist on."""
    kind: Literal["database"] = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A place for objects, as in S3."""

    id: str
    url: str | None = None
    """`s3://NAME?region=…&endpoint=…`, of one that exists already."""
    name: str = ""
    kind: Literal["bucket"] = "bucket"
    engine: Literal["s3"] = "s3"


Resource = Cache | Database | Bucket

SECTIONS = {"cache": "caches", "database": "databases", "bucket": "buckets"}
"""Where each kind stands in the file."""


def key_of(resource: Resource) -> str:
    """Its place in the file: `databases.store`."""
    return f"{SECTIONS[resource.kind]}.{resource.id}"


def run_here(resources: Iterable[Resource]) -> tuple[Resource, ...]:
    """Those that fairlead runs."""
    return tuple(one for one in resources if one.url is None)


def settings_of(resource: Resource) -> str:
    """What a running server of it was started with and would have to be started again to change."""
    if isinstance(resource, Cache):
        memory = "no limit" if resource.memory is None else f"{resource.memory} bytes"
        kept = "kept" if resource.persist else "not kept"
        return f"memory {memory}, eviction {resource.eviction}, {kept} on the disk"
    return ""


def identity_of(resource: Resource) -> str:
    """What its data were made for. Another identity under the same id would be other data, so a change is refused."""
    if isinstance(resource, Database):
        return f"{resource.engine} database {resource.name} of {resource.user}"
    return resource.engine if isinstance(resource, Cache) else f"bucket {resource.name}"
