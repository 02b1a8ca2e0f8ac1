"""Secrets reach the programs that need them, and nothing else: planted values are looked for in every file of a home,
every command line, every environment and every output, through changes, failures and crashes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from fairlead.haproxy.program import wheel_binary

from . import apps
from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

APP = """
import hashlib, os

def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [hashlib.sha256(os.environb.get(name.encode(), b"")).hexdigest().encode()]
"""
"""Answers with the digest of the variable that the path names."""

SETTINGS = """
secrets: [SET_KEY, ENV_KEY, DOT_KEY]
environment: {{CACHE_URL: "${{caches.sessions.url}}", OTHER_URL: "${{caches.other.url}}", VERSION: "1"}}
health_check: {{path: /VERSION, grace_period: 5s}}
target_group: {{deregistration_delay: 0s}}
custom_metrics:
  queue: {{url: "http://127.0.0.1:{port}/metric?key=${{secrets.METRIC_KEY}}", field: length, every: 1s}}
"""

REST = """
caches:
  sessions: {{engine: redis, memory: 16MB}}
  other: {{url: "redis://:${{secrets.CACHE_KEY}}@127.0.0.1:{port}/0"}}
alarms:
  - {{when: healthy_targets, below: 9, for: 1s, webhook: "http://127.0.0.1:{port}/hook/${{secrets.HOOK_KEY}}"}}
"""


@dataclass
class Outside:
    """A server of somebody else that takes webhooks and tells metrics; `well`: it does."""

    port: int = 0
    well: bool = True
    paths: list[str] = field(default_factory=list)

    def asked(self, part: str) -> bool:
        return any(part in path for path in self.paths)


@contextmanager
def an_outside() -> Iterator[Outside]:
    outside = Outside()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            outside.paths.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"length": 3}'
            self.send_response(200 if outside.well else 500)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    outside.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Planted:
    """A value that can be told from all others, in whatever way it is written: encodings leave its core as it is, but
    for those that turn all of it into something else."""

    name: str
    value: str
    core: str

    def forms(self) -> list[bytes]:
        core = self.core.encode()
        # Three ways, by where it begins in the text that is encoded; without the characters that its neighbours decide.
        encoded = [base64.b64encode(b"\0" * skip + core)[skip + 1 : -4] for skip in range(3)]
        return [core, core.hex().encode(), core[::-1], *encoded]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.value.encode()).hexdigest()


def a_value(name: str) -> Planted:
    core = secrets.token_hex(12)
    return Planted(name, f"pl4nted {core} \"quoted\" 'é€' /+=&%$\\ <end>", core)


def a_word(name: str) -> Planted:
    """One that may stand in a URL."""
    core = secrets.token_hex(12)
    return Planted(name, core, core)


class Search:
    """Looks for planted values in what a house says and leaves behind."""

    def __init__(self, house: House, planted: list[Planted]) -> None:
        self.house, self.planted = house, planted
        self.said: list[tuple[str, str]] = []
        self.began = time.time()

    def run(self, *words: str, given: str | None = None, status: int = 0, **extra: str) -> str:
        """`fairlead WORDS`, its output kept for the search; `given`: on its stdin. Its stdout."""
        done = subprocess.run(
            self.house.command(*words), env={**self.house.environment, **extra}, cwd="/",
            input=given or "", capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        self.said.append((f"fairlead {' '.join(words)}", done.stdout + done.stderr))
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def nothing_is_found(self) -> None:
        """AssertionError names the value, its form, and where it is."""
        found = [*self._outputs(), *self._files(), *self._command_lines(), *self._environments()]
        assert not found, "\n".join(found)

    def _hits(self, content: bytes) -> Iterator[str]:
        for one in self.planted:
            yield from (f"{one.name} (form {index})" for index, form in enumerate(one.forms()) if form in content)

    def _outputs(self) -> Iterator[str]:
        for words, output in self.said:
            yield from (f"{hit} in the output of `{words}`" for hit in self._hits(output.encode()))

    def _files(self) -> Iterator[str]:
        seen = 0
        for folder in (self.house.folder, *Path("/tmp").glob("fairlead-*")):
            for place, _, names in os.walk(folder):
                for name in names:
                    path = Path(place, name)
                    # Beside the file the user keeps them himself.
                    if path.is_symlink() or not path.is_file() or path == self.house.folder / "vault/.env":
                        continue
                    try:
                        # What was last written before the values were made, with some seconds for the clock to be set,
                        # holds none of them: environments of other stories, above all.
                        if path.stat().st_ctime < self.began - 60:
                            continue
                        content = path.read_bytes()
                    except OSError:
                        continue  # it is gone meanwhile
                    seen += 1
                    yield from (f"{hit} in {path}" for hit in self._hits(content))
        assert seen > 20, "the home was not searched"

    def _command_lines(self) -> Iterator[str]:
        for pid, words in _of_processes("cmdline"):
            yield from (f"{hit} in the command line of {pid}: {words[:60]!r}" for hit in self._hits(words))

    def _environments(self) -> Iterator[str]:
        """Where they should be, in what is started of an instance, they are; elsewhere they are found."""
        instances = f"FAIRLEAD_RUN={self.house.home}/stacks/vault/instances/".encode()
        mine = 0
        for pid, content in _of_processes("environ"):
            if instances in content:
                mine += 1
                continue
            if pid != os.getpid():
                yield from (f"{hit} in the environment of {pid}" for hit in self._hits(content))
        assert mine, "no instance was looked at"


def _of_processes(what: str) -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / what).read_bytes()
            except OSError:
                continue


def got(house: House, planted: Planted) -> bool:
    """Whether every instance has exactly that value."""
    found = []
    for one in house.healthy("vault"):
        variables = dict(
            part.partition(b"=")[::2] for part in Path(f"/proc/{one['pid']}/environ").read_bytes().split(b"\0")
        )
        found.append(variables.get(planted.name.encode()) == planted.value.encode())
    with urlopen(house.url("vault", f"/{planted.name}"), timeout=10) as answer:
        found.append(answer.read().decode() == planted.digest)
    return len(found) == 3 and all(found)


def password_of_the_cache(house: House) -> str:
    pid = house.healthy("vault")[0]["pid"]
    found = re.search(rb"CACHE_URL=redis://[^:]*:([^@]+)@", Path(f"/proc/{pid}/environ").read_bytes())
    assert found
    return found[1].decode()


async def test_a_planted_value_is_where_it_should_be_and_nowhere_else(house: House) -> None:
    set_key, env_key, dot_key = a_value("SET_KEY"), a_value("ENV_KEY"), a_word("DOT_KEY")
    metric_key, cache_key, hook_key = a_word("METRIC_KEY"), a_word("CACHE_KEY"), a_word("HOOK_KEY")
    search = Search(house, [set_key, env_key, dot_key, metric_key, cache_key, hook_key])
    # So that the daemon is one that the `up` starts which has a secret in its environment.
    house.run("down", "--all", check=False)
    with an_outside() as outside:
        folder = house.a_stack("vault", app=APP, settings=SETTINGS.format(port=outside.port))
        file = folder / "fairlead.yaml"
        house.write(file, file.read_text() + REST.format(port=outside.port))
        house.write(folder / ".env", f"DOT_KEY={dot_key.value}\n")
        try:
            # One is missing: all are named, and nothing of those that are there is kept.
            search.run("up", str(folder), status=2, ENV_KEY=env_key.value)
            refusal = search.said[-1][1]
            assert "4 secrets have no value" in refusal
            for name in ("SET_KEY", "CACHE_KEY", "METRIC_KEY", "HOOK_KEY"):
                assert re.search(rf"fairlead\.yaml:\d+:\d+: {name}: it was never set", refusal)
            assert json.loads(search.run("secret", "list", "--stack", "vault", "--json"))["secrets"] == []
            search.run("secret", "set", "SET_KEY", "--stack", "vault", given=f"\ufeff {set_key.value}\r\n")
            assert "taken off" in search.said[-1][1]
            for one in (metric_key, cache_key, hook_key):
                search.run("secret", "set", one.name, "--stack", "vault", given=one.value)
            search.run("up", str(folder), ENV_KEY=f"{env_key.value}\n", UNRELATED="x")
            assert got(house, set_key)
            assert got(house, env_key)
            assert got(house, dot_key)
            generated = password_of_the_cache(house)
            search.planted.append(Planted("the cache's password", generated, generated))
            await house.until("the webhook was told", lambda: outside.asked(f"/hook/{hook_key.core}"))
            await house.until("the metric was read", lambda: outside.asked(f"/metric?key={metric_key.core}"))
            search.nothing_is_found()

            # What is asked of it, and what is refused.
            search.run("secret", "set", "SET_KEY", set_key.value, status=2)
            search.said[-1] = ("fairlead secret set SET_KEY VALUE", search.said[-1][1])
            search.run("secret", "set", "SET_KEY", "--stack", "vault", given=f"{set_key.value}\0", status=2)
            search.run("secret", "set", f"SET_KEY={set_key.core}", "--stack", "vault", status=2)
            search.said[-1] = ("fairlead secret set NAME=VALUE", search.said[-1][1])
            search.run("secret", "remove", "SET_KEY", "--stack", "vault", status=2)
            listed = json.loads(search.run("secret", "list", "--stack", "vault", "--json"))
            origins = {row["name"]: row["origin"] for row in listed["secrets"]}
            assert origins == {
                "SET_KEY": "set", "METRIC_KEY": "set", "CACHE_KEY": "set", "HOOK_KEY": "set", "ENV_KEY": "environment",
                "DOT_KEY": "environment",
            }  # fmt: skip

            # Without the environment: the daemon has it.
            search.run("up", str(folder))
            search.run("restart", "--stack", "vault")
            assert got(house, env_key)

            # Others that do not work out: the release before goes on with its own, also in what replaces the dead.
            wrong = a_value("ENV_KEY")
            search.planted.append(wrong)
            house.edit(folder, "path: /VERSION", "path: /VERSION, matcher: '299'")
            search.run("up", str(folder), ENV_KEY=wrong.value, status=1)
            house.edit(folder, "path: /VERSION, matcher: '299'", "path: /VERSION")
            await house.until("what served serves on", lambda: got(house, env_key))
            await replaced(house, signal.SIGKILL)
            assert got(house, env_key)
            assert got(house, set_key)
            search.nothing_is_found()

            # The outside fails, and that is told.
            outside.well = False
            await house.until(
                "the metric fails",
                lambda: "cannot be read" in search.run("events", "--stack", "vault", "--limit", "50"),
            )

            # The daemon dies, in the middle of whatever it does; then an instance.
            daemon = house.daemon_pid()
            assert daemon
            os.kill(daemon, signal.SIGKILL)
            await house.until("another daemon answers", lambda: house.daemon_pid() not in (None, daemon))
            await replaced(house, signal.SIGKILL)
            assert got(house, env_key)
            assert got(house, set_key)
            search.nothing_is_found()

            # Another value is another release.
            newer = a_value("SET_KEY")
            search.planted.append(newer)
            search.run("secret", "set", "SET_KEY", "--stack", "vault", given=newer.value)
            assert got(house, set_key)
            assert "SET_KEY" in search.run("plan", str(folder), ENV_KEY=env_key.value)
            search.run("up", str(folder), ENV_KEY=env_key.value)
            assert got(house, newer)
            search.run("secret", "remove", "HOOK_KEY", "--stack", "vault", "--force")

            for words in (
                ("status",), ("status", "--json"), ("events", "--limit", "1000"), ("events", "--json", "--limit", "1000"),
                ("explain", "web", "--stack", "vault"), ("explain", "web", "--stack", "vault", "--json"),
                ("logs", "--stack", "vault"), ("metrics", "--stack", "vault", "--json"),
                ("plan", str(folder), "--json"), ("jobs", "--json"), ("check", "vault"), ("daemon", "status"),
                ("data", "list", "--json"), ("secret", "list", "--stack", "vault"),
            ):  # fmt: skip
                search.run(*words)
            search.nothing_is_found()
        finally:
            house.run("down", "vault", check=False)
            house.run("secret", "remove", "SET_KEY", "--stack", "vault", check=False)


async def replaced(house: House, how: signal.Signals) -> None:
    victim = house.healthy("vault")[0]
    os.kill(victim["pid"], how)
    await house.until(
        "it is replaced",
        lambda: len(house.healthy("vault")) == 2 and victim["id"] not in str(house.instances("vault")),
    )


@pytest.fixture
def own_house() -> Iterator[House]:
    """One of its own: what is lost in it is lost for all its stacks."""
    found = House(str(Path(sys.executable).parent / "fairlead"))
    haproxy = wheel_binary()
    assert haproxy
    found.environment["FAIRLEAD_HAPROXY"] = haproxy
    yield found
    found.close()


KEPT = """
secrets: [TOKEN]
environment: {STORE: "${databases.store.url}"}
health_check: {path: /, grace_period: 10s}
target_group: {deregistration_delay: 0s}
"""


async def test_a_lost_key_ends_nothing_that_runs_and_costs_no_data(own_house: House) -> None:
    house = own_house
    folder = house.a_stack(
        "keep", app=apps.SERVER + "\nserve()\n", settings=KEPT, command="python3 app.py", instances=1
    )
    file = folder / "fairlead.yaml"
    house.write(file, f"{file.read_text()}databases: {{store: {{engine: postgres}}}}\n")
    house.run("up", str(folder), TOKEN="first")
    store = url_of_the_store(house)
    with psycopg.connect(store, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
        (server,) = connection.execute("SELECT pg_postmaster_start_time()").fetchone() or ()

    (house.home / "secret.key").unlink()
    daemon = house.daemon_pid()
    assert daemon
    os.kill(daemon, signal.SIGKILL)
    await house.until("another daemon answers", lambda: house.daemon_pid() not in (None, daemon))
    events = await house.until("it is told", lambda: said_of_the_store(house))
    assert "the secrets of this home cannot be opened" in events
    for words in (("up", str(folder)), ("plan", str(folder)), ("data", "backup", "store", "--stack", "keep")):
        refused = house.run(*words, check=False)
        assert "`fairlead secret reset`" in refused.stderr, words
    assert "keep is up" in house.run("secret", "reset", "--yes", check=False).stderr
    with psycopg.connect(store) as connection:
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == (server,)

    # As the message says.
    house.run("down", "keep")
    told = house.run("secret", "reset", "--yes").stderr
    assert "fairlead secret set TOKEN --stack keep" in told
    house.run("up", str(folder), TOKEN="second")
    again = url_of_the_store(house)
    assert again != store
    with psycopg.connect(again) as connection:
        assert connection.execute("SELECT answer FROM t").fetchone() == (42,)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(store)


def url_of_the_store(house: House) -> str:
    pid = house.healthy("keep")[0]["pid"]
    found = re.search(rb"\0STORE=([^\0]+)\0", Path(f"/proc/{pid}/environ").read_bytes())
    assert found
    return found[1].decode()


def said_of_the_store(house: House) -> str:
    (store,) = (one for stack in house.status("keep")["stacks"] for one in stack["resources"])
    return "" if store["state"] == "available" else json.dumps(store)
