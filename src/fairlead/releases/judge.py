"""What a service comes to, before anything is made: its source's hash, its environment's name, its fingerprint.

In: a service and its source, in place or copied. Out: `Judged`. Equal fingerprints are the same release; what counts is
what makes an instance what it is (source, environment, build, program, variables), and not how many there are or how
they are checked, balanced and stopped. `build.py` judges the source in place first, so that nothing is copied when
nothing differs, and then judges the copy, which is what the release holds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fairlead.core.fingerprint import fields_hash
from fairlead.core.model import App, Command, Release, Service
from fairlead.errors import BuildError
from fairlead.releases.environment import environment_key
from fairlead.releases.folders import is_complete
from fairlead.releases.inputs import DependencyInputs, dependency_inputs
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.source import Reading, Survey, printable, read_tree, survey, tracked_paths


@dataclass(frozen=True, slots=True)
class Judged:
    """reading: what the source holds. inputs: what it says about dependencies. key: the environment's name; None when
    it needs none."""

    reading: Reading
    inputs: DependencyInputs | None
    key: str | None
    fingerprint: str


async def look(
    source: str, never: tuple[str, ...], env: Mapping[str, str], search: str, progress: Callable[[str], None]
) -> Survey:
    """What the folder `source` holds for a release. BuildError when it is no folder or holds nothing."""
    if not await asyncio.to_thread(os.path.isdir, source):
        raise BuildError(f"the source {printable(source)} is not a folder", "", "correct `source:`")
    git = shutil.which("git", path=search)
    tracked = await tracked_paths(source, git, {**env, "PATH": search}, as_root=os.geteuid() == 0)
    found = await asyncio.to_thread(survey, source, tracked, never)
    if not found.paths:
        why = f".gitignore leaves out {', '.join(map(printable, found.ignored))}" if found.ignored else "it is empty"
        raise BuildError(f"the source {printable(source)} holds nothing to run", why, "correct `source:`")
    for path in found.skipped:
        progress(f"left out {printable(path)}: it is neither a file, a folder nor a link")
    return found


def judge(service: Service, interpreter: Interpreter, found: Survey, copy_to: str | None = None) -> Judged:
    """Read the source, copying it to `copy_to` if given, and name what it comes to. Blocks: call it in a thread."""
    reading = read_tree(found.root, found.paths, copy_to)
    root = copy_to or found.root

    def read(name: str) -> bytes:
        try:
            with open(os.path.join(root, name), "rb") as file:
                return file.read()
        except OSError as problem:
            raise BuildError(f"cannot read {name}", problem.strerror or str(problem)) from problem

    names = frozenset(path for path in found.paths if os.path.isfile(os.path.join(root, path)))
    inputs = dependency_inputs(names, read)
    key = environment_key(inputs, interpreter, reading.hash) if _wants_environment(service, inputs) else None
    return Judged(reading, inputs, key, _fingerprint(service, reading.hash, key))


def _wants_environment(service: Service, inputs: DependencyInputs | None) -> bool:
    """An app always has one. A command has one when its source declares dependencies, its service names a Python, or
    one of its commands starts with `python`, which many systems know only as python3."""
    if isinstance(service.program, App) or inputs is not None or service.python is not None:
        return True
    assert isinstance(service.program, Command)
    commands = (service.program.argv, *service.build, *((service.before_traffic,) if service.before_traffic else ()))
    return any(words[0] in ("python", "python3") for words in commands)


def _fingerprint(service: Service, source_hash: str, key: str | None) -> str:
    program = service.program
    return fields_hash(
        {
            "source": source_hash,
            "environment": key,
            "app": [program.target, program.threads] if isinstance(program, App) else None,
            "command": list(program.argv) if isinstance(program, Command) else None,
            "variables": dict(service.environment),
            "python": service.python,
            **_unless_default(service),
        }
    )


def _unless_default(service: Service) -> dict[str, object]:
    """Left out where they say nothing, so that what was built before these keys were known stays the same release."""
    said: dict[str, object] = {}
    if service.build:
        said["build"] = [list(words) for words in service.build]
    if service.before_traffic is not None:
        said["before_traffic"] = list(service.before_traffic)
    if not service.serves:
        said["serves"] = False
    if service.secrets:
        said["secrets"] = dict(service.secrets)
    if service.external:
        said["external"] = dict(service.external)
    return said


def equal_release(judged: Judged, known: Iterable[Release]) -> Release | None:
    """The newest of `known` that equals what was judged and still lies there, or None."""
    for release in sorted(known, key=lambda release: release.number, reverse=True):
        if release.fingerprint == judged.fingerprint and _is_there(release):
            return release
    return None


def _is_there(release: Release) -> bool:
    """Whether what a release points to still exists; its environment aside, which can be made again under its name."""
    if not os.path.isdir(release.source):
        return False
    if release.interface is None:
        return True
    runner, server = release.argv[1], release.argv[release.argv.index("--server-path") + 1]
    return os.path.isfile(runner) and is_complete(server)
