"""What is done about each resource, state by state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.desired import StackRecord
from fairlead.core.observed import Observed
from fairlead.core.plan import EndResource, MarkAvailable, StartResource
from fairlead.core.processes import Outcome, Process
from fairlead.core.resources.decide import (
    LASTING,
    MOST_FAILURES,
    SILENCE,
    START_PATIENCE,
    STOP_TIMEOUT,
    decide,
    hopeless,
    is_over,
)
from fairlead.core.resources.model import Cache, settings_of
from fairlead.core.resources.records import ResourceSeen
from fairlead.core.runs import Run, RunRecord
from tests.core.builders import BOOT, a_deployment, serving, terminating

from .builders import (
    NOW,
    PHOTOS,
    SESSIONS,
    STORE,
    a_resource_record,
    a_revision_with,
    a_user,
    a_wish_for,
    at_rest,
    available,
    beginning,
    ended,
    hindered,
    reason,
    seeing,
    silent,
    told,
    wakes,
)

WANTED = a_wish_for(STORE)
DOWN = a_wish_for(STORE, wanted="down")
LEFT = a_wish_for()
LOST = ResourceSeen(record=a_resource_record(available_at=None, launched_at=NOW - 1))
"""Its launch was recorded, and the daemon died before it happened."""
PREPARING = replace(LOST, preparing=True)


@pytest.mark.parametrize(
    ("wanted", "seen", "said"),
    [
        (WANTED, [], ["StartResource store"]),
        (WANTED, [available()], []),
        (WANTED, [beginning()], []),
        (WANTED, [hindered()], []),
        (WANTED, [replace(beginning(), answers=True)], ["MarkAvailable store"]),
        (WANTED, [PREPARING], []),
        (WANTED, [LOST], ["StartResource store"]),
        (WANTED, [at_rest()], ["StartResource store"]),
        (WANTED, [ended()], ["EndResource store"]),
        (WANTED, [ended(available_at=NOW - LASTING + 1)], ["EndResource store (failed)"]),
        (WANTED, [ended(available_at=None)], ["EndResource store (failed)"]),
        (WANTED, [replace(PREPARING, preparing=False, error="no such program")], ["EndResource store (failed)"]),
        # The machine was restarted: nothing of it runs, and it did not fail.
        (WANTED, [replace(available(boot="boot-0"), process=None)], ["EndResource store"]),
        (WANTED, [at_rest(boot="boot-0", failures=5, failed_at=NOW * 9)], ["StartResource store"]),
        # Stopped by hand.
        (WANTED, [available(stopped_at="2026-01-02")], ["StopResource store"]),
        (WANTED, [at_rest(stopped_at="2026-01-02")], []),
        (WANTED, [replace(LOST, record=replace(LOST.record, stopped_at="2026-01-02"))], ["EndResource store"]),
        (WANTED, [replace(PREPARING, record=replace(LOST.record, stopped_at="2026-01-02"))], ["StopResource store"]),
        # On its way out: it is told once.
        (WANTED, [available(stopping_at=NOW - 1)], []),
        (WANTED, [available(stopping_at=NOW - STOP_TIMEOUT)], ["KillResource store"]),
        (WANTED, [ended(stopping_at=NOW - 1, available_at=None)], ["EndResource store"]),
        (WANTED, [replace(LOST, record=replace(LOST.record, stopping_at=NOW))], ["EndResource store"]),
        (WANTED, [replace(LOST, error="given up", record=replace(LOST.record, stopping_at=NOW))], ["EndResource store"]),
        # The whole stack.
        (DOWN, [], []),
        (DOWN, [available()], ["StopResource store"]),
        (DOWN, [beginning()], ["StopResource store"]),
        (DOWN, [PREPARING], ["StopResource store"]),
        (DOWN, [LOST], ["EndResource store"]),
        (DOWN, [at_rest()], []),
        (DOWN, [ended()], ["EndResource store"]),
        # It left the file.
        (LEFT, [available()], ["StopResource store"]),
        (LEFT, [at_rest()], []),
        (LEFT, [LOST], ["EndResource store"]),
        # One that exists already is none of ours.
        (a_wish_for(replace(STORE, url="postgres://db/shop")), [], []),
        (a_wish_for(replace(STORE, url="postgres://db/shop")), [available()], ["StopResource store"]),
    ],
)  # fmt: skip
def test_each_state_has_its_next_step(wanted: StackRecord, seen: list[ResourceSeen], said: list[str]) -> None:
    assert told(wanted, seeing(*seen)) == said


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], "the file declares it"),
        ([LOST], "its launch was recorded and did not happen"),
        ([at_rest(why="killed by SIGKILL")], "its last run is over: killed by SIGKILL"),
        ([at_rest()], "it should run"),
        ([replace(beginning(), answers=True)], "it answers after 1 s"),
        ([ended(outcome=Outcome(exit_status=1))], "exited with status 1"),
        ([ended(stopping_at=NOW, why="it was stopped by hand")], "it was stopped by hand"),
        ([replace(LOST, error="no such program")], "no such program"),
        ([replace(available(boot="boot-0"), process=None)], "ended with the machine's last boot"),
        ([available(stopping_at=NOW - STOP_TIMEOUT)], "it did not end within 60 s"),
        ([silent(since=NOW - 31)], "it has not answered for 31 s: it does not answer"),
    ],
)
def test_each_step_has_its_reason(seen: list[ResourceSeen], said: str) -> None:
    assert reason(WANTED, seeing(*seen)) == said


def test_each_resource_is_judged_by_itself() -> None:
    wanted = a_wish_for(STORE, SESSIONS, PHOTOS)
    observed = seeing(available(PHOTOS), ended(SESSIONS))
    assert told(wanted, observed) == ["StartResource store", "EndResource sessions"]


def test_a_start_carries_what_is_to_be_started_as_the_file_has_it_now() -> None:
    bigger = replace(SESSIONS, memory=128_000_000)
    ((action,), _) = decide(a_wish_for(bigger), seeing(at_rest(SESSIONS)), NOW)
    assert isinstance(action, StartResource)
    assert action.resource == bigger


# Time


@pytest.mark.parametrize(
    ("failures", "pause"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (2000, 30)]
)
def test_one_that_fails_is_started_less_and_less_often(failures: int, pause: float) -> None:
    observed = seeing(at_rest(failures=failures, failed_at=NOW - 0.5, why="exited with status 1"))
    if pause:
        assert told(WANTED, observed) == []
        assert wakes(WANTED, observed) == [NOW - 0.5 + pause]
    assert told(WANTED, observed, NOW - 0.5 + pause) == ["StartResource store"]


def test_of_one_that_does_not_answer_any_more_the_server_is_replaced_after_a_while() -> None:
    observed = seeing(silent(since=NOW))
    assert (told(WANTED, observed), wakes(WANTED, observed)) == ([], [NOW + SILENCE])
    assert told(WANTED, observed, NOW + SILENCE) == ["StopResource store"]
    again = seeing(available())
    assert (told(WANTED, again), wakes(WANTED, again)) == ([], [])


def test_one_that_is_told_to_end_gets_its_time() -> None:
    observed = seeing(available(stopping_at=NOW))
    assert (told(WANTED, observed), wakes(WANTED, observed)) == ([], [NOW + STOP_TIMEOUT])


def test_one_that_begins_is_left_to_recover_for_as_long_as_it_takes() -> None:
    old = seeing(beginning(launched_at=NOW - 3600))
    assert (told(WANTED, old), wakes(WANTED, old)) == ([], [])
    young = seeing(beginning(launched_at=NOW))
    assert wakes(WANTED, young) == [NOW + START_PATIENCE], "then those that wait for it are told"


# Settings


@pytest.mark.parametrize(
    "changed",
    [replace(SESSIONS, memory=None), replace(SESSIONS, eviction="noeviction"), replace(SESSIONS, persist=True)],
)
def test_other_settings_restart_it_with_its_data(changed: Cache) -> None:
    wanted = a_wish_for(changed)
    assert reason(wanted, seeing(available(SESSIONS))) == f"it is to run with other settings: {settings_of(changed)}"
    stopping = available(SESSIONS, stopping_at=NOW, why="other settings")
    assert told(wanted, seeing(stopping)) == []
    assert told(wanted, seeing(replace(stopping, process=Process(alive=False)))) == ["EndResource sessions"]
    assert told(wanted, seeing(at_rest(SESSIONS))) == ["StartResource sessions"]
    assert told(wanted, seeing(available(changed))) == []


def test_what_is_prepared_with_other_settings_is_prepared_to_the_end() -> None:
    preparing = replace(PREPARING, record=a_resource_record(SESSIONS, available_at=None))
    assert told(a_wish_for(replace(SESSIONS, persist=True)), seeing(preparing)) == []


# Who needs it


USERS = (a_user("web", STORE),)


def a_job(**fields: object) -> Run:
    values = {"stack": "shop", "id": "clean.job-1", "number": 1, "kind": "job", "name": "clean", "service": "web"}
    values |= {"release": 1, "argv": ("x",), "boot": BOOT, "began_at": 0.0, "started_at": ""}
    return Run(record=RunRecord(**(values | fields)), process=Process(alive=True, pid=9))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "around",
    [
        {"instances": (serving(1),)},
        {"instances": (terminating(1),)},
        {"strangers": ("web-9",)},
        {"runs": (a_job(),)},
    ],
)
def test_while_the_stack_goes_down_what_still_ends_may_still_write(around: dict[str, object]) -> None:
    wanted = a_wish_for(STORE, services=USERS, wanted="down")
    observed = seeing(available(), **around)
    assert told(wanted, observed) == []
    assert told(wanted, seeing(available())) == ["StopResource store"]


def test_one_stopped_by_hand_is_stopped_whoever_needs_it() -> None:
    wanted = a_wish_for(STORE, services=USERS)
    assert told(wanted, seeing(available(stopped_at="2026-01-02"), instances=(serving(1),))) == ["StopResource store"]
    down = a_wish_for(STORE, services=USERS, wanted="down")
    assert told(down, seeing(available(stopped_at="2026-01-02"), instances=(serving(1),))) == ["StopResource store"]


def test_what_leaves_the_file_stays_until_the_deployment_is_over() -> None:
    before = a_revision_with(STORE, services=USERS)
    deploying = a_wish_for(number=2, previous=before, deployment=a_deployment())
    assert told(deploying, seeing(available())) == []
    assert told(deploying, seeing(ended())) == ["EndResource store"]
    assert told(deploying, seeing(at_rest())) == ["StartResource store"], "those that still run need it"
    over = replace(deploying, previous=None, deployment=a_deployment(status="successful"))
    assert told(over, seeing(available())) == ["StopResource store"]


@pytest.mark.parametrize(
    ("around", "stays"),
    [
        ({"instances": (terminating(1, release=1),)}, True),
        ({"instances": (terminating(1, release=2),)}, False),
        ({"instances": (serving(1, release=2),)}, False),
        ({"instances": (terminating(1, service="gone"),)}, True),
        ({"instances": (serving(1, service="gone", release=0, runs=False),)}, False),
        ({"runs": (a_job(),)}, True),
        ({"runs": (a_job(release=2),)}, False),
        ({"runs": (a_job(ended_at="2026-01-02"),)}, False),
    ],
)
def test_what_left_the_file_stays_while_one_that_may_use_it_ends(around: dict[str, object], stays: bool) -> None:
    observed = seeing(available(), **around)
    assert told(a_wish_for(number=2), observed) == ([] if stays else ["StopResource store"])


def test_a_deployment_that_goes_back_stops_what_only_it_wanted_and_keeps_the_rest() -> None:
    before, after = a_revision_with(STORE), a_revision_with(STORE, SESSIONS, number=2)
    deploying = a_wish_for(STORE, SESSIONS, number=2, previous=before, deployment=a_deployment())
    assert deploying.desired == after
    assert told(deploying, seeing(available())) == ["StartResource sessions"]
    back = replace(deploying, desired=before, previous=None, deployment=a_deployment(status="failed"))
    assert told(back, seeing(available(), beginning(SESSIONS))) == ["StopResource sessions"]
    assert told(back, seeing(available(), at_rest(SESSIONS))) == []


def test_a_deployment_that_goes_back_takes_the_old_settings_back() -> None:
    changed = replace(SESSIONS, persist=True)
    before = a_revision_with(SESSIONS)
    deploying = a_wish_for(changed, number=2, previous=before, deployment=a_deployment())
    assert told(deploying, seeing(available(SESSIONS))) == ["StopResource sessions"]
    back = replace(deploying, desired=before, previous=None, deployment=a_deployment(status="failed"))
    assert told(back, seeing(available(changed))) == ["StopResource sessions"]


# Hope


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        (seeing(), ""),
        (seeing(available()), ""),
        (seeing(beginning()), ""),
        (seeing(beginning(launched_at=NOW - START_PATIENCE + 1)), ""),
        (seeing(beginning(launched_at=NOW - START_PATIENCE)), "it has been starting for 2 min: it recovers"),
        (seeing(beginning(launched_at=NOW - 999, boot="boot-0")), ""),
        (seeing(silent(since=NOW - 999)), ""),
        (seeing(hindered()), "its disk is full"),
        (seeing(hindered(available_at=None)), "its disk is full"),
        # On its way out, and about to be started with other settings.
        (seeing(hindered(stopping_at=NOW)), ""),
        (seeing(hindered(settings="other")), ""),
        (seeing(beginning(launched_at=NOW - START_PATIENCE, settings="other")), ""),
        (seeing(at_rest(failures=MOST_FAILURES - 1, why="exited with status 1")), ""),
        (
            seeing(at_rest(failures=MOST_FAILURES, why="exited with status 1")),
            "it failed to start 3 times: exited with status 1",
        ),
        (
            seeing(at_rest(stopped_at="2026-01-02")),
            "it was stopped by hand; start it: fairlead data start store",
        ),
        (seeing(at_rest(SESSIONS, failures=9)), ""),
    ],
)
def test_whether_waiting_for_it_leads_anywhere(observed: Observed, why: str) -> None:
    assert hopeless("store", WANTED, observed, NOW) == why


def test_of_one_that_is_no_longer_in_the_file_hope_is_judged_too() -> None:
    assert hopeless("store", LEFT, seeing(hindered(settings="other")), NOW) == "its disk is full"


def test_it_is_over_when_nothing_of_any_runs() -> None:
    assert is_over(seeing())
    assert is_over(seeing(at_rest(), at_rest(SESSIONS, failures=2)))
    for one in (available(), LOST, ended(), PREPARING):
        assert not is_over(seeing(at_rest(SESSIONS), one))


def test_the_same_snapshot_gives_the_same_plan() -> None:
    observed = seeing(available(), beginning(SESSIONS), at_rest(PHOTOS))
    wanted = a_wish_for(STORE, SESSIONS, PHOTOS)
    assert decide(wanted, observed, NOW) == decide(wanted, observed, NOW)
    kinds = {type(action) for action in decide(wanted, observed, NOW)[0]}
    assert kinds <= {StartResource, MarkAvailable, EndResource}
