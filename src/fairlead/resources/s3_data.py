"""Backups of a bucket while it is served, and back.

A restore unpacks the archive beside the data, as whole as it will be. Then the server is stopped in mid-step, the two
folders change places, and it is killed: it remembers folders, and what was deleted from them, longer than it can be
made to forget. Its keeper starts it again. What is being uploaded fails, and is not there.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from fairlead.aiokit.trees import remove_tree
from fairlead.core.resources.model import Bucket
from fairlead.resources import s3_archive
from fairlead.resources.backups import in_words
from fairlead.resources.dumps import opened
from fairlead.resources.exchange import exchange
from fairlead.resources.files import acting_as, new_file
from fairlead.resources.recipe import Place
from fairlead.resources.s3_archive import Check, Stored, Tell
from fairlead.resources.s3_ask import server_of

FRESH = ".restore"
"""After the name of the data folder: what is unpacked, and the old data until they are removed."""

AGAIN = "again"
"""The file in the run folder that has the server's keeper start it again, once."""

TELL_EVERY = 5.0
"""Seconds between two lines that tell how far it is."""

PATIENCE = 10.0
"""Seconds for a killed server to be gone."""

SPARE = 0.05
"""The part of the free disk that a restore leaves."""

Result = TypeVar("Result")


class _Unwanted(Exception):
    """Nobody waits for it any more."""


async def backup(bucket: Bucket, place: Place, file: str, progress: Callable[[str], None]) -> None:
    """Write its objects into `file`. OSError."""
    target = new_file(file)
    try:

        def pack(check: Check, tell: Tell) -> None:
            with acting_as(place.user):
                s3_archive.pack(f"{place.data}/{bucket.name}", target, check, tell)

        await _in_thread(pack, progress)
    finally:
        os.close(target)


async def restore(bucket: Bucket, place: Place, file: str, progress: Callable[[str], None]) -> None:
    """Replace its objects by those of `file`; its server answers again soon. ResourceError, OSError."""
    folder, fresh = f"{place.data}/{bucket.name}", f"{place.data}{FRESH}"
    with opened(file) as source:

        def inspect(check: Check, tell: Tell) -> list[Stored]:
            disk = os.statvfs(place.data)
            room = int(disk.f_bavail * disk.f_frsize * (1 - SPARE))
            return s3_archive.inspect(source, file, room, check)

        def unpack(check: Check, tell: Tell) -> None:
            with acting_as(place.user):
                remove_tree(fresh)
                os.mkdir(fresh, 0o700)
                s3_archive.unpack(source, fresh, check, tell)

        def change_places(check: Check, tell: Tell) -> None:
            server = server_of(place)
            try:
                _change_places(server, fresh, folder, place)
            finally:
                os.close(server)

        def clear() -> None:
            with acting_as(place.user):
                remove_tree(fresh)

        await _in_thread(inspect, progress)
        try:
            await _in_thread(unpack, progress)
            await _in_thread(change_places, progress)
            progress(f"the objects of {bucket.id} are replaced; its server is started again")
        finally:
            await asyncio.to_thread(clear)


def _change_places(server: int, fresh: str, folder: str, place: Place) -> None:
    """The step that counts, which nobody can interrupt. server: a pidfd. OSError: nothing was changed."""
    again = f"{place.run}/{AGAIN}"
    signal.pidfd_send_signal(server, signal.SIGSTOP)
    try:
        with acting_as(place.user):
            os.close(new_file(again))
            try:
                exchange(fresh, folder)
            except OSError:
                os.unlink(again)
                raise
    except OSError:
        signal.pidfd_send_signal(server, signal.SIGCONT)
        raise
    signal.pidfd_send_signal(server, signal.SIGKILL)
    gone = select.poll()
    gone.register(server, select.POLLIN)
    gone.poll(PATIENCE * 1000)


async def _in_thread(work: Callable[[Check, Tell], Result], progress: Callable[[str], None]) -> Result:
    """Have a thread do it; when we are cancelled, it ends before we do."""
    loop, unwanted, told = asyncio.get_running_loop(), threading.Event(), time.monotonic()

    def check() -> None:
        if unwanted.is_set():
            raise _Unwanted

    def tell(objects: int, size: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            loop.call_soon_threadsafe(progress, f"{objects:,} objects, {in_words(size)}")

    task = asyncio.create_task(asyncio.to_thread(work, check, tell), name="the objects of a bucket")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        unwanted.set()
        await asyncio.wait([task])
        raise
