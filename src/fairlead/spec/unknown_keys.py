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
    "environment": "env envs environ variables vars env_file",
    "command": "cmd run exec entrypoint start script",
    "app": "wsgi asgi application module",
    "health_check": "healthcheck health check",
    "instances": "replicas count size scale workers processes",
    "source": "dir directory folder root context working_dir workdir cwd",
    "python": "runtime python_version",
    "after": "depends_on requires start_after wait_for",
    "jobs": "cron_jobs job tasks schedules crons crontab cronjobs timers",
    "load_balancer": "loadbalancer lb proxy balancer",
    "services": "service apps",
    "caches": "cache redis",
    "databases": "database db",
    "buckets": "bucket",
    "name": "project stack database db dbname db_name",
    "engine": "type kind backend",
    "url": "uri dsn connection connection_string",
    "user": "username owner",
    "version": "major_version engine_version",
    "memory": "max_memory maxmemory memory_limit",
    "eviction": "eviction_policy maxmemory_policy policy",
    "persist": "persistence persistent durable appendonly",
    "secrets": "secret secret_env env_secrets",
    "scaling": "autoscaling auto_scaling",
    "min": "minimum min_size min_capacity min_instances min_replicas least",
    "max": "maximum max_size max_capacity max_instances max_replicas most",
    "desired": "desired_capacity desired_count capacity initial",
    "policies": "policy scaling_policies metrics",
    "target": "target_tracking track",
    "step": "step_scaling step_adjustments",
    "value": "target_value average average_utilization",
    "warm_up": "warmup default_instance_warmup instance_warmup estimated_instance_warmup",
    "warm_pool": "pool standby_pool",
    "scale_out_cooldown": "scale_up_cooldown",
    "scale_in_cooldown": "cooldown scale_down_cooldown",
    "reuse_on_scale_in": "reuse instance_reuse_policy",
    "termination_policy": "termination_policies",
    "scale_in": "disable_scale_in scale_down",
    "schedule": "scheduled_actions scheduled",
    "custom_metrics": "custom_metric metrics gauges",
    "by": "adjustment scaling_adjustment add change",
    "port": "ports listen_port",
    "path": "uri endpoint url paths prefix path_prefix location path_pattern",
    "matcher": "status codes",
    "interval": "every",
    "unhealthy_threshold": "retries",
    "grace_period": "start_period initial_delay",
    "deregistration_delay": "drain drain_timeout",
    "stop_timeout": "grace kill_timeout stop_grace_period",
    "address": "bind host",
    "listeners": "listen listener",
    "default": "action actions",
    "forward": "target backend service_name to upstream",
    "redirect": "redirect_to moved",
    "respond": "fixed_response response return answer",
    "method": "methods verb verbs http_method",
    "header": "headers http_header",
    "query": "query_string querystring params parameters args",
    "source_ip": "source_ips ip ips client_ip remote_addr cidr",
    "content_type": "mime type_of_content",
    "body": "content message_body",
    "targets": "upstreams servers addresses endpoints",
    "stickiness": "sticky sticky_sessions session_affinity affinity",
    "algorithm": "balance balancing lb_algorithm",
    "slow_start": "slowstart ramp_up",
    "idle_timeout": "timeout_idle idle",
    "forwarded_for": "x_forwarded_for xff",
    "certificates": "certificate certs tls",
    "before_traffic": "before_deploy pre_deploy predeploy release_command migrate migrations before hook",
    "build": "build_command builds compile steps",
    "max_memory": "memory_limit mem_limit max_rss memory_max restart_above",
    "max_lifetime": "ttl max_age lifetime max_instance_lifetime max_uptime",
    "cron": "schedule when at every crontab expression on_calendar",
    "timezone": "tz time_zone zone zoneinfo",
    "timeout": "time_limit max_runtime deadline limit",
    "alarms": "alarm alerts alert notifications notify",
    "webhook": "url hook uri endpoint notify post",
    "when": "metric match matches conditions condition if on",
    "above": "threshold greater_than more_than over max gt",
    "below": "less_than under min lt",
    "for": "duration period during after",
    "rules": "rule routes route routing paths locations",
    "host": "hosts hostname domain domains server_name host_header",
    "keep_releases": "keep retain retention history",
    "min_healthy": "minimum_healthy_percent min_healthy_percent min_healthy_percentage min_available",
    "max_healthy": "maximum_percent max_healthy_percent max_healthy_percentage max_surge",
    "zones": "availability_zones azs az zone",
    "service": "services run_in app",
}
"""Each key with the words that other tools use for it, or that come to mind. A word may stand for several."""


@functools.lru_cache(10_000)
def meant_key(key: str, part: type[Part]) -> str:
    """The key of `part` that `key` was meant to be, or ""."""
    known = keys_of(part)
    word = _word(key)
    for meant in (word, *_aliases().get(word, ())):
        if meant in known:
            return meant
    # A word that is a key elsewhere is no misspelling.
    return "" if word in _homes(File) else nearest(word, known)


def suggestion_for(key: str, part: type[Part]) -> str:
    """A sentence for the key `key`, which `part` does not have."""
    known, within, word = keys_of(part), _homes(part), _word(key)
    below = (within[name] for name in (word, *_aliases().get(word, ())) if name in within)
    if meant := meant_key(key, part) or next(below, ""):
        return f"did you mean `{meant}`?"
    if elsewhere := _homes(File).get(word):
        return f"it belongs to `{elsewhere}`" if "." in elsewhere else "it stands at the top of the file"
    if not known:
        return "nothing can be set here: write {}"
    if len(known) == 1:
        return f"there is only {listed(known)}"
    return f"there are {listed(known, 'and')}" if len(known) <= 8 else "the annotated reference file lists every key"


@functools.cache
def _aliases() -> dict[str, tuple[str, ...]]:
    """Each word with the keys that it may stand for."""
    keys: dict[str, tuple[str, ...]] = {}
    for key, words in ALIASES.items():
        for word in words.split():
            keys[word] = (*keys.get(word, ()), key)
    return keys


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
