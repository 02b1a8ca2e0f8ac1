"""What holds of data for every history: deaths, hangs, restarts of the machine, crashes of the daemon in the middle of any
plan, changes of the file, deployments that go back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core import plan as plans
from fairlead.core.resources.decide import LASTING, hopeless, needs
from fairlead.core.resources.model import Resource
from tests.core.builders import a_deployment, a_service

from .builders import PHOTOS, SESSIONS, STORE, a_revision_with, a_user, a_wish_for
from .world import DataWorld

IDS = ("store", "sessions", "photos")
RESOURCES: dict[str, Resource] = {"store": STORE, "sessions": SESSIONS, "photos": PHOTOS}

ids = st.sampled_from(IDS)
events = st.one_of(
    st.tuples(st.sampled_from(["kill", "hang", "lose", "stop", "start", "broken", "mended", "stubborn", "obeys"]), ids),
    st.tuples(st.just("crash"), st.integers(0, 4)),
    st.tuples(st.just("wait"), st.integers(0, 150)),
    st.tuples(st.just("reboot"), st.none()),
    st.tuples(st.just("instance dies"), st.integers(1, 6)),
    st.tuples(st.just("settings"), st.booleans()),
    st.tuples(st.sampled_from(["deploy", "deploy badly"]), st.lists(ids, unique=True)),
)
histories = st.lists(events, max_size=14)


def a_world(uses: tuple[str, ...] = ("store", "sessions")) -> DataWorld:
    used = [RESOURCES[id] for id in uses]
    services = (a_user("web", *used, instances=2), a_user("docs", instances=1))
    world = DataWorld(a_wish_for(*used, services=services))
    world.watch = lambda action: hold_laws(world, action)
    return world


def hold_laws(world: DataWorld, action: plans.Action | None) -> None:
    """Before each act. That no resource has two processes, and is told to end once, the world itself asserts."""
    match action:
        case plans.Launch(service=name, release=release) if is_first(world, name, release):
            answering = {seen.record.id for seen in world.judged.resources if seen.answers}
            for id in set(needs(world.wanted.desired.stack.service(name))) - answering:
                in_vain = world.wanted.under_way is None and hopeless(id, world.wanted, world.judged, world.now)
                assert in_vain, f"{name} is started before {id} answers"
        case plans.StopResource(resource=id) if world.wanted.wanted == "down" and not world.kept[id].stopped_at:
            assert not world.programs, f"{id} is stopped before those who may use it are gone"
        case plans.StopResource(resource=id, reason="it is no longer in the file"):
            before = world.wanted.previous
            kept = {one.id for one in before.stack.resources} if before else set()
            assert id not in kept, f"{id} is stopped while a deployment may go back to it"
            assert not old_programs(world), f"{id} is stopped before those who may use it are gone"


def declared(world: DataWorld) -> set[str]:
    return {one.id for one in world.wanted.desired.stack.resources}


def is_first(world: DataWorld, service: str, release: int) -> bool:
    """Whether it is the first of what is wanted: another is launched whatever the data do."""
    return release == world.wanted.desired.releases[service].number and not living(world, service)


def living(world: DataWorld, service: str) -> list[str]:
    number = world.wanted.desired.releases[service].number
    return [one.id for one in world.living() if one.service == service and one.release == number]


def old_programs(world: DataWorld) -> list[str]:
    revisions = (world.wanted.desired, world.wanted.previous)
    wanted = {(name, one.number) for each in revisions if each for name, one in each.releases.items()}
    return [id for id in world.programs if (world.records[id].service, world.records[id].release) not in wanted]


def befall(world: DataWorld, event: str, value: object) -> None:
    match event, value:
        case "crash", int(fuse):
            world.cycle(fuse=fuse)
        case "wait", int(seconds):
            world.now += seconds
        case "instance dies", int(number):
            world.kill(f"web-{number}")
        case "reboot", _:
            world.reboot()
        case "settings", bool(persist):
            change_settings(world, persist=persist)
        case (("deploy" | "deploy badly"), list(uses)):
            deploy(world, [str(id) for id in uses], bad=event == "deploy badly")
        case _, str(id):
            befall_data(world, event, id)


def befall_data(world: DataWorld, event: str, id: str) -> None:
    acts = {
        "kill": world.kill_data, "hang": world.hang, "lose": world.lose_launch, "stop": world.stop_by_hand,
        "start": world.start_by_hand, "broken": world.cannot_start.add, "mended": world.cannot_start.discard,
        "stubborn": world.cannot_stop.add, "obeys": world.cannot_stop.discard,
    }  # fmt: skip
    acts[event](id)


def change_settings(world: DataWorld, *, persist: bool) -> None:
    stack = world.wanted.desired.stack
    changed = tuple(replace(SESSIONS, persist=persist) if one.id == "sessions" else one for one in stack.resources)
    desired = replace(world.wanted.desired, stack=replace(stack, resources=changed))
    world.wanted = replace(world.wanted, desired=desired)


def deploy(world: DataWorld, uses: list[str], *, bad: bool) -> None:
    number = 1 + max(one.number for one in world.wanted.desired.releases.values())
    if bad:
        world.bad_releases |= {number}
    used = [RESOURCES[id] for id in uses]
    services = (a_user("web", *used, instances=2), a_user("docs", instances=1))
    world.wanted = replace(
        world.wanted,
        previous=world.wanted.previous or world.wanted.desired,
        desired=a_revision_with(*used, services=services, number=number),
        deployment=replace(a_deployment(began_at=world.now), boot=world.boot),
    )


def calm_down(world: DataWorld) -> None:
    """No more faults; what an operator took away he gives back."""
    world.cannot_start, world.cannot_stop = set(), set()
    for server in world.servers.values():
        server.hung = False
    for id in world.kept:
        world.start_by_hand(id)


def settle(world: DataWorld) -> None:
    for _ in range(3000):
        plan = world.cycle()
        busy = any(record.state in ("pending", "terminating") for record in world.records.values())
        if world.removed or (not plan.actions and not busy and world.settled() and plan.wake_at is None):
            return
        if not plan.actions:
            world.now = max(world.now + 0.1, min(plan.wake_at or world.now, world.now + 5.0))
    raise AssertionError(f"not settled: {world.cycle()}, {world.kept}")


@given(histories)
@settings(max_examples=300, deadline=None)
def test_whatever_happens_what_is_declared_is_there_in_the_end_and_then_nothing_is_done(history: list) -> None:
    world = a_world()
    for event, value in history:
        befall(world, event, value)
        world.cycle()
        world.now += 0.2
    calm_down(world)
    settle(world)
    if world.wanted.wanted == "down":
        return  # a first deployment that could not go back to anything
    assert {id for id in IDS if world.answers(id)} == declared(world)
    assert {id for id, record in world.kept.items() if record.launched_at is not None} == declared(world)
    assert len(living(world, "web")) == 2
    assert world.cycle().actions == ()


@given(histories)
@settings(max_examples=150, deadline=None)
def test_down_ends_in_nothing_that_runs_and_all_that_was_kept(history: list) -> None:
    world = a_world()
    for event, value in history:
        befall(world, event, value)
        world.cycle()
        world.now += 0.2
    known = set(world.kept)
    world.wanted = replace(world.wanted, wanted="down")
    settle(world)
    assert world.removed
    assert not [id for id in IDS if world.alive(id)]
    assert set(world.kept) == known, "records, and with them the data, outlive `down`"


@given(st.lists(st.integers(0, 3), max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_daemon_that_dies_in_the_middle_of_any_plan_starts_nothing_twice(cuts: list[int]) -> None:
    world = a_world()
    for fuse in cuts:
        world.cycle(fuse=fuse)
        world.now += 0.1
    settle(world)
    assert sorted(world.data_starts) == ["sessions", "store"]


def test_a_launch_that_the_daemon_died_before_is_done_again_with_another_number() -> None:
    world = a_world()
    world.cycle(fuse=1)
    assert world.data_starts == ["store"]
    world.lose_launch("store")
    settle(world)
    assert world.data_starts.count("store") == 2
    assert world.kept["store"].launch == 2


def test_after_a_restart_of_the_machine_data_come_before_those_who_need_them() -> None:
    world = a_world()
    settle(world)
    world.reboot()
    order: list[str] = []
    world.watch = lambda action: order.extend(
        [getattr(action, "service", "data")] if isinstance(action, plans.Launch | plans.StartResource) else []
    )
    world.data_start = 20.0
    settle(world)
    assert [one for one in order if one != "docs"] == ["data", "data", "web", "web"]
    assert order.index("docs") < order.index("web"), "who needs nothing does not wait"
    assert world.kept["store"].failures == 0


def test_one_that_never_starts_is_tried_less_and_less_often_and_for_ever() -> None:
    world = a_world()
    world.cannot_start.add("store")
    for _ in range(4000):
        plan = world.cycle()
        if not plan.actions:
            world.now = max(world.now + 0.1, plan.wake_at or 0.0)
        if world.now > 1000:
            break
    # 0 + 1 + 2 + 4 + 8 + 16 s, then every 30 s.
    assert 30 <= world.data_starts.count("store") <= 42
    world.cannot_start.clear()
    settle(world)
    assert world.answers("store")


def test_one_that_ran_for_long_is_started_again_at_once() -> None:
    world = a_world()
    settle(world)
    world.now += LASTING
    world.kill_data("store")
    before = world.now
    while not world.answers("store"):
        world.cycle()
        world.now += 0.1
        assert world.now < before + 2
    assert world.kept["store"].failures == 0


def test_one_that_does_not_obey_is_killed_and_started_again() -> None:
    world = a_world()
    settle(world)
    world.cannot_stop.add("sessions")
    change_settings(world, persist=True)
    settle(world)
    assert world.answers("sessions")
    assert world.data_starts.count("sessions") == 2
    assert "kept on the disk" in world.kept["sessions"].settings


def test_a_failed_first_up_leaves_nothing_that_runs() -> None:
    world = a_world()
    world.cannot_start.add("store")
    world.wanted = replace(world.wanted, deployment=a_deployment(began_at=world.now))
    settle(world)
    (verdict,) = world.verdicts
    assert isinstance(verdict, plans.GiveUp)
    assert (verdict.service, verdict.resource) == ("web", "store")
    assert world.removed
    assert (world.programs, [id for id in IDS if world.alive(id)]) == ({}, [])


def test_a_deployment_whose_new_database_does_not_start_goes_back_and_what_serves_is_never_touched() -> None:
    world = a_world(uses=("sessions",))
    settle(world)
    world.cannot_start.add("store")
    before = {"web-1", "web-2"}
    deploy(world, ["store", "sessions"], bad=False)
    for _ in range(200):
        world.cycle()
        assert before <= set(world.serving())
        world.now += 0.1
    (verdict,) = world.verdicts
    assert isinstance(verdict, plans.GiveUp)
    assert verdict.resource == "store"
    assert {id for id in world.serving() if id.startswith("web")} == before
    assert [id for id in IDS if world.answers(id)] == ["sessions"]


def test_a_service_without_data_is_never_held_up() -> None:
    world = DataWorld(a_wish_for(STORE, services=(a_service(instances=1),)))
    world.cannot_start.add("store")
    world.cycle()
    assert living(world, "web")
