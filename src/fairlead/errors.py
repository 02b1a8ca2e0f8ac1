"""Everything that can go wrong on purpose, as one tree.

    FairleadError
    +-- SpecError           the file: one or many problems, each with its place
    +-- BuildError          a release could not be made (source, interpreter, requirements, the app object)
    +-- EngineError         an instance could not be launched, signalled or looked at
    +-- BalancerError       HAProxy refused a configuration or a command, or does not answer
    |   +-- PortInUse       a listener's port is taken; says by whom
    |   +-- CertificateError  a listener's certificate cannot be used; says which file and why
    +-- GaugeError          a metric of the user's own could not be read
    +-- StoreError          the home or its database
    |   +-- HomeBusy        another daemon holds the home
    |   +-- HomeTooNew      a newer fairlead wrote it
    +-- DeploymentFailed    a change was given up; says what is serving now
    +-- DaemonUnavailable   no daemon answers, and the command needs one
    +-- NotFound            a stack, service or instance of that name does not exist
    +-- UsageError          the command line asks for something impossible

An error reads `what happened: why`, and ends with what to do next. It is made of fields, so that the command line, the
API and the logs print the same. Adapters raise only from this tree, with the cause chained.
"""

from __future__ import annotations

from typing import Any


class FairleadError(Exception):
    """What happened, why, and what to do next.

    what: a short clause, no full stop ("port 8080 is taken").
    why: the cause with the values that disagree, or "" when `what` says it all.
    next_step: an imperative sentence, often a command, or "".
    place: `fairlead.yaml:12:7` when a value of the file caused it, or "".
    detail: lines to show as they are (a tool's own message, the last log lines), or "".
    """

    code = "error"
    exit_status = 1

    def __init__(self, what: str, why: str = "", next_step: str = "", *, place: str = "", detail: str = "") -> None:
        self.what, self.why, self.next_step, self.place, self.detail = what, why, next_step, place, detail
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """`place: what: why`, on one line."""
        return ": ".join(part for part in (self.place, self.what, self.why) if part)

    def to_json(self) -> dict[str, Any]:
        """The one shape of an error in the API: {code, what, why, next, place, detail}."""
        return {
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "next": self.next_step,
            "place": self.place,
            "detail": self.detail,
        }


class SpecError(FairleadError):
    """The file has problems. `problems` holds them all, in the order of their places, as printable lines."""

    code = "spec"
    exit_status = 2

    def __init__(self, what: str, problems: tuple[str, ...] = (), next_step: str = "", *, place: str = "") -> None:
        super().__init__(what, "", next_step, place=place, detail="\n".join(problems))
        self.problems = problems


class BuildError(FairleadError):
    code = "build"


class EngineError(FairleadError):
    code = "engine"


class BalancerError(FairleadError):
    code = "balancer"


class PortInUse(BalancerError):
    code = "port_in_use"


class CertificateError(BalancerError):
    code = "certificate"


class ResourceError(FairleadError):
    code = "resource"


class GaugeError(FairleadError):
    code = "gauge"


class StoreError(FairleadError):
    code = "store"


class HomeBusy(StoreError):
    code = "home_busy"
    exit_status = 3


class HomeTooNew(StoreError):
    code = "home_too_new"


class DeploymentFailed(FairleadError):
    code = "deployment_failed"


class DaemonUnavailable(FairleadError):
    code = "daemon_unavailable"


class NotFound(FairleadError):
    code = "not_found"
    exit_status = 2


class UsageError(FairleadError):
    code = "usage"
    exit_status = 2


def from_json(fields: dict[str, Any]) -> FairleadError:
    """The error that `to_json` described, as the class its code names; used by the API's client."""
    kinds: dict[str, type[FairleadError]] = {}
    waiting: list[type[FairleadError]] = [FairleadError]
    while waiting:
        kind = waiting.pop()
        kinds[kind.code] = kind
        waiting.extend(kind.__subclasses__())
    kind = kinds.get(str(fields.get("code", "")), FairleadError)
    detail = str(fields.get("detail", ""))
    if issubclass(kind, SpecError):
        return kind(
            str(fields.get("what", "")),
            tuple(detail.splitlines()),
            str(fields.get("next", "")),
            place=str(fields.get("place", "")),
        )
    return kind(
        str(fields.get("what", "")),
        str(fields.get("why", "")),
        str(fields.get("next", "")),
        place=str(fields.get("place", "")),
        detail=detail,
    )
