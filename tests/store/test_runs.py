"""Runs, schedules and alarms outlive the daemon; what belongs together is written together; history is bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.alarms import AlarmRecord, Delivery
from fairlead.core.model import Alarm
from fairlead.core.processes import Outcome
from fairlead.core.runs import RunRecord
from fairlead.errors import StoreError
from fairlead.store.database import Store
from fairlead.store.runs import KEPT_ENDED
from tests.store.builders import BOOT, DAY, a_stack_record


def a_run(number: int = 1, **changes: Any) -> RunRecord:
    run = RunRecord(
        stack="shop",
        id=f"nightly.job-{number}",
        number=number,
        kind="job",
        name="nightly",
        service="web",
        release=1,
        argv=("clean", "--all"),
        boot=BOOT,
        began_at=100.0 + number,
        started_at=DAY,
        timeout=600.0,
        scheduled_for=DAY,
    )
    return replace(run, **changes)


def ended(number: int, **changes: Any) -> RunRecord:
    return a_run(number, ended_at=DAY, outcome=Outcome(exit_status=0), took=1.5, **changes)


class TestRuns:
    def test_a_run_is_there_after_the_store_was_closed_and_opened(self, path: str) -> None:
        before = Store.open(path)
        before.save_run(a_run(1))
        before.save_run(ended(2))
        before.close()
        after = Store.open(path)
        assert after.live_runs("shop") == (a_run(1),)
        assert after.run("shop", "nightly.job-2") == ended(2)
        assert after.run("shop", "nightly.job-3") is None
        after.close()

    def test_saving_it_again_replaces_it(self, store: Store) -> None:
        store.save_run(a_run(1))
        store.save_run(ended(1))
        assert store.live_runs() == ()

    def test_numbers_grow_by_kind_and_name_and_are_never_given_again(self, store: Store) -> None:
        store.save_run(a_run(1))
        store.save_run(a_run(2))
        assert store.next_run_number("shop", "job", "nightly") == 3
        assert store.next_run_number("shop", "before_traffic", "nightly") == 1
        assert store.next_run_number("bank", "job", "nightly") == 1
        assert store.next_number("shop", "nightly") == 1, "a service of that name counts by itself"

    def test_the_last_is_found_by_name_release_and_number(self, store: Store) -> None:
        for number, release in ((9, 1), (10, 1), (11, 2)):
            store.save_run(ended(number, release=release))
        found = [
            store.last_run("shop", "job", "nightly"),
            store.last_run("shop", "job", "nightly", 1),
            store.last_run("shop", "job", "nightly", before=10),
        ]
        assert [run.number for run in found if run] == [11, 10, 9]
        assert store.last_run("shop", "before_traffic", "nightly") is None

    def test_where_data_are_deleted_what_prepared_them_is_needed_again(self, store: Store) -> None:
        prepared = ended(1, id="web.before-1", kind="before_traffic", name="web")
        for run in (prepared, replace(prepared, stack="bank"), ended(1)):
            store.save_run(run)
        at_work = replace(prepared, id="web.before-2", number=2, ended_at="", outcome=None)
        store.save_run(at_work)
        store.remove_resource("shop", "store")
        assert store.last_run("shop", "before_traffic", "web") == at_work
        assert store.run("shop", "web.before-1") is None
        assert store.last_run("bank", "before_traffic", "web") is not None
        assert store.last_run("shop", "job", "nightly") is not None
        assert store.next_run_number("shop", "before_traffic", "web") == 3

    def test_where_data_become_others_those_who_use_them_prepare_again(self, store: Store) -> None:
        for name in ("web", "api", "worker"):
            store.save_run(ended(1, id=f"{name}.before-1", kind="before_traffic", name=name))
        store.forget_preparations("shop", ["web", "api"])
        store.forget_preparations("bank", ["worker"])
        left = [name for name in ("web", "api", "worker") if store.last_run("shop", "before_traffic", name)]
        assert left == ["worker"]

    def test_of_each_job_the_last_stay_and_one_that_runs_always(self, store: Store) -> None:
        store.save_run(a_run(1))
        store.save_run(ended(1, id="other.job-1", name="other"))
        for number in range(2, KEPT_ENDED + 5):
            store.save_run(ended(number))
        assert store.live_runs("shop") == (a_run(1),)
        assert store.run("shop", "nightly.job-4") is None
        assert store.run("shop", "nightly.job-5") is not None
        assert store.run("shop", "other.job-1") is not None


class TestSchedules:
    def test_a_run_and_the_time_it_was_started_for_are_written_together(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.save_run(a_run(1), "0 3 * * * UTC")
        assert store.schedules("shop") == {"nightly": ("0 3 * * * UTC", DAY)}
        store._db.execute("CREATE TRIGGER no BEFORE UPDATE ON schedules BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(StoreError):
            store.save_run(a_run(2), "0 3 * * * UTC")
        assert store.live_runs("shop") == (a_run(1),)

    def test_they_are_forgotten_one_by_one_and_with_their_stack(self, store: Store) -> None:
        store.save_stack(a_stack_record())
        for job in ("a", "b"):
            store.handle_schedule("shop", job, "x", DAY)
        store.handle_schedule("bank", "a", "x", DAY)
        store.forget_schedule("shop", "a")
        assert set(store.schedules("shop")) == {"b"}
        store.save_run(ended(1))
        store.remove_stack("shop")
        assert store.schedules("shop") == {}
        assert set(store.schedules("bank")) == {"a"}
        assert store.run("shop", "nightly.job-1") is not None, "history outlives the stack"


ALARM = Alarm(metric="healthy_targets", comparison="below", level=1.5, webhook="https://h.example/s3cret")


def an_alarm(**changes: Any) -> AlarmRecord:
    return replace(AlarmRecord(stack="shop", key="low x", alarm=ALARM, firing=True, wrong_at=3.0, boot=BOOT), **changes)


def a_delivery(state: str = "ALARM") -> Delivery:
    payload = {"id": "7", "stack": "shop", "state": state, "value": None, "threshold": 1.5}
    return Delivery(stack="shop", key="low x", name="low", payload=payload, webhook=ALARM.webhook)


class TestAlarms:
    def test_what_was_told_and_the_message_come_back(self, path: str) -> None:
        before = Store.open(path)
        first = before.save_alarm(an_alarm(), a_delivery())
        second = before.save_alarm(an_alarm(firing=False), a_delivery("OK"), forget=True)
        before.close()
        after = Store.open(path)
        assert after.alarms() == ()
        found = after.deliveries()
        assert found == (a_delivery(), a_delivery("OK"))
        assert [delivery.id for delivery in found] == [first, second]
        after.remove_delivery(first)
        after.save_delivery(replace(found[1], attempts=3, waited=7.0))
        assert [(delivery.attempts, delivery.waited) for delivery in after.deliveries()] == [(3, 7.0)]
        after.close()

    def test_deliveries_outlive_their_stack(self, store: Store) -> None:
        store.save_stack(a_stack_record())
        store.save_alarm(an_alarm(), a_delivery())
        store.remove_stack("shop")
        assert store.alarms() == (an_alarm(),)
        assert store.deliveries() == (a_delivery(),)
