"""The configuration file, whole, from what the balancer is asked for. Pure.

In: routings, members, and the `Place` of one generation (its paths and limits). Out: the text that `haproxy -c` and
`haproxy -D` read. The law: the same input gives the same text; the text without its `server` lines (`static_part`)
changes only when a reload is needed; no value can change more than its own directive (`words`). The directives and
their reasons are those of haproxy.md section 2; the access log and the histogram are not rendered yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.core.traffic import Routing, TargetGroup
from fairlead.haproxy import words
from fairlead.haproxy.claims import Endpoint, endpoint_of
from fairlead.haproxy.frontends import Part, frontend
from fairlead.haproxy.servers import (
    CHECKED,
    OPEN,
    SAFE,
    UNSAFE,
    Key,
    Member,
    file_line,
    full_name,
    group_of,
    is_in,
    settings,
)

LONGEST_MAXCONN = 20_000
"""More would only cost memory: HAProxy's tables grow with it, whether used or not."""

SERVER_STEP = 64
"""Descriptors for checks and pooled connections are set aside in steps: one more target is no reason to reload."""

FAREWELL = 86_400.0
"""Seconds that an old process outlives the longest deregistration delay at most: the life of a WebSocket that a reload
found open. It ends sooner when its clients have gone."""

LOG_VARIABLE = "FAIRLEAD_LOG"
"""Of HAProxy's environment: the number of the descriptor that it writes its log to."""

MOST_UID = 2**32 - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one generation of HAProxy is told about itself. user: (uid, gid) to run as, when started by root."""

    runtime_socket: str
    pidfile: str
    state_file: str
    fd_limit: int
    threads: int
    user: tuple[int, int] | None = None


def threads_for(cores: int) -> int:
    """Half the cores, at most four: the targets need the others (haproxy.md section 11)."""
    return max(1, min(4, cores // 2))


def render(routings: Iterable[Routing], members: Iterable[Member], place: Place) -> str:
    """The file. BalancerError names a value that cannot be written."""
    ordered = sorted(routings, key=lambda routing: routing.stack)
    known = sorted(members, key=lambda member: (member.target.group, member.target.number))
    lines = ["# Written by fairlead, and again at every change of its targets."]
    lines += _global(ordered, len(known), place)
    lines += _defaults()
    for endpoint, parts in sorted(_by_endpoint(ordered).items()):
        lines += frontend(endpoint, parts)
    for routing in ordered:
        for group in sorted(routing.groups, key=lambda one: one.name):
            full = full_name(routing.stack, group)
            mine = [member for member in known if member.target.group == full]
            for role in (SAFE, UNSAFE, OPEN):
                lines += _backend(full, group, role)
                lines += [file_line(group, member, role) for member in mine if is_in(member, role)]
    return "\n".join(lines) + "\n"


def _by_endpoint(routings: Iterable[Routing]) -> dict[Endpoint, list[Part]]:
    found: dict[Endpoint, list[Part]] = {}
    for routing in routings:
        for listener in routing.listeners:
            found.setdefault(endpoint_of(listener), []).append((routing, listener))
    return found


def static_part(text: str) -> str:
    """`text` without its servers: what only a reload can change."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("    server "))


def servers_in(text: str) -> frozenset[Key]:
    """Every target that has a server in that configuration."""
    found, group = set(), ""
    for line in text.splitlines():
        if line.startswith("backend "):
            group = group_of(line.removeprefix("backend "))
        elif line.startswith("    server "):
            found.add((group, line.split(" ", 6)[5]))
    return frozenset(found)


def maxconn(fd_limit: int, listeners: int, targets: int) -> int:
    """Connections that fit into `fd_limit` descriptors: each needs two; checks and pooled connections need some too."""
    servers = -(-4 * targets // SERVER_STEP) * SERVER_STEP
    free = fd_limit - 500 - 2 * listeners - max(servers, fd_limit // 20)
    return max(100, min(LONGEST_MAXCONN, free // 2))


def _global(routings: list[Routing], targets: int, place: Place) -> list[str]:
    delays = [group.deregistration_delay for routing in routings for group in routing.groups]
    listeners = len(_by_endpoint(routings))
    socket = words.word(words.file_path(place.runtime_socket, "runtime socket"), "runtime socket")
    lines = [
        "global",
        f"    stats socket {socket} mode 600 level admin expose-fd listeners",
        "    stats timeout 1h",
        f"    pidfile {words.word(place.pidfile, 'pidfile')}",
        f"    server-state-file {words.word(place.state_file, 'state file')}",
        f"    nbthread {words.count(place.threads, 'threads', most=64)}",
        f"    maxconn {maxconn(place.fd_limit, listeners, targets)}",
        "    noreuseport",
        f"    hard-stop-after {words.milliseconds(max(delays, default=0.0) + FAREWELL, 'deregistration delay')}",
        "    tune.bufsize 16384",
        "    tune.http.maxhdr 256",
        # A variable, so that the text does not depend on the number; 2 is nobody's once it runs.
        f'    log "fd@${{{LOG_VARIABLE}-2}}" len 8192 format iso daemon notice',
    ]
    if place.user is not None:
        uid, gid = place.user
        lines.append(f"    uid {words.count(uid, 'uid', most=MOST_UID)}")
        lines.append(f"    gid {words.count(gid, 'gid', most=MOST_UID)}")
    return [*lines, ""]


def _defaults() -> list[str]:
    return [
        "defaults",
        "    mode http",
        "    load-server-state-from-file global",
        "    timeout connect 100ms",
        "    timeout client 60s",
        "    timeout server 60s",
        "    timeout queue 10s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 60s",
        "    timeout tunnel 60s",
        "    timeout client-fin 5s",
        "    option idle-close-on-response",
        "    option http-restrict-req-hdr-names preserve",
        "    option redispatch 1",
        "    option dontlognull",
        "    retries 3",
        "    backlog 4096",
        "    unique-id-format Root=1-%[date,hex,bytes(8,8)]-%[uuid(4),regsub(-,,g),bytes(0,24)]",
    ]


def _backend(full: str, group: TargetGroup, role: str) -> list[str]:
    lines = [
        "",
        f"backend {full}{role}",
        # Its servers' changes of state; those of the other two would only say it again.
        *(["    log global"] if role == SAFE else []),
        "    balance roundrobin",
        *_connections(group, role),
        "    http-response set-var(txn.tst) status",
        # HAProxy says 503 when no target could be reached; an ALB says 502 when there are targets.
        '    http-after-response set-status 502 reason "Bad Gateway"'
        f" if {{ status 503 }} !{{ var(txn.tst) -m found }} {{ nbsrv({full}{OPEN}) gt 0 }}",
    ]
    if role in CHECKED:
        check = group.health_check
        lines += [
            "    option httpchk",
            f"    http-check send meth GET uri {words.check_path(check.path)} ver HTTP/1.1"
            f" hdr Host {words.check_host(check.host)} hdr User-Agent ELB-HealthChecker/2.0",
            f"    http-check expect status {words.codes(check.matcher)}",
            f"    timeout check {words.milliseconds(check.timeout, 'health check timeout')}",
        ]
    # A comment, so that the static part tells when the options of all servers have changed.
    return [*lines, f"    # servers: {settings(group, role)}"]


def _connections(group: TargetGroup, role: str) -> list[str]:
    """How requests reach targets, and which are tried again (haproxy.md sections 5.1 and 5.3)."""
    if group.retry == "off":
        # As an ALB: one attempt. On a pooled connection HAProxy would answer a dead target with silence, not with 502.
        return ["    option http-server-close", "    no option redispatch", "    retries 0", "    retry-on none"]
    if role == SAFE:
        return ["    http-reuse always", "    retry-on conn-failure empty-response"]
    return ["    option http-server-close", "    retry-on conn-failure"]
