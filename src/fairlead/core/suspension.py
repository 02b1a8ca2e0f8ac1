"""Processes of a service that an operator can suspend, by AWS's names (aws-semantics D11).

Suspended, fairlead watches and does not act. What each of them stops is said at the decision that asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LAUNCH, TERMINATE, REPLACE_UNHEALTHY = "Launch", "Terminate", "ReplaceUnhealthy"
ALARM_NOTIFICATION, SCHEDULED_ACTIONS, AZ_REBALANCE = "AlarmNotification", "ScheduledActions", "AZRebalance"

PROCESSES = {
    LAUNCH: "no instance is started",
    TERMINATE: "no instance is ended while it lives",
    REPLACE_UNHEALTHY: "instances that die or are unhealthy are not replaced",
    ALARM_NOTIFICATION: "scaling policies are ignored",
    SCHEDULED_ACTIONS: "scheduled actions are skipped",
    AZ_REBALANCE: "instances are not moved between zones",
}
"""Each with what it means that it is suspended."""


def named(words: Iterable[str]) -> tuple[str, ...]:
    """The processes that these words mean, in the table's order: `Launch`, `launch`, `replace-unhealthy`; none: all.
    ValueError says which word means none."""
    by_word = {_plain(name): name for name in PROCESSES}
    meant = set()
    for word in words:
        if _plain(word) not in by_word:
            near = get_close_matches(_plain(word), by_word, n=1)
            hint = f"; did you mean {by_word[near[0]]}?" if near else ""
            raise ValueError(f"{word!r} is no process{hint}")
        meant.add(by_word[_plain(word)])
    return tuple(name for name in PROCESSES if name in meant or not meant)


def _plain(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")
