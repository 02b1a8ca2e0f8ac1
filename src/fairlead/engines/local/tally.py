"""How much processor time an instance has used, although its processes come and go.

In: at every look, what each of its processes has used and has gathered from children. Out: clock ticks since its start.
Pure. The law: never less than before, and nothing counted twice.

The kernel hands what a process has used to whoever waits for it (fields cutime and cstime of proc(5)), so the sum over
the living members is right as long as members wait for members. Two kinds of end lose time from that sum, and are
counted here as they were last seen: an orphan, which the machine's init waits for, and a child whose parent ignores
SIGCHLD, which nobody waits for. An orphan is known by its last parent. Otherwise a member that is gone is *owed*: what
members gathered since the last look pays for it. What stays unpaid at the next look, too, is lost to the kernel and
kept here (in one look a parent may have been read just before it gathered its child). What an orphan used after it was
last seen is lost to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.aiokit.pidfd import Times

ROUNDING = 2
"""Ticks that a sum of two fields, each rounded down, may lack."""


class Tally:
    """The processor time of one instance."""

    def __init__(self) -> None:
        self._last: dict[int, Times] = {}
        self._lost = 0
        self._owed = 0
        self._total = 0

    @property
    def settled(self) -> bool:
        """Whether the same processes with the same times would change nothing."""
        return not self._owed

    def take(self, now: Mapping[int, Times]) -> int:
        """Ticks that it has used until now. now: its processes by pid; a number whose bearer has changed was absent
        from one `now` at least."""
        last, owed, rise, gatherers = self._last, 0, 0, 0
        for pid in last.keys() - now.keys():
            used = last[pid].own + last[pid].gathered
            if last[pid].parent in last:
                owed += used
            else:
                self._lost += used
        if owed or self._owed:
            for pid in last.keys() & now.keys():
                if now[pid].gathered != last[pid].gathered:
                    rise += now[pid].gathered - last[pid].gathered
                    gatherers += 1
            unpaid = owed + self._owed - rise
            if unpaid <= ROUNDING * max(1, gatherers):
                unpaid = 0
            # Owed for the second time: nobody has gathered it.
            forgone = min(unpaid, self._owed)
            self._lost, self._owed = self._lost + forgone, unpaid - forgone
        self._last = dict(now)
        living = sum(times.own + times.gathered for times in now.values())
        self._total = max(self._total, living + self._lost + self._owed)
        return self._total
