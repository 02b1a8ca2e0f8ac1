"""What a service comes to, before anything is made: its source's hash, its environment's name, its fingerprint.

In: a service and its source, in place or copied. Out: `Judged`. Equal fingerprints are the same release; what counts is
what makes an instance what it is (source, environment, program, variables), and not how many there are or how they are
checked, balanced and stopped. `build.py` judges the source in place first, so that nothing is copied when nothing
differs, and then judges the copy, which is what the release holds.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fairlead.core.fingerprint import fields_hash
from fairlead.core.model import App, Service
from fairlead.errors import BuildError
from fairlead.releases.environment import environment_key
from fairlead.releases.inputs import DependencyInputs, dependency_inputs
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.source import Survey, printable, read_tree, survey, tracked_paths


@dataclass(frozen=True, slots=True)
class Judged:
    """inputs: what the source says about dependencies. key: the environment's name; None when it needs none."""

    source_hash: str
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
    source_hash = read_tree(found.root, found.paths, copy_to)
    root = copy_to or found.root

    def read(name: str) -> bytes:
        try:
            with open(os.path.join(root, name), "rb") as file:
                return file.read()
        except OSError as problem:
            raise BuildError(f"cannot read {name}", problem.strerror or str(problem)) from problem

    names = frozenset(path for path in found.paths if os.path.isfile(os.path.join(root, path)))
    inputs = dependency_inputs(names, read)
    key = environment_key(inputs, interpreter, source_hash) if _wants_environment(service, inputs) else None
    return Judged(source_hash, inputs, key, _fingerprint(service, source_hash, key))


def _wants_environment(service: Service, inputs: DependencyInputs | None) -> bool:
    """An app always has one. A command has one when its source declares dependencies, its service names a Python, or
    it starts with `python`, which many systems know only as python3."""
    if isinstance(service.program, App) or inputs is not None or service.python is not None:
        return True
    return service.program.argv[0] in ("python", "python3")


def _fingerprint(service: Service, source_hash: str, key: str | None) -> str:
    program = service.program
    return fields_hash(
        {
            "source": source_hash,
            "environment": key,
            "app": [program.target, program.threads] if isinstance(program, App) else None,
            "command": None if isinstance(program, App) else list(program.argv),
            "variables": dict(service.environment),
            "python": service.python,
        }
    )
