"""What every part of the schema shares: strict, frozen, closed models, and rules between the keys of one part.

A part says in `conflicts` what its keys may not be together. Pydantic calls it only when each key is right by
itself; `validate` sees to it that a wrong key does not hide a conflict between two others.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from fairlead.spec.problems import listed


@dataclass(frozen=True)
class Conflict:
    """`keys` (relative to the part, dotted; "" for the part itself) do not go together; the problem is shown at the
    first of them, or where it would have to stand."""

    keys: tuple[str, ...]
    reason: str
    suggestion: str = ""

    def below(self, base: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
        """The paths of its keys, when the part stands at `base`. A number is the place in a list."""
        return [(*base, *map(_step, key.split("."))) if key else base for key in self.keys]


def _step(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


class Part(BaseModel):
    """A mapping of the file: unknown keys are errors, nothing is converted, nothing changes afterwards."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    def conflicts(self) -> Iterator[Conflict]:
        return iter(())

    @model_validator(mode="after")
    def _refuse_conflicts(self) -> Self:
        if found := tuple(self.conflicts()):
            raise PydanticCustomError("conflicts", "keys that do not go together", {"conflicts": found})
        return self


def exactly_one(part: Part, names: tuple[str, ...], what: str) -> Iterator[Conflict]:
    """The conflict, if any, of a part that must have one of the keys `names`; `what` says what they are for."""
    given = [name for name in names if getattr(part, name) is not None]
    choice = listed(f"`{name}`" for name in names)
    if not given:
        yield Conflict(("", *names), f"says nothing of {what}", f"add {choice}")
    elif len(given) > 1:
        yield Conflict(
            (given[1], *given), f"stands beside `{given[0]}`, and only one of them can hold", f"keep {choice}"
        )


def keys_of(part: type[Part]) -> dict[str, FieldInfo]:
    """The keys of a part as the file writes them (`from`, where the attribute is `from_`)."""
    return {field.alias or name: field for name, field in part.model_fields.items()}


def part_within(annotation: Any) -> tuple[type[Part] | None, int]:
    """The part that a key holds, and how many steps (names, indices) lead from the key's value to it."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, 0
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return part_within(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return next((found for each in arguments if (found := part_within(each))[0]), (None, 0))
    if origin in (tuple, dict, Mapping):
        part, steps = part_within(arguments[1 if origin is not tuple else 0])
        return part, steps + 1
    return None, 0


def part_at(part: type[Part] | None, path: tuple[str | int, ...]) -> type[Part] | None:
    """The part whose keys stand at `path` below `part`, or None."""
    rest = list(path)
    while rest and part:
        field = keys_of(part).get(str(rest.pop(0)))
        part, steps = part_within(field.annotation) if field else (None, 0)
        if len(rest) < steps:
            return None
        del rest[:steps]
    return part
