"""docs/reference/fairlead.schema.json, for editors: `python -m fairlead.spec.jsonschema > FILE`, or `fairlead schema`.

Made from the schema that fairlead itself reads with, draft 7, which every editor knows; a test compares the two. It
says what a machine can say of one key: its form, and not what the keys say of each other.
"""

from __future__ import annotations

import json
from typing import Any

from fairlead import __version__
from fairlead.spec.describe import DEFINITIONS, Key, Shape, as_text, keys_in, shape_of, summary, written_default
from fairlead.spec.schema import File
from fairlead.spec.schema.base import Part, keys_of
from fairlead.spec.support import answers


def schema_text() -> str:
    """The whole JSON Schema, indented, with a line break at its end."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of a fairlead.yaml."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"fairlead.yaml of fairlead {__version__}"}
    return {**head, **_part(File, ""), "definitions": DEFINITIONS}


def _part(part: type[Part], prefix: str) -> dict[str, Any]:
    required = [key for key, field in keys_of(part).items() if field.is_required()]
    return {
        "type": "object",
        "description": summary(part),
        "properties": {key.name.removeprefix(prefix): _key(key) for key in keys_in(part, prefix)},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _key(key: Key) -> dict[str, Any]:
    shape = shape_of(key.field, key.name)
    schema = _filled(shape.schema, _part(key.part, key.prefix)) if key.part else shape.schema
    default = written_default(key.field)
    return {
        "description": _description(key, shape, default),
        **schema,
        **({} if default in ("", None) else {"default": default}),
    }


def _description(key: Key, shape: Shape, default: Any) -> str:
    sentences = [key.meaning]
    sentences += [] if key.part else [f"{shape.form[:1].upper()}{shape.form[1:]}."]
    sentences += [f"Default: `{as_text(default)}`."] if default not in ("", None) else []
    said = answers()[key.name]
    if said == "refused" or said.startswith("only "):
        sentences.append(f"This version: {said}.")
    elif said == "not enforced":
        sentences.append("Taken, and not enforced by engine local.")
    return " ".join(sentences)


def _filled(schema: Any, part: dict[str, Any]) -> Any:
    """`schema` with `part` in the place that `shape_of` left open for it."""
    if schema == {"type": "object"}:
        return part
    if isinstance(schema, dict):
        return {key: _filled(value, part) for key, value in schema.items()}
    return [_filled(each, part) for each in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    print(schema_text(), end="")
