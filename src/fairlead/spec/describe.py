"""Every key of the file as a value: what it means, what may stand there, and what it is when it is left out.

Made from the schema itself: meanings are the docstrings of its attributes, forms and JSON Schemas come from the kinds.
`jsonschema` and `page` publish them, `support` says defaults with them.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from fairlead.spec.problems import listed
from fairlead.spec.schema.base import Part, keys_of, part_within
from fairlead.spec.schema.kinds import Holding, Kind, Short

VARIABLE = {"$ref": "#/definitions/variable"}
"""`${...}` may stand in any scalar, whatever it has to be once it is replaced."""

DEFINITIONS = {
    "variable": {
        "type": "string",
        "pattern": r"\$\{[^{}]*\}",
        "description": "${env.NAME}, ${env.NAME:-default} and its kin are replaced before the file is judged.",
    }
}
"""What `VARIABLE` refers to."""

WRITTEN_AS_TEXT = re.compile(
    r"services\.ID\.(environment\.ID|python)|databases\.ID\.version|aws\.tags\.ID|.*\.when\.(header|query)\.ID(\.ID)?"
)
"""Texts that may be written without quotes where they read as a number or as true."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand somewhere: `schema` for a machine (JSON Schema, draft 7), `form` for a reader."""

    schema: dict[str, Any]
    form: str


@dataclass(frozen=True, slots=True)
class Key:
    """name: dotted, `ID` for names and indices. meaning: of one paragraph."""

    name: str
    meaning: str
    field: FieldInfo
    part: type[Part] | None
    """What holds its keys, when it has some, or is a list or a mapping of what has."""
    prefix: str
    """What the names of its keys begin with."""


def keys(part: type[Part], prefix: str = "") -> Iterator[Key]:
    """Every key of `part` and of what is below it, parents first, in the order of the schema."""
    for key in keys_in(part, prefix):
        yield key
        if key.part:
            yield from keys(key.part, key.prefix)


def keys_in(part: type[Part], prefix: str = "") -> Iterator[Key]:
    """The keys of `part` itself."""
    texts = meanings(part)
    for name, field in keys_of(part).items():
        below, steps = part_within(field.annotation)
        yield Key(f"{prefix}{name}", texts[name], field, below, f"{prefix}{name}." + "ID." * steps)


def meanings(part: type[Part]) -> dict[str, str]:
    """The docstring of each key of `part`; KeyError for one without."""
    texts: dict[str, str] = {}
    for each in reversed(part.__mro__):
        if issubclass(each, Part) and each is not Part:
            texts |= _docstrings(each)
    return {field.alias or name: texts[name] for name, field in part.model_fields.items()}


def _docstrings(part: type[Part]) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for attribute, following in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(attribute, ast.AnnAssign) and isinstance(attribute.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            texts[attribute.target.id] = " ".join(str(following.value.value).split())
    return texts


def summary(part: type[Part]) -> str:
    return " ".join((part.__doc__ or "").split())


def written_default(field: FieldInfo) -> Any:
    """What the file would have to say to mean what it means without the key: a number, a text, true or false. None
    when there is nothing that one could write, "" for a key that says of itself what it holds."""
    default = field.get_default(call_default_factory=True)
    if field.is_required() or default is None:
        return None
    if isinstance(default, (Part, dict, tuple)):
        return ""
    kind = next((each for each in field.metadata if isinstance(each, Kind)), None)
    if isinstance(default, (bool, int, str)) or kind is None:
        return default
    return kind.show(default)


def as_text(default: Any) -> str:
    """`default`, as one would write it in the file."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def shape_of(field: FieldInfo, name: str) -> Shape:
    """What may stand at the key `name`, whose field is `field`. Parts are left open: `{"type": "object"}`."""
    return _shape(field.annotation, tuple(field.metadata), name)


def _shape(annotation: Any, metadata: Sequence[Any], name: str) -> Shape:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *inner = typing.get_args(annotation)
        return _shape(annotation, (*inner, *metadata), name)
    kind = next((each for each in metadata if isinstance(each, Kind)), None)
    short = next((each for each in metadata if isinstance(each, Short)), None)
    holding = next((each for each in metadata if isinstance(each, Holding)), None)
    if kind:
        return Shape(_scalar(kind.json_schema(), name), kind.form())
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        shape = _union([each for each in arguments if each is not type(None)], metadata, name)
    elif origin is tuple:
        item = _shape(arguments[0], (), f"{name}.ID")
        shape = Shape({"type": "array", "items": item.schema, **_bounds(holding, "Items")}, f"list: {item.form}")
    elif origin is dict:
        shape = _mapping(arguments, holding, name)
    elif origin is typing.Literal:
        shape = Shape(_scalar({"enum": list(arguments)}, name), listed([f"`{word}`" for word in arguments]))
    elif annotation is bool:
        shape = Shape(_scalar({"type": "boolean"}, name), "`true` or `false`")
    else:
        assert issubclass(annotation, Part), f"{name} holds a {annotation}"
        shape = Shape({"type": "object"}, "keys, see below")
    return _with_short(shape, short) if short and origin not in (typing.Union, types.UnionType) else shape


def _union(members: list[Any], metadata: Sequence[Any], name: str) -> Shape:
    shapes = [_shape(member, metadata, name) for member in members]
    if len(shapes) == 1:
        return shapes[0]
    return Shape({"anyOf": [shape.schema for shape in shapes]}, listed([shape.form for shape in shapes]))


def _mapping(arguments: tuple[Any, ...], holding: Holding | None, name: str) -> Shape:
    named, value = _shape(arguments[0], (), ""), _shape(arguments[1], (), f"{name}.ID")
    # No variable is replaced in a key.
    names = next((each for each in named.schema.get("anyOf", ()) if each != VARIABLE), named.schema)
    schema = {"type": "object", "propertyNames": names, "additionalProperties": value.schema}
    return Shape({**schema, **_bounds(holding, "Properties")}, f"names, each with: {value.form}")


def _with_short(shape: Shape, short: Short) -> Shape:
    other = shape.schema["items"] if short.schema is None else dict(short.schema)
    form = shape.form.replace("list: ", f"{short.form}: ") if short.schema is None else short.form
    return Shape({"anyOf": [shape.schema, other]}, form)


def _bounds(holding: Holding | None, what: str) -> dict[str, int]:
    if holding is None:
        return {}
    least = {f"min{what}": holding.least} if holding.least else {}
    return {**least, f"max{what}": holding.most}


def _scalar(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """`schema` for one value, or for what is replaced by one."""
    if WRITTEN_AS_TEXT.fullmatch(name):
        schema = {"anyOf": [schema, {"type": ["number", "boolean"]}]}
    if schema.get("type") == "string" and "pattern" not in schema:
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), VARIABLE]}
