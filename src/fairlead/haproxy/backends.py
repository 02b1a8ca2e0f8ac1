"""One target group's part of the configuration: its three backends, without their servers. Pure.

In: the group, its stack's routing, and the role. Out: the lines of one backend: how its target is chosen, how requests
reach it, which are tried again, how it is checked (haproxy.md sections 2, 4, 5, 8). What a group does not use costs its
requests nothing: its lines are left out.

A request reaches a backend with txn.open set when it may go to that instance only (`openings`).
"""

from __future__ import annotations

import re

from fairlead.core.model import HealthCheck, LoadBalancerAttributes, TargetGroupAttributes
from fairlead.core.traffic import Routing, TargetGroup
from fairlead.haproxy import accessline, timing, words
from fairlead.haproxy.pages import denied, own_error
from fairlead.haproxy.protocols import mismatches
from fairlead.haproxy.servers import OPEN, SAFE, UNSAFE, has_opening, is_checked, settings
from fairlead.haproxy.stickiness import WAY, chosen, remembered

BALANCE = {
    "round_robin": "roundrobin",
    "least_outstanding_requests": "leastconn",
    # `random(2)` would take the less busy of two; an ALB's is plain.
    "weighted_random": "random(1)",
}

OPENED = "{ var(txn.open) -m found }"

MEANT = "set-var(txn.meant) bool(true)"
"""Before a 503 that is to stay one: what HAProxy says by itself becomes 502."""

WAY_ALONE = [f"force-persist if {OPENED}", f"use-server %[var(txn.open)] if {OPENED}"]
"""To the instance that txn.open names, whatever its health. HAProxy does not send elsewhere what a server was forced
upon."""

MOST_GRPC = 99
"""The largest status that a matcher may name."""

_GRPC_CODES = re.compile(r"[0-9]{1,2}(?:-[0-9]{1,2})?(?:,[0-9]{1,2}(?:-[0-9]{1,2})?)*")


def backend(
    full: str, routing: Routing, group: TargetGroup, role: str, *, timed: str = "", named: bool = False
) -> list[str]:
    """Its lines, without its servers. full: `STACK.SERVICE`; role: one of the three suffixes; timed: the map by which
    response times are counted (`timing.counted`), "": they are not; named: whether the access log asks which group it
    was."""
    # The fail-open backend does not know every instance: the way to one alone is through the others.
    opened = has_opening(routing, group) and role != OPEN
    stickiness = group.attributes.stickiness
    lines = [
        # Its servers' changes of state; those of the other two would only say it again.
        *(["log global"] if role == SAFE else []),
        f"balance {BALANCE[group.attributes.algorithm]}",
        *_times(routing.attributes, group.attributes),
        *([f"http-request {accessline.belongs(full)}"] if named else []),
        *(_alone() if opened else []),
        *(f"http-request {rule}" for rule in mismatches(group.attributes.protocol) if _is_needed(routing, group)),
        *(_nobody(full) if role == OPEN else []),
        *chosen(stickiness),
        *(WAY_ALONE if opened else []),
        *([WAY] if stickiness else []),
        *_connections(group.attributes, role),
        *(f"http-response {rule}" for rule in _answered(full, timed)),
        *remembered(stickiness, f"!{OPENED}" if opened else ""),
        *_unreachable(),
        *(_check(group) if is_checked(group, role) else []),
        # A comment, so that the static part tells when the options of all servers have changed.
        f"# servers: {settings(group, role)}".rstrip(),
    ]
    return ["", f"backend {full}{role}", *(f"    {line}" for line in lines)]


def _is_needed(routing: Routing, group: TargetGroup) -> bool:
    """HTTP/1 targets miss nothing while all clients speak HTTP/1."""
    return group.attributes.protocol != "HTTP1" or any(one.protocol == "HTTPS" for one in routing.listeners)


def _times(balancer: LoadBalancerAttributes, group: TargetGroupAttributes) -> list[str]:
    idle = words.milliseconds(balancer.idle_timeout, "idle timeout")
    return [
        f"timeout connect {words.milliseconds(group.connect_timeout, 'connect timeout')}",
        f"timeout server {idle}",
        f"timeout tunnel {idle}",
    ]


def _nobody(full: str) -> list[str]:
    """The fail-open backend is the last: without a server there is nobody, and an ALB says 503."""
    nobody = f"{{ nbsrv({full}{OPEN}) eq 0 }}"
    return [f"http-request {MEANT} if {nobody}", f"http-request {denied(503)} if {nobody}"]


def _answered(full: str, timed: str) -> list[str]:
    """`http-response` rules: what is known of an answer as soon as it comes."""
    return [
        # HAProxy would send an answer of `HTTP/1.1 20 OK` on, without its length.
        "deny deny_status 502 if !{ status 100:999 }",
        f"set-var({timing.SERVED}) srv_id,mul({timing.PER_SERVER})",
        *([timing.answered(), timing.counted(full, timed)] if timed else []),
    ]


def _unreachable() -> list[str]:
    """HAProxy says 503 when no target could be reached; an ALB says 502."""
    own = f"!{{ var({timing.SERVED}) -m found }} !{{ var(txn.meant) -m found }}"
    return [
        own_error(503, shown=502),
        f'http-after-response set-status 502 reason "Bad Gateway" if {{ status 503 }} {own}',
    ]


def _alone() -> list[str]:
    """To the instance that txn.open names, or nowhere: an unknown name has no queue."""
    gone = f"{OPENED} !{{ var(txn.open),srv_queue -m found }}"
    return [
        f"http-request {MEANT} if {gone}",
        f"http-request {denied(503)} if {gone}",
        f"http-request disable-l7-retry if {OPENED}",
        # The rules that follow are not for it: whoever looks at one instance may use a plain browser.
        f"http-request allow if {OPENED}",
    ]


def _connections(group: TargetGroupAttributes, role: str) -> list[str]:
    """How requests reach targets, and which are tried again (haproxy.md sections 5.1 and 5.3)."""
    pooled = role == UNSAFE and group.unsafe_methods == "pooled"
    if group.retry == "off":
        # As an ALB: one attempt. On a pooled connection HAProxy would answer a dead target with silence, not with 502.
        how = "http-reuse always" if pooled else "option http-server-close"
        return [how, "no option redispatch", "retries 0", "retry-on none"]
    if role == SAFE:
        return ["http-reuse always", "retry-on conn-failure empty-response"]
    return ["http-reuse always" if pooled else "option http-server-close", "retry-on conn-failure"]


def _check(group: TargetGroup) -> list[str]:
    check = group.health_check
    patience = f"timeout check {words.milliseconds(check.timeout, 'health check timeout')}"
    if check.protocol == "TCP":
        return [patience]  # `check` alone connects
    return ["option httpchk", *_question(check, group.attributes.protocol), patience]


def _question(check: HealthCheck, protocol: str) -> list[str]:
    """What is asked, and what the answer must be."""
    method, version = "GET", "HTTP/1.1" if protocol == "HTTP1" else "HTTP/2"
    headers = f"hdr Host {words.check_host(check.host)} hdr User-Agent ELB-HealthChecker/2.0"
    expected = [f"status {words.codes(check.matcher)}"] if protocol != "GRPC" else _grpc_status(check.matcher)
    if protocol == "GRPC":
        method, headers = "POST", f"{headers} hdr Content-Type application/grpc hdr TE trailers"
    return [
        f"http-check send meth {method} uri {words.check_path(check.path)} ver {version} {headers}",
        *(f"http-check expect {one}" for one in expected),
    ]


def _grpc_status(matcher: str) -> list[str]:
    """HAProxy sees a header `grpc-status` (an answer that is nothing but its end, as every error may be), and none that
    follows a body. So where 0 is allowed, an answer without one passes, too."""
    allowed = _grpc_codes(matcher)
    refused = [code for code in range(MOST_GRPC + 1) if code not in allowed]
    named = "hdr name -m str grpc-status value -m reg"
    status = f"! {named} '^({_either(refused)})$'" if 0 in allowed else f"{named} '^({_either(sorted(allowed))})$'"
    return ["status 200", "hdr name -m str content-type value -m beg application/grpc", status]


def _either(codes: list[int]) -> str:
    # Of all that there are nothing is refused; an empty alternative would match an empty status.
    return "|".join(map(str, codes)) or "none"


def _grpc_codes(matcher: str) -> set[int]:
    """A matcher of gRPC statuses: `12`, `0,12`, `0-99`."""
    if len(matcher) > words.LONGEST_WORD or not _GRPC_CODES.fullmatch(matcher):
        raise words.refuse(
            "health check matcher", matcher, "it must list gRPC statuses or ranges of them, like 0,12-14"
        )
    codes: set[int] = set()
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        found = range(int(low), int(high or low) + 1)
        if not found:
            raise words.refuse("health check matcher", matcher, f"the range {part} is empty")
        codes.update(found)
    return codes
