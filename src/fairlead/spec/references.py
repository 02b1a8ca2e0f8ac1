"""What one part of the file says of another: a listener's service, a job's service, the order of starts, ids. What is
said of caches, databases and buckets is in `resources`.

Works on the tree and not on the validated file, so that a wrong value elsewhere hides nothing. It passes over what
is not shaped as it should be: `validate` has a problem for that already. Each rule is a generator of problems.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pydantic_core import PydanticCustomError

from fairlead.core.interpolation import INSTANCE
from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, Sequence, dotted, find, walk
from fairlead.spec.interpolate import Interpolated, may_name_instances
from fairlead.spec.problems import Problem, listed, nearest, shown
from fairlead.spec.schema.requests import TargetAddress

KINDS = ("services", "caches", "databases", "buckets")
RESERVED = {"bastion": "security groups use it for the bastion"}


def reference_problems(document: Interpolated) -> Iterator[Problem]:
    """Every problem between parts, in no order."""
    root = document.root
    yield from _ids(root)
    yield from _forwards(root)
    yield from _protocols(root)
    yield from _sticky_groups(root)
    yield from _targets(root)
    yield from _ports(root)
    yield from _implicit_listener(root)
    yield from _no_listener(root)
    yield from _after(root)
    yield from _jobs(root)
    yield from _custom_metrics(root)
    yield from _security_groups(root)
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


def _protocols(root: Mapping) -> Iterator[Problem]:
    """HTTP2 and GRPC are reached from HTTPS only (aws-semantics A7): on a listener of HTTP every request is HTTP/1.1,
    and would get a 464."""
    services = entries(find(root, "services"))
    advice = (
        "write `protocol: HTTPS` and `certificates`, or `target_group: {protocol: HTTP1}` where the program speaks it"
    )
    listeners = items(find(root, "load_balancer", "listeners"))
    for path, name, node in forwards(root):
        speaks = _speaks(services, name)
        if speaks and _text(find(listeners[int(path[2])], "protocol"), "HTTP") == "HTTP":
            reason = (
                f"the service {name} speaks {speaks}, which is reached from HTTPS only: each request would get a 464"
            )
            yield Problem(node.place, dotted(path), reason, advice)
    for name in services if find(root, "load_balancer", "listeners") is None else ():
        protocol = find(services[name].value, "target_group", "protocol")
        if protocol and (speaks := _speaks(services, name)):
            reason = f"{speaks} is reached from HTTPS only, and without `listeners` there is one of HTTP"
            yield Problem(protocol.place, f"services.{name}.target_group.protocol", reason, advice)


def _speaks(services: dict[str, Entry], name: str) -> str:
    """HTTP2 or GRPC, when the service says so, or "". GRPC beside an `app` has its own problem."""
    service = services[name].value if name in services else None
    text = _text(find(service, "target_group", "protocol"))
    has_app = find(service, "app") is not None
    return text if text == "HTTP2" or (text == "GRPC" and not has_app) else ""


def _text(node: Node | None, default: str = "") -> str:
    """The text of a single value; `default` where there is none."""
    return node.text if isinstance(node, Scalar) else default if node is None else ""


def _sticky_groups(root: Mapping) -> Iterator[Problem]:
    """A forward to several services, and the stickiness of each of them (aws-semantics A4, B4)."""
    services = entries(find(root, "services"))
    for path, action in actions(root):
        named = entries(find(action, "forward"))
        for name in named if len(named) > 1 else ():
            kind = _text(find(services[name].value, "target_group", "stickiness", "type") if name in services else None)
            key = dotted((*path, "forward", name))
            if kind == "app_cookie":
                reason = f"the service {name} has stickiness of the type app_cookie, which does not go with weights"
                yield Problem(
                    named[name].place, key, reason, "write `type: lb_cookie` there, or forward to one service"
                )
            elif kind and find(action, "stickiness") is None:
                reason = (
                    f"the service {name} has stickiness, which needs that of the rule too: else a client would change"
                )
                yield Problem(named[name].place, key, reason, "add `stickiness: 1d` beside `forward`")


def _targets(root: Mapping) -> Iterator[Problem]:
    """Each address once in a service, and none that is a listener of this file: requests would go round for ever."""
    listeners = _listening(root)
    for id, entry in entries(find(root, "services")).items():
        first: dict[str, Node] = {}
        for index, node in enumerate(items(find(entry.value, "targets"))):
            address, key = _address(node), f"services.{id}.targets.{index}"
            if not address:
                continue
            if address in first:
                reason = f"the address stands there already, on line {first[address].place.line}"
                yield Problem(node.place, key, reason, "name each target once")
            first.setdefault(address, node)
            if listener := next((where for where in listeners if _is_heard(address, *where)), None):
                reason = f"is this file's own listener on port {listener[1]}, so that requests would go round for ever"
                yield Problem(node.place, key, reason, "name the program that answers them")


def _address(node: Node) -> str:
    """A target as it will be used, or "" for what is none: that has its own problem."""
    try:
        return TargetAddress().read(_text(node))
    except PydanticCustomError:
        return ""


def _listening(root: Mapping) -> list[tuple[str, str]]:
    """The address and port of every listener, as text."""
    address = _text(find(root, "load_balancer", "address"), "127.0.0.1")
    listeners = find(root, "load_balancer", "listeners")
    ports = [_text(find(listener, "port")) for listener in items(listeners)]
    return [(address, port) for port in (ports if listeners else ["8080"])]


def _is_heard(target: str, address: str, port: str) -> bool:
    """Whether what is sent to `target` reaches a listener; a wildcard hears every loopback address of its kind."""
    host, _, number = target.rpartition(":")
    machine = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    wildcards = ("0.0.0.0", "::") if machine.version == 4 else ("::",)
    return number == port and (str(machine) == address or (address in wildcards and machine.is_loopback))


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


def _no_listener(root: Mapping) -> Iterator[Problem]:
    """Where no service takes requests and no listener is written there is none, whose keys they could be."""
    services = entries(find(root, "services"))
    balancer = entries(find(root, "load_balancer"))
    takers = any(has_port(entry.value) for entry in services.values())
    if services and not takers and "listeners" not in balancer:
        for key, entry in balancer.items():
            reason = "says nothing: no service of this file takes requests, so it has no listener"
            yield Problem(entry.place, f"load_balancer.{key}", reason, "remove it, or add `listeners`")


def _after(root: Mapping) -> Iterator[Problem]:
    services = entries(find(root, "services"))
    waits: dict[str, list[str]] = {}
    for id, entry in services.items():
        after = find(entry.value, "after")
        waits[id] = [item.text for item in items(after) if isinstance(item, Scalar)]
        for index, item in enumerate(items(after)):
            path: Path = ("services", id, "after", index)
            if not isinstance(item, Scalar) or item.text in services:
                continue
            if section := next((kind for kind in KINDS[1:] if item.text in entries(find(root, kind))), ""):
                reason = f"{section}.{item.text} is no service, and is started before those that refer to it anyhow"
                yield Problem(item.place, dotted(path), reason, "remove it")
            else:
                yield _missing_service(root, item, path, item.text)
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


def _instance_addresses(document: Interpolated) -> Iterator[Problem]:
    """An instance listens on a port, on a socket, or (a worker) on neither, and only that can be named."""
    for id, entry in entries(find(document.root, "services")).items():
        if not has_port(entry.value):
            yield from _addresses_of_a_worker(document, id, entry)
            continue
        if find(entry.value, "targets") is not None:
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
