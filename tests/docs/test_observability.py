"""What docs/observability gives to Prometheus and Grafana is what the daemon tells, and what those programs read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as PrometheusSample

from fairlead.core.accesslog import Request, parse
from fairlead.core.latency import bucket_of
from fairlead.core.readings import (
    GroupReading,
    InstanceScene,
    ListenersReading,
    Reading,
    Sample,
    ServiceScene,
    TargetCounts,
    TargetReading,
    Usage,
)
from fairlead.metrics.catalogue import METRICS
from fairlead.metrics.meter import Meter
from fairlead.metrics.page import page_text
from fairlead.metrics.prometheus import Family, families
from fairlead.spec import parse_text
from tests.needs import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
ALERTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def promtool(*words: str | Path, stdin: IO[str] | None = None) -> None:
    """Run it; what it says of a failure fails the test."""
    program = shutil.which("promtool")
    need(program, "promtool (apt install prometheus)")
    run = subprocess.run([str(program), *words], stdin=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def queries() -> Iterator[str]:
    """Every PromQL expression of the dashboard, variables filled in as Grafana would."""
    for panel in GRAPHS:
        for target in panel["targets"]:
            yield re.sub(r"\$(instance|stack|service|target)\b", ".*", target["expr"].replace("$__rate_interval", "1m"))


def shown_in_the_page() -> list[str]:
    """The expressions that the page offers to be typed."""
    (block,) = re.findall(r"```promql\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return list(block.splitlines())


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bfairlead_\w+", text))


def exposed() -> set[str]:
    """Every name that a sample may have."""
    return {name for family in families() for name in samples_of(family)}


def samples_of(family: Family) -> set[str]:
    if family.kind == "histogram":
        return {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
    return {family.name}


LABELS_OF = {name: set(family.labels) for family in families() for name in samples_of(family)}
SCRAPED = {"job", "instance", "le"}
"""Labels that Prometheus adds, and a histogram's own."""


def a_sample(second: int) -> Sample:
    """A stack with a service and a worker, whose every count grows by one or more each second."""
    counts = TargetCounts(
        requests=second, responses=(0, second, second, second, second), connection_errors=second, retried=second,
        connections=second, bytes_in=second, bytes_out=second, times={bucket_of(20_000): second},
    )  # fmt: skip
    own = dict.fromkeys(("3XX", "4XX", "5XX", "500", "502", "503", "504", "fixed_response", "redirect"), second)
    reading = Reading(
        targets={("shop.web", "web-1"): TargetReading(counts=counts, outstanding=2)},
        groups={"shop.web": GroupReading(requests=second, elb_5xx=second, queued=1)},
        listeners={"shop": ListenersReading(connections=second, active=3, rejected=second, bytes=second, own=own)},
    )
    services = tuple(
        ServiceScene(
            stack="shop", name=name, serves=name == "web", desired=1, cpu=1.0, memory=10**9,
            instances=(InstanceScene(id=f"{name}-1", zone="a", health="healthy", in_service=True),),
        )
        for name in ("web", "worker")
    )  # fmt: skip
    usage = {("shop", f"{one.name}-1"): Usage(cpu=0.5 * second, memory=10**8, at=second) for one in services}
    custom = {("shop", "web"): {"queue": float(second)}}
    return Sample(
        now=second, wall=second, balancer=reading, usage=usage, services=services, stacks=("shop",), custom=custom
    )


def exposition() -> str:
    """What the daemon tells of it."""
    meter = Meter("not-opened.db")
    for second in range(1, 6):
        meter.take(a_sample(second))
    return meter.prometheus()


def test_prometheus_reads_what_the_daemon_tells_and_it_is_what_is_documented(tmp_path: Path) -> None:
    text = exposition()
    file = tmp_path / "metrics"
    file.write_text(text, encoding="utf-8")
    with file.open() as told:
        promtool("check", "metrics", stdin=told)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.name for sample in samples} == exposed()
    assert all(set(sample.labels) - {"le"} == LABELS_OF[sample.name] for sample in samples)


def test_every_panel_has_something_to_show(tmp_path: Path) -> None:
    """Played against what the daemon tells: labels that match nothing would show an empty panel and no error."""
    series = [
        {"series": sample_name(sample, {**sample.labels, "job": "fairlead", "instance": "here"}), "values": values}
        for family in text_string_to_metric_families(exposition())
        for sample in family.samples
        for values in (["0+1x40"] if family.type in ("counter", "histogram") else ["1x40"])
    ]
    checks = [
        {"expr": f"absent({query})", "eval_time": "8m", "exp_samples": []}
        for query in [*queries(), *shown_in_the_page()]
    ]
    # That the check would find one is checked, too.
    nothing = {
        "expr": "absent(fairlead_no_such_thing)",
        "eval_time": "8m",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    test = {"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": [*checks, nothing]}]}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", file)


def sample_name(sample: PrometheusSample, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{sample.name}{{{inside}}}"


def test_prometheus_reads_the_scrape_configuration_and_the_rules() -> None:
    promtool("check", "config", FOLDER / "prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "alerts.yml")


def test_prometheus_can_read_every_expression_of_the_dashboard_and_of_the_page(tmp_path: Path) -> None:
    expressions = [*queries(), *shown_in_the_page()]
    assert len(expressions) > len(GRAPHS)
    rules = [{"record": f"panel:query:{number}", "expr": query} for number, query in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", "--lint=none", file)


def test_every_metric_of_the_alerts_and_the_dashboard_is_one_that_the_daemon_tells() -> None:
    used = names_in(" ".join([*queries(), *shown_in_the_page(), *(rule["expr"] for rule in RULES)]))
    used |= names_in(" ".join(variable.get("definition", "") for variable in DASHBOARD["templating"]["list"]))
    assert len(used) > 12
    assert used <= exposed()


def test_the_dashboard_shows_every_family() -> None:
    shown = names_in(" ".join(queries()))
    assert [family.name for family in families() if not shown & samples_of(family)] == []


@pytest.mark.parametrize("expression", [*queries(), *shown_in_the_page(), *(rule["expr"] for rule in RULES)])
def test_an_expression_selects_by_labels_that_the_metric_has(expression: str) -> None:
    """Prometheus takes a label that is not there for an empty one, and says nothing."""
    for name, selector in re.findall(r"\b(fairlead_\w+)(?:\{([^}]*)\})?", expression):
        selected = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", selector))
        assert selected <= LABELS_OF[name] | SCRAPED, f"{name} has no such label"
        # And groups by labels that all of them have, or the groups would be others than they are called.
    grouped = {label for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in by.split(", ")}
    labels = [LABELS_OF[name] for name in names_in(expression)]
    assert grouped <= set.union(SCRAPED, *labels)


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [(panel["title"], panel["gridPos"]) for panel in PANELS]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for _, place in places)
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} and {other} overlap"


def test_every_panel_takes_its_data_source_from_the_variable_and_says_what_it_shows() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    asking = [*GRAPHS, *(target for panel in GRAPHS for target in panel["targets"])]
    asking += [variable for variable in variables.values() if variable["type"] == "query"]
    assert {json.dumps(one["datasource"], sort_keys=True) for one in asking} == {
        '{"type": "prometheus", "uid": "${datasource}"}'
    }
    assert all(panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in GRAPHS)


def test_every_query_of_the_dashboard_is_narrowed_down_by_the_variables() -> None:
    """A target's metric by all four; what is of a service or a stack by those that it has."""
    for panel in GRAPHS:
        for target in panel["targets"]:
            selectors = re.findall(r"fairlead_\w+\{([^}]*)\}", target["expr"])
            assert len(selectors) == len(re.findall(r"fairlead_\w+", target["expr"]))
            for selector in selectors:
                assert 'instance=~"$instance", stack=~"$stack"' in selector


def test_the_dashboard_has_the_rows_that_the_guide_of_it_promises() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]
    assert rows == [
        "Traffic", "Errors", "Latency", "Health of targets", "Capacity", "Processor and memory", "Connections and bytes",
    ]  # fmt: skip


def test_the_page_of_alerts_names_each_with_its_severity_and_delay() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(Fairlead\w+)` \| (\w+) \| (\w+) \|", page, re.MULTILINE)
    assert listed == [(rule["alert"], rule["labels"]["severity"], rule["for"]) for rule in RULES]


@pytest.mark.parametrize("language", ["yaml"])
def test_the_ways_in_that_the_page_shows_are_files_of_this_version(language: str) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (stack,) = [block for block in blocks if block.startswith("name:")]
    assert [service.name for service in parse_text(stack, "fairlead.yaml", {}).services] == ["web", "metrics"]


def test_the_scrape_configurations_of_the_page_are_ones_that_prometheus_reads(tmp_path: Path) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", page, re.DOTALL)
    file = tmp_path / "prometheus.yml"
    file.write_text(block, encoding="utf-8")
    promtool("check", "config", file)


def test_the_page_of_metrics_is_that_of_the_catalogue() -> None:
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert page == page_text(), "run: python -m fairlead.metrics.page > docs/reference/metrics.md"
    assert all(f"| `{metric.name}` |" in page for metric in METRICS)


def test_the_guide_names_every_field_of_the_access_log_in_its_place() -> None:
    guide = (ROOT / "docs/guide/observability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", guide, re.MULTILINE)
    assert rows == [(str(place), name) for place, name in enumerate(Request._fields, 1)]


def test_the_line_that_the_guide_shows_is_read_as_the_guide_says() -> None:
    guide = (ROOT / "docs/guide/observability.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^http \d{4}-.+$", guide, re.MULTILINE)
    request = parse(line.encode())
    assert request is not None
    assert (request.stack, request.service, request.instance) == ("shop", "web", "web-2")
    assert (request.path, request.elb_status_code, request.duration) == ("/api/report", "200", 0.4)
