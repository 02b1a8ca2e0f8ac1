"""What a key that fairlead does not know was probably meant to be.

First the words that other tools use for the same thing, then a key of the same part that is spelt much alike, then
the place where a key of just this name belongs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from fairlead.spec.problems import listed, nearest
from fairlead.spec.schema import File
from fairlead.spec.schema.base import Part, keys_of, part_within

ALIASES = {
    "env": "environment",
    "envs": "environment",
    "environ": "environment",
    "variables": "environment",
    "vars": "environment",
    "env_file": "environment",
    "cmd": "command",
    "run": "command",
    "exec": "command",
    "entrypoint": "command",
    "start": "command",
    "script": "command",
    "wsgi": "app",
    "asgi": "app",
    "application": "app",
    "module": "app",
    "healthcheck": "health_check",
    "health": "health_check",
    "check": "health_check",
    "replicas": "instances",
    "count": "instances",
    "size": "instances",
    "scale": "instances",
    "workers": "instances",
    "processes": "instances",
    "dir": "source",
    "directory": "source",
    "folder": "source",
    "root": "source",
    "context": "source",
    "working_dir": "source",
    "workdir": "source",
    "cwd": "source",
    "runtime": "python",
    "python_version": "python",
    "depends_on": "after",
    "requires": "after",
    "cron_jobs": "jobs",
    "loadbalancer": "load_balancer",
    "lb": "load_balancer",
    "proxy": "load_balancer",
    "balancer": "load_balancer",
    "service": "services",
    "apps": "services",
    "cache": "caches",
    "redis": "caches",
    "database": "databases",
    "db": "databases",
    "bucket": "buckets",
    "project": "name",
    "stack": "name",
    "autoscaling": "scaling",
    "auto_scaling": "scaling",
    "ports": "port",
    "uri": "path",
    "endpoint": "path",
    "url": "path",
    "status": "matcher",
    "codes": "matcher",
    "every": "interval",
    "retries": "unhealthy_threshold",
    "start_period": "grace_period",
    "initial_delay": "grace_period",
    "drain": "deregistration_delay",
    "drain_timeout": "deregistration_delay",
    "grace": "stop_timeout",
    "kill_timeout": "stop_timeout",
    "stop_grace_period": "stop_timeout",
    "bind": "address",
    "host": "address",
    "listen": "listeners",
    "listener": "listeners",
    "action": "default",
    "actions": "default",
    "target": "forward",
    "backend": "forward",
    "service_name": "forward",
    "certificate": "certificates",
    "certs": "certificates",
    "tls": "certificates",
}


@functools.lru_cache(10_000)
def meant_key(key: str, part: type[Part]) -> str:
    """The key of `part` that `key` was meant to be, or ""."""
    known = keys_of(part)
    word = _word(key)
    alias = ALIASES.get(word, "")
    if word in known or alias in known:
        return word if word in known else alias
    # A word that is a key elsewhere is no misspelling.
    return "" if word in _homes(File) else nearest(word, known)


def suggestion_for(key: str, part: type[Part]) -> str:
    """A sentence for the key `key`, which `part` does not have."""
    known, within, word = keys_of(part), _homes(part), _word(key)
    meant = meant_key(key, part) or within.get(word) or within.get(ALIASES.get(word, ""))
    if meant:
        return f"did you mean `{meant}`?"
    if elsewhere := _homes(File).get(word):
        return f"it belongs to `{elsewhere}`" if "." in elsewhere else "it stands at the top of the file"
    if not known:
        return "nothing can be set here: write {}"
    return f"there are {listed(known, 'and')}" if len(known) <= 8 else "the annotated reference file lists every key"


def _word(key: str) -> str:
    return key.strip().lower().replace("-", "_")


@functools.cache
def _homes(part: type[Part]) -> dict[str, str]:
    """Every key of the parts below `part` -> its dotted path from there, the shallowest of equal names."""
    homes: dict[str, str] = {}
    for path, key in sorted(_keys_below(part, ""), key=lambda found: found[0].count(".")):
        homes.setdefault(key, f"{path}{key}")
    return homes


def _keys_below(part: type[Part], prefix: str) -> Iterator[tuple[str, str]]:
    for key, field in keys_of(part).items():
        yield prefix, key
        below, steps = part_within(field.annotation)
        if below:
            yield from _keys_below(below, f"{prefix}{key}." + "ID." * steps)
