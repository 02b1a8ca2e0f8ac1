"""How a client stays with its target: cookies that say which it is, and nothing remembered here. Pure.

In: a group's stickiness. Out: lines of its backends. The cookie's value is base64 of `INSTANCE|EXPIRY` (seconds since
1970): AWSALB and AWSALBCORS on every response, or AWSALBAPP-0 beside a cookie of the app's (aws-semantics B4). The law:
a value that cannot be read, has expired, or names nobody in rotation chooses anew, and the response has a new one; so
does a request that was sent elsewhere because its target died under it. It holds over reloads, crashes and any number
of balancers, since all there is to know is in the cookie. A client could make one up: it would choose its own target,
and no more.
"""

from __future__ import annotations

from fairlead.core.model import Stickiness
from fairlead.haproxy import cookies, words
from fairlead.haproxy.owners import when

COOKIE, APP_COOKIE = "AWSALB", "AWSALBAPP-0"
LONGEST = 7 * 86_400
"""Seconds of a duration."""

_BOTH = "{ var(txn.stick) -m found }"


WAY = "use-server %[var(txn.to)] if { var(txn.to) -m found }"
"""To the target that the cookie names. One that is not there, down or in maintenance is passed over."""


def chosen(wanted: Stickiness | None) -> list[str]:
    """Set txn.to to the target that a valid cookie names."""
    if wanted is None:
        return []
    if wanted.cookie is None:
        read = [f"http-request {when(*rule)}" for rule in cookies.read(COOKIE, "txn.cookie")]
    else:
        own = f"{{ req.cook({words.cookie_name(wanted.cookie)}) -m found }}"
        read = [
            f"http-request set-var(txn.stick) bool(true) if {own} {{ req.cook({APP_COOKIE}) -m found }}",
            f"http-request set-var(txn.cookie) req.cook({APP_COOKIE}),b64dec if {_BOTH}",
        ]
    return [
        *read,
        "http-request set-var(txn.now) date if { var(txn.cookie) -m found }",
        "http-request set-var(txn.to) var(txn.cookie),field(1,'|')"
        " if { var(txn.cookie),field(2,'|'),sub(txn.now) -m int gt 0 }",
    ]


def remembered(wanted: Stickiness | None, unless: str) -> list[str]:
    """What a target's response gets; not the balancer's own. unless: a condition under which it gets nothing, or ""."""
    if wanted is None:
        return []
    seconds = words.count(round(wanted.duration), "stickiness duration", most=LONGEST)
    value, condition, begin = "%[var(txn.cookie),base64]", unless, []
    written = cookies.written(COOKIE, value)
    if wanted.cookie is not None:
        written = [cookies.written_alone(APP_COOKIE, value)]
        own = f"{{ res.cook({words.cookie_name(wanted.cookie)}) -m found }}"
        begin = [f"http-response set-var(txn.stick) bool(true) if {own}"]
        condition = f"{_BOTH} {unless}".strip()
    named = f'set-var-fmt(txn.cookie) "%[srv_name]|%[date({seconds})]"'
    return [*begin, *(f"http-response {when(one, condition)}" for one in (named, *written))]
