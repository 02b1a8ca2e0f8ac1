"""Does the balancer share requests fairly? The judging (pure) and the doing of `fairlead check`.

The acceptance test of a round-robin balancer: N requests one after another, counted by the instance that answered, and
one request to every listener. In comes the daemon's description of a stack, before and after, and its status; out goes
a `Verdict` with its reasons in words. Requests carry the stack's check token, so the balancer names the instance in its
answer and any app can be checked. A listener that sends the health check's request to no service alone (it redirects,
it has weights) is asked once for `/`, and every answer will do; a service that no such request reaches is named.

The law: on a quiet stack the counts are exact (they differ by one at most when N does not divide). With other traffic
in between, which the balancer's own request counter shows, and where the balancer chooses by chance
(`weighted_random`), each count lies within 4 standard deviations of its share.
`cli/check.py` calls it.
"""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from fairlead.drill.tls import anchors_in, server_name, trusting

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
    """One listener. `how` is `exact`, `spread` (by chance, or others asked too) or `reached` (asked, not counted)."""

    url: str
    service: str
    """"" when no service alone gets what was asked."""
    requests: int
    counts: Mapping[str, int]
    how: str
    reasons: tuple[str, ...]
    """Why it does not hold; empty when it does."""
    answered: int | None = None
    """The code of a listener without a service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole check. `others`: requests that were not ours meanwhile; None when the balancer could not tell."""

    stack: str
    others: int | None
    seconds: float
    listeners: tuple[Judgement, ...]
    reasons: tuple[str, ...] = field(default=())
    """Why the check as a whole does not hold, beside the listeners' own reasons."""
    not_asked: tuple[str, ...] = field(default=())
    """Services that no request of the check can be sure to reach."""

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
            "not_asked": list(self.not_asked),
            "listeners": [
                {
                    "url": listener.url,
                    "service": listener.service or None,
                    "answered": listener.answered,
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
        by_chance = listener.get("algorithm") == "weighted_random"
        how = "spread" if by_chance else "exact"
        uneven = _uneven(counts, len(answers), len(instances), quiet=not by_chance)
        if uneven and others != 0:
            how = "spread"
            uneven = _uneven(counts, len(answers), len(instances), quiet=False)
        if not reasons:
            reasons += uneven + (_slow_start(listener) if uneven else [])
    return Judgement(
        url=listener["url"],
        service=listener["service"],
        requests=len(answers),
        counts=counts,
        how=how,
        reasons=tuple(reasons),
    )


def _slow_start(listener: Mapping[str, Any]) -> list[str]:
    """What may explain uneven shares, where the service asks for it."""
    length = listener.get("slow_start") or 0
    return [f"{listener['service']} has a slow start: a new instance gets fewer for {length:g} s"] if length else []


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
    verb = "is" if missing == 1 else "are"
    short = [f"{missing} of the {listener['desired']} desired instances of {service} {verb} not in service"]
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


Ask = Callable[[Mapping[str, Any], str], Answer]


def asking(*anchors: str) -> Ask:
    """`ask`, trusting those PEM files and the listeners' own certificates beside what the machine trusts."""
    contexts: dict[tuple[str, ...], ssl.SSLContext] = {}

    def ask_trusting(listener: Mapping[str, Any], token: str) -> Answer:
        trusted = (*anchors, *anchors_in(listener.get("certificates", ())))
        if trusted not in contexts and listener["url"].startswith("https:"):
            contexts[trusted] = trusting(*trusted)
        return ask(listener, token, contexts.get(trusted))

    return ask_trusting


def ask(listener: Mapping[str, Any], token: str, tls: ssl.SSLContext | None = None) -> Answer:
    """One GET of the service's health check path through a listener, on a connection of its own. tls: of HTTPS ones."""
    place = urlsplit(listener["url"])
    headers = {TOKEN_HEADER: token, "User-Agent": "fairlead-check", "Connection": "close"}
    if listener["host"]:
        headers["Host"] = listener["host"]
    port = place.port or (80 if place.scheme == "http" else 443)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", port, timeout=PATIENCE)
    try:
        if place.scheme == "https":
            connection.sock = _encrypted(listener, place, port, tls or trusting())
        connection.request("GET", listener["path"], headers=headers)
        response = connection.getresponse()
        response.read()
        return Answer(instance=response.headers.get(INSTANCE_HEADER, ""), code=response.status)
    except TimeoutError:
        return Answer(failure=f"no answer within {PATIENCE:g} s")
    except ssl.SSLCertVerificationError as error:
        return Answer(failure=f"its certificate does not hold: {error.verify_message}")
    except (OSError, http.client.HTTPException) as error:
        return Answer(failure=f"no answer: {getattr(error, 'strerror', None) or error or type(error).__name__}")
    finally:
        connection.close()


def _encrypted(listener: Mapping[str, Any], place: SplitResult, port: int, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """A verified connection, by the name that the request is for where the listener has a certificate for it."""
    address = place.hostname or "127.0.0.1"
    host = urlsplit(f"//{listener['host']}").hostname or address
    name = server_name(host, listener.get("certificates", ()))
    plain = socket.create_connection((address, port), timeout=PATIENCE)
    try:
        return tls.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def check(
    describe: Callable[[], Description],
    requests: int,
    *,
    ask: Ask = ask,
    shown: Mapping[str, Any] | None = None,
) -> Verdict:
    """Do the check: `requests` to one listener of each service, one to every other; then judge. Blocks meanwhile.

    shown: the stack in the contract of `status --json`, for the listeners and services that `describe` leaves out."""
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
    after = describe()
    # After the counting: these are no requests of the services that were counted.
    others = [_reached(listener, ask(listener, before["token"])) for listener in _left_out(before, shown or {})]
    listeners = (*(judge(one, answers, _others(before, after, asked)) for one, answers in asked), *others)
    return Verdict(
        stack=before["stack"],
        others=_others(before, after, asked),
        seconds=time.monotonic() - began,
        listeners=listeners,
        reasons=tuple(changed_between(before, after) if listeners else ["the stack has no listener"]),
        not_asked=tuple(_not_asked(before, shown or {})),
    )


def _others(before: Description, after: Description, asked: list[tuple[Mapping[str, Any], list[Answer]]]) -> int | None:
    return others_between(before, after, sum(len(answers) for _, answers in asked))


def _left_out(described: Description, shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The listeners of the stack that are not described, so that they can be asked."""
    urls = {listener["url"] for listener in described["listeners"]}
    return [
        {"url": one["url"], "host": "", "path": "/", "certificates": one.get("certificates") or ()}
        for one in shown.get("listeners", ())
        if one["url"] not in urls
    ]


def _reached(listener: Mapping[str, Any], answer: Answer) -> Judgement:
    """That it answers is all that can be asked of it."""
    return Judgement(
        url=listener["url"],
        service="",
        requests=1,
        counts={},
        how="reached",
        reasons=(answer.failure,) if answer.failure else (),
        answered=answer.code,
    )


def _not_asked(described: Description, shown: Mapping[str, Any]) -> Iterator[str]:
    known = {listener["service"] for listener in described["listeners"]}
    for service in shown.get("services", ()):
        # One of size 0 is on its way out of the stack.
        if service.get("serves", True) and service["desired"] and service["name"] not in known:
            yield service["name"]
