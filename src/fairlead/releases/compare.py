"""Why a service comes to another release than one that exists, in words, and never with a value that may be secret.

In: the service, what it comes to now, a release, and what the release's folder tells of itself (`record`, `recorded`).
Out: reasons, none empty-handed. `preview` of build.py calls it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fairlead.core.fingerprint import fields_hash
from fairlead.core.model import App, Command, Release, Service
from fairlead.releases.folders import DESCRIPTION
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.judge import Judged
from fairlead.releases.source import Entry, changed_paths, some_of

FILES = "files"
"""Beside DESCRIPTION: what the source held when it was copied, before `build:` added to it."""


def description(service: Service, judged: Judged, interpreter: Interpreter, release: Release) -> dict[str, Any]:
    """For people who look into the folder, and for `reasons`; the store keeps the release. Variables and commands are
    left out, they may be secret."""
    return {
        "service": release.service,
        "number": release.number,
        "created_at": release.created_at,
        "source_hash": judged.reading.hash,
        "environment": judged.key,
        "interface": release.interface,
        "fingerprint": release.fingerprint,
        "python": service.python,
        "interpreter": interpreter.version,
        "build": _build_hash(service),
    }


def write_files(folder: str, entries: tuple[Entry, ...]) -> None:
    with open(f"{folder}/{FILES}", "wb") as file:
        for path, mark, digest in entries:
            file.write(b"%s %s %s\0" % (mark, digest.hex().encode(), path))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a release's folder tells; empty where it is gone."""

    fields: Mapping[str, Any]
    entries: tuple[Entry, ...] | None


def recorded(release: Release) -> Recorded:
    folder = os.path.dirname(release.source)
    fields, entries = {}, None
    with suppress(OSError, ValueError), open(f"{folder}/{DESCRIPTION}", encoding="utf-8") as file:
        fields = json.load(file)
    with suppress(OSError, ValueError), open(f"{folder}/{FILES}", "rb") as raw:
        lines = [line.split(b" ", 2) for line in raw.read().split(b"\0")[:-1]]
        entries = tuple((path, mark, bytes.fromhex(digest.decode())) for mark, digest, path in lines)
    return Recorded(fields if isinstance(fields, dict) else {}, entries)


def reasons(
    service: Service, judged: Judged, interpreter: Interpreter, release: Release, told: Recorded
) -> tuple[str, ...]:
    """In what `service`, judged now, differs from `release`; at least one sentence."""
    if judged.fingerprint == release.fingerprint:
        return (f"release {release.number} is gone from the disk",)
    found = (
        *_source(judged, told),
        *_environment(service, judged, interpreter, release, told),
        *_program(service, release),
        *_commands(service, release, told),
        *_variables(service.environment, release.environment),
        *_behind_them(service, release),
    )
    return found or (f"release {release.number} was made by another version of fairlead",)


def _source(judged: Judged, told: Recorded) -> Iterator[str]:
    if told.fields.get("source_hash") in (judged.reading.hash, None):
        return
    if told.entries is None:
        yield "the source differs"
    else:
        yield f"the source differs: {some_of(changed_paths(told.entries, judged.reading.entries))}"


def _environment(
    service: Service, judged: Judged, interpreter: Interpreter, release: Release, told: Recorded
) -> Iterator[str]:
    before = told.fields.get("python")
    if told.fields and before != service.python:
        yield f"python differs: {before or 'not given'} -> {service.python or 'not given'}"
    was = os.path.basename(release.environment_folder) if release.environment_folder else None
    if judged.key == was:
        return
    if told.fields.get("interpreter") not in (interpreter.version, None):
        yield f"it runs on Python {interpreter.version} now, and not on {told.fields['interpreter']}"
    # A package that is the source itself differs with it, and that is told already.
    elif not (judged.inputs and judged.inputs.local and told.fields.get("source_hash") != judged.reading.hash):
        yield "the dependencies differ"


def _program(service: Service, release: Release) -> Iterator[str]:
    program = service.program
    if isinstance(program, App) and release.interface is not None:
        target = release.argv[2]
        threads = release.argv[release.argv.index("--threads") + 1]
        if target != program.target:
            yield f"app differs: {target} -> {program.target}"
        if threads != str(program.threads):
            yield f"threads differ: {threads} -> {program.threads}"
    elif isinstance(program, Command) and release.interface is None:
        if program.argv != release.argv:
            yield "command differs"
    else:
        yield f"it is {'an app' if isinstance(program, App) else 'a command'} now"


def _commands(service: Service, release: Release, told: Recorded) -> Iterator[str]:
    if told.fields and told.fields.get("build") != _build_hash(service):
        yield "build differs"
    if service.before_traffic != release.before_traffic:
        yield "before_traffic differs"
    if service.serves != (release.address != "none"):
        yield "it serves requests now" if service.serves else "it serves no requests now"


def _variables(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(now.keys() | before.keys()):
        if name not in before:
            yield f"environment.{name} is new"
        elif name not in now:
            yield f"environment.{name} is gone"
        elif now[name] != before[name]:
            yield f"environment.{name} differs"


def _behind_them(service: Service, release: Release) -> Iterator[str]:
    """What variables refer to and do not show."""
    for name in sorted(service.secrets.keys() & release.secrets.keys()):
        if service.secrets[name] != release.secrets[name]:
            yield f"the secret {name} has another value"
    for id in sorted(service.external.keys() | release.external.keys()):
        if service.external.get(id) != release.external.get(id):
            yield f"the url of {id} differs"


def _build_hash(service: Service) -> str | None:
    return fields_hash({"build": [list(words) for words in service.build]}) if service.build else None
