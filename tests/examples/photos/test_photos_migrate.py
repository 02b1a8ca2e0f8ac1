"""The tables: made once, by however many at once, and again after one that was killed half-way."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from sqlalchemy import inspect, text

from . import pictures
from .ground import EXAMPLE, Ground, migrate, migrate_module

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

TABLES = {"photos", "labels", "migrations"}
COMMAND = [sys.executable, "-m", "photos.migrate"]


def engine_of(ground: Ground) -> Any:
    return ground.instance().album.catalogue.engine


def emptied(ground: Ground) -> Any:
    """No tables at all; the engine."""
    engine = engine_of(ground)
    with engine.begin() as connection:
        for table in ("labels", "photos", "migrations"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    return engine


def tables(engine: Any) -> set[str]:
    return set(inspect(engine).get_table_names())


def started(ground: Ground, **more: str) -> subprocess.Popen[str]:
    environment = {**ground.environment("web.before-1", **more), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        COMMAND, cwd=EXAMPLE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_at_once_make_the_tables_once(ground: Ground) -> None:
    engine = emptied(ground)
    both = [started(ground) for _ in range(2)]
    said = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sorted(out for out, _ in said) == ["did step 1 of 1\n", "nothing to do\n"]
    assert tables(engine) == TABLES
    assert ground.instance().visitor().upload(pictures.jpeg(pictures.plain()))


def test_many_at_once_in_one_process_do_each_step_once(ground: Ground) -> None:
    from threading import Thread

    emptied(ground)
    found: list[list[int]] = []
    engines = [engine_of(ground) for _ in range(6)]
    threads = [Thread(target=lambda engine=engine: found.append(migrate(engine))) for engine in engines]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(found) == [[]] * 5 + [[1]]


@pytest.mark.parametrize("done", range(3))
def test_one_that_was_killed_between_two_statements_is_done_again(
    ground: Ground, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MySQL keeps what was done of a step, PostgreSQL takes it back: both end well."""
    engine = emptied(ground)
    [step] = migrate_module.STEPS
    with monkeypatch.context() as patch:
        patch.setattr(migrate_module, "STEPS", ((*step[:done], "NOT A STATEMENT"),))
        with pytest.raises(Exception, match="NOT"):
            migrate(engine)
    assert migrate(engine) == [1]
    assert migrate(engine) == []
    assert tables(engine) == TABLES


def test_a_further_step_is_added_and_nothing_is_lost(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = emptied(ground)
    migrate(engine)
    stored = ground.instance().visitor().upload(pictures.jpeg(pictures.plain()))
    steps = (*migrate_module.STEPS, ("CREATE TABLE IF NOT EXISTS later (n INTEGER) {table}",))
    monkeypatch.setattr(migrate_module, "STEPS", steps)
    try:
        assert migrate(engine) == [2]
        assert tables(engine) == {*TABLES, "later"}
        assert ground.instance().visitor().gallery() == [stored["id"]], "the release before it goes on"
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS later"))
            connection.execute(text("DELETE FROM migrations WHERE step = 2"))


def test_it_waits_for_one_that_is_at_work_and_no_longer_than_it_must(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, other = emptied(ground), engine_of(ground)
    monkeypatch.setattr(migrate_module, "PATIENCE", 0.5)
    with other.connect() as connection, migrate_module._alone(connection):
        with pytest.raises(TimeoutError, match="another migration"):
            migrate(engine)
        assert tables(engine) == set()
    monkeypatch.undo()
    connection = other.connect()
    with migrate_module._alone(connection):
        waiting = started(ground)
        # The lock is the connection's: one that is killed leaves none.
        connection.invalidate()
        connection.close()
    out, error = waiting.communicate(timeout=120)
    assert (waiting.returncode, out) == (0, "did step 1 of 1\n"), error


def test_without_a_database_it_ends_with_a_sentence(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.database.cut()
    monkeypatch.setattr(migrate_module, "PATIENCE", 0.2)
    with pytest.raises(TimeoutError, match=r"did not answer within 0\.2 s"):
        migrate(engine_of(ground))
    done = started(ground, DATABASE_PORT="none")
    out, error = done.communicate(timeout=60)
    assert (done.returncode, out) == (1, "")
    assert error == "the tables could not be brought up to date: DATABASE_PORT is 'none', and should be a number\n"


def test_a_database_that_comes_up_late_is_waited_for(ground: Ground) -> None:
    emptied(ground)
    ground.database.cut()
    waiting = started(ground)
    asked, deadline = ground.database.callers, time.monotonic() + 60
    while ground.database.callers == asked:
        assert time.monotonic() < deadline, "it never asked"
        time.sleep(0.02)
    ground.database.mend()
    out, error = waiting.communicate(timeout=120)
    assert (waiting.returncode, out) == (0, "did step 1 of 1\n"), error


def test_the_tables_of_the_app_are_those_that_the_steps_make(ground: Ground) -> None:
    from photos.catalogue import metadata

    engine = emptied(ground)
    migrate(engine)
    found = inspect(engine)
    for table in metadata.sorted_tables:
        columns = {one["name"]: one for one in found.get_columns(table.name)}
        assert set(columns) == set(table.columns.keys())
        for column in table.columns:
            assert columns[column.name]["nullable"] == column.nullable, column


def test_no_password_is_said_when_it_fails(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrate_module, "PATIENCE", 0.0)
    for name, value in ground.environment(DATABASE_PASSWORD="planted-wrong-password").items():
        monkeypatch.setenv(name, value)
    assert migrate_module.main() == 1
    said = capsys.readouterr()
    assert "web_user" in said.err
    assert "planted" not in said.out + said.err
