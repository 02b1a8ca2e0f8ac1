"""Prometheus' text is read back by the library that reads it; sums over labels are right, and totals never fall."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from fairlead.metrics.catalogue import BY_NAME, METRICS, Level
from fairlead.metrics.collector import Collector
from fairlead.metrics.entities import Entity
from fairlead.metrics.prometheus import CUSTOM_METRIC, LABELS, exported, families, text
from fairlead.metrics.rows import Row, decode, second
from fairlead.metrics.totals import LIMITS

from .builders import Town


def scraped(collector: Collector, town: Town, after: float = 1.0) -> dict[str, Metric]:
    """What Prometheus understands after one more sample, by the name of the family."""
    now: Mapping[Entity, Row] = {}
    for finished in collector.take(town.sample(after)):
        now = {
            entity: decode(second(values, times, False), entity.level)
            for entity, (values, times) in finished.rows.items()
        }
    return {family.name: family for family in text_string_to_metric_families(text(collector.totals, now))}


def summed(family: Metric, *by: str, suffix: str = "") -> dict[tuple[str, ...], float]:
    """`sum by (...)`."""
    found: dict[tuple[str, ...], float] = {}
    for sample in family.samples:
        if not suffix or sample.name.endswith(suffix):
            key = tuple(sample.labels.get(label, "") for label in by)
            found[key] = found.get(key, 0) + sample.value
    return found


def busy() -> tuple[Collector, Town]:
    """Two services, two zones, everything happened; and a worker."""
    town = Town(workers={"mail": ("mail-1",)})
    keys = [town.target("web-1"), town.target("web-2", "b"), town.target("api-1", service="api")]
    collector = Collector()
    collector.take(town.sample())
    for number, key in enumerate(keys):
        for code in (2, 3, 4, 5):
            town.serves(key, number + 1, 0.03, code)
        town.counts_more(key, connection_errors=2, retried=3, requests=1, connections=1)
        town.outstanding[key] = 4
    town.queued["shop.web"], town.failed["shop.web"] = 5, 6
    own = dict.fromkeys(("3XX", "4XX", "5XX", "500", "502", "503", "504", "fixed_response", "redirect"), 8)
    town.owns(connections=9, active=3, rejected=2, bytes=12345, own=own)
    town.custom = {("shop", "web"): {"queue": 12.5, "depth": 3}, ("shop", "mail"): {"queue": 7}}
    return collector, town


def test_every_metric_of_the_catalogue_is_exported_with_its_labels() -> None:
    assert families()[-1] is CUSTOM_METRIC
    table = families()[:-1]
    names = [name for family in table for name, _ in family.metrics]
    assert set(names) == set(BY_NAME)
    assert len({family.name for family in table}) == len(table)
    for family in table:
        for name, labels in family.metrics:
            metric = BY_NAME[name]
            assert family.level in metric.levels
            assert labels == metric.labels
            assert family.name == f"fairlead_{metric.prometheus}{'_total' if metric.kind == 'count' else ''}" or (
                family.name == f"fairlead_{family.level}_{metric.prometheus}_total"
                and family.level != exported(metric)[0]
            )
            assert family.labels == (*LABELS[family.level], *(label for label, _ in labels))
        assert "2xx" not in family.meaning


def test_what_is_exported_is_what_the_table_says() -> None:
    collector, town = busy()
    found = scraped(collector, town)
    table = families()
    assert set(found) == {family.name.removesuffix("_total") for family in table}
    for family in table:
        written = found[family.name.removesuffix("_total")]
        assert written.type == family.kind
        assert written.documentation == family.meaning
        if not written.samples:
            assert family.metrics[0][0] in ("CPUUtilization", "MemoryUtilization")  # nothing read the processes
        for sample in written.samples:
            assert set(sample.labels) - {"le"} <= set(family.labels)
            if family.metrics[0][0] != "OutstandingRequestCount":
                assert all(sample.labels[label] for label in family.labels)


def test_sums_over_targets_are_their_services_and_nothing_counts_twice() -> None:
    collector, town = busy()
    found = scraped(collector, town)
    assert summed(found["fairlead_target_responses"], "service") == {("web",): 12, ("api",): 12}
    assert summed(found["fairlead_target_responses"], "zone", "code")[("b", "5xx")] == 2
    # Sent to targets: one more at each than was counted as a request of its service.
    assert summed(found["fairlead_requests"], "service") == {("web",): 14, ("api",): 13}
    assert summed(found["fairlead_service_requests"], "service") == {("web",): 12, ("api",): 12}
    assert summed(found["fairlead_healthy_hosts"], "service") == {("web",): 2, ("api",): 1}
    assert summed(found["fairlead_outstanding_requests"], "service") == {("web",): 13, ("api",): 4}
    assert summed(found["fairlead_target_response_time_seconds"], "service", suffix="_count") == {
        ("web",): 12,
        ("api",): 12,
    }
    assert summed(found["fairlead_elb_responses"], "stack", "code")[("shop", "5xx")] == 8
    assert summed(found["fairlead_service_elb_responses"], "service", "code") == {("web", "5xx"): 6, ("api", "5xx"): 0}
    assert summed(found["fairlead_stack_processed_bytes"], "stack") == {("shop",): 12345}
    assert summed(found["fairlead_processed_bytes"], "stack") == {("shop",): 24000}
    assert summed(found["fairlead_requests_per_target"], "service") == {("web",): 6, ("api",): 12}
    assert summed(found["fairlead_desired_capacity"], "service") == {("web",): 3, ("api",): 2, ("mail",): 2}


def test_metrics_of_the_users_own_are_one_family_with_their_name_as_a_label() -> None:
    collector, town = busy()
    samples = scraped(collector, town)["fairlead_custom_metric"].samples
    assert {(one.labels["service"], one.labels["name"]): one.value for one in samples} == {
        ("web", "queue"): 12.5, ("web", "depth"): 3, ("mail", "queue"): 7,
    }  # fmt: skip


def test_every_exported_level_that_is_coarser_is_a_family_of_its_own() -> None:
    order: tuple[Level, ...] = ("target", "zone", "service", "stack")
    assert {*order, "custom"} == set(get_args(Level))
    for metric in METRICS:
        levels = exported(metric)
        names = [family.name for family in families() if metric.name in dict(family.metrics)]
        assert len(names) == len(set(names)) == len(levels)


def test_times_are_cumulative_up_to_each_limit() -> None:
    town = Town()
    key = town.target("web-1")
    collector = Collector()
    collector.take(town.sample())
    for seconds in (0.0004, 0.002, 0.03, 0.03, 0.7, 30.0):
        town.serves(key, 1, seconds)
    family = scraped(collector, town)["fairlead_target_response_time_seconds"]
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert list(map(float, buckets)) == [*LIMITS, float("inf")]
    assert (buckets["0.001"], buckets["0.0025"], buckets["0.025"], buckets["0.05"], buckets["1.0"], buckets["10.0"]) == (1, 2, 2, 4, 5, 5)  # fmt: skip
    assert buckets["+Inf"] == 6
    assert summed(family, suffix="_sum")[()] == pytest.approx(30.7624, rel=0.08)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["serve", "come", "leave", "forget", "silence"]), st.integers(0, 50)), max_size=25
    )
)
def test_totals_never_fall_while_they_are_there(steps: list[tuple[str, int]]) -> None:
    town = Town()
    keys = [town.target("web-0")]
    collector = Collector()
    collector.take(town.sample())
    before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for number, (what, many) in enumerate(steps):
        if what == "come":
            keys.append(town.target(f"web-{number + 1}"))
        elif what == "leave" and len(keys) > 1:
            town.leaves(keys.pop())
        elif what == "forget":
            town.counts[keys[0]], town.requests["shop.web"] = type(town.counts[keys[0]])(), 0
        for key in keys:
            town.serves(key, many)
        found = scraped(collector, town, 9.0 if what == "silence" else 1.0)
        now = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in found.values() if family.type != "gauge" for sample in family.samples
        }  # fmt: skip
        assert all(now[key] >= value for key, value in before.items())
        before = now
    assert all(value >= 0 for value in before.values())


def test_totals_begin_at_zero_with_the_daemon() -> None:
    collector, town = busy()
    scraped(collector, town)
    later = Collector()
    later.take(town.sample(1.0))
    assert set(summed(scraped(later, town)["fairlead_requests"], "target").values()) == {0}


def test_whoever_is_gone_is_told_for_some_time_and_then_forgotten() -> None:
    town = Town()
    town.target("web-1")
    gone = town.target("web-2")
    collector = Collector()
    collector.take(town.sample())
    town.serves(gone, 5)
    scraped(collector, town)
    town.leaves(gone)
    found = scraped(collector, town)
    assert summed(found["fairlead_requests"], "target")[("web-2",)] == 5
    assert ("web-2",) not in summed(found["fairlead_healthy_hosts"], "target")
    for _ in range(700):
        collector.take(town.sample(1.0))
    assert set(summed(scraped(collector, town)["fairlead_requests"], "target")) == {("web-1",)}


def test_names_that_look_odd_arrive_as_they_are() -> None:
    town = Town()
    town.target('http://"a\\b"\n:80')
    collector = Collector()
    collector.take(town.sample())
    assert set(summed(scraped(collector, town)["fairlead_healthy_hosts"], "target")) == {('http://"a\\b"\n:80',)}


def test_before_the_first_second_there_is_nothing_wrong() -> None:
    assert all(not family.samples for family in text_string_to_metric_families(text(Collector().totals, {})))


def test_the_library_is_imported_with_the_first_scrape() -> None:
    code = "import sys; import fairlead.metrics.meter; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
