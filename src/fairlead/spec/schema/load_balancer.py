"""`load_balancer`: listeners, their rules and actions, as on an Application Load Balancer (aws-semantics A)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import ONE_OR_MANY, Holding, Short, fail
from fairlead.spec.schema.numbers import Duration, PortOr, Whole
from fairlead.spec.schema.services import Id
from fairlead.spec.schema.texts import Address, Cidr, HostPattern, Line, PathPattern

Weight = Annotated[int, Whole(0, 999)]
Header = Annotated[str, Line(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of a header", 40)]
_PART_OF_URL = Line(r"[\x21-\x7e]+", "visible ASCII characters without blanks", 128)


MOST_WILDCARDS = 5
"""In one rule, as on an ALB."""

Values = Annotated[
    tuple[Annotated[str, Line(r"[\x20-\x7e]+", "visible ASCII characters", 128)], ...], ONE_OR_MANY, Holding(1, 5)
]
Paths = Annotated[tuple[Annotated[str, PathPattern()], ...], ONE_OR_MANY, Holding(1, 5)]
Hosts = Annotated[tuple[Annotated[str, HostPattern()], ...], ONE_OR_MANY, Holding(1, 5)]


def _service_or_weights(value: Any) -> Any:
    return {value: 100} if isinstance(value, str) else value


_ONE_SERVICE = Short(_service_or_weights, "a service, or services with weights", (("type", "string"),))


def _word_or_files(value: Any) -> str:
    return "word" if isinstance(value, str) else "files"


class Redirect(Part):
    """The parts of the address that change; the others stay. `#{host}` and its kin as on an ALB."""

    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] | None = None
    """Default: that of the request."""
    host: Annotated[str, _PART_OF_URL] | None = None
    """Default: that of the request."""
    port: Annotated[int | str, PortOr("#{port}")] | None = None
    """Default: that of the request."""
    path: Annotated[str, Line(r"/[\x21-\x7e]*", "a path that begins with /", 128)] | None = None
    """Default: that of the request."""
    query: Annotated[str, _PART_OF_URL] | None = None
    """Default: that of the request."""
    status: Literal[301, 302]
    """301: for good; 302: for now."""

    def conflicts(self) -> Iterator[Conflict]:
        names = ("protocol", "host", "port", "path", "query")
        if all(getattr(self, name) is None for name in names):
            yield Conflict(("", *names), "leads back to the same address", "add what changes, as in `protocol: HTTPS`")


class Respond(Part):
    """A fixed answer."""

    status: Annotated[int, Whole(200, 599)]
    """The HTTP code."""
    content_type: Literal["text/plain", "text/css", "text/html", "application/javascript", "application/json"] = (
        "text/plain"
    )
    """What `body` is."""
    body: Annotated[str, Line(most=1024)] = ""
    """What the client gets to read."""


class Action(Part):
    """What happens to a request: exactly one of the three."""

    forward: Annotated[dict[Id, Weight], _ONE_SERVICE, Holding(1, 5)] | None = None
    """The service that gets the request, or services with weights."""
    redirect: Redirect | None = None
    """The client is sent elsewhere."""
    respond: Respond | None = None
    """The client gets a fixed answer."""

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

    path: Paths | None = None
    """The path, without its query, compared as it is written; * stands for any characters, ? for one."""
    host: Hosts | None = None
    """The host, without its port and without regard to case; * stands for any characters, ? for one."""
    method: Values | None = None
    """The method, as in GET."""
    header: Annotated[dict[Header, Values], Holding(1)] | None = None
    """Headers and their values; * stands for any characters, ? for one."""
    query: Annotated[dict[Annotated[str, Line(most=128)], Values], Holding(1)] | None = None
    """Parameters of the query and their values; * stands for any characters, ? for one."""
    source_ip: Annotated[tuple[Annotated[str, Cidr()], ...], ONE_OR_MANY, Holding(1)] | None = None
    """Networks of clients, by the address that the connection comes from."""

    def conflicts(self) -> Iterator[Conflict]:
        names = tuple(type(self).model_fields)
        if all(getattr(self, name) is None for name in names):
            yield Conflict(("", *names), "has no condition", "add `path`, `host`, `method` or another")
        values = [*(self.path or ()), *(self.host or ())]
        if sum(value.count("*") + value.count("?") for value in values) > MOST_WILDCARDS:
            reason = f"holds more than {MOST_WILDCARDS} of * and ?, the most that a rule may have, as on an ALB"
            yield Conflict(("path" if self.path else "host", "path", "host"), reason, "make two rules of it")


class Rule(Action):
    """Conditions and an action."""

    when: Conditions
    """When the rule is used: all of its conditions hold."""


class Certificate(Part):
    """A certificate with its chain, and its key, both PEM."""

    file: Annotated[str, Line(most=4096)]
    """The certificate with its chain, PEM."""
    key: Annotated[str, Line(most=4096)]
    """Its private key, PEM."""


class Listener(Part):
    """A port on which requests are taken."""

    port: Annotated[int, Whole(1, 65535)]
    """Where requests are taken. 80 and 443 need leave of the system; the error says how to get it."""
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS needs `certificates`."""
    certificates: (
        Annotated[
            Annotated[tuple[Certificate, ...], Holding(1), Tag("files")]
            | Annotated[Literal["local", "acme"], Tag("word")],
            Discriminator(_word_or_files),
        ]
        | None
    ) = None
    """Certificates, the first the default; or `local`, of a development CA, or `acme`, from Let's Encrypt."""
    rules: Annotated[tuple[Rule, ...], Holding(0, 100)] = ()
    """In order; the first whose conditions all hold is used."""
    default: Action | None = None
    """What happens to a request that no rule claims. It may be left out when every rule has a `host` condition: other
    hosts then get a 404, or what another stack says that listens on the same port."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.default is None and not (self.rules and all(rule.when.host for rule in self.rules)):
            reason = "is required" + (", since a rule without a `host` condition claims any host" if self.rules else "")
            yield Conflict(("default", "rules"), reason, "write `default: {forward: SERVICE}`")
        if self.certificates is not None and self.protocol == "HTTP":
            yield Conflict(("certificates", "protocol"), "goes only with `protocol: HTTPS`")
        elif self.certificates is None and self.protocol == "HTTPS":
            yield Conflict(
                ("protocol", "certificates"), "HTTPS needs `certificates`", "add `certificates: local` to try it out"
            )


class LoadBalancer(Part):
    """Where requests come in."""

    address: Annotated[str, Address()] = "127.0.0.1"
    """Of all listeners; 0.0.0.0 serves every network."""
    idle_timeout: Annotated[float, Duration(1, 4000)] = 60.0
    """How long client or target may be silent."""
    client_keep_alive: Annotated[float, Duration(60, 7 * 86400)] = 3600.0
    """How old a client's connection may become."""
    forwarded_for: Literal["append", "preserve", "remove"] = "append"
    """What happens to X-Forwarded-For, -Proto and -Port."""
    desync_mitigation: Literal["defensive", "monitor", "strictest"] = "defensive"
    """What happens to requests that could be read in two ways."""
    drop_invalid_headers: bool = False
    """Whether headers whose names are not letters, digits and - are dropped."""
    preserve_host: bool = True
    """False: the Host header is normalised as an ALB does."""
    access_log: bool = True
    """Whether requests are logged."""
    listeners: Annotated[tuple[Listener, ...], Holding(1, 50)] | None = None
    """Ports on which requests are taken. Default: 8080, HTTP, forwarding to the only service with a port."""
