"""A HAProxy that ends while somebody is about to end it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest

from fairlead.aiokit.pidfd import identity_of, open_pidfd
from fairlead.haproxy.files import Known
from fairlead.haproxy.process import Process
from fairlead.haproxy.runtime import Runtime


@pytest.mark.live
async def test_one_that_ended_and_was_forgotten_is_well_ended(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        identity = identity_of(child.pid)
        assert identity is not None
        pidfd = open_pidfd(identity)
        assert pidfd is not None
        process = Process(Known(1, identity), pidfd, Runtime(str(tmp_path / "none.sock")))
        forgotten = asyncio.Event()
        process.watch(lambda: (process.close(), forgotten.set()))
        child.kill()
        async with asyncio.timeout(60):
            await forgotten.wait()
        process.signal(signal.SIGTERM)
        await process.end(0.1)
        await process.kill()
    finally:
        child.kill()
        child.wait()
