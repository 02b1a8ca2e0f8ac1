"""Where on the map: from coordinates to points of a picture. Pure.

The map is equirectangular, in half degrees: x is twice the degrees from 180 west, y twice those from 90 north. The
picture is cut off above 84 north and below 58 south, where hardly anybody is; for those who are it goes down to the
pole.
"""

from __future__ import annotations

from dataclasses import dataclass

from .places import Place

TOP, BOTTOM, POLE = 12, 296, 360
RADIUS = {"city": 13, "country": 28}
"""Of the circle round the point: how well the place is known."""


@dataclass(frozen=True)
class Map:
    view: str
    words: str
    """What the picture shows, for whoever cannot see it."""
    x: float = 0.0
    y: float = 0.0
    radius: int = 0
    """0: no point is drawn."""


def map_of(place: Place | None) -> Map:
    if place is None or place.latitude is None or place.longitude is None:
        return Map(_view(BOTTOM), "A map of the world, without a mark: the place is not known")
    x, y = round((place.longitude + 180) * 2, 1), round((90 - place.latitude) * 2, 1)
    bottom = BOTTOM if y < BOTTOM - 16 else POLE
    where = f"{place.title}, {place.within}" if place.within else place.title
    return Map(
        _view(bottom), f"A map of the world with a mark at {place.coordinates}: {where}", x, y, RADIUS[place.precision]
    )


def _view(bottom: int) -> str:
    return f"0 {TOP} 720 {bottom - TOP}"
