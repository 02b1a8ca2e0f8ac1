"""Stage three, support: can this version, on the engine `local`, do what the file says?

In comes the tree of a fairlead file, out come refusals: every key that is known but not built yet, unless it is
given what it would have without being written, or is one of the few that are taken and named as not enforced. Whoever
builds a key adds it to `SUPPORTED` and removes its line from `NEXT_STEPS`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from fairlead.spec.describe import Key, as_text, keys, written_default
from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, dotted, find
from fairlead.spec.interpolate import Interpolated
from fairlead.spec.problems import Problem, listed, shown
from fairlead.spec.references import actions, entries, forwards, has_port, items
from fairlead.spec.schema import File
from fairlead.spec.schema.base import Part, keys_of, part_within
from fairlead.spec.schema.measures import MEASURES
from fairlead.spec.schema.operations import TARGET_COUNTS
from fairlead.spec.validate import python_of

_CONDITIONS = ("path", "host", "method", "header", "query", "source_ip")
_ACTION = (
    "forward",
    "stickiness",
    *(f"redirect.{name}" for name in ("protocol", "host", "port", "path", "query", "status")),
    *(f"respond.{name}" for name in ("status", "content_type", "body")),
)
_SCALING = (
    *("min", "desired", "max", "warm_up", "warm_pool", "reuse_on_scale_in"),
    *("scale_out_cooldown", "scale_in_cooldown", "termination_policy"),
    *(f"policies.ID.{name}" for name in ("period", "scale_out_after", "scale_in_after", "scale_in")),
    *(f"policies.ID.target.{name}" for name in ("metric", "value")),
    *(f"policies.ID.step.{name}" for name in ("metric", "threshold", "comparison", "adjustment")),
    *(f"policies.ID.step.{name}" for name in ("min_adjustment", "cooldown")),
    *(f"policies.ID.step.steps.ID.{name}" for name in ("from", "to", "by")),
    *(f"schedule.ID.{name}" for name in ("name", "cron", "timezone", "min", "desired", "max")),
)

SUPPORTED = frozenset(
    {
        "name",
        "services.ID.app",
        "services.ID.command",
        "services.ID.targets",
        "services.ID.source",
        "services.ID.python",
        "services.ID.threads",
        "services.ID.build",
        "services.ID.before_traffic",
        "services.ID.environment",
        "services.ID.secrets",
        "services.ID.max_memory",
        "services.ID.max_lifetime",
        "services.ID.instances",
        *(f"services.ID.scaling.{name}" for name in _SCALING),
        *(f"services.ID.custom_metrics.ID.{name}" for name in ("command", "url", "field", "series", "every")),
        "services.ID.after",
        "services.ID.health_check.enabled",
        "services.ID.health_check.path",
        "services.ID.health_check.host",
        "services.ID.health_check.protocol",
        "services.ID.health_check.port",
        "services.ID.health_check.interval",
        "services.ID.health_check.timeout",
        "services.ID.health_check.healthy_threshold",
        "services.ID.health_check.unhealthy_threshold",
        "services.ID.health_check.matcher",
        "services.ID.health_check.grace_period",
        "services.ID.health_check.replace_unhealthy",
        "services.ID.target_group.protocol",
        "services.ID.target_group.algorithm",
        "services.ID.target_group.anomaly_mitigation",
        "services.ID.target_group.retry",
        "services.ID.target_group.unsafe_methods",
        "services.ID.target_group.connect_timeout",
        "services.ID.target_group.deregistration_delay",
        "services.ID.target_group.slow_start",
        "services.ID.target_group.stickiness.type",
        "services.ID.target_group.stickiness.cookie",
        "services.ID.target_group.stickiness.duration",
        "services.ID.deploy.min_healthy",
        "services.ID.deploy.max_healthy",
        "services.ID.deploy.stop_timeout",
        "services.ID.deploy.keep_releases",
        "jobs.ID.service",
        "jobs.ID.command",
        "jobs.ID.cron",
        "jobs.ID.timezone",
        "jobs.ID.timeout",
        "load_balancer.address",
        "load_balancer.idle_timeout",
        "load_balancer.client_keep_alive",
        "load_balancer.forwarded_for",
        "load_balancer.desync_mitigation",
        "load_balancer.drop_invalid_headers",
        "load_balancer.preserve_host",
        "load_balancer.access_log",
        "load_balancer.listeners.ID.port",
        "load_balancer.listeners.ID.protocol",
        "load_balancer.listeners.ID.certificates.ID.file",
        "load_balancer.listeners.ID.certificates.ID.key",
        *(f"load_balancer.listeners.ID.rules.ID.when.{name}" for name in _CONDITIONS),
        *(f"load_balancer.listeners.ID.{where}.{name}" for where in ("rules.ID", "default") for name in _ACTION),
        *(f"caches.ID.{name}" for name in ("engine", "url", "memory", "eviction", "persist")),
        *(f"databases.ID.{name}" for name in ("engine", "url", "name", "user", "version")),
        "buckets.ID.url",
        "network.zones",
        "alarms.ID.when",
        "alarms.ID.above",
        "alarms.ID.below",
        "alarms.ID.for",
        "alarms.ID.webhook",
        "alarms.ID.command",
    }
)
"""The keys that are built. `ID` stands for any name and any index."""

SUPPORTED_VALUES = {
    "services.ID.port": ("none",),
    "services.ID.target_group.stickiness": ("none",),
    "load_balancer.listeners.ID.certificates": ("local",),
}
"""Keys of which only some values are built, beside what their own keys say."""

UNENFORCED = frozenset(
    {
        "services.ID.resources",
        "network.cidr",
        "network.placement",
        "network.nat",
        "network.bastion",
        "network.security_groups",
        "network.network_acls",
    }
)
"""Keys that are taken and not enforced: without them the file means the same on this engine. They are named at every
`up`, in `status` and in `plan`."""

NEXT_STEPS = {
    "engine": "remove it, or write `engine: local`: instances are processes on this machine",
    "services.ID.image": "engine local runs processes: write `app` or `command`",
    "services.ID.dockerfile": "engine local runs processes: write `app` or `command`",
    "services.ID.port": "remove it: engine local gives each instance a port of its own, in $PORT and ${instance.port}",
    "services.ID.user_data": "remove it: it belongs to the engines vpc and aws",
    "aws": "remove it: this version runs the file on this machine only",
}
"""What to do about a refused key. The others: remove it."""


def refusals(document: Interpolated) -> list[Problem]:
    """Every key and value of the file that this version cannot do, in no order."""
    return [
        *_keys(document.root),
        *_values(document.root),
        *_unreachable(document.root),
    ]


def unenforced(root: Mapping) -> tuple[str, ...]:
    """The keys of the file that are taken and not enforced, dotted, in the order of the file."""
    found = (undone for undone in _undone(File, root, (), "") if undone.name in UNENFORCED)
    return tuple(dotted(undone.path) for undone in found if not _is_empty(undone.entry.value))


@functools.cache
def answers() -> dict[str, str]:
    """What this version does with every key (dotted, `ID` for names and indices), in words: `yes`, `refused`,
    `not enforced`, which values are built, or, of a key that holds others, where to look."""
    found: dict[str, str] = {}
    for key in keys(File):
        above = re.sub(r"(\.ID)*\.\w+$", "", key.name) if "." in key.name else ""
        inherited = found[above] if above and found[above] in ("refused", "not enforced") else ""
        found[key.name] = inherited or _answer(key)
    return found


def _answer(key: Key) -> str:
    if key.name in UNENFORCED:
        return "not enforced"
    if key.name in SUPPORTED:
        return "yes"
    values = [f"`{value}`" for value in SUPPORTED_VALUES.get(key.name, ())]
    if key.part and _is_built_within(key.name, key.field):
        return listed(["see its keys", *values])
    default = written_default(key.field)
    values += [f"`{as_text(default)}`"] if default not in ("", None) else []
    return f"only {listed(values, 'and')}" if values else "refused"


@dataclass(frozen=True, slots=True)
class _Undone:
    """A key of the file that is not built, whatever its value."""

    name: str
    path: Path
    entry: Entry
    field: FieldInfo


def _undone(part: type[Part], node: Node | None, path: Path, pattern: str) -> Iterator[_Undone]:
    """The keys of `part` below `path` that are not built; `pattern` is `path` with `ID` for names and indices."""
    known = keys_of(part)
    for key, entry in entries(node).items():
        field, here, name = known.get(key), (*path, key), f"{pattern}{key}"
        if field is None or name in SUPPORTED or _is_built_value(name, entry.value):
            continue
        below, steps = part_within(field.annotation)
        if below is None or name in UNENFORCED or not _is_built_within(name, field):
            yield _Undone(name, here, entry, field)
        else:
            for way in _ways(entry.value, steps):
                yield from _undone(below, find(entry.value, *way), (*here, *way), f"{name}." + "ID." * steps)


def _keys(root: Mapping) -> Iterator[Problem]:
    for undone in _undone(File, root, (), ""):
        if undone.name in UNENFORCED or _says_the_default(undone.field, undone.entry.value, undone.path):
            continue
        advice = NEXT_STEPS.get(undone.name) or _back_to_default(undone.field)
        reason = f"`{undone.path[-1]}` is not supported by this version"
        yield Problem(undone.entry.place, dotted(undone.path), reason, advice)


def _is_built_value(name: str, node: Node) -> bool:
    return isinstance(node, Scalar) and node.text in SUPPORTED_VALUES.get(name, ())


def _is_empty(node: Node) -> bool:
    return not isinstance(node, Scalar) and not _steps_of(node)


def _steps_of(node: Node) -> list[str] | list[int]:
    return list(node.entries) if isinstance(node, Mapping) else list(range(len(items(node))))


def _ways(node: Node, steps: int) -> Iterator[Path]:
    """The paths of what lies `steps` below `node`."""
    if not steps:
        yield ()
    for step in _steps_of(node) if steps else ():
        below = find(node, step)
        if below is not None:
            for way in _ways(below, steps - 1):
                yield (step, *way)


def _is_built_within(name: str, field: FieldInfo) -> bool:
    """Whether some key below is built, or has a default that could be written out."""
    return isinstance(field.default, Part) or any(key.startswith(f"{name}.") for key in SUPPORTED)


def _says_the_default(field: FieldInfo, node: Node, path: Path) -> bool:
    """Whether the value is what it would be without the key."""
    kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        value = TypeAdapter(kind).validate_python(python_of(node, path), strict=True)
    except ValidationError:
        return False
    return bool(value == field.get_default(call_default_factory=True))


def _back_to_default(field: FieldInfo) -> str:
    default = written_default(field)
    return "remove it" if default in ("", None) else f"remove it, which means {as_text(default)}"


def _values(root: Mapping) -> Iterator[Problem]:
    """Values that are not supported though their keys are."""
    for id, entry in entries(find(root, "services")).items():
        command = find(entry.value, "command")
        if isinstance(command, Scalar) and command.text == "none":
            reason = "`command: none` is not supported by this version"
            yield Problem(command.place, f"services.{id}.command", reason, "write the program to run")
    for number, listener in enumerate(items(find(root, "load_balancer", "listeners"))):
        certificates = find(listener, "certificates")
        if isinstance(certificates, Scalar) and certificates.text == "acme":
            reason = "`certificates: acme` is not supported by this version"
            advice = (
                "get them with certbot or another ACME client, and name its files, `[{file: fullchain.pem, key: "
                "privkey.pem}]`: they are taken over when they change"
            )
            yield Problem(certificates.place, f"load_balancer.listeners.{number}.certificates", reason, advice)
    for number, alarm in enumerate(items(find(root, "alarms"))):
        metric = find(alarm, "when")
        if isinstance(metric, Scalar) and (metric.text in MEASURES or metric.text.startswith("custom:")):
            reason = f"alarms on {shown(metric.text)} are not supported by this version"
            yield Problem(metric.place, f"alarms.{number}.when", reason, f"write {listed(TARGET_COUNTS)}")


def _unreachable(root: Mapping) -> Iterator[Problem]:
    """A service that takes requests and that no listener names would run for nothing. One that is named with weight 0
    is about to get some.

    Judged only when each listener and rule says clearly what it does; else it would be guesswork."""
    services = entries(find(root, "services"))
    reached = {name for _, name, _ in forwards(root)}
    known = list(actions(root))
    clear = all(any(find(action, key) for key in ("forward", "redirect", "respond")) for _, action in known)
    if not known or not clear or not reached <= set(services):
        return
    for id, entry in services.items():
        if id not in reached and has_port(entry.value):
            reason = "no listener forwards to this service, so no request could reach it"
            worker = ", write `port: none` if it serves no requests" if find(entry.value, "targets") is None else ""
            advice = f"add a rule or a listener that says `forward: {id}`{worker}, or remove it"
            yield Problem(entry.place, f"services.{id}", reason, advice)
