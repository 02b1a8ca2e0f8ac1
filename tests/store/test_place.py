"""A home knows where it lies, and is not run elsewhere by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.errors import StoreError
from fairlead.store.connection import kept_copy
from fairlead.store.database import Store
from tests.store.builders import a_release, a_stack_record, an_instance


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(str(tmp_path / "fairlead.db"))
    opened.check_place("/old")
    yield opened
    opened.close()


def test_a_home_where_it_was_is_fine(home: Store) -> None:
    home.save_stack(a_stack_record())
    home.check_place("/old")


def test_a_moved_home_is_refused_with_both_ways_out_and_left_as_it_is(home: Store) -> None:
    home.save_stack(a_stack_record())
    for _ in range(2):
        with pytest.raises(StoreError, match="the home was moved from /old to /new") as caught:
            home.check_place("/new")
    assert "`mv /new /old`" in caught.value.next_step
    assert "fairlead daemon relocate" in caught.value.next_step
    home.check_place("/old")
    assert len(home.stacks()) == 1


def test_releases_alone_are_reason_enough(home: Store) -> None:
    home.add_release("shop", a_release())
    with pytest.raises(StoreError, match="was moved"):
        home.check_place("/new")


def test_an_empty_home_may_be_moved(home: Store) -> None:
    home.check_place("/new")
    home.save_stack(a_stack_record())
    home.check_place("/new")


def test_staying_forgets_what_must_be_built_again_and_says_what_that_is(home: Store) -> None:
    home.save_stack(a_stack_record())
    home.add_release("shop", a_release(7))
    home.save_instance(an_instance(3))
    home.add_event("2026-11-21T10:00:00Z", "shop", "web", "", "test", "it was")
    assert home.accept_place("/new") == ("/code/shop/fairlead.yaml",)
    home.check_place("/new")
    assert (home.stacks(), home.releases("shop", "web"), home.all_live()) == ((), (), ())
    assert [event["text"] for event in home.events(None, 10)] == ["it was"]
    # A number is never given twice.
    assert (home.next_release_number("shop", "web"), home.next_number("shop", "web")) == (8, 4)


def test_an_older_schema_is_kept_as_a_copy_before_it_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fairlead.store import connection

    path, scripts = str(tmp_path / "fairlead.db"), connection._migrations()
    with monkeypatch.context() as older:
        older.setattr(connection, "_migrations", lambda: {1: scripts[1]})
        connection.connect(path).close()
    Store.open(path).close()
    copy = Path(kept_copy(path, 1))
    assert copy.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as older:
        older.setattr(connection, "_migrations", lambda: {1: scripts[1]})
        connection.connect(str(copy)).close()
    # A new home, and one that is up to date, keep none.
    copy.unlink()
    Store.open(path).close()
    assert not copy.exists()
