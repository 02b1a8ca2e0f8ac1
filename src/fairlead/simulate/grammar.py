"""`--load` as people write it, to a `Load`: `ramp:0-500/5m`, `sine:20-200/24h+jitter:5%`, `traffic.csv`, and several
after each other with commas.

In: the text, and how a CSV file is read. Out: a `Load`, or a UsageError with an example of what was probably meant.
Numbers may end in k or M; lengths of time are written as in the file (`500ms`, `30s`, `5m`, `1h`, `7d`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import NoReturn

from fairlead.errors import UsageError
from fairlead.simulate.load import SHAPES, Load, Piece, Recording

LONGEST = 31 * 86400
"""Seconds of a load: a month, which takes a few minutes."""

HIGHEST = 1e9
"""Requests per second."""

_NUMBER = r"\d+(?:\.\d+)?[kM]?"
_SPAN = r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+"
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = re.compile(
    rf"(?P<shape>[a-z]+):(?P<first>{_NUMBER})(?:-(?P<last>{_NUMBER}))?/(?P<span>{_SPAN})(?:@(?P<at>{_SPAN}))?"
)
_JITTER = re.compile(r"jitter:(\d+(?:\.\d+)?)%")

Read = Callable[[str], Load]
"""Makes the load of a CSV file, by its path."""


def load_of(text: str, read: Read) -> Load:
    """The load that `text` means. UsageError."""
    made: list[Piece | Recording] = []
    began = ""
    for part in text.split(","):
        piece, *added = part.strip().split("+jitter")
        jitter = _jitter(part, f"jitter{added[0]}") if added else 0.0
        if len(added) > 1:
            _refuse(part, "it has two jitters")
        if _is_file(piece):
            load = read(piece)
            began = began or ("" if made else load.began)
            made += [replace(one, jitter=jitter) for one in load.pieces]
        else:
            made.append(_piece(piece, jitter))
    load = Load(pieces=tuple(made), began=began)
    if load.seconds > LONGEST:
        raise UsageError("--load is too long", f"it is of {load.seconds / 86400:.0f} days, and 31 are the most")
    return load


def number_of(text: str) -> float:
    """`100`, `1.5k`, `1M`. ValueError."""
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(text)
    scale = {"k": 1e3, "M": 1e6}.get(text[-1], 1.0)
    return float(text.rstrip("kM")) * scale


def seconds_of(text: str) -> float:
    """`500ms`, `30s`, `1h30m`. ValueError."""
    if not re.fullmatch(_SPAN, text):
        raise ValueError(text)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _is_file(piece: str) -> bool:
    return piece.endswith(".csv") or ("/" in piece and ":" not in piece)


def _piece(text: str, jitter: float) -> Piece:
    found = _PIECE.fullmatch(text)
    name = text.partition(":")[0]
    if name not in SHAPES:
        _refuse_shape(text, name)
    shape = SHAPES[name]
    if found is None:
        _refuse(text, _what_is_wrong(text, name))
    if shape.pair != (found["last"] is not None):
        _refuse(text, f"a {name} is of {'two numbers' if shape.pair else 'one number'}", name)
    seconds, at = seconds_of(found["span"]), seconds_of(found["at"]) if found["at"] else None
    first, last = number_of(found["first"]), number_of(found["last"] or found["first"])
    if max(first, last) > HIGHEST:
        _refuse(text, f"more than {HIGHEST:.0f} requests per second are not simulated", name)
    if not 1 <= seconds <= LONGEST:
        _refuse(text, "it may last from 1s to 31d", name)
    if at is not None and not shape.at:
        _refuse(text, f"@ says nothing of a {name}", name)
    if at is not None and not 0 < at <= seconds:
        _refuse(text, f"{found['at']} is not within its {found['span']}", name)
    return Piece(shape=name, first=first, last=last, seconds=round(seconds), at=at, jitter=jitter)


def _jitter(part: str, text: str) -> float:
    found = _JITTER.fullmatch(text)
    if found is None or float(found[1]) > 100:
        _refuse(part, f"{text!r} is no jitter of 0% to 100%", advice="Write it like constant:100/10m+jitter:5%.")
    return float(found[1]) / 100


def _what_is_wrong(text: str, name: str) -> str:
    numbers, _, rest = text.removeprefix(name).removeprefix(":").partition("/")
    span, _, at = rest.partition("@")
    if not span:
        return "it does not say how long (/10m)"
    for one in (span, at):
        if one and not re.fullmatch(_SPAN, one):
            return f"{one[:40]!r} is no length of time"
    wrong = [one for one in numbers.split("-", 1) if not re.fullmatch(_NUMBER, one)]
    return f"{wrong[0][:40] or numbers[:40]!r} is no number of requests per second" if wrong else "it cannot be read"


def _refuse_shape(text: str, name: str) -> NoReturn:
    close = get_close_matches(name[:40], SHAPES, n=1)
    guess = f"did you mean {close[0]}?" if close else f"there are {', '.join(SHAPES)}, and a file that ends in .csv"
    example = SHAPES[close[0] if close else "ramp"].example
    raise UsageError(f"--load {text[:100]!r}: there is no shape {name[:40]!r}", guess, f"Write it like {example}.")


def _refuse(text: str, why: str, name: str = "", advice: str = "") -> NoReturn:
    name = name or text.partition(":")[0]
    example = SHAPES[name].example if name in SHAPES else SHAPES["ramp"].example
    raise UsageError(f"--load {text[:100]!r} makes no sense", why, advice or f"Write it like {example}.")
