"""What of an answer of metrics is shown, as rows: a name, its values over time, and how they are read. Pure.

In: the contract of `fairlead metrics --json` (docs/reference/metrics.md). Out: `Row`s, which `metrics_table` draws.
Counts become rates, so that a row means the same whatever the period is. A metric that the answer lacks makes no row
(this service has none, or the daemon is of another version); values that nobody knows make a row of gaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fairlead.cli.amounts import SHOWN, amount, percent, share, span
from fairlead.cli.output import cell
from fairlead.cli.sparkline import Fold, Values, mean
from fairlead.core.scaling.policies import CUSTOM

PERCENTILES = ("p50", "p90", "p95", "p99")

Shown = Callable[[float | None], str]
"""Makes few characters of a value; None: nobody knows it."""

STATISTICS = ("Sum", "Average", *PERCENTILES, "Minimum", "Maximum")
"""In the order in which they are shown."""


class Row(NamedTuple):
    """label: what it is called. fold: makes one value of those of a column. overall: of the whole span, in words. full:
    the bars' full height is this at least. last: shows the last value in place of `shown`. bad: which values are."""

    label: str
    values: Values
    fold: Fold
    shown: Shown
    overall: str = ""
    full: float = 0.0
    last: Shown | None = None
    bad: Callable[[float], bool] = lambda value: False


class Series:
    """The metrics of one service, zone, target, or of the stack."""

    def __init__(self, series: dict[str, Any], period: float) -> None:
        self.service = str(series.get("service") or "")
        self.zone = str(series.get("zone") or "")
        self.target = str(series.get("target") or "")
        self.summary: dict[str, Any] = series.get("summary") or {}
        self._period = period
        self._metrics = {(one["name"], one["statistic"]): one for one in series["metrics"]}

    @property
    def depth(self) -> int:
        """0: of the stack or a service; 1: of a zone; 2: of a target."""
        return 2 if self.target else 1 if self.zone else 0

    @property
    def last_known(self) -> int:
        """The number of the last period of which something is known; -1: there is none."""
        every = (one["values"] for one in self._metrics.values())
        return max((place for values in every for place, value in enumerate(values) if value is not None), default=-1)

    def knows(self, name: str) -> bool:
        """Whether it was known at any time."""
        every = (one["values"] for (of, _), one in self._metrics.items() if of == name)
        return any(value is not None for values in every for value in values)

    def statistics(self, name: str) -> list[str]:
        """Those that the metric has here."""
        return [statistic for statistic in STATISTICS if (name, statistic) in self._metrics]

    def values(self, name: str, statistic: str) -> Values | None:
        """As they came, but for what is no number; None: this has no such metric."""
        found = self._metrics.get((name, statistic))
        return None if found is None else [_number(value) for value in found["values"]]

    def level(self, name: str) -> Values | None:
        """How much it was on average."""
        return self.values(name, "Average")

    @property
    def own(self) -> list[str]:
        """The metrics of the user's own."""
        return sorted({name for name, _ in self._metrics if name.startswith(CUSTOM)})

    def rates(self, *names: str) -> Values | None:
        """The counts of all of them together, a second."""
        found = [values for name in names if (values := self.values(name, "Sum")) is not None]
        if not found:
            return None
        together = (_sum(each) for each in zip(*found, strict=True))
        return [None if one is None else one / self._period for one in together]

    def total(self, values: Values) -> float | None:
        """How many a rate makes over the span, as far as it is known."""
        known = _sum(values)
        return None if known is None else known * self._period

    def summed_up(self, key: str) -> float | None:
        return _number(self.summary.get(key))

    def unit(self, name: str) -> str:
        return next(str(one["unit"]) for (of, _), one in self._metrics.items() if of == name)


def rows_of_service(series: Series) -> list[Row]:
    """What is looked at first, of a service, a zone or a target, and the metrics of the user's own. A worker has no
    health, and of `targets:` nobody here knows cpu and memory."""
    checked = series.knows("HealthyHostCount")
    used = series.knows("CPUUtilization") or series.knows("MemoryUtilization")
    rows: list[Row] = []
    if checked or not used:
        rows += [*_requests(series), *_errors(series), *_times(series), *_outstanding(series)]
        rows += _of_desired(series, "healthy", "HealthyHostCount")
    else:
        rows += _of_desired(series, "in service", "GroupInServiceInstances")
    if used or not checked:
        rows += [*_percent(series, "cpu", "CPUUtilization"), *_percent(series, "memory", "MemoryUtilization")]
    return rows + _own(series, {row.label for row in rows})


def rows_of_stack(series: Series) -> list[Row]:
    """What no service has: connections, and what the load balancer answered itself."""
    rows = []
    for label, name in (("elb 4xx/s", "HTTPCode_ELB_4XX_Count"), ("elb 5xx/s", "HTTPCode_ELB_5XX_Count")):
        rows += _rate(series, label, name, bad=True)
    if (open_now := series.level("ActiveConnectionCount")) is not None:
        rows.append(Row("connections", open_now, mean, amount, _mean(open_now, amount)))
    rows += _rate(series, "new/s", "NewConnectionCount")
    rejected = _rate(series, "rejected/s", "RejectedConnectionCount", bad=True)
    rows += rejected if any(rejected and rejected[0].values) else []
    if (traffic := series.rates("ProcessedBytes")) is not None:
        size = SHOWN["Bytes"]
        rows.append(Row("bytes/s", traffic, mean, size, _total(series, traffic, size)))
    return rows


def row_of_metric(series: Series, name: str, statistic: str, label: str) -> Row | None:
    """One metric as CloudWatch calls it; None: this has none."""
    unit = SHOWN.get(series.unit(name), amount) if series.statistics(name) else amount
    if statistic == "Sum":
        rates = series.rates(name)
        return None if rates is None else Row(label, rates, mean, unit, _total(series, rates, unit))
    values = series.values(name, statistic)
    if values is None:
        return None
    if statistic in PERCENTILES:
        return Row(label, values, max, unit, unit(series.summed_up(statistic)))
    fold: Fold = min if statistic == "Minimum" else max if statistic == "Maximum" else mean
    overall = _mean(values, unit) if statistic == "Average" else ""
    if unit is span and statistic == "Average":
        # That of the answers, where the mean of periods would count each period as much.
        overall = f"mean {span(series.summed_up('average'))}"
    return Row(label, values, fold, unit, overall, 100.0 if unit is percent else 0.0)


def _requests(series: Series) -> Iterable[Row]:
    return _rate(series, "requests/s", "RequestCount")


def _errors(series: Series) -> Iterable[Row]:
    """Answers of 5xx, whoever gave them."""
    rates = series.rates("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count")
    if rates is None:
        return
    rate = series.summed_up("error_rate")
    total = amount(series.total(rates))
    overall = total if rate is None else f"{total} ({share(rate)})"
    yield Row("errors/s", rates, mean, amount, overall, bad=bool)


def _times(series: Series) -> Iterable[Row]:
    for name in ("p50", "p95", "p99"):
        values = series.values("TargetResponseTime", name)
        if values is not None:
            # Those of several periods make none together: the slowest is shown.
            yield Row(name, values, max, span, span(series.summed_up(name)))


def _outstanding(series: Series) -> Iterable[Row]:
    values = series.level("OutstandingRequestCount")
    if values is not None:
        yield Row("outstanding", values, mean, amount, _mean(values, amount))


def _of_desired(series: Series, label: str, name: str) -> Iterable[Row]:
    """`2 of 3`; of a column the fewest."""
    values = series.values(name, "Minimum") or series.level(name)
    if values is None:
        return
    whole = series.values("GroupDesiredCapacity", "Maximum") or series.level("GroupDesiredCapacity") or ()
    desired = [one for one in whole if one is not None]
    if not desired:
        yield Row(label, values, min, amount)
        return
    wanted = desired[-1]

    def of_wanted(value: float | None) -> str:
        return f"{amount(value)} of {amount(wanted)}"

    yield Row(label, values, min, amount, "", max(desired), of_wanted, lambda value: value < wanted)


def _percent(series: Series, label: str, name: str) -> Iterable[Row]:
    values = series.level(name)
    if values is not None:
        whole = series.summed_up(label)
        yield Row(label, values, mean, percent, "" if whole is None else f"mean {percent(whole)}", 100.0)


def _own(series: Series, taken: set[str]) -> list[Row]:
    """Metrics of the user's own, by their names alone where these are not those of others."""
    rows = []
    for name in series.own:
        short = cell(name.removeprefix(CUSTOM))
        values = series.level(name) or []
        rows.append(Row(cell(name) if short in taken else short, values, mean, amount, _mean(values, amount)))
    return rows


def _rate(series: Series, label: str, name: str, *, bad: bool = False) -> list[Row]:
    rates = series.rates(name)
    if rates is None:
        return []
    row = Row(label, rates, mean, amount, _total(series, rates, amount))
    return [row._replace(bad=bool) if bad else row]


def _total(series: Series, rates: Values, shown: Shown) -> str:
    total = series.total(rates)
    return "" if total is None else f"{shown(total)} total"


def _mean(values: Values, shown: Shown) -> str:
    known = [value for value in values if value is not None]
    return f"mean {shown(mean(known))}" if known else ""


def _sum(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None: none is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _number(value: Any) -> float | None:
    """What a daemon of any version may send."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
