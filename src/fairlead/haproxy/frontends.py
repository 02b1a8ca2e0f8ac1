"""One port's part of the configuration: whose a request is, and what becomes of it. Pure.

In: an endpoint, and the listener of each stack there. Out: the lines of its frontend. The law:

- A request has one owner (`owners`). Only the owner's check token tells who answered.
- The owner's rules decide in their order, then its default (`core.rules`): txn.rule says which (`actions.choice`). What
  nobody claims gets 404, as an ALB would be told to answer (fixed response).
- Whichever group was chosen, another method than GET, HEAD and OPTIONS goes to its backend with fresh connections, and
  everything to its fail-open backend when nobody in it is healthy.
- What an Application Load Balancer refuses, adds and takes away, this does, too (`refusals`, `headers`).
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.core.model import Forward, Listener
from fairlead.core.traffic import Routing
from fairlead.haproxy import accessline, headers, openings, own, refusals, timing, words
from fairlead.haproxy.actions import CHOSEN, answers, choice, forwards, group, remembering, sticky, types
from fairlead.haproxy.claims import Endpoint
from fairlead.haproxy.conditions import rendered
from fairlead.haproxy.maps import maps_of, unless_before
from fairlead.haproxy.owners import Part, host, of, owner, when
from fairlead.haproxy.pages import SERVER
from fairlead.haproxy.relay import handed_over, ways
from fairlead.haproxy.servers import OPEN, UNSAFE
from fairlead.haproxy.tls import list_path

SAFE_METHODS = "GET HEAD OPTIONS"

HEADER_TIME = 10.0
"""Seconds for a whole header: a client that sends it slowly keeps nobody waiting longer."""

_PICKED = "{ var(txn.rule) -m found }"


def frontend_name(endpoint: Endpoint, *, opening: bool = False) -> str:
    """`_l.127.0.0.1:8080`, of an opening `_o.127.0.0.1:8080`; fairlead's own proxies begin with `_`."""
    address, port = endpoint
    kind = "_o" if opening else "_l"
    return f"{kind}.{words.ip(address, 'listener address')}:{words.count(port, 'listener port', 1, 65535)}"


def frontend(
    endpoint: Endpoint,
    parts: Sequence[Part],
    tls_folder: str,
    maps_folder: str = "",
    *,
    opened: bool = False,
    secret: str = "",
    measured: bool = True,
    timed: bool = True,
) -> list[str]:
    """Its lines, and those of the backend that answers for it, when some rule does. maps_folder: "" without maps;
    opened: an instance can be reached alone, here or at another port; secret, measured: of `Place`; timed:
    whether groups count response times. BalancerError names a value that cannot be written, or a service without group.
    """
    for routing, listener in parts:
        _check(routing, listener)
    listener = parts[0][1]
    secure = listener.protocol == "HTTPS"
    name = frontend_name(endpoint, opening=listener.opening is not None)
    # With one group for all requests nothing has to be chosen, and the lines are fewer.
    single = only_group(parts)
    logged = accessline.is_logged(parts)
    connections, owners = own.tracked(parts) if measured else ([], [])
    acls, requests = _requests(endpoint, parts, single, maps_folder, opened, owners)
    answering = [] if single else answers(parts)
    answerer = frontend_name(endpoint).replace("_l", "_a", 1)
    return [
        "",
        f"frontend {name}",
        f"    bind {_bind(endpoint, listener, tls_folder)} name {name}",
        *_times(parts),
        *(f"    {one}" for one in (accessline.where(endpoint, parts, single) if logged else ())),
        "    tcp-request connection set-var(sess.began) date",
        f"    tcp-request connection {headers.source(endpoint)}",
        *(f"    tcp-request connection {one}" for one in connections),
        *([f"    tcp-request connection {accessline.connected()}"] if logged else []),
        *(f"    acl {one}" for one in acls),
        *(
            f"    http-request {one}"
            for one in (*(handed_over(secret, headers.source(endpoint)) if secret else ()), *requests)
        ),
        *([f"    http-request {timing.begun()}"] if measured or logged else []),
        "    http-response set-header X-Fairlead-Instance %[srv_name] if { var(txn.check) -m found }",
        *([f"    http-response {timing.answered()}"] if logged and not timed else []),
        *(f"    http-response {one}" for one in (accessline.answered(parts) if logged else ())),
        *(f"    http-response {one}" for one in (remembering() if sticky(parts) else ())),
        *(f"    http-after-response {one}" for one in refusals.closing(parts)),
        *([f"    http-after-response {timing.passed()}"] if measured or logged else []),
        *(f"    http-after-response {one}" for one in (own.counted() if measured else ())),
        *(f"    http-after-response {one}" for one in (accessline.refused(single) if logged else ())),
        *(f"    {one}" for one in (ways(endpoint, secure) if secret else ())),
        *([f"    use_backend {answerer} if !{CHOSEN}"] if answering else []),
        "    use_backend %[var(txn.be)] if { var(txn.be) -m found }",
        f"    default_backend {single}" if single else "    use_backend %[var(txn.tg)]",
        *(_answerer(answerer, answering, parts, measured=measured, logged=logged) if answering else []),
    ]


def _answerer(name: str, answering: Sequence[str], parts: Sequence[Part], *, measured: bool, logged: bool) -> list[str]:
    """The backend that answers because a rule says so."""
    after = [
        *types(parts),
        *(own.asked_for() if measured else ()),
        *(accessline.asked_for() if logged else ()),
    ]
    return [
        "",
        f"backend {name}",
        *(f"    http-request {one}" for one in answering),
        *(f"    http-after-response {one}" for one in after),
    ]


def _requests(
    endpoint: Endpoint, parts: Sequence[Part], single: str | None, maps_folder: str, opened: bool, owners: Sequence[str]
) -> tuple[list[str], list[str]]:
    """(what `acl` lines say, `http-request` rules). single: the group of all requests, when there is one; owners: what
    stands behind the rules that find the owner."""
    acls: list[str] = []
    routing, listener = parts[0]
    logged = accessline.is_logged(parts)
    if listener.opening is not None:
        chosen, forwarded = openings.entered(listener, listener.opening), openings.way(routing, listener.opening)
    elif single is not None:
        chosen, forwarded = _marks(parts), _ring_of(single)
    else:
        acls, choices = _choice(parts, maps_folder)
        chosen, forwarded = [*_marks(parts), *choices], [*forwards(parts), *_ring_of_chosen()]
    return acls, [
        *(accessline.came(parts) if logged else ()),
        *host(parts),
        # Before anything is answered, so that it is known whose answer it was.
        *owner(parts),
        *owners,
        *(accessline.silenced(parts) if logged else ()),
        *refusals.refusals(parts),
        *refusals.desync(parts),
        *chosen,
        # Behind the choice: rules look at requests as the client sent them.
        *(openings.hidden() if opened else ()),
        *headers.kept(),
        *headers.named(endpoint),
        *headers.traced(),
        *headers.attributes(endpoint, parts),
        *forwarded,
    ]


def _check(routing: Routing, listener: Listener) -> None:
    names = {group.name for group in routing.groups}
    for service in listener.services:
        if service not in names:
            raise words.refuse("listener's service", service, f"stack {routing.stack} has no such group")


def only_group(parts: Sequence[Part]) -> str | None:
    """The group of all requests, when there is one."""
    (routing, listener), action = parts[0], parts[0][1].default
    if listener.opening is not None:
        return group(routing, listener.opening.service)
    if len(parts) > 1 or listener.rules or not isinstance(action, Forward) or action.only is None:
        return None
    return group(routing, action.only)


def _bind(endpoint: Endpoint, listener: Listener, tls_folder: str) -> str:
    address, port = endpoint
    # As the daemon bound it: HAProxy takes a lent socket only when address and v6only agree.
    kind = "" if ":" not in address else " v4v6" if address == "::" else " v6only"
    # Plain HTTP is HTTP/1: left to itself, HAProxy would take HTTP/2 there, too.
    speaks = " proto h1"
    if listener.protocol == "HTTPS":
        path = words.file_path(list_path(tls_folder, endpoint), "list of certificates")
        speaks = f" ssl crt-list {words.word(path, 'list of certificates')} alpn h2,http/1.1"
    return f"{words.endpoint(address, port)}{kind}{speaks}"


def _times(parts: Sequence[Part]) -> list[str]:
    """Whose a request is shows too late for these: the longest holds."""
    idle = max(routing.attributes.idle_timeout for routing, _ in parts)
    return [
        f"    timeout client {words.milliseconds(idle, 'idle timeout')}",
        f"    timeout http-keep-alive {words.milliseconds(idle, 'idle timeout')}",
        f"    timeout http-request {words.milliseconds(min(HEADER_TIME, idle), 'idle timeout')}",
    ]


def _marks(parts: Sequence[Part]) -> list[str]:
    """Set txn.check on a request with its owner's token, which no target sees."""
    lines = []
    for routing, _ in parts:
        told = f"{{ req.fhdr(x-fairlead-check) -m str -- {words.token(routing.check_token)} }}"
        lines.append(when("set-var(txn.check) bool(true)", told, of(routing, parts)))
    return [*lines, "del-header X-Fairlead-Check"]


def _choice(parts: Sequence[Part], maps_folder: str) -> tuple[list[str], list[str]]:
    """(what `acl` lines say, rules that set txn.rule or answer that nobody claims the request)."""
    acls, lines = [], []
    for at, (routing, listener) in enumerate(parts):
        owned = of(routing, parts)
        maps = maps_of(routing, listener) if maps_folder else None
        lines += maps.lookup(maps_folder, owned) if maps else []
        for number, rule in enumerate(listener.rules, 1):
            if maps and number in maps.numbers:
                continue
            # Its own conditions first: of many rules most do not match, and the rest is then not looked at.
            named, held = rendered(rule.when, f"r{at}.{number}")
            acls += named
            first = unless_before(number) if maps else f"!{_PICKED}"
            lines.append(_chosen(choice(routing, number, rule.then), *held, owned, first))
        if listener.default is not None:
            lines.append(_chosen(choice(routing, 0, listener.default), owned, f"!{_PICKED}"))
    if any(listener.default is None for _, listener in parts):
        lines.append(when(f'return status 404 content-type text/plain string "Not Found" {SERVER}', f"!{_PICKED}"))
    return acls, lines


def _chosen(choice: str, *conditions: str) -> str:
    return when(f"set-var(txn.rule) str({choice})", *conditions)


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
