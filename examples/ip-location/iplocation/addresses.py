"""From what somebody typed to an address that is worth a look-up, or the reason why it is none.

Only public addresses are looked up. All others are answered here, from the IANA registries of special-purpose addresses
(RFC 6890 and its successors), so that they never cost a call. The table is spelt out, because what `ipaddress` calls
global changes with the version of Python. Pure: text in, value out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

LONGEST = 45
"""Characters of the longest way to write an address: six groups of IPv6, then an IPv4 address."""
ECHOED = 60
"""Characters of a malformed text that are shown again."""


@dataclass(frozen=True)
class Address:
    """What was asked about. kind: `public`, `malformed`, or what makes it special; `ip` is None when malformed."""

    text: str
    kind: str
    reason: str = ""
    ip: IPv4Address | IPv6Address | None = None

    @property
    def public(self) -> bool:
        return self.kind == "public"


SPECIAL = sorted(
    (
        (ip_network(network), kind, reason)
        for network, kind, reason in (
            ("0.0.0.0/8", "unspecified", "it means “this network” and belongs to no machine (RFC 791)"),
            ("10.0.0.0/8", "private", "it is for private networks, and thousands of them use it (RFC 1918)"),
            ("100.64.0.0/10", "shared", "providers share it among their customers, behind NAT (RFC 6598)"),
            ("127.0.0.0/8", "loopback", "every machine calls itself so (RFC 1122)"),
            ("169.254.0.0/16", "link-local", "it holds only on one cable or radio network (RFC 3927)"),
            ("172.16.0.0/12", "private", "it is for private networks, and thousands of them use it (RFC 1918)"),
            ("192.0.0.0/24", "reserved", "it is kept for protocols of the IETF (RFC 6890)"),
            ("192.0.2.0/24", "documentation", "it is for examples in documents (RFC 5737)"),
            ("192.88.99.0/24", "reserved", "it was for relays of 6to4, which are no more (RFC 7526)"),
            ("192.168.0.0/16", "private", "it is for private networks, and thousands of them use it (RFC 1918)"),
            ("198.18.0.0/15", "benchmarking", "it is for measuring network devices (RFC 2544)"),
            ("198.51.100.0/24", "documentation", "it is for examples in documents (RFC 5737)"),
            ("203.0.113.0/24", "documentation", "it is for examples in documents (RFC 5737)"),
            ("224.0.0.0/4", "multicast", "it names a group of machines, not one (RFC 5771)"),
            ("240.0.0.0/4", "reserved", "it was never given out (RFC 1112)"),
            ("255.255.255.255/32", "broadcast", "it means every machine on the cable (RFC 919)"),
            ("::/0", "reserved", "it lies outside 2000::/3, of which alone addresses are given out (RFC 4291)"),
            ("2000::/3", "public", ""),
            ("::/128", "unspecified", "it means “no address” (RFC 4291)"),
            ("::1/128", "loopback", "every machine calls itself so (RFC 4291)"),
            ("64:ff9b::/96", "translated", "it is an IPv4 address as IPv6 networks translate it (RFC 6052)"),
            ("64:ff9b:1::/48", "translated", "it is an IPv4 address as one network translates it (RFC 8215)"),
            ("100::/64", "discard", "what is sent there is thrown away (RFC 6666)"),
            ("2001::/23", "reserved", "it is kept for protocols of the IETF (RFC 2928)"),
            ("2001::/32", "tunnel", "it is a Teredo tunnel, which says nothing of a place (RFC 4380)"),
            ("2001:2::/48", "benchmarking", "it is for measuring network devices (RFC 5180)"),
            ("2001:10::/28", "reserved", "it was for identifiers of hosts, no addresses (RFC 4843)"),
            ("2001:20::/28", "reserved", "it is for identifiers of hosts, no addresses (RFC 7343)"),
            ("2001:db8::/32", "documentation", "it is for examples in documents (RFC 3849)"),
            ("2002::/16", "tunnel", "it is a 6to4 tunnel, which says nothing of a place (RFC 3056)"),
            ("3fff::/20", "documentation", "it is for examples in documents (RFC 9637)"),
            ("5f00::/16", "reserved", "it is for segment routing inside one network (RFC 9602)"),
            ("fc00::/7", "private", "it is for private networks (RFC 4193)"),
            ("fe80::/10", "link-local", "it holds only on one cable or radio network (RFC 4291)"),
            ("fec0::/10", "private", "it was for private networks (RFC 3879)"),
            ("ff00::/8", "multicast", "it names a group of machines, not one (RFC 4291)"),
        )
    ),
    key=lambda row: -row[0].prefixlen,
)
"""The narrowest network comes first, and decides."""


def parse(typed: str) -> Address:
    """The address; of kind `malformed`, with the reason, when it is none."""
    text = typed.strip(" \t\r\n")
    problem = _malformed(text)
    if problem:
        return Address(_shown(text), "malformed", problem)
    ip = ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    if mapped is not None:
        return Address(str(ip), "mapped", f"it is the IPv4 address {mapped} in the dress of IPv6: ask for that", ip)
    for network, kind, reason in SPECIAL:
        if ip.version == network.version and ip in network:
            return Address(str(ip), kind, reason, ip)
    return Address(str(ip), "public", "", ip)


def asker(forwarded: str, client: str) -> str:
    """The address of whoever asks: the last of X-Forwarded-For, which the load balancer wrote (what stands before it is
    the asker's own word); without it the client's. "" when nobody knows."""
    ip = parse(forwarded.rpartition(",")[2] or client)
    if ip.kind == "mapped" and isinstance(ip.ip, IPv6Address):
        return str(ip.ip.ipv4_mapped)
    return ip.text if ip.ip else ""


def _malformed(text: str) -> str:
    """Why it is no address, in words that help; "" when it is one."""
    if not text:
        return "there is nothing to look up: type an address, as 8.8.8.8 or 2001:4860:4860::8888"
    if not text.isascii():
        return "it has characters that no address has; digits must be 0 to 9"
    if not text.isprintable() or " " in text:
        return "it has blanks or control characters inside"
    if "/" in text:
        return "it is a network or a path: give one address, without the “/”"
    if "%" in text:
        return "a zone (after “%”) has a meaning on one machine only: leave it out"
    if "[" in text or "]" in text:
        return "give the address without brackets and port"
    if len(text) > LONGEST:
        return f"it is longer than any address, which has at most {LONGEST} characters"
    try:
        ip_address(text)
    except ValueError:
        return _why(text)
    return ""


def _why(text: str) -> str:
    """Of a text that `ipaddress` refuses."""
    if re.fullmatch(r"[0-9.]+", text) and re.search(r"(^|\.)0[0-9]", text):
        return "a number begins with 0, which some programs read as octal and others do not: leave the zeros out"
    if re.fullmatch(r"[0-9]+|0[xX][0-9a-fA-F]+", text):
        return "it is one number: write the four parts of an IPv4 address, as 8.8.8.8"
    if re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}", text):
        return "an IPv4 address has four numbers, with dots between them"
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        return "each number of an IPv4 address is at most 255"
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}:[0-9]+", text):
        return "give the address without the port"
    if ":" in text and re.fullmatch(r"[0-9a-fA-F:.]+", text):
        return "an IPv6 address has eight groups of at most four hexadecimal digits; “::” stands for zeros, once"
    if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9._-]+", text):
        return "it looks like a name: this looks up addresses, and asks no name server"
    return "it is no IPv4 address, as 8.8.8.8, and no IPv6 address, as 2001:4860:4860::8888"


def _shown(text: str) -> str:
    """What can be shown again of a text that is no address."""
    plain = "".join(one if one.isprintable() else "�" for one in text[: ECHOED + 1])
    return plain if len(plain) <= ECHOED else plain[:ECHOED] + "…"
