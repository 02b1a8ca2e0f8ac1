"""What to do with what is kept of an address: pure, `now` is an argument.

       said      4/5 of lifetime        lifetime                lifetime + stale
        |  fresh  |  renew             |  ask; else stale      |  ask
        +---------+--------------------+-----------------------+------> time

*renew*: told as it is, and asked again in the background. *stale*: told only when asking failed. Until `again` nobody
asks: a call failed just before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .places import LONGEST, NotAPlace, Place, place_of
from .settings import Settings

EARLY = 0.8
"""The part of its lifetime after which an answer is renewed as soon as it is used."""

STATUSES = (502, 503, 504)
"""That a failure may have."""

Verdict = Literal["fresh", "renew", "ask", "stale", "failed"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the cache holds of one address. Moments are seconds since 1970."""

    at: float = 0.0
    """When the provider said it; 0: it never did."""
    place: Place | None = None
    """None: it said that it does not know."""
    failure: str = ""
    """Why the last call failed; "" when it did not."""
    status: int = 502
    again: float = 0.0
    """Nobody asks before."""

    def to_json(self) -> dict[str, Any]:
        fields = {"at": self.at, "failure": self.failure, "status": self.status, "again": self.again}
        return {**fields, "place": self.place.to_json() if self.place else None}


def kept_of(value: Any) -> Kept | None:
    """What was written by `to_json`; None for anything else."""
    try:
        place = place_of(value["place"]) if isinstance(value["place"], Mapping) else None
        at, again, status = float(value["at"]), float(value["again"]), value["status"]
        if not (math.isfinite(at) and math.isfinite(again) and status in STATUSES):
            return None
        return Kept(at=at, place=place, failure=str(value["failure"])[:LONGEST], status=status, again=again)
    except (KeyError, TypeError, ValueError, OverflowError, NotAPlace):
        return None


def judge(kept: Kept | None, now: float, settings: Settings) -> Verdict:
    if kept is None:
        return "ask"
    age, life, waits = max(0.0, now - kept.at), lifetime(kept, settings), now < kept.again
    if kept.at and age < life:
        return "renew" if kept.place and age > life * EARLY and not waits else "fresh"
    if not waits:
        return "ask"
    return "stale" if usable(kept, now, settings) else "failed"


def usable(kept: Kept | None, now: float, settings: Settings) -> bool:
    """Whether it may be told as stale, when nothing newer can be had."""
    return bool(kept and kept.place and now - kept.at < settings.lifetime + settings.stale)


def lifetime(kept: Kept, settings: Settings) -> float:
    """Seconds after the provider's answer for which it is fresh."""
    return settings.lifetime if kept.place else settings.unknown


def keep_for(kept: Kept, now: float, settings: Settings) -> float:
    """Seconds for which the cache shall hold it: as long as it is of any use."""
    until = kept.at + lifetime(kept, settings) + (settings.stale if kept.place else 0.0) if kept.at else 0.0
    return max(until, kept.again, now + 1.0) - now
