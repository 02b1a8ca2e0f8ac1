"""The load under which every story is told, and waiting while it flows."""

from __future__ import annotations

import asyncio
import time

from fairlead.drill.load import Load

from .house import House

RATE = 200.0
"""Requests a second while something is done to a stack."""


async def settle(load: Load, seconds: float = 0.5) -> None:
    """Let the load go on for a while, so that what comes next is done under it."""
    sent = load.report().sent
    deadline = time.monotonic() + seconds + 30
    while load.report().sent < sent + seconds * RATE:
        assert time.monotonic() < deadline, f"the load does not flow: {load.report()}"
        await asyncio.sleep(0.02)


def at_risk(load: Load) -> int:
    """What a HAProxy that is killed now may cost: a request for each connection to it, be it one that is under way or one
    that is sent before the generator sees that the connection has ended."""
    return len(load._connections)


def nothing_lost(load: Load, house: House) -> None:
    """Every request was answered with 200, and there were some."""
    report = load.report()
    assert report.lost == 0, f"{report}\n{house.evidence()}"
    assert report.sent > RATE / 2, f"the load was not there: {report}"
