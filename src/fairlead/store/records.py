"""Values of core as JSON text, and back.

The law: `read(kind, text(value)) == value` for every kind kept here, whatever the strings hold: bytes of a file
name that are not UTF-8 (surrogates) too. A field that a later version added and this one does not know is passed over;
one that is missing gets its default.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fairlead.core.alarms import AlarmRecord, Delivery
from fairlead.core.desired import StackRecord
from fairlead.core.model import Release
from fairlead.core.observed import InstanceRecord
from fairlead.core.resources.records import ResourceRecord
from fairlead.core.runs import RunRecord
from fairlead.errors import StoreError

Record = TypeVar("Record", StackRecord, Release, InstanceRecord, RunRecord, ResourceRecord, AlarmRecord, Delivery)

KINDS = (StackRecord, Release, InstanceRecord, RunRecord, ResourceRecord, AlarmRecord, Delivery)

_ADAPTERS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in KINDS}


def text(value: StackRecord | Release | InstanceRecord | RunRecord | ResourceRecord | AlarmRecord | Delivery) -> str:
    """`value` as JSON in ASCII: what is not ASCII is escaped, so that SQLite takes surrogates too."""
    return json.dumps(_plain(value), separators=(",", ":"))


def read(kind: type[Record], stored: str) -> Record:
    """The value that `text` wrote. StoreError: the text is no such value (damaged, or changed by hand)."""
    try:
        value: Record = _read(kind.__name__, stored)
    except (ValueError, ValidationError) as error:
        raise StoreError(
            f"a stored {kind.__name__} cannot be read",
            "it was damaged or changed by hand",
            "Restore the home's fairlead.db from a backup, or start with another FAIRLEAD_HOME.",
            detail=str(error),
        ) from error
    return value


def _parsed(kind: str, stored: str) -> Any:
    return _ADAPTERS[kind].validate_python(json.loads(stored))


# Kept, because a loop reads the same rows in every turn, and nobody changes a value of core: the instances of a large
# stack (some kilobytes each), and apart from them the few rows of other kinds, of which a stack's may be long.
_INSTANCES = functools.lru_cache(maxsize=1024)(_parsed)
_OTHERS = functools.lru_cache(maxsize=64)(_parsed)


def _read(kind: str, stored: str) -> Any:
    return (_INSTANCES if kind == InstanceRecord.__name__ else _OTHERS)(kind, stored)


def _plain(value: Any) -> Any:
    """Dataclasses and mappings as dicts, tuples as lists, the rest as it is."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
