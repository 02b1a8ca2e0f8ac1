"""How to look into a resource that exists already (`url:`) with the client programs of this machine.

In: the resource, what its URL tells, and a way to find a program. Out: a `Shell`, whose password stands in its
environment and never in its words; or ResourceError with what to install. Pure but for the finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from fairlead.core.resources.model import Resource
from fairlead.errors import ResourceError
from fairlead.resources.base import Shell

Which = Callable[[str], str | None]
"""The path of a program of that name, or None."""

_CLIENTS = {
    "redis": (("redis-cli", "valkey-cli"), "apt install redis-tools"),
    "postgres": (("psql",), "apt install postgresql-client"),
    "mysql": (("mariadb", "mysql"), "apt install mariadb-client-core"),
    "s3": (("aws", "rclone"), "apt install rclone"),
}
"""By engine: programs, the first that is there, and how to get one."""

_SECRET_PARAMETERS = {"password", "sslpassword"}
"""Of a PostgreSQL URL's query: they would show in `ps`."""


def shell_of_url(resource: Resource, attributes: Mapping[str, str], which: Which) -> Shell:
    """attributes: as from `addresses_of_url`, its secrets put in. ResourceError: no client program, or no host."""
    names, install = _CLIENTS[resource.engine]
    program = next((found for name in names if (found := which(name))), None)
    if program is None:
        known = " or ".join(names)
        raise ResourceError(f"{resource.id} cannot be looked into", f"{known} is not installed", install)
    if resource.engine != "s3" and not attributes.get("host"):
        raise ResourceError(f"{resource.id} cannot be looked into", "its url names no host")
    says = f"{resource.id} is not run by fairlead: this is {program.rpartition('/')[2]} on what its url names"
    if resource.engine == "s3":
        says = f"a shell that knows the bucket {attributes['name']}: {_listing(program, attributes['name'])}"
    build = {"redis": _redis, "postgres": _postgres, "mysql": _mysql, "s3": _s3}[resource.engine]
    argv, environment = build(program, attributes)
    return Shell(argv=argv, environment=environment, says=says)


Built = tuple[tuple[str, ...], dict[str, str]]


def _redis(program: str, told: Mapping[str, str]) -> Built:
    words = [program, "-h", told["host"], "-p", told.get("port", "6379"), "-n", told.get("name", "0")]
    if told.get("user", "default") != "default":
        words += ["--user", told["user"]]
    if told["url"].startswith("rediss:"):
        words += ["--tls", "--sni", told["host"]]
    return (*words,), {"REDISCLI_AUTH": told["password"]} if told.get("password") else {}


def _postgres(program: str, told: Mapping[str, str]) -> Built:
    """As a URL, for what its query says of TLS; without the password, and without a driver's name in the scheme."""
    parts = urlsplit(told["url"])
    place = told["host"] if ":" not in told["host"] else f"[{told['host']}]"
    place = f"{quote(told['user'], safe='')}@{place}" if told.get("user") else place
    place = f"{place}:{told['port']}" if told.get("port") else place
    asked = parse_qsl(parts.query, keep_blank_values=True)
    password = told.get("password") or dict(asked).get("password", "")
    query = urlencode([(name, value) for name, value in asked if name not in _SECRET_PARAMETERS])
    url = urlunsplit(("postgresql", place, parts.path, query, ""))
    return (program, url), {"PGPASSWORD": password} if password else {}


def _mysql(program: str, told: Mapping[str, str]) -> Built:
    words = [program, f"--host={told['host']}", f"--port={told.get('port', '3306')}", "--protocol=tcp"]
    words += [f"--user={told['user']}"] if told.get("user") else []
    words += [told["name"]] if told.get("name") else []
    return (*words,), {"MYSQL_PWD": told["password"]} if told.get("password") else {}


def _s3(program: str, told: Mapping[str, str]) -> Built:
    """A shell in which the usual programs reach it; without keys in the URL they use the user's own."""
    environment = {}
    if told.get("endpoint"):
        environment["AWS_ENDPOINT_URL_S3"] = told["endpoint"]
    if told.get("region"):
        environment |= {"AWS_REGION": told["region"], "AWS_DEFAULT_REGION": told["region"]}
    if told.get("user"):
        environment |= {"AWS_ACCESS_KEY_ID": told["user"], "AWS_SECRET_ACCESS_KEY": told.get("password", "")}
    remote = {"TYPE": "s3", "PROVIDER": "Other" if told.get("endpoint") else "AWS", "ENV_AUTH": "true"}
    remote |= {name.upper(): told[name] for name in ("region", "endpoint") if told.get(name)}
    environment |= {f"RCLONE_CONFIG_BUCKET_{name}": value for name, value in remote.items()}
    unset = "unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN; " if told.get("user") else ""
    return ("/bin/sh", "-c", f'{unset}exec "${{SHELL:-/bin/sh}}"'), environment


def _listing(program: str, bucket: str) -> str:
    """What to type in that shell."""
    return f"aws s3 ls s3://{bucket}" if program.endswith("aws") else f"rclone ls bucket:{bucket}"
