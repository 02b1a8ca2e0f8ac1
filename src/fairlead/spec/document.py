"""Stage one, parse: is the text YAML, and where does everything stand?

In comes the text of the file; out comes a tree of nodes, each with its line and column, or problems. The tree is
built from libyaml's events (PyYAML's own scanner where libyaml is missing) with an explicit stack, so that neither
deep nesting nor many nodes cost more than their limits. Scalars are read by the core schema of YAML 1.2: `on`, `NO`,
`1:30` and dates are text. What makes a file ambiguous or explosive is refused here: a key given twice, anchors,
aliases, tags, a second document.

Later stages name a node by its path: keys and list indices from the root.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from fairlead.spec.problems import Place, Problem, printable
from fairlead.spec.yaml_errors import syntax_problem

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MOST_NODES = 10_000
DEEPEST = 32

Path = tuple[str | int, ...]

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML 1.2 does not let into a file (c-printable, section 5.1)."""

# Longer digits are left to the float, so that no text makes `int` work for long.
_INTEGER = re.compile(r"([-+]?[0-9]{1,18})|0o([0-7]{1,20})|0x([0-9a-fA-F]{1,15})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `template` is its text in the file when `${...}` was replaced in it, else ""."""

    place: Place
    text: str
    plain: bool = True
    template: str = ""

    @property
    def value(self) -> str | int | float | bool | None:
        """What it means: text when quoted, else by the core schema. A variable's value is never null, only empty."""
        value = resolve(self.text) if self.plain else self.text
        return self.text if value is None and self.template else value


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping. `place` is the key's."""

    place: Place
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def resolve(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by the core schema of YAML 1.2 (section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if match := _INTEGER.fullmatch(text):
        decimal, octal, hexadecimal = match.groups()
        return int(decimal) if decimal else int(octal, 8) if octal else int(hexadecimal, 16)
    return float(text) if _FLOAT.fullmatch(text) else text


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node with its path, parents first."""
    yield path, node
    if isinstance(node, Mapping):
        for key, entry in node.entries.items():
            yield from walk(entry.value, (*path, key))
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield from walk(item, (*path, index))


def find(node: Node | None, *path: str | int) -> Node | None:
    """The node at `path` below `node`, or None."""
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str):
            entry = node.entries.get(step)
            node = entry.value if entry else None
        elif isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step] if step < len(node.items) else None
        else:
            return None
    return node


def dotted(path: Path) -> str:
    return ".".join(str(step) for step in path)


def parse(text: str, file: str) -> tuple[Mapping | None, list[Problem]]:
    """The tree of `text`, or None and at least one problem. `file` is the name that problems give."""
    text = text.removeprefix("\ufeff")
    if unreadable := _UNREADABLE.search(text):
        return None, [_unreadable(text, unreadable.start(), file)]
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=LOADER):
            builder.take(event)
    except _Hopeless:
        pass
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        builder.problems.append(syntax_problem(error, text, file))
    if not builder.problems and not isinstance(builder.root, Mapping):
        builder.problems.append(_not_a_mapping(builder.root, file))
    if builder.problems or not isinstance(builder.root, Mapping):
        return None, builder.problems
    return builder.root, []


def _unreadable(text: str, offset: int, file: str) -> Problem:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    reason = f"the character U+{ord(text[offset]):04X} cannot stand in a YAML file"
    return Problem(Place(file, line, column), "", reason, r'remove it, or write it as an escape in quotes ("\x1b")')


def _not_a_mapping(root: Node | None, file: str) -> Problem:
    empty = root is None or (isinstance(root, Scalar) and root.value is None)
    reason = "the file is empty" if empty else "the file must hold keys at its top, such as `name: shop`"
    advice = 'the smallest file is `name: shop` and `services: {web: {app: "app:app"}}`'
    return Problem(Place(file, 1, 1), "", reason, advice)


class _Hopeless(Exception):
    """Ends the reading: nothing sensible can be said of what follows. Never leaves this module."""


@dataclass(slots=True)
class _Frame:
    """A container that is still open; of a mapping also the key whose value comes next."""

    node: Mapping | Sequence
    path: Path
    key: Scalar | None = None


class _Builder:
    """Takes events one by one; leaves the tree in `root`, and what is wrong in `problems`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        place = Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)  # type: ignore[union-attr]
        if isinstance(event, yaml.NodeEvent):
            self._refuse_yaml_features(event, place)
        if isinstance(event, yaml.ScalarEvent):
            self._add(Scalar(place, event.value, plain=event.style in (None, "")))
        elif isinstance(event, yaml.AliasEvent):
            self._add(Scalar(place, "", plain=False))
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            node = Mapping(place) if isinstance(event, yaml.MappingStartEvent) else Sequence(place)
            self._open.append(_Frame(node, self._add(node)))
            if len(self._open) > DEEPEST:
                self._give_up(place, f"values are nested more than {DEEPEST} deep")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                advice = "remove the line `---`: one file declares one stack"
                self._give_up(place, "a second document begins here", advice)

    def _refuse_yaml_features(self, event: yaml.NodeEvent, place: Place) -> None:
        """Anchors, aliases and tags: each is one more way to write what then has to be read twice."""
        advice = "write the value out, or put quotes around a value that begins with "
        if isinstance(event, yaml.AliasEvent):
            self.problems.append(
                Problem(place, "", f"aliases are not supported in this file: *{event.anchor}", advice + "*")
            )
        elif event.anchor is not None:
            self.problems.append(
                Problem(place, "", f"anchors are not supported in this file: &{event.anchor}", advice + "&")
            )
        if tag := getattr(event, "tag", None):
            reason = f"tags are not supported in this file: {printable(tag.replace('tag:yaml.org,2002:', '!!'))}"
            self.problems.append(Problem(place, "", reason, "remove it; quotes make a value text"))

    def _add(self, node: Node) -> Path:
        """Put `node` where it belongs; its path."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            self._give_up(node.place, f"the file holds more than {MOST_NODES} values")
        if not self._open:
            self.root = node
            return ()
        frame = self._open[-1]
        if isinstance(frame.node, Sequence):
            frame.node.items.append(node)
            return (*frame.path, len(frame.node.items) - 1)
        if frame.key is None:
            if not isinstance(node, Scalar):
                self._give_up(node.place, "a key must be a word", "put quotes around a value that begins with { or [")
            frame.key = node
            return frame.path
        key, frame.key = frame.key, None
        path = (*frame.path, key.text)
        first = frame.node.entries.get(key.text)
        if first is None:
            frame.node.entries[key.text] = Entry(key.place, node)
        else:
            reason = f"the key is given twice; the first is on line {first.place.line}"
            self.problems.append(Problem(key.place, dotted(path), reason, "keep one of the two"))
        return path

    def _give_up(self, place: Place, reason: str, suggestion: str = "") -> NoReturn:
        self.problems.append(Problem(place, "", reason, suggestion))
        raise _Hopeless
