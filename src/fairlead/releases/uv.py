"""The door to uv: which binary, which environment, which user; and what its output says when it fails.

In: uv's arguments. Out: success, or a BuildError made of uv's own lines. As root uv runs as the build user, because
installing may run a package's code; that user must be able to execute it, so the binary is copied below the home when
it lies somewhere closed. The user's own settings for the network and for indexes are passed on (without them downloads
fail behind a proxy); what would make uv work on another environment, interpreter or cache is not (local.md 1.2).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress

from uv import find_uv_bin

from fairlead.aiokit.programs import Finished, run
from fairlead.core.layout import Layout
from fairlead.errors import BuildError
from fairlead.releases import buildlog
from fairlead.releases.access import User, can_execute
from fairlead.releases.folders import make_folders

INSTALL_PATIENCE = 900.0
"""Seconds for one call; a package without a wheel may take minutes to compile."""

PASSED_PREFIXES = ("UV_", "SSL_CERT_", "GIT_SSL_", "GIT_SSH", "LC_", "XDG_", "CARGO_", "RUST")
PASSED_NAMES = ("NETRC", "LANG", "TMPDIR", "SSH_AUTH_SOCK", "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS")
OURS = (
    *("UV_CACHE_DIR", "UV_NO_CACHE", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES", "UV_TARGET"),
    *("UV_PREFIX", "UV_PROJECT", "UV_PROJECT_ENVIRONMENT", "UV_WORKING_DIRECTORY", "UV_FROZEN", "UV_LOCKED"),
)
"""Not passed on: they would lead uv away from what it is told here."""

UNREACHABLE = ("Failed to fetch", "Failed to download", "error sending request", "dns error", "client error")
"""What uv says when the index does not answer, as opposed to answering no."""

NETWORK = "check the network, and the index if UV_INDEX_URL or a file names one, then run `fairlead up` again"
WRONG_PYTHON = "name a Python that fits with `python:`, or change `requires-python` and lock again"


class Uv:
    """uv for one home. `env`: where to take settings from; `builder`: whom to run as; `search`: a PATH for both."""

    def __init__(self, layout: Layout, env: Mapping[str, str], builder: User | None, search: str) -> None:
        self._layout, self._builder, self._search = layout, builder, search
        self._env = _environment(layout, env, builder, search)
        self._binary: str | None = None

    async def call(
        self,
        arguments: Sequence[str],
        *,
        what: str,
        mend: str,
        cwd: str,
        log: str,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Run uv once. what: the clause for a BuildError; mend: what to do when uv gives no hint; log gets all."""
        finished = await self._run(arguments, cwd, log, extra)
        if not finished.ok:
            raise _failure(finished, what, mend, cwd, log)

    async def install(
        self,
        arguments: Sequence[str],
        *,
        exact: bool,
        what: str,
        mend: str,
        cwd: str,
        log: str,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command that needs packages; returns where they came from, in words.

        exact: the versions are named, so the cache is as good as the index and is tried first. Else the index is asked,
        and the cache serves when the index cannot be reached.
        """
        if exact and self._may_be_cached() and (await self._run([*arguments, "--offline"], cwd, log, extra)).ok:
            return "from the cache"
        finished = await self._run(arguments, cwd, log, extra)
        if finished.ok:
            return "from the index"
        unreachable = any(phrase in finished.output for phrase in UNREACHABLE)
        if unreachable and not exact and (await self._run([*arguments, "--offline"], cwd, log, extra)).ok:
            return "from the cache, as the index cannot be reached"
        raise _failure(finished, what, NETWORK if unreachable else mend, cwd, log)

    async def _run(self, arguments: Sequence[str], cwd: str, log: str, extra: Mapping[str, str] | None) -> Finished:
        env = self._env | dict(extra or {})
        argv = [await self._find(), *arguments]
        finished = await run(argv, cwd=cwd, env=env, timeout=INSTALL_PATIENCE, user=self._builder)
        buildlog.append(log, f"$ uv {' '.join(arguments)}\n{finished.output}\nexit status {finished.status}\n\n")
        return finished

    def _may_be_cached(self) -> bool:
        with suppress(FileNotFoundError):
            return any(name.startswith("archive-") for name in os.listdir(self._layout.uv_cache))
        return False

    async def _find(self) -> str:
        if self._binary is None or not can_execute(self._binary, self._builder):
            found = _installed(self._search)
            if not can_execute(found, self._builder):
                found = await asyncio.to_thread(_copied, found, self._layout.programs)
            self._binary = found
        return self._binary


def passed_settings(env: Mapping[str, str], builder: User | None) -> dict[str, str]:
    """Of `env` what tools that fetch and compile need: proxies, certificates, indexes, compilers, languages."""
    return {
        name: value
        for name, value in env.items()
        if (name.startswith(PASSED_PREFIXES) or name in PASSED_NAMES or name.lower().endswith("_proxy"))
        and name not in OURS
        and not (builder and (name.startswith("XDG_") or name == "TMPDIR"))
    }


def _environment(layout: Layout, env: Mapping[str, str], builder: User | None, search: str) -> dict[str, str]:
    # The build user has no home of its own and may not read root's.
    home = os.path.dirname(layout.uv_cache) if builder else env.get("HOME", os.path.dirname(layout.uv_cache))
    return passed_settings(env, builder) | {
        "PATH": search,
        "HOME": home,
        "FAIRLEAD_HOME": layout.home,
        "UV_CACHE_DIR": layout.uv_cache,
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        # An editable install would point into a folder that is renamed a moment later.
        "UV_NO_EDITABLE": "1",
    }


def _installed(search: str) -> str:
    with suppress(FileNotFoundError):
        return find_uv_bin()
    found = shutil.which("uv", path=search)
    if found is None:
        raise BuildError("uv is missing", f"it is neither beside fairlead nor in {search}", "run `pip install uv`")
    return os.path.realpath(found)


def _copied(binary: str, programs: str) -> str:
    """A copy that everybody may execute, in a folder named by the original's identity."""
    found = os.stat(binary)
    name = hashlib.sha256(f"{binary} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = os.path.join(programs, f"uv-{name}")
    copy = os.path.join(folder, "uv")
    if not os.path.exists(copy):
        make_folders(folder, 0o755)
        shutil.copyfile(binary, f"{copy}.new")
        os.chmod(f"{copy}.new", 0o755)  # noqa: S103 (others execute it)
        os.rename(f"{copy}.new", copy)
    return copy


def complaint(output: str) -> tuple[str, ...]:
    """What uv says about its failure: everything from its first `error:` on, without warnings.

    Errors read `error: WHAT`, then `  cause: WHY` lines and blocks, then `hint: NEXT`; older versions draw `× WHAT`.
    """
    kept: list[str] = []
    begun = warning = False
    for line in output.splitlines():
        if line.startswith("warning:"):
            warning = True
        elif line.startswith(("error:", "hint:", "  cause:")) or line.lstrip().startswith("×"):
            begun, warning = True, False
        elif not line.startswith(" "):
            warning = False
        if begun and not warning and line.strip():
            kept.append(line.rstrip())
    return tuple(kept)


def _failure(finished: Finished, what: str, mend: str, folder: str, log: str) -> BuildError:
    """uv's own words as an error. folder: where it worked, which is gone when they are read."""
    if finished.timed_out:
        why = f"uv did not finish within {INSTALL_PATIENCE:.0f} s"
        return BuildError(what, why, f"see {log}", detail="\n".join(finished.output.splitlines()[-5:]))
    output = finished.output.replace(f"{folder}/", "")
    lines = complaint(output) or tuple(output.splitlines()[-20:])
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    why = lines[0].removeprefix("error: ").lstrip(" ×") if lines else f"uv ended with status {finished.status}"
    if "Python requirement" in why or "requires-python" in why:
        mend = WRONG_PYTHON
    return BuildError(
        what, why, hints[0] if hints else mend, detail="\n".join((*lines, f"(everything uv said: {log})"))
    )
