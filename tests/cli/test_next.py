"""What a command shows to be run next can be copied: it means the same stack, and the same file, from where one stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.declared import up_command
from fairlead.cli.session import naming
from fairlead.core.layout import Layout
from fairlead.store.database import Store
from tests.cli.conftest import Fairlead, Result
from tests.cli.scripted import Stream, a_stack, an_instance, serving, status_of
from tests.store.builders import a_stack_record

SERVED = tuple(an_instance(f"web-{number}") for number in (1, 2))
BLOG = a_stack("blog", SERVED)
STATUS = {
    "GET /status": lambda request: status_of(*([BLOG] if request.query.get("stack") else [BLOG, a_stack("shop")]))
}


def keep(home: Layout, *names: str, path: str = "/code/fairlead.yaml") -> None:
    """Stacks of these names are up, as the home's database says."""
    store = Store.open(home.database)
    for name in names:
        record = a_stack_record(name)
        desired = replace(record.desired, stack=replace(record.desired.stack, path=path))
        store.save_stack(replace(record, desired=desired))
    store.close()


def next_of(shown: Result) -> list[str]:
    """The commands of the line that begins with `next:`."""
    (line,) = [line for line in shown.err.splitlines() if line.startswith("next: ")]
    return line.removeprefix("next: ").split("  |  ")


@pytest.mark.parametrize(
    ("names", "here", "said"),
    [
        (["blog"], None, ""),
        (["blog", "shop"], None, " --stack blog"),
        (["shop"], None, " --stack blog"),
        (["blog", "shop"], "blog", ""),
        (["blog"], "shop", " --stack blog"),
        ([], None, ""),
    ],
)
def test_a_stack_is_named_where_it_would_not_be_meant_otherwise(names: list[str], here: str | None, said: str) -> None:
    assert naming("blog", names, here) == said


def done(**fields: Any) -> Stream:
    return Stream([{"type": "result", "stack": "blog", "text": "it is so", **fields}])


def answer(**fields: Any) -> dict[str, Any]:
    return {"stack": "blog", "text": "it is so", **fields}


SAYS: list[tuple[tuple[str, ...], dict[str, Any], list[str]]] = [
    (
        ("scale", "web", "3"),
        {"POST /stacks/blog/scale": done(service="web", desired=3)},
        ["fairlead status", "fairlead check --stack blog"],
    ),
    (
        ("scale", "web", "0"),
        {"POST /stacks/blog/scale": done(service="web", desired=0, declared=2)},
        ["fairlead scale web 2 --stack blog"],
    ),
    (
        ("suspend", "web"),
        {"POST /stacks/blog/suspend": answer(service="web", suspended=[])},
        ["fairlead resume web --stack blog", "fairlead status"],
    ),
    (
        ("resume", "web"),
        {"POST /stacks/blog/resume": answer(service="web", suspended=[])},
        ["fairlead status", "fairlead explain web --stack blog"],
    ),
    (
        ("instance", "drain", "web-1"),
        {"POST /stacks/blog/instances/web-1/drain": answer(instance="web-1")},
        ["fairlead exec --stack blog web-1", "fairlead instance return web-1 --stack blog"],
    ),
    (
        ("instance", "standby", "web-1"),
        {"POST /stacks/blog/instances/web-1/standby": answer(instance="web-1")},
        ["fairlead exec --stack blog web-1", "fairlead instance return web-1 --stack blog"],
    ),
    (
        ("instance", "open", "web-1"),
        {
            "POST /stacks/blog/instances/web-1/open": answer(
                instance="web-1", url="http://127.0.0.1:9/?x=y", port=9, until="2026-11-21T09:00:00Z"
            )
        },
        ["fairlead instance close web-1 --stack blog"],
    ),
    (
        ("jobs", "run", "nightly", "--detach"),
        {"POST /stacks/blog/jobs/nightly": {"run": answer(id="nightly.job-1")}},
        ["fairlead jobs", "fairlead logs --job nightly --stack blog --follow"],
    ),
    (
        ("jobs",),
        {
            "GET /jobs": {
                "jobs": [
                    {
                        "stack": "blog", "job": "nightly", "service": "web", "schedule": "at 3", "last": None,
                        "next": None, "running": None,
                    }
                ]
            }
        },
        ["fairlead jobs run nightly --stack blog", "fairlead logs --job nightly --stack blog"],
    ),
    (
        ("status",),
        {},
        ["fairlead check --stack blog", "fairlead logs --stack blog --follow", "fairlead down --stack blog"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "answers", "expected"), SAYS, ids=lambda value: " ".join(value)[:30])
def test_what_comes_next_names_the_stack_when_there_are_several_and_not_in_its_own_folder(
    fairlead: Fairlead, home: Layout, arguments: tuple[str, ...], answers: dict[str, Any], expected: list[str]
) -> None:
    keep(home, "blog", "shop")
    with serving(home, {**STATUS, **answers}):
        assert next_of(fairlead(*arguments, "--stack", "blog")) == expected
        Path("fairlead.yaml").write_text("name: blog\n")
        assert next_of(fairlead(*arguments, "--stack", "blog")) == [
            command.replace(" --stack blog", "") for command in expected
        ]


def test_after_an_up_the_stack_is_named_when_another_is_up_too(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "blog", "shop")
    Path("site").mkdir()
    Path("site/fairlead.yaml").write_text("name: blog\n")
    with serving(home, {"POST /stacks": done(changed=True, summary=[], urls=[])}):
        expected = ["fairlead status", "fairlead check --stack blog", "fairlead logs --stack blog --follow"]
        assert next_of(fairlead("up", "site")) == expected


def test_the_status_of_several_stacks_shows_what_to_do_about_the_one_that_is_understood(
    fairlead: Fairlead, home: Layout
) -> None:
    keep(home, "blog", "shop")
    both = {"GET /status": status_of(BLOG, a_stack("shop", SERVED))}
    with serving(home, both):
        assert next_of(fairlead("status"))[0] == "fairlead check --stack blog"
        Path("fairlead.yaml").write_text("name: shop\n")
        assert next_of(fairlead("status"))[0] == "fairlead check"
    with serving(home, STATUS):
        Path("fairlead.yaml").write_text("name: blog\n")
        assert next_of(fairlead("status")) == ["fairlead events", "fairlead logs --stack shop"]


def test_an_error_that_names_a_command_names_the_stack_too(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "blog", "shop")
    with serving(home, {"GET /status": status_of(a_stack("blog"))}):
        assert next_of(fairlead("exec", "--stack", "blog", "web")) == ["fairlead run --stack blog web"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "fairlead up PATH"),
        ("fairlead.yaml", "fairlead up"),
        ("site/fairlead.yaml", "fairlead up site"),
        ("my site/fairlead.yaml", "fairlead up 'my site'"),
        ("site/other.yaml", "fairlead up site/other.yaml"),
        ("/elsewhere/fairlead.yaml", "fairlead up /elsewhere"),
    ],
)
def test_the_up_that_is_shown_finds_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert up_command(str(tmp_path / path) if path else "") == said
    (tmp_path / "fairlead.yaml").write_text("name: blog\n")
    assert up_command() == "fairlead up"


def test_after_a_down_the_file_that_it_came_from_is_named(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "blog", path=str(Path.cwd() / "site/fairlead.yaml"))
    statuses = iter([status_of(BLOG), status_of()])
    answers = {"GET /status": lambda _: next(statuses), "DELETE /stacks/blog": done(), "GET /data": {"data": []}}
    with serving(home, answers):
        assert next_of(fairlead("down"))[0] == "fairlead up site"


def test_after_a_down_of_everything_each_file_is_named(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "blog", path=str(Path.cwd() / "site/fairlead.yaml"))
    keep(home, "shop", path="/srv/shop/fairlead.yaml")
    with serving(home, {"POST /shutdown": done(stack="")}):
        assert next_of(fairlead("down", "--all")) == ["fairlead up site", "fairlead up /srv/shop"]


def test_logs_without_a_name_are_of_the_stack_that_is_up(fairlead: Fairlead, home: Layout) -> None:
    for stack in ("blog", "shop"):
        folder = Path(home.instances(stack)) / "web-1"
        folder.mkdir(parents=True)
        (folder / "log").write_text(f"{stack}\n")
    assert "it is not clear which stack is meant: this home has blog, shop" in fairlead("logs").err
    keep(home, "shop")
    assert fairlead("logs").out == "web-1 | shop\n"
    assert fairlead("logs", "--stack", "blog").out == "web-1 | blog\n"
    Path("fairlead.yaml").write_text("name: blog\n")
    assert fairlead("logs").out == "web-1 | blog\n"


def test_what_comes_next_is_about_the_home_that_was_named(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {**STATUS, "POST /stacks/blog/restart": done()}):
        shown = fairlead("restart", "--stack", "blog", "--home", home.home)
        assert next_of(shown) == [f"fairlead --home {home.home} status", f"fairlead --home {home.home} events"]
        shown = fairlead("--home", home.home, "check", "nosuch")
        assert next_of(shown) == [f"fairlead --home {home.home} status"]
        assert next_of(fairlead("check", "nosuch")) == ["fairlead status"]
