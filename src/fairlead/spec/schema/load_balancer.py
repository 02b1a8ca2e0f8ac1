"""`load_balancer`: listeners, their rules and actions, as on an Application Load Balancer (aws-semantics A)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, model_validator

from fairlead.spec.schema.base import Conflict, Part, exactly_one
from fairlead.spec.schema.kinds import ONE_OR_MANY, Holding, Short, fail
from fairlead.spec.schema.numbers import Duration, PortOr, Whole
from fairlead.spec.schema.requests import (
    AnswerStatus,
    HeaderName,
    HeaderValue,
    Method,
    QueryKey,
    QueryValue,
    Source,
    UrlHost,
    UrlPath,
    UrlQuery,
)
from fairlead.spec.schema.services import Id
from fairlead.spec.schema.texts import Address, HostPattern, Line, PathPattern, Text

Weight = Annotated[int, Whole(0, 999)]

MOST_CERTIFICATES = 100
MOST_VALUES = 5
MOST_WILDCARDS = 5
"""In one rule, as on an ALB (aws-semantics A1). Its guide of 2023 also names 3 values for one condition (A3), its
quotas do not, and 5 networks may stand in one `source-ip`: only the 5 are held."""

_SOME = Holding(1, MOST_VALUES)
Paths = Annotated[tuple[Annotated[str, PathPattern()], ...], ONE_OR_MANY, _SOME]
Hosts = Annotated[tuple[Annotated[str, HostPattern()], ...], ONE_OR_MANY, _SOME]
Methods = Annotated[tuple[Annotated[str, Method()], ...], ONE_OR_MANY, _SOME]
HeaderValues = Annotated[tuple[Annotated[str, HeaderValue()], ...], ONE_OR_MANY, _SOME]
QueryValues = Annotated[tuple[Annotated[str, QueryValue()], ...], ONE_OR_MANY, _SOME]
Sources = Annotated[tuple[Annotated[str, Source()], ...], ONE_OR_MANY, _SOME]


def _service_or_weights(value: Any) -> Any:
    return {value: 100} if isinstance(value, str) else value


_ONE_SERVICE = Short(_service_or_weights, "a service, or services with weights", (("type", "string"),))


def _word_or_files(value: Any) -> str:
    return "word" if isinstance(value, str) else "files"


class Redirect(Part):
    """The parts of the address that change; the others stay as they were asked for."""

    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] | None = None
    """Default: that of the request. Never from HTTPS to HTTP, as on an ALB."""
    host: Annotated[str, UrlHost()] | None = None
    """Default: that of the request."""
    port: Annotated[int | str, PortOr("#{port}")] | None = None
    """Default: that of the request, as on an ALB, so that a redirect to HTTPS has to name one. The client sees it even
    when it is the usual one: `https://example.com:443/`."""
    path: Annotated[str, UrlPath()] | None = None
    """Default: that of the request, `"/#{path}"`."""
    query: Annotated[str, UrlQuery()] | None = None
    """Without its `?`; "" for none. Default: that of the request."""
    status: Literal[301, 302]
    """301: for good; 302: for now."""

    def conflicts(self) -> Iterator[Conflict]:
        if not self.changes():
            names = ("protocol", "host", "port", "path")
            reason = "leads back to the same address" + (
                ": another query is not enough" if self.query is not None else ""
            )
            yield Conflict(("", *names), reason, "add what changes, as in `{protocol: HTTPS, port: 443}`")

    def changes(self) -> dict[str, str | int]:
        """The parts that may become others; `query` is none of them, since a loop could change it for ever."""
        given = {"protocol": self.protocol, "host": self.host, "port": self.port, "path": self.path}
        same = {"path": "/#{path}"}
        return {
            name: value
            for name, value in given.items()
            if value is not None and value != same.get(name, f"#{{{name}}}")
        }


class Respond(Part):
    """The client gets a fixed answer, and no target the request."""

    status: Annotated[int, AnswerStatus()]
    """The HTTP code: 2xx, 4xx or 5xx, as on an ALB."""
    content_type: Literal["text/plain", "text/css", "text/html", "application/javascript", "application/json"] = (
        "text/plain"
    )
    """What `body` is."""
    body: Annotated[str, Text(1024)] = ""
    """What the client gets to read, at most 1024 characters. Default: nothing."""

    def conflicts(self) -> Iterator[Conflict]:
        for name in ("body", "content_type"):
            if self.status in (204, 205) and name in self.model_fields_set and getattr(self, name):
                reason = f"cannot be sent: an answer with status {self.status} has no body"
                yield Conflict((name, "status"), reason, "remove it")


class Action(Part):
    """What happens to a request: exactly one of `forward`, `redirect` and `respond`."""

    forward: Annotated[dict[Id, Weight], _ONE_SERVICE, Holding(1, 5)] | None = None
    """The service that gets the request, or up to five with weights from 0 to 999, as in `{web: 90, web-next: 10}`:
    each gets its share of the requests, whatever the health of its targets, and with weight 0 none but those of
    `stickiness`."""
    stickiness: Annotated[float, Duration(1, 7 * 86400)] | None = None
    """Beside a `forward` to several services: how long a client stays with the one that it was given first, by the
    cookie AWSALBTG. Needed when one of them has `target_group.stickiness`, as on an ALB. Default: each request is given
    anew."""
    redirect: Redirect | None = None
    """The client is sent elsewhere: to the address that it asked for, with the parts that are named here changed. In
    them `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without its first /) and `#{query}` stand for what was asked
    for; write them in quotes, since # begins a comment in YAML. A redirect that would lead back to where it came from
    is refused, and one from HTTPS to HTTP, as on an ALB."""
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
        if self.stickiness is not None and len(self.forward or ()) < 2:
            reason = "goes only with a `forward` to several services: it keeps a client with one of them"
            advice = "remove it; `target_group.stickiness` of a service keeps a client with one of its targets"
            yield Conflict(("stickiness", "forward"), reason, advice)


class Conditions(Part):
    """All of them must hold; of several values of one, any."""

    path: Paths | None = None
    """The path, without its query, compared as it is written; * stands for any characters, ? for one. An ALB also takes
    quotes in it."""
    host: Hosts | None = None
    """The host, without its port and without regard to case; * stands for any characters, ? for one. An ALB also wants
    a dot in it, and only letters behind the last one: `localhost` is for this machine."""
    method: Methods | None = None
    """The method, as in GET, in capital letters and without wildcards. What holds for GET is best said for HEAD too."""
    header: Annotated[dict[Annotated[str, HeaderName()], HeaderValues], _SOME] | None = None
    """Headers, each with the value or values that it must have, both without regard to case; * stands for any
    characters, ? for one, in values only. Each of them must hold; of a header that occurs several times, one may."""
    query: Annotated[dict[Annotated[str, QueryKey()], QueryValues], _SOME] | None = None
    """Parameters of the query, each with the value or values that it must have, both without regard to case and as they
    are sent (`%20` stays `%20`); * stands for any characters, ? for one, and each for itself behind a backslash. The
    name "*" is any. Each of them must hold."""
    source_ip: Sources | None = None
    """Networks of clients, or addresses, by the address that the connection comes from, whatever X-Forwarded-For
    says."""

    def conflicts(self) -> Iterator[Conflict]:
        names = tuple(type(self).model_fields)
        given = [name for name in names if getattr(self, name) is not None]
        if not given:
            yield Conflict(("", *names), "has no condition", "add `path`, `host`, `method` or another")
            return
        patterns = list(self._patterns())
        values = len(patterns) - len(self.query or ()) + len(self.method or ()) + len(self.source_ip or ())
        if values > MOST_VALUES:
            reason = f"holds {values} values in all, and a rule may have {MOST_VALUES}, as on an ALB"
            yield Conflict(("", *given), reason, "make two rules of it")
        if sum(pattern.count("*") + pattern.count("?") for pattern in patterns) > MOST_WILDCARDS:
            reason = f"holds more than {MOST_WILDCARDS} of * and ?, the most that a rule may have, as on an ALB"
            with_wildcards = [name for name in given if name not in ("method", "source_ip")]
            yield Conflict((*with_wildcards, *given), reason, "make two rules of it")

    def _patterns(self) -> Iterator[str]:
        """Every text that may hold wildcards, without the * and ? of a query that stand for themselves."""
        yield from (*(self.path or ()), *(self.host or ()))
        for values in (self.header or {}).values():
            yield from values
        for key, values in (self.query or {}).items():
            yield from (re.sub(r"\\[*?]", "", text) for text in (key, *values))


class Rule(Action):
    """Conditions and an action."""

    when: Conditions
    """When the rule is used: all of its conditions hold, and of several values of one, any. A rule has at most 5 values
    and 5 wildcards, as on an ALB (whose guide of 2023 names 3 values for a condition)."""


class Certificate(Part):
    """A certificate with its chain, and its key, both PEM. Files that change are taken over without a restart."""

    file: Annotated[str, Line(most=4096)]
    """The certificate with its chain, PEM; relative to the file. The daemon's user must be able to read it."""
    key: Annotated[str, Line(most=4096)]
    """Its private key, PEM and without a passphrase; relative to the file."""


class Listener(Part):
    """A port on which requests are taken."""

    port: Annotated[int, Whole(1, 65535)]
    """Where requests are taken. 80 and 443 need leave of the system; the error says how to get it."""
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTPS (TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1) needs `certificates`. HTTP is HTTP/1.1, as on an ALB."""
    certificates: (
        Annotated[
            Annotated[tuple[Certificate, ...], Holding(1, MOST_CERTIFICATES), Tag("files")]
            | Annotated[Literal["local", "acme"], Tag("word")],
            Discriminator(_word_or_files),
        ]
        | None
    ) = None
    """Of HTTPS: certificates, chosen by the name that the client asks for (SNI), the first the default (an ALB takes
    26); or `local`, of a development CA that `fairlead trust` installs; or `acme`, from Let's Encrypt."""
    rules: Annotated[tuple[Rule, ...], Holding(0, 100)] = ()
    """In order; the first whose conditions all hold is used. An ALB takes 100 on all its listeners together."""
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
        for number, rule in enumerate(self.rules):
            if rule.redirect:
                yield from self._redirect(rule.redirect, f"rules.{number}", rule.when)
        if self.default and self.default.redirect:
            yield from self._redirect(self.default.redirect, "default", None)

    def _redirect(self, redirect: Redirect, key: str, when: Conditions | None) -> Iterator[Conflict]:
        """What a redirect may not be on this listener; `when`: the conditions of its rule."""
        changes = redirect.changes()
        keys = (f"{key}.redirect", "port", "protocol", *((f"{key}.when",) if when else ()))
        same = {"protocol": {self.protocol}, "port": {self.port}}
        if when:
            same |= {"host": {host.lower() for host in when.host or ()}, "path": set(when.path or ())}
        others = {name for name, value in changes.items() if same.get(name, set()) != {_alike(name, value)}}
        if redirect.protocol == "HTTP" and self.protocol == "HTTPS":
            reason = "leads from HTTPS to HTTP, which an ALB refuses"
            yield Conflict((f"{key}.redirect.protocol", *keys), reason, "remove it, or redirect on a listener of HTTP")
        elif changes and not others:
            reason = "leads back to this listener and to this rule, so that a client would go round for ever"
            yield Conflict(keys, reason, "change the protocol, host, port or path")
        elif "protocol" in others and ("port" not in changes or not others & {"host", "port"}):
            reason = f"leads to {redirect.protocol} on port {self.port}, where this listener speaks {self.protocol}"
            advice = "add `port: 443`, or the port of the listener that speaks HTTPS"
            yield Conflict((f"{key}.redirect.protocol", *keys), reason, advice)


def _alike(name: str, value: str | int) -> str | int:
    """Hosts are alike whatever their case."""
    return value.lower() if name == "host" and isinstance(value, str) else value


class LoadBalancer(Part):
    """Where requests come in."""

    address: Annotated[str, Address()] = "127.0.0.1"
    """Of all listeners; 0.0.0.0 serves every network."""
    idle_timeout: Annotated[float, Duration(1, 4000)] = 60.0
    """How long client or target may be silent before the connection is closed, WebSockets included; a target that has
    not begun to answer by then makes a 504."""
    client_keep_alive: Annotated[float, Duration(60, 7 * 86400)] = 3600.0
    """How old a client's connection may become: the response that is under way then is the last on it."""
    forwarded_for: Literal["append", "preserve", "remove"] = "append"
    """What happens to X-Forwarded-For, -Proto and -Port. `append`: the client's address is added to the first, the
    others are set. `preserve`: they pass as they came. `remove`: no target gets them."""
    desync_mitigation: Literal["defensive", "monitor", "strictest"] = "defensive"
    """What happens to requests that could be read in two ways. `monitor`: nothing beyond what HAProxy itself refuses,
    which is more than an ALB does. `defensive`: the doubtful ones pass, and their connections are closed. `strictest`:
    those that can be told get a 400."""
    drop_invalid_headers: bool = False
    """Whether headers whose names are not letters, digits and - are dropped from requests."""
    preserve_host: bool = True
    """False, the default of an ALB: the Host header is normalised as an ALB does, lower case, the port cut on ports 80
    and 443 and appended on others."""
    access_log: bool = True
    """Whether requests are logged, in the format of an ALB (`fairlead logs --access`); kept 14 days, 1 GB at most."""
    listeners: Annotated[tuple[Listener, ...], Holding(1, 50)] | None = None
    """Ports on which requests are taken. Default: 8080, HTTP, forwarding to the only service with a port."""
