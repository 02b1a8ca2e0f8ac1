"""Does the balancer share requests fairly? The judging (pure) and the doing of `fairlead check`.

The acceptance test of a round-robin balancer: N requests one after another, counted by the instance that answered, and
one request to every listener. In comes the daemon's description of a stack, before and after; out goes a `Verdict` with
its reasons in words. Requests carry the stack's check token, so the balancer names the instance in its answer and any
app can be checked.

The law: on a quiet stack the counts are exact (they differ by one at most when N does not divide). With other traffic
in between, which the balancer's own request counter shows, each count lies within 4 standard deviations of its share.
`cli/check.py` calls it.
"""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TOKEN_HEADER = "X-Fairlead-Check"  # noqa: S105 (a name)
INSTANCE_HEADER = "X-Fairlead-Instance"

SIGMAS = 4.0
"""How far a count may lie from its share when others ask too: beyond it once in 16,000 checks of a fair balancer."""

PATIENCE = 10.0
"""Seconds in which each request must be answered."""

Description = dict[str, Any]
"""As `Supervisor.check` gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One request's fate: the instance that answered ("" when none says so) and the code, or why there was none."""

    instance: str = ""
    code: int | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One listener. `how` is `exact`, `spread` (others asked too) or `reached` (asked once, not counted)."""

    url: str
    service: str
    requests: int
    counts: Mapping[str, int]
    how: str
    reasons: tuple[str, ...]
    """Why it does not hold; empty when it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole check. `others`: requests that were not ours meanwhile; None when the balancer could not tell."""

    stack: str
    others: int | None
    seconds: float
    listeners: tuple[Judgement, ...]
    reasons: tuple[str, ...] = field(default=())
    """Why the check as a whole does not hold, beside the listeners' own reasons."""

    @property
    def holds(self) -> bool:
        return not self.reasons and not any(listener.reasons for listener in self.listeners)

    def to_json(self) -> dict[str, Any]:
        """The shape of `fairlead check --json`."""
        return {
            "stack": self.stack,
            "holds": self.holds,
            "reasons": list(self.reasons),
            "other_requests": self.others,
            "seconds": round(self.seconds, 3),
            "listeners": [
                {
                    "url": listener.url,
                    "service": listener.service,
                    "requests": listener.requests,
                    "counts": dict(listener.counts),
                    "judged": listener.how,
                    "holds": not listener.reasons,
                    "reasons": list(listener.reasons),
                }
                for listener in self.listeners
            ],
        }


def accepts(codes: str, code: int) -> bool:
    """Whether a matcher like `200`, `200,302` or `200-299` takes `code`."""
    for part in codes.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and int(first) <= code <= int(last if last.isdigit() else first):
            return True
    return False


def allowed(requests: int, instances: int, quiet: bool) -> tuple[int, int]:
    """The least and most of `requests` that one of `instances` (at least 1) may have had."""
    share = requests / instances
    if quiet:
        return math.floor(share), math.ceil(share)
    # Binomial: each request goes to this instance with probability 1/instances, whatever the others do.
    slack = SIGMAS * math.sqrt(requests * (1 / instances) * (1 - 1 / instances))
    return max(0, math.floor(share - slack)), min(requests, math.ceil(share + slack))


def judge(listener: Mapping[str, Any], answers: list[Answer], others: int | None) -> Judgement:
    """Judge one listener by the answers it gave. `listener` is one of the description's; one answer: only reached."""
    instances = tuple(listener["instances"])
    counts = dict.fromkeys(instances, 0)
    for answer in answers:
        if answer.instance:
            counts[answer.instance] = counts.get(answer.instance, 0) + 1
    reasons = _faults(listener, answers)
    how = "reached"
    if len(answers) > 1 and instances:
        how = "exact"
        uneven = _uneven(counts, len(answers), len(instances), quiet=True)
        if uneven and others != 0:
            how = "spread"
            uneven = _uneven(counts, len(answers), len(instances), quiet=False)
        if not reasons:
            reasons += uneven
    return Judgement(
        url=listener["url"],
        service=listener["service"],
        requests=len(answers),
        counts=counts,
        how=how,
        reasons=tuple(reasons),
    )


def _uneven(counts: Mapping[str, int], requests: int, instances: int, *, quiet: bool) -> list[str]:
    least, most = allowed(requests, instances, quiet)
    bounds = str(least) if least == most else f"{least} to {most}"
    return [
        f"{instance} answered {count} of {requests} requests, not {bounds}"
        for instance, count in counts.items()
        if not least <= count <= most
    ]


def _faults(listener: Mapping[str, Any], answers: list[Answer]) -> list[str]:
    """What is wrong with the answers themselves, each kind once, with its number."""
    service, codes = listener["service"], listener["codes"]
    if not listener["instances"]:
        return [f"no instance of {service} is in service and healthy"]
    kinds: dict[str, int] = {}
    for answer in answers:
        who = answer.instance or "no instance"
        if answer.failure:
            kind = answer.failure
        elif not answer.instance:
            kind = f"answered {answer.code} without naming an instance: the balancer answered by itself"
        elif answer.code is None or not accepts(codes, answer.code):
            kind = f"{who} answered {answer.code} to {listener['path']}, not {codes}"
        elif answer.instance not in listener["instances"]:
            kind = f"{who} answered, which was not in service when the check began"
        else:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
    missing = listener["desired"] - len(listener["instances"])
    short = [f"{missing} of the {listener['desired']} desired instances of {service} are not in service"]
    return [
        *(short if missing > 0 else ()),
        *(f"{kind} ({number} of {len(answers)} requests)" for kind, number in kinds.items()),
    ]


def others_between(before: Description, after: Description, ours: int) -> int | None:
    """How many requests were not ours between two descriptions; None when that is not known."""
    first, last = before.get("requests"), after.get("requests")
    # Fewer than ours: the balancer's node is another one now, and counts from zero.
    if first is None or last is None or last - first < ours:
        return None
    return int(last - first - ours)


def changed_between(before: Description, after: Description) -> list[str]:
    """The services whose healthy instances are not the same any more, as reasons."""
    now = {listener["url"]: listener for listener in after["listeners"]}
    reasons = []
    for listener in before["listeners"]:
        later = now.get(listener["url"])
        if later is None:
            reasons.append(f"{listener['url']} was closed during the check")
        elif set(later["instances"]) != set(listener["instances"]):
            was, became = (", ".join(sorted(ids)) or "none" for ids in (listener["instances"], later["instances"]))
            reasons.append(f"the instances of {listener['service']} changed during the check, from {was} to {became}")
    return list(dict.fromkeys(reasons))


def ask(listener: Mapping[str, Any], token: str) -> Answer:
    """One GET of the service's health check path through a listener, on a connection of its own."""
    place = urlsplit(listener["url"])
    headers = {TOKEN_HEADER: token, "User-Agent": "fairlead-check", "Connection": "close"}
    if listener["host"]:
        headers["Host"] = listener["host"]
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=PATIENCE)
    try:
        connection.request("GET", listener["path"], headers=headers)
        response = connection.getresponse()
        response.read()
        return Answer(instance=response.headers.get(INSTANCE_HEADER, ""), code=response.status)
    except TimeoutError:
        return Answer(failure=f"no answer within {PATIENCE:g} s")
    except (OSError, http.client.HTTPException) as error:
        return Answer(failure=f"no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}")
    finally:
        connection.close()


def check(
    describe: Callable[[], Description],
    requests: int,
    *,
    ask: Callable[[Mapping[str, Any], str], Answer] = ask,
) -> Verdict:
    """Do the check: `requests` to one listener of each service, one to every other; then judge. Blocks meanwhile."""
    before = describe()
    began = time.monotonic()
    counted: set[str] = set()
    asked: list[tuple[Mapping[str, Any], list[Answer]]] = []
    for listener in before["listeners"]:
        number = 1 if listener["service"] in counted else requests
        counted.add(listener["service"])
        answers: list[Answer] = []
        for _ in range(number if listener["instances"] else 1):
            answers.append(ask(listener, before["token"]))
            if answers[-1].failure:
                break
        asked.append((listener, answers))
    seconds = time.monotonic() - began
    after = describe()
    others = others_between(before, after, sum(len(answers) for _, answers in asked))
    return Verdict(
        stack=before["stack"],
        others=others,
        seconds=seconds,
        listeners=tuple(judge(listener, answers, others) for listener, answers in asked),
        reasons=tuple(changed_between(before, after) if before["listeners"] else ["the stack has no listener"]),
    )
