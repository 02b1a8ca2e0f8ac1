"""What is known of a launch beside its log: who it is, of which release, what was started, as whom and when.

In: what an engine launches. Out: a file `about` in the instance's folder, and, once it has ended and nothing is left of
it, what control said of its end in the file `cleared`. Read without a daemon by `fairlead logs`. The law: no value of
an environment is ever in it. A file that is missing, or that somebody else wrote, reads as nothing known.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fairlead.aiokit.atomic import write_atomically
from fairlead.aiokit.records import outcome_in


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """One launch. user: (uid, gid) of the program. started_at: wall clock, ISO 8601 UTC."""

    stack: str
    id: str
    service: str
    release: int | None
    argv: tuple[str, ...]
    user: tuple[int, int]
    started_at: str

    def write(self, folder: str) -> None:
        """Leave it in `folder`. OSError."""
        write_atomically(f"{folder}/about", json.dumps(asdict(self)) + "\n", durable=False)


def read_about(folder: str) -> About | None:
    """What `folder` says of its launch; None when it says nothing."""
    said = _object(f"{folder}/about")
    with suppress(KeyError, TypeError, ValueError):
        uid, gid = said["user"]
        datetime.fromisoformat(said["started_at"])
        return About(
            stack=str(said["stack"]),
            id=str(said["id"]),
            service=str(said["service"]),
            release=None if said["release"] is None else int(said["release"]),
            argv=tuple(str(word) for word in said["argv"]),
            user=(int(uid), int(gid)),
            started_at=str(said["started_at"]),
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What control said when it cleared an instance. failed_start: None: it did not say. why: in words, or ""."""

    failed_start: bool | None = None
    why: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self)) + "\n"


def read_end(folder: str) -> End:
    """What `folder` says of the end; nothing when it has none, or nobody said."""
    said = _object(f"{folder}/cleared")
    failed = said.get("failed_start")
    return End(failed_start=failed if isinstance(failed, bool) else None, why=str(said.get("why", "")))


def failed_start(folder: str) -> bool:
    """Whether what ran in `folder`, and has ended, never came up: as control said, else whether it ended by itself and
    not well."""
    said = read_end(folder).failed_start
    if said is not None:
        return said
    outcome = outcome_in(folder)
    ended_badly = bool(outcome.exit_status) or outcome.signal not in (None, signal.SIGKILL)
    return ended_badly and not os.path.lexists(f"{folder}/term")


def _object(path: str) -> dict[str, Any]:
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        said = json.load(file)
        if isinstance(said, dict):
            return said
    return {}
