"""`fairlead status`: the contract passes untouched, and the table says it to people."""

from __future__ import annotations

import json
import re

import pytest

from fairlead.cli import output
from fairlead.core.layout import Layout
from fairlead.errors import NotFound
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, a_stack, an_instance, serving, status_of
from tests.cli.test_main import ROOT


def test_json_is_the_daemons_answer_untouched(fairlead: Fairlead, home: Layout) -> None:
    answer = status_of(a_stack(instances=(an_instance(),)))
    with serving(home, {"GET /status": answer}) as daemon:
        shown = fairlead("status", "--json")
    assert json.loads(shown.out) == answer
    assert (shown.status, shown.err) == (0, "")
    assert "explain" not in daemon.asked[-1].query


def test_without_a_daemon_and_with_nothing_to_run_it_answers_from_nothing(fairlead: Fairlead) -> None:
    shown = fairlead("status", "--json")
    assert json.loads(shown.out) == {"stacks": [], "balancer": {"nodes": []}, "daemon": None}
    assert fairlead("status").status == 0
    assert fairlead("status", "shop").status == 2


def test_the_table_shows_stacks_listeners_services_and_instances(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack(instances=(an_instance("web-1"), an_instance("web-2", pid=None)))
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("status")
    lines = shown.out.splitlines()
    assert lines[0] == "host-date  (engine local)"
    assert lines[1] == "  http://127.0.0.1:8080  HTTP"
    assert lines[2] == "  web  release 1, 2 of 2 healthy (min 2, max 2)"
    assert lines[3].split() == ["INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "PID", "ADDRESS"]
    assert re.fullmatch(r"    web-1 +in_service +healthy +1 +a +\S+ +1234 +unix:/run/x/http.sock", lines[4])
    assert re.fullmatch(r"    web-2 +in_service +healthy +1 +a +\S+ +- +unix:/run/x/http.sock", lines[5])
    assert "balancer: HAProxy 2.8.25, pid 77, running" in lines
    assert lines[-1].startswith("daemon: fairlead ")
    assert "next: fairlead check" in shown.err


def test_an_unhealthy_instance_is_shown_with_reason_description_and_explanation(
    fairlead: Fairlead, home: Layout
) -> None:
    sick = an_instance(
        health="unhealthy",
        reason="Target.Timeout",
        description="Request timed out",
        explanation="the last 3 checks of /health timed out after 2 s",
    )
    with serving(home, {"GET /status": status_of(a_stack(instances=(sick,)))}) as daemon:
        shown = fairlead("status")
    assert "      Target.Timeout: Request timed out\n" in shown.out
    assert "      the last 3 checks of /health timed out after 2 s\n" in shown.out
    assert "0 of 2 healthy" in shown.out
    assert "next: fairlead events" in shown.err
    assert daemon.asked[-1].query == {"explain": "1"}
    assert shown.status == 0


def test_a_stack_can_be_named_and_one_that_is_not_there_is_exit_2(fairlead: Fairlead, home: Layout) -> None:
    refusal = Refuse(NotFound("no stack 'shop'", "there are: host-date"), 404)
    with serving(home, {"GET /status": refusal}) as daemon:
        shown = fairlead("status", "shop")
    assert daemon.asked[-1].query["stack"] == "shop"
    assert (shown.status, shown.err) == (2, "error: no stack 'shop': there are: host-date\n")


def test_what_others_wrote_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    evil = "x\x1b[2J\n\ty\u202e"
    stack = a_stack(evil, (an_instance(evil, description=evil, reason=evil, address=evil, health=evil, zone=evil),))
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("status")
    assert "\x1b" not in shown.out + shown.err
    assert "\u202e" not in shown.out
    assert "\t" not in shown.out


def test_colour_is_for_terminals_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.coloured(Terminal())  # type: ignore[arg-type]
    assert not output.coloured(None)
    monkeypatch.setenv("TERM", "dumb")
    assert not output.coloured(Terminal())  # type: ignore[arg-type]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not output.coloured(Terminal())  # type: ignore[arg-type]


CONTRACT = {
    "": {"stacks", "balancer", "daemon"},
    "stack": {"name", "engine", "listeners", "services", "resources"},
    "listener": {"url", "protocol", "port"},
    "service": {"name", "release", "desired", "min", "max", "instances"},
    "instance": {
        *("id", "pid", "address", "release", "state", "health", "reason", "description", "started_at", "zone"),
    },
    "node": {"pid", "version", "state"},
    "daemon": {"pid", "version"},
}
"""The keys of issue 3, by level."""


def levels(answer: dict) -> dict[str, set[str]]:
    stack = answer["stacks"][0]
    service = stack["services"][0]
    return {
        "": set(answer),
        "stack": set(stack),
        "listener": set(stack["listeners"][0]),
        "service": set(service),
        "instance": set(service["instances"][0]),
        "node": set(answer["balancer"]["nodes"][0]),
        "daemon": set(answer["daemon"]),
    }


def test_the_documented_example_has_the_contracts_keys_and_each_key_is_explained(
    fairlead: Fairlead, home: Layout
) -> None:
    with open(f"{ROOT}/docs/reference/status.md", encoding="utf-8") as file:
        page = file.read()
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    assert levels(example) == CONTRACT
    for level, keys in CONTRACT.items():
        for key in keys:
            assert f"`{key}`" in page, f"{level}.{key} is not explained"
    with serving(home, {"GET /status": example}):
        assert "host-date" in fairlead("status").out
