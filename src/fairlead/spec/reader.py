"""The reading of a fairlead.yaml, from the file to a `Stack`, in stages that are kept apart.

parse (is it YAML) -> interpolate (`${...}`) -> validate (is it a fairlead file) -> support (can this version do it).
Parsing must succeed before anything else can be said; the problems of all later stages, of `.env`, of source folders
and of the files of certificates are raised together, as one SpecError whose first words say which stage failed. The
daemon calls `read` at `up`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from fairlead import __version__
from fairlead.core.model import Stack
from fairlead.errors import SpecError
from fairlead.spec.build import absolute_path, stack_of
from fairlead.spec.document import Path, Scalar, dotted, find, parse
from fairlead.spec.dotenv import FILE as DOTENV
from fairlead.spec.dotenv import parse_dotenv
from fairlead.spec.interpolate import Interpolated, interpolate
from fairlead.spec.overrides import overridden
from fairlead.spec.problems import Place, Problem, as_error, printable, shown
from fairlead.spec.references import entries, items
from fairlead.spec.support import refusals
from fairlead.spec.validate import validate

LARGEST = 1_000_000
"""Bytes of a fairlead.yaml, and characters of a .env."""

AGAIN = "correct the file, then run the command again"
AGAIN_CHANGED = "correct what --set says, or the file, then run the command again"


def read(path: str, *, env: Mapping[str, str], dotenv: str = "", changes: Sequence[str] = ()) -> Stack:
    """As `fairlead.spec.read`."""
    return _judge(_text_of(path), path, env, dotenv, changes, look_at_disk=True)


def parse_text(text: str, path: str, env: Mapping[str, str], dotenv: str = "") -> Stack:
    """As `fairlead.spec.parse_text`."""
    return _judge(text, path, env, dotenv, look_at_disk=False)


def _judge(
    text: str, path: str, env: Mapping[str, str], dotenv: str, changes: Sequence[str] = (), *, look_at_disk: bool
) -> Stack:
    name = os.path.basename(path)
    said = printable(name) + (" with what was set" if changes else "")
    root, problems = parse(text, name)
    if root is None:
        raise as_error(f"{printable(name)} is not YAML that fairlead can read", problems, AGAIN)
    root, misfits = overridden(root, changes)
    variables, problems = _dotenv(dotenv)
    problems += misfits
    document = interpolate(root, env, variables)
    file, more = validate(document)
    problems += document.problems + more
    if look_at_disk:
        problems += _source_problems(document, os.path.dirname(path))
        problems += _certificate_problems(document, os.path.dirname(path))
    unsupported = _unless_said(refusals(document), problems)
    if problems:
        count = len(set(problems) | set(unsupported))
        what = f"{said} has {'a problem' if count == 1 else f'{count} problems'}"
        raise as_error(what, [*problems, *unsupported], AGAIN_CHANGED if changes else AGAIN)
    if unsupported or file is None:
        what = f"{said} is valid, but fairlead {__version__} cannot do all that it says"
        raise as_error(what, unsupported, AGAIN_CHANGED if changes else AGAIN)
    return stack_of(file, document.root, path)


def _unless_said(unsupported: list[Problem], problems: list[Problem]) -> list[Problem]:
    """Refusals of keys whose values are wrong anyhow say nothing new."""
    said = {problem.key for problem in problems}
    return [problem for problem in unsupported if problem.key not in said]


def _dotenv(text: str) -> tuple[dict[str, str], list[Problem]]:
    if len(text) > LARGEST:
        return {}, [Problem(Place(DOTENV), "", f"is larger than {LARGEST} characters", "keep only variables in it")]
    return parse_dotenv(text)


def _source_problems(document: Interpolated, folder: str) -> Iterator[Problem]:
    """Source folders that are not there. A text that is no path at all has its problem from `validate`."""
    for id, entry in entries(find(document.root, "services")).items():
        source = find(entry.value, "source")
        if not isinstance(source, Scalar) or not source.text.strip() or "\0" in source.text:
            continue
        absolute = absolute_path(source.text, folder)
        if ("services", id, "source") in document.unknown or os.path.isdir(absolute):
            continue
        key = f"services.{id}.source"
        kind = "is not a folder" if os.path.exists(absolute) else "does not exist"
        advice = "write a folder, relative to the file's own"
        yield Problem(source.place, key, f"the folder {shown(absolute)} {kind}", advice)


def _certificate_problems(document: Interpolated, folder: str) -> Iterator[Problem]:
    """Files of certificates that cannot be read. What is in them is judged when they are used."""
    for number, listener in enumerate(items(find(document.root, "load_balancer", "listeners"))):
        for index, certificate in enumerate(items(find(listener, "certificates"))):
            for name in ("file", "key"):
                path: Path = ("load_balancer", "listeners", number, "certificates", index, name)
                node = find(certificate, name)
                if (
                    not isinstance(node, Scalar)
                    or not node.text.strip()
                    or "\0" in node.text
                    or path in document.unknown
                ):
                    continue
                absolute = absolute_path(node.text, folder)
                if why := _unreadable(absolute):
                    reason = f"the file {shown(absolute)} {why}"
                    advice = "name a PEM file, relative to this one's folder, that the daemon's user may read"
                    yield Problem(node.place, dotted(path), reason, advice)


def _unreadable(path: str) -> str:
    """Why the file at `path` cannot be read, or ""."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "is not a file"
    except FileNotFoundError:
        return "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return "" if os.access(path, os.R_OK) else "cannot be read: Permission denied"


def _text_of(path: str) -> str:
    """The text at `path`; never more than LARGEST bytes of it, and nothing but a regular file."""
    name = printable(path)
    try:
        with open(path, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            data = stream.read(LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
    except FileNotFoundError as error:
        next_step = "run the command where fairlead.yaml is, or name it: `fairlead up PATH`"
        raise SpecError(f"there is no file {name}", (), next_step) from error
    except IsADirectoryError as error:
        raise SpecError(f"{name} is a folder, not a file", (), "name the fairlead.yaml itself") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"{name} cannot be read: {reason}", (), "let the user of the daemon read it") from error
    if data is None:
        raise SpecError(f"{name} is not a file", (), "name the fairlead.yaml itself")
    if len(data) > LARGEST:
        raise SpecError(f"{name} is larger than {LARGEST} bytes", (), "name the fairlead.yaml itself")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1
        problem = Problem(Place(os.path.basename(path), line, column), "", "is not UTF-8", "save the file as UTF-8")
        raise as_error(f"{name} is not text that fairlead can read", [problem], AGAIN) from error


def _open_without_waiting(path: str, flags: int) -> int:
    """A FIFO would keep the reader waiting for its writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
