"""Whether HAProxy would start with a certificate: asked of `haproxy -c` with a configuration that holds nothing else.

In: a program, a folder to write in, a certificate. Out: what HAProxy has against it, in its own words.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile

from fairlead.aiokit import programs
from fairlead.aiokit.atomic import write_atomically
from fairlead.core.pem import Pem
from fairlead.errors import FairleadError
from fairlead.haproxy import words
from fairlead.haproxy.program import Program

PATIENCE = 10.0
"""Seconds for its answer; it takes some 20 ms."""


async def objection(program: Program, folder: str, pem: Pem) -> str:
    """What it has against `pem`; "" when nothing, or when it could not be asked: the check of the whole configuration
    will tell then. folder: made when it is not there."""
    tried = ""
    try:
        tried = await asyncio.to_thread(_write, folder, pem)
        finished = await programs.run([program.path, "-c", "-f", f"{tried}/try.cfg"], env={}, timeout=PATIENCE)
    except (OSError, FairleadError):
        return ""
    finally:
        if tried:
            shutil.rmtree(tried, ignore_errors=True)
    if finished.ok:
        return ""
    said = [line for line in finished.output.splitlines() if line.startswith("[ALERT]") and "new.pem" in line]
    return said[0].rpartition("new.pem")[2].strip(" ':.,") if said else ""


def _write(folder: str, pem: Pem) -> str:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    tried = tempfile.mkdtemp(prefix=".try-", dir=folder)
    write_atomically(f"{tried}/new.pem", pem.text, durable=False)
    lines = ("global", f"    crt-base {words.word(tried, 'folder of certificates')}", "frontend try",
             "    mode http", "    timeout client 1s", "    bind 127.0.0.1:1 ssl crt new.pem", "")  # fmt: skip
    write_atomically(f"{tried}/try.cfg", "\n".join(lines), durable=False)
    return tried
