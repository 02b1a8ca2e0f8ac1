"""Where an address is, as a value: what a provider answers, what the cache keeps, what the page shows.

Everything that comes from outside (a provider, a cache that others may write to) passes `place_of`, which lets through
only text that can be shown and numbers that can be coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 160
"""Characters of one text."""

PRECISIONS = ("city", "country", "registry")
"""How well it is known: to the city, the country, or only which regional registry gave the network out."""


class NotAPlace(Exception):
    """A field has a type or a value that it cannot have: which one."""


@dataclass(frozen=True, kw_only=True)
class Place:
    country_code: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    latitude: float | None = None
    longitude: float | None = None
    precision: str = "city"
    about: str = ""
    """What else there is to say of the network, in a sentence."""

    @property
    def flag(self) -> str:
        """The country's flag, as the two letters that fonts draw as a flag; "" without a country."""
        return "".join(chr(0x1F1E6 + ord(letter) - ord("A")) for letter in self.country_code)

    @property
    def title(self) -> str:
        """The narrowest name there is."""
        return self.city or self.region or self.country or "Somewhere"

    @property
    def within(self) -> str:
        """The names round it, from the inside out."""
        names = [name for name in (self.region, self.country) if name and name != self.title]
        return ", ".join(dict.fromkeys(names))

    @property
    def coordinates(self) -> str:
        """As 52.37° N, 4.90° E; "" when unknown."""
        if self.latitude is None or self.longitude is None:
            return ""
        north, east = "N" if self.latitude >= 0 else "S", "E" if self.longitude >= 0 else "W"
        # A number and its letter stay on one line.
        return f"{abs(self.latitude):.2f}°\N{NO-BREAK SPACE}{north}, {abs(self.longitude):.2f}°\N{NO-BREAK SPACE}{east}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def place_of(fields: Mapping[str, Any]) -> Place:
    """The place of these fields; others are left out, null and missing ones are unknown. NotAPlace: one is wrong."""
    code = _text(fields, "country_code").upper()
    if not re.fullmatch("([A-Z]{2})?", code):
        raise NotAPlace("country_code is not two letters")
    precision = fields.get("precision", "city")
    if precision not in PRECISIONS:
        raise NotAPlace("precision is none that there is")
    latitude, longitude = _degrees(fields, "latitude", 90), _degrees(fields, "longitude", 180)
    if latitude is None or longitude is None:
        latitude = longitude = None
    texts = {name: _text(fields, name) for name in ("country", "region", "city", "about")}
    return Place(country_code=code, latitude=latitude, longitude=longitude, precision=precision, **texts)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise NotAPlace(f"{name} is no text")
    return "".join(one for one in value if one.isprintable()).strip()[:LONGEST]


def _degrees(fields: Mapping[str, Any], name: str, most: int) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAPlace(f"{name} is no number")
    # Compared, not asked whether it is finite: an integer may be too large for that question.
    if not -most <= value <= most:
        raise NotAPlace(f"{name} is not between -{most} and {most}")
    return round(float(value), 6)
