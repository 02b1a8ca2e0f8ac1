"""One port's part of the configuration: whose a request is, and which target group gets it. Pure.

In: an endpoint, and the listener of each stack there. Out: the lines of its frontend. The law:

- A request has one owner: the stack that names its host, else the one whose host pattern with `*` or `?` matches (the
  longest first), else the one that has a default. Only the owner's check token tells who answered.
- The owner's rules decide in their order, then its default. What nobody claims gets 404, as an ALB would be told to
  answer (fixed response).
- Whichever group was chosen, another method than GET, HEAD and OPTIONS goes to its backend with fresh connections, and
  everything to its fail-open backend when nobody in it is healthy.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core.model import Listener, Rule
from fairlead.core.traffic import Routing
from fairlead.haproxy import words
from fairlead.haproxy.claims import Endpoint, hosts_of
from fairlead.haproxy.patterns import conditions, is_exact
from fairlead.haproxy.servers import OPEN, UNSAFE, full_name

SAFE_METHODS = "GET HEAD OPTIONS"

Part = tuple[Routing, Listener]
"""What one stack wants of an endpoint."""

_HOST = "var(txn.host)"
_OWNED = "{ var(txn.own) -m found }"
_CHOSEN = "{ var(txn.tg) -m found }"


def frontend_name(endpoint: Endpoint) -> str:
    """`_l.127.0.0.1:8080`; fairlead's own proxies begin with `_`."""
    address, port = endpoint
    return f"_l.{words.ip(address, 'listener address')}:{words.count(port, 'listener port', 1, 65535)}"


def frontend(endpoint: Endpoint, parts: Sequence[Part]) -> list[str]:
    """Its lines. BalancerError names a value that cannot be written, or a service without group."""
    name, (address, port) = frontend_name(endpoint), endpoint
    for routing, listener in parts:
        _check(routing, listener)
    # As the daemon bound it: HAProxy takes a lent socket only when address and v6only agree.
    kind = "" if ":" not in address else " v4v6" if address == "::" else " v6only"
    # With one group for all requests nothing has to be chosen, and the lines are fewer.
    single = _only_group(parts)
    rules = [*_owner(parts), *_marks(parts), *_as_an_alb(port)]
    rules += _ring_of(single) if single else [*_choice(parts), *_ring_of_chosen()]
    return [
        "",
        f"frontend {name}",
        f"    bind {words.endpoint(address, port)}{kind} name {name} proto h1",
        *(f"    http-request {rule}" for rule in rules),
        "    http-response set-header X-Fairlead-Instance %[srv_name] if { var(txn.check) -m found }",
        "    use_backend %[var(txn.be)] if { var(txn.be) -m found }",
        f"    default_backend {single}" if single else "    use_backend %[var(txn.tg)]",
    ]


def _check(routing: Routing, listener: Listener) -> None:
    names = {group.name for group in routing.groups}
    for service in listener.services:
        if service not in names:
            raise words.refuse("listener's service", service, f"stack {routing.stack} has no such group")
    for rule in listener.rules:
        if bool(rule.paths) == bool(rule.hosts):
            raise words.refuse(f"a rule of stack {routing.stack}", rule, "it must have either paths or hosts")


def _only_group(parts: Sequence[Part]) -> str | None:
    if len(parts) == 1 and not parts[0][1].rules and parts[0][1].default is not None:
        return _group(parts[0][0], parts[0][1].default)
    return None


def _group(routing: Routing, service: str) -> str:
    return next(full_name(routing.stack, group) for group in routing.groups if group.name == service)


def _owner(parts: Sequence[Part]) -> list[str]:
    """Set txn.host, and txn.own where several stacks share the port."""
    hosts_matter = any(hosts_of(listener) for _, listener in parts)
    lines = ["set-var(txn.host) req.fhdr(host),host_only,lower"] if hosts_matter else []
    if len(parts) == 1:
        return lines
    named = [(words.name(routing.stack, "stack"), hosts_of(listener)) for routing, listener in parts]
    for stack, hosts in named:
        exact = filter(is_exact, hosts)
        lines += [_when(f"set-var(txn.own) str({stack})", condition) for condition in conditions(_HOST, exact)]
    wild = [(host, stack) for stack, hosts in named for host in hosts if not is_exact(host)]
    for host, stack in sorted(wild, key=lambda one: (-len(one[0]), one)):
        lines += [_when(f"set-var(txn.own) str({stack})", one, f"!{_OWNED}") for one in conditions(_HOST, [host])]
    defaults = [routing.stack for routing, listener in parts if listener.default is not None]
    return lines + [_when(f"set-var(txn.own) str({stack})", f"!{_OWNED}") for stack in defaults]


def _marks(parts: Sequence[Part]) -> list[str]:
    """Set txn.check on a request with its owner's token, which no target sees."""
    lines = []
    for routing, _ in parts:
        told = f"{{ req.fhdr(x-fairlead-check) -m str -- {words.token(routing.check_token)} }}"
        lines.append(_when("set-var(txn.check) bool(true)", told, _of(routing, parts)))
    return [*lines, "del-header X-Fairlead-Check"]


def _of(routing: Routing, parts: Sequence[Part]) -> str:
    """The condition that a request is the stack's."""
    return f"{{ var(txn.own) -m str -- {words.name(routing.stack, 'stack')} }}" if len(parts) > 1 else ""


def _choice(parts: Sequence[Part]) -> list[str]:
    """Set txn.tg to the target group's name, or answer."""
    lines = []
    for routing, listener in parts:
        owned = _of(routing, parts)
        for rule in listener.rules:
            forward = f"set-var(txn.tg) str({_group(routing, rule.forward)})"
            # Its own condition first: of many rules most do not match, and the rest is then not looked at.
            lines += [_when(forward, one, owned, f"!{_CHOSEN}") for one in _matches(rule)]
        if listener.default is not None:
            lines.append(_when(f"set-var(txn.tg) str({_group(routing, listener.default)})", owned, f"!{_CHOSEN}"))
    if all(listener.default is None for _, listener in parts):
        lines.append(_when('return status 404 content-type text/plain string "Not Found"', f"!{_CHOSEN}"))
    return lines


def _matches(rule: Rule) -> list[str]:
    if rule.hosts:
        return conditions(_HOST, map(words.host_pattern, rule.hosts))
    return conditions("path", map(words.path_pattern, rule.paths))


def _when(action: str, *conditions: str) -> str:
    held = " ".join(filter(None, conditions))
    return f"{action} if {held}" if held else action


def _page(title: str) -> str:
    return f'string "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"'


def _as_an_alb(port: int) -> list[str]:
    """What an ALB refuses, and the headers that it adds."""
    trace = "{ req.fhdr(x-amzn-trace-id) -m sub Root= }"
    forwarded = "{ req.fhdr(x-forwarded-for) -m found }"
    return [
        "deny deny_status 405 if METH_TRACE",
        "return status 400 content-type text/html "
        f"{_page('400 Bad Request')} if HTTP_1.1 !{{ req.hdr(host) -m found }}",
        f"return status 463 content-type text/html {_page('463')} if {{ req.hdr_cnt(x-forwarded-for) gt 30 }}",
        f'set-header X-Amzn-Trace-Id "Self=%[unique-id,bytes(5)];%[req.fhdr(x-amzn-trace-id)]" if {trace}',
        f"set-header X-Amzn-Trace-Id %[unique-id] unless {trace}",
        f'set-header X-Forwarded-For "%[req.fhdr(x-forwarded-for)], %[src]" if {forwarded}',
        f"set-header X-Forwarded-For %[src] unless {forwarded}",
        "set-header X-Forwarded-Proto http",
        f"set-header X-Forwarded-Port {port}",
    ]


def _ring_of(group: str) -> list[str]:
    """Set txn.be where it is not the group's first backend. Both rings have their own checks: a request fails open when
    the ring that would take it has nobody."""
    return [
        f"set-var(txn.be) str({group}{OPEN}) if {{ nbsrv({group}) eq 0 }}",
        f"set-var(txn.be) str({group}{OPEN}) if !{{ method {SAFE_METHODS} }} {{ nbsrv({group}{UNSAFE}) eq 0 }}",
        f"set-var(txn.be) str({group}{UNSAFE}) if !{{ var(txn.be) -m found }} !{{ method {SAFE_METHODS} }}",
    ]


def _ring_of_chosen() -> list[str]:
    """The same for the group that txn.tg names."""
    return [
        f'set-var-fmt(txn.be) "%[var(txn.tg)]{OPEN}" if {{ var(txn.tg),nbsrv eq 0 }}',
        f'set-var-fmt(txn.be) "%[var(txn.tg)]{OPEN}" if !{{ method {SAFE_METHODS} }}'
        f" {{ var(txn.tg),concat({UNSAFE}),nbsrv eq 0 }}",
        f'set-var-fmt(txn.be) "%[var(txn.tg)]{UNSAFE}" if !{{ var(txn.be) -m found }} !{{ method {SAFE_METHODS} }}',
    ]
