"""The decision: what a stack wants and what is there -> what to do now.

Called once a cycle by `control`, with one frozen snapshot; called again with the next one. The same snapshot gives the
same plan, and a snapshot of the goal gives an empty one. While the balancer does not answer, its targets are unknown,
and nothing is decided that needs to know them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fairlead.core import capacity, ending, external, rollout, running, runs
from fairlead.core.capacity import Census
from fairlead.core.desired import StackRecord
from fairlead.core.model import HealthCheck, Release, Service
from fairlead.core.observed import Instance, Observed, StartHistory
from fairlead.core.plan import (
    Action,
    Admit,
    Configure,
    Drain,
    EndStranger,
    GiveUp,
    MarkDown,
    Plan,
    Register,
    Remove,
    Restore,
    Retire,
    Sever,
    Start,
    StartRun,
    Succeed,
)
from fairlead.core.processes import Outcome
from fairlead.core.routing import openings_of, routing_of

DELAYS_OF_A_FORGOTTEN_SERVICE = (30.0, 30.0)
"""deregistration_delay and stop_timeout of instances whose service no revision holds any more: the defaults."""

WORKER_START = 1.0
"""Seconds that a worker has to run before it counts as started: one that ends sooner has failed to start."""

# Order of a plan: what stops harm first (mark down), then capacity (launch, admit), then what removes.
_ORDER = (
    "Configure", "MarkDown", "EndStranger", "Start", "Launch", "Enlist", "Register", "Admit", "Restore", "EndRun",
    "LaunchRun", "SkipJob", "StartRun", "StopRun", "KillRun", "Condemn", "Retire", "Drain", "Sever", "Deregister",
    "Stop", "Kill", "End", "Succeed", "GiveUp", "Remove",
)  # fmt: skip


def decide(wanted: StackRecord, observed: Observed, now: float) -> Plan:
    """The plan for `wanted` in the world `observed` at `now` (monotonic seconds of this boot)."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in observed.instances:
        by_service[instance.record.service].append(instance)
    actions: list[Action] = [
        EndStranger(instance=stranger, reason="it runs, and no record wants it") for stranger in observed.strangers
    ]
    ran, wakes = running.decide(wanted, observed, now)
    actions += ran

    serving = {instance.record.service for instance in observed.instances if instance.record.serves}
    openings = openings_of((instance.record for instance in observed.instances), observed.boot, now)
    routing = routing_of(wanted, serving, observed.routing, openings)
    if routing != observed.routing:
        why = "the stack is down and empty" if routing is None else "listeners, rules or target groups differ"
        actions.append(Configure(routing=routing, reason=why))
    if routing is None and not observed.instances and not observed.strangers and not runs.live(observed.runs):
        return Plan(actions=(*actions, Remove(reason="nothing of it runs any more")))

    for instance in observed.instances:
        actions += _keep(wanted, instance, observed, now)
        if instance.record.drained:
            cut, wake = _sever(wanted, instance, observed, now)
            actions += cut
            wakes += [wake] if wake is not None else []
        if instance.record.state == "terminating":
            step, wake = _end(wanted, instance, observed, now)
            actions += [step] if step else []
            wakes += [wake] if wake is not None else []
        elif instance.record.state == "pending" and not _is_checked(wanted, instance):
            wakes.append(instance.record.launched_at + WORKER_START)
        if (opened := instance.record.opened) is not None and opened.holds(observed.boot, now):
            wakes.append(opened.until)

    # To end everything one needs to know nothing.
    if observed.balancer_known or wanted.wanted == "down":
        sized, when = _size_all(wanted, observed, by_service, now)
        actions += sized
        wakes += when
    actions.sort(key=lambda action: _ORDER.index(type(action).__name__))
    return Plan(actions=tuple(actions), wake_at=min(wakes, default=None))


def is_gone(instance: Instance) -> bool:
    """Its process has ended, or it should have one and the engine knows of none."""
    if not instance.record.runs:
        return False
    if instance.process is None:
        return instance.record.state != "pending"
    return not instance.process.alive


def how_it_ended(instance: Instance, observed: Observed) -> str:
    """How an instance that is gone ended, in words."""
    return "ended with the machine's last boot" if _of_another_boot(instance, observed) else str(_outcome(instance))


def service_of(wanted: StackRecord, name: str) -> Service | None:
    """The service as wanted, else as it was before the deployment that dropped it."""
    for revision in (wanted.desired, wanted.previous):
        for service in revision.stack.services if revision else ():
            if service.name == name:
                return service
    return None


def _keep(wanted: StackRecord, instance: Instance, observed: Observed, now: float) -> list[Action]:
    """What one instance that should live needs: started, registered, admitted; or, when gone, taken out at once."""
    record = instance.record
    if record.state == "terminating":
        return []
    if is_gone(instance):
        why = how_it_ended(instance, observed)
        retire = Retire(instance=record.id, reason=why, failed_start=_failed_to_start(instance, observed))
        told = record.serves and observed.balancer_known
        return [MarkDown(instance=record.id, reason=why), retire] if told else [retire]
    if instance.process is None and record.runs:
        if wanted.wanted == "down":
            return []
        return [Start(instance=record.id, reason="its launch was recorded and did not happen")]
    has_run = now - record.launched_at >= WORKER_START or _of_another_boot(instance, observed)
    if not record.serves:
        if record.state == "pending" and has_run:
            return [Admit(instance=record.id, reason=f"it has run for {WORKER_START:g} s")]
        return []
    if not observed.balancer_known:
        return []
    unchecked = not _check_of(wanted, record.service).enabled
    return _keep_target(instance, admitted_at_once=unchecked and has_run)


def _keep_target(instance: Instance, *, admitted_at_once: bool) -> list[Action]:
    """What the target of a living instance needs. admitted_at_once: no check will ever tell."""
    record, target = instance.record, instance.target
    if target is None:
        return [Register(instance=record.id, reason="it runs, and the balancer lacks it")]
    if record.drained:
        if target.mode == "draining":
            return []
        return [Drain(instance=record.id, reason="it was drained by hand, and still gets requests")]
    if target.mode == "draining":
        return [Restore(instance=record.id, reason="it was returned to the load balancer")]
    if target.mode == "initial" or record.state == "pending":
        if admitted_at_once:
            return [Admit(instance=record.id, reason="its service has no health checks")]
        if capacity.passing(instance):
            return [Admit(instance=record.id, reason="it passed its first health check")]
    return []


def _sever(
    wanted: StackRecord, instance: Instance, observed: Observed, now: float
) -> tuple[list[Action], float | None]:
    """What becomes of requests, WebSockets and streams inside one that was drained by hand, and when."""
    record, target = instance.record, instance.target
    inside = target is not None and target.mode == "draining" and target.sessions
    if not inside or record.state == "terminating" or record.drained_at is None or _of_another_boot(instance, observed):
        return [], None
    service = service_of(wanted, record.service)
    delay = service.target_group.deregistration_delay if service else DELAYS_OF_A_FORGOTTEN_SERVICE[0]
    due = record.drained_at + delay
    if now < due:
        return [], due
    return [Sever(instance=record.id, reason=f"its deregistration delay of {delay:g} s is over")], None


def _check_of(wanted: StackRecord, name: str) -> HealthCheck:
    """The service's health check; the default one when nobody knows it any more."""
    service = service_of(wanted, name)
    return service.health_check if service else HealthCheck()


def _is_checked(wanted: StackRecord, instance: Instance) -> bool:
    """Whether a health check tells when it may be admitted."""
    return instance.record.serves and _check_of(wanted, instance.record.service).enabled


def _end(wanted: StackRecord, instance: Instance, observed: Observed, now: float) -> tuple[Action | None, float | None]:
    service = service_of(wanted, instance.record.service)
    delay, stop = DELAYS_OF_A_FORGOTTEN_SERVICE
    if service:
        delay, stop = service.target_group.deregistration_delay, service.stop_timeout
    return ending.next_step(
        instance, now, deregistration_delay=delay, stop_timeout=stop, balancer_known=observed.balancer_known
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """One service as it is judged: what it should be, its instances that are not terminating, and the census."""

    service: Service
    release: Release
    mine: tuple[Instance, ...]
    living: tuple[Instance, ...]
    census: Census

    @property
    def is_ready(self) -> bool:
        """Whether services that wait for this one may start."""
        return sum(1 for instance in self.census.current if capacity.in_place(instance)) >= self.service.desired

    @property
    def has_begun(self) -> bool:
        """Whether anything of what is wanted lives."""
        return len(self.census.everyone) > len(self.census.old)


def _scenes(wanted: StackRecord, by_service: dict[str, list[Instance]], now: float) -> dict[str, _Scene]:
    scenes = {}
    for declared in wanted.desired.stack.services if wanted.wanted == "up" else ():
        if not declared.runs:
            continue
        service, name = wanted.sized(declared), declared.name
        release, below = wanted.desired.releases[name], wanted.desired.replaced_below.get(name, 0)
        mine = tuple(instance for instance in by_service.get(name, ()) if instance.record.state != "terminating")
        living = tuple(instance for instance in mine if not is_gone(instance))
        census = capacity.take_census(service, release.number, living, now, below)
        scenes[name] = _Scene(service, release, mine, living, census)
    return scenes


def _size_all(
    wanted: StackRecord, observed: Observed, by_service: dict[str, list[Instance]], now: float
) -> tuple[list[Action], list[float]]:
    """Launches, retirements and the deployment's verdict, over all services."""
    actions: list[Action] = []
    wakes: list[float] = []
    numbers = dict(observed.next_numbers)
    deploying = wanted.under_way is not None
    done = True
    scenes = _scenes(wanted, by_service, now)
    for name, scene in scenes.items():
        service, release, census = scene.service, scene.release.number, scene.census
        history = _history(scene, release, observed, now)
        give_up = rollout.verdict(service, release, census, history) if deploying else None
        if give_up:
            return [give_up], []
        preparing = None if waits_for(scene, scenes) or not deploying else _prepare(wanted, scene, observed)
        if isinstance(preparing, GiveUp):
            return [preparing], []
        lost = [
            f"{instance.record.id} {how_it_ended(instance, observed)}" for instance in scene.mine if is_gone(instance)
        ]
        if waits_for(scene, scenes) or preparing is not None:
            done = False
            held, wake = _hold(wanted, scene, observed, lost, numbers.get(name, 1), now)
            actions += [*(preparing or ()), *held]
            wakes += [wake] if wake is not None else []
            continue
        launched, wake = capacity.launches(
            service, release, census, lost, wanted.desired.stack.zones, history, numbers.get(name, 1), now
        )
        actions += launched
        actions += capacity.retirements(service, census, deploying=deploying)
        wakes += [wake] if wake is not None else []
        wakes += _graces(service, scene.living, now)
        if not deploying:
            condemned, limits = capacity.worn(service, census, now)
            actions += condemned
            wakes += limits
        done = done and rollout.reached(service, census)
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


def waits_for(scene: _Scene, scenes: Mapping[str, _Scene]) -> tuple[str, ...]:
    """The services that must be healthy before this one is started (`after`), and are not. Only a start waits: a lost
    instance is replaced whatever the others do."""
    if scene.has_begun:
        return ()
    # One that fairlead does not run is not waited for: it would never start it.
    return tuple(name for name in scene.service.after if name in scenes and not scenes[name].is_ready)


def _hold(
    wanted: StackRecord, scene: _Scene, observed: Observed, lost: Sequence[str], next_number: int, now: float
) -> tuple[list[Action], float | None]:
    """While the wanted release may not start yet, what serves is kept as it was: a preparation may take long."""
    before, name = wanted.previous, scene.service.name
    if before is None or name not in before.releases:
        return [], None
    service, release = wanted.sized(before.stack.service(name)), before.releases[name].number
    census = capacity.take_census(service, release, scene.living, now, before.replaced_below.get(name, 0))
    history = _history(scene, release, observed, now)
    launched, wake = capacity.launches(service, release, census, lost, before.stack.zones, history, next_number, now)
    return [*launched, *capacity.retirements(service, census, deploying=False)], wake


def waiting(wanted: StackRecord, observed: Observed, now: float) -> dict[str, tuple[str, ...]]:
    """For each service that waits to be started the services it waits for."""
    by_service: dict[str, list[Instance]] = defaultdict(list)
    for instance in observed.instances:
        by_service[instance.record.service].append(instance)
    scenes = _scenes(wanted, by_service, now)
    found = {name: waits_for(scene, scenes) for name, scene in scenes.items()}
    return {name: names for name, names in found.items() if names}


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


def _outcome(instance: Instance) -> Outcome:
    return (instance.process.outcome if instance.process else None) or Outcome()


def _of_another_boot(instance: Instance, observed: Observed) -> bool:
    return bool(observed.boot) and instance.record.boot != observed.boot


def _failed_to_start(instance: Instance, observed: Observed) -> bool:
    """It ended before its first passed check, and by itself: a restart of the machine says nothing of the program."""
    return instance.record.state == "pending" and is_gone(instance) and not _of_another_boot(instance, observed)


def _history(scene: _Scene, release: int, observed: Observed, now: float) -> StartHistory:
    """The failed starts of a release, with those seen in this very snapshot: or the first would have no back-off."""
    name = scene.service.name
    known = {(one.service, one.release): one for one in observed.starts}
    history = known.get((name, release), StartHistory(service=name, release=release))
    fresh = [one for one in scene.mine if one.record.release == release and _failed_to_start(one, observed)]
    if not fresh:
        return history
    return replace(
        history,
        failures=history.failures + len(fresh),
        last_failed_at=now,
        last_outcome=str(_outcome(fresh[-1])),
        last_instance=fresh[-1].record.id,
    )


def _graces(service: Service, living: Sequence[Instance], now: float) -> list[float]:
    """When grace periods end that have not yet: time alone then changes what an unhealthy instance means."""
    ends = (instance.record.launched_at + service.health_check.grace_period for instance in living)
    return [end for end in ends if end > now]
