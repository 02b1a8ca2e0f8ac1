"""Asking a bucket's server about itself, by its Unix socket."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fairlead.core.resources.addresses import HOST, REGION, user_of
from fairlead.core.resources.model import Bucket
from fairlead.resources.recipe import Place
from fairlead.resources.s3_sign import SAFE, signed

SOCKET = "ask.sock"

PATIENCE = 2.0
"""Seconds for an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """status: 200, 404. headers: with lower-case names."""

    status: int
    headers: Mapping[str, str]


async def head(bucket: Bucket, place: Place, key: str = "") -> Answer:
    """What is said of the bucket, or of one of its objects. OSError when nobody speaks HTTP there."""
    path = f"/{bucket.name}/{key}" if key else f"/{bucket.name}"
    headers = signed(
        "HEAD", path, host=HOST, user=user_of(bucket), secret=place.password, region=REGION, now=datetime.now(UTC)
    )
    lines = [f"HEAD {quote(path, safe=SAFE)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    reader, writer = await asyncio.open_unix_connection(f"{place.run}/{SOCKET}")
    try:
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
        status = re.match(rb"HTTP/1\.[01] (\d{3}) ", await reader.readline())
        if status is None:
            raise ConnectionError("what answers there does not speak HTTP")
        found = {}
        while name := (line := (await reader.readline()).decode(errors="replace")).partition(":")[0].strip().lower():
            found[name] = line.partition(":")[2].strip()
        return Answer(int(status[1]), found)
    except ValueError as problem:
        raise ConnectionError("what answers there does not speak HTTP") from problem
    finally:
        writer.close()


def server_of(place: Place) -> int:
    """The process that answers there, pinned: a pidfd, for the caller to close. OSError."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(f"{place.run}/{SOCKET}")
        # Who listens is who answers: its number cannot be another's while we are connected.
        credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return os.pidfd_open(struct.unpack("3i", credentials)[0])
