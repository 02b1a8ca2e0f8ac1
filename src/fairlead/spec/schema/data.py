"""`caches`, `databases` and `buckets`: what holds the data beside the services.

Each is a server that fairlead runs, or, with `url`, one that exists already and is only used. What depends on ids and
on who refers to them is judged in `spec.resources`.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fairlead.core.interpolation import SECRET
from fairlead.spec.problems import listed
from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import fail
from fairlead.spec.schema.numbers import Size
from fairlead.spec.schema.texts import Line, Url

LONGEST_NAME = 63
"""Characters of an identifier, as in PostgreSQL."""

LONGEST_MYSQL_USER = 32

_IDENTIFIER = Line(r"[A-Za-z_][A-Za-z0-9_-]*", "letters, digits, _ and -, beginning with a letter", LONGEST_NAME)

_ENGINES: dict[str, Literal["postgres", "mysql"]] = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
"""What speaks to an address that begins so."""

_BUCKET_KEYS = ("region", "endpoint")

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


def engine_of(url: str) -> Literal["postgres", "mysql"] | None:
    """What the database at `url` is; None when the URL does not tell, since it begins with a secret."""
    return _ENGINES.get(re.split(r"[+:]", url, maxsplit=1)[0])


@dataclass(frozen=True)
class BucketUrl(Url):
    """`s3://NAME?region=...&endpoint=...`, with the id and the secret of a key before the name if need be."""

    schemes: tuple[str, ...] = ("s3",)

    def judge(self, text: str, written: str) -> None:
        super().judge(text, written)
        parts = urllib.parse.urlsplit(text)
        if parts.port is not None or parts.path not in ("", "/") or parts.fragment:
            fail("must name a bucket alone, without a port or a path", "as in s3://photos?region=eu-central-1")
        name = parts.netloc.rpartition("@")[2]
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
            fail("must name a bucket: lower-case letters, digits, . and -, at most 63")
        given = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        if any(key not in _BUCKET_KEYS or len(values) > 1 for key, values in given.items()):
            fail(f"must hold nothing but {listed(_BUCKET_KEYS, 'and')} after the ?, each once")
        if "region" in given and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", given["region"][0]):
            fail("must name a region such as eu-central-1")
        (endpoint,) = urllib.parse.parse_qs(urllib.parse.urlsplit(written).query).get("endpoint", [""])
        if "endpoint" in given and not SECRET.match(endpoint):
            self._judge_endpoint(given["endpoint"][0])

    def _judge_endpoint(self, text: str) -> None:
        try:
            parts = urllib.parse.urlsplit(text)
            named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            fail("must give as `endpoint` the address of a server, beginning with http:// or https://")

    def form(self) -> str:
        return "s3://NAME?region=REGION&endpoint=URL"


_CACHE_URL = Url(("redis", "rediss"))
_DATABASE_URL = Url(tuple(_ENGINES), drivers=True)
_BUCKET_URL = BucketUrl()

URLS = {"caches": _CACHE_URL, "databases": _DATABASE_URL, "buckets": _BUCKET_URL}
"""How the `url` of each is read."""


def _used_only(part: Cache | Database, names: tuple[str, ...], kind: str) -> Iterator[Conflict]:
    """The keys of what fairlead runs, beside `url`."""
    for name in names:
        if name in part.model_fields_set:
            reason = f"cannot be set for a {kind} with `url`: fairlead only uses it"
            yield Conflict((name, "url"), reason, f"remove `{name}` or `url`")


class Cache(Part):
    """A Redis that fairlead runs, or with `url` one that exists already and is only used."""

    engine: Literal["redis"] | None = None
    """What to run. Exactly one of `engine` and `url` is given."""
    url: Annotated[str, _CACHE_URL] | None = None
    """One that exists already: it is used, and never started, stopped or deleted. It may hold `${secrets.NAME}`."""
    memory: Annotated[int, Size(1_000_000)] | None = None
    """The most memory for its data. Default: no limit."""
    eviction: Eviction = "allkeys-lru"
    """What goes when the memory is full."""
    persist: bool = False
    """Whether its data outlives a restart."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.url is not None:
            yield from _used_only(self, ("engine", "memory", "eviction", "persist"), "cache")
        elif self.engine is None:
            yield Conflict(
                ("", "engine", "url"), "says nothing of what it is", "add `engine: redis`, or `url` of one that exists"
            )


class Database(Part):
    """A PostgreSQL or MySQL that fairlead runs, or with `url` one that exists already and is only used."""

    engine: Literal["postgres", "mysql"] | None = None
    """What to run. Exactly one of `engine` and `url` is given; beside a `url` that begins with a secret it says what is
    there."""
    url: Annotated[str, _DATABASE_URL] | None = None
    """One that exists already: it is used, and never started, stopped or deleted. A driver may be named, as in
    `mysql+pymysql://`. It may hold `${secrets.NAME}`."""
    name: Annotated[str, _IDENTIFIER] | None = None
    """The name of the database. Default: its id, with `_` for `-`."""
    user: Annotated[str, _IDENTIFIER] | None = None
    """Its owner, of MySQL at most 32 characters. Default: its id, with `_` for `-`."""
    version: Annotated[str, Line(r"[0-9]{1,2}(\.[0-9]{1,2})?", "a major version such as 16")] | None = None
    """A major version to insist on. Default: that of the program found first."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.url is not None:
            yield from self._with_a_url(self.url)
        elif self.engine is None:
            advice = "add `engine: postgres` or `engine: mysql`, or `url` of one that exists"
            yield Conflict(("", "engine", "url"), "says nothing of what it is", advice)
        elif self.engine == "mysql" and self.user is not None and len(self.user) > LONGEST_MYSQL_USER:
            reason = f"must be at most {LONGEST_MYSQL_USER} characters long for MySQL, not {len(self.user)}"
            yield Conflict(("user", "engine"), reason)

    def _with_a_url(self, url: str) -> Iterator[Conflict]:
        told = engine_of(url) is not None
        if not told and self.engine is None:
            reason = "does not tell what is there, since it begins with a secret"
            yield Conflict(("url", "engine"), reason, "add `engine: postgres` or `engine: mysql`")
        yield from _used_only(self, (*(["engine"] if told else []), "name", "user", "version"), "database")


class Bucket(Part):
    """A place for objects, as in S3, that fairlead keeps, or with `url` one that exists already and is only used."""

    url: Annotated[str, _BUCKET_URL] | None = None
    """One that exists already: it is used, and never made or deleted. `endpoint` where it is not at Amazon. It may hold
    `${secrets.NAME}`. Default: a bucket of its id, on this machine."""
