"""The routes of secrets over a real store: values come in, and never out, not even in errors and logs."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.api.wire import Exchange
from fairlead.control.journal import Journal
from fairlead.control.secrets import Secrets
from fairlead.errors import FairleadError, NotFound, UsageError
from fairlead.store.database import Store
from tests.api.homes import Daemon, a_daemon

pytestmark = pytest.mark.live

PLANTED = "s3cr3t-pl4nted"


class Noon:
    boot = "boot-1"

    def now(self) -> float:
        return 1.0

    def wall(self) -> str:
        return "2026-11-22T12:00:00.000Z"


@asynccontextmanager
async def a_keeper(folder: Path) -> AsyncIterator[tuple[Daemon, Store]]:
    store = Store.open(str(folder / "fairlead.db"))
    async with a_daemon() as daemon:
        daemon.supervisor.secrets = Secrets(store, Journal(store, Noon()))
        yield daemon, store
    store.close()


def raw(path: str, method: str, target: str, body: bytes) -> tuple[int, dict]:
    exchange = Exchange(path, 5)
    status = exchange.ask(method, target, body)
    answer = json.loads(exchange.read())
    exchange.close()
    return status, answer


async def test_a_value_goes_in_and_only_its_name_comes_out(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as (daemon, store):
        told = await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", f"{PLANTED}\n"))
        listed = await daemon.ask(lambda client: client.secrets("shop"))
        assert store.vault.value("shop", "TOKEN") == PLANTED
    assert (told["changed"], told["removed"]) == (True, ["line breaks"])
    (row,) = listed["secrets"]
    assert (row["name"], row["origin"], row["used_by"]) == ("TOKEN", "set", [])
    assert PLANTED not in json.dumps([told, listed])


@pytest.mark.parametrize("value", ["päss wörd €", "two\nlines\tand a tab", '"\\/', "🔑" * 10_000])
async def test_any_text_arrives_as_it_was(tmp_path: Path, value: str) -> None:
    async with a_keeper(tmp_path) as (daemon, store):
        await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", value))
        assert store.vault.value("shop", "TOKEN") == value


async def test_a_value_is_removed_once(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as (daemon, store):
        await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", PLANTED))
        assert await daemon.ask(lambda client: client.remove_secret("shop", "TOKEN")) == {
            "stack": "shop",
            "name": "TOKEN",
            "used_by": [],
            "text": "TOKEN of shop is removed",
        }
        with pytest.raises(NotFound):
            await daemon.ask(lambda client: client.remove_secret("shop", "TOKEN", force=True))
        assert store.vault.value("shop", "TOKEN") is None


async def test_all_are_given_up_only_when_their_key_was_lost(tmp_path: Path) -> None:
    async with a_keeper(tmp_path) as (daemon, store):
        await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", PLANTED))
        with pytest.raises(UsageError, match="this home's key opens those that are kept"):
            await daemon.ask(lambda client: client.reset_secrets())
        (tmp_path / "secret.key").unlink()
        told = await daemon.ask(lambda client: client.reset_secrets())
        assert store.vault.kept() == ()
    assert (told["secrets"], told["data"]) == ([{"stack": "shop", "name": "TOKEN"}], [])


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", "/stacks/shop/secrets/TOKEN", b""),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": "s3cr3t-pl4nted'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'"s3cr3t-pl4nted"'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": ["s3cr3t-pl4nted"]}'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"valeu": "s3cr3t-pl4nted"}'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": "x", "more": "s3cr3t-pl4nted"}'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": "s3cr3t-pl4nted\\u0000"}'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": "s3cr3t-pl4nted\\ud800"}'),
        ("PUT", "/stacks/shop/secrets/TOKEN", b'{"value": "s3cr3t-pl4nted\xff"}'),
        ("PUT", "/stacks/shop/secrets/TO%20KEN", b'{"value": "s3cr3t-pl4nted"}'),
        ("PUT", "/stacks/SHOP/secrets/TOKEN", b'{"value": "s3cr3t-pl4nted"}'),
        ("PUT", "/stacks/shop/secrets/resource:store", b'{"value": "s3cr3t-pl4nted"}'),
        ("DELETE", "/stacks/shop/secrets/TOKEN?froce=1", b""),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_repeats_no_value(
    tmp_path: Path, method: str, target: str, body: bytes
) -> None:
    async with a_keeper(tmp_path) as (daemon, store):
        status, answer = await daemon.ask(lambda _: raw(daemon.path, method, target, body))
        assert store.vault.numbers("shop") == {}
    assert status == 400
    assert set(answer["error"]) == {"code", "what", "why", "next", "place", "detail"}
    assert PLANTED not in json.dumps(answer)


async def test_no_log_holds_a_value_whatever_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_keeper(tmp_path) as (daemon, store):
        await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", PLANTED))
        with pytest.raises(UsageError):
            await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", f"{PLANTED}\0"))
        monkeypatch.setattr(store.vault, "put", lambda *_: 1 / 0)
        with pytest.raises(FairleadError, match="the daemon failed"):
            await daemon.ask(lambda client: client.set_secret("shop", "TOKEN", f"{PLANTED}2"))
    printed = capfd.readouterr()
    assert "ZeroDivisionError" in caplog.text + printed.err
    assert PLANTED not in caplog.text + printed.out + printed.err
