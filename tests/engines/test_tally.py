"""Processor time of processes that come and go: what the kernel hands on is counted once, what it loses is kept."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from fairlead.aiokit.pidfd import Times
from fairlead.engines.local.tally import Tally

INIT, SHIM, PROGRAM, WORKER, CHILD = 1, 10, 11, 12, 13


def taken(*looks: dict[int, Times]) -> list[int]:
    tally = Tally()
    return [tally.take(look) for look in looks]


def test_what_children_use_counts_while_they_live_and_once_they_were_waited_for() -> None:
    shim = Times(INIT, 1, 0)
    assert taken(
        {SHIM: shim, PROGRAM: Times(SHIM, 5, 0)},
        {SHIM: shim, PROGRAM: Times(SHIM, 5, 0), WORKER: Times(PROGRAM, 90, 0)},
        {SHIM: shim, PROGRAM: Times(SHIM, 6, 95)},
        {SHIM: shim, PROGRAM: Times(SHIM, 6, 145)},
    ) == [6, 96, 102, 152]


def test_an_orphan_that_init_waits_for_keeps_what_it_was_last_seen_with() -> None:
    program = Times(SHIM, 5, 0)
    assert taken(
        {PROGRAM: program, WORKER: Times(INIT, 90, 3)},
        # Others are waited for in the same second: that pays for nobody.
        {PROGRAM: Times(SHIM, 5, 40)},
        {PROGRAM: Times(SHIM, 6, 40)},
    ) == [98, 138, 139]


def test_children_that_nobody_waits_for_keep_what_they_were_last_seen_with() -> None:
    program = Times(SHIM, 5, 0)
    assert taken(
        {PROGRAM: program, WORKER: Times(PROGRAM, 90, 0)},
        {PROGRAM: program},
        {PROGRAM: program},
        {PROGRAM: Times(SHIM, 6, 0)},
        # Waited for much later: that was another one.
        {PROGRAM: Times(SHIM, 6, 40)},
    ) == [95, 95, 95, 96, 136]


def test_a_parent_that_was_read_just_before_it_waited_makes_no_dent_and_no_peak() -> None:
    assert taken(
        {PROGRAM: Times(SHIM, 5, 0), WORKER: Times(PROGRAM, 90, 0)},
        {PROGRAM: Times(SHIM, 5, 0)},
        {PROGRAM: Times(SHIM, 6, 92)},
        {PROGRAM: Times(SHIM, 7, 92)},
    ) == [95, 95, 98, 99]


def test_a_whole_branch_that_was_waited_for_is_found_with_who_is_left() -> None:
    assert taken(
        {PROGRAM: Times(SHIM, 5, 0), WORKER: Times(PROGRAM, 50, 7), CHILD: Times(WORKER, 90, 0)},
        {PROGRAM: Times(SHIM, 5, 155)},
    ) == [152, 160]


def test_rounding_is_no_loss_that_adds_up() -> None:
    """A child was seen with 9 ticks, its parent shows 8 of them."""
    looks: list[dict[int, Times]] = []
    for gathered in range(0, 800, 8):
        looks.append({PROGRAM: Times(SHIM, 5, gathered), WORKER + gathered: Times(PROGRAM, 9, 0)})
    looks.append({PROGRAM: Times(SHIM, 5, 800)})
    totals = taken(*looks)
    assert totals == sorted(totals)
    assert totals[-1] <= 806


@dataclass
class Kernel:
    """Processes as the kernel keeps them, in quarters of a tick; what was handed to init is lost to whoever looks."""

    def __post_init__(self) -> None:
        self.processes = {SHIM: [INIT, 0, 0, 0, 0], PROGRAM: [SHIM, 0, 0, 0, 0]}
        self.zombies: set[int] = set()
        self.next = 100
        self.true = 0

    def pick(self, number: int, zombies: bool = False) -> int | None:
        fit = [pid for pid in self.processes if (pid in self.zombies) == zombies]
        return fit[number % len(fit)] if fit else None

    def fork(self, number: int) -> None:
        self.processes[self.next] = [self.pick(number) or SHIM, 0, 0, 0, 0]
        self.next += 1

    def burn(self, number: int, user: int, system: int) -> None:
        process = self.processes[self.pick(number) or SHIM]
        process[1] += user
        process[2] += system
        self.true += user + system

    def exit(self, number: int, reaped: str) -> None:
        pid = self.pick(number)
        if pid in (None, SHIM, PROGRAM):
            return
        self.zombies.add(pid)
        for process in self.processes.values():
            if process[0] == pid:
                process[0] = INIT
        if reaped != "later":
            self.reap(pid, reaped == "by its parent")

    def reap(self, pid: int | None, gathered: bool = True) -> None:
        if pid is None:
            return
        parent, *used = self.processes.pop(pid)
        self.zombies.discard(pid)
        if gathered and parent in self.processes:
            self.processes[parent][3] += used[0] + used[2]
            self.processes[parent][4] += used[1] + used[3]

    def look(self) -> dict[int, Times]:
        return {
            pid: Times(parent, user // 4 + system // 4, of_children // 4 + theirs // 4)
            for pid, (parent, user, system, of_children, theirs) in self.processes.items()
        }


NUMBERS = st.integers(0, 50)
LOOKS = st.tuples(st.just("look"))
BASICS = (
    LOOKS
    | st.tuples(st.just("fork"), NUMBERS)
    | st.tuples(st.just("burn"), NUMBERS, st.integers(0, 400), st.integers(0, 100))
)
ENDS = st.tuples(st.just("exit"), NUMBERS, st.sampled_from(["by its parent", "later", "by nobody"]))
REAPS = st.tuples(st.just("reap"), NUMBERS)


@given(st.lists(BASICS | ENDS | REAPS, max_size=60))
def test_it_never_falls_and_is_never_more_than_was_used(steps: list[tuple[object, ...]]) -> None:
    kernel, tally, before = Kernel(), Tally(), 0
    for step in [*steps, ("look",), ("look",)]:
        match step:
            case ("look",):
                total = tally.take(kernel.look())
                assert before <= total <= kernel.true / 4
                before = total
            case ("reap", int(number)):
                kernel.reap(kernel.pick(number, zombies=True))
            case (str(verb), *arguments):
                getattr(kernel, verb)(*arguments)


@given(st.lists(BASICS | st.tuples(st.just("end a leaf"), NUMBERS), max_size=60))
def test_where_everybody_is_waited_for_nothing_is_missing(steps: list[tuple[object, ...]]) -> None:
    kernel, tally = Kernel(), Tally()
    for step in [*steps, ("look",)]:
        match step:
            case ("look",):
                total = tally.take(kernel.look())
                # Each of the four fields of a process is rounded down.
                assert kernel.true / 4 - 4 * len(kernel.processes) < total <= kernel.true / 4
            case ("end a leaf", int(number)):
                parents = {process[0] for process in kernel.processes.values()}
                leaves = [pid for pid in kernel.processes if pid not in parents and pid not in (SHIM, PROGRAM)]
                if leaves:
                    kernel.reap(leaves[number % len(leaves)])
            case (str(verb), *arguments):
                getattr(kernel, verb)(*arguments)
