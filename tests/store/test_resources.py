"""What is recorded of resources outlives their stack, and goes with their data."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

from fairlead.core.desired import StackRecord
from fairlead.core.resources.records import ResourceRecord
from fairlead.store import connection, records
from fairlead.store.database import Store
from tests.store.builders import BOOT, DAY, a_release, a_stack_record

RECORD = ResourceRecord(
    stack="shop", id="sessions", kind="cache", engine="redis", identity="redis", port=18001, created_at=DAY
)


def test_a_save_replaces_what_was_known(store: Store) -> None:
    store.save_resource(RECORD)
    seen = replace(RECORD, launch=3, boot=BOOT, launched_at=7.5, program="valkey 9.1.2", available_at=8.0)
    store.save_resource(seen)
    assert store.resource("shop", "sessions") == seen
    assert store.resources("shop") == (seen,)


def test_those_of_one_stack_or_of_all_are_listed_by_stack_and_id(store: Store) -> None:
    for stack, id in (("shop", "b"), ("bank", "z"), ("shop", "a")):
        store.save_resource(replace(RECORD, stack=stack, id=id))
    assert [(one.stack, one.id) for one in store.resources()] == [("bank", "z"), ("shop", "a"), ("shop", "b")]
    assert [one.id for one in store.resources("shop")] == ["a", "b"]
    assert store.resource("shop", "c") is None


def test_they_outlive_their_stack(store: Store) -> None:
    store.save_stack(a_stack_record())
    store.save_resource(RECORD)
    store.remove_stack("shop")
    assert store.resources() == (RECORD,)


def test_one_that_is_deleted_takes_its_password_along_and_nothing_else(store: Store) -> None:
    store.save_resource(RECORD)
    store.save_resource(replace(RECORD, id="other"))
    for name in ("resource:sessions", "resource:other"):
        store.vault.put("shop", name, "x", "generated")
    store.vault.put("shop", "TOKEN", "x", "set")
    store.remove_resource("shop", "sessions")
    assert [one.id for one in store.resources("shop")] == ["other"]
    assert set(store.vault.numbers("shop")) == {"resource:other", "TOKEN"}
    store.remove_resource("shop", "sessions")


def test_a_home_of_schema_3_is_brought_up_to_date(tmp_path: Path) -> None:
    path = str(tmp_path / "fairlead.db")
    old = sqlite3.connect(path, isolation_level=None)
    connection.conversions.install(old)
    for number, script in connection._migrations().items():
        if number <= 3:
            old.executescript(f"{script}\nPRAGMA user_version = {number};")
    old.execute("INSERT INTO stacks VALUES ('shop', 'up', ?)", (_as_of_3(records.text(a_stack_record())),))
    old.execute("INSERT INTO releases VALUES ('shop', 'web', 1, ?)", (_as_of_3(records.text(a_release())),))
    old.close()
    store = Store.open(path)
    assert store.stack("shop") == a_stack_record()
    assert store.releases("shop", "web") == (a_release(),)
    assert store.resources() == ()
    assert store.vault.entries("shop") == ()
    assert isinstance(store.stack("shop"), StackRecord)
    store.close()


def _as_of_3(text: str) -> str:
    """Without the fields that schema 3 did not have: a stack's resources, and the secrets of services and releases."""

    def before(fields: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in fields.items() if name not in ("resources", "secrets")}

    return json.dumps(json.loads(text, object_hook=before))
