"""The laws of membership, on a model of how HAProxy takes commands (haproxy.md sections 3.1 to 3.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.anomalies import FULL, LEAST
from fairlead.core.model import Stickiness
from fairlead.core.traffic import TargetGroup
from fairlead.haproxy.commands import Command, ServerState
from fairlead.haproxy.membership import admission, differences, group_of, level, mark_down, strangers, unwatched
from fairlead.haproxy.servers import CHECKED, OPEN, Member, file_line, recalled
from tests.haproxy.builders import GROUP, a_check, a_group, a_target

GROUPS = {GROUP: a_group()}
ROLES = (*CHECKED, OPEN)

STICKY = a_group(stickiness=Stickiness())
UNCHECKED = a_group(health_check=a_check(enabled=False))
BOTH = a_group(health_check=a_check(enabled=False), stickiness=Stickiness())
WEIGHTED = a_group(algorithm="weighted_random", anomaly_mitigation=True)
KINDS = st.sampled_from([GROUPS[GROUP], STICKY, UNCHECKED, BOTH, WEIGHTED])


def a_state(backend: str, name: str, *, running: bool, mode: str, weight: int = FULL) -> ServerState:
    return ServerState(backend, name, running, closed=mode != "ready", drained=mode == "drain", weight=weight)


class Model:
    """Servers as HAProxy keeps them. `health down` does nothing in maintenance; leaving maintenance means UP, unless
    by drain, where health stays as it was set. `exposed`: servers that could have got a request so far."""

    def __init__(self, states: dict[tuple[str, str], ServerState]) -> None:
        self.states = dict(states)
        self.admin = {
            key: "drain" if state.drained else "maint" if state.closed else "ready" for key, state in states.items()
        }
        self.checked: dict[tuple[str, str], bool] = {}
        self.exposed: set[tuple[str, str]] = set()

    def take(self, commands: list[Command]) -> None:
        for one in commands:
            words = one.line.split(" ")
            backend, name = words[2].split("/")
            self._one(words, (backend, name))
            self.exposed |= {key for key, state in self.states.items() if state.running and not state.closed}

    def _one(self, words: list[str], key: tuple[str, str]) -> None:
        if words[0] == "add":
            assert key not in self.states
            given = int(words[words.index("weight") + 1])
            self.states[key] = a_state(*key, running=False, mode="maint", weight=given)
            self.admin[key] = "maint"
            self.checked[key] = "check" in words
            return
        state = self.states[key]
        match words:
            case ["set", "server", _, "state", mode]:
                running = True if self.admin[key] == "maint" and mode != "maint" else state.running
                self.admin[key] = mode
                self.states[key] = a_state(*key, running=running, mode=mode, weight=state.weight)
            case ["set", "server", _, "health", direction]:
                if self.admin[key] != "maint":
                    self.states[key] = replace(state, running=direction == "up")
            case ["enable", "health", _]:
                assert self.checked.get(key, True), "HAProxy refuses it on a server without checks"
            case ["set", "server", _, "weight", weight]:
                self.states[key] = replace(state, weight=int(weight))
            case _:
                raise AssertionError(words)


def a_member(number: int = 1, mode: str = "initial", down: bool = False, weight: int = FULL) -> Member:
    return Member(target=a_target(number, mode=mode), down=down, weight=weight)


MEMBERS = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.sampled_from(["initial", "warm", "in_service", "draining"]),
        st.booleans(),
        st.sampled_from([LEAST, 5, FULL]),
    ),
    unique_by=lambda fields: fields[0],
).map(lambda all_fields: [a_member(*fields) for fields in all_fields])

World = dict[tuple[str, str], ServerState]

WORLDS = st.dictionaries(
    st.tuples(st.sampled_from([GROUP + role for role in ROLES]), st.sampled_from([f"web-{n}" for n in range(1, 7)])),
    st.tuples(st.booleans(), st.sampled_from(["ready", "drain", "maint"])),
).map(lambda world: {key: a_state(*key, running=run, mode=mode) for key, (run, mode) in world.items()})


@given(members=MEMBERS, world=WORLDS, kind=KINDS)
def test_a_second_comparison_finds_nothing(members: list[Member], world: World, kind: TargetGroup) -> None:
    model = Model(world)
    model.take(differences({GROUP: kind}, members, model.states))
    assert differences({GROUP: kind}, members, model.states) == []


@given(members=MEMBERS, kind=KINDS)
def test_who_has_passed_no_check_is_never_exposed(members: list[Member], kind: TargetGroup) -> None:
    model = Model({})
    model.take(differences({GROUP: kind}, members, {}))
    trusted = {member.target.id for member in members if member.trusted}
    assert {name for _, name in model.exposed} == trusted


@given(members=MEMBERS, world=WORLDS, kind=KINDS)
def test_whoever_leaves_maintenance_to_be_checked_is_added_anew(
    members: list[Member], world: World, kind: TargetGroup
) -> None:
    anew = unwatched({GROUP: kind}, members, world)
    model = Model({server: state for server, state in world.items() if server not in anew})
    changes = differences({GROUP: kind}, members, model.states)
    model.take(changes)
    assert set(anew) <= model.checked.keys(), "each is added again"
    maintained = {server for server, state in world.items() if state.closed and not state.drained}
    left = {server for server in maintained - model.checked.keys() if server[0] != GROUP + OPEN}
    assert kind.health_check.enabled is False or all(model.admin[server] == "maint" for server in left)
    assert unwatched({GROUP: kind}, members, model.states) == []
    assert differences({GROUP: kind}, members, model.states) == []


def test_a_target_that_stays_in_maintenance_is_left_there() -> None:
    members = [
        a_member(1, "draining"),
        a_member(2, "initial"),
        a_member(3, "warm"),
        a_member(4, "in_service", down=True),
    ]
    world = {
        (GROUP + role, f"web-{number}"): a_state(GROUP + role, f"web-{number}", running=False, mode="maint")
        for role in ROLES
        for number in (1, 2, 3, 4)
    }
    all_of = {number: {(GROUP + role, f"web-{number}") for role in CHECKED} for number in (1, 2, 3, 4)}
    assert set(unwatched(GROUPS, members, world)) == set().union(*all_of.values())
    assert set(unwatched({GROUP: STICKY}, members, world)) == all_of[2] | all_of[3] | all_of[4]
    assert unwatched({GROUP: UNCHECKED}, members, world) == []


@given(members=MEMBERS, world=WORLDS, kind=KINDS)
def test_who_drains_ends_up_closed_everywhere(members: list[Member], world: World, kind: TargetGroup) -> None:
    model = Model(world)
    model.take(differences({GROUP: kind}, members, model.states))
    draining = {member.target.id for member in members if member.target.mode == "draining"}
    assert all(state.closed for (_, name), state in model.states.items() if name in draining)


@given(members=MEMBERS, world=WORLDS, kind=st.sampled_from([STICKY, BOTH]))
def test_a_client_with_a_cookie_finds_nobody_in_a_target_that_drains(
    members: list[Member], world: World, kind: TargetGroup
) -> None:
    model = Model(world)
    model.take(differences({GROUP: kind}, members, model.states))
    draining = {member.target.id for member in members if member.target.mode == "draining"}
    assert not any(state.drained for (_, name), state in model.states.items() if name in draining)


@given(members=MEMBERS, world=WORLDS, kind=st.sampled_from([UNCHECKED, BOTH]))
def test_without_checks_exactly_the_trusted_are_in_rotation(
    members: list[Member], world: World, kind: TargetGroup
) -> None:
    model = Model(world)
    model.take(differences({GROUP: kind}, members, model.states))
    trusted = {member.target.id for member in members if member.trusted}
    asked_for = {member.target.id for member in members}
    open_ones = {key for key, state in model.states.items() if not state.closed and key[1] in asked_for}
    assert open_ones == {(GROUP + role, name) for role in ROLES for name in trusted}


@given(members=MEMBERS, world=WORLDS)
def test_where_errors_weigh_every_server_that_is_checked_gets_its_weight(members: list[Member], world: World) -> None:
    model = Model(world)
    model.take(differences({GROUP: WEIGHTED}, members, model.states))
    weights = {member.target.id: member.weight for member in members}
    found = {key: state.weight for key, state in model.states.items() if key[1] in weights and key[0] != GROUP + OPEN}
    assert found == {(GROUP + role, name): weight for role in CHECKED for name, weight in weights.items()}


@pytest.mark.parametrize("healthy", [True, False])
def test_a_target_given_back_gets_requests_when_its_checks_say_so(healthy: bool) -> None:
    model = Model({})
    model.take(differences(GROUPS, [a_member(mode="draining")], {}))
    assert model.exposed == set()
    for key, state in model.states.items():
        model.states[key] = replace(state, running=healthy or key[0].endswith(OPEN))
    model.take(differences(GROUPS, [a_member(mode="in_service")], model.states))
    checked = {(GROUP + role, "web-1") for role in CHECKED}
    assert checked & model.exposed == (checked if healthy else set())
    assert (GROUP + OPEN, "web-1") in model.exposed


def test_an_admitted_target_gets_requests_from_all_three_backends() -> None:
    model = Model({})
    model.take(differences(GROUPS, [a_member()], {}))
    assert model.exposed == set()
    admitted = a_member(mode="in_service")
    model.take([*differences(GROUPS, [admitted], model.states), *admission(GROUPS[GROUP], admitted)])
    assert model.exposed == {(GROUP + role, "web-1") for role in ROLES}


def test_a_target_marked_down_is_out_of_all_three_backends() -> None:
    serving = a_member(mode="in_service")
    model = Model({})
    model.take(differences(GROUPS, [serving], {}))
    gone = replace(serving, down=True)
    for _ in range(2):
        model.take([*differences(GROUPS, [gone], model.states), *mark_down(GROUPS[GROUP], gone)])
        assert not any(state.running and not state.closed for state in model.states.values())


def test_servers_that_nobody_wants_are_told() -> None:
    world = {(GROUP + role, "web-9"): a_state(GROUP + role, "web-9", running=True, mode="ready") for role in ROLES}
    assert strangers([(GROUP, "web-1")], world) == [(GROUP + role, "web-9") for role in ROLES]
    assert strangers([(GROUP, "web-9")], world) == []


def test_levelling_takes_one_server_after_the_other() -> None:
    assert [one.line for one in level(GROUP, ["web-2", "web-1"])] == [
        f"set server {GROUP}/web-{number} weight {weight}" for number in (1, 2) for weight in (2, 1)
    ]


@pytest.mark.parametrize("role", ROLES)
def test_a_backend_tells_its_group(role: str) -> None:
    assert group_of(GROUP + role) == GROUP


def test_a_target_that_ramps_says_so_with_what_is_left_of_it() -> None:
    group = a_group(slow_start=30.0)
    member = replace(a_member(mode="in_service"), ramps=True)
    ramping = {GROUP: group}

    def added(one: Member) -> list[str]:
        return [one.line for one in differences(ramping, [one], {}) if one.line.startswith("add")]

    assert [line.partition(" slowstart ")[2] for line in added(member)] == ["30s", "30s", ""]
    assert [line.partition(" slowstart ")[2] for line in added(replace(member, ramped=0.75))] == [
        "7500ms",
        "7500ms",
        "",
    ]
    assert not any("slowstart" in line for line in added(replace(member, ramps=False)))


def test_a_later_daemon_reads_ramps_and_weights_from_the_file() -> None:
    slow, errors, plain = a_group(name="slow", slow_start=5.0), replace(WEIGHTED, name="errors"), a_group()
    groups = {"shop.slow": slow, "shop.errors": errors, GROUP: plain}
    members = {
        key: Member(target=a_target(2, group=key[0], address="unix:/tmp/a b"), ramps=key[0] == "shop.slow", weight=7)
        for key in [(name, "web-2") for name in groups]
    }
    lines = []
    for (name, _), member in members.items():
        for role in ROLES:
            lines += [f"backend {name}{role}", "    balance x", file_line(groups[name], member, role)]
    assert recalled("\n".join(lines)) == {
        ("shop.slow", "web-2"): (True, FULL), ("shop.errors", "web-2"): (False, 7), (GROUP, "web-2"): (False, FULL),
    }  # fmt: skip
