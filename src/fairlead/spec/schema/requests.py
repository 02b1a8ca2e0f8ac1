"""The kinds of value that speak of requests and of where they go: what a rule compares, what a redirect says,
addresses.

Lengths and characters are an ALB's (aws-semantics A3, A4), less what could never match or has no place in a URL.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from fairlead.spec.problems import listed
from fairlead.spec.schema.kinds import Kind, fail
from fairlead.spec.schema.numbers import Whole
from fairlead.spec.schema.texts import Line

_NAME = r"[A-Za-z0-9!#$%&+.^_`|~-]+"
"""A name as HTTP has it, but for a quote, which no name has, and `*`, which would be taken for a wildcard."""

_IN_URL = r"[A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2}"
_KEYWORD = re.compile(r"#\{([^{}]*)\}")
_TARGET = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+|localhost)):([1-9][0-9]{0,4})")
_NEVER_RULED_ON = ("TRACE", "CONNECT")
_NO_MACHINE = ipaddress.ip_network("255.255.255.255/32")


@dataclass(frozen=True)
class Method(Line):
    """A method of HTTP, also one of the user's own."""

    pattern: str = r"[A-Z_-]+"
    wanted: str = "a method in capital letters, as in GET"
    most: int = 40

    def read(self, value: Any) -> str:
        method = super().read(value)
        if method in _NEVER_RULED_ON:
            fail("is answered with 405 before any rule is looked at: {value}", "remove it")
        return method

    def guess(self, value: str) -> str:
        return value.upper() if re.fullmatch(self.pattern, value.upper(), re.ASCII) else ""


@dataclass(frozen=True)
class HeaderName(Line):
    """The name of a header that a rule looks at."""

    pattern: str = _NAME
    wanted: str = "the name of a header, which has no wildcards"
    most: int = 40

    def read(self, value: Any) -> str:
        name = super().read(value)
        if name.lower() == "host":
            fail("is what the condition `host` is for", "write `when: {host: ...}`")
        return name


@dataclass(frozen=True)
class HeaderValue(Line):
    """What a header is compared with."""

    pattern: str = r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?"
    wanted: str = "visible ASCII characters, without blanks at its ends (* and ? stand for any characters and for one)"
    most: int = 128

    def guess(self, value: str) -> str:
        return value.strip() if re.fullmatch(self.pattern, value.strip(), re.ASCII) else ""


@dataclass(frozen=True)
class QueryKey(Line):
    """The name of a parameter; "" or * for any."""

    pattern: str = r"[\x21\x22\x24\x25\x27-\x3c\x3e-\x7e]*"
    wanted: str = "the name of a parameter, encoded as in the request (* and ? stand for any characters and for one)"
    most: int = 128

    def read(self, value: Any) -> str:
        return "" if value in ("", "*") else super().read(value)

    def json_schema(self) -> dict[str, Any]:
        return {**super().json_schema(), "minLength": 0}


@dataclass(frozen=True)
class QueryValue(Line):
    """What a parameter's value is compared with, as it is sent."""

    pattern: str = r"[\x21\x22\x24\x25\x27-\x7e]+"
    wanted: str = "a parameter's value, encoded as in the request (* and ? stand for any characters and for one)"
    most: int = 128


@dataclass(frozen=True)
class Source(Kind):
    """A network of clients, or the address of one."""

    def read(self, value: Any) -> str:
        text = value if isinstance(value, str) and "%" not in value else ""
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            fail(
                "must be a network such as 10.0.0.0/16, its host bits zero, or an address, not {value}",
                guess=_whole(text),
            )
        if network == _NO_MACHINE:
            fail("is no client's address: {value}")
        return str(_unmapped(network))

    def form(self) -> str:
        return "network such as 10.0.0.0/16, or an address"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$"}


def _unmapped(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`::ffff:10.0.0.0/104` is the network 10.0.0.0/8, and its clients are seen as such."""
    four = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    return ipaddress.ip_network((four, network.prefixlen - 96)) if four and network.prefixlen >= 96 else network


def _whole(text: str) -> str:
    """The network in which the address of `text` lies, or ""."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


@dataclass(frozen=True)
class UrlPart(Line):
    """A part of the address that a redirect leads to. keywords: those of `#{host}` and its kin that may stand in it."""

    keywords: tuple[str, ...] = ()
    characters: str = _IN_URL
    wanted: str = "what may stand in a URL, percent-encoded"
    most: int = 128

    def read(self, value: Any) -> str:
        text = super().read(value)
        for keyword in _KEYWORD.findall(text):
            if keyword not in self.keywords:
                known = listed([f"#{{{each}}}" for each in self.keywords], "and")
                fail(
                    f"holds a keyword that cannot stand here; there {'is' if len(self.keywords) < 2 else 'are'} {known}"
                )
        if not re.fullmatch(f"(?:{self.characters})*", _KEYWORD.sub("", text), re.ASCII):
            fail(f"must be {self.wanted}, not {{value}}", guess=self.guess(text))
        return text

    def form(self) -> str:
        return f"{self.wanted}; {listed([f'`#{{{each}}}`' for each in self.keywords], 'and')} may stand in it"

    def json_schema(self) -> dict[str, Any]:
        keywords = "|".join(self.keywords)
        return {**super().json_schema(), "pattern": rf"^(?:{self.characters}|#\{{(?:{keywords})\}})+$"}


@dataclass(frozen=True)
class UrlHost(UrlPart):
    """The host of a redirect, without a port."""

    keywords: tuple[str, ...] = ("host",)
    characters: str = "[A-Za-z0-9._-]"
    wanted: str = "a host name without its port"

    def guess(self, value: str) -> str:
        host = re.sub(r"^[a-z]+://", "", value).partition("/")[0].partition(":")[0]
        return host if host and re.fullmatch(f"(?:{self.characters})*", host, re.ASCII) else ""


@dataclass(frozen=True)
class UrlPath(UrlPart):
    """The path of a redirect."""

    keywords: tuple[str, ...] = ("host", "path", "port")
    wanted: str = "a path that begins with /, percent-encoded and without its query"

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not text.startswith("/"):
            fail(f"must be {self.wanted}, not {{value}}", guess=f'"/{text}"')
        return text

    def json_schema(self) -> dict[str, Any]:
        schema = super().json_schema()
        return {**schema, "pattern": schema["pattern"].replace("^", "^/", 1).removesuffix("+$") + "*$"}


@dataclass(frozen=True)
class UrlQuery(UrlPart):
    """The query of a redirect; "" for none."""

    keywords: tuple[str, ...] = ("protocol", "host", "port", "path", "query")
    characters: str = _IN_URL.replace("/-]", "/?-]")
    wanted: str = "a query without its ?, percent-encoded"

    def read(self, value: Any) -> str:
        if value == "":
            return ""
        text = super().read(value)
        if text.startswith("?"):
            fail(f"must be {self.wanted}, not {{value}}", guess=f'"{text.lstrip("?")}"')
        return text

    def json_schema(self) -> dict[str, Any]:
        schema = super().json_schema()
        return {
            **schema,
            "minLength": 0,
            "pattern": schema["pattern"].replace("^", r"^(?!\?)", 1).removesuffix("+$") + "*$",
        }


@dataclass(frozen=True)
class AnswerStatus(Kind):
    """The code of a fixed answer: 2xx, 4xx or 5xx, as on an ALB."""

    def read(self, value: Any) -> int:
        code = Whole(200, 599).read(value)
        if 300 <= code <= 399:
            fail("must be 2xx, 4xx or 5xx, not {value}", "write `redirect` to send the client elsewhere")
        return code

    def form(self) -> str:
        return "number, 200 to 299 or 400 to 599"

    def json_schema(self) -> dict[str, Any]:
        codes = (Whole(200, 299), Whole(400, 599))
        return {"anyOf": [code.json_schema() for code in codes]}


@dataclass(frozen=True)
class TargetAddress(Kind):
    """Where a target listens: an IP address, or localhost, and a port."""

    def read(self, value: Any) -> str:
        match = _TARGET.fullmatch(value) if isinstance(value, str) else None
        if not match:
            fail(f"must be {self.form()}, not {{value}}", *_why_no_target(value))
        six, four, port = match.groups()
        try:
            address = ipaddress.ip_address(six or four.replace("localhost", "127.0.0.1"))
        except ValueError:
            fail(f"must be {self.form()}, not {{value}}")
        if int(port) > 65535:
            fail("must have a port from 1 to 65535, not {value}")
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_multicast or address.is_unspecified or (address.version == 6 and address.is_link_local):
            fail("must be the address of one machine, not {value}")
        return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"

    def form(self) -> str:
        return "an IP address with its port, as in 127.0.0.1:9000 or [::1]:9000"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_TARGET.pattern}$"}


def _why_no_target(value: Any) -> tuple[str]:
    """What to do about text that is no address with a port."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(:[0-9]+)?", value):
        host = value.partition(":")[0]
        if re.search("[A-Za-z]", host) and host != "localhost":
            return (
                "write an address: a name would be looked up once, and what it stands for later would never be used",
            )
        return ("add its port",) if ":" not in value else ("",)
    return ("",)


@dataclass(frozen=True)
class CookieName(Line):
    """The name of a cookie of the app's."""

    pattern: str = "[A-Za-z0-9._-]+"
    wanted: str = "the name of a cookie: letters, digits and ._-"
    most: int = 128

    def read(self, value: Any) -> str:
        name = super().read(value)
        for own in ("AWSALB", "FAIRLEAD_"):
            if name.startswith(own):
                fail(f"begins with {own}, as the load balancer's own cookies do", "name a cookie that the app sets")
        return name
