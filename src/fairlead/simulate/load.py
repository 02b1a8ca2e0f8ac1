"""What arrives: requests per second over virtual time, as values that `grammar` and `recorded` make.

A load is pieces, one after the other. The law: the same load with the same seed gives the same numbers, each at least
zero; None is a second of which nobody knows what came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import NamedTuple

SPIKE = 10
"""A spike lasts a tenth of its piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """So many seconds of one shape. first, last: requests per second; what they mean is the shape's.

    at: seconds; of a step and a spike when it comes, of a sine its period; None: as the shape has it.
    jitter: each second is off by up to this share of itself."""

    shape: str
    first: float
    last: float
    seconds: int
    at: float | None = None
    jitter: float = 0.0

    def rate(self, second: int) -> float:
        """Requests of its n-th second, without jitter: the rate in the middle of it."""
        return SHAPES[self.shape].rate(self, second + 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What once came: each value is the rate of so many seconds; None: unknown."""

    values: tuple[float | None, ...]
    period: int = 1
    jitter: float = 0.0

    @property
    def seconds(self) -> int:
        return len(self.values) * self.period

    def rate(self, second: int) -> float | None:
        return self.values[second // self.period]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """pieces: in their order. began: when what is recorded was so, ISO 8601 with a zone; "" for what is invented."""

    pieces: tuple[Piece | Recording, ...]
    began: str = ""

    @property
    def seconds(self) -> int:
        return sum(piece.seconds for piece in self.pieces)

    def rates(self, seed: int = 1) -> Iterator[float | None]:
        """Requests of each second. seed: of the chance in jitter."""
        dice = Random(seed)  # noqa: S311
        for piece in self.pieces:
            for second in range(piece.seconds):
                rate = piece.rate(second)
                if rate is not None and piece.jitter:
                    rate *= 1 + piece.jitter * (2 * dice.random() - 1)
                yield rate


class Shape(NamedTuple):
    """at: what `@` says of it in words, "" for nothing. pair: whether it is of two numbers. example: one in full."""

    example: str
    pair: bool
    at: str
    means: str

    def rate(self, piece: Piece, moment: float) -> float:
        return _RATES[piece.shape](piece, moment)


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "constant": Shape("constant:100/10m", False, "", "the same all the time"),
        "ramp": Shape("ramp:0-500/5m", True, "", "evenly from one to the other"),
        "step": Shape("step:50-500/10m", True, "when it jumps (default: at half)", "one, then at once the other"),
        "spike": Shape(
            "spike:50-800/10m", True, "when it comes (default: in the middle)",
            "the first, and for a tenth of the time the other",
        ),
        "sine": Shape(
            "sine:20-200/24h", True, "its period (default: the whole)", "from the first up to the other and back"
        ),
    }
)  # fmt: skip
"""Every shape by its name."""


def _constant(piece: Piece, moment: float) -> float:
    return piece.first


def _ramp(piece: Piece, moment: float) -> float:
    return piece.first + (piece.last - piece.first) * moment / piece.seconds


def _step(piece: Piece, moment: float) -> float:
    return piece.first if moment < (piece.seconds / 2 if piece.at is None else piece.at) else piece.last


def _spike(piece: Piece, moment: float) -> float:
    length = max(1.0, piece.seconds / SPIKE)
    begins = (piece.seconds - length) / 2 if piece.at is None else piece.at
    return piece.last if begins <= moment < begins + length else piece.first


def _sine(piece: Piece, moment: float) -> float:
    middle, swing = (piece.first + piece.last) / 2, (piece.last - piece.first) / 2
    return middle - swing * math.cos(2 * math.pi * moment / (piece.at or piece.seconds))


_RATES = {"constant": _constant, "ramp": _ramp, "step": _step, "spike": _spike, "sine": _sine}
