"""Between parse and validate: `${...}` in any scalar is replaced by what it stands for.

`${env.NAME}` comes from the command line's environment, else from `.env`, else from its default. `${instance.*}` is
kept where an instance's own launch will replace it, in `command` and `environment`, and refused elsewhere. Secrets
and the addresses of data are kept too, and noted, for later stages to judge. Everything else in `${ }` is a problem.

Law: what was put in is never looked at again. A variable whose value would read as `${instance...}` at launch is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables
from dataclasses import dataclass, field

from fairlead.core.interpolation import ENVIRONMENT, INSTANCE, VARIABLE
from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, Sequence, dotted
from fairlead.spec.problems import Problem, listed, nearest, printable

KINDS = ("env", "instance", "secrets", "caches", "databases", "buckets")
ATTRIBUTES = ("url", "host", "port", "user", "password", "name", "endpoint", "region")

_DATA = re.compile(r"(caches|databases|buckets)\.([a-z][a-z0-9-]*)\.([a-z]+)")
_SECRET = re.compile(r"secrets\.([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Reference:
    """A `${...}` that names something else of the stack: `kind` is `secrets`, `caches`, ...; `id` its name there."""

    path: Path
    node: Scalar
    kind: str
    id: str
    text: str


@dataclass(slots=True)
class Interpolated:
    """unknown: the paths of scalars whose value could not be told, and which no later stage should judge by it."""

    root: Mapping
    problems: list[Problem] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    unknown: set[Path] = field(default_factory=set)


def interpolate(root: Mapping, env: Variables[str, str], dotenv: Variables[str, str]) -> Interpolated:
    """`root` with its variables replaced. env: the command line's environment, which wins over dotenv."""
    done = Interpolated(root)
    replaced = _replace(root, (), {**dotenv, **env}, done)
    assert isinstance(replaced, Mapping)
    done.root = replaced
    return done


def may_name_instances(path: Path) -> bool:
    """Whether `${instance.*}` may stand at `path`: in a service's command or environment."""
    return len(path) > 2 and path[0] == "services" and path[2] in ("command", "environment")


def _replace(node: Node, path: Path, variables: Variables[str, str], done: Interpolated) -> Node:
    if isinstance(node, Mapping):
        entries = {
            key: Entry(entry.place, _replace(entry.value, (*path, key), variables, done))
            for key, entry in node.entries.items()
        }
        return Mapping(node.place, entries)
    if isinstance(node, Sequence):
        items = [_replace(item, (*path, index), variables, done) for index, item in enumerate(node.items)]
        return Sequence(node.place, items)
    return _Replacement(node, path, variables, done).result() if "${" in node.text else node


class _Replacement:
    """The work on one scalar: `result` says what it becomes; problems and references go into `done`."""

    def __init__(self, node: Scalar, path: Path, variables: Variables[str, str], done: Interpolated) -> None:
        self.node, self.path, self.variables, self.done = node, path, variables, done
        self.kept = 0

    def result(self) -> Scalar:
        text = VARIABLE.sub(self._one, self.node.text)
        smuggled = len(INSTANCE.findall(text)) > self.kept and may_name_instances(self.path)
        if smuggled and self.path not in self.done.unknown:
            reason = "a variable's value makes up a ${instance...} of its own, and values are never replaced again"
            self._problem(reason, "write ${instance...} in the file, not in the variable")
        # Inside { } YAML wants quotes round `${`, so they cannot mean text where one variable is the whole value.
        whole = VARIABLE.fullmatch(self.node.text)
        plain = self.node.plain or bool(whole and ENVIRONMENT.fullmatch(whole[1]))
        return Scalar(self.node.place, text, plain, template=self.node.text)

    def _one(self, match: re.Match[str]) -> str:
        inside, closed = match.groups()
        kind = inside.partition(".")[0]
        if not closed:
            advice = "close it with }; what stands inside holds no braces"
            self._problem(f"{printable(match[0][:40])} is not closed", advice)
        elif variable := ENVIRONMENT.fullmatch(inside):
            return self._environment(variable[1], variable[2])
        elif INSTANCE.fullmatch(match[0]):
            self._instance(match[0])
        elif data := _DATA.fullmatch(inside):
            self._data(match[0], *data.groups())
        elif secret := _SECRET.fullmatch(inside):
            self._refer("secrets", secret[1], match[0])
        else:
            self._unknown(printable(match[0][:60]), kind, inside)
        return match[0]

    def _environment(self, name: str, default: str | None) -> str:
        value = self.variables.get(name)
        # As in a shell, `:-` also stands in for a variable that is set but empty.
        if default is not None and not value:
            return default
        if value is None:
            advice = f"set it, add it to .env beside the file, or give it a default: ${{env.{name}:-...}}"
            self._problem(f"the variable {name} is not set", advice)
        return value or ""

    def _instance(self, text: str) -> None:
        if may_name_instances(self.path):
            self.kept += 1
        else:
            advice = "every instance has its own; here one value must hold for all"
            self._problem(f"{text} can stand only in a service's `command` and `environment`", advice)

    def _data(self, text: str, kind: str, id: str, attribute: str) -> None:
        if attribute in ATTRIBUTES:
            self._refer(kind, id, text)
        else:
            self._problem(f"{text[:60]} asks for `{attribute[:40]}`", f"there are {listed(ATTRIBUTES, 'and')}")

    def _refer(self, kind: str, id: str, text: str) -> None:
        self.done.references.append(Reference(self.path, self.node, kind, id, text[:80]))
        self.done.unknown.add(self.path)

    def _unknown(self, text: str, kind: str, inside: str) -> None:
        if inside.upper() in ("PORT", "SOCKET") and may_name_instances(self.path):
            advice = f"write ${{instance.{inside.lower()}}}"
        elif kind == "instance":
            advice = "there are ${instance.port}, ${instance.socket}, ${instance.id} and ${instance.zone}"
        elif re.fullmatch(r"[A-Za-z_]\w*(:-.*)?", inside, re.ASCII | re.DOTALL):
            advice = f"for a variable of the environment write ${{env.{printable(inside[:40])}}}"
        elif close := nearest(kind, KINDS):
            advice = f"did you mean `{close}`? Names hold letters, digits and _ or -"
        else:
            advice = f"${{...}} begins with {listed(KINDS)}"
        self._problem(f"{text} is not known", advice)

    def _problem(self, reason: str, suggestion: str) -> None:
        self.done.problems.append(Problem(self.node.place, dotted(self.path), reason, suggestion))
        self.done.unknown.add(self.path)
