"""How long the folders of ended instances stay, with their logs.

In: what is known of each ended instance of one stack, and how much its logs take. Out: which folders go. The law: never
one of an instance that was not cleared, and never that of a service's newest failed start, because that is what
somebody will want to read. Runs count by their own name (`nightly.job`), like services. Called by the local engine's
upkeep once a minute.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fairlead.engines.about import failed_start

LONGEST = 14 * 86400.0
"""Seconds after its end that a folder stays."""

NEWEST = 20
"""Ended instances of a service whose folders stay."""

LARGEST = 1024**3
"""Bytes that the logs of a stack may take, those of living instances included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An ended instance. ended_at: seconds since 1970. size: bytes its logs take. failed: it never came up."""

    service: str
    number: int
    folder: str
    ended_at: float
    size: int
    failed: bool


def to_remove(ended: Sequence[Ended], living: int, now: float) -> list[Ended]:
    """Which of a stack's ended instances lose their folders. living: bytes of the logs of the others."""
    by_service: dict[str, list[Ended]] = defaultdict(list)
    for one in sorted(ended, key=lambda one: one.number, reverse=True):
        by_service[one.service].append(one)
    kept = [next((one for one in newest_first if one.failed), None) for newest_first in by_service.values()]
    going = [
        one
        for newest_first in by_service.values()
        for place, one in enumerate(newest_first)
        if one not in kept and (place >= NEWEST or now - one.ended_at > LONGEST)
    ]
    staying = sorted((one for one in ended if one not in going), key=lambda one: one.ended_at)
    taken = living + sum(one.size for one in staying)
    for one in staying:
        if taken > LARGEST and one not in kept:
            going.append(one)
            taken -= one.size
    return going


def look_at(folders: Iterable[tuple[str, str]]) -> tuple[list[Ended], int]:
    """The ended ones among (instance, folder), and the bytes of all others' logs."""
    ended, living = [], 0
    for instance, folder in folders:
        size = sum(_taken(f"{folder}/{name}") for name in ("log", "log.1"))
        service, _, number = instance.rpartition("-")
        cleared = _status(f"{folder}/cleared")
        if cleared is None or not number.isdecimal():
            living += size
            continue
        ended.append(
            Ended(
                service=service,
                number=int(number),
                folder=folder,
                ended_at=cleared.st_mtime,
                size=size,
                failed=failed_start(folder),
            )
        )
    return ended, living


def _taken(path: str) -> int:
    found = _status(path)
    return found.st_blocks * 512 if found is not None else 0


def _status(path: str) -> os.stat_result | None:
    with suppress(OSError):
        return os.stat(path, follow_symlinks=False)
    return None
