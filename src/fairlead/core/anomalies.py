"""Which targets of a group answer with so many more errors than the others that they are to get fewer requests.

In: for each healthy target what came of its requests of late (`WINDOW`), and its weight. Out: for each its next weight,
with the reason. Called every `PACE` seconds (aws-semantics B3). The laws: with fewer than `FEWEST` healthy targets
nobody is anomalous; nobody's weight falls below `LEAST`, so that a target can show that it is well again; at most half
of the targets are held back; errors that are as frequent everywhere are nobody's; who fails no more than the others has
its full weight again after at most `log2(FULL / LEAST)` steps, rounded up.

The numbers are fairlead's: AWS names three targets and five seconds, and says no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FULL = 20
"""The weight of a target that is well. More of it would cost memory: HAProxy keeps 16 points a unit on its ring."""

LEAST = 2
"""The smallest weight: a tenth of the others' requests."""

FEWEST = 3
"""Healthy targets below which nobody is compared."""

WINDOW, PACE = 10.0, 5.0
"""Seconds that are looked back, and between two decisions."""

MARGIN = 0.05
"""A target fails more often than the others when its share of errors is larger by this."""

FEWEST_ERRORS, DEVIATIONS = 3, 3.0
"""Of one that has its full weight: so many errors, and so many standard deviations above the others', are no chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What came of a target's requests. errors: answers of 500 and above, and connections that failed."""

    requests: int = 0
    errors: int = 0

    @property
    def share(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def plus(self, other: Tally) -> Tally:
        return Tally(requests=self.requests + other.requests, errors=self.errors + other.errors)

    def since(self, before: Tally) -> Tally:
        return Tally(requests=self.requests - before.requests, errors=self.errors - before.errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target's next weight, and why."""

    weight: int
    reason: str

    @property
    def anomalous(self) -> bool:
        return self.weight < FULL


def judge(tallies: Mapping[str, Tally], weights: Mapping[str, int]) -> dict[str, Verdict]:
    """A verdict for each healthy target. weights: those of now; a target that is not named has the full one."""
    if len(tallies) < FEWEST:
        return {name: Verdict(weight=FULL, reason=f"fewer than {FEWEST} healthy targets") for name in tallies}
    everything = Tally()
    for tally in tallies.values():
        everything = everything.plus(tally)
    others = {name: everything.since(tally) for name, tally in tallies.items()}
    worse = [name for name in tallies if _is_worse(tallies[name], others[name], weights.get(name, FULL) < FULL)]
    # Half of them at most, the worst first: when most fail, it is not the targets.
    worst = sorted(worse, key=lambda name: (-tallies[name].share, name))[: len(tallies) // 2]
    return {
        name: _held_back(weights.get(name, FULL), tallies[name], others[name])
        if name in worst
        else _recovering(weights.get(name, FULL))
        for name in tallies
    }


def _is_worse(mine: Tally, others: Tally, known: bool) -> bool:
    """known: it is held back already; then it gets too few requests to prove anything, and fewer errors do."""
    if not others.requests or not mine.errors or mine.share - others.share < MARGIN:
        return False
    return known or (mine.errors >= FEWEST_ERRORS and _deviations(mine, others) >= DEVIATIONS)


def _deviations(mine: Tally, others: Tally) -> float:
    """How many standard deviations more errors it has than the others would have had in its place."""
    expected = (others.errors + 1) / (others.requests + 2)
    spread = math.sqrt(mine.requests * expected * (1 - expected))
    return (mine.errors - mine.requests * expected) / spread


def _held_back(weight: int, mine: Tally, others: Tally) -> Verdict:
    said = f"{mine.share:.0%} of its {mine.requests} requests failed, {others.share:.0%} of the others'"
    return Verdict(weight=max(LEAST, weight // 4), reason=said)


def _recovering(weight: int) -> Verdict:
    if weight >= FULL:
        return Verdict(weight=FULL, reason="no more errors than the others")
    more = min(FULL, 2 * max(weight, LEAST))
    return Verdict(weight=more, reason=f"no more errors than the others: its weight goes from {weight} to {more}")
