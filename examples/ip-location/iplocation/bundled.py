"""The table that comes with the app, for a start without an API key: a few well-known networks, and no more.

It knows about a hundred public networks (name servers, universities, research, large providers) to the city or the
country, and of all others only which of the five regional registries administers the block. The page says so. The
figures are what these organisations publish themselves, and the IANA registries; nothing is guessed.
"""

from __future__ import annotations

import csv
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

from .places import Place

DATA = Path(__file__).parent / "data"

REGIONS = {
    "AFRINIC": "Africa",
    "APNIC": "Asia and the Pacific",
    "ARIN": "North America",
    "LACNIC": "Latin America and the Caribbean",
    "RIPE NCC": "Europe, the Middle East and Central Asia",
}

IPV4 = {
    "AFRINIC": "41 102 105 154 196-197",
    "APNIC": "1 14 27 36 39 42-43 49 58-61 101 103 106 110-126 133 150 153 163 171 175 180 182-183 202-203 210-211 "
    "218-223",
    "ARIN": "3-4 6-9 11-13 15-24 26 28-30 32-35 38 40 44-45 47-48 50 52 54-56 63-76 96-100 104 107-108 128-132 134-140 "
    "142-144 146-149 152 155-162 164-170 172-174 184 192 198-199 204-209 214-216",
    "LACNIC": "177 179 181 186-187 189-191 200-201",
    "RIPE NCC": "2 5 25 31 37 46 51 53 57 62 77-95 109 141 145 151 176 178 185 188 193-195 212-213 217",
}
"""First numbers of the blocks that each registry administers (IANA IPv4 Address Space Registry)."""

IPV6 = {
    "AFRINIC": "2001:4200::/23 2c00::/12",
    "APNIC": "2001:200::/23 2001:c00::/23 2001:e00::/23 2001:4400::/23 2001:8000::/19 2001:a000::/20 2001:b000::/20 "
    "2400::/12",
    "ARIN": "2001:400::/23 2001:1800::/23 2001:4800::/23 2600::/12 2610::/23 2620::/23 2630::/12",
    "LACNIC": "2001:1200::/23 2800::/12",
    "RIPE NCC": "2001:600::/23 2001:800::/22 2001:1400::/22 2001:1a00::/23 2001:1c00::/22 2001:2000::/19 "
    "2001:4000::/23 2001:4600::/23 2001:4a00::/23 2001:4c00::/23 2001:5000::/20 2003::/18 2a00::/12 2a10::/12",
}
"""IANA IPv6 Global Unicast Address Assignments; the largest."""


class Bundled:
    name, metered = "bundled", False

    async def find(self, ip: IPv4Address | IPv6Address) -> Place | None:
        for network, place in networks():
            if ip.version == network.version and ip in network:
                return place
        registry = _registry(ip)
        if registry is None:
            return None
        about = f"{registry} administers this block; the bundled table does not know which country it is used in."
        return Place(region=REGIONS[registry], precision="registry", about=about)

    async def close(self) -> None:
        return


@cache
def networks() -> tuple[tuple[IPv4Network | IPv6Network, Place], ...]:
    """The table, the narrowest network first."""
    with (DATA / "countries.csv").open(encoding="utf-8", newline="") as file:
        countries = {row["code"]: row for row in csv.DictReader(file)}
    found = []
    with (DATA / "networks.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            country = countries[row["country"]]
            # Known to the country only: its middle, roughly.
            at = row if row["latitude"] else country
            place = Place(
                country_code=row["country"],
                country=country["name"],
                region=row["region"],
                city=row["city"],
                latitude=float(at["latitude"]),
                longitude=float(at["longitude"]),
                precision="city" if row["city"] else "country",
                about=row["about"],
            )
            found.append((ip_network(row["network"]), place))
    return tuple(sorted(found, key=lambda one: -one[0].prefixlen))


def _registry(ip: IPv4Address | IPv6Address) -> str | None:
    if isinstance(ip, IPv4Address):
        return _ipv4().get(ip.packed[0])
    return next((name for network, name in _ipv6() if ip in network), None)


@cache
def _ipv4() -> dict[int, str]:
    blocks = {}
    for registry, text in IPV4.items():
        for word in text.split():
            first, _, last = word.partition("-")
            blocks.update(dict.fromkeys(range(int(first), int(last or first) + 1), registry))
    return blocks


@cache
def _ipv6() -> tuple[tuple[IPv6Network, str], ...]:
    return tuple((IPv6Network(word), registry) for registry, text in IPV6.items() for word in text.split())
