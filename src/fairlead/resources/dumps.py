"""Backups made and read by programs of the server's user, who may not be able to open the daemon's files.

In: a program's words, and a file's path. Out: the file (0600), or none; or what the program made of the file. The
program gets the open file as its standard output or input, and no path. That a backup appears under its name whole is
the host's work.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

from fairlead.aiokit import programs
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources.backups import in_words
from fairlead.resources.recipe import User

PATIENCE = 24 * 3600.0
"""Seconds for a backup or a restore: as long as the data are large."""

TELL_EVERY = 5.0
"""Seconds between two lines that tell how far a backup is."""

WORDS_KEPT = 4000
"""Characters of what a program said that an error shows."""


async def dump(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    user: User | None,
    file: str,
    what: str,
    progress: Callable[[str], None],
) -> None:
    """What `argv` writes to its standard output becomes `file`, which must not exist. what: `the database shop`.
    ResourceError, and then there is no file."""
    with _new(file) as target:
        async with _telling(target, progress):
            await run(argv, env=env, user=user, what=f"the backup of {what}", stdout=target)


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    user: User | None,
    what: str,
    stdin: int | None = None,
    stdout: int | None = None,
    timeout: float = PATIENCE,
) -> programs.Finished:
    """A program that has to succeed. what: what has failed when it does not. ResourceError, with its words."""
    try:
        finished = await programs.run(argv, cwd="/", env=env, timeout=timeout, user=user, stdin=stdin, stdout=stdout)
    except FairleadError as problem:
        raise ResourceError(f"{what} failed", problem.sentence) from problem
    if not finished.ok:
        program = os.path.basename(argv[0])
        said = finished.output.strip()
        line = next((line for line in said.splitlines() if "error" in line.lower()), said.rpartition("\n")[2]).strip()
        why = line.removeprefix(f"{program}: ") or f"it ended with status {finished.status}"
        if finished.timed_out:
            why = f"it did not end within {timeout:g} s"
        raise ResourceError(f"{what} failed", f"{program}: {why}", detail=said[-WORDS_KEPT:])
    return finished


@contextlib.contextmanager
def opened(file: str) -> Iterator[int]:
    """A backup to read. ResourceError when it is not there, or no file."""
    try:
        # Without O_NONBLOCK a named pipe would hold us up.
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        raise ResourceError(f"the backup {file} cannot be read", problem.strerror or str(problem)) from problem
    try:
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise ResourceError(f"{file} is no backup", "it is no file")
        os.set_blocking(source, True)
        yield source
    finally:
        os.close(source)


@contextlib.contextmanager
def _new(file: str) -> Iterator[int]:
    """A file that is made now, and stays only when all goes well."""
    try:
        target = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise ResourceError(f"the backup {file} cannot be written", problem.strerror or str(problem)) from problem
    try:
        yield target
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file)
        raise
    finally:
        os.close(target)


@contextlib.asynccontextmanager
async def _telling(target: int, progress: Callable[[str], None]) -> AsyncIterator[None]:
    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            progress(f"{in_words(os.fstat(target).st_size)} written")

    teller = asyncio.create_task(tell(), name="progress of a backup")
    try:
        yield
    finally:
        teller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await teller
