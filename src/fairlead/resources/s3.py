"""Buckets: `rclone serve s3` over a folder for each; the bucket is the folder of its name in there.

The access key reaches rclone by its environment, never by its words. Objects appear whole: rclone writes a file beside
them and renames it. What a crash cuts short lies hidden under a name of rclone's, and is swept away before the next
start. The daemon asks by a Unix socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairlead.aiokit.trees import remove_tree
from fairlead.core.launch import SYSTEM_PATH
from fairlead.core.resources.addresses import HOST, user_of
from fairlead.core.resources.model import Bucket, Resource
from fairlead.errors import ResourceError
from fairlead.resources import s3_data, s3_programs, s3_shell
from fairlead.resources.base import Program, Shell
from fairlead.resources.files import acting_as, make_folder, write_private
from fairlead.resources.recipe import Place, Search, Start
from fairlead.resources.s3_archive import sweep
from fairlead.resources.s3_ask import PATIENCE, SOCKET, head
from fairlead.resources.trouble import as_resource_error

CONFIGURATION = "rclone.conf"
"""An empty file: without one, rclone would read the user's."""

LIMITS = (
    # Parts of an upload that come before their turn wait in memory.
    "--multipart-streaming-buffer-limit=32M",
    "--multipart-streaming-buffer-total=64M",
    "--buffer-size=0",
    # An upload that was refused stays in its lists until it looks again, and may hide what is there. Each look costs
    # an object's checksum anew, when it is asked for.
    "--dir-cache-time=1m",
    # Presigned requests with a session's token, and 2 KB of metadata, are longer than the 4 kB it takes.
    "--max-header-bytes=16384",
)

KEEPER = """
trap 'kill -TERM "$server"; wait "$server"; exit $?' TERM
while :; do
  rm -f "$SOCKET"
  "$@" & server=$!
  wait "$server"; status=$?
  [ -e "$AGAIN" ] || exit "$status"
  rm -f "$AGAIN"
done"""
"""Starts rclone again after a restore, which ends it; after any other end it ends with the same status."""

GARBAGE = "50"
"""Per cent of growth after which Go collects: 100 MB instead of 340 while 300 MB are uploaded in parts."""

_STATUSES = {
    403: "another server answers in its place",
    404: "its bucket was deleted",
}


class S3:
    """The recipe for buckets."""

    def __init__(self) -> None:
        self._restoring: set[str] = set()
        """The data folders that this daemon is replacing."""

    async def find(self, resource: Resource, search: Search) -> Program:
        return await s3_programs.find(search)

    async def prepare(self, program: Program, resource: Resource, place: Place) -> None:
        assert isinstance(resource, Bucket)
        try:
            await asyncio.to_thread(_prepare, resource, place, place.data in self._restoring)
        except OSError as problem:
            why = problem.strerror or str(problem)
            raise ResourceError(f"the folder of the bucket {resource.id} cannot be made", why) from problem

    def start(self, program: Program, resource: Resource, place: Place) -> Start:
        key = f"{user_of(resource)},{place.password}".replace('"', '""')
        files = (f"--config={place.run}/{CONFIGURATION}", f"--cache-dir={place.run}/cache")
        where = (f"--addr={HOST}:{place.port}", f"--addr=unix://{place.run}/{SOCKET}")
        words = (program.path, "serve", "s3", *files, *where, *LIMITS, "--", place.data)
        return Start(
            argv=("/bin/sh", "-c", KEEPER, "rclone's keeper", *words),
            environment={
                "RCLONE_AUTH_KEY": f'"{key}"',
                "GOGC": GARBAGE,
                "PATH": SYSTEM_PATH,
                "SOCKET": f"{place.run}/{SOCKET}",
                "AGAIN": f"{place.run}/{s3_data.AGAIN}",
            },
        )

    async def ask(self, resource: Resource, place: Place) -> str:
        assert isinstance(resource, Bucket)
        try:
            async with asyncio.timeout(PATIENCE):
                status = (await head(resource, place)).status
        except TimeoutError:
            return f"it did not answer within {PATIENCE:g} s"
        except OSError as problem:
            refused = isinstance(problem, FileNotFoundError | ConnectionRefusedError)
            return "it does not accept connections yet" if refused else f"it cannot be asked: {problem}"
        return "" if status == 200 else _STATUSES.get(status, f"it answers with status {status}")

    async def backup(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        assert isinstance(resource, Bucket)
        with as_resource_error(f"the backup of the bucket {resource.id} failed"):
            await s3_data.backup(resource, place, file, progress)

    async def restore(
        self, program: Program, resource: Resource, place: Place, file: str, progress: Callable[[str], None]
    ) -> None:
        assert isinstance(resource, Bucket)
        if place.data in self._restoring:
            raise ResourceError(f"the objects of the bucket {resource.id} are being replaced already")
        self._restoring.add(place.data)
        try:
            with as_resource_error(f"the restore of the bucket {resource.id} failed"):
                await s3_data.restore(resource, place, file, progress)
        finally:
            self._restoring.discard(place.data)

    async def shell(self, program: Program, resource: Resource, place: Place) -> Shell:
        assert isinstance(resource, Bucket)
        return s3_shell.shell(program, resource, place)


def _prepare(bucket: Bucket, place: Place, restoring: bool) -> None:
    with acting_as(place.user):
        if not restoring:
            # What a daemon left that was killed in a restore.
            remove_tree(f"{place.data}{s3_data.FRESH}")
        remove_tree(f"{place.run}/{SOCKET}")
        make_folder(place.data, None)
        make_folder(f"{place.data}/{bucket.name}", None)
        write_private(f"{place.run}/{CONFIGURATION}", "", None)
        sweep(place.data)
