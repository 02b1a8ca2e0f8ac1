"""What every kind of value in the file is: how pydantic asks it, and how it says no.

Each kind is used as `Annotated[float, Duration(0.2, 300)]`: pydantic asks it for a validator and for its JSON
Schema. A reason may hold `{value}`, which `validate` replaces by what the user wrote; a kind never repeats the value
itself, since it may have come from a variable that holds a secret. The kinds are in `numbers` and `texts`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NoReturn

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


def fail(reason: str, suggestion: str = "", *, guess: str = "") -> NoReturn:
    """End the reading of a value. reason and suggestion may hold `{value}`. guess: what to write instead, made from the
    value itself; it is shown only when the value stands in the file."""
    context = {"reason": reason, "suggestion": suggestion, "guess": f"write {guess}" if guess else ""}
    raise PydanticCustomError("fairlead", "{reason}", context)


def holding(least: int, most: int = 1000) -> BeforeValidator:
    """How many items a list, or keys a mapping, must hold. Judged before them: pydantic counts only the right ones."""

    def count(value: Any) -> Any:
        if isinstance(value, (tuple, dict)):
            if len(value) < least:
                fail("is empty", "write at least one, or remove the key")
            if len(value) > most:
                fail(f"holds {len(value)}, and the most are {most}")
        return value

    return BeforeValidator(count)


class Kind(ABC):
    """What pydantic asks of every kind below."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value, or the end of the reading by `fail`."""

    def show(self, value: Any) -> str:
        """A value as one would write it in the file."""
        return str(value)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return self.json_schema()
