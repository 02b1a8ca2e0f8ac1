"""What every kind of value in the file is: how pydantic asks it, how it says no, and how it is described.

Each kind is used as `Annotated[float, Duration(0.2, 300)]`: pydantic asks it for a validator, `describe` for its JSON
Schema and for its form in words. A reason may hold `{value}`, which `validate` replaces by what the user wrote; a kind
never repeats the value itself, since it may have come from a variable that holds a secret. The kinds are in `numbers`,
`texts` and `times`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


def fail(reason: str, suggestion: str = "", *, guess: str = "", meant: str = "") -> NoReturn:
    """End the reading of a value. reason and suggestion may hold `{value}`. guess: what to write instead, meant: which
    word it was; both are made from the value itself, and shown only when the value stands in the file."""
    close = f"write {guess}" if guess else f"did you mean {meant}?" if meant else ""
    raise PydanticCustomError("fairlead", "{reason}", {"reason": reason, "suggestion": suggestion, "guess": close})


@dataclass(frozen=True)
class Holding:
    """How many items a list, or keys a mapping, must hold. Judged before them: pydantic counts only the right ones."""

    least: int
    most: int = 1000

    def count(self, value: Any) -> Any:
        if isinstance(value, (tuple, dict)):
            if len(value) < self.least:
                fail("is empty", "write at least one, or remove the key")
            if len(value) > self.most:
                fail(f"holds {len(value)}, and the most are {self.most}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.count, handler(source))


@dataclass(frozen=True)
class Short:
    """A second way to write a value, which `expand` turns into the first. schema: its JSON Schema; None: that of one
    item of the list. form: it in words."""

    expand: Callable[[Any], Any]
    form: str
    schema: tuple[tuple[str, Any], ...] | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))


def _one_item(value: Any) -> Any:
    return value if isinstance(value, (tuple, dict)) else (value,)


ONE_OR_MANY = Short(_one_item, "one, or a list")
"""A single value may stand for a list of one."""


class Kind(ABC):
    """What pydantic and `describe` ask of every kind."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value, or the end of the reading by `fail`."""

    def show(self, value: Any) -> str:
        """A value as one would write it in the file."""
        return str(value)

    @abstractmethod
    def form(self) -> str:
        """What is read, in words and with its bounds: `duration, 1s to 5m`."""

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)
