"""docs/reference/metrics.md, every metric in tables: `python -m fairlead.metrics.page > FILE`; a test compares them."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.core.latency import ERROR
from fairlead.metrics.catalogue import METRICS, PERCENTILES, Metric
from fairlead.metrics.prometheus import families

INTRODUCTION = """\
# Metrics

This page is generated from the catalogue by `python -m fairlead.metrics.page`; a test compares the two. Where AWS has a
metric, its name, unit and meaning are AWS's, and the last column says what differs. They are shown by
`fairlead metrics` and `fairlead status`, answered as JSON by `fairlead metrics --json`, and read by Prometheus
([observability](../observability/README.md)).

## Whose metric

| level | dimensions in CloudWatch | here |
|---|---|---|
| stack | LoadBalancer | `fairlead metrics` |
| service | LoadBalancer, TargetGroup (of a group: AutoScalingGroupName) | `fairlead metrics SERVICE` |
| zone | LoadBalancer, TargetGroup, AvailabilityZone | of a service with several zones, in `--json` |
| target | none | `fairlead metrics SERVICE --target ID` |

A service may also have [metrics of your own](#metrics-of-your-own).

## What a value is

| kind | what it is | statistics |
|---|---|---|
| count | what happened in a period; periods add up | {count} |
| level | how much there was, looked at once a second | {level} |
| time | how long each one took | {time} |

**Unknown is not zero.** A second without a reading (the daemon did not run, HAProxy did not answer, the machine was
asleep) is `null` in JSON and a gap in a sparkline, and so is what has no meaning: a percentile without a request. A
count of 0 means that nothing happened, and was looked at. CloudWatch leaves out both; here they differ.

**Incomplete.** When a HAProxy ends before it was read for the last time (it was killed, or the machine ran out of
memory), what it counted since the reading before, a second or so, is lost. The seconds in question are listed under
`incomplete`; their counts are a lower bound. A reload loses nothing, and makes neither a spike nor a hole.

**Percentiles** are made of all requests, not of a sample: response times are counted in buckets whose width is a small
share of the time. A percentile is at most {error} % away from the true one, and usually much less. Percentiles of an
hour, or of several targets, come from the added counts; they are not averages of percentiles.

**Errors.** `error_rate` of `fairlead metrics --json`, `status` and `explain` is the share of requests that ended in a
5xx, whoever gave it: HTTPCode_Target_5XX_Count and HTTPCode_ELB_5XX_Count together. Of a target it is its own 5xx, and
the requests that it did not answer.
"""

OWN = """\
## Metrics of your own

What `custom_metrics` of the file name: a number that a command prints, or that a URL answers with. Each is read every
`every` (5 seconds unless the file says otherwise) and is called `custom:NAME`. Fairlead knows no unit of it (`None`, as
CloudWatch has it). Its values stand beside those of its service; in between two readings the last one holds. In
Prometheus they are one family, `fairlead_custom_metric{name="NAME"}`.

A reading fails when the command cannot be started, exits with another status than 0, prints no line that is a number
or does not end within `every` (10 seconds at most), and when the server does not answer with a 200 whose `field` or
`series` is one number. That is told once, and once when it works again. When the last good reading is older than twice
`every` and that time, the metric is unknown: never zero, and no policy acts on it.
"""

RETENTION = """\
## `fairlead metrics --json`

The shape of this answer is a contract: keys are added, never renamed or removed. It is also the daemon's
`GET /stacks/NAME/metrics?service=&target=&zone=&since=&until=&period=`; times there in ISO 8601, the period in seconds.

```json
{
  "stack": "shop",
  "period": 1,
  "start": "2026-11-21T19:40:00Z",
  "end": "2026-11-21T19:45:00Z",
  "incomplete": ["2026-11-21T19:42:17Z"],
  "series": [
    {
      "service": "web",
      "zone": null,
      "target": null,
      "metrics": [
        {"name": "RequestCount", "unit": "Count", "statistic": "Sum", "values": [31, 34, null]},
        {"name": "TargetResponseTime", "unit": "Seconds", "statistic": "p95", "values": [0.038, null, null]}
      ],
      "summary": {
        "requests": 9120, "requests_per_second": 30.4, "error_rate": 0.008, "average": 0.012,
        "p50": 0.009, "p90": 0.021, "p95": 0.038, "p99": 0.12, "cpu": 41.0, "memory": 12.5
      }
    }
  ]
}
```

- `period`: seconds that a value stands for; `start` and `end`: of the first value the beginning, of the last the end.
- `incomplete`: beginnings of the periods in which counts may be missing.
- `series`: without a service that of the stack (all three `null`) and one of each service; with one its own, that of
  each of its zones if there are several, and that of each target.
- `metrics`: what that level has, once for each statistic; `values` has one entry a period, `null` is unknown.
- `summary`: of the whole span. `requests` and their rate; `error_rate` from 0 to 1; response times in seconds; cpu and
  memory in percent; `null` is unknown.

Periods are of a second for up to ten minutes and a minute for more, longer ones so that at most 1,000 come back.

## How long, and what it costs

Once a second HAProxy and the processes are read; requests cost what HAProxy counts anyhow, and one more count for the
response time. Nothing of Python is in the way of a request.

| what | kept | where |
|---|---|---|
| each second | an hour | `metrics.db` in the home |
| each minute | two weeks | the same |

Older rows go by themselves, so the file's size is bounded by the number of services and targets. On a full disk
recording stops and nothing else is harmed; a database that is damaged is moved aside and begun anew. Whoever deletes it
(while the daemon does not run) loses the past of metrics and nothing else.

## In Prometheus

Labels are `stack`, `service`, `zone` and `target`, as far as they apply. A family has one level only, the finest at
which there is the metric, so that nothing counts twice: a service is `sum by (stack, service) (...)`, a zone
`sum by (stack, service, zone) (...)`. Where the coarser level is more or less than that sum, it is a family of its own
with the level in its name: `fairlead_service_requests_total` counts each request once, `fairlead_requests_total` at
each target that it was sent to. (What a target did between the last look at it and its end is in the service's alone.)

Counts are totals since the daemon started: take `rate` or `increase`. What is not known is absent. Response times are
a histogram (`_bucket`, `_count`, `_sum`; `le` from 0.001 to 10 seconds), from which `histogram_quantile` estimates
coarser percentiles than `fairlead metrics` has. OutstandingRequestCount has one more series for each service, without
zone and target: requests that wait for one.
"""

STATISTICS = {
    "count": ("Sum",),
    "level": ("Average", "Minimum", "Maximum"),
    "time": ("Average", *(f"p{percent}" for percent in PERCENTILES)),
}

_HEADING = """\
| metric | unit | kind | levels | in Prometheus | meaning | how it differs from AWS's |
|---|---|---|---|---|---|---|
"""

_SECTIONS = {
    "ApplicationELB": ("The load balancer", "In CloudWatch: namespace `AWS/ApplicationELB`."),
    "AutoScaling": ("The size", "In CloudWatch: namespace `AWS/AutoScaling`, where fairlead's service is a group."),
    "ECS": ("Processor and memory", "In CloudWatch: namespace `AWS/ECS`. 100 percent is what `resources` reserves."),
    "fairlead": ("fairlead's own", "AWS has no such metrics."),
}


def page_text() -> str:
    """The whole page."""
    introduction = INTRODUCTION
    for kind, statistics in STATISTICS.items():
        introduction = introduction.replace(f"{{{kind}}}", ", ".join(statistics))
    parts = [introduction.replace("{error}", f"{ERROR:.0%}".rstrip("%"))]
    for origin, (title, where) in _SECTIONS.items():
        rows = "".join(_row(metric) for metric in METRICS if metric.origin == origin)
        parts.append(f"## {title}\n\n{where}\n\n{_HEADING}{rows}")
    return "\n".join([*parts, OWN, RETENTION])


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.name}`",
        metric.unit,
        metric.kind,
        ", ".join(metric.levels),
        ", ".join(f"`{name}`" for name in exposed_as(metric)),
        metric.meaning,
        metric.differs,
    )
    return f"| {' | '.join(cells)} |\n"


def exposed_as(metric: Metric) -> tuple[str, ...]:
    """How Prometheus selects it, `fairlead_target_responses_total{code="2xx"}`, at each level at which it is there."""
    return tuple(
        family.name + _selector(labels)
        for family in families()
        for name, labels in family.metrics
        if name == metric.name
    )


def _selector(labels: Iterable[tuple[str, str]]) -> str:
    inside = ", ".join(f'{label}="{value}"' for label, value in labels)
    return f"{{{inside}}}" if inside else ""


if __name__ == "__main__":
    print(page_text(), end="")
