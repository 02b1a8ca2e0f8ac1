"""What clients may send, as models that refuse everything else. `routes` reads requests through them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of the longest body that is read: a `.env` of a megabyte fits with room."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


class UpBody(BaseModel):
    """POST /stacks: which file to bring up, and what its `${env.NAME}` may see."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: Annotated[str, Field(max_length=4096), AfterValidator(_absolute)]
    """The fairlead.yaml, absolute."""
    dotenv: str = ""
    """The text of `.env` beside it, or ""."""
    env: dict[str, str] = Field(default_factory=dict)
    """The variables of the client's environment that the file's text names, and no others."""


class EventsQuery(BaseModel):
    """GET /events: which of the kept records to answer with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this stack's; None: all."""
    limit: int = Field(default=100, ge=1, le=10_000)
    """At most this many, the newest."""
    after: int = Field(default=0, ge=0)
    """Only those with a greater id."""


class StatusQuery(BaseModel):
    """GET /status: all stacks, or one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this one; None: all."""
    explain: bool = False
    """Add to each instance `explanation`, a clause on its last check: for people, not part of the contract."""
