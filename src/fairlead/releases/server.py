"""Granian, the server of `app:`, in a folder of its own for each Python version, shared by all releases of a home.

It lives beside the environments, not in them: installed into one it would change the app's own versions (local.md,
trap 6). The runner appends the folder to the path. Pinned exactly, because the runner drives private names of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from fairlead.core.layout import Layout
from fairlead.releases.access import User
from fairlead.releases.folders import is_complete, make_folders, mark_complete, remove
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.uv import Uv

GRANIAN = "2.8.7"


class Servers:
    """Installs the server once a Python version. `lock`: the home's builds happen one at a time."""

    def __init__(self, layout: Layout, uv: Uv, builder: User | None, lock: asyncio.Lock) -> None:
        self._layout, self._uv, self._builder, self._lock = layout, uv, builder, lock

    def folder(self, interpreter: Interpreter) -> str:
        return f"{self._layout.servers}/server-{interpreter.tag}-{GRANIAN}"

    async def ensure(self, interpreter: Interpreter, log: str, progress: Callable[[str], None]) -> str:
        """The folder, complete. BuildError when it is not there and cannot be fetched."""
        folder = self.folder(interpreter)
        if is_complete(folder):
            return folder
        async with self._lock:
            if not is_complete(folder):
                progress(f"installing the server of `app:` (granian {GRANIAN}), once for Python {interpreter.minor}")
                await asyncio.to_thread(self._begin, folder)
                try:
                    await self._install(folder, interpreter, log)
                    await asyncio.to_thread(mark_complete, folder)
                except BaseException:
                    remove(folder)
                    raise
        return folder

    def _begin(self, folder: str) -> None:
        remove(folder)
        for shared in (os.path.dirname(self._layout.uv_cache), self._layout.uv_cache, self._layout.servers, folder):
            make_folders(shared, 0o755, self._builder)

    async def _install(self, folder: str, interpreter: Interpreter, log: str) -> None:
        options = ("--target", folder, "--python", interpreter.path, "--only-binary", ":all:", "--compile-bytecode")
        await self._uv.install(
            ("pip", "install", *options, f"granian=={GRANIAN}"),
            exact=True,
            what=f"the server of `app:` (granian {GRANIAN}) cannot be installed for Python {interpreter.version}",
            mend="check the network, then run `fairlead up` again",
            # Not the app's source: an index or a limit that its pyproject.toml sets is not meant for the server.
            cwd=self._layout.servers,
            log=log,
        )
