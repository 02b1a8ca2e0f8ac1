"""`fairlead metrics`: what is asked of the daemon, what is refused before, and the ways for other programs."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.core.layout import Layout
from fairlead.errors import FairleadError, NotFound, PortInUse
from fairlead.metrics.catalogue import METRICS
from tests.cli.conftest import Fairlead
from tests.cli.measured import a_series, a_service, an_answer
from tests.cli.measured import a_stack as of_the_stack
from tests.cli.scripted import Refuse, Request, Scripted, Text, a_stack, an_instance, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.cli.test_completion import answers, keep

METRICS_PATH = "GET /stacks/shop/metrics"


def measured(answer: Any = None, **more: Any) -> dict[str, Any]:
    """What a daemon with a stack `shop` says."""
    said = an_answer(of_the_stack(3), a_service([1.0, 2.0, 3.0])) if answer is None else answer
    listening = {"GET /metrics/listener": {"url": None}}
    return {"GET /status": status_of(a_stack("shop")), METRICS_PATH: said, **listening, **more}


def query(daemon: Scripted) -> dict[str, str]:
    return next(one.query for one in reversed(daemon.asked) if one.path.endswith("/shop/metrics"))


def seconds_ago(stamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


def test_the_last_five_minutes_are_asked_for_in_characters_that_fit(
    fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with serving(home, measured()) as daemon:
        shown = fairlead("metrics")
    asked = query(daemon)
    assert set(asked) == {"since", "period"}
    assert 300 <= seconds_ago(asked["since"]) < 330
    assert asked["period"] == "8"
    assert shown.status == 0
    assert re.search(r"^  requests/s   [▁▂▃▄▅▆▇█.:=+*#-]+ .* 6 total$", shown.out, re.MULTILINE)
    assert "next: fairlead metrics web  |  fairlead explain web  |  fairlead status\n" in shown.err


def test_a_service_and_a_span_are_passed_on(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, measured()) as daemon:
        shown = fairlead(
            "metrics", "web", "--zone", "a", "--since", "2026-11-20T10:00:00Z", "--until", "2026-11-20T12:00:00+01:00",
            "--period", "1m",
        )  # fmt: skip
    assert query(daemon) == {
        "service": "web", "zone": "a", "since": "2026-11-20T10:00:00.000Z", "until": "2026-11-20T11:00:00.000Z", "period": "60",
    }  # fmt: skip
    assert "next: fairlead logs web  |" in shown.err


def test_a_target_says_which_service_is_meant(fairlead: Fairlead, home: Layout) -> None:
    answer = an_answer(a_service([1.0], service="my-web", target="my-web-3"))
    with serving(home, measured(answer)) as daemon:
        shown = fairlead("metrics", "--target", "my-web-3")
    assert {key: query(daemon)[key] for key in ("service", "target")} == {"service": "my-web", "target": "my-web-3"}
    assert "\nmy-web-3  " in shown.out


def test_json_is_the_daemons_answer_and_its_period_the_daemons_choice(fairlead: Fairlead, home: Layout) -> None:
    said = an_answer(of_the_stack(3), a_service([1.0, None, 3.0], service="w\u00e9b"), incomplete=[1])
    with serving(home, measured(said)) as daemon:
        shown = fairlead("metrics", "--json")
    assert json.loads(shown.out) == said
    assert shown.out.isascii()
    assert (shown.status, shown.err) == (0, "")
    assert set(query(daemon)) == {"since"}


def test_json_has_only_the_metrics_that_are_named(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, measured()):
        shown = fairlead("metrics", "--json", "--metric", "requestcount", "--metric", "ActiveConnectionCount")
    named = [[one["name"] for one in series["metrics"]] for series in json.loads(shown.out)["series"]]
    assert named == [["ActiveConnectionCount"], ["RequestCount"]]


def test_where_a_prometheus_may_ask_stands_at_the_end(fairlead: Fairlead, home: Layout) -> None:
    url = "http://127.0.0.1:9464/metrics"
    with serving(home, measured(**{"GET /metrics/listener": {"url": url}})):
        assert fairlead("metrics").out.endswith(f"\nPrometheus: {url}\n")
    unknown = Refuse(FairleadError("GET /metrics/listener is not part of this API"), 404)
    with serving(home, measured(**{"GET /metrics/listener": unknown})):
        shown = fairlead("metrics")
    assert (shown.status, "Prometheus" in shown.out) == (0, False)


def test_a_time_of_which_nothing_is_known_is_said(fairlead: Fairlead, home: Layout) -> None:
    for nothing in (an_answer(), an_answer(a_series())):
        with serving(home, measured(nothing)):
            shown = fairlead("metrics")
        assert shown.status == 0
        assert "nothing was measured in that time" in shown.err


def test_without_a_daemon_it_says_what_becomes_of_the_past(fairlead: Fairlead, home: Layout) -> None:
    for words in (("metrics",), ("metrics", "--json"), ("metrics", "--watch")):
        shown = fairlead(*words)
        assert (shown.status, shown.out) == (1, "")
        assert f"there are no metrics to show: no daemon runs in {home.home}, because no stack should" in shown.err
        assert "next: Bring a stack up" in shown.err
    for words in (("--prometheus",), ("--listen", "9464"), ("--no-listen",)):
        assert fairlead("metrics", *words).status == 1


def test_a_stack_that_is_down_is_shown_when_it_is_named(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "shop").close()
    with serving(home, {**measured(), "GET /status": status_of(a_stack("other"))}):
        assert fairlead("metrics", "--stack", "shop").status == 0
        assert fairlead("metrics", "--stack", "nosuch").status == 2


def test_what_the_daemon_does_not_know_is_exit_2(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, measured(Refuse(NotFound("there is no service 'wbe'", "did you mean 'web'?"), 404))):
        shown = fairlead("metrics", "wbe")
    assert (shown.status, shown.out) == (2, "")
    assert "did you mean 'web'?" in shown.err


def test_what_has_just_come_is_not_measured_yet(fairlead: Fairlead, home: Layout) -> None:
    never = Refuse(NotFound("no metrics of service web of stack shop", "nothing of that name was measured"), 404)
    with serving(home, {**measured(never), "GET /status": status_of(a_stack("shop", (an_instance("web-1"),)))}):
        shown = fairlead("metrics", "web")
        assert (shown.status, shown.out) == (1, "")
        assert "nothing is known of web yet: it has just come" in shown.err
        assert fairlead("metrics", "--target", "web-1").status == 1
        for words in (("wbe",), ("--target", "web-2"), ("web", "--zone", "z")):
            assert fairlead("metrics", *words).status == 2


def test_what_is_useful_next_names_the_stack_that_was_named(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, measured()):
        shown = fairlead("metrics", "web", "--stack", "shop")
    assert "next: fairlead logs web --stack shop  |  fairlead explain web --stack shop  |" in shown.err
    of_others = an_answer(a_service([1.0], used=[None]))
    with serving(home, measured(of_others)):
        assert "next: fairlead explain web  |  fairlead status\n" in fairlead("metrics", "web").err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "soon"), "--since 'soon' is no moment"),
        (("--until", "9999-01-01"), "--until '9999-01-01' lies ahead"),
        (("--since", "1m", "--until", "2m"), "--since is not before --until"),
        (("--period", "0.5s"), "--period '0.5s' is no whole number of seconds from 1s to 1d"),
        (("--period", "2d"), "--period '2d' is no whole number of seconds from 1s to 1d"),
        (("--period", "5"), "--period '5' is no length of time"),
        (("--metric", "RequestCuont"), "there is no metric 'RequestCuont'; did you mean RequestCount?"),
        (("--metric", "cpu"), "there is no metric 'cpu'; did you mean CPUUtilization?"),
        (("--listen", "shop.test:9464"), "'shop.test' is no address of this machine, such as 127.0.0.1"),
        (("--metric", "\x1b"), r"there is no metric '\x1b'; docs/reference/metrics.md has them all"),
        (("web", "--metric", "ActiveConnectionCount"), "there is no ActiveConnectionCount of web: it is a metric of a stack"),
        (("--target", "web-1", "--metric", "GroupDesiredCapacity"), "there is no GroupDesiredCapacity of web-1"),
        (("--zone", "a"), "--zone needs a service"),
        (("--watch", "web"), "a service's name stands before --watch"),
        (("--watch", "--until", "1m"), "--until and --watch cannot be given together"),
        (("--watch", "--prometheus"), "--prometheus and --watch cannot be given together"),
        (("--prometheus", "--json"), "--prometheus and --json cannot be given together"),
        (("--listen", "9464", "--no-listen"), "--listen and --no-listen cannot be given together"),
        (("--listen", "everywhere"), "--listen 'everywhere' is no address and port"),
        (("--listen", "127.0.0.1:70000"), "is no address and port"),
        (("--host", "metrics.test"), "--host says nothing without --listen"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...], says: str
) -> None:
    with serving(home, measured()) as daemon:
        shown = fairlead("metrics", *words)
    assert (shown.status, shown.out) == (2, "")
    assert says in shown.err
    assert METRICS_PATH not in daemon.paths_asked()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_can_be_named_where_it_exists(fairlead: Fairlead, home: Layout, metric: Any) -> None:
    words = [] if "stack" in metric.levels else ["web"]
    with serving(home, measured()):
        assert fairlead("metrics", *words, "--metric", metric.name).status == 0


def test_prometheus_text_is_printed_as_it_is(fairlead: Fairlead, home: Layout) -> None:
    text = '# HELP x y\nfairlead_requests_total{service="w\u00e9b"} 7.0\n'
    with serving(home, {"GET /metrics": Text(text)}):
        shown = fairlead("metrics", "--prometheus")
    assert (shown.status, shown.out, shown.err) == (0, text, "")


@pytest.mark.parametrize(
    ("written", "address", "port"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464),
        ("9464", "127.0.0.1", 9464),
        (":9464", "127.0.0.1", 9464),
        ("localhost:9464", "127.0.0.1", 9464),
        ("[::1]:9464", "::1", 9464),
    ],
)
def test_the_daemon_is_told_where_to_listen(
    fairlead: Fairlead, home: Layout, written: str, address: str, port: int
) -> None:
    said = {"url": "http://127.0.0.1:9464/metrics", "text": "metrics are answered at \x1b"}
    with serving(home, {"PUT /metrics/listener": said}) as daemon:
        shown = fairlead("metrics", "--listen", written, "--host", "Metrics.test")
    assert daemon.asked[-1].body == {"address": address, "port": port, "hosts": ["metrics.test"]}
    assert (shown.status, shown.out, shown.err) == (0, "", "metrics are answered at \\x1b\n")


def test_listening_ends_and_says_so_as_json_too(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"DELETE /metrics/listener": {"text": "no longer"}}) as daemon:
        shown = fairlead("metrics", "--no-listen", "--json")
    assert daemon.paths_asked() == ["DELETE /metrics/listener"]
    assert json.loads(shown.out) == {"text": "no longer"}


def test_a_port_that_is_taken_is_exit_1(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, {"PUT /metrics/listener": Refuse(PortInUse("port 9464 is taken"), 409)}):
        shown = fairlead("metrics", "--listen", "9464")
    assert (shown.status, shown.err) == (1, "error: port 9464 is taken\n")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_locale_decides_on_the_characters(home: Layout, locale: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "FAIRLEAD_HOME": home.home,
        "LANG": locale,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with serving(home, measured()):
        done = subprocess.run(fairlead_argv("metrics"), env=environment, capture_output=True, timeout=30, cwd=home.home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() is (locale == "C")


def test_nothing_heavy_is_imported(home: Layout) -> None:
    program = (
        "import sys; from fairlead.cli.main import run; status = run(['metrics', 'web', '--metric', 'RequestCount']);"
        "heavy = {'asyncio', 'pydantic', 'yaml', 'starlette', 'uvicorn', 'prometheus_client', 'sqlite3', 'shutil'};"
        "print(sorted(heavy & set(sys.modules))); sys.exit(status)"
    )
    with serving(home, measured()):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, cwd=home.home,
            env={**os.environ, "FAIRLEAD_HOME": home.home},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fairlead met", ["metrics"]),
        ("fairlead metrics w", ["web", "worker-2"]),
        ("fairlead metrics --metric TargetR", ["TargetResponseTime"]),
        ("fairlead metrics web --metric targetc", ["TargetConnectionErrorCount"]),
        ("fairlead metrics --metric RequestCount --metric cpu", ["CPUUtilization"]),
        ("fairlead metrics --target web-", ["web-1", "web-2"]),
    ],
)
def test_names_are_completed(home: Layout, line: str, expected: list[str]) -> None:
    keep(home, "shop").close()
    assert answers(home, line) == (expected, "")


@pytest.mark.live
def test_watch_draws_in_place_each_second_for_the_width_there_is(home: Layout) -> None:
    looks: list[Any] = []

    def answer(request: Request) -> Any:
        looks.append(request)
        return an_answer(a_service([1.0, float(len(looks))]))

    environment = {"FAIRLEAD_HOME": home.home, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "90", "LANG": "C"}
    with (
        serving(home, measured(answer)),
        Terminal(fairlead_argv("metrics", "web", "--watch", "0.2", "--since", "1m"), environment) as terminal,
    ):
        first = terminal.wait_for(r"\x1b\[\?25l\x1b\[2J\x1b\[H[\d:]{8}  every 0\.2 s, Ctrl-C ends it(.|\n)+?\x1b\[J")
        assert "requests/s" in first
        second = terminal.wait_for(r"\x1b\[H(.|\n)+?\x1b\[J")
        assert "\x1b[2J" not in second
        terminal.type("\x03")
        assert terminal.end() == 130
        assert "\x1b[?25h" in terminal.written
    assert len(looks) >= 3
    # The span moves on with the clock.
    assert looks[-1].query["since"] > looks[1].query["since"]


@pytest.mark.live
def test_watch_without_a_terminal_prints_each_change_and_waits_for_a_daemon_that_went_away(home: Layout) -> None:
    counts = itertools.count(1)

    def answer(_: Request) -> Any:
        # The first look only finds out whether the question makes sense.
        return an_answer(a_service([float(min(next(counts), 3))]))

    def values(line: str) -> Any:
        return json.loads(line)["series"][0]["metrics"][0]["values"]

    command = fairlead_argv("metrics", "--json", "--watch", "0.2", "--stack", "shop")
    environment = {**os.environ, "FAIRLEAD_HOME": home.home}
    with ExitStack() as ends:
        with serving(home, measured(answer)):
            pipe = subprocess.PIPE
            one = ends.enter_context(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
            assert one.stdout is not None
            assert [values(one.stdout.readline()) for _ in range(2)] == [[2.0], [3.0]]
        assert "no daemon runs" in json.loads(one.stdout.readline())["error"]
        with serving(home, measured(an_answer(a_service([9.0])))):
            assert values(one.stdout.readline()) == [9.0]
            one.send_signal(signal.SIGINT)
            rest, _ = one.communicate(timeout=10)
    assert (rest, one.returncode) == ("", 130)
