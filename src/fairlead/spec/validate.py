"""Stage two, validate: is the tree a fairlead file?

In comes the tree with its variables replaced, out come the validated `File` and every problem, each at the place of
the value that causes it. Pydantic judges each part by itself (`schema`), `references` and `resources` what one part
says of another.

Pydantic looks at a part's rules between keys only when its keys are right, so a file with wrong keys is judged a
second time without them: a wrong path must not hide a timeout that is longer than its interval.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, Sequence, dotted, find, walk
from fairlead.spec.interpolate import Interpolated
from fairlead.spec.problems import SHOWN, Place, Problem, cut, listed, nearest, printable, shown
from fairlead.spec.references import reference_problems
from fairlead.spec.resources import resource_problems
from fairlead.spec.schema import File
from fairlead.spec.schema.base import Conflict, part_at
from fairlead.spec.unknown_keys import meant_key, suggestion_for

TAKEN_AS_TEXT = (
    re.compile(r"services\.[^.]*\.(environment\..*|python|(build|before_traffic)\.\d+(\.\d+)?)"),
    re.compile(r"databases\.[^.]*\.version|aws\.tags\..*|.*\.(matcher|command\.\d+)"),
    re.compile(r"load_balancer\.listeners\.\d+\.rules\.\d+\.when\.(header|query)\..*"),
)
"""Where a plain number or word is what was written, not what YAML makes of it: `python: 3.10`, `DEBUG: true`."""


def validate(document: Interpolated) -> tuple[File | None, list[Problem]]:
    """The file, or None when it has problems of its own; and all of them."""
    judge = _Judge(document)
    problems = [*judge.empty_values(), *judge.schema_problems()]
    problems += [*reference_problems(document), *resource_problems(document)]
    return (None if problems else judge.file), problems


def python_of(node: Node, path: Path, without: Collection[Path] = ()) -> Any:
    """The tree as plain values: lists as tuples, and nothing of the paths `without`."""
    if isinstance(node, Mapping):
        return {
            key: python_of(entry.value, (*path, key), without)
            for key, entry in node.entries.items()
            if (*path, key) not in without
        }
    if isinstance(node, Sequence):
        return tuple(python_of(item, (*path, index), without) for index, item in enumerate(node.items))
    name = dotted(path)
    return node.text if any(pattern.fullmatch(name) for pattern in TAKEN_AS_TEXT) else node.value


def described(node: Node) -> str:
    """A value as a message repeats it. What came from a variable is not shown: it may be a secret."""
    if isinstance(node, Scalar):
        if node.template:
            return f"what {shown(node.template)} gives"
        return shown(node.text) if isinstance(node.value, str) else cut(printable(node.text), SHOWN)
    return "a list" if isinstance(node, Sequence) else "a mapping"


class _Judge:
    def __init__(self, document: Interpolated) -> None:
        self.root = document.root
        self.file: File | None = None
        self._empty = [path for path, node in walk(self.root) if isinstance(node, Scalar) and node.value is None]
        # What could not be known has its own problem; a list is judged as a whole, so it goes with its items.
        said = {*self._empty, *document.unknown}
        self._said = said | {path[:-1] for path in said if isinstance(path[-1], int)}

    def empty_values(self) -> Iterator[Problem]:
        for path in self._empty:
            # `host: #{host}` is a key without a value, and a comment.
            keyword = "; one that begins with # needs quotes" if "redirect" in path else ""
            yield Problem(self._key_place(path), dotted(path), "has no value", f"write one, or remove the key{keyword}")

    def schema_problems(self) -> Iterator[Problem]:
        """What the schema says, round by round: each round leaves out what an earlier one found wrong."""
        wrong: set[Path] = set()
        found: set[Path] = set()
        first = True
        while first or not found <= wrong:
            wrong |= found
            try:
                self.file = File.model_validate(python_of(self.root, (), wrong))
                return
            except ValidationError as error:
                details = error.errors(include_url=False, include_input=False)
            meant = {path for detail in details if (path := self._meant(detail))}
            for detail in details:
                if detail["type"] == "conflicts":
                    yield from self._conflicts(detail, wrong | meant | set(self._empty))
                elif first and self._resolve(detail)[0] not in meant:
                    yield from self._translate(detail)
            found = {self._removable(detail) for detail in details} | meant
            first = False

    def _meant(self, detail: ErrorDetails) -> Path:
        """The path of the key that an unknown one was meant to be, or (). That key then is not reported as missing."""
        path, _ = self._resolve(detail)
        part = part_at(File, path[:-1]) if detail["type"] == "extra_forbidden" else None
        key = meant_key(str(path[-1]), part) if part else ""
        return (*path[:-1], key) if key and find(self.root, *path[:-1], key) is None else ()

    def _removable(self, detail: ErrorDetails) -> Path:
        """The path whose absence cures `detail`: of a key that is missing, what should have held it. Never an item
        of a list, since the others would then change their indices."""
        path, _ = self._resolve(detail)
        if detail["type"] == "missing":
            path = path[:-1]
        elif detail["type"] == "conflicts":
            first: Conflict = detail["ctx"]["conflicts"][0]
            path = first.below(path)[0]
        while path and isinstance(path[-1], int):
            path = path[:-1]
        return path

    def _translate(self, detail: ErrorDetails) -> Iterator[Problem]:
        path, is_key = self._resolve(detail)
        node = find(self.root, *path)
        kind, context = detail["type"], detail.get("ctx", {})
        if kind == "missing":
            yield Problem(self._key_place(path[:-1]), dotted(path), "is required", _HOW_TO_ADD.get(dotted(path), ""))
        elif kind == "extra_forbidden":
            part = part_at(File, path[:-1])
            advice = suggestion_for(str(path[-1]), part) if part else ""
            yield Problem(self._key_place(path), dotted(path), "is not a key that fairlead knows here", advice)
        elif is_key or path not in self._said:
            subject = Scalar(self._key_place(path), str(path[-1]), plain=False) if is_key else node or self.root
            value = described(subject)
            reason, suggestion = _in_words(kind, context, detail["msg"], subject)
            # Only here, so that no braces of a value are taken for the mark.
            yield Problem(
                subject.place, dotted(path), reason.replace("{value}", value), suggestion.replace("{value}", value)
            )

    def _conflicts(self, detail: ErrorDetails, absent: Collection[Path]) -> Iterator[Problem]:
        """The conflicts of one part, but for those that the absence of a key would explain."""
        base, _ = self._resolve(detail)
        conflicts: tuple[Conflict, ...] = detail["ctx"]["conflicts"]
        for conflict in conflicts:
            involved = conflict.below(base)
            if not any(path in absent for path in involved):
                place = self._place(involved[0]) if conflict.keys[0] else self._key_place(base)
                yield Problem(place, dotted(involved[0]), conflict.reason, conflict.suggestion)

    def _resolve(self, detail: ErrorDetails) -> tuple[Path, bool]:
        """Pydantic's location as a path of the file (tags of unions fall out), and whether the key itself is meant."""
        *above, last = detail["loc"] or ("",)
        is_key = last == "[key]"
        node: Node | None = self.root
        path: Path = ()
        for step in (*above, last):
            below = find(node, step)
            if below is not None:
                node, path = below, (*path, step)
        return ((*path, last) if detail["type"] == "missing" else path), is_key

    def _place(self, path: Path) -> Place:
        node = find(self.root, *path)
        return node.place if node else self._key_place(path)

    def _key_place(self, path: Path) -> Place:
        """Where the key of `path` stands, or an item of a list; the file's first place for the file itself."""
        if not path:
            return Place(self.root.place.file, 1, 1)
        above = find(self.root, *path[:-1])
        entry: Entry | None = above.entries.get(str(path[-1])) if isinstance(above, Mapping) else None
        node = find(self.root, *path)
        return entry.place if entry else node.place if node else self._key_place(path[:-1])


_HOW_TO_ADD = {
    "name": "add `name: NAME`; lower-case letters, digits and -",
    "services": 'add `services: {web: {app: "app:app"}}`, or a `command`',
}


_SERVES = {
    "mariadb": ("mysql", "MariaDB serves it, where there is one"),
    "valkey": ("redis", "Valkey serves it, where there is one"),
}
"""Servers by name, and the `engine` that they speak."""


def _in_words(kind: str, context: dict[str, Any], message: str, node: Node) -> tuple[str, str]:
    """Reason and suggestion for pydantic's own kinds of error, and for those of `schema.kinds`."""
    if kind == "fairlead":
        from_file = isinstance(node, Scalar) and not node.template
        return context["reason"], context["suggestion"] or (context["guess"] if from_file else "")
    if kind == "literal_error":
        # Words in quotes, numbers without: "'local' or 'vpc'", "301 or 302".
        words = [word or number for word, number in re.findall(r"'([^']*)'|([0-9]+)", context["expected"])]
        text = node.text if isinstance(node, Scalar) and not node.template else ""
        spoken, serves = _SERVES.get(text.lower(), ("", ""))
        if spoken in words:
            return f"must be {listed(words)}, not {{value}}", f"write {spoken}: {serves}"
        close = nearest(text, words) if text else ""
        return f"must be {listed(words)}, not {{value}}", f"did you mean {close}?" if close else ""
    if kind == "bool_type":
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
        word = meant.get(node.text.lower(), "") if isinstance(node, Scalar) else ""
        return "must be true or false, not {value}", f"write {word}" if word else ""
    if kind in ("model_type", "dict_type"):
        return "must hold keys, not {value}", "write `{key: value}`, or keys on lines of their own"
    if kind == "tuple_type":
        return "must be a list, not {value}", "write [ ] round it" if isinstance(node, Scalar) else ""
    return printable(message[:1].lower() + message[1:]), ""
