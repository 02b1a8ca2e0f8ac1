"""The kinds of value that are numbers: durations, sizes, percentages, counts, ports; each with its bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fairlead.core.phrases import size
from fairlead.spec.problems import nearest
from fairlead.spec.schema.kinds import Kind, fail

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(B|[kKMGT]B|[KMGT]iB)")
_PERCENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)%")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_POWERS = ("", "K", "M", "G", "T")


@dataclass(frozen=True)
class Duration(Kind):
    """`500ms`, `30s`, `1.5m`, `1h`, `7d`: seconds, to the millisecond. Bounds are seconds, both included."""

    least: float = 0
    most: float = 366 * 86400

    def read(self, value: Any) -> float:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if not match:
            bare = isinstance(value, int) and not isinstance(value, bool)
            fail(
                "must be a duration such as 500ms, 30s, 5m, 1h or 7d, not {value}",
                "add its unit, as in 30s" if bare else "",
            )
        milliseconds = float(match[1]) * _SECONDS[match[2]] * 1000
        if abs(milliseconds - round(milliseconds)) > 1e-6:
            fail("must be a whole number of milliseconds, not {value}")
        seconds = round(milliseconds) / 1000
        if not self.least <= seconds <= self.most:
            fail(f"must be from {self.show(self.least)} to {self.show(self.most)}, not {{value}}")
        return seconds

    def show(self, value: float) -> str:
        if value and value % 1:
            return f"{round(value * 1000)}ms" if value < 1 else f"{value:g}s"
        for unit, from_ in (("d", 86400), ("h", 3600), ("m", 61)):
            if value >= from_ and value % _SECONDS[unit] == 0:
                return f"{value / _SECONDS[unit]:g}{unit}"
        return f"{value:g}s"

    def form(self) -> str:
        if self.most == Duration.most:
            return f"duration, {self.show(self.least)} or more" if self.least else "duration"
        return f"duration, {self.show(self.least)} to {self.show(self.most)}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_DURATION.pattern}$"}


@dataclass(frozen=True)
class Size(Kind):
    """`256MB`, `1GB` (powers of 1000), `512MiB` (of 1024): bytes."""

    least: int = 1
    most: int = 1 << 50

    def read(self, value: Any) -> int:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if not match:
            fail("must be a size such as 256MB, 1GB or 512MiB, not {value}")
        base = 1024 if "i" in match[2] else 1000
        prefix = match[2].removesuffix("B").removesuffix("i").upper()
        count = round(float(match[1]) * float(base ** _POWERS.index(prefix)))
        if not self.least <= count <= self.most:
            fail(f"must be from {self.show(self.least)} to {self.show(self.most)}, not {{value}}")
        return count

    def show(self, value: int) -> str:
        return size(value)

    def form(self) -> str:
        return f"size, {self.show(self.least)} or more"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_SIZE.pattern}$"}


@dataclass(frozen=True)
class Percent(Kind):
    """`90%`: the number before the sign; with `whole` one without a fraction."""

    least: float = 0
    most: float = 100
    whole: bool = False

    def read(self, value: Any) -> float:
        match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        if not match:
            bare = isinstance(value, int) and not isinstance(value, bool)
            fail("must be a percentage such as 90%, not {value}", "add the %" if bare else "")
        if not self.least <= float(match[1]) <= self.most:
            fail(f"must be from {self.show(self.least)} to {self.show(self.most)}, not {{value}}")
        if self.whole and not float(match[1]).is_integer():
            fail("must be a whole percentage such as 90%, not {value}")
        return float(match[1])

    def show(self, value: float) -> str:
        return f"{value:g}%"

    def form(self) -> str:
        return f"percentage, {self.show(self.least)} to {self.show(self.most)}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_PERCENT.pattern}$"}


@dataclass(frozen=True)
class Whole(Kind):
    """A whole number between two bounds, both included."""

    least: int
    most: int

    def read(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            number = isinstance(value, str) and value.lstrip("-").isdecimal()
            fail("must be a whole number, not {value}", "remove the quotes" if number else "")
        if not self.least <= value <= self.most:
            fail(f"must be from {self.least} to {self.most}, not {{value}}")
        return int(value)

    def form(self) -> str:
        return f"number, {self.least} to {self.most}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class PortOr(Kind):
    """A port, or one word in its place."""

    word: str

    def read(self, value: Any) -> int | str:
        if isinstance(value, str) and value != self.word:
            fail(
                f"must be a port from 1 to 65535, or {self.word}, not {{value}}",
                meant=nearest(value.lower(), [self.word]),
            )
        return self.word if value == self.word else Whole(1, 65535).read(value)

    def form(self) -> str:
        return f"port, 1 to 65535, or `{self.word}`"

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [Whole(1, 65535).json_schema(), {"const": self.word}]}


@dataclass(frozen=True)
class Number(Kind):
    """A number, whole or not, between two bounds, both included."""

    least: float
    most: float

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fail("must be a number, not {value}")
        if not self.least <= value <= self.most:
            fail(f"must be from {self.least:g} to {self.most:g}, not {{value}}")
        return float(value)

    def form(self) -> str:
        return f"number, {self.least:g} to {self.most:g}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}
