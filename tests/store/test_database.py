"""The store keeps what was wanted and what was launched, through restarts, crashes and full disks."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from fairlead.errors import HomeTooNew, StoreError
from fairlead.store import connection
from fairlead.store.database import Store
from tests.store.builders import BOOT, DAY, a_failed_start, a_release, a_stack_record, an_instance


def test_a_stack_is_there_after_the_store_was_closed_and_opened(path: str) -> None:
    before = Store.open(path)
    before.save_stack(a_stack_record())
    before.close()
    after = Store.open(path)
    assert after.stack("shop") == a_stack_record()
    assert after.stack("bank") is None
    after.close()


def test_saving_a_stack_again_replaces_it(store: Store) -> None:
    store.save_stack(a_stack_record("shop"))
    store.save_stack(a_stack_record("bank"))
    store.save_stack(a_stack_record("shop", wanted="down"))
    assert [(record.name, record.wanted) for record in store.stacks()] == [("bank", "up"), ("shop", "down")]


def test_the_command_line_reads_what_is_wanted_by_plain_sql(store: Store, path: str) -> None:
    store.save_stack(a_stack_record())
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert reader.execute("SELECT name, wanted FROM stacks").fetchall() == [("shop", "up")]
    reader.close()


def test_removing_a_stack_leaves_its_history(store: Store) -> None:
    store.save_stack(a_stack_record())
    store.add_release("shop", a_release(3))
    store.save_instance(a_failed_start(7))
    store.add_event(DAY, "shop", "web", "web-7", "instance", "web-7 exited with status 7")
    store.remove_stack("shop")
    assert store.stacks() == ()
    assert store.releases("shop", "web") == (a_release(3),)
    assert (store.next_release_number("shop", "web"), store.next_number("shop", "web")) == (4, 8)
    assert store.start_history("shop", "web", 1, BOOT).failures == 1
    assert len(store.events("shop", 10)) == 1


class TestReleases:
    def test_are_listed_by_number(self, store: Store) -> None:
        for number in (10, 9, 11):
            store.add_release("shop", a_release(number))
        assert [release.number for release in store.releases("shop", "web")] == [9, 10, 11]
        assert store.release("shop", "web", 10) == a_release(10)
        assert store.release("shop", "web", 12) is None

    def test_a_number_is_not_given_again_after_its_release_was_removed(self, store: Store) -> None:
        assert store.next_release_number("shop", "web") == 1
        store.add_release("shop", a_release(1))
        store.add_release("shop", a_release(2))
        store.remove_release("shop", "web", 2)
        assert store.next_release_number("shop", "web") == 3
        assert store.next_release_number("shop", "worker") == 1

    def test_the_same_again_changes_nothing_and_another_under_its_number_is_refused(self, store: Store) -> None:
        store.add_release("shop", a_release(1))
        store.add_release("shop", a_release(1))
        with pytest.raises(StoreError, match=r"release 1 of shop\.web"):
            store.add_release("shop", a_release(1, fingerprint="another"))
        assert store.releases("shop", "web") == (a_release(1),)


class TestInstances:
    def test_those_that_ended_are_listed_no_more_but_their_numbers_are_remembered(self, store: Store) -> None:
        for number in (1, 2, 10):
            store.save_instance(an_instance(number))
        store.save_instance(an_instance(10, state="ended", ended_at=300.0))
        assert [record.id for record in store.instances("shop")] == ["web-1", "web-2"]
        assert store.next_number("shop", "web") == 11

    def test_a_save_replaces_what_was_known(self, store: Store) -> None:
        store.save_instance(an_instance(1))
        seen = an_instance(1, state="terminating", in_service_at=101.0, terminating_at=300.0, why="scaled in")
        store.save_instance(seen)
        assert store.instances("shop") == (seen,)

    def test_all_live_names_those_of_every_stack_also_of_one_that_is_not_recorded(self, store: Store) -> None:
        store.save_instance(an_instance(1, stack="shop"))
        store.save_instance(an_instance(1, stack="bank"))
        assert [record.stack for record in store.all_live()] == ["bank", "shop"]

    def test_history_is_bounded_and_what_lives_is_never_pruned(self, store: Store) -> None:
        store.save_instance(an_instance(1))
        for number in range(2, 451):
            store.save_instance(a_failed_start(number))
        assert [record.id for record in store.instances("shop")] == ["web-1"]
        assert store.next_number("shop", "web") == 451
        assert store.start_history("shop", "web", 1, BOOT).failures == 200


class TestStartHistory:
    @pytest.mark.parametrize(
        ("last", "failures"),
        [
            (a_failed_start(2), 2),
            (an_instance(2, state="terminating", terminating_at=190.0, failed_start=True), 2),
            (an_instance(2), 1),
            (an_instance(2, state="in_service", in_service_at=150.0), 0),
            (a_failed_start(2, in_service_at=150.0, failed_start=False), 0),
            (a_failed_start(2, failed_start=False), 1),
            (a_failed_start(2, boot="boot-0"), 1),
            (a_failed_start(2, release=2), 1),
            (a_failed_start(2, service="worker"), 1),
            (a_failed_start(2, stack="bank"), 1),
        ],
        ids=[
            "two in a row",
            "the second was given up and still ends",
            "the second still starts",
            "the second passed a check",
            "the second passed and died later",
            "the second was no longer wanted",
            "the second failed before the machine restarted",
            "the second is of another release",
            "the second is of another service",
            "the second is of another stack",
        ],
    )
    def test_counts_starts_that_failed_by_themselves(self, store: Store, last: object, failures: int) -> None:
        store.save_instance(a_failed_start(1))
        store.save_instance(last)  # type: ignore[arg-type]
        assert store.start_history("shop", "web", 1, BOOT).failures == failures

    def test_one_that_passed_in_an_earlier_boot_ends_the_count_too(self, store: Store) -> None:
        store.save_instance(a_failed_start(1))
        store.save_instance(a_failed_start(2, in_service_at=5.0, boot="boot-0", failed_start=False))
        store.save_instance(a_failed_start(3))
        assert store.start_history("shop", "web", 1, BOOT).failures == 1

    def test_forgets_those_launched_before_a_moment_such_as_a_deployments_beginning(self, store: Store) -> None:
        for number in (1, 2, 3):
            store.save_instance(a_failed_start(number))
        since = a_failed_start(2).launched_at
        assert store.start_history("shop", "web", 1, BOOT, since).failures == 2

    def test_names_the_failure_that_came_last_whatever_its_number(self, store: Store) -> None:
        store.save_instance(a_failed_start(1, terminating_at=900.0, why="killed by SIGKILL"))
        store.save_instance(a_failed_start(2, terminating_at=800.0))
        history = store.start_history("shop", "web", 1, BOOT)
        assert (history.last_failed_at, history.last_outcome) == (900.0, "killed by SIGKILL")
        assert history.last_instance == "web-1"

    def test_is_empty_where_nothing_failed(self, store: Store) -> None:
        history = store.start_history("shop", "web", 1, BOOT)
        assert (history.failures, history.last_failed_at, history.last_outcome) == (0, None, "")


class TestJournal:
    def test_events_come_oldest_first_the_last_of_them(self, store: Store) -> None:
        for number in range(1, 6):
            store.add_event(DAY, "shop" if number % 2 else "bank", "web", "", "test", f"event {number}")
        assert [event["text"] for event in store.events(None, 2)] == ["event 4", "event 5"]
        assert [event["text"] for event in store.events("shop", 10)] == ["event 1", "event 3", "event 5"]

    def test_events_after_one_that_was_seen_are_those_that_are_new(self, store: Store) -> None:
        seen = store.add_event(DAY, "shop", "web", "", "test", "seen")
        new = store.add_event(DAY, "shop", "web", "web-1", "test", "new")
        assert store.events("shop", 10, after=seen) == [
            {
                "id": new,
                "at": DAY,
                "stack": "shop",
                "service": "web",
                "instance": "web-1",
                "kind": "test",
                "text": "new",
            }
        ]

    def test_bytes_of_a_log_that_are_not_text_are_kept_readable(self, store: Store) -> None:
        store.add_event(DAY, "shop", "web", "web-1", "test", "it said \udcff")
        assert store.events(None, 1)[0]["text"] == "it said \\udcff"

    def test_decisions_come_oldest_first_with_what_they_saw(self, store: Store) -> None:
        for number in range(3):
            store.add_decision(DAY, "shop", f'{{"n": {number}}}', "[]")
        last = store.decisions("shop", 2)
        assert [decision["snapshot"] for decision in last] == ['{"n": 1}', '{"n": 2}']
        assert (last[0]["plan"], last[0]["at"], last[0]["stack"]) == ("[]", DAY, "shop")

    def test_the_journal_is_bounded_and_keeps_the_newest(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fairlead.store.journal.KEPT_EVENTS", 100)
        monkeypatch.setattr("fairlead.store.journal.KEPT_DECISIONS", 50)
        for number in range(600):
            store.add_event(DAY, "shop", "web", "", "test", str(number))
            store.add_decision(DAY, "shop", "{}", "[]")
        kept = [int(event["text"]) for event in store.events(None, 1000)]
        assert kept == list(range(600 - len(kept), 600))
        assert 100 <= len(kept) < 100 + 256
        assert 50 <= len(store.decisions(None, 1000)) < 50 + 256

    def test_decisions_of_huge_stacks_are_fewer(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fairlead.store.journal.ROOM", 400_000)
        for _ in range(600):
            store.add_decision(DAY, "shop", "x" * 2000, "[]")
        assert 199 <= len(store.decisions(None, 1000)) < 200 + 256
        for _ in range(600):
            store.add_decision(DAY, "shop", "x" * 100_000, "[]")
        assert 100 <= len(store.decisions(None, 1000)) < 100 + 256

    def test_decisions_are_found_by_the_moment_until_which_they_were_made(self, store: Store) -> None:
        for second in range(5):
            store.add_decision(f"2026-11-21T10:00:0{second}.000Z", "shop", str(second), "[]")
        store.add_decision("2026-11-21T09:00:00.000Z", "other", "{}", "[]")
        found = store.decisions("shop", 2, "2026-11-21T10:00:03.000Z")
        assert [decision["snapshot"] for decision in found] == ["2", "3"]
        assert store.decisions("shop", 2, "2026-11-21T09:59:59.999Z") == []
        assert store.first_decision("shop") == "2026-11-21T10:00:00.000Z"
        assert store.first_decision("nosuch") is None


class TestFile:
    def test_only_its_owner_can_read_it(self, store: Store, path: str) -> None:
        store.save_stack(a_stack_record())
        modes = {name: stat.S_IMODE(os.stat(path + name).st_mode) for name in ("", "-wal", "-shm")}
        assert set(modes.values()) == {0o600}

    def test_a_home_of_a_newer_version_is_refused_and_left_as_it_is(self, path: str) -> None:
        Store.open(path).close()
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 99")
        database.close()
        with pytest.raises(HomeTooNew, match="schema 99, this version knows up to 4"):
            Store.open(path)

    def test_a_migration_that_fails_leaves_the_schema_it_found(
        self, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Store.open(path).close()
        broken = {4: "", 5: "CREATE TABLE half (x TEXT); CREATE TABLE half (x TEXT);"}
        with monkeypatch.context() as patch:
            patch.setattr(connection, "_migrations", lambda: broken)
            with pytest.raises(StoreError, match="cannot be opened"):
                Store.open(path)
        again = Store.open(path)
        again.save_stack(a_stack_record())
        again.close()
        database = sqlite3.connect(path)
        assert database.execute("PRAGMA user_version").fetchone() == (4,)
        assert database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)
        database.close()

    def test_something_that_is_no_database_is_named(self, path: str) -> None:
        with open(path, "w") as file:
            file.write("once upon a time " * 100)
        with pytest.raises(StoreError, match="not a database") as caught:
            Store.open(path)
        assert "backup" in caught.value.next_step

    def test_a_folder_that_is_not_there_is_named(self, path: str) -> None:
        with pytest.raises(StoreError, match="cannot be opened"):
            Store.open(f"{path}/missing/fairlead.db")

    def test_a_full_disk_is_said_changes_nothing_and_is_over_when_there_is_room(self, path: str) -> None:
        database = connection.connect(path)
        store = Store(path, database)
        store.save_stack(a_stack_record())
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        big = replace(a_stack_record(), check_token="x" * 100_000)
        with pytest.raises(StoreError, match="the disk is full") as caught:
            store.save_stack(big)
        assert caught.value.what == "what is wanted of stack shop could not be recorded"
        assert "Make room" in caught.value.next_step
        assert store.stack("shop") == a_stack_record()
        database.execute("PRAGMA max_page_count = 1000000")
        store.save_stack(big)
        assert store.stack("shop") == big
        store.close()

    def test_a_database_that_another_program_locked_is_said(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.05)
        store = Store.open(path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program holds it locked"):
            store.save_stack(a_stack_record())
        other.execute("ROLLBACK")
        other.close()
        store.save_stack(a_stack_record())
        store.close()


class TestDurable:
    async def test_returns_for_a_store_that_was_written_and_for_one_that_was_not(self, store: Store) -> None:
        await store.durable()
        store.save_stack(a_stack_record())
        await store.durable()
        assert store.stack("shop") == a_stack_record()

    async def test_a_disk_that_fails_is_said(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="Input/output error"):
            await store.durable()

    def test_what_a_killed_daemon_wrote_is_there(self, path: str) -> None:
        """A child writes, says so, and is killed before it could close anything."""
        script = (
            "import os, signal, sys\n"
            "from fairlead.store.database import Store\n"
            "from tests.store.builders import a_stack_record\n"
            "Store.open(sys.argv[1]).save_stack(a_stack_record())\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        child = subprocess.run([sys.executable, "-c", script, path], timeout=30, check=False)
        assert child.returncode == -9
        store = Store.open(path)
        assert store.stack("shop") == a_stack_record()
        store.close()
