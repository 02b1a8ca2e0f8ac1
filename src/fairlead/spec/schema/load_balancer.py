"""`load_balancer`: listeners, their rules and actions, as on an Application Load Balancer (aws-semantics A)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import fail, holding
from fairlead.spec.schema.numbers import Duration, PortOr, Whole
from fairlead.spec.schema.services import Id
from fairlead.spec.schema.texts import Address, Cidr, Line

Weight = Annotated[int, Whole(0, 999)]
Header = Annotated[str, Line(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header", 40)]
_PART_OF_URL = Line(r"[\x21-\x7e]+", "visible ASCII characters without blanks", 128)


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Values = Annotated[
    tuple[Annotated[str, Line(r"[\x20-\x7e]+", "visible ASCII characters", 128)], ...],
    BeforeValidator(_one_or_many),
    holding(1, 5),
]


def _service_or_weights(value: Any) -> Any:
    return {value: 100} if isinstance(value, str) else value


def _word_or_files(value: Any) -> str:
    return "word" if isinstance(value, str) else "files"


class Redirect(Part):
    """The parts of the address that change; the others stay. `#{host}` and its kin as on an ALB."""

    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] | None = None
    host: Annotated[str, _PART_OF_URL] | None = None
    port: Annotated[int | str, PortOr("#{port}")] | None = None
    path: Annotated[str, Line(r"/[\x21-\x7e]*", "a path that begins with /", 128)] | None = None
    query: Annotated[str, _PART_OF_URL] | None = None
    status: Literal[301, 302]

    def conflicts(self) -> Iterator[Conflict]:
        names = ("protocol", "host", "port", "path", "query")
        if all(getattr(self, name) is None for name in names):
            yield Conflict(("", *names), "leads back to the same address", "add what changes, as in `protocol: HTTPS`")


class Respond(Part):
    """A fixed answer."""

    status: Annotated[int, Whole(200, 599)]
    content_type: Literal["text/plain", "text/css", "text/html", "application/javascript", "application/json"] = (
        "text/plain"
    )
    body: Annotated[str, Line(most=1024)] = ""


class Action(Part):
    """What happens to a request: exactly one of the three."""

    forward: Annotated[dict[Id, Weight], BeforeValidator(_service_or_weights), holding(1, 5)] | None = None
    """A service, or services with weights."""
    redirect: Redirect | None = None
    respond: Respond | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_a_word(cls, value: Any) -> Any:
        return (
            fail("must say what happens to the request", "write {forward: {value}}")
            if isinstance(value, str)
            else value
        )

    def conflicts(self) -> Iterator[Conflict]:
        yield from exactly_one(self, ("forward", "redirect", "respond"), "what happens to the request")
        if self.forward is not None and not any(self.forward.values()):
            yield Conflict(("forward",), "gives every service the weight 0, so that none would get a request")


class Conditions(Part):
    """All of them must hold; of several values of one, any."""

    path: Values | None = None
    host: Values | None = None
    method: Values | None = None
    header: Annotated[dict[Header, Values], holding(1)] | None = None
    query: Annotated[dict[Annotated[str, Line(most=128)], Values], holding(1)] | None = None
    source_ip: Annotated[tuple[Annotated[str, Cidr()], ...], BeforeValidator(_one_or_many), holding(1)] | None = None

    def conflicts(self) -> Iterator[Conflict]:
        names = tuple(type(self).model_fields)
        if all(getattr(self, name) is None for name in names):
            yield Conflict(("", *names), "has no condition", "add `path`, `host`, `method` or another")


class Rule(Action):
    """Conditions and an action."""

    when: Conditions


class Certificate(Part):
    """A certificate with its chain, and its key, both PEM."""

    file: Annotated[str, Line(most=4096)]
    key: Annotated[str, Line(most=4096)]


class Listener(Part):
    """A port on which requests are taken."""

    port: Annotated[int, Whole(1, 65535)]
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    certificates: (
        Annotated[
            Annotated[tuple[Certificate, ...], holding(1), Tag("files")]
            | Annotated[Literal["local", "acme"], Tag("word")],
            Discriminator(_word_or_files),
        ]
        | None
    ) = None
    rules: Annotated[tuple[Rule, ...], holding(0, 100)] = ()
    """In order; the first whose conditions all hold is used."""
    default: Action

    def conflicts(self) -> Iterator[Conflict]:
        if self.certificates is not None and self.protocol == "HTTP":
            yield Conflict(("certificates", "protocol"), "goes only with `protocol: HTTPS`")
        elif self.certificates is None and self.protocol == "HTTPS":
            yield Conflict(
                ("protocol", "certificates"), "HTTPS needs `certificates`", "add `certificates: local` to try it out"
            )


class LoadBalancer(Part):
    """Where requests come in."""

    address: Annotated[str, Address()] = "127.0.0.1"
    idle_timeout: Annotated[float, Duration(1, 4000)] = 60.0
    client_keep_alive: Annotated[float, Duration(60, 7 * 86400)] = 3600.0
    forwarded_for: Literal["append", "preserve", "remove"] = "append"
    desync_mitigation: Literal["defensive", "monitor", "strictest"] = "defensive"
    drop_invalid_headers: bool = False
    preserve_host: bool = True
    access_log: bool = True
    listeners: Annotated[tuple[Listener, ...], holding(1, 50)] | None = None
    """Default: one, HTTP on port 8080, that forwards to the only service with a port."""
