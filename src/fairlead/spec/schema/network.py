"""`network`: what the engines `vpc` and `aws` build round the instances."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Kind, fail, holding
from fairlead.spec.schema.numbers import Whole
from fairlead.spec.schema.texts import Cidr, Line


class PortRange(Kind):
    """A port, or two with a - between them: the first and the last, both included."""

    def read(self, value: Any) -> tuple[int, int]:
        first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
        if not dash:
            port = Whole(0, 65535).read(value)
            return port, port
        if not (first.isdecimal() and last.isdecimal()) or not int(first[:6]) <= int(last[:6]) <= 65535:
            fail("must be a port, or a range such as 1024-65535, not {value}")
        return int(first), int(last)

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["integer", "string"]}


Ports = Annotated[tuple[int, int], PortRange()]


class Peer(Kind):
    """A network, or the name of a security group."""

    def read(self, value: Any) -> str:
        if isinstance(value, str) and "/" in value:
            return str(Cidr().read(value))
        return str(
            Line(r"[a-z][a-z0-9_-]*", "a network such as 10.0.0.0/16 or the name of a security group", 32).read(value)
        )


class SecurityGroupRule(Part):
    """What may come in."""

    port: Ports
    from_: Annotated[str, Peer()] = Field(alias="from")


class AclRule(Part):
    """One rule of a network ACL: stateless, taken in the order of its number."""

    rule: Annotated[int, Whole(1, 32766)]
    action: Literal["allow", "deny"]
    protocol: Literal["tcp", "udp", "icmp", "all"] = "all"
    port: Ports | None = None
    from_: Annotated[str, Cidr()] | None = Field(None, alias="from")
    to: Annotated[str, Cidr()] | None = None

    def conflicts(self) -> Iterator[Conflict]:
        if self.port is not None and self.protocol in ("icmp", "all"):
            yield Conflict(("port", "protocol"), "goes only with `protocol: tcp` or `udp`")


class NetworkAcl(Part):
    """Rules for what comes in and what goes out."""

    in_: tuple[AclRule, ...] = Field((), alias="in")
    out: tuple[AclRule, ...] = ()

    def conflicts(self) -> Iterator[Conflict]:
        for key, rules, wrong in (("in", self.in_, "to"), ("out", self.out, "from")):
            if len({rule.rule for rule in rules}) < len(rules):
                yield Conflict((key,), "has two rules of one number", "give each rule a number of its own")
            if any(getattr(rule, "to" if wrong == "to" else "from_") is not None for rule in rules):
                yield Conflict((key,), f"has a rule with `{wrong}`", "`in` rules say `from`, `out` rules say `to`")


class Bastion(Part):
    """The one instance that can be reached by SSH from outside."""

    allow: Annotated[tuple[Annotated[str, Cidr()], ...], holding(1)]


class Network(Part):
    """A virtual private cloud."""

    cidr: Annotated[str, Cidr()] = "10.0.0.0/16"
    zones: Annotated[int, Whole(1, 6)] = 2
    placement: Literal["private", "public"] = "private"
    nat: Literal["per_zone", "single", "none"] = "per_zone"
    bastion: Bastion | None = None
    security_groups: dict[Annotated[str, Line(most=32)], tuple[SecurityGroupRule, ...]] = Field(default_factory=dict)
    network_acls: dict[Literal["public", "private"], NetworkAcl] = Field(default_factory=dict)

    def conflicts(self) -> Iterator[Conflict]:
        network = ipaddress.ip_network(self.cidr)
        if network.version != 4 or not 16 <= network.prefixlen <= 28:
            yield Conflict(("cidr",), "must be an IPv4 network from /16 to /28, as in a VPC")
