"""Who belongs to which instance, and what processor time each of them has used.

In: which instances live, with their shims. Out: their processes, read anew at every look. A process belongs to an
instance when it is in the session or group of its shim, when its parent belongs, or when FAIRLEAD_RUN in its
environment says so: the rule of `aiokit.strays`, which looks at everybody at once, because it kills. Here a process is
judged when it is first seen. The law: members are read before /proc is listed, and parents before their children, so
that what a parent has gathered from a child is never counted together with the child itself (`tally`).

A look costs 3 us for each member, whose descriptor is kept (a kept one never reads another process: after its end it
fails). If any process of the machine has begun since the last look, it costs a list of /proc, too (0.17 ms with 300
processes), and 8 us for each process never seen before. Others are looked at again one by one, each once in `LAP` such
looks, because numbers come back. Environments are read in a thread: a process that is stuck in the kernel may hold up
whoever reads its memory. Used by `usage` and `memory`, from the loop.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from fairlead.aiokit import strays
from fairlead.aiokit.pidfd import TICK, Identity, Stat, Times, line_of, parse_stat, parse_times
from fairlead.core.readings import Key
from fairlead.engines.local.births import Births

LAP = 30
"""Looks in which each process that belongs to nobody is looked at once more, unless nothing has begun meanwhile."""

STRIDE = 200
"""Members that are read before others in the loop get their turn: 1 ms."""

YOUNG = 2.0
"""Seconds from its start during which a process without an environment may be about to get one (execve)."""

PATIENCE = 1.0
"""Seconds in which all environments that are asked for at a look ought to be read."""

HELD_UP = 2
"""Threads that may be held up by processes stuck in the kernel; while they are, no environment is read."""

_KERNEL = 2
"""The parent of the kernel's own threads."""

_SHARE = 4
"""At most one in so many of the descriptors that we may have is kept for members; others are opened at each look."""


class Living(NamedTuple):
    """An instance whose shim lives. folder: what FAIRLEAD_RUN says in the environment of its processes."""

    folder: str
    shim: Identity


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes that a process held at the moment `at` (monotonic); None: it runs nothing any more. cost: seconds of
    processor time that it took to find out; due: when to find out again."""

    held: int | None
    at: float
    cost: float
    due: float


@dataclass(slots=True, eq=False)
class Member:
    """One process of an instance, a zombie too until somebody has waited for it."""

    pid: int
    start_time: int
    line: bytes
    times: Times
    descriptor: int | None
    size: Size | None = None
    """What `memory` found; it goes with the process."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A process that has to be judged, and the line of /proc that tells of it."""

    stat: Stat
    line: bytes

    @property
    def may_be_marked(self) -> bool:
        """Zombies and the kernel's own threads have no environment."""
        return not self.stat.gone and _KERNEL not in (self.stat.parent, self.stat.pid)


@dataclass(slots=True, eq=False)
class Household:
    """The processes of one instance, parents before children, and the monotonic time at which they were read. changed:
    whether the last look saw anything that the one before had not."""

    of: Living
    at: float = 0.0
    changed: bool = True
    members: dict[int, Member] = field(default_factory=dict)


class Members:
    """The processes of one home's instances. marker: the variable whose value is an instance's folder."""

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._households: dict[Key, Household] = {}
        self._sessions: dict[int, Household] = {}
        self._owners: dict[int, Household] = {}
        self._names: set[str] = set()
        """What /proc listed, without those that have to be judged yet."""
        self._others: dict[int, int] = {}
        """Processes that belong to nobody: pid -> start time."""
        self._births = Births()
        self._quiet = 0
        """Looks since /proc was listed."""
        self._lap: list[int] = []
        self._pace = 0
        self._kept = 0
        self._held_up: list[asyncio.Future[None]] = []
        self._closed = False
        self.reads = 0
        """Files of /proc that were read until now."""

    @property
    def households(self) -> Mapping[Key, Household]:
        """By (stack, instance), as of the last look."""
        return self._households

    async def look(self, living: Mapping[Key, Living]) -> None:
        """Read the members of all of `living`; find those that came. One look at a time."""
        self._follow(living)
        left: set[int] = set()
        read = 0
        for household in tuple(self._households.values()):
            left |= self._read(household)
            read += len(household.members)
            if read >= STRIDE:
                read = 0
                await asyncio.sleep(0)
        waiting = self._settle(self._candidates(left))
        if asked := [one.stat.pid for one in waiting if one.may_be_marked]:
            marks = await self._marks_of(asked)
            waiting = [one for one in self._settle(waiting, marks) if not self._put_off(one, marks)]
        self._others.update((one.stat.pid, one.stat.start_time) for one in waiting)

    def drop(self, key: Key) -> None:
        """The instance is gone, whatever the last look saw: keep no descriptor of it."""
        if key in self._households:
            self._let_go(key)

    def close(self) -> None:
        self._closed = True
        for key in tuple(self._households):
            self._let_go(key)

    def _follow(self, living: Mapping[Key, Living]) -> None:
        """Households of instances that are new, and none of those that are gone."""
        for key in [key for key, household in self._households.items() if living.get(key) != household.of]:
            self._let_go(key)
        for key, instance in living.items():
            if key in self._households:
                continue
            pid = instance.shim.pid
            if pid in self._others:
                # It was seen before we heard of it, and perhaps its children were, too.
                self._names.clear()
                self._others.clear()
                self._births.doubt()
            household = self._households[key] = self._sessions[pid] = Household(instance)
            line = self._line(pid)
            if line is not None and (stat := parse_stat(line)).start_time == instance.shim.start_time:
                self._add(household, _Candidate(stat, line))

    def _let_go(self, key: Key) -> None:
        household = self._households.pop(key)
        for member in tuple(household.members.values()):
            self._remove(household, member)
        if self._sessions.get(household.of.shim.pid) is household:
            del self._sessions[household.of.shim.pid]

    def _read(self, household: Household) -> set[int]:
        """What its members have used now; the pids of those that are gone."""
        gone = []
        household.changed = False
        for member in household.members.values():
            try:
                line = self._line(member.pid, member.descriptor)
            except OSError:
                # No descriptor is left to open it with: what was known stays.
                continue
            if line == member.line:
                continue
            household.changed = True
            if line is None or (member.descriptor is None and parse_stat(line).start_time != member.start_time):
                gone.append(member)
            else:
                member.line, member.times = line, parse_times(line)
        household.at = time.monotonic()
        for member in gone:
            self._remove(household, member)
        return {member.pid for member in gone}

    def _candidates(self, left: set[int]) -> list[_Candidate]:
        """Whoever is to be judged, parents before children: who was never seen, and who bears a number that was
        somebody else's. Not yet who bears the number of one that `left` in this look."""
        self.reads += 1
        self._quiet += 1
        if not self._births.any() and self._quiet < LAP:
            return []
        try:
            names = set(os.listdir("/proc"))
        except OSError:
            self._births.doubt()
            return []
        self._quiet = 0
        for name in self._names - names:
            self._others.pop(int(name) if name.isdigit() else 0, None)
        # `self` and `meminfo` are listed too.
        fresh = [int(name) for name in names - self._names if name.isdigit()]
        self._names = names
        found = []
        for pid in fresh + self._part_of_lap():
            try:
                line = self._line(pid) if pid not in left else None
            except OSError:
                line = None
            if line is None:
                # Perhaps it will be there, or can be read, at the next look.
                self._judge_again(pid)
                self._others.pop(pid, None)
            elif self._others.get(pid) != (stat := parse_stat(line)).start_time:
                found.append(_Candidate(stat, line))
        # Numbers given in the same clock tick follow each other, as a rule.
        return sorted(found, key=lambda one: (one.stat.start_time, one.stat.pid))

    def _part_of_lap(self) -> list[int]:
        if not self._lap:
            self._lap = list(self._others)
            self._pace = -(-len(self._lap) // LAP)
        part, self._lap = self._lap[: self._pace], self._lap[self._pace :]
        return [pid for pid in part if pid in self._others]

    def _settle(self, waiting: list[_Candidate], marks: Mapping[int, str | None] | None = None) -> list[_Candidate]:
        """Take in those that belong somewhere, and, again and again, their children; the others.

        marks: the values of their markers."""
        folders = {household.of.folder: household for household in self._households.values()} if marks else {}
        while True:
            others = []
            for one in waiting:
                owner = self._owner(one.stat) or folders.get((marks or {}).get(one.stat.pid) or "")
                # Never ourselves: the daemon may have been started from inside an instance.
                if owner is not None and one.stat.pid != os.getpid():
                    self._add(owner, one)
                else:
                    others.append(one)
            if len(others) == len(waiting):
                return others
            waiting = others

    async def _marks_of(self, pids: list[int]) -> dict[int, str | None]:
        """What their environments say of the marker: "" nothing, None: they have no environment (yet). Missing: they
        were not reached in time; who held us up counts as a stranger."""
        self._held_up = [one for one in self._held_up if not one.done()]
        if len(self._held_up) >= HELD_UP:
            return {}
        self.reads += len(pids)
        marks: dict[int, str | None] = {}
        asking = asyncio.get_running_loop().run_in_executor(None, _ask, pids, self._marker, marks)
        await asyncio.wait((asking,), timeout=PATIENCE)
        if asking.done():
            asking.result()
            return marks
        self._held_up.append(asking)
        reached = dict(marks)
        return reached | dict.fromkeys(pids[len(reached) :][:1], "")

    def _put_off(self, one: _Candidate, marks: Mapping[int, str | None]) -> bool:
        """Whether to judge it at the next look, as one never seen."""
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - one.stat.start_time * TICK
        missing = one.may_be_marked and one.stat.pid not in marks
        unborn = marks.get(one.stat.pid, "") is None and age < YOUNG
        if missing or unborn:
            self._judge_again(one.stat.pid)
        return missing or unborn

    def _judge_again(self, pid: int) -> None:
        """At the next look, as one never seen."""
        self._names.discard(str(pid))
        self._births.doubt()

    def _owner(self, stat: Stat) -> Household | None:
        """Whose session or group it is in, else whose child it is. The kernel gives the number of a living shim to
        nobody else, so only its session bears it."""
        return self._sessions.get(stat.session) or self._sessions.get(stat.group) or self._owners.get(stat.parent)

    def _add(self, household: Household, one: _Candidate) -> None:
        pid = one.stat.pid
        if pid in self._owners or self._closed:
            return
        self._others.pop(pid, None)
        self._owners[pid] = household
        household.changed = True
        household.members[pid] = Member(pid, one.stat.start_time, one.line, parse_times(one.line), self._keep(one.stat))

    def _remove(self, household: Household, member: Member) -> None:
        """Forget it, so that whoever bears its number next is judged anew."""
        if member.descriptor is not None:
            os.close(member.descriptor)
            self._kept -= 1
        del household.members[member.pid]
        self._owners.pop(member.pid, None)
        self._names.discard(str(member.pid))

    def _keep(self, stat: Stat) -> int | None:
        """A descriptor that reads this process for ever, or None: too many are kept, or it is gone."""
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if allowed != resource.RLIM_INFINITY and self._kept >= allowed // _SHARE:
            return None
        with suppress(OSError):
            descriptor = os.open(f"/proc/{stat.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            with suppress(ProcessLookupError):
                if parse_stat(os.pread(descriptor, 1024, 0)).start_time == stat.start_time:
                    self._kept += 1
                    return descriptor
            os.close(descriptor)
        return None

    def _line(self, pid: int, descriptor: int | None = None) -> bytes | None:
        """A process's line, None when it is gone. OSError when no descriptor is left to open it with."""
        self.reads += 1
        if descriptor is None:
            return line_of(pid)
        try:
            return os.pread(descriptor, 1024, 0)
        except ProcessLookupError:
            return None


def _ask(pids: Iterable[int], marker: str, marks: dict[int, str | None]) -> None:
    for pid in pids:
        environment = strays.environment_of(pid)
        marks[pid] = None if environment == b"" else strays.value_in(environment or b"", marker) or ""
