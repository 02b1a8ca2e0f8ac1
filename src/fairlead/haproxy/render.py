"""The configuration file, whole, from what the balancer is asked for. Pure.

In: routings, members, and the `Place` of one generation (its paths and limits). Out: the text that `haproxy -c` and
`haproxy -D` read. The law: the same input gives the same text; the text without its `server` lines (`static_part`)
changes only when a reload is needed; no value can change more than its own directive (`words`). The directives and
their reasons are those of haproxy.md section 2; what it writes and counts for those who look on is said by
`accessline`, `timing` and `own`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.core.traffic import Routing
from fairlead.haproxy import maps, own, relay, timing, tls, words
from fairlead.haproxy.backends import backend
from fairlead.haproxy.claims import Endpoint, endpoint_of
from fairlead.haproxy.frontends import frontend, only_group
from fairlead.haproxy.headers import TRACE_FORMAT
from fairlead.haproxy.owners import Part
from fairlead.haproxy.pages import own_errors
from fairlead.haproxy.servers import OPEN, SAFE, UNSAFE, Key, Member, file_line, full_name, group_of, is_in

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
    """What one generation of HAProxy is told about itself. tls_folder: where the certificates of HTTPS listeners lie
    (`haproxy/tls.py`), maps_folder: where maps do (`haproxy/maps.py`; "": there are none, and every rule is a line);
    user: (uid, gid) to run as, when started by root."""

    runtime_socket: str
    pidfile: str
    state_file: str
    fd_limit: int
    threads: int
    tls_folder: str = "/nowhere"
    maps_folder: str = ""
    user: tuple[int, int] | None = None
    secret: str = ""
    """By which one HAProxy knows what another passes on (`relay`); "": nothing is passed on."""
    measured: bool = True
    """Whether response times (where there are maps) and own answers are counted; False only to measure what that
    costs."""


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
    opened = any(listener.opening is not None for routing in ordered for listener in routing.listeners)
    timed = maps.file(place.maps_folder, timing.table_of_buckets()) if place.measured and place.maps_folder else ""
    endpoints = sorted(_by_endpoint(ordered).items())
    for endpoint, parts in endpoints:
        lines += frontend(
            endpoint, parts, place.tls_folder, place.maps_folder, opened=opened, secret=place.secret,
            measured=place.measured, timed=bool(timed),
        )  # fmt: skip
        if place.secret:
            idle = max(routing.attributes.idle_timeout for routing, _ in parts)
            secure = parts[0][1].protocol == "HTTPS"
            lines += relay.backends(endpoint, secure, words.milliseconds(idle, "idle timeout"), place.secret)
    if place.measured and ordered:
        groups = [full_name(routing.stack, one) for routing in ordered for one in routing.groups]
        lines += timing.section([own.table(), *(timing.table(full) for full in sorted(groups) if timed)])
    choosing = {routing.stack for _, parts in endpoints if only_group(parts) is None for routing, _ in parts}
    for routing in ordered:
        named = routing.attributes.access_log and routing.stack in choosing
        for group in sorted(routing.groups, key=lambda one: one.name):
            full = full_name(routing.stack, group)
            mine = [member for member in known if member.target.group == full]
            for role in (SAFE, UNSAFE, OPEN):
                lines += backend(full, routing, group, role, timed=timed, named=named)
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
    delays = [group.attributes.deregistration_delay for routing in routings for group in routing.groups]
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
        # Else the access log has 1 kB of a URL, and does not know the version behind it.
        "    tune.http.logurilen 16384",
        # A variable, so that the text does not depend on the number; 2 is nobody's once it runs.
        f'    log "fd@${{{LOG_VARIABLE}-2}}" len 8192 format iso daemon notice',
    ]
    if any(listener.protocol == "HTTPS" for routing in routings for listener in routing.listeners):
        lines += tls.global_lines(place.tls_folder)
        # As on an ALB; after so many requests a client is told to begin a new connection (aws-semantics A7).
        lines += ["    tune.h2.fe.max-concurrent-streams 128", "    tune.h2.fe.max-total-streams 10000"]
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
        # A connection that says nothing is no bad request: it is closed in silence, and neither counted nor logged.
        "    option http-ignore-probes",
        # Bytes of a WebSocket count while it lasts, and not all of them at its end.
        "    option contstats",
        "    retries 3",
        "    backlog 4096",
        f"    unique-id-format {TRACE_FORMAT}",
        *(f"    {error}" for error in own_errors()),
    ]
