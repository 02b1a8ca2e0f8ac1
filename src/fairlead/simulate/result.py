"""What a simulation found: second by second, decision by decision, and in a few figures.

In: what `run` noted. Out: a `Result`, whose `summary` is what variants are compared by. NaN in a column, null in JSON:
unknown.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = ("load", "served", "lost", "capacity", "desired", "serving", "existing", "cpu", "waiting", "p95")
"""Per second: requests that came; were answered; were lost; what all that serve could answer; desired capacity; how
many took requests; how many ran; percent of the reserved cores; requests that waited at the end; seconds."""

REGRET = 120
"""Seconds after a scale-in within which a scale-out that brings back half of it undoes it: what counts as flapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Desired capacity changed after so many seconds; or a scheduled action came that left it as it was."""

    second: int
    before: int
    desired: int
    cause: str
    undoes: bool = False
    """It takes back a scale-in of a moment before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """requests: that came. queued: of them, how many found the instances full when they came; timed_out: waited for the
    idle timeout; refused: nobody took requests; cut: were inside an instance when its deregistration delay was over.
    over_target: seconds that each target tracking policy's metric was above its target, None: never known;
    over_any: any of them; at_maximum: of these, how many with desired at its maximum. p95_worst: of the worst second.
    unknown: seconds of which nobody knows what came."""

    seconds: int
    requests: float
    served: float
    queued: float
    timed_out: float
    refused: float
    cut: float
    over_target: Mapping[str, int | None]
    over_any: int
    at_maximum: int
    instance_hours: float
    least_serving: int
    most_instances: int
    scale_outs: int
    scale_ins: int
    flaps: int
    cpu_mean: float | None
    p95_worst: float | None
    failed_starts: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """columns: see COLUMNS. notes: what the simulation could not do."""

    service: str
    began: int
    """Seconds since 1970."""
    minimum: int
    maximum: int
    summary: Summary
    columns: Mapping[str, array[float]]
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        return self.summary.seconds

    def column(self, name: str, each: int, fold: str = "mean") -> list[float | None]:
        """A column with so many seconds as one; `fold`: mean, max or last of what is known of them."""
        values = self.columns[name]
        return [folded(values[at : at + each], fold) for at in range(0, len(values), each)]

    def fullest(self, each: int) -> list[tuple[float | None, float]]:
        """Load and capacity of the second in which most was missing, or least to spare, of every so many."""
        both = list(zip(self.columns["load"], self.columns["capacity"], strict=True))
        found: list[tuple[float | None, float]] = []
        for start in range(0, len(both), each):
            known = [one for one in both[start : start + each] if one[0] == one[0]]
            found.append(max(known, key=lambda one: one[0] - one[1]) if known else (None, both[start][1]))
        return found

    def to_json(self, each: int) -> dict[str, Any]:
        """each: seconds of a point of the timeline."""
        worst = {"waiting": "max", "p95": "max", "desired": "last", "serving": "last", "existing": "max"}
        timeline = {name: _plain(self.column(name, each, worst.get(name, "mean"))) for name in COLUMNS}
        return {
            "summary": {name: _rounded(value) for name, value in asdict(self.summary).items()},
            "minimum": self.minimum,
            "maximum": self.maximum,
            "decisions": [asdict(one) for one in self.decisions],
            "notes": list(self.notes),
            "period": each,
            "timeline": timeline,
        }


def folded(values: Sequence[float], fold: str) -> float | None:
    known = [value for value in values if value == value]
    if not known:
        return None
    return max(known) if fold == "max" else known[-1] if fold == "last" else math.fsum(known) / len(known)


def undoing(before: Sequence[Decision], second: int, desired: int) -> bool:
    """Whether a scale-out to `desired` is the one that takes back the last scale-in."""
    for last in reversed(before):
        if last.undoes or second - last.second > REGRET:
            return False
        if last.desired < last.before:
            return 2 * (desired - last.desired) >= last.before - last.desired
    return False


def _plain(values: Sequence[float | None]) -> list[float | None]:
    return [_rounded(value) for value in values]


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
