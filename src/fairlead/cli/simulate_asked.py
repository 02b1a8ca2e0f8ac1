"""What `fairlead simulate` is asked for, from the words of the command line to values.

In: options as text. Out: the app, the moment at which the virtual clock begins, the changes of each variant, the
service that is meant; and UsageError for what makes no sense, before anything is simulated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from fairlead.cli import output
from fairlead.errors import NotFound, UsageError

if TYPE_CHECKING:
    from fairlead.core.model import Stack
    from fairlead.simulate.app import App
    from fairlead.simulate.load import Load

MOST_VARIANTS = 6
"""Beside the file itself."""

MOMENTS = "08:00 (today), 2026-11-21, 2026-11-21T08:00, 2026-11-21T08:00:00Z"

_NEXT_CHANGE = re.compile(r"\s*[A-Za-z_][\w-]*(?:\.[\w-]+)+\s*=")


class Variant(NamedTuple):
    """A file with changes. name: how it is called beside the others."""

    name: str
    changes: tuple[str, ...] = ()


def variants(texts: Sequence[str], service: str = "") -> list[Variant]:
    """The file as it is, then one with each `--set`. service: whose prefix needs no repeating in names."""
    if len(texts) > MOST_VARIANTS:
        raise UsageError(f"--set was given {len(texts)} times", f"{MOST_VARIANTS} variants are the most")
    made = [Variant("the file")]
    for text in texts:
        changes = changes_of(text)
        short = [change.removeprefix(f"services.{service}.").removeprefix("scaling.") for change in changes]
        made.append(Variant(", ".join(short), changes))
    return made


def changes_of(text: str) -> tuple[str, ...]:
    """`A=1,B=2` as two changes. A comma parts them where a key with `=` follows, outside of brackets and quotes."""
    parts, depth, start, quote = [], 0, 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth == 0 and _NEXT_CHANGE.match(text, at + 1):
            parts.append(text[start:at])
            start = at + 1
    return tuple(part.strip() for part in (*parts, text[start:]))


def app_of(capacity: str | None, start_time: str | None, service_time: str | None) -> tuple[App, list[str]]:
    """The app, and what of it is assumed, in words. capacity: a number, or the path of a file. UsageError."""
    from fairlead.simulate.app import App, known_of, measured
    from fairlead.simulate.grammar import HIGHEST, number_of

    app, known = App(), set[str]()
    if capacity is not None:
        try:
            number = number_of(capacity)
        except ValueError:
            document = _document(capacity)
            app = measured(document, f"--capacity {output.cell(capacity)}")
            known |= known_of(document)
        else:
            if not 0 < number <= HIGHEST:
                raise UsageError(
                    f"--capacity {output.cell(capacity)[:40]} is no capacity",
                    "it is more than 0 and at most 1,000,000,000 requests per second",
                )
            app = replace(app, capacity=number)
            known.add("capacity")
    if service_time is not None:
        app = replace(app, service_time=_span(service_time, "--service-time", least=1e-6))
        known.add("service_time")
    if start_time is not None:
        app = replace(app, start_time=_span(start_time, "--start-time"))
        known.add("start_time")
    words = {
        "capacity": f"{app.capacity:g} requests/s an instance",
        "service_time": f"{app.service_time * 1000:g} ms a request",
        "start_time": f"{app.start_time:g} s to start",
        "cpu_per_request": "100% of its cpu when it is full",
    }
    return app, [text for name, text in words.items() if name not in known]


def moment_of(text: str | None, load: Load) -> int:
    """Seconds since 1970 at which the virtual clock begins. None: when the load was recorded, else at midnight."""
    if text is None and load.began:
        return int(datetime.fromisoformat(load.began).timestamp())
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    if text is None:
        return int(today.timestamp())
    given = text.strip()
    try:
        if found := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", given):
            hour, minute, second = (int(part or 0) for part in found.groups())
            return int(today.replace(hour=hour, minute=minute, second=second).timestamp())
        found_at = datetime.fromisoformat(given).astimezone()
        if not 1970 < found_at.year < 2100:
            raise ValueError(given)
        return int(found_at.timestamp())
    except (ValueError, OverflowError):
        why = f"Write it like one of these: {MOMENTS}."
        raise UsageError(f"--at {output.cell(given)!r} is no moment", "", why) from None


def service_of(stack: Stack, asked: str | None) -> str:
    """The service that is meant: the one asked for, else the only one with `scaling:`, else the only one that serves.
    NotFound, UsageError."""
    names = [service.name for service in stack.services]
    if asked is not None:
        if asked not in names:
            raise _no_such(asked, names)
        return asked
    scaled = [service.name for service in stack.services if service.scaling is not None]
    serving = scaled or [service.name for service in stack.services if service.serves and service.runs]
    if len(serving) == 1:
        return serving[0]
    if not serving:
        raise UsageError("there is nothing to simulate", "no service of the file serves requests that fairlead runs")
    why = f"{', '.join(serving)} {'have `scaling:`' if scaled else 'serve requests'}"
    raise UsageError("it is not clear which service is meant", why, f"fairlead simulate {serving[0]}")


def read_text(path: str, option: str) -> str:
    """The text of a file that an option names. UsageError."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            text = file.read(LARGEST + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{option} {output.cell(path)} cannot be read", "it is not UTF-8") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{option} {output.cell(path)} cannot be read", why) from error
    if len(text) > LARGEST:
        raise UsageError(f"{option} {output.cell(path)} is too large", f"{LARGEST:,} characters are the most")
    return text


LARGEST = 100_000_000
"""Characters of a file that are read: a month of seconds is half of it."""


def _document(path: str) -> dict[str, object]:
    from json import loads

    if not os.path.exists(os.path.expanduser(path)):
        why = f"it is neither a number of requests per second nor a file: {path!r}"
        advice = "fairlead drill capacity SERVICE --json > capacity.json, then --capacity capacity.json"
        raise UsageError(f"--capacity {output.cell(path)} says nothing", why, advice)
    try:
        found = loads(read_text(path, "--capacity"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--capacity {output.cell(path)} is no JSON", str(error)) from error
    if not isinstance(found, dict):
        raise UsageError(f"--capacity {output.cell(path)} is no measured capacity", "it holds no JSON object")
    return found


def _span(text: str, option: str, least: float = 0.0) -> float:
    from fairlead.simulate.grammar import seconds_of

    try:
        seconds = seconds_of(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {output.cell(text)!r} is no length of time", "", "Write it like 50ms, 2s, 1m30s."
        ) from None
    if not least <= seconds <= 86400:
        why = "it is at most 1d" if seconds > 86400 else "a request takes some time"
        raise UsageError(f"{option} {output.cell(text)!r} cannot be", why)
    return seconds


def _no_such(asked: str, names: Sequence[str]) -> NotFound:
    from difflib import get_close_matches

    close = get_close_matches(asked[:100], names, n=1)
    why = f"did you mean {close[0]}?" if close else f"the file has {', '.join(names)}"
    return NotFound(f"there is no service {output.cell(asked)!r}", why)
