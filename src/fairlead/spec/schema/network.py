"""`network`: what the engines `vpc` and `aws` build round the instances."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from fairlead.spec.schema.base import Conflict, Part
from fairlead.spec.schema.kinds import Holding, Kind, fail
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

    def form(self) -> str:
        return "port, or a range such as 1024-65535"

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [Whole(0, 65535).json_schema(), {"type": "string", "pattern": "^[0-9]{1,5}-[0-9]{1,5}$"}]}


Ports = Annotated[tuple[int, int], PortRange()]


class Peer(Kind):
    """A network, or the name of a security group."""

    def read(self, value: Any) -> str:
        if isinstance(value, str) and "/" in value:
            return str(Cidr().read(value))
        return str(
            Line(r"[a-z][a-z0-9_-]*", "a network such as 10.0.0.0/16 or the name of a security group", 32).read(value)
        )

    def form(self) -> str:
        return "network such as 10.0.0.0/16, or the name of a security group"


class SecurityGroupRule(Part):
    """What may come in."""

    port: Ports
    """Where it may come in."""
    from_: Annotated[str, Peer()] = Field(alias="from")
    """Who may."""


class AclRule(Part):
    """One rule of a network ACL: stateless, taken in the order of its number."""

    rule: Annotated[int, Whole(1, 32766)]
    """Its number; the lowest that fits decides."""
    action: Literal["allow", "deny"]
    """What happens to what fits."""
    protocol: Literal["tcp", "udp", "icmp", "all"] = "all"
    """What it fits."""
    port: Ports | None = None
    """Ports that it fits, with tcp and udp. Default: all."""
    from_: Annotated[str, Cidr()] | None = Field(None, alias="from")
    """Of an `in` rule: where it comes from. Default: anywhere."""
    to: Annotated[str, Cidr()] | None = None
    """Of an `out` rule: where it goes to. Default: anywhere."""

    def conflicts(self) -> Iterator[Conflict]:
        if self.port is not None and self.protocol in ("icmp", "all"):
            yield Conflict(("port", "protocol"), "goes only with `protocol: tcp` or `udp`")


class NetworkAcl(Part):
    """Rules for what comes in and what goes out."""

    in_: tuple[AclRule, ...] = Field((), alias="in")
    """For what comes in."""
    out: tuple[AclRule, ...] = ()
    """For what goes out."""

    def conflicts(self) -> Iterator[Conflict]:
        for key, rules, wrong in (("in", self.in_, "to"), ("out", self.out, "from")):
            if len({rule.rule for rule in rules}) < len(rules):
                yield Conflict((key,), "has two rules of one number", "give each rule a number of its own")
            if any(getattr(rule, "to" if wrong == "to" else "from_") is not None for rule in rules):
                yield Conflict((key,), f"has a rule with `{wrong}`", "`in` rules say `from`, `out` rules say `to`")


class Bastion(Part):
    """The one instance that can be reached by SSH from outside."""

    allow: Annotated[tuple[Annotated[str, Cidr()], ...], Holding(1)]
    """From where."""


class Network(Part):
    """A virtual private cloud."""

    cidr: Annotated[str, Cidr()] = "10.0.0.0/16"
    """The addresses of the whole network, /16 to /28."""
    zones: Annotated[int, Whole(1, 6)] = 2
    """How many zones the instances are spread over. On engine local they are labels that placement and termination keep
    balanced, and there is 1 unless this key says otherwise."""
    placement: Literal["private", "public"] = "private"
    """The subnets that instances live in."""
    nat: Literal["per_zone", "single", "none"] = "per_zone"
    """How private instances reach the outside."""
    bastion: Bastion | None = None
    """An instance for SSH into the network. Default: none."""
    security_groups: dict[Annotated[str, Line(most=32)], tuple[SecurityGroupRule, ...]] = Field(default_factory=dict)
    """What may reach load_balancer, bastion, a service, a cache or a database. Those not listed get what the file
    implies."""
    network_acls: dict[Literal["public", "private"], NetworkAcl] = Field(default_factory=dict)
    """Stateless rules of the public and the private subnets. Default: everything passes."""

    def conflicts(self) -> Iterator[Conflict]:
        network = ipaddress.ip_network(self.cidr)
        if network.version != 4 or not 16 <= network.prefixlen <= 28:
            yield Conflict(("cidr",), "must be an IPv4 network from /16 to /28, as in a VPC")
