"""Between parse and validate: `${...}` in any scalar is replaced by what it stands for.

`${env.NAME}` comes from the command line's environment, else from `.env`, else from its default. The others are kept
where they will be replaced later, and refused elsewhere: `${instance.*}` in a service's `command` and `environment`;
the addresses of caches, databases and buckets there too, but for those that hold a password, which no command may;
secrets in `environment` and in the addresses that only the daemon reads. Everything else in `${ }` is a problem.

Law: what was put in is never looked at again. A variable whose value would read as one of those that are kept is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Variables
from dataclasses import dataclass, field

from fairlead.core.interpolation import ENVIRONMENT, INSTANCE, REFERENCE, VARIABLE
from fairlead.core.resources.model import ATTRIBUTES, ATTRIBUTES_OF, SECRET_ATTRIBUTES, SECTIONS
from fairlead.core.secrets import SHELLS_OWN, check_name
from fairlead.errors import UsageError
from fairlead.spec.document import Entry, Mapping, Node, Path, Scalar, Sequence, dotted
from fairlead.spec.problems import Problem, listed, nearest, printable

KINDS = ("env", "instance", "secrets", *ATTRIBUTES_OF)


@dataclass(frozen=True, slots=True)
class Reference:
    """A `${...}` that is kept and names something else of the stack: `kind` is `secrets`, `caches`, ...; `id` its name
    there; `attribute` what is asked of it, "" for a secret."""

    path: Path
    node: Scalar
    kind: str
    id: str
    attribute: str
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
    """Whether `${instance.*}` and addresses may stand at `path`: in a service's command or environment."""
    return len(path) > 2 and path[0] == "services" and path[2] in ("command", "environment")


def may_hold_secrets(path: Path) -> bool:
    """Whether `${secrets.NAME}` may stand at `path`."""
    match path:
        case (
            ("services", _, "environment", *_) | ("services", _, "custom_metrics", _, "url") | ("alarms", _, "webhook")
        ):
            return True
        case (section, _, "url"):
            return section in ATTRIBUTES_OF
    return False


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
        self.kept: list[str] = []

    def result(self) -> Scalar:
        text = VARIABLE.sub(self._one, self.node.text)
        is_filled = may_name_instances(self.path) or may_hold_secrets(self.path)
        if is_filled and self.path not in self.done.unknown and _filled_later(text) != self.kept:
            reason = "a variable's value makes up a ${...} of its own, and values are never replaced again"
            self._problem(reason, "write ${...} in the file, not in the variable")
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
        elif found := REFERENCE.fullmatch(inside):
            _, name, section, id, attribute = found.groups()
            if name is not None:
                self._secret(match[0], name)
            else:
                self._address(match[0], section, id, attribute)
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
            self.kept.append(text)
        else:
            advice = "every instance has its own; here one value must hold for all"
            self._problem(f"{text} can stand only in a service's `command` and `environment`", advice)

    def _secret(self, text: str, name: str) -> None:
        shown, path = text[:80], self.path
        if may_hold_secrets(path):
            try:
                check_name(name)
            except UsageError as problem:
                self._problem(f"{shown} names no secret: {problem.why}", "choose another name")
            else:
                self._refer("secrets", name, "", text)
        elif path[:1] == ("services",) and path[2:3] == ("secrets",):
            self._problem(f"{shown} is no name of a secret", f"write {name[:40]}")
        elif path[0] == "alarms" and path[2:3] == ("command",):
            reason = f"{shown} cannot stand in a command, where every user of this machine could read it"
            self._problem(reason, "an alarm's `webhook` may hold it")
        elif _is_command(path):
            reason = f"{shown} cannot stand in a command, where every user of this machine could read it"
            self._problem(
                reason, f"write `secrets: [{name[:40]}]` in the service: its programs find it in that variable"
            )
        else:
            reason = (
                f"{shown} can stand only in a service's `environment`, in the `webhook` of an alarm, and in the `url` "
                "of a custom metric, a cache, a database or a bucket"
            )
            self._problem(reason, f"for a value that is no secret write ${{env.{name[:40]}}}")

    def _address(self, text: str, section: str, id: str, attribute: str) -> None:
        shown, known = text[:80], ATTRIBUTES_OF[section]
        if attribute not in known:
            kind = next(kind for kind, name in SECTIONS.items() if name == section)
            whose = f", which a {kind} does not have" if attribute in ATTRIBUTES else ""
            self._problem(f"{shown} asks for `{attribute[:40]}`{whose}", f"there are {listed(known, 'and')}")
        elif not may_name_instances(self.path):
            reason = f"{shown} can stand only in a service's `command` and `environment`"
            if _is_command(self.path) and self.path[0] != "alarms":
                builds = self.path[2:3] == ("build",)
                runs = "put it into the service's `environment`: this runs in it too"
                advice = "a build runs before it is there" if builds else runs
            else:
                advice = "write the address itself"
            self._problem(reason, advice)
        elif attribute in SECRET_ATTRIBUTES and self.path[2] == "command":
            reason = f"{shown} holds a password, which every user of this machine could read in a command"
            self._problem(reason, "put it into `environment`, where the program reads it")
        else:
            self._refer(section, id, attribute, text)

    def _refer(self, kind: str, id: str, attribute: str, text: str) -> None:
        *_, where, variable = ("", "", *self.path)
        if where == "environment" and variable in SHELLS_OWN and (kind == "secrets" or attribute in SECRET_ATTRIBUTES):
            # It would be handed over by `env`, in sight of `ps`.
            reason = f"{text[:80]} cannot be kept secret in {variable}, which shells have too"
            self._problem(reason, "rename the variable")
            return
        self.kept.append(text)
        self.done.references.append(Reference(self.path, self.node, kind, id, attribute, text[:80]))

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


def _filled_later(text: str) -> list[str]:
    """Every `${...}` of `text` that a launch would replace."""
    found = (match for match in VARIABLE.finditer(text) if match[2])
    return [match[0] for match in found if INSTANCE.fullmatch(match[0]) or REFERENCE.fullmatch(match[1])]


def _is_command(path: Path) -> bool:
    """Whether what stands at `path` becomes a word of a program."""
    match path:
        case ("services", _, "command" | "build" | "before_traffic", *_):
            return True
        case ("services", _, "custom_metrics", _, "command", *_) | ("jobs" | "alarms", _, "command", *_):
            return True
    return False
