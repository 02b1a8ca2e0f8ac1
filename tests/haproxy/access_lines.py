"""Lines of an access log, and one who writes them as HAProxy does: at an offset of his own, without O_APPEND."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fairlead.cli.access_files import Span
from fairlead.cli.access_merged import Following, merged
from fairlead.core.accesslog import file_name, parse

BEGIN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def a_time(seconds: float = 0.0) -> str:
    """So many seconds after BEGIN, as a line writes it."""
    return (BEGIN + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def a_line(
    number: int = 0, *, at: float | None = None, stack: str = "shop", service: str = "web", status: int = 200, took: str = "0.012",
    method: str = "GET", path: str | None = None, client: str = "10.0.0.7", instance: str = "web-1", agent: str = "curl/8", tail: str = "0 ----",
) -> bytes:  # fmt: skip
    """Without its end. number: in its path, when that is not given; at: seconds after BEGIN, else a millisecond for
    each number."""
    when = a_time(number / 1000 if at is None else at)
    target = f"{instance}:0" if instance != "-" else "-"
    times = f"0.000 {took} 0.000" if instance != "-" else "-1 -1 -1"
    asked = f"{method} http://shop.test:80{f'/{number}' if path is None else path} HTTP/1.1"
    return (
        f'http {when} app/{stack}/50dc6c495c0c9188 {client}:2817 {target} {times} {status} {status} 34 366 "{asked}"'
        f' "{agent}" - - targetgroup/{service}/73e2d6bc24d8a067 "Root=1-58337262-36d228ad" "-" "-" 0 {when} "forward"'
        f' "-" "-" "{target}" "{status}" "-" "-" TID_1234abcd5678ef90 "-" "-" "-" "{instance}" {tail}'
    ).encode()


class Writer:
    """A generation's end of its live file."""

    def __init__(self, folder: Path, generation: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / file_name(generation)
        self._file = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
        self.wrote: list[int] = []

    def write(self, *numbers: int) -> None:
        self.say(b"".join(a_line(number) + b"\n" for number in numbers))
        self.wrote += numbers

    def say(self, text: bytes) -> None:
        os.write(self._file, text)

    def close(self) -> None:
        os.close(self._file)


def number_of(line: bytes) -> int:
    request = parse(line)
    assert request is not None
    return int(request.path[1:])


def read(*folders: Path, span: Span | None = None, newest_first: bool = False) -> list[int]:
    """The numbers of all lines that a reader finds there now, in its order."""
    following = Following([str(folder) for folder in folders], is_numbered)
    lines = merged(following.past(), span or Span(), is_numbered, newest_first=newest_first)
    found = [number_of(line) for line in lines]
    following.close()
    return found


def is_numbered(line: bytes) -> bool:
    """Whether it is a request for a number."""
    request = parse(line)
    return request is not None and request.path[1:].isdigit()
