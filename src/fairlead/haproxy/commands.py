"""The runtime commands that fairlead sends, and how their answers are read. Pure.

One table holds every command with the answer that means success: success is by whitelist, anything else is an error to
show (haproxy.md section 3.2). Answers in columns are read by the columns' names, so that another version's extra
columns do no harm.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from fairlead.core.anomalies import Tally
from fairlead.core.traffic import Check
from fairlead.errors import BalancerError
from fairlead.haproxy import words

_TABLE: dict[str, tuple[str, str]] = {
    # what is done -> (command, what its answer must contain; "": the answer must be empty)
    "add": ("add server {server} {address} {options}", "New server registered."),
    "delete": ("del server {server}", "Server deleted."),
    "enable health": ("enable health {server}", ""),
    "ready": ("set server {server} state ready", ""),
    "drain": ("set server {server} state drain", ""),
    "maint": ("set server {server} state maint", ""),
    "health up": ("set server {server} health up", ""),
    "health down": ("set server {server} health down", ""),
    "weight": ("set server {server} weight {weight}", ""),
    "shutdown sessions": ("shutdown sessions server {server}", ""),
}

SHOW_STAT = "show stat -1 5 -1"
"""Frontends (1) and servers (4) of every proxy."""

SHOW_STATE = "show servers state"
SHOW_INFO = "show info"
SHOW_SESSIONS = "show sess"
"""All that runs inside a process, one a line."""

_SESSION = re.compile(r"(0x[0-9a-f]+): .* be=(\S+) srv=(\S+) ")

NOTHING = Tally()

_MAINTAINED = 0x01 | 0x02 | 0x20 | 0x40
_CLOSED = _MAINTAINED | 0x08 | 0x10
"""Bits of srv_admin_state by which a server gets no new request."""

_RECALL = 0x04
"""Another bit: the server was `disabled` in the file that its process was started on."""

_RAMPS = "1"
"""The srv_op_state of a server in its slow start."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line for HAProxy, without its end, and what its answer must contain."""

    line: str
    expected: str

    def judge(self, answer: str) -> None:
        """BalancerError unless `answer` says that it was done."""
        done = self.expected in answer if self.expected else not answer.strip()
        if not done:
            raise BalancerError(f"HAProxy did not do `{self.line}`", answer.strip() or "its answer is empty")


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server as `show servers state` has it. closed: it gets no new request, by drain or maintenance; drained: by
    drain alone, so that its checks go on."""

    backend: str
    name: str
    running: bool
    closed: bool
    drained: bool
    weight: int


@dataclass(frozen=True, slots=True)
class Row:
    """One frontend or server of `show stat`. requests: a frontend's total. check: None while none has finished;
    `checking`: one runs now, and `check` lacks code and duration of the one before. throttle: percent of its weight
    while a slow start lasts. tally: what came of a server's requests so far."""

    proxy: str
    name: str
    status: str
    sessions: int
    requests: int
    check: Check | None
    checking: bool
    throttle: int | None = None
    tally: Tally = NOTHING

    @property
    def usable(self) -> bool:
        """Whether requests may go there: passing its checks, or taken as it is."""
        return self.status.startswith("UP") or self.status == "no check"


def server_name(backend: str, server: str) -> str:
    """`BACKEND/SERVER`, safe to put into a command."""
    for part in backend.split("."):
        words.name(part, "backend")
    return f"{backend}/{words.name(server, 'instance')}"


def command(kind: str, backend: str, server: str, **fields: str) -> Command:
    """A command of the table. fields: `address` (HAProxy's form, unquoted) and `options`, or `weight`."""
    template, expected = _TABLE[kind]
    if "address" in fields:
        fields["address"] = words.runtime_word(fields["address"], "target address")
    return Command(template.format(server=server_name(backend, server), **fields), expected)


def end_session(session: str) -> Command:
    """End one of those that `parse_sessions` gives."""
    return Command(f"shutdown session {session}", "")


def parse_sessions(answer: str) -> list[tuple[str, str, str]]:
    """(session, backend, server) of each that has a server."""
    found = (_SESSION.match(line) for line in answer.splitlines())
    return [(one[1], one[2], one[3]) for one in found if one and one[3] != "<none>"]


_READ = {
    "pxname", "svname", "status", "scur", "req_tot", "check_status", "check_code", "check_duration", "last_chk",
    "check_desc", "throttle", "stot", "hrsp_5xx", "econ", "eresp",
}  # fmt: skip
"""The columns that `_row` reads."""


def parse_stat(answer: str) -> tuple[Row, ...]:
    """Rows of `show stat`; BalancerError when it is none."""
    if not answer.startswith("# pxname,"):
        raise BalancerError("HAProxy's statistics cannot be read", answer[:200])
    lines = csv.reader(io.StringIO(answer.removeprefix("# ").strip() + "\n"))
    # A hundred columns, three rows for each target, once a second: only those that are read become a dict.
    read = [(number, name) for number, name in enumerate(next(lines)) if name in _READ]
    return tuple(_row({name: values[number] for number, name in read}) for values in lines)


def _row(fields: dict[str, str]) -> Row:
    status = fields["check_status"]
    checking = status.startswith("* ")
    return Row(
        proxy=fields["pxname"],
        name=fields["svname"],
        status=fields["status"],
        sessions=int(fields["scur"] or 0),
        requests=int(fields.get("req_tot") or 0),
        check=_check(status.removeprefix("* "), fields),
        checking=checking,
        throttle=int(fields["throttle"]) if fields.get("throttle") else None,
        tally=_tally(fields),
    )


def _tally(fields: dict[str, str]) -> Tally:
    requests = int(fields.get("stot") or 0)
    errors = sum(int(fields.get(name) or 0) for name in ("hrsp_5xx", "econ", "eresp"))
    # A connection that was tried again counts in each of its attempts.
    return Tally(requests=requests, errors=min(errors, requests))


def _check(status: str, fields: dict[str, str]) -> Check | None:
    if status in ("", "INI", "UNK"):
        return None
    code, duration = fields["check_code"], fields["check_duration"]
    # A status out of the state file comes with code 0, and its duration is not known either.
    recalled = code == "0"
    return Check(
        status=status,
        code=int(code) if code and not recalled else None,
        duration=int(duration) / 1000 if duration and not recalled else None,
        text=fields["last_chk"] or fields["check_desc"],
    )


def last_finished(row: Row, remembered: Check | None) -> Check | None:
    """The last check that has finished: while another one runs, and after a reload, HAProxy shows it without code and
    duration."""
    if row.check is None:
        return remembered
    bare = row.check.code is None and row.check.duration is None
    if remembered is not None and remembered.status == row.check.status and (row.checking or bare):
        return remembered
    return row.check


def parse_servers_state(answer: str) -> dict[tuple[str, str], ServerState]:
    """(backend, server) -> its state; BalancerError when the answer is of an unknown version."""
    lines = answer.strip().splitlines()
    if len(lines) < 2 or lines[0] != "1" or not lines[1].startswith("# "):
        raise BalancerError("HAProxy's server states cannot be read", answer[:200])
    names = lines[1].removeprefix("# ").split()
    states = {}
    for line in lines[2:]:
        fields = dict(zip(names, line.split(" "), strict=False))
        key = fields["be_name"], fields["srv_name"]
        if key[0].startswith("_"):
            continue  # no target's
        admin = int(fields["srv_admin_state"])
        states[key] = ServerState(
            backend=key[0],
            name=key[1],
            running=fields["srv_op_state"] == "2",
            closed=bool(admin & _CLOSED),
            drained=bool(admin & _CLOSED) and not admin & _MAINTAINED,
            weight=int(fields["srv_uweight"]),
        )
    return states


def state_to_keep(answer: str) -> str:
    """The answer to `show servers state` as the next HAProxy is to find it. With the bit that recalls `disabled`, it
    would take a server that is `disabled` again for one that was given back meanwhile, and send it requests before its
    first check. A ramp of which more is behind than before it would be taken for one that is over: the configuration
    has what is left of it, and that begins now."""
    lines = answer.strip().splitlines()
    names = lines[1].removeprefix("# ").split()
    admin, state, since = (names.index(f"srv_{name}") for name in ("admin_state", "op_state", "time_since_last_change"))
    rows = [line.split(" ") for line in lines[2:]]
    for fields in rows:
        fields[admin] = str(int(fields[admin]) & ~_RECALL)
        if fields[state] == _RAMPS:
            fields[since] = "0"
    return "\n".join([*lines[:2], *(" ".join(fields) for fields in rows)]) + "\n"


def parse_info(answer: str) -> dict[str, str]:
    """`show info` as it says: Pid, Version, Uptime_sec, CurrConns ..."""
    pairs = (line.partition(": ") for line in answer.splitlines())
    return {key: value for key, colon, value in pairs if colon}
