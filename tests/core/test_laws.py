"""What holds for every history: deaths, illness, crashes of the daemon in the middle of any plan, changes of mind."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core import plan as plans

from .builders import a_deployment, a_revision, a_service, a_stack, a_wish
from .world import World

fates = st.lists(
    st.one_of(
        st.tuples(st.just("kill"), st.integers(1, 8)),
        st.tuples(st.just("ill"), st.integers(1, 8)),
        st.tuples(st.just("well"), st.integers(1, 8)),
        st.tuples(st.just("freeze"), st.integers(1, 8)),
        st.tuples(st.just("crash"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.integers(0, 40)),
        st.tuples(st.just("size"), st.integers(1, 5)),
        st.tuples(st.just("release"), st.integers(2, 4)),
    ),
    max_size=12,
)


def a_running_world(instances: int) -> World:
    world = World(a_wish(a_revision(a_stack(a_service(instances=instances)))))
    world.settle()
    return world


def befall(world: World, fate: str, value: int) -> None:
    program = world.programs.get(f"web-{value}")
    match fate:
        case "kill":
            world.kill(f"web-{value}")
        case "ill" | "well" if program:
            program.ill = fate == "ill"
        case "freeze" if program:
            program.frozen = True
        case "crash":
            world.cycle(fuse=value)
        case "wait":
            world.now += value
            world.cycle()
        case "size":
            releases = world.wanted.desired.releases
            stack = a_stack(a_service(instances=value))
            world.wanted = replace(world.wanted, desired=replace(a_revision(stack), releases=releases))
        case "release":
            service = world.wanted.desired.stack.services[0]
            world.wanted = replace(
                world.wanted,
                previous=world.wanted.desired,
                desired=a_revision(a_stack(service), web=value),
                deployment=a_deployment(began_at=world.now),
            )


@given(st.integers(1, 4), fates)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_the_goal_is_reached_and_then_nothing_is_done(instances: int, history: list) -> None:
    world = a_running_world(instances)
    for fate, value in history:
        befall(world, fate, value)
        world.cycle()
    for program in world.programs.values():
        program.ill = False  # one that stays ill stays in replacement
    world.settle()
    service = world.wanted.desired.stack.services[0]
    release = world.wanted.desired.releases["web"].number
    live = [record for record in world.records.values() if record.state != "ended"]
    assert [(record.state, record.release) for record in live] == [("in_service", release)] * service.desired
    assert len(world.serving()) == service.desired
    assert set(world.programs) == {record.id for record in live} == set(world.targets)
    assert world.cycle().actions == ()


@given(st.integers(1, 4), fates)
@settings(max_examples=100, deadline=None)
def test_no_one_is_told_to_stop_twice_and_no_number_is_used_twice(instances: int, history: list) -> None:
    world = a_running_world(instances)
    seen = {}
    for fate, value in history:
        befall(world, fate, value)
        world.cycle()
        seen.update(world.programs)
    assert all(program.told_to_stop <= 1 for program in seen.values())


@given(st.integers(1, 5), st.integers(0, 6), st.lists(st.integers(0, 5), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_deployment_never_goes_below_min_healthy_nor_above_max_healthy(
    instances: int, sessions: int, cuts: list[int]
) -> None:
    world = a_running_world(instances)
    service = world.wanted.desired.stack.services[0]
    befall(world, "release", 2)
    world.sessions = dict.fromkeys(world.targets, sessions)
    for step in range(200):
        world.cycle(fuse=cuts[step] if step < len(cuts) else None)
        assert len(world.serving()) >= instances
        accepted = [record for record in world.records.values() if record.state in ("pending", "in_service")]
        assert len(accepted) <= instances * service.max_healthy // 100
        world.now += 0.1
        if world.wanted.deployment is None:
            break
    assert [type(verdict) for verdict in world.verdicts] == [plans.Succeed]


@given(st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_a_release_that_cannot_start_is_given_up_and_the_old_one_is_never_touched(instances: int) -> None:
    world = a_running_world(instances)
    before = set(world.serving())
    world.bad_releases = frozenset({2})
    befall(world, "release", 2)
    for _ in range(300):
        world.cycle()
        assert set(world.serving()) == before
        world.now += 0.1
    assert [type(verdict) for verdict in world.verdicts] == [plans.GiveUp]
    assert set(world.programs) == before


def test_every_prefix_of_every_plan_of_a_deployment_leads_to_the_same_end() -> None:
    longest = 6
    for turn in range(40):
        for fuse in range(longest):
            world = a_running_world(2)
            befall(world, "release", 2)
            for step in range(60):
                world.cycle(fuse=fuse if step == turn else None)
                world.now += 0.1
            world.settle()
            assert len(world.serving()) == 2, (turn, fuse)
            assert {record.release for record in world.records.values() if record.state != "ended"} == {2}


def test_a_first_up_that_fails_leaves_nothing() -> None:
    world = World(a_wish(deployment=a_deployment(began_at=100.0)), bad_releases=frozenset({1}))
    world.settle()
    assert world.removed
    assert (world.programs, world.targets, world.routing) == ({}, {}, None)


def test_a_program_that_never_starts_is_tried_less_and_less_often() -> None:
    world = World(a_wish(a_revision(a_stack(a_service(instances=1)))), bad_releases=frozenset({1}))
    for _ in range(1000):
        plan = world.cycle()
        if not plan.actions:
            world.now = plan.wake_at or world.now + 0.1
        if world.now > 1000:
            break
    # 1 + 2 + 4 + 8 + 16 + 32 s, then once a minute: 7 starts in the first 63 s, and one a minute after.
    assert 18 <= world.launches <= 23


def test_a_stack_on_its_way_down_ends_empty() -> None:
    world = a_running_world(3)
    world.wanted = replace(world.wanted, wanted="down")
    world.settle()
    assert world.removed
    assert (world.programs, world.targets, world.routing) == ({}, {}, None)
