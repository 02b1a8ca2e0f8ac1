"""What control needs of the release builder; `releases.build.ReleaseBuilder` is the real one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from fairlead.core.differences import Preview
from fairlead.core.model import Release, Service, Stack


class Builder(Protocol):
    """Makes releases."""

    async def build(
        self, stack: Stack, service: Service, known: Sequence[Release], number: int, progress: Callable[[str], None]
    ) -> Release:
        """The release of `service` as its source is now: one of `known` when nothing differs, else a new one numbered
        `number`. BuildError, with the place in the file, when it cannot be made; then nothing of it is left."""
        ...

    async def preview(self, stack: Stack, service: Service, known: Sequence[Release]) -> Preview:
        """What `build` would return, found out without changing anything."""
        ...

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove the environments that are not in `keep` (folders); does nothing while a build runs."""
        ...

    def prune(self, stack: str, service: str, keep: Collection[int]) -> object:
        """Delete the releases of other numbers from the disk."""
        ...
