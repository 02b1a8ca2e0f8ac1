"""What holds for every history of an auto scaling group: its maximum, its warm pool, its zones, what is suspended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core import plan as plans
from fairlead.core import pool
from fairlead.core.model import Service
from fairlead.core.suspension import LAUNCH, PROCESSES, REPLACE_UNHEALTHY, TERMINATE

from .builders import a_deployment, a_group, a_revision, a_stack, a_wish
from .world import World

ZONES = ("a", "b")

numbers = st.integers(1, 9)
fates = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["kill", "ill", "well", "freeze", "standby", "return", "protect", "condemn"]), numbers
        ),
        st.tuples(st.just("crash"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.integers(0, 40)),
        st.tuples(st.just("desired"), st.integers(0, 6)),
        st.tuples(st.just("maximum"), st.integers(1, 6)),
        st.tuples(st.just("release"), st.integers(2, 4)),
        st.tuples(st.just("suspend"), st.integers(0, len(PROCESSES) - 1)),
        st.tuples(st.just("resume"), st.just(0)),
    ),
    max_size=14,
)
groups = st.builds(
    lambda minimum, more, room, warm_pool, reuse, policy, percents: a_group(
        minimum=minimum,
        desired=minimum + more,
        maximum=max(1, minimum + more + room),
        warm_pool=warm_pool,
        reuse_on_scale_in=reuse,
        termination_policy=policy,
        min_healthy=percents[0],
        max_healthy=percents[1],
    ),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["default", "oldest_instance", "newest_instance", "oldest_release"]),
    st.sampled_from([(100, 200), (100, 100), (50, 100), (0, 100), (50, 150)]),
)


def service_of(world: World) -> Service:
    service: Service = world.wanted.desired.stack.services[0]
    return service


def a_world(group: Service, **fields: object) -> World:
    return World(a_wish(a_revision(a_stack(group, zones=ZONES))), **fields)  # type: ignore[arg-type]


@dataclass
class Watch:
    """Holds the laws at every single act."""

    world: World
    before: int = 0

    def __call__(self, action: plans.Action | None) -> None:
        world = self.world
        living = [record for record in world.living() if not record.standby]
        if action is not None:
            self.before = len(living)
            self._suspended(action)
            return
        assert len(living) <= max(self.before, service_of(world).maximum, 2), "more than the maximum"
        if service_of(world).maximum > 1:
            assert len(living) <= max(self.before, service_of(world).maximum), "more than the maximum"
        pooled = {record.id for record in living if record.pooled}
        assert not [name for name in world.serving() if name in pooled], "the pool takes traffic"

    def _suspended(self, action: plans.Action) -> None:
        world = self.world
        if world.wanted.is_suspended("web", LAUNCH):
            assert not isinstance(action, plans.Launch)
            if isinstance(action, plans.Admit):
                assert not world.records[action.instance].pooled
        if world.wanted.is_suspended("web", TERMINATE) and isinstance(action, plans.Retire | plans.Pool):
            assert world.programs[action.instance].outcome is not None, "one that lives is ended"


def befall(world: World, fate: str, value: int) -> None:
    name = f"web-{value}"
    program, record, service = world.programs.get(name), world.records.get(name), service_of(world)
    lives = record is not None and record.state == "in_service"
    match fate:
        case "kill":
            world.kill(name)
        case "ill" | "well" if program:
            program.ill = fate == "ill"
        case "freeze" if program:
            program.frozen = True
        case "protect" if record:
            world.records[name] = replace(record, protected=not record.protected)
        case "condemn" if record and record.state != "ended":
            world.records[name] = replace(record, condemned="a test", at_once=False)
        case "standby" if record and lives and not record.standby:
            world.records[name] = replace(record, drained=True, drained_at=world.now, standby="replaced")
        case "return" if record and record.standby:
            world.records[name] = replace(record, drained=False, drained_at=None, standby="")
        case "crash":
            world.cycle(fuse=value)
        case "wait":
            world.now += value
            world.cycle()
        case "desired":
            desired = min(max(value, service.minimum), service.maximum)
            change(world, replace(service, desired=desired))
        case "maximum":
            minimum = min(service.minimum, value)
            desired = min(max(service.desired, minimum), value)
            change(world, replace(service, minimum=minimum, desired=desired, maximum=value))
        case "release":
            world.wanted = replace(
                world.wanted,
                previous=world.wanted.desired,
                desired=a_revision(a_stack(service, zones=ZONES), web=value),
                deployment=a_deployment(began_at=world.now),
            )
        case "suspend":
            suspended = {*world.wanted.suspended.get("web", ()), list(PROCESSES)[value]}
            world.wanted = replace(world.wanted, suspended={"web": tuple(sorted(suspended))})
        case "resume":
            world.wanted = replace(world.wanted, suspended={})


def change(world: World, service: Service) -> None:
    """Other sizes, at once."""

    def resized(revision: object) -> object:
        return replace(revision, stack=a_stack(service, zones=ZONES)) if revision else None  # type: ignore[type-var]

    wanted = world.wanted
    world.wanted = replace(wanted, desired=resized(wanted.desired), previous=resized(wanted.previous))


def live_through(world: World, history: list) -> None:
    for fate, value in history:
        befall(world, fate, value)
        world.cycle()


def recover(world: World) -> None:
    """Whatever an operator or a program was in the way of things by."""
    befall(world, "resume", 0)
    for program in world.programs.values():
        program.ill = False
    for name, record in world.records.items():
        world.records[name] = replace(record, protected=False)


@given(groups, fates)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_a_group_gets_its_size_its_pool_and_its_zones_back(group: Service, history: list) -> None:
    world = a_world(group)
    world.watch = Watch(world)
    world.settle()
    live_through(world, history)
    recover(world)
    world.settle()
    service = service_of(world)
    live = [record for record in world.records.values() if record.state != "ended" and not record.standby]
    assert {record.release for record in live} <= {world.wanted.desired.releases["web"].number}
    serving = [record for record in live if record.state == "in_service"]
    warm = [record for record in live if record.state == "warm"]
    assert (len(serving), len(warm)) == (service.desired, pool.size(service))
    assert len(live) == len(serving) + len(warm)
    assert sorted(world.serving()) == sorted(record.id for record in serving)
    assert world.cycle().actions == ()
    if not warm and (service.desired < service.maximum or service.maximum == 1):
        assert spread(world) <= 1


def spread(world: World) -> int:
    """How many more the fullest zone has than the emptiest, of those that serve."""
    zones = Counter(world.records[name].zone for name in world.serving())
    return max(zones[zone] for zone in ZONES) - min(zones[zone] for zone in ZONES)


@given(st.integers(2, 5), st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_zones_are_brought_within_one_of_each_other_without_losing_capacity(desired: int, moved: list[int]) -> None:
    world = a_world(a_group(desired=desired, maximum=desired + 1))
    world.settle()
    for number in moved:
        if f"web-{number}" in world.records:
            world.records[f"web-{number}"] = replace(world.records[f"web-{number}"], zone="a")
    for _ in range(100):
        world.cycle()
        assert len(world.serving()) >= desired
        world.now += 0.1
    world.settle()
    assert spread(world) <= 1


@given(groups.filter(lambda group: group.desired > 1), st.lists(st.integers(0, 5), max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_deployment_keeps_the_maximum_and_takes_out_one_at_most_beyond_it(group: Service, cuts: list[int]) -> None:
    world = a_world(group)
    world.watch = Watch(world)
    world.settle()
    befall(world, "release", 2)
    least = min(-(-group.desired * group.min_healthy // 100), group.maximum - 1)
    for step in range(300):
        world.cycle(fuse=cuts[step] if step < len(cuts) else None)
        assert len(world.serving()) >= least
        world.now += 0.1
        if world.wanted.deployment is None:
            break
    assert [type(verdict) for verdict in world.verdicts] == [plans.Succeed]


@given(groups, st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_with_a_pool_a_larger_size_is_served_at_once(group: Service, size: int) -> None:
    world = a_world(group)
    world.settle()
    warm = [record.id for record in world.records.values() if record.state == "warm"]
    befall(world, "desired", size)
    missing = max(0, service_of(world).desired - group.desired)
    world.cycle()
    assert len(set(warm) & set(world.serving())) == min(missing, len(warm))


@given(groups, fates)
@settings(max_examples=60, deadline=None)
def test_what_is_gone_while_replacing_is_suspended_keeps_its_place_empty(group: Service, history: list) -> None:
    world = a_world(group)
    world.settle()
    before = set(world.records)
    world.wanted = replace(world.wanted, suspended={"web": (REPLACE_UNHEALTHY,)})
    for fate, value in history:
        if fate in ("kill", "ill", "well", "wait", "crash"):
            befall(world, fate, value)
            world.cycle()
    kept = {name for name, record in world.records.items() if record.state == "in_service"}
    assert kept == {name for name in before if world.records[name].in_service_at is not None}
    recover(world)
    world.settle()
    assert len(world.serving()) == group.desired
