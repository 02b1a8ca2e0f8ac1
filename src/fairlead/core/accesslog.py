r"""The access log: how its files are named, and what one of its lines says.

A folder of an access log holds, for each generation N of HAProxy that wrote into it:

    access.N.log                            what HAProxy appends to; its beginning may be a hole (it reads as zeros)
    access.N.BEGIN-END.FIRST-LAST.log.gz    bytes BEGIN to END of that, compressed; about when they were written

The law: a byte of generation N belongs to the file of BEGIN-END that spans it, and else to access.N.log. So a line is
there once, whatever is being compressed and whoever was killed while doing so.

A line is one of an Application Load Balancer (aws-semantics C1): 33 fields apart by blanks, those that a client can
shape in double quotes; then fairlead's own, which readers of ALB lines ignore as any field that they do not know: the
instance, how often the request was sent again, HAProxy's termination state. In a quoted field `\` stands before `"`,
`\` and `]`. Anything else in the file is no request, and is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

_FILE = re.compile(r"access\.([1-9][0-9]{0,8})\.log")
_SEGMENT = re.compile(
    r"access\.([1-9][0-9]{0,8})\.([0-9]{1,18})-([0-9]{1,18})\.([0-9]{8}T[0-9]{6}Z)-([0-9]{8}T[0-9]{6}Z)\.log\.gz"
)

UNFINISHED = ".part"
"""What a segment's name ends with while it is written; nobody reads it."""


def file_name(generation: int) -> str:
    """Of what a generation writes to."""
    return f"access.{generation}.log"


def generation_of(name: str) -> int | None:
    """Whose file that is; None: it is another."""
    match = _FILE.fullmatch(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Bytes `begin` to `end` of what a generation wrote, written between `first` and `last` (`20261121T192243Z`)."""

    last: str
    generation: int
    begin: int
    end: int
    first: str

    @property
    def name(self) -> str:
        return f"access.{self.generation}.{self.begin}-{self.end}.{self.first}-{self.last}.log.gz"


def segment_of(name: str) -> Segment | None:
    """The segment of that name; None: it is another file."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    return Segment(generation=int(match[1]), begin=int(match[2]), end=int(match[3]), first=match[4], last=match[5])


def written_at(line: bytes) -> str:
    """The second at which a line was written, as names have it; "": it is no request."""
    match = _MOMENT.match(line)
    return stamp_of(match[1].decode()) if match else ""


def stamp_of(time: str) -> str:
    """`20261121T192243Z` of `2026-11-21T19:22:43` and whatever follows."""
    return time[:19].replace("-", "").replace(":", "") + "Z"


_MOMENT = re.compile(rb"[a-z0-9]{1,8} (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.Z]")


class Request(NamedTuple):
    """The fields of a line in their order, as they stand there but for their quotes and escapes; `-`: there is none."""

    type: str
    time: str
    elb: str
    client: str
    target: str
    request_processing_time: str
    target_processing_time: str
    response_processing_time: str
    elb_status_code: str
    target_status_code: str
    received_bytes: str
    sent_bytes: str
    request: str
    user_agent: str
    ssl_cipher: str
    ssl_protocol: str
    target_group_arn: str
    trace_id: str
    domain_name: str
    chosen_cert_arn: str
    matched_rule_priority: str
    request_creation_time: str
    actions_executed: str
    redirect_url: str
    error_reason: str
    target_list: str
    target_status_code_list: str
    classification: str
    classification_reason: str
    conn_trace_id: str
    transformed_host: str
    transformed_uri: str
    request_transform_status: str
    instance: str = "-"
    retries: str = "-"
    termination_state: str = "-"

    @property
    def method(self) -> str:
        """`GET`; `-` of what was no request that could be read."""
        return self.request.partition(" ")[0] or "-"

    @property
    def url(self) -> str:
        """`http://shop.test:80/path?query`, as sent."""
        return self.request.partition(" ")[2].rpartition(" ")[0] or "-"

    @property
    def protocol(self) -> str:
        """`HTTP/1.1`."""
        return self.request.rpartition(" ")[2] or "-"

    @property
    def path(self) -> str:
        """`/path`, without the query."""
        return path_in(self.url)

    @property
    def stack(self) -> str:
        return _named(self.elb)

    @property
    def service(self) -> str:
        """ "": none was chosen."""
        return _named(self.target_group_arn)

    @property
    def client_address(self) -> str:
        return self.client.rpartition(":")[0].strip("[]")

    @property
    def duration(self) -> float | None:
        """Seconds until its answer began; of one that no target answered, until it had ended (an ALB's fields tell
        nothing of that but the difference of two times). None: nobody knows."""
        parts = [number(text) for text in self[5:8]]
        if None not in parts:
            return round(sum(part for part in parts if part is not None), 3)
        begun, ended = _of_day(self.request_creation_time), _of_day(self.time)
        return None if begun is None or ended is None else round((ended - begun) % 86400, 6)

    def to_json(self) -> dict[str, Any]:
        """As Athena's table of ALB logs names the fields, and fairlead's own; numbers are numbers, and what there is
        not is null."""
        client, _, client_port = self.client.rpartition(":")
        target, _, target_port = self.target.rpartition(":")
        method, _, rest = self.request.partition(" ")
        url, _, protocol = rest.rpartition(" ")
        return {
            "type": self.type,
            "time": self.time,
            "elb": self.elb,
            "client_ip": _given(client.strip("[]")),
            "client_port": number(client_port),
            "target_ip": _given(target),
            "target_port": number(target_port),
            "request_processing_time": number(self.request_processing_time),
            "target_processing_time": number(self.target_processing_time),
            "response_processing_time": number(self.response_processing_time),
            "elb_status_code": number(self.elb_status_code),
            "target_status_code": number(self.target_status_code),
            "received_bytes": number(self.received_bytes),
            "sent_bytes": number(self.sent_bytes),
            "request_verb": _given(method),
            "request_url": _given(url),
            "request_proto": _given(protocol),
            **{name: _given(getattr(self, name)) for name in self._fields[13:20]},
            "matched_rule_priority": number(self.matched_rule_priority, least=-1),
            **{name: _given(getattr(self, name)) for name in self._fields[21:33]},
            "instance": _given(self.instance),
            "retries": number(self.retries),
            "termination_state": _given(self.termination_state),
        }


def parse(line: bytes) -> Request | None:
    """What a line (without its end) says; None: it is no request. Fields behind those that are known are ignored."""
    # Bytes that are no UTF-8 are shown as escapes by whoever prints.
    match = _LINE.match(line.decode("utf-8", "surrogateescape"))
    if match is None:
        return None
    fields = match.groups()
    if "\\" in match.group():
        fields = tuple(field and _ESCAPED.sub(r"\1", field) for field in fields)
    return Request(*fields[:33], *(field or "-" for field in fields[33:]))


def path_in(url: str) -> str:
    """`/path` of `http://shop.test:80/path?query`, whatever follows behind a blank."""
    return "/" + url.partition("://")[2].partition(" ")[0].partition("/")[2].partition("?")[0]


def number(text: str, least: float = 0) -> float | int | None:
    """What a field with a number says; None where there is none (`-`, `-1`)."""
    try:
        found = float(text) if "." in text else int(text)
    except ValueError:
        return None
    return found if found >= least else None


def _given(text: str) -> str | None:
    return None if text in ("", "-") else text


def _named(arn: str) -> str:
    """The name in `app/NAME/ID` and `targetgroup/NAME/ID`."""
    parts = arn.split("/")
    return parts[-2] if len(parts) >= 3 else ""


def _of_day(time: str) -> float | None:
    """Seconds since midnight."""
    try:
        hours, minutes, seconds = time.partition("T")[2].rstrip("Z").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = {13, 14, 18, 19, 20, 23, 24, 25, 26, 27, 28, 29, 31, 32, 33, 34}
_PLAIN_FIELD, _QUOTED_FIELD = r"([^ \"]+)", r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_FIELDS = [_QUOTED_FIELD if place in _QUOTED else _PLAIN_FIELD for place in range(1, 37)]
_OWN = "".join(f"(?: {field}" for field in _FIELDS[33:]) + ")?" * 3
_LINE = re.compile(" ".join(_FIELDS[:33]) + _OWN + "(?= |$)", re.DOTALL)
