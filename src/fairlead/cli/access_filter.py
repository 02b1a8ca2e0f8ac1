"""Which requests of an access log are meant. Nearly all lines of a long log are not, so what is cheap is asked first.

In: what options of `fairlead logs --access` say. Out: a question that a line answers with yes or no. The readers of
options raise UsageError, which says what they take.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fairlead.cli.access_files import Span
from fairlead.core.accesslog import Request, parse, path_in
from fairlead.core.printable import printable
from fairlead.core.rules import expression
from fairlead.errors import UsageError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

TYPES = frozenset((b"http", b"https", b"h2", b"ws", b"wss", b"grpc", b"grpcs"))
"""What lines begin with; what begins otherwise is no request, but what HAProxy says of itself."""

SLACK = timedelta(seconds=10)
"""How far lines may be out of order: threads of HAProxy write side by side, and clocks are set."""

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)", re.ASCII)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """None or empty: whichever."""

    stack: str
    service: str | None = None
    statuses: frozenset[bytes] = frozenset()
    """Three digits each."""
    methods: frozenset[str] = frozenset()
    path: re.Pattern[str] | None = None
    """Of a whole path, without its query."""
    slower: float | None = None
    """Seconds that it took at least."""
    instance: str | None = None
    clients: tuple[IPv4Network | IPv6Network, ...] = ()
    pattern: re.Pattern[str] | None = None

    @property
    def everything(self) -> bool:
        """Whether every request of the stack passes."""
        return self == Wanted(stack=self.stack)

    def passes(self, line: bytes) -> bool:
        head = line.split(b" ", 9)
        if len(head) < 10 or head[0] not in TYPES or not head[2].startswith(b"app/%s/" % self.stack.encode()):
            return False
        if self.statuses and head[8] not in self.statuses:
            return False
        # First what an unread line can fail at.
        if self.slower is not None and _took(head[5:8]) < self.slower:
            return False
        for name in (self.service, self.instance):
            if name is not None and name.encode() not in line:
                return False
        if (self.methods or self.path) and not self._may_ask(line):
            return False
        if self.clients and not self._comes_from(head[3].decode("latin-1")):
            return False
        if self.pattern and not self.pattern.search(printable(line.decode("utf-8", "surrogateescape"))):
            return False
        return not self._asks_within or self._means(parse(line))

    @property
    def _asks_within(self) -> bool:
        return bool(self.methods) or any(
            value is not None for value in (self.service, self.path, self.slower, self.instance)
        )

    def _may_ask(self, line: bytes) -> bool:
        """Whether the first quoted field can be meant; where it holds an escape, nobody knows yet."""
        quoted = line.split(b'"', 2)
        if len(quoted) < 3:
            return False  # cut off: what a HAProxy that died on a full disk wrote last
        asked = quoted[1]
        method, _, rest = asked.partition(b" ")
        if b"\\" in asked:
            return True
        if self.methods and method.decode("latin-1") not in self.methods:
            return False
        return self.path is None or self.path.match(path_in(rest.decode("utf-8", "surrogateescape"))) is not None

    def _means(self, request: Request | None) -> bool:
        if request is None:
            return False
        if self.service is not None and request.service != self.service:
            return False
        if self.instance is not None and request.instance != self.instance:
            return False
        if self.methods and request.method not in self.methods:
            return False
        if self.path is not None and self.path.match(request.path) is None:
            return False
        return self.slower is None or (request.duration is not None and request.duration >= self.slower)

    def _comes_from(self, client: str) -> bool:
        from ipaddress import ip_address

        try:
            address = ip_address(client.rpartition(":")[0].strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in self.clients)


def _took(fields: list[bytes]) -> float:
    """Seconds, as far as three fields tell; infinite when only the whole line can."""
    try:
        seconds = [float(field) for field in fields]
    except ValueError:
        return math.inf
    return sum(seconds) if min(seconds) >= 0 else math.inf


def statuses(text: str) -> frozenset[bytes]:
    """`5xx`, `502`, `4xx,5xx`: every status that is meant."""
    found: set[bytes] = set()
    for word in (part.strip().lower() for part in text.split(",")):
        if not re.fullmatch(r"[1-5](xx|\d\d)", word, re.ASCII):
            raise UsageError(f"--status {text!r} is no status", "", "Write it like one of these: 5xx, 502, 4xx,5xx.")
        every = range(int(word[0]) * 100, int(word[0]) * 100 + 100) if word.endswith("xx") else [int(word)]
        found.update(b"%d" % status for status in every)
    return frozenset(found)


def methods(text: str) -> frozenset[str]:
    """`GET`, `put,delete`."""
    words = [part.strip().upper() for part in text.split(",")]
    for word in words:
        if not re.fullmatch(r"[A-Z][A-Z_-]*", word, re.ASCII):
            raise UsageError(f"--method {text!r} is no method", "", "Write it like one of these: GET, POST,PUT.")
    return frozenset(words)


def path(text: str) -> re.Pattern[str]:
    """`/api/*`, as a path's condition in a rule."""
    if not text.startswith(("/", "*")):
        raise UsageError(
            f"--path {text!r} matches no path", "every path begins with /", "Write it like this: '/api/*'."
        )
    if "?" in text and "=" in text:
        raise UsageError(
            f"--path {text!r} holds a query", "it is compared with the path alone", "For a query use --grep."
        )
    return expression(text, case=True)


def slower(text: str) -> float:
    """`200ms`, `1.5s`, `2m`, in seconds."""
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--slower {text!r} is no length of time", "", "Write it like one of these: 200ms, 1.5s, 2m.")
    return float(match[1]) * _SECONDS[match[2]]


def clients(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """`10.0.0.7`, `10.0.0.0/8,::1`."""
    from ipaddress import ip_network

    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError as problem:
        raise UsageError(
            f"--client {text!r} is no address", str(problem), "Write it like one of these: 10.0.0.7, 10.0.0.0/8, ::1."
        ) from problem


def span(since: float | None, until: float | None) -> Span:
    """since, until: seconds since 1970."""
    early, begin = (_moment(since, -SLACK), _moment(since)) if since is not None else (b"", b"")
    late, end = (_moment(until, SLACK), _moment(until)) if until is not None else (b"~", b"~")
    return Span(since=begin, until=end, early=early, late=late)


def _moment(at: float, shift: timedelta = timedelta()) -> bytes:
    """As lines write it."""
    moment = datetime.fromtimestamp(at, UTC) + shift
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds").encode() + b"Z"
