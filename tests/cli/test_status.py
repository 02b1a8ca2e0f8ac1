"""`fairlead status`: the contract passes untouched, and the table says it to people."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from fairlead.cli import output
from fairlead.cli.screen import frame
from fairlead.cli.status_table import HEADINGS, View, table
from fairlead.core.layout import Layout
from fairlead.errors import NotFound
from tests.cli.conftest import Fairlead
from tests.cli.scripted import Refuse, a_stack, an_instance, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
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
    refusal = Refuse(NotFound("there is no stack 'shop'", "this home has host-date"), 404)
    with serving(home, {"GET /status": refusal}) as daemon:
        shown = fairlead("status", "shop")
    assert daemon.asked[-1].query["stack"] == "shop"
    assert (shown.status, shown.err) == (2, "error: there is no stack 'shop': this home has host-date\n")


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


def test_what_was_done_by_hand_is_marked(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack(
        instances=(
            an_instance("web-1", drained=True, protected=True, condemned=""),
            an_instance("web-2", drained=False, protected=False, condemned="terminated by hand"),
            an_instance("web-3", drained=False, protected=False, condemned=""),
        )
    )
    stack["services"][0] |= {"desired": 3, "declared": 2, "min": 3, "max": 3, "serves": True, "explanation": ""}
    with serving(home, {"GET /status": status_of(stack)}):
        lines = fairlead("status").out.splitlines()
    assert lines[2] == "  web  release 1, 3 of 3 healthy (3, set by hand; the file says 2)"
    assert lines[5] == "      drained by hand: it gets no new request; protected from scale-in"
    assert lines[7] == "      to be replaced: terminated by hand"
    assert lines[8].split()[0] == "web-3"
    assert lines[9] == ""


def test_a_worker_runs_and_has_no_address(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack(instances=(an_instance("web-1", address=""), an_instance("web-2", address="")))
    stack["services"][0] |= {"serves": False, "declared": 2}
    with serving(home, {"GET /status": status_of(stack)}):
        lines = fairlead("status").out.splitlines()
    assert lines[2] == "  web  worker, release 1, 2 of 2 running (min 2, max 2)"
    assert lines[4].endswith(" -")


def test_a_service_that_waits_says_for_what(fairlead: Fairlead, home: Layout) -> None:
    stack = a_stack()
    stack["services"][0]["explanation"] = "waits for db to be healthy"
    with serving(home, {"GET /status": status_of(stack)}):
        lines = fairlead("status").out.splitlines()
    assert lines[2:4] == ["  web  release 1, 0 of 2 healthy (min 2, max 2)", "    waits for db to be healthy"]


@pytest.mark.parametrize(
    ("address", "said"), [("0.0.0.0", ", also for other machines (0.0.0.0)"), ("127.0.0.1", ""), ("::1", "")]
)
def test_a_listener_that_others_can_reach_says_so(fairlead: Fairlead, home: Layout, address: str, said: str) -> None:
    stack = a_stack()
    stack["listeners"][0]["address"] = address
    with serving(home, {"GET /status": status_of(stack)}):
        assert fairlead("status").out.splitlines()[1] == f"  http://127.0.0.1:8080  HTTP{said}"


def test_jobs_firing_alarms_and_what_is_not_enforced_are_named(fairlead: Fairlead, home: Layout) -> None:
    alarms = [{"alarm": "unhealthy_targets above 0", "text": "unhealthy_targets above 0, since 03:12"}]
    stack = {**a_stack(), "jobs": 3, "alarms": alarms, "unenforced": ["services.web.resources"]}
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("status").out
    assert "  jobs: 3  (`fairlead jobs` shows their runs)\n" in shown
    assert "  alarm: unhealthy_targets above 0, since 03:12\n" in shown
    assert "  not enforced by engine local: services.web.resources\n" in shown


def test_targets_that_fairlead_does_not_run_have_no_release_process_or_uptime(fairlead: Fairlead, home: Layout) -> None:
    nobodys = {"pid": None, "release": None, "runs": False, "address": "10.0.0.7:9000"}
    sick = {"health": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out"}
    stack = a_stack(instances=(an_instance("api-1", **nobodys), an_instance("api-2", **nobodys, **sick)))
    stack["services"][0] |= {"name": "api", "release": None, "runs": False, "declared": 2}
    with serving(home, {"GET /status": status_of(stack)}):
        lines = fairlead("status").out.splitlines()
    assert lines[2] == "  api  routed to, not run, 1 of 2 healthy"
    assert lines[4].split() == ["api-1", "in_service", "healthy", "-", "a", "-", "-", "10.0.0.7:9000"]
    assert lines[6] == "      Target.Timeout: Request timed out"


def test_what_is_next_when_a_target_is_ill_that_has_no_logs(fairlead: Fairlead, home: Layout) -> None:
    sick = {"health": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out", "runs": False}
    stack = a_stack(instances=(an_instance("api-1", **sick),))
    stack["services"][0] |= {"name": "api", "release": None, "runs": False}
    with serving(home, {"GET /status": status_of(stack)}):
        assert "next: fairlead explain api --stack host-date  |  fairlead events\n" in fairlead("status").err
    with serving(home, {"GET /status": status_of(stack, a_stack("shop"))}):
        assert "next: fairlead events  |  fairlead logs\n" in fairlead("status").err
    well = a_stack("shop", instances=(an_instance("web-1"), an_instance("web-2")))
    with serving(home, {"GET /status": status_of(well, stack)}):
        assert "next: fairlead explain api --stack host-date  |  fairlead events\n" in fairlead("status").err


def test_without_health_checks_the_service_says_so_and_all_is_well(fairlead: Fairlead, home: Layout) -> None:
    unasked = {"health": "unavailable", "reason": "Target.HealthCheckDisabled", "explanation": "no health checks"}
    described = "Health checks are disabled"
    stack = a_stack(instances=tuple(an_instance(f"web-{n}", **unasked, description=described) for n in (1, 2)))
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("status")
    lines = shown.out.splitlines()
    assert lines[2] == "  web  release 1, 2 of 2 in rotation, no health checks (min 2, max 2)"
    assert [line.split()[2] for line in lines[4:6]] == ["unavailable", "unavailable"]
    assert lines[6] == ""
    assert "next: fairlead check" in shown.err


def test_an_instance_that_is_anomalous_or_open_is_marked_and_the_token_is_nowhere(
    fairlead: Fairlead, home: Layout
) -> None:
    opened = {"port": 40001, "until": "2026-11-21T12:00:00Z"}
    calm, odd = an_instance("web-1", anomalous=False, opened=None), an_instance("web-2", anomalous=True, opened=opened)
    with serving(home, {"GET /status": status_of(a_stack(instances=(calm, odd)))}):
        lines = fairlead("status").out.splitlines()
    marks = "anomalous, gets fewer requests; open on 127.0.0.1:40001 until 2026-11-21 12:00:00Z"
    assert [line for line in lines if line.startswith("      ")] == [f"      {marks}"]


FIGURES = {
    "requests_per_second": 34.2, "error_rate": 0.004, "p50": 0.0119, "p95": 0.0384, "outstanding": 0.6, "cpu": 40.3,
    "memory": 12.0,
}  # fmt: skip
NO_FIGURES = dict.fromkeys(FIGURES)


def a_measured_stack() -> dict[str, object]:
    """A service of which one instance is told nothing about, a worker, and one that is not run."""
    instances = (
        an_instance("web-1", figures=FIGURES, release=1),
        an_instance("web-2", figures={**FIGURES, "error_rate": 0.12}),
        an_instance("web-3", figures=NO_FIGURES),
    )
    stack = a_stack("shop", instances)
    web = stack["services"][0] | {"figures": FIGURES}
    worker = an_instance("worker-1", figures={**NO_FIGURES, "cpu": 3.2, "memory": 0.4}, address="")
    api = an_instance("api-1", figures=FIGURES, address="10.0.0.7:9000", pid=None, release=None, runs=False, zone="")
    none = {"figures": NO_FIGURES}
    stack["services"] = [
        web,
        {**web, "name": "worker", "serves": False, "instances": [worker], **none},
        {**web, "name": "api", "runs": False, "release": None, "instances": [api], **none},
    ]
    return stack


def columns(picture: str) -> list[list[str]]:
    return [line.split() for line in picture.splitlines() if line.strip().startswith("INSTANCE")]


def test_how_services_and_instances_did_of_late_is_shown(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": status_of(a_measured_stack())}):
        shown = fairlead("status").out
    lines = shown.splitlines()
    assert lines[3] == "    last 10 s: 34 requests/s, 0.4% errors, p95 38 ms, cpu 40%, memory 12%"
    assert re.search(r"^    web-1 .* 34\.2 +0\.4% +38\.4 ms +40\.3% +12% +1234 ", shown, re.MULTILINE)
    assert re.search(r"^    web-3 .* - +- +- +- +- +1234 ", shown, re.MULTILINE)
    assert shown.count("last 10 s") == 1
    assert columns(shown) == [
        ["INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "REQ/S", "ERRORS", "P95", "CPU", "MEMORY", "PID", "ADDRESS"],
        ["INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "CPU", "MEMORY", "PID", "ADDRESS"],
        ["INSTANCE", "STATE", "HEALTH", "RELEASE", "ZONE", "UPTIME", "REQ/S", "ERRORS", "P95", "PID", "ADDRESS"],
    ]  # fmt: skip


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def drawn(width: int | None, *, colour: bool = False) -> str:
    return "\n".join(table(status_of(a_measured_stack()), View(NOON, colour, width)))


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (None, set()),
        (139, set()),
        (120, {"ADDRESS"}),
        (99, {"ADDRESS", "ZONE"}),
        (79, {"ADDRESS", "ZONE", "RELEASE", "MEMORY"}),
        (20, {"ADDRESS", "ZONE", "RELEASE", "MEMORY", "CPU", "UPTIME", "PID"}),
    ],
)
def test_on_a_narrow_terminal_the_columns_that_matter_least_are_left_out(width: int | None, left_out: set[str]) -> None:
    assert set(HEADINGS) - set(columns(drawn(width))[0]) == left_out
    if width is not None and width > 60:
        assert all(len(line) <= width for line in drawn(width).splitlines())


def test_of_targets_of_others_the_address_is_kept_longest(fairlead: Fairlead, home: Layout) -> None:
    assert columns(drawn(72))[2] == ["INSTANCE", "STATE", "HEALTH", "REQ/S", "ERRORS", "P95", "ADDRESS"]


def test_during_a_deployment_the_release_is_kept_longest() -> None:
    stack = a_measured_stack()
    stack["services"][0]["instances"][2]["release"] = 2  # type: ignore[index]
    shown = "\n".join(table(status_of(stack), View(NOON, False, 79)))
    assert columns(shown)[0] == ["INSTANCE", "STATE", "HEALTH", "RELEASE", "REQ/S", "ERRORS", "P95", "PID"]


def test_errors_that_matter_are_red() -> None:
    shown = drawn(None, colour=True)
    assert "\x1b[31m12%" in shown
    assert shown.count("\x1b[31m") == 1


def test_figures_that_are_no_numbers_are_not_known() -> None:
    stack = a_stack(
        "shop", (an_instance(figures={"cpu": "\x1b", "p95": None, "error_rate": True, "memory": float("nan")}),)
    )
    shown = "\n".join(table(status_of(stack), View(NOON, False)))
    assert re.search(r"^    web-1 .* - +- +- +- +- +1234 ", shown, re.MULTILINE)


def a_certificate(*names: str, days: float = 300, **changes: object) -> dict[str, object]:
    until = datetime.now(UTC) + timedelta(days=days)
    stamp = until.replace(microsecond=0).isoformat().replace("+00:00", "Z")
    return {"names": list(names), "expires_at": stamp, "file": "/etc/a.pem", "problem": "", **changes}


def listener_lines(fairlead: Fairlead, home: Layout, *certificates: dict[str, object]) -> tuple[list[str], str]:
    """What the table shows of an HTTPS listener with two rules, without stamps, and what is said to be next."""
    stack = a_stack()
    stack["services"] = []
    https = {"url": "https://127.0.0.1:8443", "protocol": "HTTPS", "rules": 2, "certificates": list(certificates)}
    stack["listeners"][0] |= https
    with serving(home, {"GET /status": status_of(stack)}):
        shown = fairlead("status")
    return re.sub(r"\d{4}-\S+ \S+Z", "TIME", shown.out).splitlines()[1:-3], shown.err


def test_a_listener_shows_its_rules_and_its_certificates(fairlead: Fairlead, home: Layout) -> None:
    ours = a_certificate("localhost", days=3, file="")
    lines, err = listener_lines(fairlead, home, a_certificate("a.test", "b.test", "c.test", "d.test"), ours)
    assert lines == [
        "  https://127.0.0.1:8443  HTTPS, 2 rules",
        "    certificate for a.test, b.test, c.test, ..., valid until TIME",
        "    certificate for localhost (development CA), valid until TIME",
    ]
    assert "next: fairlead check" in err


def test_of_the_development_ca_the_hosts_that_the_rules_name_are_shown_first(fairlead: Fairlead, home: Layout) -> None:
    names = ("localhost", "*.localhost", "vm", "127.0.0.1", "::1", "shop.test", "*.shop.test")
    lines, _ = listener_lines(fairlead, home, a_certificate(*names, file=""))
    assert lines[1].startswith("    certificate for shop.test, *.shop.test, localhost, ... (development CA), ")


def test_certificates_that_need_somebody_are_shown_however_many_there_are(fairlead: Fairlead, home: Layout) -> None:
    well = [a_certificate(f"{n}.test") for n in range(5)]
    wrong = a_certificate("wrong.test", problem="/etc/a.pem: the key is another one's")
    soon, over = a_certificate("soon.test", days=5.51), a_certificate("over.test", days=-1)
    lines, err = listener_lines(fairlead, home, *well, wrong, soon, over)
    assert lines[4:] == [
        "    certificate for wrong.test, valid until TIME",
        "      problem: /etc/a.pem: the key is another one's",
        "    certificate for soon.test, valid until TIME, in 5d12h",
        "    certificate for over.test, expired TIME",
        "    2 more certificates",
    ]
    assert "next: fairlead events" in err


@pytest.mark.parametrize("seconds", ["0", "shop", "nan", "1e9"])
def test_watch_wants_a_number_of_seconds(fairlead: Fairlead, seconds: str) -> None:
    assert fairlead("status", "--watch", seconds).status == 2


def test_watching_a_stack_that_is_not_there_is_exit_2(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"GET /status": Refuse(NotFound("no stack 'shop'"), 404)}):
        shown = fairlead("status", "shop", "--watch")
    assert (shown.status, shown.out) == (2, "")


def test_a_frame_fits_the_terminal_and_leaves_nothing_of_the_one_before() -> None:
    drawn = frame(["\x1b[1mabcdef\x1b[0m", "x", "y", "z"], width=4, height=4)
    assert drawn == ("\x1b[H\x1b[1mabc\x1b[0m\x1b[K\nx\x1b[K\n..." + "\x1b[K\n\x1b[J")
    assert frame(["a"], 80, 24) == "\x1b[Ha\x1b[K\n\x1b[J"


@pytest.mark.live
def test_watch_draws_in_place_and_ctrl_c_restores_the_terminal(home: Layout) -> None:
    answers = itertools.chain([status_of(a_stack())] * 3, itertools.repeat(status_of(a_stack("other"))))
    environment = {"FAIRLEAD_HOME": home.home, "TERM": "xterm", "NO_COLOR": "1"}
    with (
        serving(home, {"GET /status": lambda _: next(answers)}),
        Terminal(fairlead_argv("status", "--watch", "0.2"), environment) as terminal,
    ):
        first = terminal.wait_for(
            r"\x1b\[\?25l\x1b\[2J\x1b\[H[\d:]{8}  every 0\.2 s, Ctrl-C ends it\x1b\[K(.|\n)+?\x1b\[J"
        )
        assert "host-date  (engine local)\x1b[K" in first
        second = terminal.wait_for(r"\x1b\[Hother(.|\n)+?\x1b\[J|\x1b\[H(.|\n)+?other(.|\n)+?\x1b\[J")
        # Only the first frame clears the screen: the others are written over what is there.
        assert "\x1b[2J" not in second
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "\x1b[?25h" in terminal.written


@pytest.mark.live
def test_watch_without_a_terminal_prints_once_per_change(home: Layout) -> None:
    looks = [
        status_of(a_stack(instances=(an_instance(explanation="checked 1 s ago", figures={"cpu": 1.0}),))),
        status_of(a_stack(instances=(an_instance(explanation="checked 2 s ago", figures={"cpu": 2.0}),))),
        status_of(a_stack(instances=(an_instance(health="unhealthy", explanation="checked 3 s ago"),))),
    ]
    # The first look only finds out whether the question makes sense.
    answers = itertools.chain(looks[:1], looks, itertools.repeat(looks[-1]))
    with serving(home, {"GET /status": lambda _: next(answers)}) as daemon:
        environment = {**os.environ, "FAIRLEAD_HOME": home.home}
        command = fairlead_argv("status", "--json", "--watch", "0.2")
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
        ) as one:
            assert one.stdout is not None
            seen = [json.loads(one.stdout.readline()) for _ in range(2)]
            one.send_signal(signal.SIGINT)
            rest, _ = one.communicate(timeout=10)
    healths = [answer["stacks"][0]["services"][0]["instances"][0]["health"] for answer in seen]
    assert (healths, rest, one.returncode) == (["healthy", "unhealthy"], "", 130)
    assert len(daemon.paths_asked()) >= 4


CONTRACT = {
    "": {"stacks", "balancer", "daemon"},
    "stack": {"name", "engine", "listeners", "services", "resources", "jobs", "unenforced", "alarms"},
    "listener": {"url", "protocol", "address", "port", "rules", "certificates"},
    "certificate": {"names", "expires_at", "file", "problem"},
    "service": {
        *("name", "release", "serves", "runs", "desired", "declared", "min", "max", "instances", "figures"),
        *("suspended", "scaling", "resources", "needs"),
    },
    "scaling": {
        *("minimum", "desired", "maximum", "declared", "by_hand", "reason", "at", "held"),
        *("policies", "schedule", "warm_pool", "would"),
    },
    "policy": {"name", "metric", "kind", "level", "value", "state", "wants", "capacity", "text"},
    "scheduled action": {"name", "next", "text"},
    "warm pool": {"size", "ready", "starting"},
    "instance": {
        *("id", "pid", "address", "release", "state", "health", "reason", "description", "started_at", "zone"),
        *("drained", "standby", "pooled", "protected", "condemned", "runs", "anomalous", "opened", "figures"),
    },
    "figures": {"requests_per_second", "error_rate", "p50", "p95", "outstanding", "cpu", "memory"},
    "opening": {"port", "until"},
    "need": {"id", "state", "why"},
    "resource": {
        *("id", "kind", "engine", "state", "declared", "host", "port", "program", "since", "why", "used_by"),
        "settings",
    },
    "program": {"name", "version", "source", "package", "built", "path"},
    "node": {"pid", "version", "state", "problem"},
    "daemon": {"pid", "version", "recording"},
}
"""Every key, by level. None is ever taken away."""


def levels(answer: dict) -> dict[str, set[str]]:
    stack = answer["stacks"][0]
    service = stack["services"][0]
    return {
        "": set(answer),
        "stack": set(stack),
        "listener": set(stack["listeners"][0]),
        "certificate": set(stack["listeners"][0]["certificates"][0]),
        "service": set(service),
        "scaling": set(service["scaling"]),
        "policy": set(service["scaling"]["policies"][0]),
        "scheduled action": set(service["scaling"]["schedule"][0]),
        "warm pool": set(service["scaling"]["warm_pool"]),
        "instance": set(service["instances"][0]),
        "figures": set(service["instances"][0]["figures"]),
        "opening": set(service["instances"][0]["opened"]),
        "need": set(service["needs"][0]),
        "resource": set(stack["resources"][0]),
        "program": set(stack["resources"][0]["program"]),
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


@pytest.mark.live
def test_watching_ends_when_nobody_reads_though_nothing_changes(home: Layout) -> None:
    environment = {**os.environ, "FAIRLEAD_HOME": home.home}
    with serving(home, {"GET /status": status_of(a_stack("shop"))}):
        process = subprocess.Popen(
            fairlead_argv("status", "--watch", "0.2", "--json"), env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["stacks"]
        process.stdout.close()
        assert process.wait(timeout=30) == 141
