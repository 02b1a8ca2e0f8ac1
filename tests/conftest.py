"""For every test of every folder."""

from __future__ import annotations

import asyncio
import signal

# pytest-asyncio asks for the current loop before each test; with none set, Python 3.11 makes one that nobody closes.
asyncio.set_event_loop(None)

# A shell that starts the tests in the background, or `nohup`, has them ignore these, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
