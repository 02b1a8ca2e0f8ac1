"""What a fake program does by itself, and how a fake engine misbehaves: values that a test writes down beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairlead.core.processes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one program behaves. Times are seconds after its launch, unless said otherwise."""

    refuses: str = ""
    """Why it cannot be launched at all; "": it can."""
    answers_after: float = 0.0
    """When it begins to answer at its address; `math.inf`: never."""
    exits_after: float | None = None
    """When it ends by itself; None: it does not."""
    outcome: Outcome = Outcome(exit_status=0)  # noqa: RUF009 (frozen)
    """How it ends by itself."""
    freezes_after: float | None = None
    """When it stops answering, obeying and ending, without being gone."""
    stops_in: float | None = 0.0
    """Seconds from SIGTERM to its end; None: it ignores SIGTERM."""
    stop_outcome: Outcome = Outcome(signal=15)  # noqa: RUF009 (frozen)
    """How it ends after SIGTERM."""
    leaves_behind: bool = False
    """Whether a child of it survives its end, until it is killed or cleared."""
    cores: float = 0.0
    """Of the processor, that it keeps busy while it lives and is not frozen."""
    log: str = ""
    """What it writes."""
    diagnosis: str = ""
    """What `diagnose` says while it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one call of a verb.

    slow: it takes so many seconds longer. refuse: it does nothing and raises EngineError. lie: it does its work, and
    then raises EngineError as if it had not; `observe` returns what it returned the time before.
    """

    kind: Literal["slow", "refuse", "lie"]
    seconds: float = 0.0
