"""`fairlead explain`: stored decisions and the present, made into the values that `core/explain` judges.

In: rows of the journal (JSON as `control/journal` wrote it, perhaps by an earlier version), or one snapshot of now.
Out: the answer of the API, as JSON values (docs/reference/explain.md). A field that is missing gets its default, an
action or field that this version does not know is passed over; a snapshot that cannot be read is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Protocol, get_args

from pydantic import TypeAdapter, ValidationError

from fairlead.core import explain as core
from fairlead.core.desired import StackRecord
from fairlead.core.figures import Figures
from fairlead.core.observed import Observed
from fairlead.core.plan import Action
from fairlead.core.reconcile import decide
from fairlead.core.scaling.shown import ScalingShown, shown
from fairlead.core.steps import Step, steps_of
from fairlead.errors import NotFound, StoreError, UsageError

LOOKED_AT = 100
"""Decisions before the explained one that are searched for steps of the service."""

MOST_EARLIER = 20
"""Earlier steps that are told."""

BUDGET = 2_000_000
"""Characters of earlier snapshots that are read: some 20 ms of the daemon's loop."""

_QUIET = {"MarkDown", "Register", "Drain", "Deregister", "Stop"}
"""Steps between two that matter; told of the explained decision, left out of the earlier ones."""

_STACK_RECORD: TypeAdapter[StackRecord] = TypeAdapter(StackRecord)
_OBSERVED: TypeAdapter[Observed] = TypeAdapter(Observed)
_ACTIONS: dict[str, TypeAdapter[Action]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Action)}


class Decisions(Protocol):
    """What is asked of the journal: `Store`, or a database that is only read."""

    def decisions(self, stack: str | None, limit: int, until: str | None = None) -> list[dict[str, Any]]:
        """The last `limit` of a stack, at or before wall clock `until`, oldest first: id, at, stack, snapshot, plan."""

    def first_decision(self, stack: str) -> str | None:
        """Wall clock of the oldest one that is kept."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """One stored decision, read."""

    id: int
    at: str
    now: float
    wanted: StackRecord
    observed: Observed
    actions: tuple[Action, ...]


def explain_present(
    kept: Decisions,
    wanted: StackRecord,
    observed: Observed,
    now: float,
    wall: str,
    service: str,
    figures: Mapping[str, Figures],
    scaling: ScalingShown | None = None,
) -> dict[str, Any]:
    """Why `service` is as it is now. now, wall: the two clocks at the snapshot. figures: how it ("") and its instances
    did of late. scaling: its auto scaling group, if it has one. NotFound: no such service."""
    rows = kept.decisions(wanted.name, LOOKED_AT)
    try:
        explanation = core.explain(
            wanted,
            observed,
            now,
            service,
            decided=decide(wanted, observed, now).actions,
            earlier=_steps(rows, service, now, observed.boot),
            since=_since(wanted, rows, service),
            figures=figures,
            scaling=scaling,
        )
    except KeyError:
        raise _no_such_service(wanted, observed, service) from None
    first = kept.first_decision(wanted.name)
    return {"at": wall, "asked": None, "decision": None, "kept_since": first, **asdict(explanation)}


def explain_past(
    kept: Decisions, stack: str, service: str, at: str | None, figures: Mapping[str, Figures] | None = None
) -> dict[str, Any]:
    """Why `service` was as it was at the last decision at or before `at` (ISO 8601 with a zone; None: at the last one).
    figures: how it ("") and its instances did then.

    NotFound: no such stack or service, or no decision of that time is kept. UsageError: `at` is no time. StoreError:
    the decision cannot be read."""
    until = None if at is None else _utc(at)
    rows = kept.decisions(stack, LOOKED_AT + 1, until)
    first = kept.first_decision(stack)
    if not rows:
        raise _nothing_kept(stack, service, until, first)
    moment = _read(rows[-1])
    try:
        explanation = core.explain(
            moment.wanted,
            moment.observed,
            moment.now,
            service,
            decided=moment.actions,
            decision=moment.id,
            at=moment.at,
            earlier=_steps(rows[:-1], service, moment.now, moment.observed.boot),
            since=_since(moment.wanted, rows, service),
            figures=figures,
            scaling=_group_then(moment.wanted, service),
        )
    except KeyError:
        raise _no_such_service(moment.wanted, moment.observed, service) from None
    return {"at": moment.at, "asked": until, "decision": moment.id, "kept_since": first, **asdict(explanation)}


def _group_then(wanted: StackRecord, name: str) -> ScalingShown | None:
    """The sizes of that moment, and why; what the policies found is told by the decisions themselves."""
    for service in wanted.desired.stack.services:
        if service.name == name and service.scaling is not None:
            return shown(service, wanted.groups.get(name))
    return None


def _utc(at: str) -> str:
    """`at` as decisions are stamped: UTC, to the millisecond, so that texts compare like times."""
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("it has no time zone")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{at!r} is no moment", str(error), "Write it like 2026-11-21T10:02:00Z.") from error
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _read(row: dict[str, Any]) -> _Moment:
    try:
        snapshot = json.loads(row["snapshot"])
        return _Moment(
            id=int(row["id"]),
            at=str(row["at"]),
            now=float(snapshot["now"]),
            wanted=_STACK_RECORD.validate_python(snapshot["wanted"]),
            observed=_OBSERVED.validate_python(snapshot["observed"]),
            actions=tuple(_actions(row["plan"])),
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StoreError(
            f"decision {row['id']} cannot be read",
            "another version of fairlead wrote it, or it was changed by hand",
            "Explain another moment with --at.",
            detail=str(error),
        ) from error


def _actions(plan: str) -> Iterator[Action]:
    """Those that this version knows. ValueError: it is no JSON."""
    stored = json.loads(plan)
    for fields in stored if isinstance(stored, list) else ():
        adapter = _ACTIONS.get(str(fields.get("action"))) if isinstance(fields, dict) else None
        if adapter is None:
            continue
        try:
            yield adapter.validate_python(fields)
        except ValidationError:
            continue


def _steps(rows: Sequence[dict[str, Any]], service: str, now: float, boot: str) -> tuple[Step, ...]:
    """The last things that earlier decisions did about the service, oldest first."""
    told: list[Step] = []
    for row in reversed(rows):
        if len(told) >= MOST_EARLIER:
            break
        try:
            actions = [action for action in _actions(row["plan"]) if type(action).__name__ not in _QUIET]
        except ValueError:
            continue
        found = steps_of(actions, service, decision=int(row["id"]), at=str(row["at"]))
        # Only now is the snapshot read: it is what takes time.
        ago = _age(row, now, boot) if found else None
        told[:0] = [replace(step, ago=ago) for step in found]
    return tuple(told[-MOST_EARLIER:])


def _age(row: dict[str, Any], now: float, boot: str) -> float | None:
    """Seconds from the row's decision to `now`; None: it was of another boot, or does not say when it was."""
    snapshot = _loaded(row)
    then, observed = snapshot.get("now"), snapshot.get("observed")
    if not isinstance(then, int | float) or not isinstance(observed, dict) or observed.get("boot", "") != boot:
        return None
    return max(0.0, now - then)


def _since(wanted: StackRecord, rows: Sequence[dict[str, Any]], service: str) -> core.Since | None:
    """The deployment that made the wanted release the wanted one: the oldest of the newest decisions that all want it
    names it, if the one before wanted another."""
    release = wanted.desired.releases.get(service)
    if release is None or wanted.deployment is None:
        return None
    deployment, budget = wanted.deployment.number, BUDGET
    for row in reversed(rows):
        budget -= len(row["snapshot"])
        if budget < 0:
            break
        then = _wanted_then(row, service)
        if then is None:
            break
        number, under = then
        if number != release.number:
            return core.Since(deployment=deployment, at_the_latest=False)
        deployment = under or deployment
    # The first `up` of a stack is its deployment 1.
    return core.Since(deployment=deployment, at_the_latest=deployment > 1)


def _wanted_then(row: dict[str, Any], service: str) -> tuple[int | None, int | None] | None:
    """The number of the service's release that a decision judged (None: the stack went down), and of the stack's last
    deployment then."""
    try:
        wanted = _loaded(row)["wanted"]
        under = wanted["deployment"]
        number = wanted["desired"]["releases"][service]["number"] if wanted["wanted"] == "up" else None
        return number, under["number"] if under else None
    except (KeyError, TypeError):
        return None


def _loaded(row: dict[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(row["snapshot"])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _no_such_service(wanted: StackRecord, observed: Observed, service: str) -> NotFound:
    names = {one.name for one in wanted.desired.stack.services}
    names |= {instance.record.service for instance in observed.instances}
    likely = get_close_matches(service, sorted(names), n=1)
    meant = f"; did you mean '{likely[0]}'?" if likely else ""
    has = f"it has {', '.join(sorted(names))}{meant}" if names else "it has none"
    return NotFound(f"there is no service '{service}' in {wanted.name}", has, "fairlead status")


def _nothing_kept(stack: str, service: str, until: str | None, first: str | None) -> NotFound:
    if first is None:
        return NotFound(f"no decision of a stack '{stack}' is kept", "it was never up in this home", "fairlead status")
    return NotFound(
        f"no decision of '{stack}' from before {until} is kept",
        f"the oldest one is of {first}; the journal keeps the newest",
        f"Ask for a moment after that: fairlead explain {service} --at {first}",
    )
