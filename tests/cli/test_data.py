"""`fairlead data` against a scripted daemon: what it sends, what it shows, what it asks, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.data_shell import place_of
from fairlead.cli.data_table import table
from fairlead.core.layout import Layout
from fairlead.core.resources.backups import STAMP, backup_name
from fairlead.errors import NotFound, ResourceError, UsageError
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead
from tests.cli.data_rows import a_row, at_rest
from tests.cli.scripted import Refuse, Stream, a_stack, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.needs import need
from tests.store.test_resources import RECORD

UP = {"GET /status": status_of(a_stack("shop"))}
DATA = {**UP, "GET /data": {"data": [a_row(), a_row("sessions", kind="cache", engine="redis", size=1200)]}}
STOP, START = "POST /stacks/shop/data/store/stop", "POST /stacks/shop/data/store/start"
BACKUP, RESTORE = "POST /stacks/shop/data/store/backup", "POST /stacks/shop/data/store/restore"
DELETE = "DELETE /stacks/shop/data/store"


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "stack": "shop", "id": "store", "text": "it is so", **fields}


def progress(text: str) -> dict[str, Any]:
    return {"type": "progress", "stack": "shop", "text": text}


def kept(home: Layout, *stacks: str) -> None:
    """The home's store knows data of these stacks, which are down."""
    store = Store.open(home.database)
    for stack in stacks:
        store.save_resource(replace(RECORD, stack=stack, id="store"))
    store.close()


# list


def test_the_list_shows_state_size_address_and_program(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, DATA):
        shown = fairlead("data", "list")
    assert shown.out.splitlines() == [
        "shop",
        "  ID        KIND      ENGINE    STATE      SIZE    ADDRESS          PROGRAM",
        "  store     database  postgres  available   38 MB  127.0.0.1:18001  postgres 18.6.3",
        "  sessions  cache     redis     available  1.2 kB  127.0.0.1:18001  postgres 18.6.3",
    ]
    assert (shown.status, shown.err) == (0, "next: fairlead data shell store  |  fairlead data backup store\n")


def test_the_list_as_json_is_the_answer(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, DATA) as daemon:
        shown = fairlead("data", "list", "--json", "--stack", "shop")
    assert json.loads(shown.out) == DATA["GET /data"]
    assert next(one.query for one in daemon.asked if one.path == "/data") == {"stack": "shop"}


def test_what_is_stopped_left_or_down_says_so_and_what_to_do(fairlead: Fairlead, home: Layout) -> None:
    rows = [
        a_row(state="stopped", why="stopped by hand"),
        a_row("old", declared=False, state="stopped", why="it is no longer in the file; its data are kept", since=""),
        at_rest(stack="blog"),
    ]
    with serving(home, {**UP, "GET /data": {"data": rows}}):
        shown = fairlead("data", "list")
    assert "    stopped by hand, 2026-11-22 01:33:12Z\n" in shown.out
    assert "    it is no longer in the file; its data are kept\n" in shown.out
    assert "blog  (down)\n" in shown.out
    assert "next: fairlead data start store --stack shop  |  fairlead data delete old --stack shop\n" in shown.err


@pytest.mark.parametrize("width", [79, 60, 40])
def test_on_a_narrow_terminal_columns_are_left_out(width: int) -> None:
    rows = [a_row(), a_row("sessions", state="external", size=None, program=None, host="", port=None)]
    lines = [*table(rows, colour=False, width=width)]
    assert all(len(line) <= width for line in lines)
    assert all("store" in line or "ID" in line or "shop" in line or "external" in line for line in lines)


def test_without_any_data_it_says_how_to_declare_some_and_starts_nothing(fairlead: Fairlead, home: Layout) -> None:
    shown = fairlead("data", "list")
    assert (shown.status, shown.out) == (0, "")
    assert "under `caches:`, `databases:` and `buckets:`" in shown.err
    assert json.loads(fairlead("data", "list", "--json").out) == {"data": []}
    assert os.listdir(home.home) == []


@pytest.mark.parametrize(
    "words", [("stop", "store"), ("start", "store"), ("backup", "store"), ("shell", "store"), ("delete", "store"),
              ("restore", "store", "f"), ("list", "--stack", "shop")]
)  # fmt: skip
def test_in_a_home_without_data_the_others_say_so_and_start_nothing(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...]
) -> None:
    shown = fairlead("data", *words)
    assert (shown.status, shown.out) == (2, "")
    assert "there are no data" in shown.err
    assert os.listdir(home.home) == []


def test_what_others_wrote_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    evil = "x\x1b[2J\n\ty"
    row = a_row(evil, evil, engine=evil, kind=evil, state="stopped", host=evil, why=evil, since=evil)
    with serving(home, {**UP, "GET /data": {"data": [row]}}):
        shown = fairlead("data", "list")
    assert "\x1b" not in shown.out + shown.err
    assert "\t" not in shown.out


# stop and start


def test_stop_shows_its_steps_and_says_that_data_are_kept(fairlead: Fairlead, home: Layout) -> None:
    events = [progress("store is told to end"), result(text="store is stopped; its data are kept", needed_by=["web"])]
    with serving(home, {**DATA, STOP: Stream(events)}) as daemon:
        shown = fairlead("data", "stop", "store")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.splitlines() == [
        "store is told to end",
        "store is stopped; its data are kept",
        "next: fairlead data start store  |  fairlead status",
    ]
    assert "POST /stacks/shop/data/store/stop" in daemon.paths_asked()


def test_start_ends_when_it_answers(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**DATA, START: Stream([progress("store starts"), result(text="store is available")])}):
        shown = fairlead("data", "start", "store", "--stack", "shop")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.splitlines()[-2:] == [
        "store is available",
        "next: fairlead status  |  fairlead data shell store --stack shop",
    ]


@pytest.mark.parametrize(("verb", "route"), [("stop", STOP), ("start", START)])
def test_as_json_it_is_the_result_alone(fairlead: Fairlead, home: Layout, verb: str, route: str) -> None:
    with serving(home, {**DATA, route: Stream([progress("a step"), result()])}):
        shown = fairlead("data", verb, "store", "--json")
    assert json.loads(shown.out) == {"stack": "shop", "id": "store", "text": "it is so"}


def test_a_start_that_fails_shows_the_end_of_the_log(fairlead: Fairlead, home: Layout) -> None:
    error = ResourceError("store does not start", "exited with status 1", "fairlead logs store", detail="FATAL: no")
    with serving(home, {**DATA, START: Stream([{"type": "error", "error": error.to_json()}])}):
        shown = fairlead("data", "start", "store")
    assert shown.status == 1
    assert shown.err.splitlines() == [
        "error: store does not start: exited with status 1",
        "  FATAL: no",
        "next: fairlead logs store",
    ]


def test_the_stack_that_has_the_id_is_meant_when_only_one_has(fairlead: Fairlead, home: Layout) -> None:
    rows = {"data": [a_row(), a_row("other", "blog")]}
    with serving(home, {"GET /status": status_of(a_stack("shop"), a_stack("blog")), "GET /data": rows,
                        STOP: Stream([result()])}):  # fmt: skip
        assert fairlead("data", "stop", "store").status == 0
        shown = fairlead("data", "stop", "neither")
    assert (shown.status, "it is not clear which stack is meant" in shown.err) == (2, True)


# backup and restore


def test_backup_sends_an_absolute_path_and_says_how_to_restore_it(fairlead: Fairlead, home: Layout) -> None:
    file = os.path.realpath("store.dump")
    with serving(home, {**DATA, BACKUP: Stream([progress("12 MB"), result(file=file, bytes=38_000_000)])}) as daemon:
        shown = fairlead("data", "backup", "store", "store.dump")
    assert next(one.body for one in daemon.asked if one.path.endswith("backup")) == {"file": file}
    assert shown.status == 0
    assert "whoever can read that file can read the data\n" in shown.err
    assert shown.err.endswith(f"next: fairlead data restore store {file}\n")


def test_backup_without_a_file_names_one_in_the_current_folder(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**DATA, BACKUP: Stream([result(file="/x", bytes=1)])}) as daemon:
        assert fairlead("data", "backup", "store").status == 0
    sent = next(one.body["file"] for one in daemon.asked if one.path.endswith("backup"))
    assert os.path.dirname(sent) == os.path.realpath(".")
    assert backup_name("shop", "store", "postgres", datetime(2026, 11, 22, 1, 33, 5).strftime(STAMP)) == (
        "shop-store-20261122-013305.postgres.dump"
    )


def test_backup_across_the_daemons_death_is_done_when_the_file_is_there(fairlead: Fairlead, home: Layout) -> None:
    def ends() -> None:
        Path("store.dump").write_text("12345")

    there = Refuse(UsageError("store.dump is there already"))
    answers = iter([Stream([progress("dumping")], then=ends), there])
    with serving(home, {**DATA, BACKUP: lambda _: next(answers)}):
        shown = fairlead("data", "backup", "store", "store.dump", "--json")
    assert shown.status == 0
    assert json.loads(shown.out)["bytes"] == 5


def test_backup_of_one_that_is_not_there_asks_nothing_of_the_daemon(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, DATA) as daemon:
        shown = fairlead("data", "backup", "stor")
    assert shown.status == 2
    assert "there is no cache, database or bucket 'stor' in shop: it has store, sessions" in shown.err
    assert not [path for path in daemon.paths_asked() if path.startswith("POST /stacks")]


def test_restore_asks_and_without_a_terminal_wants_yes(fairlead: Fairlead, home: Layout) -> None:
    Path("x").write_text("a backup")
    with serving(home, {**DATA, RESTORE: Stream([result(file="/x")])}) as daemon:
        refused = fairlead("data", "restore", "store", "x")
        assert "POST /stacks/shop/data/store/restore" not in daemon.paths_asked()
        done = fairlead("data", "restore", "store", "x", "--yes")
    assert (refused.status, "Say --yes if you mean it." in refused.err) == (2, True)
    assert (done.status, done.err.splitlines()[0]) == (0, "it is so")
    assert next(one.body for one in daemon.asked if one.path.endswith("restore")) == {"file": os.path.realpath("x")}


def test_restore_of_a_file_that_is_not_there_is_refused_before_anybody_is_asked(
    fairlead: Fairlead, home: Layout
) -> None:
    with serving(home, DATA) as daemon:
        shown = fairlead("data", "restore", "store", "missing")
    assert (shown.status, "there is no such file" in shown.err) == (2, True)
    assert not [path for path in daemon.paths_asked() if path.startswith("POST /stacks")]


@pytest.mark.parametrize("stack", [(), ("--stack", "shop")])
def test_restore_says_how_the_data_are_prepared_again(fairlead: Fairlead, home: Layout, stack: tuple[str, ...]) -> None:
    unprepared = [
        {"service": "web", "argv": ["python", "manage.py", "migrate", "--no-input"]},
        {"service": "api", "argv": ["sh", "-c", "echo 'a b'"]},
    ]
    with serving(home, {**DATA, RESTORE: Stream([result(file="/x", unprepared=unprepared)])}):
        shown = fairlead("data", "restore", "store", "x", "--yes", *stack)
    of = "--stack shop " if stack else ""
    assert shown.err.splitlines()[-2:] == [
        "before_traffic of web and api ran on other data; if these are of an older release, run it on them",
        f"next: fairlead run {of}web python manage.py migrate --no-input  |  "
        f"""fairlead run {of}api sh -c 'echo '"'"'a b'"'"''""",
    ]


# delete


def test_delete_tells_how_much_and_wants_yes_without_a_terminal(fairlead: Fairlead, home: Layout) -> None:
    kept(home, "shop")
    answers = {"GET /status": status_of(), "GET /data": {"data": [at_rest()]}}
    with serving(home, {**answers, DELETE: Stream([result(bytes=38_000_000)])}) as daemon:
        refused = fairlead("data", "delete", "store")
        assert "DELETE /stacks/shop/data/store" not in daemon.paths_asked()
        done = fairlead("data", "delete", "store", "--yes")
    assert refused.status == 2
    assert refused.err.splitlines()[0] == "store (postgres, 38 MB) of shop: its data go for ever"
    assert (done.status, done.err) == (0, "it is so\nnext: fairlead data list\n")


def test_what_is_in_use_is_refused_before_anybody_is_asked(fairlead: Fairlead, home: Layout) -> None:
    rows = [a_row(), a_row("theirs", state="external")]
    with serving(home, {**UP, "GET /data": {"data": rows}}) as daemon:
        used = fairlead("data", "delete", "store", "--yes")
        theirs = fairlead("data", "delete", "theirs", "--yes")
    assert (used.status, theirs.status) == (2, 2)
    assert "store cannot be deleted: shop is up, and its file declares it" in used.err
    assert "fairlead down shop --delete-data" in used.err
    assert "it exists already" in theirs.err
    assert not [path for path in daemon.paths_asked() if path.startswith("DELETE")]


@pytest.mark.live
@pytest.mark.parametrize(("typed", "status"), [("store", 0), ("stor", 1), ("", 1)])
def test_at_a_terminal_the_id_is_typed(home: Layout, typed: str, status: int) -> None:
    answers = {"GET /status": status_of(), "GET /data": {"data": [at_rest()]}, DELETE: Stream([result(bytes=1)])}
    kept(home, "shop")
    with serving(home, answers) as daemon:
        with Terminal(fairlead_argv("data", "delete", "store"), {**os.environ, "FAIRLEAD_HOME": home.home}) as terminal:
            terminal.wait_for("its data go for ever")
            terminal.wait_for("Type store to delete its data: ")
            terminal.type(f"{typed}\n")
            assert terminal.end() == status
        deleted = "DELETE /stacks/shop/data/store" in daemon.paths_asked()
    assert deleted == (status == 0)


# shell


def a_client(folder: Path) -> str:
    program = folder / "client"
    program.write_text('#!/bin/sh\necho "$PGPASSWORD $OURS $1"\ncat\nexit 7\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.live
def test_the_shell_is_the_clients_own_and_takes_what_is_piped_in(home: Layout, tmp_path: Path) -> None:
    shell = {"argv": [a_client(tmp_path), "shop"], "environment": {"PGPASSWORD": "hunter2"}, "says": "a line first"}
    with serving(home, {**DATA, "GET /stacks/shop/data/store/shell": shell}):
        done = subprocess.run(
            fairlead_argv("data", "shell", "store"),
            env={"FAIRLEAD_HOME": home.home, "PATH": os.environ["PATH"], "OURS": "1"},
            input="select 1\n",
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (done.returncode, done.stdout, done.stderr) == (7, "hunter2 1 shop\nselect 1\n", "a line first\n")


def test_root_who_asks_another_users_daemon_becomes_that_user(home: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    need(os.geteuid() == 0, "only root can become another user")
    monkeypatch.setenv("SECRET_OF_ROOT", "hunter2")
    answer = {"argv": ["x"], "environment": {"PGPASSWORD": "theirs"}, "says": ""}
    os.makedirs(os.path.dirname(home.api_socket))
    Path(home.api_socket).touch()
    ours = place_of(answer, home)
    os.chown(home.api_socket, 65534, 65533)
    theirs = place_of(answer, home)
    assert (ours.user, ours.folder, ours.environment["SECRET_OF_ROOT"]) == (None, os.getcwd(), "hunter2")
    assert (theirs.user, theirs.folder) == ((65534, 65533), "/")
    assert theirs.environment["PGPASSWORD"] == "theirs"
    assert "SECRET_OF_ROOT" not in theirs.environment


def test_nothing_heavy_is_imported(home: Layout) -> None:
    program = (
        "import sys; from fairlead.cli.main import run; run(['data', 'list']);"
        "heavy = {'asyncio', 'pydantic', 'yaml', 'starlette', 'cryptography', 'subprocess'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    with serving(home, DATA):
        shown = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "FAIRLEAD_HOME": home.home},
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
        )
    assert shown.stdout.splitlines()[-1] == "[]", shown.stderr


def test_a_shell_that_cannot_be_is_an_error(fairlead: Fairlead, home: Layout) -> None:
    missing = Refuse(ResourceError("theirs cannot be looked into", "psql is not installed", "apt install x"), 500)
    with serving(home, {**DATA, "GET /stacks/shop/data/store/shell": missing}):
        shown = fairlead("data", "shell", "store")
    assert (shown.status, shown.err) == (
        1,
        "error: theirs cannot be looked into: psql is not installed\nnext: apt install x\n",
    )


# down


GONE = {"type": "result", "stack": "shop", "text": "shop is down"}


def test_down_says_that_data_are_kept_where_and_how_they_would_go(fairlead: Fairlead, home: Layout) -> None:
    statuses = iter([status_of(a_stack("shop")), status_of()])
    rows = [at_rest(), at_rest("sessions", engine="redis", size=1200), at_rest("theirs", state="external", size=None)]
    answers = {"GET /status": lambda _: next(statuses), "DELETE /stacks/shop": Stream([GONE])}
    with serving(home, {**answers, "GET /data": {"data": rows}}):
        shown = fairlead("down")
    assert shown.err.splitlines() == [
        "shop is down",
        f"its data are kept in {home.home}/stacks/shop/resources: store (postgres, 38 MB), sessions (redis, 1.2 kB)",
        "`fairlead up` finds them again; `fairlead down shop --delete-data` deletes them",
        "next: fairlead up PATH  |  fairlead down --all (ends the daemon too)",
    ]


@pytest.mark.parametrize("answer", [{"data": []}, Refuse(NotFound("GET /data is not part of this API"), 404)])
def test_down_of_a_stack_without_data_says_nothing_of_them(fairlead: Fairlead, home: Layout, answer: object) -> None:
    statuses = iter([status_of(a_stack("shop")), status_of()])
    with serving(home, {"GET /status": lambda _: next(statuses), "DELETE /stacks/shop": Stream([GONE]),
                        "GET /data": answer}):  # fmt: skip
        shown = fairlead("down")
    assert (shown.status, "data" in shown.err) == (0, False)


def test_delete_data_shows_what_goes_and_asks_before_anything_is_stopped(fairlead: Fairlead, home: Layout) -> None:
    deleted = {"type": "result", "stack": "shop", "ids": ["store"], "bytes": 1, "text": "all data of shop are deleted"}
    answers = {**DATA, "DELETE /stacks/shop": Stream([GONE]), "DELETE /stacks/shop/data": Stream([deleted])}
    with serving(home, answers) as daemon:
        refused = fairlead("down", "shop", "--delete-data")
        assert not [path for path in daemon.paths_asked() if path.startswith("DELETE")]
        done = fairlead("down", "shop", "--delete-data", "--yes")
    assert refused.status == 2
    assert refused.err.splitlines()[:3] == [
        "  store (postgres, 38 MB)",
        "  sessions (redis, 1.2 kB)",
        "these data of shop, 38 MB, go for ever",
    ]
    assert "Say --yes if you mean it." in refused.err
    assert done.err.splitlines()[-3:] == [
        "shop is down",
        "all data of shop are deleted",
        "next: fairlead data list  |  fairlead up PATH",
    ]
    order = [path for path in daemon.paths_asked() if path.startswith("DELETE")]
    assert order == ["DELETE /stacks/shop", "DELETE /stacks/shop/data"]


def test_delete_data_works_of_a_stack_that_is_down_already(fairlead: Fairlead, home: Layout) -> None:
    kept(home, "shop")
    deleted = {"type": "result", "stack": "shop", "ids": ["store"], "bytes": 1, "text": "all data of shop are deleted"}
    answers = {"GET /status": status_of(), "GET /data": {"data": [at_rest()]}}
    with serving(home, {**answers, "DELETE /stacks/shop/data": Stream([deleted])}) as daemon:
        shown = fairlead("down", "shop", "--delete-data", "--yes")
        other = fairlead("down", "blog", "--delete-data", "--yes")
    assert (shown.status, "all data of shop are deleted" in shown.err) == (0, True)
    assert [path for path in daemon.paths_asked() if path.startswith("DELETE")] == ["DELETE /stacks/shop/data"]
    assert (other.status, "this home has shop" in other.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--all", "--delete-data"), "--delete-data is for one stack at a time"),
        (("shop", "--yes"), "--yes answers the question of --delete-data"),
    ],
)
def test_down_with_options_that_make_no_sense_together(fairlead: Fairlead, words: tuple[str, ...], says: str) -> None:
    shown = fairlead("down", *words)
    assert (shown.status, says in shown.err) == (2, True)


@pytest.mark.parametrize("verb", ["list", "shell", "backup", "restore", "stop", "start", "delete"])
def test_every_command_of_data_has_help_with_examples(fairlead: Fairlead, verb: str) -> None:
    shown = fairlead("data", verb, "--help")
    assert shown.status == 0
    for word in ("Examples:", f"  fairlead data {verb}", "Exit status:", "--stack", "--home"):
        assert word in shown.out
