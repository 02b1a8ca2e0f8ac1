"""For every test of every folder."""

from __future__ import annotations

import asyncio
import signal

import pytest
from hypothesis import HealthCheck, settings

# pytest-asyncio asks for the current loop before each test; with none set, Python 3.11 makes one that nobody closes.
asyncio.set_event_loop(None)

# A shell that starts the tests in the background, or `nohup`, has them ignore these, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says how busy the machine is; each test has its own time limit.
settings.register_profile("fairlead", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fairlead")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, tests of real processes run one after the other, beside those of pure code."""
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.xdist_group("live"))
