"""`caches`, `databases` and `buckets`: what holds the data beside the services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.numbers import Size
from fairlead.spec.schema.texts import Line, Url

_USER = Line(r"[A-Za-z_][A-Za-z0-9_-]*", "letters, digits, _ and -, beginning with a letter", 63)

Eviction = Literal[
    "allkeys-lru",
    "noeviction",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


class Cache(Part):
    """A Redis that fairlead runs, or with `url` one that exists already and is only used."""

    engine: Literal["redis"] | None = None
    """What to run. Exactly one of `engine` and `url` is given."""
    url: Annotated[str, Url(("redis", "rediss"))] | None = None
    """One that exists already: it is used, and never started or deleted."""
    memory: Annotated[int, Size(1_000_000)] | None = None
    """The most memory for its data."""
    eviction: Eviction = "allkeys-lru"
    """What goes when the memory is full."""
    persist: bool = False
    """Whether its data outlives a restart."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.url is None and self.engine is None:
            yield Conflict(
                ("", "engine", "url"), "says nothing of what it is", "add `engine: redis`, or `url` of one that exists"
            )
        own = [name for name in ("engine", "memory", "eviction", "persist") if name in self.model_fields_set]
        if self.url is not None and own:
            reason = "cannot be set for a cache with `url`: fairlead only uses it"
            yield Conflict((own[0], "url"), reason, f"remove `{own[0]}` or `url`")


class Database(Part):
    """A PostgreSQL or MySQL that fairlead runs."""

    engine: Literal["postgres", "mysql"]
    """What to run."""
    name: Annotated[str, _USER] | None = None
    """The name of the database. Default: its id."""
    user: Annotated[str, _USER] | None = None
    """Its owner. Default: its id."""
    version: Annotated[str, Line(r"[0-9]{1,2}(\.[0-9]{1,2})?", "a major version such as 16")] | None = None
    """A major version to insist on."""


class Bucket(Part):
    """A place for objects, as in S3."""
