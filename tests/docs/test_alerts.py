"""The alert rules of docs/observability fire when they should, and not when they should not: promtool plays them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.needs import need

RULES = Path(__file__).parents[2] / "docs/observability/alerts.yml"
RULES_OF = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
DAEMON = {"job": "fairlead", "instance": "here"}
STACK = {**DAEMON, "stack": "shop"}
WEB = {**STACK, "service": "web"}
ONE, TWO = ({**WEB, "zone": "a", "target": f"web-{number}"} for number in (1, 2))
WAITING = {**WEB, "zone": "", "target": ""}
BUCKETS = ("0.1", "0.5", "1", "2.5", "+Inf")


def series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    """One series; `values` in promtool's notation, a sample each 15 seconds."""
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inside}}}", "values": values}


def times(fast: int, slow: int) -> list[dict[str, str]]:
    """A histogram of web-1 that grows every 15 seconds by so many answers below 0.1 s, and so many between 1 and 2.5."""
    name = "fairlead_target_response_time_seconds"
    return [
        *(
            series(f"{name}_bucket", {**ONE, "le": le}, f"0+{fast + (slow if le in ('2.5', '+Inf') else 0)}x100")
            for le in BUCKETS
        ),
        series(f"{name}_count", ONE, f"0+{fast + slow}x100"),
    ]


def answers(good: int, bad: int, of_balancer: int = 0) -> list[dict[str, str]]:
    """Answers every 15 seconds: web-1's of 2xx and of 5xx, and 5xx that the load balancer gave for it."""
    return [
        series("fairlead_target_responses_total", {**ONE, "code": "2xx"}, f"0+{good}x100"),
        series("fairlead_target_responses_total", {**ONE, "code": "5xx"}, f"0+{bad}x100"),
        series("fairlead_service_elb_responses_total", {**WEB, "code": "5xx"}, f"0+{of_balancer}x100"),
    ]


DESIRED = series("fairlead_desired_capacity", WEB, "2x100")
ROUTED = series("fairlead_service_requests_total", WEB, "0x100")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A past, and what follows from it. fires: labels of the alert at `at`, None when it must not fire. values: what
    the annotations make of the value, in order of `{{ $value ... }}`, when they name it."""

    alert: str
    past: str
    series: list[dict[str, str]]
    at: str
    fires: dict[str, str] | None = None
    value: str = ""


CASES = [
    Case(alert="FairleadDown", past="the daemon is away for two minutes", at="2m",
         series=[series("up", DAEMON, "0x20")], fires=DAEMON),
    Case(alert="FairleadDown", past="the daemon is replaced: one reading fails", at="2m",
         series=[series("up", DAEMON, "1x3 0 1x20")]),
    Case(alert="FairleadDown", past="another job is away", at="5m",
         series=[series("up", DAEMON, "1x20"), series("up", {"job": "node", "instance": "here"}, "0x20")]),
    Case(alert="FairleadNotScraped", past="there is no such job", at="6m",
         series=[series("up", {"job": "node", "instance": "here"}, "1x40")], fires={"job": "fairlead"}),
    Case(alert="FairleadNotScraped", past="the job is there and fails", at="10m", series=[series("up", DAEMON, "0x60")]),
    Case(alert="FairleadNoHealthyTarget", past="both targets fail their checks", at="2m", fires=WEB,
         series=[ROUTED, DESIRED, series("fairlead_healthy_hosts", ONE, "0x20"), series("fairlead_healthy_hosts", TWO, "0x20")]),
    Case(alert="FairleadNoHealthyTarget", past="there is no target", at="2m", fires=WEB, series=[ROUTED, DESIRED]),
    Case(alert="FairleadNoHealthyTarget", past="one of two is healthy", at="5m",
         series=[ROUTED, DESIRED, series("fairlead_healthy_hosts", ONE, "0x20"), series("fairlead_healthy_hosts", TWO, "1x20")]),
    Case(alert="FairleadNoHealthyTarget", past="none was healthy for 45 seconds", at="2m",
         series=[ROUTED, DESIRED, series("fairlead_healthy_hosts", ONE, "1x2 0x3 1x20")]),
    Case(alert="FairleadNoHealthyTarget", past="the service is to have no instance, or its stack is down", at="5m",
         series=[ROUTED, series("fairlead_desired_capacity", WEB, "0x20")]),
    Case(alert="FairleadNoHealthyTarget", past="a worker takes no requests", at="5m", series=[DESIRED]),
    Case(alert="FairleadUnhealthyTargets", past="one of two fails its checks", at="3m", fires=WEB, value="1",
         series=[series("fairlead_unhealthy_hosts", ONE, "1x20"), series("fairlead_unhealthy_hosts", TWO, "0x20")]),
    Case(alert="FairleadUnhealthyTargets", past="one failed and was replaced within a minute", at="5m",
         series=[series("fairlead_unhealthy_hosts", ONE, "1x4 stale"), series("fairlead_unhealthy_hosts", TWO, "0x30")]),
    Case(alert="FairleadBelowDesired", past="one of two does not start", at="6m", fires=WEB, value="1",
         series=[DESIRED, series("fairlead_in_service_instances", WEB, "1x40")]),
    Case(alert="FairleadBelowDesired", past="the service is scaled out, and the second comes after a minute", at="10m",
         series=[DESIRED, series("fairlead_in_service_instances", WEB, "1x4 2x60")]),
    Case(alert="FairleadBelowDesired", past="a deployment runs three for a while", at="10m",
         series=[DESIRED, series("fairlead_in_service_instances", WEB, "3x60")]),
    Case(alert="FairleadErrors", past="the app fails one request in ten", at="8m", fires=WEB, value="10%",
         series=answers(90, 10)),
    Case(alert="FairleadErrors", past="the balancer answers for a target that is gone", at="8m", fires=WEB, value="50%",
         series=answers(20, 0, 20)),
    Case(alert="FairleadErrors", past="no target was there at all", at="8m", fires=WEB, value="100%",
         series=[series("fairlead_service_elb_responses_total", {**WEB, "code": "5xx"}, "0+5x100")]),
    Case(alert="FairleadErrors", past="the app fails one request in a hundred", at="8m", series=answers(99, 1)),
    Case(alert="FairleadErrors", past="nobody asks", at="8m", series=answers(0, 0)),
    Case(alert="FairleadErrors", past="two of three requests fail, and no more come", at="5m", series=[
        series("fairlead_target_responses_total", {**ONE, "code": "2xx"}, "0x8 1x60"),
        series("fairlead_target_responses_total", {**ONE, "code": "5xx"}, "0x8 2x60"),
    ]),
    Case(alert="FairleadSlow", past="one answer in ten takes more than a second", at="20m", fires=WEB, value="1.75s",
         series=times(90, 10)),
    Case(alert="FairleadSlow", past="one answer in a hundred takes more than a second", at="20m", series=times(99, 1)),
    Case(alert="FairleadSlow", past="nobody asks", at="20m", series=times(0, 0)),
    Case(alert="FairleadConnectionErrors", past="connections fail all the time", at="12m", fires=WEB, value="20",
         series=[series("fairlead_target_connection_errors_total", ONE, "0+1x100")]),
    Case(alert="FairleadConnectionErrors", past="an instance died once", at="12m",
         series=[series("fairlead_target_connection_errors_total", ONE, "0x10 3x100")]),
    Case(alert="FairleadRejectedConnections", past="the limit is reached", at="8m", fires=STACK, value="20",
         series=[series("fairlead_rejected_connections_total", STACK, "0+1x100")]),
    Case(alert="FairleadRejectedConnections", past="it was reached a long time ago", at="20m",
         series=[series("fairlead_rejected_connections_total", STACK, "0x4 50x100")]),
    Case(alert="FairleadCpu", past="both use all of what they reserve", at="25m", fires=WEB, value="105",
         series=[series("fairlead_cpu_utilization_percent", one, f"{percent}x100") for one, percent in
                 ((ONE, 100), (TWO, 110))]),
    Case(alert="FairleadCpu", past="one is busy and the other is not", at="25m",
         series=[series("fairlead_cpu_utilization_percent", one, f"{percent}x100") for one, percent in
                 ((ONE, 120), (TWO, 20))]),
    Case(alert="FairleadCpu", past="a busy minute", at="25m",
         series=[series("fairlead_cpu_utilization_percent", ONE, "20x40 150x4 20x100")]),
    Case(alert="FairleadMemory", past="one of two leaks", at="8m", value="95",
         fires={**WEB, "target": "web-2"},
         series=[series("fairlead_memory_utilization_percent", ONE, "40x100"),
                 series("fairlead_memory_utilization_percent", TWO, "95x100")]),
    Case(alert="FairleadMemory", past="both are well below", at="8m",
         series=[series("fairlead_memory_utilization_percent", ONE, "80x100")]),
    Case(alert="FairleadUnknown", past="the daemon is there and the balancer tells nothing", at="5m", fires=WEB,
         series=[series("fairlead_healthy_hosts", ONE, "1x40"), series("fairlead_outstanding_requests", WAITING, "0x2 stale")]),
    Case(alert="FairleadUnknown", past="the balancer is started again within a minute", at="5m",
         series=[series("fairlead_healthy_hosts", ONE, "1x40"),
                 series("fairlead_outstanding_requests", WAITING, "0x2 stale _x2 0x40")]),
    Case(alert="FairleadUnknown", past="nothing is under way, which is known", at="5m",
         series=[series("fairlead_healthy_hosts", ONE, "1x40"), series("fairlead_outstanding_requests", WAITING, "0x40")]),
    Case(alert="FairleadUnknown", past="a worker, which the balancer does not know", at="5m", series=[DESIRED]),
]  # fmt: skip


def rendered(template: str, labels: dict[str, str], value: str) -> str:
    """An annotation as Prometheus makes it. KeyError for a label that the alert lacks."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], template)
    return re.sub(r"\{\{ \$value[^}]*\}\}", value, text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.past}")
def test_an_alert_fires_when_it_should_and_else_not(case: Case, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    need(promtool, "promtool (apt install prometheus)")
    rule = RULES_OF[case.alert]
    alerts = []
    if case.fires is not None:
        labels = {**case.fires, **rule["labels"]}
        texts = {key: rendered(text, labels, case.value) for key, text in rule["annotations"].items()}
        alerts = [{"exp_labels": labels, "exp_annotations": texts}]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": case.series,
                "alert_rule_test": [{"alertname": case.alert, "eval_time": case.at, "exp_alerts": alerts}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    run = subprocess.run(
        [str(promtool), "test", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_is_seen_to_fire_and_seen_to_be_silent() -> None:
    assert {case.alert for case in CASES if case.fires is not None} == set(RULES_OF)
    assert {case.alert for case in CASES if case.fires is None} == set(RULES_OF)


@pytest.mark.parametrize("name", sorted(RULES_OF))
def test_an_alert_says_how_bad_it_is_and_what_to_do_next(name: str) -> None:
    rule = RULES_OF[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["for"]
    assert rule["annotations"]["summary"]
    assert re.search(r"`(?:fairlead|promtool) [^`]+`", rule["annotations"]["description"])
