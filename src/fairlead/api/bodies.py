"""What clients may send, as models that refuse everything else. `routes` reads requests through them."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    SecretStr,
    model_validator,
)

from fairlead.metrics.query import Query

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of the longest body that is read: a `.env` of a megabyte fits with room."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


class PlanBody(BaseModel):
    """POST /plan: which file, and what its `${env.NAME}` may see."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: Annotated[str, Field(max_length=4096), AfterValidator(_absolute)]
    """The fairlead.yaml, absolute."""
    dotenv: str = ""
    """The text of `.env` beside it, or ""."""
    env: dict[str, str] = Field(default_factory=dict)
    """The variables of the client's environment that the file's text names, and no others."""


class UpBody(PlanBody):
    """POST /stacks: bring that file up."""

    who: Annotated[str, Field(max_length=200)] = ""
    """What a second `up` that waits for this one is told of who asked: `pid 4711 on pts/3`."""


class CancelBody(BaseModel):
    """POST /stacks/NAME/cancel."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    who: Annotated[str, Field(max_length=200)] = ""
    """Whose `up` it is, as in `UpBody`; the one of another goes on. "": whoever's it is."""


class ScaleBody(BaseModel):
    """POST /stacks/NAME/scale."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    service: str
    desired: int | None = Field(default=None, ge=0, le=10_000)
    """How many instances there should be."""
    minimum: int | None = Field(default=None, ge=0, le=10_000)
    maximum: int | None = Field(default=None, ge=0, le=10_000)
    """Bounds of an auto scaling group. At least one of the three is given."""

    @model_validator(mode="after")
    def _changes_something(self) -> ScaleBody:
        if self.desired is self.minimum is self.maximum is None:
            raise ValueError("one of desired, minimum and maximum is needed")
        return self


class SuspendBody(BaseModel):
    """POST /stacks/NAME/suspend and /stacks/NAME/resume."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    service: str
    processes: list[str] = Field(default=[], max_length=20)
    """By AWS's names; none: all."""


class StandbyBody(BaseModel):
    """POST /stacks/NAME/instances/ID/standby."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    decrement: bool = False
    """Desired becomes one less; else another instance is started in its place."""


class RestartBody(BaseModel):
    """POST /stacks/NAME/restart."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    service: str | None = None
    """None: every service of the stack."""


class DrainBody(BaseModel):
    """POST /stacks/NAME/instances/ID/drain."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    force: bool = False
    """Also when it is the last that serves."""


class ProtectBody(BaseModel):
    """POST /stacks/NAME/instances/ID/protect."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    on: bool = True
    """False: no longer protected."""


class TerminateBody(BaseModel):
    """POST /stacks/NAME/instances/ID/terminate."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    now: bool = False
    """End it before another serves in its place."""
    decrement: bool = False
    """Start none in its place: the service's size becomes one less."""


class OpenBody(BaseModel):
    """POST /stacks/NAME/instances/ID/open."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    seconds: float = Field(default=3600.0, gt=0, allow_inf_nan=False)
    """How long it can be reached alone."""


class FileBody(BaseModel):
    """POST /stacks/NAME/data/ID/backup and .../restore."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    file: Annotated[str, Field(max_length=4096), AfterValidator(_absolute)]
    """The file of the backup, absolute."""


class DataQuery(BaseModel):
    """GET /data: of all stacks, or of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this one; None: all."""


class SecretBody(BaseModel):
    """PUT /stacks/NAME/secrets/SECRET."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    value: SecretStr
    """As it was typed or piped in: the daemon trims and judges it."""


class RemoveSecretQuery(BaseModel):
    """DELETE /stacks/NAME/secrets/SECRET."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force: bool = False
    """Also when the stack that is up uses it."""


class EntryQuery(BaseModel):
    """GET /stacks/NAME/entry: of a service's release, or of an instance; one of the two."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str | None = None
    instance: str | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> EntryQuery:
        if (self.service is None) == (self.instance is None):
            raise ValueError("name a service or an instance")
        return self


class ExplainQuery(BaseModel):
    """GET /stacks/NAME/explain: which service, at which moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str
    at: str | None = None
    """ISO 8601 with a zone; None: now."""


class EventsQuery(BaseModel):
    """GET /events: which of the kept records to answer with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this stack's; None: all."""
    limit: int = Field(default=100, ge=1, le=10_000)
    """At most this many, the newest."""
    after: int = Field(default=0, ge=0)
    """Only those with a greater id."""


class JobsQuery(BaseModel):
    """GET /jobs: of all stacks, or of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this one; None: all."""


class StatusQuery(BaseModel):
    """GET /status: all stacks, or one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stack: str | None = None
    """Only this one; None: all."""
    explain: bool = False
    """Add to each instance `explanation`, a clause on its last check: for people, not part of the contract."""


class ListenerBody(BaseModel):
    """PUT /metrics/listener: where a Prometheus may ask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: IPvAnyAddress
    port: int = Field(ge=1, le=65535)
    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}$")], ...] = Field(default=(), max_length=100)
    """Names by which it may be asked there, beside addresses and localhost."""


class MetricsQuery(BaseModel):
    """GET /stacks/NAME/metrics: whose, from when to when, in steps of how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str = ""
    zone: str = ""
    target: str = ""
    since: AwareDatetime | None = None
    """ISO 8601 with a zone."""
    until: AwareDatetime | None = None
    period: int | None = Field(default=None, ge=1, le=86400)
    """Seconds."""

    def of(self, stack: str) -> Query:
        """The same of a stack, as the meter takes it."""
        since = self.since.timestamp() if self.since else None
        until = self.until.timestamp() if self.until else None
        return Query(
            stack=stack,
            service=self.service,
            zone=self.zone,
            target=self.target,
            since=since,
            until=until,
            period=self.period,
        )
