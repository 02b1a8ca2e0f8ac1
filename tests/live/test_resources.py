"""A cache, two databases and a bucket with real servers, as root and as a plain user: what is written survives whatever
is killed, stopped, backed up and taken down, and only asking for it by name deletes it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import boto3
import psycopg
import pymysql
import pytest
import redis
from botocore.config import Config

from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

APP = """
import json, os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({name: value for name, value in os.environ.items() if name.endswith("_URL")}).encode()]
"""

SETTINGS = """
environment:
  CACHE_URL: ${caches.sessions.url}
  POSTGRES_URL: ${databases.store.url}
  MYSQL_URL: ${databases.books.url}
  BUCKET_URL: ${buckets.photos.url}
target_group: {deregistration_delay: 0s}
"""

REST = """
caches: {sessions: {engine: redis, memory: 32MB, persist: true}}
databases:
  store: {engine: postgres, name: shop, user: web_user}
  books: {engine: mysql, name: shop, user: web_user}
buckets: {photos: {}}
"""

IDS = ("sessions", "store", "books", "photos")
PATIENCE = 90.0
"""Seconds for a server to be back: a database recovers, on a busy machine."""


class Data:
    """What a service's own clients see: one text in each, read and written by the addresses that the app was given."""

    def __init__(self, house: House) -> None:
        self.house = house

    @property
    def urls(self) -> dict[str, str]:
        with urlopen(self.house.url("data"), timeout=10) as answer:
            found: dict[str, str] = json.load(answer)
        return found

    def write(self, text: str) -> None:
        urls = self.urls
        with closing(redis.Redis.from_url(urls["CACHE_URL"])) as cache:
            cache.set("text", text)
        with psycopg.connect(urls["POSTGRES_URL"]) as postgres:
            self._into(postgres.cursor(), text)
        with closing(self._mysql(urls["MYSQL_URL"])) as mysql:
            self._into(mysql.cursor(), text)
            mysql.commit()
        bucket, name = self._bucket(urls["BUCKET_URL"])
        bucket.put_object(Bucket=name, Key="folder/text.txt", Body=text.encode(), ContentType="text/plain")

    def read(self) -> set[str]:
        """The texts of all four: one, when they agree."""
        urls = self.urls
        with closing(redis.Redis.from_url(urls["CACHE_URL"])) as cache:
            found = {cache.get("text").decode()}  # type: ignore[union-attr]
        with psycopg.connect(urls["POSTGRES_URL"]) as postgres:
            found.add(self._out(postgres.cursor()))
        with closing(self._mysql(urls["MYSQL_URL"])) as mysql:
            found.add(self._out(mysql.cursor()))
        bucket, name = self._bucket(urls["BUCKET_URL"])
        found.add(bucket.get_object(Bucket=name, Key="folder/text.txt")["Body"].read().decode())
        return found

    def _into(self, cursor: Any, text: str) -> None:
        cursor.execute("CREATE TABLE IF NOT EXISTS notes (id INT PRIMARY KEY, body VARCHAR(200))")
        cursor.execute("DELETE FROM notes")
        cursor.execute("INSERT INTO notes VALUES (1, %s)", (text,))

    def _out(self, cursor: Any) -> str:
        cursor.execute("SELECT body FROM notes")
        return str(cursor.fetchone()[0])

    def _mysql(self, url: str) -> Any:
        parts = urlsplit(url)
        return pymysql.connect(
            host=parts.hostname, port=parts.port, user=parts.username, password=unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
        )  # fmt: skip

    def _bucket(self, url: str) -> tuple[Any, str]:
        parts = urlsplit(url)
        query = dict(pair.split("=") for pair in parts.query.split("&"))
        client = boto3.client(
            "s3",
            endpoint_url=unquote(query["endpoint"]),
            region_name=query["region"],
            aws_access_key_id=parts.username,
            aws_secret_access_key=unquote(parts.password or ""),
            config=Config(retries={"max_attempts": 1}, response_checksum_validation="when_required"),
        )
        return client, str(parts.hostname)


@pytest.fixture
def data(house: House) -> Data:
    folder = house.a_stack("data", app=APP, settings=SETTINGS)
    house.write(folder / "fairlead.yaml", (folder / "fairlead.yaml").read_text() + REST)
    house.run("up", str(folder), timeout=300)
    return Data(house)


def states(house: House) -> dict[str, str]:
    [stack] = [one for one in house.status()["stacks"] if one["name"] == "data"]
    return {one["id"]: one["state"] for one in stack["resources"]}


def servers(house: House) -> dict[str, int]:
    """The program of each resource, by what its launcher recorded; of one that is about to start nothing."""
    found = {}
    for id in IDS:
        launches = house.home / "stacks" / "data" / "resources" / id / "launches"
        last = max(launches.iterdir(), key=lambda path: int(path.name))
        with suppress(FileNotFoundError, IndexError):
            found[id] = int((last / "pid").read_text().split()[0])
    return found


def all_available(house: House) -> Callable[[], bool]:
    return lambda: states(house) == dict.fromkeys(IDS, "available")


async def test_data_survive_what_happens_to_servers_daemons_and_stacks(house: House, data: Data) -> None:
    folder = house.folder / "data"
    data.write("first")
    assert data.read() == {"first"}
    web = {one["pid"] for one in house.instances("data")}

    # Every server is killed; the services go on, and find their data again.
    before = servers(house)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    await house.until("other servers", lambda: not set(before.values()) & set(servers(house).values()), PATIENCE)
    await house.until("all available again", all_available(house), PATIENCE)
    assert data.read() == {"first"}
    assert {one["pid"] for one in house.instances("data")} == web

    # The daemon is killed; the next one adopts them.
    running, daemon = servers(house), house.daemon_pid()
    assert daemon
    os.kill(daemon, signal.SIGKILL)
    await house.until("another daemon", lambda: house.daemon_pid() not in (None, daemon), PATIENCE)
    await house.until("all available", all_available(house), PATIENCE)
    assert servers(house) == running
    data.write("second")

    # Down ends them last and keeps the data; up finds them.
    told = house.run("down", "data", timeout=200).stderr
    assert told.index("web-1") < told.index("store is told to end")
    assert "delete-data" in told
    assert not [pid for pid in running.values() if Path(f"/proc/{pid}").exists()]
    house.run("up", str(folder), timeout=300)
    assert data.read() == {"second"}

    # Nothing but asking for it by name deletes it.
    house.run("down", "data", timeout=200)
    refused = house.run("down", "data", "--delete-data", check=False)
    assert refused.returncode == 2
    resources = house.home / "stacks" / "data" / "resources"
    assert sorted(path.name for path in resources.iterdir()) == sorted(IDS)
    house.run("down", "data", "--delete-data", "--yes", timeout=200)
    assert not resources.exists() or not list(resources.iterdir())


async def test_stop_start_backup_and_restore_by_hand(house: House, data: Data) -> None:
    data.write("kept")
    files = {id: house.folder / f"{id}.dump" for id in IDS}
    try:
        for id, file in files.items():
            house.run("data", "backup", id, str(file), "--stack", "data", timeout=200)
            assert file.stat().st_mode & 0o777 == 0o600
        data.write("lost")
        for id, file in files.items():
            house.run("data", "restore", id, str(file), "--stack", "data", "--yes", timeout=200)
        assert data.read() == {"kept"}

        # Stopped by hand, a database stays stopped, and who needs it says so.
        house.run("data", "stop", "store", "--stack", "data", timeout=200)
        shown = house.run("status", "data").stdout
        assert states(house)["store"] == "stopped"
        assert "needs: store" in shown
        assert "stopped by hand" in house.run("explain", "web", "--stack", "data").stdout
        daemon = house.daemon_pid()
        assert daemon
        os.kill(daemon, signal.SIGKILL)
        await house.until("another daemon", lambda: house.daemon_pid() not in (None, daemon), PATIENCE)
        assert states(house)["store"] == "stopped"
        house.run("data", "start", "store", "--stack", "data", timeout=200)
        assert data.read() == {"kept"}
    finally:
        for file in files.values():
            file.unlink(missing_ok=True)
        house.run("down", "data", "--delete-data", "--yes", timeout=200)


async def test_passwords_stand_nowhere_but_in_the_environment_that_needs_them(house: House, data: Data) -> None:
    try:
        passwords = {unquote(urlsplit(url).password or "").encode() for url in data.urls.values()}
        assert len(passwords) == len(IDS)
        for pid, words in house.processes().items():
            assert not any(one in words.encode() for one in passwords), f"in the command line of {pid}"
        asked = ("status data", "status --json", "events --limit 500", "data list", "explain web --stack data")
        logs = (f"logs {id} --stack data" for id in ("web", *IDS))
        told = "".join(house.run(*words.split()).stdout for words in (*asked, *logs))
        assert not any(one.decode() in told for one in passwords)
        readable = []
        for path in house.home.rglob("*"):
            inside = path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o077
            if inside and any(one in path.read_bytes() for one in passwords):
                readable.append(path)
        assert readable == [], "files that others may read"
    finally:
        house.run("down", "data", "--delete-data", "--yes", timeout=200)
