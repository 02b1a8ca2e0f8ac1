"""What one part of the file says of another: a listener's service, a job's service, the order of starts, ids.

Works on the tree and not on the validated file, so that a wrong value elsewhere hides nothing. It passes over what
is not shaped as it should be: `validate` has a problem for that already. Each rule is a generator of problems.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.core.interpolation import INSTANCE
from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, Sequence, dotted, find, walk
from fairlead.spec.interpolate import Interpolated, may_name_instances
from fairlead.spec.problems import Problem, listed, nearest, shown

KINDS = ("services", "caches", "databases", "buckets")
RESERVED = {"bastion": "security groups use it for the bastion"}


def reference_problems(document: Interpolated) -> Iterator[Problem]:
    """Every problem between parts, in no order."""
    root = document.root
    yield from _ids(root)
    yield from _forwards(root)
    yield from _ports(root)
    yield from _implicit_listener(root)
    yield from _after(root)
    yield from _jobs(root)
    yield from _custom_metrics(root)
    yield from _security_groups(root)
    yield from _data(document)
    yield from _instance_addresses(document)


def entries(node: Node | None) -> dict[str, Entry]:
    """The entries of a mapping; none of anything else."""
    return node.entries if isinstance(node, Mapping) else {}


def items(node: Node | None) -> list[Node]:
    """The items of a list; none of anything else."""
    return node.items if isinstance(node, Sequence) else []


def actions(root: Mapping) -> Iterator[tuple[Path, Node]]:
    """Every rule and every default of the listeners, with its path."""
    for number, listener in enumerate(items(find(root, "load_balancer", "listeners"))):
        base: Path = ("load_balancer", "listeners", number)
        default = find(listener, "default")
        if default is not None:
            yield (*base, "default"), default
        for index, rule in enumerate(items(find(listener, "rules"))):
            yield (*base, "rules", index), rule


def forwards(root: Mapping) -> Iterator[tuple[Path, str, Node]]:
    """Every service that a listener names, with its path, and the node at whose place a problem is shown."""
    for path, action in actions(root):
        forward = find(action, "forward")
        if isinstance(forward, Scalar):
            yield (*path, "forward"), forward.text, forward
        for name in entries(forward):
            yield (*path, "forward", name), name, Scalar(entries(forward)[name].place, name)


def has_port(service: Node | None) -> bool:
    """Whether a service takes requests: unless it says `port: none`."""
    port = find(service, "port")
    return not (isinstance(port, Scalar) and port.text == "none")


def _missing_service(root: Mapping, node: Node, path: Path, name: str) -> Problem:
    close = nearest(name, entries(find(root, "services")))
    names = list(entries(find(root, "services")))[:20]
    advice = f"did you mean {close}?" if close else f"there is {listed(names, 'and')}" if names else ""
    return Problem(node.place, dotted(path), f"there is no service {shown(name)}", advice)


def _ids(root: Mapping) -> Iterator[Problem]:
    seen: dict[str, tuple[str, Entry]] = {}
    for kind in KINDS:
        for id, entry in entries(find(root, kind)).items():
            if id in seen:
                other, first = seen[id]
                reason = f"the id is used already, by {other}.{id} on line {first.place.line}"
                yield Problem(
                    entry.place, f"{kind}.{id}", reason, "ids differ across services, caches, databases and buckets"
                )
            elif id in RESERVED:
                yield Problem(entry.place, f"{kind}.{id}", f"the id is taken: {RESERVED[id]}", "choose another")
            seen.setdefault(id, (kind, entry))


def _forwards(root: Mapping) -> Iterator[Problem]:
    services = entries(find(root, "services"))
    for path, name, node in forwards(root):
        if name not in services:
            yield _missing_service(root, node, path, name)
        elif not has_port(services[name].value):
            reason = f"the service {name} takes no requests: it says `port: none`"
            yield Problem(node.place, dotted(path), reason, "forward to another service, or give it a port")


def _ports(root: Mapping) -> Iterator[Problem]:
    first: dict[object, tuple[int, Node]] = {}
    for number, listener in enumerate(items(find(root, "load_balancer", "listeners"))):
        port = find(listener, "port")
        if not isinstance(port, Scalar):
            continue
        if port.value in first:
            other, node = first[port.value]
            key = f"load_balancer.listeners.{number}.port"
            reason = f"load_balancer.listeners.{other}.port on line {node.place.line} has the same port"
            yield Problem(port.place, key, reason, "give each listener a port of its own")
        first.setdefault(port.value, (number, port))


def _implicit_listener(root: Mapping) -> Iterator[Problem]:
    """Without listeners there is one, which must know where to forward to."""
    services = entries(find(root, "services"))
    takers = [id for id, entry in services.items() if has_port(entry.value)]
    if find(root, "load_balancer", "listeners") is None and len(takers) > 1:
        entry = root.entries.get("load_balancer") or root.entries["services"]
        key = "load_balancer" if "load_balancer" in root.entries else "services"
        reason = f"there are {len(takers)} services that take requests ({listed(takers[:20], 'and')}) and no listener"
        advice = (
            f"say which gets what: `load_balancer: {{listeners: [{{port: 8080, default: {{forward: {takers[0]}}}}}]}}`"
        )
        yield Problem(entry.place, key, reason, advice)


def _after(root: Mapping) -> Iterator[Problem]:
    services = entries(find(root, "services"))
    waits: dict[str, list[str]] = {}
    for id, entry in services.items():
        after = find(entry.value, "after")
        waits[id] = [item.text for item in items(after) if isinstance(item, Scalar)]
        for index, item in enumerate(items(after)):
            if isinstance(item, Scalar) and item.text not in services:
                yield _missing_service(root, item, ("services", id, "after", index), item.text)
    for circle in _circles(waits):
        after = find(services[circle[0]].value, "after")
        place = after.place if after else root.place
        reason = f"these wait for each other: {' -> '.join([*circle, circle[0]])}"
        yield Problem(place, f"services.{circle[0]}.after", reason, "remove one of them")


def _circles(waits: dict[str, list[str]]) -> Iterator[list[str]]:
    """Ways that lead back to their beginning: one for each step that closes one, every name looked at once."""
    seen: set[str] = set()
    for start in waits:
        way = {start: iter(waits[start])} if start not in seen else {}
        seen.add(start)
        while way:
            last = next(reversed(way))
            following = next(way[last], None)
            if following is None:
                del way[last]
            elif following in way:
                yield list(way)[list(way).index(following) :]
            elif following in waits and following not in seen:
                seen.add(following)
                way[following] = iter(waits[following])


def _jobs(root: Mapping) -> Iterator[Problem]:
    services = entries(find(root, "services"))
    for id, entry in entries(find(root, "jobs")).items():
        service, path = find(entry.value, "service"), ("jobs", id, "service")
        if not isinstance(service, Scalar):
            continue
        if service.text not in services:
            yield _missing_service(root, service, path, service.text)
        elif find(services[service.text].value, "targets") is not None:
            reason = f"fairlead does not run {service.text}, so a job has no release of it to run in"
            yield Problem(service.place, dotted(path), reason, "name a service with `app` or `command`")


def _custom_metrics(root: Mapping) -> Iterator[Problem]:
    for id, entry in entries(find(root, "services")).items():
        known = entries(find(entry.value, "custom_metrics"))
        for path, node in walk(entry.value, ("services", id)):
            if not (isinstance(node, Scalar) and path[-1] == "metric" and node.text.startswith("custom:")):
                continue
            name = node.text.removeprefix("custom:")
            if name not in known:
                close = nearest(name, known)
                advice = f"did you mean custom:{close}?" if close else f"add it to services.{id}.custom_metrics"
                yield Problem(node.place, dotted(path), f"there is no custom metric {shown(name)}", advice)


def _security_groups(root: Mapping) -> Iterator[Problem]:
    known = {"load_balancer", "bastion"}.union(*(entries(find(root, kind)) for kind in KINDS[:3]))
    advice = "name load_balancer, bastion, a service, a cache or a database"
    for name, entry in entries(find(root, "network", "security_groups")).items():
        path = ("network", "security_groups", name)
        if name not in known:
            yield Problem(entry.place, dotted(path), f"there is nothing named {shown(name)}", advice)
        for index, rule in enumerate(items(entry.value)):
            peer = find(rule, "from")
            if isinstance(peer, Scalar) and "/" not in peer.text and peer.text not in known:
                key = dotted((*path, index, "from"))
                yield Problem(peer.place, key, f"there is nothing named {shown(peer.text)}", advice)


def _data(document: Interpolated) -> Iterator[Problem]:
    for reference in document.references:
        if reference.kind == "secrets":
            continue
        known = entries(find(document.root, reference.kind))
        if reference.id not in known:
            close = nearest(reference.id, known)
            advice = f"did you mean {close}?" if close else f"add it to `{reference.kind}`"
            reason = f"{reference.text}: there is no {reference.kind}.{reference.id}"
            yield Problem(reference.node.place, dotted(reference.path), reason, advice)


def _instance_addresses(document: Interpolated) -> Iterator[Problem]:
    """An instance listens on a port, on a socket, or (a worker) on neither, and only that can be named."""
    for id, entry in entries(find(document.root, "services")).items():
        if not has_port(entry.value):
            yield from _addresses_of_a_worker(document, id, entry)
            continue
        command = find(entry.value, "command")
        texts = [node for _, node in walk(command) if isinstance(node, Scalar)] if command else []
        named = {name for node in texts for name in INSTANCE.findall(node.text)}
        on_socket = command is None or "socket" in named
        wrong = "port" if on_socket else "socket"
        reasons = {
            "port": "listens on a Unix socket, so it has no port",
            "socket": "listens on a port, since its command does not name ${instance.socket}",
        }
        for path, node in walk(entry.value, ("services", id)):
            known = may_name_instances(path) and path not in document.unknown
            if known and isinstance(node, Scalar) and wrong in INSTANCE.findall(node.text):
                advice = f"write ${{instance.{'socket' if on_socket else 'port'}}}"
                yield Problem(node.place, dotted(path), f"the service {id} {reasons[wrong]}", advice)


def _addresses_of_a_worker(document: Interpolated, id: str, entry: Entry) -> Iterator[Problem]:
    for path, node in walk(entry.value, ("services", id)):
        if not (isinstance(node, Scalar) and may_name_instances(path)) or path in document.unknown:
            continue
        if found := next((name for name in INSTANCE.findall(node.text) if name in ("port", "socket")), ""):
            reason = f"the service {id} says `port: none`, so its instances have no {found}"
            yield Problem(node.place, dotted(path), reason, f"remove ${{instance.{found}}}, or `port: none`")
