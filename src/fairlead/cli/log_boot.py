"""The system log of one start: what was started, as whom and when, how it ended, and what it said first.

In: the folder of an instance or run. Out: a `Boot`, as text or JSON. It needs no daemon, so it also tells of starts
that no daemon is left to tell of.
"""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fairlead.aiokit.records import outcome_in, words_of
from fairlead.cli import output
from fairlead.cli.log_files import Line, LogFile, Past, service_of
from fairlead.core.printable import printable
from fairlead.core.processes import Outcome
from fairlead.engines.about import failed_start, read_end


@dataclass(frozen=True, slots=True)
class Boot:
    """ended_at: seconds since 1970; None: it has not ended, or nobody saw when. whole: `lines` are its very first."""

    log: LogFile
    outcome: Outcome | None
    """None: it has not ended, as far as its folder says."""
    ended_at: float | None
    why: str
    failed: bool
    lines: tuple[Line, ...]
    whole: bool

    def to_json(self) -> dict[str, Any]:
        about, outcome = self.log.about, self.outcome
        return {
            "instance": self.log.instance,
            "service": self.log.service,
            "release": self.log.release,
            "argv": list(about.argv) if about else None,
            "user": list(about.user) if about else None,
            "started_at": about.started_at if about else None,
            "ended_at": _iso(self.ended_at) if self.ended_at is not None else None,
            "exit_status": outcome.exit_status if outcome else None,
            "signal": outcome.signal if outcome else None,
            "failed_start": self.failed,
            "why": self.why,
            "lines": [line.text.decode("utf-8", errors="backslashreplace") for line in self.lines],
            "from_the_beginning": self.whole,
        }

    def text(self) -> list[str]:
        about = self.log.about
        release = f", release {self.log.release}" if self.log.release is not None else ""
        rows = [("instance", f"{self.log.instance}{release}")]
        if about is None:
            rows.append(("started", "by a fairlead that did not note when, as whom and what"))
        else:
            rows.append(("started", f"{output.moment(about.started_at)} as {_user(about.user[0])}"))
            rows.append(("program", shlex.join(about.argv)))
        rows.append(("ended", self._end()))
        if self.why:
            rows.append(("because", self.why))
        shown = [f"{name:<9} {output.cell(value)}" for name, value in rows]
        if not self.lines:
            return [*shown, "output    none"]
        return [*shown, "output    its first lines:" if self.whole else "output    (its beginning is gone)"] + [
            f"  | {line.shown}" for line in self.lines
        ]

    def _end(self) -> str:
        if self.outcome is None:
            return "no; it runs, or nobody has looked since it ended"
        about, after = self.log.about, ""
        if about and self.ended_at is not None:
            took = self.ended_at - datetime.fromisoformat(about.started_at).timestamp()
            after = f", {took:.1f} s after its start" if 0 <= took < 60 else f", after {output.duration(took)}"
        return f"{self.outcome}{after}"


def boot_of(log: LogFile, count: int) -> Boot:
    """The start that `log` is of, with its first `count` lines."""
    past = Past(log)
    ended_at = None
    for name in ("exit", "cleared"):
        if ended_at is None and os.path.lexists(f"{log.folder}/{name}"):
            ended_at = os.stat(f"{log.folder}/{name}").st_mtime
    return Boot(
        log=log,
        outcome=outcome_in(log.folder) if ended_at is not None else None,
        ended_at=ended_at,
        why=printable(read_end(log.folder).why),
        failed=failed_start(log.folder),
        lines=tuple(past.first(count)),
        whole=past.whole,
    )


def last_failed(logs: Sequence[LogFile], asked: str) -> LogFile | None:
    """The newest failed start, of the service or job `asked` if it is given."""
    wanted = ("", asked, f"{asked}.job", f"{asked}.before") if asked else None
    failed = [
        log
        for log in logs
        if (wanted is None or service_of(log.instance) in wanted) and log.ended and failed_start(log.folder)
    ]
    return max(failed, key=_started_at, default=None)


def _started_at(log: LogFile) -> float:
    if words_of(f"{log.folder}/shim"):
        return os.stat(f"{log.folder}/shim").st_mtime
    return log.written_at


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
