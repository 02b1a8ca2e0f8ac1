"""What `${databases.ID.url}` and its like stand for, and what the clients of a resource need beside it.

In: a resource, and where it listens with which password, or the URL of one that exists already. Out: its attributes by
name; one that it does not have is not there. Pure; a password only passes through.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, quote, unquote, urlsplit

from fairlead.core.interpolation import references
from fairlead.core.resources.model import Bucket, Cache, Database, Resource
from fairlead.errors import UsageError

HOST = "127.0.0.1"

REGION = "eu-central-1"
"""Of buckets that run here: boto3 presigns with version 2 in us-east-1, which rclone refuses (dependencies.md 4)."""

_SCHEMES = {"redis": "redis", "postgres": "postgresql", "mysql": "mysql", "s3": "s3"}
_PORTS = {"redis": 6379, "rediss": 6379, "postgres": 5432, "postgresql": 5432, "mysql": 3306, "mariadb": 3306}


def addresses_here(resource: Resource, port: int, password: str) -> dict[str, str]:
    """The attributes of one that fairlead runs on `port` of 127.0.0.1."""
    user = user_of(resource)
    shared = {"host": HOST, "port": str(port), "user": user, "password": password}
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    if isinstance(resource, Cache):
        return {**shared, "name": "0", "url": f"redis://{login}@{HOST}:{port}/0"}
    if isinstance(resource, Database):
        url = f"{_SCHEMES[resource.engine]}://{login}@{HOST}:{port}/{quote(resource.name, safe='')}"
        return {**shared, "name": resource.name, "url": url}
    endpoint = f"http://{HOST}:{port}"
    query = f"region={REGION}&endpoint={quote(endpoint, safe='')}"
    url = f"s3://{login}@{resource.name}?{query}"
    return {**shared, "name": resource.name, "endpoint": endpoint, "region": REGION, "url": url}


def addresses_of_url(resource: Resource, url: str) -> dict[str, str]:
    """The attributes of one that exists already; those that its URL does not tell are missing. url: with its secrets
    put in. UsageError when it cannot be read as one; the message does not repeat it, for it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise UsageError(f"the url of {resource.id} cannot be read", "it is no URL with a host and a port") from problem
    told = {"user": parts.username, "password": parts.password}
    found = {name: unquote(value) for name, value in told.items() if value is not None}
    if isinstance(resource, Bucket):
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found |= {name: query[name] for name in ("region", "endpoint") if name in query}
        return {**found, "name": parts.hostname or "", "url": url}
    usual = _PORTS.get(parts.scheme.partition("+")[0])
    port = port or usual
    name = unquote(parts.path.lstrip("/"))
    found |= {"host": parts.hostname or "", "url": url}
    found |= {"port": str(port)} if port else {}
    if isinstance(resource, Cache):
        return {**found, "user": found.get("user") or user_of(resource), "name": name or "0"}
    return {**found, "name": name} if name else found


def user_of(resource: Resource) -> str:
    """Whom services are to the server. Of a bucket: its access key's id."""
    if isinstance(resource, Database):
        return resource.user
    return "default" if isinstance(resource, Cache) else f"fairlead-{resource.id}"


def clients_need(texts: Iterable[str]) -> dict[str, str]:
    """Variables that programs need whose environment is `texts`. Amazon's clients verify checksums that rclone does not
    send for a part of an object (dependencies.md 4); a bucket on Amazon is not harmed by it."""
    if any(parts[0] == "buckets" for text in texts for parts in references(text)):
        return {"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"}
    return {}
