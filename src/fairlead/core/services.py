"""What the services of a stack need as wholes: how many instances of which release, in which order, and whether a
deployment is over.

Called by `reconcile`, which says what each instance needs by itself. In: the stack as wanted, the snapshot, and now.
Out: actions with reasons, and when time alone will change them. Suspended processes (`core.suspension`) are held here:
what they stop is not decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fairlead.core import capacity, condemning, external, pool, retiring, rollout, runs
from fairlead.core.census import Census, in_place, is_old, take_census
from fairlead.core.desired import Revision, StackRecord
from fairlead.core.fates import failed_to_start, how_it_ended, is_gone, of_another_boot, outcome_of
from fairlead.core.model import Release, Service
from fairlead.core.observed import Instance, Observed, StartHistory
from fairlead.core.plan import Action, Admit, GiveUp, Pool, Retire, StartRun, Succeed
from fairlead.core.resources import decide as resources
from fairlead.core.suspension import AZ_REBALANCE, LAUNCH, REPLACE_UNHEALTHY, TERMINATE

ByService = Mapping[str, Sequence[Instance]]


@dataclass(frozen=True, slots=True)
class _Scene:
    """One service as it is judged, by one revision: what it should be, its instances that are not terminating, and the
    census."""

    service: Service
    release: Release
    below: int
    """Instances of a lower number are old."""
    zones: tuple[str, ...]
    mine: tuple[Instance, ...]
    census: Census

    @property
    def is_ready(self) -> bool:
        """Whether services that wait for this one may start."""
        return sum(1 for instance in self.census.current if in_place(instance)) >= self.service.desired

    @property
    def has_begun(self) -> bool:
        """Whether anything of what is wanted lives."""
        return len(self.census.everyone) > len(self.census.old)


def decide(
    wanted: StackRecord, observed: Observed, by_service: ByService, now: float
) -> tuple[list[Action], list[float]]:
    """Launches, retirements and the deployment's verdict, over all services."""
    actions: list[Action] = []
    wakes: list[float] = []
    numbers = dict(observed.next_numbers)
    deploying = wanted.under_way is not None
    done = True
    scenes = _scenes(wanted, observed, by_service, now)
    for name, scene in scenes.items():
        history = _history(scene, observed, now)
        give_up = rollout.verdict(scene.service, scene.release.number, scene.census, history) if deploying else None
        if give_up:
            return [give_up], []
        waits = _waits_for(scene, scenes, wanted, observed, now)
        if waits and deploying and (give_up := _without_hope(wanted, scene.service, observed, now)):
            return [give_up], []
        preparing = None if waits or not deploying else _prepare(wanted, scene, observed)
        if isinstance(preparing, GiveUp):
            return [preparing], []
        if waits or preparing is not None:
            done = False
            held, when = _hold(wanted, scene, observed, numbers.get(name, 1), now)
            actions += [*(preparing or ()), *held]
            wakes += when
            continue
        levelled, when = _level(wanted, scene, observed, history, numbers.get(name, 1), now, deploying=deploying)
        actions += levelled
        wakes += [*when, *_graces(scene, now)]
        done = done and rollout.reached(scene.service, scene.census)
    routed = {} if wanted.wanted == "down" else {one.name: one for one in wanted.desired.stack.services if not one.runs}
    for name, service in routed.items():
        listed, wake = external.decide(service, by_service.get(name, ()), numbers.get(name, 1), observed.boot, now)
        actions += listed
        done = done and not listed and wake is None
        wakes += [wake] if wake is not None else []
    for name in by_service.keys() - scenes.keys() - routed.keys():
        for instance in by_service[name]:
            if instance.record.state != "terminating" and not is_gone(instance):
                done = False
                why = "the stack goes down" if wanted.wanted == "down" else f"service {name} is no longer in the file"
                actions.append(Retire(instance=instance.record.id, reason=why))
    if deploying and done and not actions:
        actions.append(Succeed(reason="every service has its desired number of healthy instances of its release"))
    return actions, wakes


def _waits_for(
    scene: _Scene, scenes: Mapping[str, _Scene], wanted: StackRecord, observed: Observed, now: float
) -> tuple[str, ...]:
    """The resources that it needs and the services that must be healthy before this one is started (`after`), and are
    not. Only a start waits: a lost instance is replaced whatever the others do."""
    if scene.has_begun:
        return ()
    # One that fairlead does not run is not waited for: it would never start it.
    services = (name for name in scene.service.after if name in scenes and not scenes[name].is_ready)
    lacking = resources.lacking(scene.service, wanted, observed)
    if wanted.under_way is None:
        # With nothing to go back to, what can do without it shall run.
        lacking = tuple(id for id in lacking if not resources.hopeless(id, wanted, observed, now))
    return (*lacking, *services)


def _without_hope(wanted: StackRecord, service: Service, observed: Observed, now: float) -> GiveUp | None:
    """The end of a deployment that would wait for a resource in vain."""
    for id in resources.lacking(service, wanted, observed):
        if why := resources.hopeless(id, wanted, observed, now):
            return GiveUp(service=service.name, instance="", resource=id, reason=f"{service.name} needs {id}: {why}")
    return None


def waiting(wanted: StackRecord, observed: Observed, now: float) -> dict[str, tuple[str, ...]]:
    """For each service that waits to be started the resources and services it waits for."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in observed.instances:
        by_service[instance.record.service].append(instance)
    scenes = _scenes(wanted, observed, by_service, now)
    found = {name: _waits_for(scene, scenes, wanted, observed, now) for name, scene in scenes.items()}
    return {name: names for name, names in found.items() if names}


def is_vacant(wanted: StackRecord, instance: Instance, observed: Observed) -> bool:
    """Whether one that is gone keeps its place empty, because ReplaceUnhealthy is suspended. One that never served does
    not: its launch failed. Nor does one that somebody or a deployment replaces, or that the machine's restart ended."""
    record = instance.record
    if not wanted.is_suspended(record.service, REPLACE_UNHEALTHY) or wanted.wanted == "down":
        return False
    release = wanted.desired.releases.get(record.service)
    if release is None or record.state != "in_service" or record.standby or record.condemned:
        return False
    below = wanted.desired.replaced_below.get(record.service, 0)
    return not of_another_boot(instance, observed) and not is_old(instance, release.number, below)


def _scenes(wanted: StackRecord, observed: Observed, by_service: ByService, now: float) -> dict[str, _Scene]:
    return {
        declared.name: _scene(wanted, wanted.desired, declared, observed, by_service.get(declared.name, ()), now)
        for declared in (wanted.desired.stack.services if wanted.wanted == "up" else ())
        if declared.runs
    }


def _scene(
    wanted: StackRecord, revision: Revision, declared: Service, observed: Observed, all_mine: Sequence[Instance],
    now: float,
) -> _Scene:  # fmt: skip
    """The service as `revision` wants it, with the size of now."""
    service, name = wanted.sized(declared), declared.name
    release, below = revision.releases[name], revision.replaced_below.get(name, 0)
    mine = tuple(instance for instance in all_mine if instance.record.state != "terminating")
    living = [instance for instance in mine if not is_gone(instance)]
    replaces = not wanted.is_suspended(name, REPLACE_UNHEALTHY)
    vacant = () if replaces else [one for one in mine if is_gone(one) and is_vacant(wanted, one, observed)]
    census = take_census(service, release.number, living, now, below, vacant=vacant, replaces=replaces)
    return _Scene(service, release, below, revision.stack.zones, mine, census)


def _level(
    wanted: StackRecord, scene: _Scene, observed: Observed, history: StartHistory, next_number: int, now: float,
    *, deploying: bool, replaces: bool = True,
) -> tuple[list[Action], list[float]]:  # fmt: skip
    """As many as are wanted: let in from the pool, launched, condemned, retired. replaces: whether sound ones may be
    replaced and the pool be filled, where no deployment runs."""
    service, census, release, zones = scene.service, scene.census, scene.release.number, scene.zones
    launching = not wanted.is_suspended(service.name, LAUNCH)
    warmth = pool.sort(service, release, census, now, scene.below)
    actions: list[Action] = []
    wakes = list(warmth.due)
    admitted: tuple[Admit, ...] = ()
    if launching:
        why = capacity.reasons(service, census, history, _lost(scene, observed))
        admitted, from_pool = pool.draw(service, census, warmth, why)
        launched, wake = capacity.launches(
            service, release, census, why, zones, history, next_number, now, from_pool=from_pool
        )
        if not launched and not deploying and replaces:
            launched, later = pool.refill(service, release, census, warmth, zones, history, next_number, now)
            wake = wake if wake is not None else later
        actions += [*admitted, *launched]
        wakes += [wake] if wake is not None else []
    going = pool.keep(service, census, warmth, admitted, launching=launching)
    going += retiring.retirements(service, census, deploying=deploying, launching=launching)
    if not deploying and replaces:
        condemned, limits = condemning.worn(service, census, now)
        if not condemned and not wanted.is_suspended(service.name, AZ_REBALANCE):
            condemned = condemning.unbalanced(service, census, warmth, zones)
        wakes += limits
        # What is not launched or not ended is not replaced either.
        if launching and not wanted.is_suspended(service.name, TERMINATE):
            going += condemned
    if wanted.is_suspended(service.name, TERMINATE):
        going = _without_ends(going, scene.mine)
    return [*actions, *going], wakes


def _without_ends(actions: Sequence[Action], mine: Sequence[Instance]) -> list[Action]:
    """Nobody who lives goes, but one of whom it was asked by hand that it goes now."""
    asked = {one.record.id for one in mine if one.record.at_once}
    return [one for one in actions if not isinstance(one, Retire | Pool) or one.instance in asked]


def _lost(scene: _Scene, observed: Observed) -> list[str]:
    """Why the group's own that are gone are missing: those of the pool and on standby are no part of its capacity."""
    counted = (one for one in scene.mine if is_gone(one) and not one.record.pooled and not one.record.standby)
    vacant = {one.record.id for one in scene.census.vacant}
    return [f"{one.record.id} {how_it_ended(one, observed)}" for one in counted if one.record.id not in vacant]


def _hold(
    wanted: StackRecord, scene: _Scene, observed: Observed, next_number: int, now: float
) -> tuple[list[Action], list[float]]:
    """While the wanted release may not start yet, what serves is kept as it was: a preparation may take long."""
    before, name = wanted.previous, scene.service.name
    if before is None or name not in before.releases:
        return [], []
    held = _scene(wanted, before, before.stack.service(name), observed, scene.mine, now)
    history = _history(held, observed, now)
    return _level(wanted, held, observed, history, next_number, now, deploying=False, replaces=False)


def _prepare(wanted: StackRecord, scene: _Scene, observed: Observed) -> list[Action] | GiveUp | None:
    """What `before_traffic` of the wanted release asks for; None: nothing (any more), its instances may be launched."""
    release, name = scene.release, scene.service.name
    assert wanted.deployment is not None
    if release.before_traffic is None:
        return None
    if any(one.record.release == release.number and one.record.in_service_at is not None for one in scene.mine):
        return None
    # A failure of an earlier deployment does not count: the user runs `up` again because something was mended.
    began = wanted.deployment.began_at if wanted.deployment.boot == observed.boot else 0.0
    counted = [
        run for run in observed.runs if not run.record.ended_at or run.record.succeeded or run.record.began_at >= began
    ]
    match runs.preparation(name, release.number, counted, observed.boot):
        case "done":
            return None
        case "running":
            return []
        case "failed":
            last = runs.latest(counted, "before_traffic", name, release.number)
            assert last is not None
            how = last.record.how
            return GiveUp(service=name, instance=last.record.id, reason=f"before_traffic of {name} {how}")
    why = f"release {release.number} is to be prepared before its first instance"
    return [
        StartRun(
            kind="before_traffic",
            name=name,
            service=name,
            release=release.number,
            argv=release.before_traffic,
            reason=why,
        )
    ]


def _history(scene: _Scene, observed: Observed, now: float) -> StartHistory:
    """The failed starts of a release, with those seen in this very snapshot: or the first would have no back-off."""
    name, release = scene.service.name, scene.release.number
    known = {(one.service, one.release): one for one in observed.starts}
    history = known.get((name, release), StartHistory(service=name, release=release))
    fresh = [one for one in scene.mine if one.record.release == release and failed_to_start(one, observed)]
    if not fresh:
        return history
    return replace(
        history,
        failures=history.failures + len(fresh),
        last_failed_at=now,
        last_outcome=str(outcome_of(fresh[-1])),
        last_instance=fresh[-1].record.id,
    )


def _graces(scene: _Scene, now: float) -> list[float]:
    """When grace periods end that have not yet: time alone then changes what an unhealthy instance means."""
    living = (instance for instance in scene.mine if not is_gone(instance))
    ends = (instance.record.launched_at + scene.service.health_check.grace_period for instance in living)
    return [end for end in ends if end > now]
