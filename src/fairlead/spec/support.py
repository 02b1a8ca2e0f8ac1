"""Stage three, support: can this version, on the engine `local`, do what the file says?

In comes the tree of a fairlead file, out come refusals: every key that is known but not built yet, unless it is
given what it would have without being written. Whoever builds a key adds it to `SUPPORTED` and removes its line from
`NEXT_STEPS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from fairlead.spec.document import Mapping, Node, Path, Scalar, dotted, find
from fairlead.spec.interpolate import Interpolated
from fairlead.spec.problems import Problem
from fairlead.spec.references import entries, forwards, has_port, items
from fairlead.spec.schema import File
from fairlead.spec.schema.base import Part, keys_of, part_within
from fairlead.spec.schema.kinds import Kind
from fairlead.spec.schema.texts import Line
from fairlead.spec.validate import python_of

SUPPORTED = frozenset(
    {
        "name",
        "services.ID.app",
        "services.ID.command",
        "services.ID.source",
        "services.ID.python",
        "services.ID.threads",
        "services.ID.environment",
        "services.ID.instances",
        "services.ID.health_check.path",
        "services.ID.health_check.host",
        "services.ID.health_check.interval",
        "services.ID.health_check.timeout",
        "services.ID.health_check.healthy_threshold",
        "services.ID.health_check.unhealthy_threshold",
        "services.ID.health_check.matcher",
        "services.ID.health_check.grace_period",
        "services.ID.health_check.replace_unhealthy",
        "services.ID.target_group.deregistration_delay",
        "services.ID.target_group.retry",
        "services.ID.deploy.stop_timeout",
        "load_balancer.address",
        "load_balancer.listeners.ID.port",
        "load_balancer.listeners.ID.default.forward",
    }
)
"""The keys that are built. `ID` stands for any name and any index."""

NEXT_STEPS = {
    "engine": "remove it, or write `engine: local`: instances are processes on this machine",
    "services.ID.scaling": "write `instances: N` for a fixed size",
    "services.ID.secrets": "pass the variable with `environment: {NAME: ${env.NAME}}`",
    "services.ID.targets": "this version routes only to instances that it runs: write `app` or `command`",
    "services.ID.image": "engine local runs processes: write `app` or `command`",
    "services.ID.dockerfile": "engine local runs processes: write `app` or `command`",
    "services.ID.build": "run it before `fairlead up`; what it makes is copied with the source",
    "services.ID.before_traffic": "run it before `fairlead up`",
    "services.ID.port": "remove it: engine local gives each instance a port of its own, in $PORT and ${instance.port}",
    "services.ID.user_data": "remove it: it belongs to the engines vpc and aws",
    "services.ID.after": "remove it: services start all at once, and get requests when they are healthy",
    "services.ID.resources": "remove it: this version enforces no limits",
    "services.ID.health_check.protocol": "give the service a path that answers, and write it as `path`",
    "services.ID.target_group.stickiness": "keep sessions in a store that all instances share",
    "load_balancer.listeners.ID.protocol": "write `protocol: HTTP`, and end TLS in front of fairlead",
    "load_balancer.listeners.ID.certificates": "write `protocol: HTTP`, and end TLS in front of fairlead",
    "load_balancer.listeners.ID.rules": "give each service a listener of its own, with `default: {forward: SERVICE}`",
    "load_balancer.listeners.ID.default.redirect": "write `forward: SERVICE`",
    "load_balancer.listeners.ID.default.respond": "write `forward: SERVICE`",
    "jobs": "run it by cron or a systemd timer",
    "caches": "start it yourself, and pass its address in `environment`",
    "databases": "start it yourself, and pass its address in `environment`",
    "buckets": "use a store that exists, and pass its address in `environment`",
    "network": "remove it: it belongs to the engines vpc and aws",
    "alarms": "watch `fairlead events` and `fairlead status --json`",
    "aws": "remove it: this version runs the file on this machine only",
}
"""What to do about a refused key. The others: remove it."""

REFERENCES = {
    "secrets": "use ${env.NAME}, from the environment or .env",
    "caches": "write the address, or pass it as ${env.NAME}",
    "databases": "write the address, or pass it as ${env.NAME}",
    "buckets": "write the address, or pass it as ${env.NAME}",
}


def refusals(document: Interpolated) -> list[Problem]:
    """Every key and value of the file that this version cannot do, in no order."""
    return [
        *_keys(File, document.root, (), ""),
        *_values(document.root),
        *_references(document),
        *_unreachable(document.root),
    ]


def _keys(part: type[Part], node: Node | None, path: Path, pattern: str) -> Iterator[Problem]:
    """The refused keys of `part` below `path`; `pattern` is `path` with `ID` for names and indices."""
    known = keys_of(part)
    for key, entry in entries(node).items():
        field, here, name = known.get(key), (*path, key), f"{pattern}{key}"
        if field is None or name in SUPPORTED:
            continue
        below, steps = part_within(field.annotation)
        if below is None or not _is_built_within(name, field):
            if _says_the_default(field, entry.value, here):
                continue
            advice = NEXT_STEPS.get(name) or _back_to_default(field)
            yield Problem(entry.place, dotted(here), f"`{key}` is not supported by this version", advice)
        elif not steps:
            yield from _keys(below, entry.value, here, f"{name}.")
        else:
            for step in _steps_of(entry.value):
                yield from _keys(below, find(entry.value, step), (*here, step), f"{name}.ID.")


def _steps_of(node: Node) -> list[str] | list[int]:
    return list(node.entries) if isinstance(node, Mapping) else list(range(len(items(node))))


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
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default is None or isinstance(default, (Part, dict, tuple)):
        return "remove it"
    kind = next((each for each in field.metadata if isinstance(each, Kind)), Line())
    text = str(default).lower() if isinstance(default, bool) else kind.show(default)
    return f"remove it, which means {text}"


def _values(root: Mapping) -> Iterator[Problem]:
    """Values that are not supported though their keys are."""
    for id, entry in entries(find(root, "services")).items():
        command = find(entry.value, "command")
        if isinstance(command, Scalar) and command.text == "none":
            reason = "`command: none` is not supported by this version"
            yield Problem(command.place, f"services.{id}.command", reason, "write the program to run")
    for number, listener in enumerate(items(find(root, "load_balancer", "listeners"))):
        forward = find(listener, "default", "forward")
        if len(entries(forward)) > 1 and forward:
            key = f"load_balancer.listeners.{number}.default.forward"
            reason = "weights for more than one service are not supported by this version"
            yield Problem(forward.place, key, reason, "forward to one service")


def _references(document: Interpolated) -> Iterator[Problem]:
    for reference in document.references:
        reason = f"{reference.text} is not supported by this version"
        yield Problem(reference.node.place, dotted(reference.path), reason, REFERENCES[reference.kind])


def _unreachable(root: Mapping) -> Iterator[Problem]:
    """A service that takes requests and that no listener names would run for nothing.

    Judged only when each listener says clearly where it forwards to; else it would be guesswork."""
    services = entries(find(root, "services"))
    listeners = items(find(root, "load_balancer", "listeners"))
    reached = {name for _, name, _ in forwards(root)}
    if not listeners or not reached <= set(services) or not all(find(each, "default", "forward") for each in listeners):
        return
    for id, entry in services.items():
        if id not in reached and has_port(entry.value) and find(entry.value, "targets") is None:
            reason = "no listener forwards to this service, so no request could reach it"
            advice = f"add a listener with `default: {{forward: {id}}}`, or remove the service"
            yield Problem(entry.place, f"services.{id}", reason, advice)
