"""`fairlead simulate`: a load is tried on the file of the folder, no daemon is needed, and nonsense is answered."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import simulate_asked
from fairlead.cli.simulate_asked import app_of, changes_of, moment_of, variants
from fairlead.core.layout import Layout
from fairlead.errors import NotFound
from fairlead.simulate.app import App
from fairlead.simulate.load import Load
from tests.cli.conftest import Fairlead
from tests.cli.measured import an_answer
from tests.cli.scripted import Refuse, a_stack, serving, status_of

FILE = """
name: shop
services:
  web:
    app: "app:app"
    resources: {cpu: 0.5}
    scaling:
      min: 2
      max: 8
      policies:
        - target: {metric: requests_per_target, value: 70}
  worker: {command: "sleep 1", port: none}
"""

MEASURED = {"capacity": 120, "service_time": 0.01, "start_time": 1.5, "cpu_per_request": 0.002, "cpu_idle": 0.01}


@pytest.fixture
def folder(fairlead: Fairlead, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder in which commands run, with a fairlead.yaml."""
    monkeypatch.setenv("COLUMNS", "80")
    here = Path.cwd()
    (here / "fairlead.yaml").write_text(FILE)
    return here


def test_a_load_is_drawn_told_and_explained_without_a_daemon(fairlead: Fairlead, folder: Path) -> None:
    shown = fairlead("simulate", "--load", "step:50-500/10m", "--at", "2026-11-27")
    assert shown.status == 0
    assert re.match(r"web  10 min from 2026-11-27 00:00:00 \S+, 2\.\.8 instances, a column is 12 s\n", shown.out)
    assert "\nrequests     165k: none lost\n" in shown.out
    assert "targets      requests_per_target at 70/s: above for 5 s\n" in shown.out
    assert "decisions    1 out, 0 in, no flapping\n" in shown.out
    assert re.search(
        r"^     5m03s  2 -> 8    requests_per_target was 250/s, above 70/s for 3 s:$", shown.out, re.MULTILINE
    )
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "\x1b" not in shown.out + shown.err
    assumed = "assumed, not measured: 100 requests/s an instance, 50 ms a request, 2 s to start, 100% of its cpu"
    assert assumed in shown.err
    assert "next: fairlead drill capacity web --json > capacity.json\n" in shown.err


def test_changed_files_stand_beside_the_file(fairlead: Fairlead, folder: Path) -> None:
    shown = fairlead(
        "simulate", "web", "--load", "step:50-500/10m", "--set", "services.web.scaling.max=4", "--set",
        "services.web.scaling.min=4,services.web.scaling.warm_pool=2",
    )  # fmt: skip
    assert shown.status == 0
    assert "  A  the file\n  B  max=4\n  C  min=4, warm_pool=2\n" in shown.out
    assert re.search(r"^  most instances +8 +4 +8$", shown.out, re.MULTILINE)
    assert "\ndecisions of max=4\n" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


def test_json_has_every_variant_with_its_timeline(fairlead: Fairlead, folder: Path) -> None:
    words = ("--load", "step:50-500/10m", "--set", "services.web.scaling.max=6", "--at", "2026-11-27T08:00Z", "--json")
    shown = fairlead("simulate", *words)
    said = json.loads(shown.out)
    assert (shown.status, shown.err) == (0, "")
    assert (said["service"], said["began"], said["recorded"]) == ("web", "2026-11-27T08:00:00Z", False)
    assert said["model"]["capacity"] == 100
    first, second = said["variants"]
    assert [first["name"], second["name"], second["changes"]] == ["the file", "max=6", ["services.web.scaling.max=6"]]
    assert first["summary"]["most_instances"] == 8
    assert second["summary"]["timed_out"] == 0 < second["summary"]["queued"]
    assert first["decisions"][0].items() >= {"second": 303, "before": 2, "desired": 8, "undoes": False}.items()
    assert (first["period"], len(first["timeline"]["load"])) == (1, 600)
    assert json.loads(fairlead("simulate", *words).out) == said


def test_a_long_simulation_is_told_in_periods(fairlead: Fairlead, folder: Path) -> None:
    said = json.loads(fairlead("simulate", "--load", "constant:10/1h", "--json").out)
    assert said["variants"][0]["period"] == 4
    assert len(said["variants"][0]["timeline"]["load"]) == 900


def test_what_a_drill_measured_is_the_model_and_nothing_is_assumed(fairlead: Fairlead, folder: Path) -> None:
    (folder / "capacity.json").write_text(json.dumps(MEASURED))
    shown = fairlead("simulate", "--load", "step:50-500/10m", "--capacity", "capacity.json")
    assert shown.status == 0
    assert "assumed" not in shown.err
    said = json.loads(fairlead("simulate", "--load", "constant:1/5s", "--capacity", "capacity.json", "--json").out)
    assert said["model"] == {**MEASURED, "assumed": []}


def test_a_csv_is_a_load_with_its_gaps(fairlead: Fairlead, folder: Path) -> None:
    (folder / "t.csv").write_text("at,rate\n2026-11-27T08:00:00Z,10\n2026-11-27T08:01:00Z,\n2026-11-27T08:02:00Z,20\n")
    shown = fairlead("simulate", "--load", "t.csv")
    assert "note: of 1 min nobody knows what came" in shown.err
    said = json.loads(fairlead("simulate", "--load", "t.csv", "--json").out)
    assert (said["began"], said["recorded"]) == ("2026-11-27T08:00:00Z", True)
    (folder / "bad.csv").write_text("0,1\n1,many\n")
    refused = fairlead("simulate", "--load", "bad.csv")
    assert (refused.status, refused.out) == (2, "")
    assert "bad.csv:2 is no load: 'many' is no number of requests per second" in refused.err


def a_recording(counts: list[float | None]) -> dict[str, Any]:
    metrics = [{"name": "RequestCount", "unit": "Count", "statistic": "Sum", "values": counts}]
    return an_answer({"service": "web", "zone": None, "target": None, "metrics": metrics, "summary": {}}, period=60)


def test_recorded_traffic_comes_from_the_daemon(fairlead: Fairlead, home: Layout, folder: Path) -> None:
    answer = a_recording([6000.0, None, 18000.0])
    with serving(home, {"GET /status": status_of(a_stack("shop")), "GET /stacks/shop/metrics": answer}) as daemon:
        shown = fairlead("simulate", "web", "--from", "2026-11-20T10:00:00Z", "--to", "2026-11-20T10:03:00Z", "--json")
    asked = next(one.query for one in daemon.asked if one.path.endswith("/metrics"))
    assert asked == {"service": "web", "since": "2026-11-20T10:00:00.000Z", "until": "2026-11-20T10:03:00.000Z"}
    said = json.loads(shown.out)
    assert (said["began"], said["recorded"]) == (answer["start"], True)
    assert said["variants"][0]["summary"]["requests"] == 24_000
    assert said["variants"][0]["summary"]["unknown"] == 60


def test_another_stack_can_have_had_the_traffic(fairlead: Fairlead, home: Layout, folder: Path) -> None:
    with serving(home, {"GET /stacks/live/metrics": a_recording([60.0])}):
        assert fairlead("simulate", "--from", "1h", "--stack", "live").status == 0
    nobody = Refuse(NotFound("there is no stack 'live'"), 404)
    with serving(home, {"GET /stacks/live/metrics": nobody}):
        assert fairlead("simulate", "--from", "1h", "--stack", "live").status == 2


def test_without_a_daemon_there_is_no_recorded_traffic(fairlead: Fairlead, folder: Path) -> None:
    shown = fairlead("simulate", "--from", "1h")
    assert (shown.status, shown.out) == (1, "")
    assert "there is no recorded traffic to simulate: no daemon runs in" in shown.err


LOAD = ("--load", "ramp:0-5/5m")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "one of --load and --from is needed"),
        ((*LOAD, "--from", "1h"), "--load and --from cannot be given together"),
        ((*LOAD, "--to", "1h"), "--to says nothing without --from"),
        ((*LOAD, "--stack", "shop"), "--stack says nothing without --from"),
        (("--load", "rmap:0-5/5m"), "there is no shape 'rmap': did you mean ramp?"),
        (("--load", "none.csv"), "--load none.csv cannot be read: No such file or directory"),
        (("--load", "."), "there is no shape '.'"),
        (("--load", "./"), "--load ./ cannot be read: Is a directory"),
        ((*LOAD, "--capacity", "none.json"), "it is neither a number of requests per second nor a file: 'none.json'"),
        ((*LOAD, "--capacity", "fairlead.yaml"), "--capacity fairlead.yaml is no JSON"),
        ((*LOAD, "--capacity", "list.json"), "--capacity list.json is no measured capacity: it holds no JSON object"),
        ((*LOAD, "--capacity", "0"), "--capacity 0 is no capacity"),
        ((*LOAD, "--capacity", "."), "--capacity . cannot be read: Is a directory"),
        ((*LOAD, "--start-time", "soon"), "--start-time 'soon' is no length of time"),
        ((*LOAD, "--start-time", "2d"), "--start-time '2d' cannot be: it is at most 1d"),
        ((*LOAD, "--service-time", "0s"), "--service-time '0s' cannot be: a request takes some time"),
        ((*LOAD, "--at", "25:00"), "--at '25:00' is no moment"),
        ((*LOAD, "--at", "9999-12-31"), "--at '9999-12-31' is no moment"),
        ((*LOAD, "--capacity", "9" * 400), "is no capacity: it is more than 0 and at most 1,000,000,000"),
        ((*LOAD, "--at", "yesterday"), "--at 'yesterday' is no moment"),
        ((*LOAD, "--seed", "x"), "'x' is not a valid integer"),
        ((*LOAD, "--set", "services.wbe.scaling.max=6"), "services.wbe: is not in the file; did you mean web?"),
        ((*LOAD, "--set", "services.web.scaling.max"), "--set services.web.scaling.max: is no change of a key"),
        ((*LOAD, *["--set", "name=x"] * 7), "--set was given 7 times: 6 variants are the most"),
        (("wbe", *LOAD), "there is no service 'wbe': did you mean web?"),
        (("worker", *LOAD), "worker cannot be simulated: it serves no requests"),
        ((*LOAD, "--file", "nowhere"), "there is no "),
        (("--from", "soon"), "--from 'soon' is no moment"),
        (("--from", "1m", "--to", "2m"), "--from is not before --to"),
    ],
)
def test_nonsense_is_exit_2_and_says_what_is_meant(
    fairlead: Fairlead, folder: Path, words: tuple[str, ...], says: str
) -> None:
    (folder / "list.json").write_text("[1]")
    shown = fairlead("simulate", *words)
    assert (shown.status, shown.out) == (2, "")
    assert says in shown.err
    assert "fault of fairlead" not in shown.err


def test_a_variant_without_decisions_says_so(fairlead: Fairlead, folder: Path) -> None:
    shown = fairlead("simulate", "--load", "constant:10/1m", "--set", "services.web.scaling.max=4")
    assert "decisions of the file\n  none\n\ndecisions of max=4\n  none\n" in shown.out


def test_a_file_that_is_too_large_is_not_read_in_part(
    fairlead: Fairlead, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate_asked, "LARGEST", 10)
    (folder / "t.csv").write_text("0,10\n1,20\n")
    assert fairlead("simulate", "--load", "t.csv").status == 0
    (folder / "t.csv").write_text("0,10\n1,20\n2")
    shown = fairlead("simulate", "--load", "t.csv")
    assert (shown.status, shown.out) == (2, "")
    assert "--load t.csv is too large: 10 characters are the most" in shown.err


def test_what_is_meant_by_no_service(fairlead: Fairlead, folder: Path) -> None:
    load = ("--load", "constant:1/5s")
    fixed = FILE.replace("    scaling:", "    x:").split("    x:")[0]
    (folder / "fairlead.yaml").write_text(fixed)
    shown = fairlead("simulate", *load)
    assert shown.status == 0
    assert "note: web has a fixed size of 1" in shown.err
    two = (
        fixed
        + "  api: {app: 'app:app'}\nload_balancer: {listeners: [{port: 8080, default: {forward: {web: 1, api: 1}}}]}\n"
    )
    (folder / "fairlead.yaml").write_text(two)
    shown = fairlead("simulate", *load)
    assert (shown.status, "it is not clear which service is meant: web, api serve requests" in shown.err) == (2, True)
    (folder / "fairlead.yaml").write_text("name: shop\nservices: {w: {command: 'true', port: none}}\n")
    assert "there is nothing to simulate" in fairlead("simulate", *load).err


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b=1", ("a.b=1",)),
        ("a.b=1,c.d=2", ("a.b=1", "c.d=2")),
        ("a.b=1, c.d = 2", ("a.b=1", "c.d = 2")),
        ("a.b=[x, y],c.d=2", ("a.b=[x, y]", "c.d=2")),
        ("a.b={x: 1, y.z=: 2}", ("a.b={x: 1, y.z=: 2}",)),
        ("a.b='x,c.d=2'", ("a.b='x,c.d=2'",)),
        ("a.b=x,y", ("a.b=x,y",)),
        ("", ("",)),
    ],
)
def test_commas_part_changes_and_not_values(text: str, parts: tuple[str, ...]) -> None:
    assert changes_of(text) == parts


def test_variants_are_called_by_what_differs() -> None:
    made = variants(
        ["services.web.scaling.max=6", "services.web.health_check.path=/,services.api.scaling.min=1"], "web"
    )
    assert [one.name for one in made] == ["the file", "max=6", "health_check.path=/, services.api.scaling.min=1"]


def test_what_is_assumed_is_said() -> None:
    assert app_of(None, None, None)[1] == ["100 requests/s an instance", "50 ms a request", "2 s to start", "100% of its cpu when it is full"]  # fmt: skip
    app, assumed = app_of("1.5k", "0s", "5ms")
    assert (app, assumed) == (App(capacity=1500, service_time=0.005, start_time=0), ["100% of its cpu when it is full"])


@pytest.mark.parametrize(
    ("lacks", "options", "expected"),
    [
        ("cpu_per_request", (None, None), ["100% of its cpu when it is full"]),
        ("start_time", (None, None), ["2 s to start"]),
        ("start_time", ("4s", None), []),
        ("service_time", (None, None), ["50 ms a request"]),
        ("service_time", (None, "20ms"), []),
    ],
)
def test_what_a_drill_could_not_measure_is_assumed_and_said(
    tmp_path: Path, lacks: str, options: tuple[str | None, str | None], expected: list[str]
) -> None:
    """A short drill has no metrics to tell what a request costs of the processor."""
    path = tmp_path / "capacity.json"
    for unknown in ({**MEASURED, lacks: None}, {name: value for name, value in MEASURED.items() if name != lacks}):
        path.write_text(json.dumps(unknown))
        assert app_of(str(path), *options)[1] == expected


def test_the_virtual_clock_begins_when_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        load = Load(pieces=(), began="2026-11-21T10:00:00Z")
        assert moment_of(None, load) == int(datetime.fromisoformat("2026-11-21T10:00:00Z").timestamp())
        for text in ("2026-11-27T08:00", "2026-11-27 08:00", "2026-11-27T07:00Z", "2026-11-27T08:00+01:00"):
            assert moment_of(text, load) == int(datetime.fromisoformat("2026-11-27T07:00:00Z").timestamp())
        midnight = datetime.fromtimestamp(moment_of(None, Load(pieces=())))
        assert (midnight.hour, midnight.minute, midnight.second) == (0, 0, 0)
        assert datetime.fromtimestamp(moment_of("08:30", load)).strftime("%H:%M:%S") == "08:30:00"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_narrow_terminal_without_utf8_gets_ascii(
    fairlead: Fairlead, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    shown = fairlead("simulate", "--load", "spike:5-900/2m")
    assert shown.status == 0
    assert shown.out.isascii()
    assert max(map(len, shown.out.splitlines()[2:18])) <= 60
