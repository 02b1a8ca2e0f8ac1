"""For every test of every folder."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# pytest-asyncio asks for the current loop before each test; with none set, Python 3.11 makes one that nobody closes.
asyncio.set_event_loop(None)

# A shell that starts the tests in the background, or `nohup`, has them ignore these, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says how busy the machine is; each test has its own time limit.
settings.register_profile("fairlead", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fairlead")


class OneStoryAtATime(LoadScopeScheduling):
    """The first worker tells the stories of tests/live, one after the other, and the others run everything else beside
    it; then whoever is free takes what is left. A story is told under load, and its houses are built once.

    A mark (`xdist_group`) would say the same, but xdist 3.8 hides it in the node's id, which pytest 9 does not let it."""

    def _split_scope(self, nodeid: str) -> str:
        return STORIES if nodeid.startswith(STORIES) else nodeid


STORIES = "tests/live/"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneStoryAtATime(config, log)
