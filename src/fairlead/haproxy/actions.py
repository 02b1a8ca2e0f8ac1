"""What happens to a request, once it is known which rule is its own. Pure.

In: the listeners on an endpoint. Out: rules of HAProxy that set txn.tg to the full name of a target group, and rules
that answer (aws-semantics A4). Equal actions of several rules are written once.

What was chosen stands in txn.rule: `NUMBER/STACK.SERVICE` of a rule that sends all its requests to one group, which
needs nothing more; `NUMBER/STACK` of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fairlead.core.model import Action, Forward, Listener, Redirect, Respond
from fairlead.core.traffic import Routing
from fairlead.haproxy import cookies, words
from fairlead.haproxy.owners import Part, when
from fairlead.haproxy.pages import SERVER, answer
from fairlead.haproxy.patterns import listed
from fairlead.haproxy.redirects import LONGEST, location

BODILESS = (204, 205)
"""Statuses of answers that have no content, and so no type."""

COOKIE = "AWSALBTG"

CHOSEN = "{ var(txn.tg) -m found }"

NAMES_A_GROUP = "{ var(txn.rule) -m sub . }"


def choice(routing: Routing, number: int, action: Action) -> str:
    """What txn.rule becomes when that rule (0: the default) is the request's own."""
    only = action.only if isinstance(action, Forward) else None
    stack = words.name(routing.stack, "stack")
    return f"{words.count(number, 'rule', 0)}/{group(routing, only) if only else stack}"


def group(routing: Routing, service: str) -> str:
    """The full name of a service's group."""
    return f"{words.name(routing.stack, 'stack')}.{words.name(service, 'service')}"


def forwards(parts: Sequence[Part]) -> list[str]:
    """The frontend's rules: behind them txn.tg is set, unless the request is to be answered (`answers`)."""
    lines: list[str] = []
    named = False
    for routing, listener in parts:
        for action, own in _chosen(routing, listener):
            if isinstance(action, Forward):
                lines += [*_remembered(action, own, routing), *_weighted(action, own, routing)]
        named = named or any(isinstance(action, Forward) and action.only for action in listener.actions)
    if named:
        lines.append(when("set-var(txn.tg) var(txn.rule),field(2,/)", f"!{CHOSEN}" if lines else "", NAMES_A_GROUP))
    return lines


def answers(parts: Sequence[Part]) -> list[str]:
    """Rules that answer, of a backend of their own: many of them cost a request that is forwarded nothing."""
    lines: list[str] = []
    for routing, listener in parts:
        for action, own in _chosen(routing, listener):
            if isinstance(action, Redirect):
                lines += _redirect(action, own, listener)
            elif isinstance(action, Respond):
                lines.append(when(_respond(action), own))
    return lines


def types(parts: Sequence[Part]) -> list[str]:
    """Rules for answers (`http-after-response`): HAProxy itself gives no type to one without content."""
    return [
        when(f"set-header Content-Type {words.content_type(action.content_type)}", own)
        for routing, listener in parts
        for action, own in _chosen(routing, listener)
        if isinstance(action, Respond) and not action.body and action.status not in BODILESS
    ]


def _chosen(routing: Routing, listener: Listener) -> Iterator[tuple[Action, str]]:
    """Each action that its rules' choice does not complete, with the condition that one of them was chosen."""
    picks: dict[Action, list[str]] = {}
    for number, action in _numbered(listener):
        if not isinstance(action, Forward) or action.only is None:
            picks.setdefault(action, []).append(choice(routing, number, action))
    for action, mine in picks.items():
        for own in listed("var(txn.rule) -m str --", mine):
            yield action, f"{{ {own} }}"


def _numbered(listener: Listener) -> list[tuple[int, Action]]:
    found = [(number, rule.then) for number, rule in enumerate(listener.rules, 1)]
    return found if listener.default is None else [*found, (0, listener.default)]


def sticky(parts: Sequence[Part]) -> bool:
    """Whether some rule keeps its clients with the group that was chosen for them."""
    found = (action for _, listener in parts for action in listener.actions)
    return any(isinstance(action, Forward) and action.stickiness is not None for action in found)


def remembering() -> list[str]:
    """What a response tells the client about its group: `http-response` rules."""
    value = "%[var(txn.tg),concat(|,txn.until),base64]"
    return [when(one, "{ var(txn.until) -m found }") for one in cookies.written(COOKIE, value)]


def _weighted(forward: Forward, own: str, routing: Routing) -> list[str]:
    """A die for each request (aws-semantics A4): the share of a group is its weight, whatever its health."""
    weights = [(group(routing, service), weight) for service, weight in forward.weights if weight]
    if not weights:
        return [when(answer(503), own, f"!{CHOSEN}")]
    total, upto, lines = sum(weight for _, weight in weights), 0, []
    if len(weights) > 1:
        lines.append(when(f"set-var(txn.die) rand({words.count(total, 'weights')})", own, f"!{CHOSEN}"))
    for name, weight in weights[:-1]:
        upto += weight
        lines.append(when(f"set-var(txn.tg) str({name})", own, f"!{CHOSEN}", f"{{ var(txn.die) -m int lt {upto} }}"))
    return [*lines, when(f"set-var(txn.tg) str({weights[-1][0]})", own, f"!{CHOSEN}")]


def _remembered(forward: Forward, own: str, routing: Routing) -> list[str]:
    """Take the group that the client's cookie names, when it is one of the rule's and the cookie holds still."""
    if forward.stickiness is None:
        return []
    names = " ".join(group(routing, service) for service in forward.services)
    seconds = words.count(math.ceil(forward.stickiness), "stickiness duration")
    said, held = "var(txn.said)", "{ var(txn.said) -m found }"
    return [
        *(when(rule, own, condition) for rule, condition in cookies.read(COOKIE, "txn.said")),
        when("set-var(txn.now) date", own),
        when(
            f"set-var(txn.tg) {said},field(1,|)", own, held, f"{{ {said},field(1,|) -m str -- {names} }}",
            f"{{ {said},field(2,|),sub(txn.now) -m int gt 0 }}",
        ),
        when(f"set-var(txn.until) date({seconds})", own),
    ]  # fmt: skip


def _redirect(redirect: Redirect, own: str, listener: Listener) -> list[str]:
    scheme = "https" if listener.protocol == "HTTPS" else "http"
    to = location(redirect, scheme, listener.port)
    lines = [when(f"set-var-fmt(txn.to) {to.base}", own)]
    if to.query:
        asks = "{ var(txn.asked) -m len gt 0 }"
        lines.append(when(f"set-var-fmt(txn.asked) {to.query}", own))
        lines.append(when('set-var-fmt(txn.to) "%[var(txn.to)]?%[var(txn.asked)]"', own, asks))
    return [
        *lines,
        when(answer(507), own, f"{{ var(txn.to) -m len gt {LONGEST} }}"),
        when(answer(redirect.status, ("Location %[var(txn.to)]",)), own),
    ]


def _respond(respond: Respond) -> str:
    status = words.count(respond.status, "status of an answer", 200, 599)
    kind = words.content_type(respond.content_type)
    if not respond.body:
        return f"return status {status} {SERVER}"
    body = words.text(respond.body, "body of an answer")
    return f"return status {status} content-type {kind} string {body} {SERVER}"
