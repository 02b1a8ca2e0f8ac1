"""Actions as an operator reads them: which service one is about, and what it did in a few words.

In: the actions of a plan. Out: one `Step` for each that touches a service, in the plan's order. `explain` shows those
of the decision itself and of the ones before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from fairlead.core.plan import (
    Action,
    EndRun,
    GiveUp,
    KillRun,
    Launch,
    LaunchRun,
    Remove,
    Resize,
    StartRun,
    StopRun,
    Succeed,
)

_VERBS = {
    "Launch": "launch",
    "Enlist": "list",
    "Start": "start",
    "Register": "register",
    "Admit": "let requests in to",
    "MarkDown": "mark down",
    "Retire": "take out",
    "Drain": "send no new request to",
    "Sever": "end what runs inside",
    "Deregister": "let go of",
    "Stop": "send SIGTERM to",
    "Kill": "send SIGKILL to",
    "End": "record the end of",
    "EndStranger": "end the stray",
    "Warm": "keep warm",
    "Pool": "return to the warm pool",
    "Condemn": "replace",
    "Restore": "give requests again to",
    "StartRun": "start",
    "LaunchRun": "start",
    "StopRun": "send SIGTERM to",
    "KillRun": "send SIGKILL to",
    "EndRun": "record the end of",
}
"""What an action does, as a verb before its instance or run."""

BEFORE_TRAFFIC = ".before-"
"""Between service and number in the id of a `before_traffic` run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of a decision that touched the service."""

    decision: int | None
    """Its id in the store; None: it is of the present moment, and not stored."""
    at: str
    """Wall clock of the decision, ISO 8601 UTC; display only."""
    ago: float | None
    """Seconds from it to the moment that is explained, by the monotonic clock; None: it was in another boot."""
    action: str
    """The action's name: `Launch`, `Retire` ..."""
    instance: str
    """The instance or run that it acts on, or ""."""
    reason: str
    text: str


def steps_of(
    actions: Iterable[Action], service: str, *, decision: int | None = None, at: str = "", ago: float | None = 0.0
) -> tuple[Step, ...]:
    """Those of `actions` that touch `service`, as steps of one decision."""
    return tuple(_step(action, decision, at, ago) for action in actions if touches(action, service))


def touches(action: Action, service: str) -> bool:
    """Whether it changes the service: its instances, what its release needs before them, or the whole deployment. A job
    that runs in its release does not."""
    match action:
        case StartRun(kind=kind):
            return kind == "before_traffic" and action.service == service
        case LaunchRun(run=run) | StopRun(run=run) | KillRun(run=run) | EndRun(run=run):
            return BEFORE_TRAFFIC in run and run.rpartition(BEFORE_TRAFFIC)[0] == service
        case Launch() | Resize():
            return action.service == service
        case Succeed() | GiveUp() | Remove():
            return True
    instance = getattr(action, "instance", None)
    return isinstance(instance, str) and service_of_instance(instance) == service


def service_of_instance(instance: str) -> str:
    """`web` of `web-7`."""
    return instance.rpartition("-")[0]


def _step(action: Action, decision: int | None, at: str, ago: float | None) -> Step:
    kind = type(action).__name__
    names = {field.name for field in fields(action)}
    acted_on = next((str(getattr(action, name)) for name in ("instance", "run", "name") if name in names), "")
    return Step(
        decision=decision, at=at, ago=ago, action=kind, instance=acted_on, reason=action_reason(action),
        text=_text(action, acted_on),
    )  # fmt: skip


def action_reason(action: Action) -> str:
    """Why, in words."""
    return str(getattr(action, "reason", ""))


def _text(action: Action, acted_on: str) -> str:
    match action:
        case Succeed():
            what = "end the deployment with success"
        case GiveUp():
            what = f"give the deployment up for {action.service}"
        case Remove():
            what = "forget the stack"
        case Launch():
            what = f"launch {action.instance} of release {action.release}"
        case Resize():
            what = f"change desired capacity from {action.before} to {action.desired}"
        case StartRun():
            what = f"start before_traffic of release {action.release}"
        case _:
            what = f"{_VERBS.get(type(action).__name__, type(action).__name__)} {acted_on}"
    reason = action_reason(action)
    return f"{what}: {reason}" if reason else what
