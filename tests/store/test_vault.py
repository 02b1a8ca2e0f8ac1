"""The vault keeps secrets so that only the home's key opens them, each in its own place."""

from __future__ import annotations

import base64
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.layout import layout_of
from fairlead.errors import StoreError
from fairlead.store import connection, vault_key
from fairlead.store.database import Store

PLANTED = "correct horse battery staple"
ONE = "one than they were encrypted with"


@pytest.fixture
def key(path: str) -> Path:
    return Path(path).parent / "secret.key"


@contextmanager
def by_hand(path: str) -> Iterator[sqlite3.Connection]:
    """Somebody works on the database beside the daemon."""
    database = sqlite3.connect(path, isolation_level=None)
    yield database
    database.close()


class TestValues:
    def test_a_value_comes_back_under_its_stack_and_name_only(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", PLANTED, "set")
        assert store.vault.value("shop", "TOKEN") == PLANTED
        assert store.vault.value("shop", "OTHER") is None
        assert store.vault.value("bank", "TOKEN") is None

    def test_a_value_is_there_after_the_store_was_closed_and_opened(self, path: str) -> None:
        before = Store.open(path)
        before.vault.put("shop", "TOKEN", PLANTED, "set")
        before.close()
        after = Store.open(path)
        assert after.vault.value("shop", "TOKEN") == PLANTED
        after.close()

    def test_a_value_survives_its_stack(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", PLANTED, "set")
        store.remove_stack("shop")
        assert store.vault.value("shop", "TOKEN") == PLANTED

    @settings(max_examples=60, deadline=None)
    @given(value=st.text(st.characters(exclude_categories=[])), name=st.from_regex(r"[A-Z_][A-Z0-9_]*", fullmatch=True))
    def test_any_text_comes_back_as_it_was(self, vaults: Store, value: str, name: str) -> None:
        vaults.vault.put("shop", name, value, "set")
        assert vaults.vault.value("shop", name) == value

    def test_neither_value_nor_key_is_in_any_file_but_the_keys(self, store: Store, path: str, key: Path) -> None:
        store.vault.put("shop", "TOKEN", PLANTED, "set")
        store.vault.put("shop", "TOKEN", "another", "set")
        store.vault.remove("shop", "TOKEN")
        secret = key.read_bytes().strip()
        for file in Path(path).parent.iterdir():
            content = file.read_bytes()
            for hidden in (PLANTED.encode(), base64.b64encode(PLANTED.encode()), b"another"):
                assert hidden not in content, file
            assert secret not in content or file == key


class TestNumbers:
    def test_another_value_gets_another_number_and_the_same_value_keeps_it(self, store: Store) -> None:
        assert [store.vault.put("shop", "TOKEN", value, "set") for value in "aabba"] == [1, 1, 2, 2, 3]
        assert store.vault.numbers("shop") == {"TOKEN": 3}

    def test_a_number_is_not_given_again_after_the_value_was_removed(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        assert store.vault.remove("shop", "TOKEN")
        assert store.vault.numbers("shop") == {}
        assert store.vault.put("shop", "TOKEN", "a", "set") == 2

    def test_another_origin_is_noted_and_keeps_the_number(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", "a", "environment")
        assert store.vault.put("shop", "TOKEN", "a", "set") == 1
        (entry,) = store.vault.entries("shop")
        assert (entry.origin, entry.number) == ("set", 1)

    def test_the_same_again_writes_nothing(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        before = store.vault.entries("shop")
        store.vault.put("shop", "TOKEN", "a", "set")
        assert store.vault.entries("shop") == before


class TestEarlierValues:
    """A release names its values by their numbers: what is started of it gets those, also after an `up` that failed."""

    def test_stay_under_their_numbers(self, store: Store) -> None:
        for value in ("one", "two", "three"):
            store.vault.put("shop", "TOKEN", value, "set")
        assert [store.vault.value("shop", "TOKEN", number) for number in (1, 2, 3)] == ["one", "two", "three"]
        assert store.vault.value("shop", "TOKEN") == "three"

    @pytest.mark.parametrize("number", [0, 7, None])
    def test_a_number_that_is_not_kept_means_the_present_one(self, store: Store, number: int | None) -> None:
        store.vault.put("shop", "TOKEN", "one", "set")
        store.vault.put("shop", "TOKEN", "two", "set")
        assert store.vault.value("shop", "TOKEN", number) == "two"

    def test_are_forgotten_when_nothing_needs_them(self, store: Store) -> None:
        for value in ("one", "two", "three", "four"):
            store.vault.put("shop", "TOKEN", value, "set")
        store.vault.put("shop", "OTHER", "a", "set")
        store.vault.put("shop", "OTHER", "b", "set")
        store.vault.put("bank", "TOKEN", "c", "set")
        store.vault.put("bank", "TOKEN", "d", "set")
        store.vault.forget_earlier("shop", {"TOKEN": {2}})
        assert [store.vault.value("shop", "TOKEN", number) for number in (1, 2, 3, 4)] == [
            "four",
            "two",
            "four",
            "four",
        ]
        assert store.vault.value("shop", "OTHER", 1) == "b"
        assert store.vault.value("bank", "TOKEN", 1) == "c"
        assert store.vault.numbers("shop") == {"TOKEN": 4, "OTHER": 2}

    def test_are_bounded(self, store: Store) -> None:
        for number in range(1, 31):
            store.vault.put("shop", "TOKEN", f"value {number}", "environment")
        assert store.vault.value("shop", "TOKEN", 20) == "value 20"
        assert store.vault.value("shop", "TOKEN", 19) == "value 30"

    def test_that_are_needed_stay_however_many_come_after_them(self, store: Store) -> None:
        for number in range(1, 31):
            store.vault.put("shop", "TOKEN", f"value {number}", "environment", needed={2})
        assert [store.vault.value("shop", "TOKEN", number) for number in (1, 2, 3)] == [
            "value 30",
            "value 2",
            "value 30",
        ]

    def test_go_with_the_present_one(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", "one", "set")
        store.vault.put("shop", "TOKEN", "two", "set")
        store.vault.remove("shop", "TOKEN")
        assert [store.vault.value("shop", "TOKEN", number) for number in (1, 2)] == [None, None]
        store.vault.forget_earlier("shop", {})
        assert store.vault.put("shop", "TOKEN", "one", "set") == 3
        assert store.vault.value("shop", "TOKEN", 1) == "one"

    def test_are_not_listed(self, store: Store) -> None:
        store.vault.put("shop", "TOKEN", "one", "environment")
        store.vault.put("shop", "TOKEN", "two", "set")
        (entry,) = store.vault.entries("shop")
        assert (entry.name, entry.origin, entry.number) == ("TOKEN", "set", 2)


def test_entries_are_those_of_the_user_by_name(store: Store) -> None:
    store.vault.put("shop", "B", "b", "set")
    store.vault.put("shop", "A", "a", "environment")
    store.vault.put("shop", "resource:store", "generated", "generated")
    store.vault.put("bank", "C", "c", "set")
    assert [(entry.name, entry.origin) for entry in store.vault.entries("shop")] == [("A", "environment"), ("B", "set")]
    assert store.vault.numbers("shop") == {"A": 1, "B": 1, "resource:store": 1}


def test_what_was_removed_is_not_there_to_remove(store: Store) -> None:
    store.vault.put("shop", "TOKEN", "a", "set")
    assert store.vault.remove("shop", "TOKEN")
    assert not store.vault.remove("shop", "TOKEN")
    assert store.vault.value("shop", "TOKEN") is None


class TestRows:
    def test_a_row_copied_to_another_secret_does_not_open(self, store: Store, path: str) -> None:
        store.vault.put("shop", "ADMIN", PLANTED, "set")
        for stack, name in (("shop", "PUBLIC"), ("other", "ADMIN")):
            store.vault.put(stack, name, "harmless", "set")
            with by_hand(path) as database:
                database.execute(
                    "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE stack = 'shop' AND name = 'ADMIN')"
                    " WHERE stack = ? AND name = ?",
                    (stack, name),
                )
            with pytest.raises(StoreError, match="copied from another secret") as caught:
                store.vault.value(stack, name)
            assert f"fairlead secret set {name} --stack {stack}" in caught.value.next_step

    def test_an_earlier_value_copied_over_the_present_one_does_not_open(self, store: Store, path: str) -> None:
        store.vault.put("shop", "TOKEN", PLANTED, "set")
        store.vault.put("shop", "TOKEN", "changed, for the first was stolen", "set")
        with by_hand(path) as database:
            database.execute(
                "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE number = 1) WHERE number = 2"
            )
        with pytest.raises(StoreError, match="copied from another secret"):
            store.vault.value("shop", "TOKEN")

    def test_a_damaged_row_is_said_and_can_be_replaced(self, store: Store, path: str) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        store.vault.put("shop", "OTHER", "o", "set")
        for damage in ("substr(sealed, 1, 20)", "''", "'é'", "substr(sealed, 2)"):
            with by_hand(path) as database:
                database.execute(f"UPDATE secrets SET sealed = {damage} WHERE name = 'TOKEN'")
            with pytest.raises(StoreError, match="was damaged"):
                store.vault.value("shop", "TOKEN")
        assert store.vault.value("shop", "OTHER") == "o"
        assert store.vault.put("shop", "TOKEN", "a", "set") == 2
        assert store.vault.value("shop", "TOKEN") == "a"

    def test_a_full_disk_leaves_the_old_value(self, path: str) -> None:
        database = connection.connect(path)
        store = Store(path, database)
        store.vault.put("shop", "TOKEN", "old", "set")
        database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(StoreError, match="the disk is full"):
            store.vault.put("shop", "TOKEN", "n" * 100_000, "set")
        assert store.vault.value("shop", "TOKEN") == "old"
        assert store.vault.numbers("shop") == {"TOKEN": 1}
        store.close()


class TestKey:
    def test_lies_where_the_layout_says(self, key: Path) -> None:
        assert layout_of(str(key.parent), 0).vault_key == str(key)

    def test_is_made_with_the_first_value_for_its_owner_only(self, store: Store, key: Path) -> None:
        assert store.vault.value("shop", "TOKEN") is None
        assert not key.exists()
        before = os.umask(0)
        try:
            store.vault.put("shop", "TOKEN", "a", "set")
        finally:
            os.umask(before)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert [file.name for file in key.parent.iterdir() if "key" in file.name] == ["secret.key"]

    def test_that_is_gone_is_said_and_comes_back(self, store: Store, key: Path) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        kept = key.rename(key.with_name("kept"))
        for call in (
            lambda: store.vault.value("shop", "TOKEN"),
            lambda: store.vault.put("shop", "TOKEN", "b", "set"),
            lambda: store.vault.put("shop", "OTHER", "b", "set"),
        ):
            with pytest.raises(StoreError, match="it is not there") as caught:
                call()
            assert "backup" in caught.value.next_step
            assert not key.exists()
        assert store.vault.numbers("shop") == {"TOKEN": 1}
        kept.rename(key)
        assert store.vault.value("shop", "TOKEN") == "a"

    def test_of_another_home_is_said_and_nothing_is_encrypted_with_it(
        self, store: Store, key: Path, tmp_path: Path
    ) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        (tmp_path / "other").mkdir()
        other = Store.open(str(tmp_path / "other/fairlead.db"))
        other.vault.put("shop", "TOKEN", "a", "set")
        other.close()
        mine = key.read_bytes()
        key.write_bytes((tmp_path / "other/secret.key").read_bytes())
        for call in (lambda: store.vault.value("shop", "TOKEN"), lambda: store.vault.put("shop", "B", "b", "set")):
            with pytest.raises(StoreError, match="another one than they were encrypted with"):
                call()
        key.write_bytes(mine)
        assert store.vault.value("shop", "TOKEN") == "a"
        assert store.vault.numbers("shop") == {"TOKEN": 1}

    def test_that_was_lost_can_be_done_without_once_its_values_are_given_up(self, store: Store, key: Path) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        key.unlink()
        store.vault.remove("shop", "TOKEN")
        assert store.vault.put("shop", "TOKEN", "a", "set") == 2
        assert store.vault.value("shop", "TOKEN") == "a"

    @pytest.mark.parametrize("how", ["gone", "another", "damaged"])
    def test_that_was_lost_is_done_without_once_all_is_given_up(self, store: Store, key: Path, how: str) -> None:
        assert store.vault.lost() == ""
        store.vault.put("shop", "TOKEN", "a", "set")
        store.vault.put("shop", "TOKEN", "b", "set")
        store.vault.put("bank", "resource:store", "c", "generated")
        assert store.vault.lost() == ""
        key.unlink()
        if how != "gone":
            key.write_bytes(Fernet.generate_key() if how == "another" else b"damaged")
            key.chmod(0o600)
        assert store.vault.lost() == ("it is not there" if how == "gone" else f"it is another {ONE}")
        with pytest.raises(StoreError, match="cannot be opened") as caught:
            store.vault.value("bank", "resource:store")
        assert "`fairlead secret reset`" in caught.value.next_step
        store.vault.give_up()
        assert (store.vault.lost(), store.vault.kept()) == ("", ())
        assert [store.vault.value("shop", "TOKEN", number) for number in (None, 1, 2)] == [None] * 3
        assert key.with_name("secret.key.old-1").exists() == (how != "gone")
        assert store.vault.put("shop", "TOKEN", "a", "set") == 3
        assert store.vault.value("shop", "TOKEN") == "a"

    def test_that_is_not_safe_is_not_lost(self, store: Store, key: Path) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        key.chmod(0o644)
        with pytest.raises(StoreError, match="its mode is 0644"):
            store.vault.lost()

    def test_that_a_daemon_set_aside_before_it_died_is_lost_all_the_same(self, store: Store, key: Path) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        vault_key.set_aside(str(key))
        assert store.vault.lost() == "it is not there"
        store.vault.give_up()
        assert store.vault.kept() == ()

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
    def test_that_others_may_touch_is_refused(self, store: Store, key: Path, mode: int) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        key.chmod(mode)
        with pytest.raises(StoreError, match=f"its mode is {mode:04o}") as caught:
            store.vault.value("shop", "TOKEN")
        assert f"chmod 600 {key}" in caught.value.next_step
        key.chmod(0o600)
        assert store.vault.value("shop", "TOKEN") == "a"

    def test_of_another_user_is_refused(self, store: Store, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        us = os.geteuid()
        monkeypatch.setattr("os.geteuid", lambda: us + 1)
        with pytest.raises(StoreError, match=f"it belongs to user {us}"):
            store.vault.value("shop", "TOKEN")

    @pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
    def test_that_is_no_plain_file_is_refused(self, store: Store, key: Path, kind: str) -> None:
        store.vault.put("shop", "TOKEN", "a", "set")
        kept = key.rename(key.with_name("kept"))
        if kind == "link":
            key.symlink_to(kept)
        elif kind == "folder":
            key.mkdir(mode=0o700)
        else:
            os.mkfifo(key, 0o600)
        with pytest.raises(StoreError, match="the key of the secrets"):
            store.vault.value("shop", "TOKEN")

    @pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44, b"x" * 5000])
    def test_that_was_damaged_is_said_without_quoting_it(self, store: Store, key: Path, content: bytes) -> None:
        key.write_bytes(content)
        key.chmod(0o600)
        with pytest.raises(StoreError, match="its file was damaged") as caught:
            store.vault.put("shop", "TOKEN", "a", "set")
        assert caught.value.__cause__ is None
        assert store.vault.numbers("shop") == {}

    def test_that_a_daemon_left_half_written_is_made_anew(self, store: Store, key: Path) -> None:
        key.with_name("secret.key.new").write_bytes(b"half")
        store.vault.put("shop", "TOKEN", "a", "set")
        assert store.vault.value("shop", "TOKEN") == "a"
        assert not key.with_name("secret.key.new").exists()

    def test_that_was_made_before_its_first_row_is_used(self, path: str, key: Path) -> None:
        """The daemon died, or the disk filled up, between the two."""
        database = connection.connect(path)
        store = Store(path, database)
        database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
        with pytest.raises(StoreError, match="the disk is full"):
            store.vault.put("shop", "TOKEN", "n" * 100_000, "set")
        made = key.read_bytes()
        database.execute("PRAGMA max_page_count = 1000000")
        store.vault.put("shop", "TOKEN", "a", "set")
        assert (key.read_bytes(), store.vault.value("shop", "TOKEN")) == (made, "a")
        store.close()

    def test_that_cannot_be_written_leaves_nothing(
        self, store: Store, key: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        failed: list[StoreError] = []
        store.on_failure = failed.append
        with monkeypatch.context() as patch:
            patch.setattr(vault_key.os, "fsync", full)
            with pytest.raises(StoreError, match="No space left") as caught:
                store.vault.put("shop", "TOKEN", "a", "set")
        assert failed == [caught.value]
        assert [file.name for file in key.parent.iterdir() if "key" in file.name] == []
        store.vault.put("shop", "TOKEN", "a", "set")
        assert store.vault.value("shop", "TOKEN") == "a"


@pytest.fixture(scope="module")
def vaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for many examples."""
    opened = Store.open(str(tmp_path_factory.mktemp("vault") / "fairlead.db"))
    yield opened
    opened.close()
