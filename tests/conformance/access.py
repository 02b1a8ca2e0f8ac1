"""The access log as a stranger reads it: a pattern of its own, by the layout of Athena's table of ALB logs, beside which
fairlead's own reader stands, so that what is wrong with one of the two shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fairlead.core.accesslog import Request, parse
from tests.conformance.client import Client
from tests.conformance.rehearsal import Up

_TEXT = r'(?:[^"\\]|\\.)*'
"""Within quotes; what would end it, or escapes, stands behind a backslash."""

_COLUMNS = (
    ("type", r"https?|h2|grpcs|wss?", " "),
    ("time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", " "),
    ("elb", r"app/[^ /]+/[0-9a-f]{16}", " "),
    ("client_ip", r"[0-9a-f.:]+", ":"),
    ("client_port", r"\d+", " "),
    ("target_ip", r"[0-9a-z.:-]*?", "(?:(?<=[^ ]):|(?=-))"),
    ("target_port", r"\d+|-", " "),
    ("request_processing_time", r"-1|\d+\.\d{3}", " "),
    ("target_processing_time", r"-1|\d+\.\d{3}", " "),
    ("response_processing_time", r"-1|\d+\.\d{3}", " "),
    ("elb_status_code", r"\d{3}", " "),
    ("target_status_code", r"-|\d{3}", " "),
    ("received_bytes", r"\d+", " "),
    ("sent_bytes", r"\d+", ' "'),
    ("request_verb", r"[A-Z]+|-", " "),
    ("request_url", _TEXT, " "),
    ("request_proto", r"HTTP/\d\.\d|-", '" "'),
    ("user_agent", _TEXT, '" '),
    ("ssl_cipher", r"-|[A-Z0-9_-]+", " "),
    ("ssl_protocol", r"-|TLSv1\.[23]", " "),
    ("target_group_arn", r"-|targetgroup/[^ /]+/[0-9a-f]{16}", ' "'),
    ("trace_id", _TEXT, '" "'),
    ("domain_name", _TEXT, '" "'),
    ("chosen_cert_arn", _TEXT, '" '),
    ("matched_rule_priority", r"-|\d+", " "),
    ("request_creation_time", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", ' "'),
    ("actions_executed", r"-|forward|fixed-response|redirect", '" "'),
    ("redirect_url", _TEXT, '" "'),
    ("error_reason", r"[A-Za-z-]+", '" "'),
    ("target_list", r"[0-9a-z.:-]+", '" "'),
    ("target_status_code_list", r"-|\d{3}", '" "'),
    ("classification", r"-|Acceptable|Ambiguous|Severe", '" "'),
    ("classification_reason", r"-|[A-Za-z]+", '" '),
    ("conn_trace_id", r"TID_[0-9a-f]+", ' "'),
    ("transformed_host", _TEXT, '" "'),
    ("transformed_uri", _TEXT, '" "'),
    ("request_transform_status", _TEXT, '"(?= |$)'),
)
"""Each column of the table, what it may be, and what stands behind it."""

_LINE = re.compile("".join(f"(?P<{name}>{what}){behind}" for name, what, behind in _COLUMNS))

OWN = ("instance", "retries", "termination_state")
"""What fairlead writes behind an ALB's fields."""


def columns(line: str) -> dict[str, str]:
    """What a reader of ALB lines makes of one; what stands behind the last column that it knows is passed over."""
    match = _LINE.match(line)
    assert match, f"no line of an ALB: {line}"
    return match.groupdict()


@dataclass(frozen=True, slots=True)
class Line:
    """One line, read by both."""

    text: str
    columns: dict[str, str]
    request: Request

    def __getitem__(self, column: str) -> str:
        return self.columns[column]

    @property
    def missing(self) -> set[str]:
        """Columns that say that there is nothing."""
        return {name for name, value in self.columns.items() if value in ("-", "-1", "")}


def line_of(text: str) -> Line:
    """Both readers must say the same."""
    found, request = columns(text), parse(text.encode())
    assert request is not None, text
    mine = request.to_json()
    for name, value in found.items():
        plain = re.sub(r"\\(.)", r"\1", value)
        same = (
            mine[name] is None if plain in ("-", "-1", "") else str(mine[name]) == plain or mine[name] == float(plain)
        )
        assert same, f"{name}: {plain!r} here, {mine[name]!r} there, in {text}"
    return Line(text, found, request)


LAG = 0.02
"""Seconds by which HAProxy's clock, which it reads once for all that it does in a turn, may be behind."""


def written_at(line: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(line.split(" ", 2)[1]).timestamp()


class Log:
    """The access log of a stack."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self.folder = Path(up.rehearsal.world.home, "stacks", up.stack.name, "logs", "access")

    def all(self) -> list[str]:
        """Every line that is there now, of all generations of HAProxy; those that are no requests begin with `-`."""
        files = sorted(self.folder.glob("access.*.log"), key=lambda path: int(path.name.split(".")[1]))
        text = b"".join(path.read_bytes() for path in files)
        return text[: text.rfind(b"\n") + 1].decode("latin-1").splitlines()

    def of(self, client: Client, count: int = 1) -> list[Line]:
        """The lines of a connection, which tells itself by both its ports (the kernel gives one of them to connections
        to several listeners) and by when it was opened (and gives it again): as soon as they are there, so many and no
        more."""
        host, port = client.socket.getsockname()[:2]
        try:
            listener = f":{client.socket.getpeername()[1]}"
        except OSError:
            listener = ""  # reset, and nobody knows any more

        def there() -> list[str]:
            mine = [line for line in self.all() if f" {host}:{port} " in line and listener in line.split('"')[1]]
            mine = [line for line in mine if written_at(line) > client.opened - LAG]
            return mine if len(mine) >= count else []

        found = self._up.rehearsal.until(there, f"{count} lines of {host}:{port}")
        assert len(found) == count, found
        return [line_of(line) for line in found]
