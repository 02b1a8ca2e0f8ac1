"""The virtual environments of a home: one for each set of dependency inputs, shared by all releases that have it.

In: dependency inputs and an interpreter. Out: a folder `E` with `E/bin/python`. An environment is named by what went
into it and built by uv where it stays, because its scripts hold its path. The law: it is used only when it holds the
mark that is written last; without it, it is removed and built again. Nothing in it is ever changed afterwards: its
files are hard links into uv's cache, so a change would reach every other release (local.md, traps 5 and 6). Its folders
are closed against writing, for whoever is not root; its files keep their modes, which the cache shares.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sysconfig
from collections.abc import Callable, Collection

from fairlead.core.fingerprint import fields_hash
from fairlead.core.layout import Layout
from fairlead.releases.access import User
from fairlead.releases.folders import close_folders, is_closed, is_complete, make_folders, mark_complete, remove
from fairlead.releases.inputs import DependencyInputs
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.uv import Uv

RECIPE = 1
"""Raised when the commands below change, so that environments made by older ones are not reused."""

KEY_LENGTH = 32


def environment_key(inputs: DependencyInputs | None, interpreter: Interpreter, source_hash: str) -> str:
    """The name of the environment: whatever changes its content changes this."""
    fields = {
        "recipe": RECIPE,
        "python": [interpreter.path, interpreter.version],
        "platform": sysconfig.get_platform(),
        "kind": inputs.kind if inputs else None,
        "files": [[name, hashlib.sha256(content).hexdigest()] for name, content in inputs.files] if inputs else [],
        "project": bool(inputs and inputs.project),
        "source": source_hash if inputs and inputs.local else None,
    }
    return fields_hash(fields)[:KEY_LENGTH]


class Environments:
    """Builds and keeps the environments of one home, one at a time: builds side by side unpack everything twice."""

    def __init__(self, layout: Layout, uv: Uv, builder: User | None, lock: asyncio.Lock) -> None:
        self._layout, self._uv, self._builder, self._lock = layout, uv, builder, lock

    def folder(self, key: str) -> str:
        return f"{self._layout.environments}/{key}"

    def is_ready(self, key: str) -> bool:
        """Whether it was built to its end, and its interpreter is still there."""
        return is_complete(self.folder(key)) and os.path.exists(f"{self.folder(key)}/bin/python")

    async def ensure(
        self,
        key: str,
        inputs: DependencyInputs | None,
        interpreter: Interpreter,
        source: str,
        log: str,
        progress: Callable[[str], None],
    ) -> str:
        """The environment's folder, built when it is not there. source: a copy of the source, for inputs that need it;
        log: a file that gets everything uv says. BuildError with uv's own words."""
        folder = self.folder(key)
        if self.is_ready(key):
            return folder
        async with self._lock:
            if self.is_ready(key):
                return folder
            await asyncio.to_thread(self._begin, folder)
            try:
                await self._build(folder, inputs, interpreter, source, log, progress)
                await asyncio.to_thread(self._finish, folder)
            except BaseException:
                remove(folder)
                raise
            finally:
                remove(_scratch(folder))
        return folder

    def _finish(self, folder: str) -> None:
        mark_complete(folder)
        close_folders(folder)

    def protect(self, folder: str) -> None:
        """Close an environment that an earlier version, or a crash just before, left open."""
        if not is_closed(folder):
            close_folders(folder)

    def _begin(self, folder: str) -> None:
        remove(folder)
        remove(_scratch(folder))
        for shared in (os.path.dirname(self._layout.uv_cache), self._layout.uv_cache, self._layout.environments):
            make_folders(shared, 0o755, self._builder)

    async def _build(
        self,
        folder: str,
        inputs: DependencyInputs | None,
        interpreter: Interpreter,
        source: str,
        log: str,
        progress: Callable[[str], None],
    ) -> None:
        python = ("--python", interpreter.path)
        if inputs is None or inputs.kind != "uv.lock":
            what, mend = (
                f"Python {interpreter.version} cannot make a virtual environment",
                "name another with `python:`",
            )
            venv = ("venv", "--no-project", *python, folder)
            await self._uv.call(venv, what=what, mend=mend, cwd=self._layout.environments, log=log)
        if inputs is None:
            return
        scratch = await asyncio.to_thread(self._scratch_copy, folder, inputs, source)
        progress(f"installing what {inputs.kind} asks for")
        origin = await self._uv.install(
            _command(inputs, folder, python),
            exact=inputs.exact,
            what=f"what {inputs.kind} asks for cannot be installed",
            mend=f"correct {inputs.kind}, then run `fairlead up` again",
            cwd=scratch,
            log=log,
            extra={"UV_PROJECT_ENVIRONMENT": folder},
        )
        progress(f"installed the dependencies {origin}")

    def _scratch_copy(self, folder: str, inputs: DependencyInputs, source: str) -> str:
        """A folder of the build user's with what uv needs of the source: installing a package writes beside its files,
        and a file that is not among the inputs must not change what they name."""
        os.mkdir(_scratch(folder), 0o700)
        descriptor = os.open(_scratch(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # By descriptor and closed to all others until the end: the folder above is the build user's, whose other
            # programs could exchange what lies in it for a link, and so be given what the link leads to.
            copy = f"/proc/self/fd/{descriptor}"
            if inputs.local:
                shutil.copytree(source, copy, symlinks=True, copy_function=shutil.copyfile, dirs_exist_ok=True)
                os.chmod(copy, 0o700)
            for name, content in () if inputs.local else inputs.files:
                os.makedirs(os.path.dirname(f"{copy}/{name}"), exist_ok=True)
                with open(f"{copy}/{name}", "xb") as file:
                    file.write(content)
            for where, names, files, inside in os.fwalk(".", dir_fd=descriptor):
                if where != ".":
                    os.fchmod(inside, 0o755)
                for name in (*names, *files):
                    if self._builder:
                        os.chown(name, *self._builder, dir_fd=inside, follow_symlinks=False)
            if self._builder:
                os.fchown(descriptor, *self._builder)
            os.fchmod(descriptor, 0o755)
        finally:
            os.close(descriptor)
        return _scratch(folder)

    def sweep(self, keep: Collection[str]) -> None:
        """Remove every environment whose folder is not in `keep`, and what a crash left unfinished."""
        if not os.path.isdir(self._layout.environments):
            return
        for name in os.listdir(self._layout.environments):
            folder = f"{self._layout.environments}/{name}"
            if folder not in keep or not is_complete(folder):
                remove(folder)


def _scratch(folder: str) -> str:
    return f"{folder}.source"


def _command(inputs: DependencyInputs, folder: str, python: tuple[str, str]) -> tuple[str, ...]:
    if inputs.kind == "uv.lock":
        # --locked, not --frozen: a lock older than its pyproject.toml must fail, not install without the new package.
        options = ("--locked", "--no-dev", "--no-editable", "--compile-bytecode")
        return ("sync", *options, *python, *(() if inputs.project else ("--no-install-project",)))
    wanted = (".",) if inputs.project else ("-r", inputs.kind)
    return ("pip", "install", "--compile-bytecode", "--python", f"{folder}/bin/python", *wanted)
