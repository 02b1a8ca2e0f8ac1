"""Totals over processes that come, go, die and are adopted: whatever happens, none falls, and all agree with what was
served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.readings import GroupReading, Key, Reading, TargetCounts
from fairlead.haproxy.counts import FRONTEND, Counts, Row
from fairlead.haproxy.life import Said
from fairlead.haproxy.ring import Done, Judged
from fairlead.haproxy.totals import Totals
from tests.haproxy.builders import GROUP
from tests.haproxy.counters import Backend, counts

PORT = "127.0.0.1:8080"
WEB_1, WEB_2 = (GROUP, "web-1"), (GROUP, "web-2")


class Node:
    """Processes that serve, are reloaded and die, and the totals that hear of them. Beside them what was really served,
    but for what nobody could read any more."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.members = {"web-1", "web-2"}
        self.served: Counter[str] = Counter()
        self.losses = 0
        self._generation = 0
        self._processes: dict[int, Process] = {}
        self.reload()

    @property
    def serving(self) -> Process:
        return self._processes[self._generation]

    @property
    def leaving(self) -> list[int]:
        return sorted(self._processes.keys() - {self._generation})

    def reload(self) -> None:
        self._generation += 1
        self._processes[self._generation] = Process(self.members)

    def request(self, server: str, outcome: str, *, at: int | None = None) -> None:
        process = self._processes[at or self._generation]
        process.request(server, outcome)

    def read(self) -> Reading:
        for generation in self._processes:
            self._hear(generation)
        return self.reading()

    def reading(self) -> Reading:
        return self.totals.reading([(GROUP, name) for name in self.members], [GROUP], {"shop": {PORT: True}})

    def end(self, generation: int, *, read: bool) -> None:
        """It ends; read: it was heard to its end."""
        if read:
            self._hear(generation)
            self.totals.finish(generation)
        else:
            self.losses += 1
        self._processes.pop(generation)
        self.totals.ended(generation)
        if generation == self._generation:
            self.reload()

    def delete(self, name: str) -> None:
        """The target is no longer wanted, and its servers are deleted."""
        self.members.discard(name)
        process = self.serving
        servers: list[Row] = [(proxy, server) for proxy, server in process.rows() if server == name]
        self.totals.read_servers(self._generation, process.backend.rows())
        self._note(process, ports=False)
        process.delete(name)
        self.totals.leave(self._generation, servers)

    def _hear(self, generation: int) -> None:
        process = self._processes[generation]
        own = {"shop": {"5XX": process.backend.own}}
        self.totals.read(generation, Said(counts=process.rows(), limited=process.limited, own=own))
        self.totals.read_times(generation, process.times())
        self._note(process)

    def _note(self, process: Process, *, ports: bool = True) -> None:
        """It was heard, what passed its ports and how long it took too: what it served counts."""
        now = process.seen(ports=ports)
        self.served += Counter({name: now[name] - process.noted[name] for name in now})
        process.noted |= now


class Process:
    def __init__(self, members: set[str]) -> None:
        self.backend = Backend()
        for name in sorted(members):
            self.backend.add(name)
        self.connections = self.limited = 0
        self.answers: Counter[tuple[str, int]] = Counter()
        self.noted: Counter[str] = Counter()

    def request(self, server: str, outcome: str) -> None:
        self.connections += 1
        if outcome == "nobody":
            self.backend.nobody()
        else:
            self.backend.request(server, outcome)
            if outcome in ("ok", "error"):
                self.answers[server, 112] += 1

    def delete(self, name: str) -> None:
        if name in self.backend.servers:
            self.backend.delete(name)

    def rows(self) -> dict[Row, Counts]:
        front = counts(taken=self.connections, accepted=self.connections, bytes_in=10 * self.connections)
        return {**self.backend.rows(), (f"_l.{PORT}", FRONTEND): front}

    def times(self) -> Mapping[Key, Mapping[int, int]]:
        found: dict[Key, dict[int, int]] = {}
        for (server, bucket), count in self.answers.items():
            found.setdefault((GROUP, server), {})[bucket] = count
        return found

    def seen(self, *, ports: bool) -> Counter[str]:
        did = {f"{name}.{what}": count for name in self.backend.did for what, count in self._did(name).items()}
        group = {"group.requests": self.backend.requests, "group.elb_5xx": self.backend.own}
        answers = {f"{name}.times": count for (name, _), count in self.answers.items()}
        heard = {**answers, "connections": self.connections, "own": self.backend.own}
        return Counter({**did, **group, **(heard if ports else {})})

    def _did(self, name: str) -> dict[str, int]:
        return self.backend.did.get(name, Done())._asdict()


def sums_of(reading: Reading) -> Counter[str]:
    """Everything that may not fall, over targets and those that are gone."""
    group, heard = reading.groups[GROUP], reading.listeners["shop"]
    found = Counter({"requests": group.requests, "elb_5xx": group.elb_5xx, "connections": heard.connections})
    found += Counter({"bytes": heard.bytes, "own": heard.own.get("5XX", 0)})
    for one in [*(target.counts for target in reading.targets.values()), group.gone]:
        found.update(numbers(one))
    return found


def numbers(one: TargetCounts) -> Counter[str]:
    done = {f"target.{name}": count for name, count in Done.of(one)._asdict().items()}
    return Counter({**done, "target.times": sum(one.times.values())})


def really(node: Node) -> Counter[str]:
    """What `sums_of` should be."""
    found: Counter[str] = Counter()
    for name, count in node.served.items():
        whose, _, what = name.partition(".")
        found[{"group": what}.get(whose, f"target.{what}") if what else whose] += count
    found["bytes"] = 10 * found["connections"]
    return found


STEPS = st.one_of(
    st.tuples(
        st.just("request"),
        st.sampled_from(("web-1", "web-2")),
        st.sampled_from(("ok", "error", "nonsense", "refused", "nobody")),
    ),
    st.tuples(st.just("late"), st.sampled_from(("web-1", "web-2")), st.sampled_from(("ok", "error", "refused"))),
    st.sampled_from((("read",), ("reload",), ("leave",), ("kill",), ("kill leaving",), ("delete", "web-2"))),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_totals_never_fall_and_agree_with_what_was_served(steps: list[tuple[str, ...]]) -> None:
    node = Node()
    before: Counter[str] = Counter()
    for step in [*steps, ("read",)]:
        match step:
            case ("request", server, outcome) if server in node.members:
                node.request(server, outcome)
            case ("late", server, outcome) if node.leaving:
                node.request(server, outcome, at=node.leaving[0])
            case ("reload",):
                node.reload()
            case ("leave",) if node.leaving:
                node.end(node.leaving[0], read=True)
            case ("kill",):
                node.end(node._generation, read=False)
            case ("kill leaving",) if node.leaving:
                node.end(node.leaving[-1], read=False)
            case ("delete", server) if server in node.members:
                node.delete(server)
        reading = node.read() if step == ("read",) else node.reading()
        now = sums_of(reading)
        assert all(now[name] >= count for name, count in before.items())
        assert set(reading.targets) == {(GROUP, name) for name in node.members}
        before = now
    assert reading.losses == node.losses
    assert +before == +really(node)


def heard(totals: Totals, generation: int, *backends: Backend, **changes: int) -> None:
    rows = {row: one for backend in backends for row, one in backend.rows().items()}
    totals.read(generation, Said(counts=rows, **changes))


def test_what_an_adopted_process_had_counted_before_is_not_ours() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "silent")
    totals.adopt(7, answers=True)
    heard(totals, 7, backend, limited=3)
    totals.read_times(7, {WEB_1: {5: 9}})
    assert totals.reading([WEB_1], [GROUP], {"shop": {}}).targets[WEB_1].counts == TargetCounts()
    backend.request("web-1", "ok")
    backend.request("web-2", "ok")
    heard(totals, 7, backend, limited=4)
    totals.read_times(7, {WEB_1: {5: 10, 6: 1}})
    reading = totals.reading([WEB_1, WEB_2], [GROUP], {"shop": {}})
    assert reading.groups[GROUP] == GroupReading(requests=2)
    assert [reading.targets[key].counts.requests for key in (WEB_1, WEB_2)] == [1, 1]
    assert reading.targets[WEB_1].counts.times == {5: 1, 6: 1}
    assert reading.listeners["shop"].rejected == 1


def test_what_was_inside_before_a_process_was_adopted_is_inside_all_the_same() -> None:
    totals = Totals()
    totals.adopt(7, answers=True)
    rows = {(GROUP, "web-1"): counts(taken=5, open=2), (GROUP, "BACKEND"): counts(taken=5, open=2)}
    totals.read_servers(7, rows)
    totals.leave(7, [(GROUP, "web-9")])
    totals.read(7, Said(counts=rows))
    reading = totals.reading([WEB_1], [GROUP], {"shop": {}})
    assert (reading.targets[WEB_1].outstanding, reading.targets[WEB_1].counts) == (2, TargetCounts())
    assert reading.groups[GROUP] == GroupReading()


def test_when_all_have_ended_what_they_did_stays_and_nothing_is_open() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    totals.finish(1)
    totals.all_ended()
    reading = totals.reading([WEB_1], [GROUP], {})
    assert (reading.losses, reading.groups[GROUP].requests) == (0, 1)
    # Too late, all of it.
    totals.read_servers(1, backend.rows())
    totals.read_times(1, {WEB_1: {5: 1}})
    totals.leave(1, [(GROUP, "web-1")])
    totals.finish(1)
    assert totals.reading([WEB_1], [GROUP], {}) == reading


def test_a_process_that_could_never_be_asked_is_no_loss_when_it_ends() -> None:
    totals = Totals()
    totals.adopt(3, answers=False)
    totals.ended(3)
    assert totals.reading([], [], {}).losses == 0
    totals.ended(4)
    assert totals.reading([], [], {}).losses == 1, "started by this daemon, and never heard"


def test_an_answer_that_comes_after_the_end_of_its_process_counts_nothing_twice() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    totals.ended(1)
    heard(totals, 1, backend)
    assert totals.reading([WEB_1], [GROUP], {}).groups[GROUP].requests == 1


def test_a_server_deleted_and_added_again_goes_on_counting() -> None:
    totals, backend = Totals(), Backend()
    for _ in range(3):
        backend.request("web-1", "ok")
    heard(totals, 1, backend)
    backend.delete("web-1")
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    assert totals.reading([WEB_1], [GROUP], {}).targets[WEB_1].counts.requests == 4


def test_what_leaves_one_backend_of_its_group_stays_in_the_others() -> None:
    totals, safe, unsafe = Totals(), Backend(), Backend(".w")
    for backend in (safe, unsafe):
        backend.request("web-1", "silent")
    heard(totals, 1, safe, unsafe)
    before = totals.reading([WEB_1], [GROUP], {})
    totals.leave(1, [(GROUP + ".w", "web-1")])
    assert totals.reading([WEB_1], [GROUP], {}) == before
    assert before.targets[WEB_1].counts.broken == 4 + 1


def test_an_entry_of_times_that_expired_begins_anew() -> None:
    totals = Totals()
    heard(totals, 1, Backend())
    for times in ({5: 4, 6: 1}, {6: 2}, {5: 2, 6: 2}, {5: 1}):
        totals.read_times(1, {WEB_1: times})
    assert totals.reading([WEB_1], [GROUP], {}).targets[WEB_1].counts.times == {5: 7, 6: 2}


def test_a_target_that_is_wanted_again_begins_anew_and_its_group_keeps_what_it_did() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    assert totals.reading([], [GROUP], {}).groups[GROUP].gone.requests == 1
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    reading = totals.reading([WEB_1], [GROUP], {})
    assert (reading.groups[GROUP].gone.requests, reading.targets[WEB_1].counts.requests) == (1, 1)


def test_what_is_inside_and_what_waits_are_levels_over_all_processes() -> None:
    totals = Totals()
    for generation in (1, 2):
        rows = {
            (GROUP, "web-1"): counts(taken=1, open=1),
            (GROUP, "BACKEND"): counts(taken=3, open=3, queued=2),
            (f"_l.{PORT}", FRONTEND): counts(open=4),
        }
        totals.read(generation, Said(counts=rows))
    reading = totals.reading([WEB_1], [GROUP], {"shop": {PORT: True}})
    assert (reading.targets[WEB_1].outstanding, reading.groups[GROUP].queued) == (2, 4)
    assert reading.listeners["shop"].active == 8 + 2
    totals.ended(1)
    assert totals.reading([WEB_1], [GROUP], {"shop": {PORT: True}}).listeners["shop"].active == 4 + 1


def test_what_a_leaving_process_passes_on_counts_once() -> None:
    totals = Totals()
    relayed = {
        (f"_l.{PORT}", FRONTEND): counts(accepted=1, open=1, bytes_in=50),
        (f"_n.{PORT}", "next"): counts(taken=1, connects=1, open=1, bytes_in=50),
        (f"_n.{PORT}.2", "next"): counts(taken=1, connects=1, open=1, bytes_in=50),
        (f"_n.{PORT}", "BACKEND"): counts(taken=1, connects=1, open=1, bytes_in=50),
    }
    totals.read(1, Said(counts=relayed))
    totals.read(2, Said(counts={(f"_l.{PORT}", FRONTEND): counts(accepted=5, open=2, bytes_in=250)}))
    shown = totals.reading([], [], {"shop": {PORT: True}}).listeners["shop"]
    assert (shown.connections, shown.active, shown.bytes) == (4, 1, 200)


def test_a_shared_port_counts_for_each_stack_from_when_it_joined_and_openings_for_none() -> None:
    totals = Totals()

    def accepted(count: int) -> dict[Row, Counts]:
        return {
            (f"_l.{PORT}", FRONTEND): counts(accepted=count, unread=count),
            ("_o.127.0.0.1:9", FRONTEND): counts(accepted=count),
        }

    totals.read(1, Said(counts=accepted(10)))
    totals.reading([], [], {"shop": {PORT: True}})
    totals.read(1, Said(counts=accepted(12)))
    shown = totals.reading([], [], {"shop": {PORT: True}, "blog": {PORT: False}}).listeners
    assert {stack: one.connections for stack, one in shown.items()} == {"shop": 12, "blog": 2}
    assert {stack: dict(one.own) for stack, one in shown.items()} == {"shop": {"4XX": 12}, "blog": {}}
    totals.read(1, Said(counts=accepted(13)))
    assert totals.reading([], [], {"shop": {}}).listeners["shop"].connections == 12, "it has that port no longer"


def test_a_stack_that_is_gone_is_forgotten() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    totals.read_times(1, {WEB_1: {5: 1}})
    totals.reading([WEB_1], [GROUP], {"shop": {}})
    assert totals.reading([], [], {}) == Reading()
    totals.ended(1)
    totals.reading([], [], {})
    assert totals.reading([WEB_1], [GROUP], {"shop": {}}).groups[GROUP] == GroupReading()


def test_a_value_that_was_given_out_does_not_change() -> None:
    totals, backend = Totals(), Backend()
    backend.request("web-1", "ok")
    heard(totals, 1, backend)
    totals.read_times(1, {WEB_1: {5: 1}})
    one = totals.reading([WEB_1], [GROUP], {"shop": {}})
    totals.read_times(1, {WEB_1: {5: 2}})
    totals.reading([], [GROUP], {"shop": {}})
    assert one.targets[WEB_1].counts.times == {5: 1}
    assert one.groups[GROUP].gone == TargetCounts()


def test_a_sum_that_seems_to_fall_for_a_moment_stands() -> None:
    totals = Totals()
    totals.read(1, Said(counts={(f"_l.{PORT}", FRONTEND): counts(accepted=5)}))
    first = totals.reading([], [], {"shop": {PORT: True}}).listeners["shop"].connections
    passed_on = {(f"_n.{PORT}", "next"): counts(connects=2), (f"_l.{PORT}", FRONTEND): counts(accepted=5)}
    totals.read(1, Said(counts=passed_on))
    assert totals.reading([], [], {"shop": {PORT: True}}).listeners["shop"].connections == first
    totals.read(2, Said(counts={(f"_l.{PORT}", FRONTEND): counts(accepted=3)}))
    assert totals.reading([], [], {"shop": {PORT: True}}).listeners["shop"].connections == first + 1


def test_judgements_add_up() -> None:
    assert Judged(1, 2).plus(Judged(3, 4)) == Judged(4, 6)
